"""Arrays of images: looked at, scaled, and brought to a model in batches."""

import keras
import numpy as np
import tensorflow as tf

from convae_keras.validation import check_images, expect

# Folded into a batch's key to draw its turn; corruptions fold in smaller numbers.
TURN = 100


def to_float(x, pixel_range=(0, 1)):
    """Images as a model takes them.

    Args:
        x: images, as `check_images` takes them.
        pixel_range: `(0, 1)` or `(-1, 1)`.

    Returns:
        float32 `(n, height, width, channels)` in `pixel_range`, all in memory.

    Raises:
        ValueError: for arrays that are not images, or another range.
    """
    return _scale(check_images(x), np.asarray, _check_range(pixel_range))


def to_model_range(x, pixel_range):
    """Scales pixels in [0, 1] to the range that a model works in.

    Args:
        x: float array or tensor in [0, 1]; values outside, such as unclipped
            noise, stay outside.
        pixel_range: `(0, 1)` or `(-1, 1)`.

    Returns:
        The same kind of array or tensor, of the same shape, in `pixel_range`.
    """
    return x if pixel_range == (0, 1) else 2 * x - 1


def from_model_range(outputs, pixel_range):
    """Scales a model's outputs back to pixels in [0, 1].

    Args:
        outputs: float array or tensor of any shape, what the model returned.
        pixel_range: `(0, 1)` or `(-1, 1)`, the range that the model works in.

    Returns:
        float32 NumPy array of the same shape, clipped to [0, 1].
    """
    outputs = keras.ops.convert_to_numpy(outputs).astype("float32")
    return np.clip(outputs if pixel_range == (0, 1) else (outputs + 1) / 2, 0, 1)


def _check_range(pixel_range):
    pixel_range = tuple(pixel_range)
    good = pixel_range in ((0, 1), (-1, 1))
    expect(good, "pixel_range", "(0, 1) or (-1, 1)", pixel_range)
    return pixel_range


def _scale(x, cast, pixel_range):
    """The one place where bytes become floats, for NumPy and for TensorFlow."""
    if x.dtype == "uint8":
        x = cast(x, "float32") / 255
    return to_model_range(x, pixel_range)


def make_pipeline(
    x,
    batch_size=128,
    *,
    pixel_range=(0, 1),
    seed=None,
    first_epoch=0,
    steps_per_epoch=None,
    corrupt=None,
    inputs=None,
    turn=False,
):
    """Batches of (input, target) for `fit`.

    The target is the image. The input is the image itself, or what `corrupt`
    makes of it, anew in every epoch, or its counterpart among `inputs`.

    What travels is indices; the images stay as they are where they are, in
    memory or on the disk, and only those of a batch become floats.

    Args:
        x: images, as `check_images` takes them.
        batch_size: int, at least 1. More than `n` counts as `n`.
        pixel_range: `(0, 1)` or `(-1, 1)`, what the model gives back.
        seed: None for one pass in order, whose last batch may be short. An int
            for an endless stream of shuffled epochs of full batches, to go with
            `fit(steps_per_epoch=..., shuffle=False)`.
        first_epoch: int, where the endless stream starts. The order in an
            epoch comes from `seed` and its number alone, so that a training
            which was stopped goes on with the batches it would have had.
        steps_per_epoch: int, batches in a shuffled epoch; None for all that
            are full, `n // batch_size`.
        corrupt: `Corruption`, or None. What it draws depends on `seed`, the
            epoch and the batch alone; without `seed`, on the batch.
        inputs: images, as many as `x`, or None.
        turn: bool, lay each batch, input and target alike, in one of the eight
            ways that a square can lie, drawn as what `corrupt` draws is.

    Returns:
        `tf.data.Dataset` of pairs of float32 `(batch_size, height, width,
        channels)` in `pixel_range`.

    Raises:
        ValueError: for arrays that are not images, a batch size below one,
            more steps than batches, another range, `inputs` of another number,
            both `inputs` and `corrupt`, or images to turn that are not square.
    """
    x = check_images(x)
    n, whole = len(x), isinstance(batch_size, int | np.integer)
    expect(whole and batch_size >= 1, "batch_size", "an int of at least 1", batch_size)
    batch_size = min(batch_size, n)
    full = n // batch_size
    steps = full if steps_per_epoch is None else steps_per_epoch
    expect(1 <= steps <= full, "steps_per_epoch", f"from 1 to {full}", steps)

    pair = _pairer(x, corrupt, inputs, turn, _check_range(pixel_range))
    if seed is None:
        batches = tf.data.Dataset.range(n).batch(batch_size).enumerate()
        batches = batches.map(lambda step, indices: ([0, 0], step, indices))
    else:
        batches = _shuffled(n, batch_size, steps, seed, first_epoch)
    batches = batches.map(pair, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return batches.prefetch(tf.data.AUTOTUNE)


def _shuffled(n, batch_size, steps, seed, first_epoch):
    """Endless epochs of (the epoch's key, number, indices) of a batch."""

    def epoch_of_batches(epoch):
        key = tf.stack([tf.cast(seed, epoch.dtype), epoch])
        order = tf.random.experimental.stateless_shuffle(tf.range(n), seed=key)
        batches = tf.reshape(order[: steps * batch_size], (steps, batch_size))
        batches = tf.data.Dataset.from_tensor_slices(batches).enumerate()
        return batches.map(lambda step, indices: (key, step, indices))

    return tf.data.Dataset.range(first_epoch, tf.int64.max).flat_map(epoch_of_batches)


def _pairer(x, corrupt, inputs, turn, pixel_range):
    """A function from a batch's key, number and indices to its images."""
    gather, show = _gatherer(x), _shower(len(x), corrupt, inputs)
    check_augment(turn, x.shape[1:])

    def pair(key, step, indices):
        # Not the key that the epoch was shuffled with.
        key = tf.random.experimental.stateless_fold_in(key, step + 1)
        targets = _scale(gather(indices), tf.cast, (0, 1))
        images = show(key, indices, targets), targets
        if turn:
            images = (_turned(each, key) for each in images)
        return tuple(to_model_range(each, pixel_range) for each in images)

    return pair


def _shower(n, corrupt, inputs):
    """A function that finds what the model is shown in place of its targets."""
    if inputs is not None:
        expect(corrupt is None, "corrupt", "None, where there are `inputs`", corrupt)
        inputs = check_images(inputs, "inputs")
        expect(len(inputs) == n, "inputs", f"{n} images", len(inputs))
        gather = _gatherer(inputs)
        return lambda key, indices, targets: _scale(gather(indices), tf.cast, (0, 1))
    return lambda key, indices, targets: corrupt(targets, key) if corrupt else targets


def check_augment(turn, image_shape):
    """Raises a `ValueError` if images of that shape cannot be turned but should."""
    square = image_shape[0] == image_shape[1]
    expect(square or not turn, "turn", "False, or the images square", image_shape)


def _turned(images, key):
    key = tf.random.experimental.stateless_fold_in(key, TURN)
    way = tf.random.stateless_uniform((), key, 0, 8, tf.int32)
    turned = tf.image.rot90(images, way)
    turned = tf.cond(way < 4, lambda: turned, lambda: tf.reverse(turned, [2]))
    return tf.ensure_shape(turned, images.shape)


def _gatherer(x):
    """A function from indices to those rows of `x`, for a pipeline to call."""
    if not _is_on_disk(x):
        with tf.device("cpu"):  # where pipelines run, even if there is a GPU
            pixels = tf.constant(x)
        return lambda indices: tf.gather(pixels, indices)

    def gather(indices):
        rows = tf.numpy_function(lambda i: x[i], [indices], x.dtype, stateful=False)
        rows.set_shape((*indices.shape, *x.shape[1:]))
        return rows

    return gather


def _is_on_disk(x):
    """Whether `x` is a view, however remote, of a `np.memmap`."""
    while x is not None and not isinstance(x, np.memmap):
        x = getattr(x, "base", None)
    return x is not None
