"""`tf.data` pipelines: arrays of images, scaled and corrupted, in batches.

All scaling between pixels and a model's range happens in this file.
"""

import keras
import numpy as np
import tensorflow as tf

from convae_keras.validation import (
    check_images,
    check_ints,
    check_seed,
    format_shape,
    require,
)

# Folded into a batch's seed to draw its flip and rotation. Corruptions fold in
# smaller numbers.
AUGMENT = 100
# With the index of a process added, folded into a batch's seed for its part.
SHARE = 1000


def to_float(x, pixel_range=(0, 1)):
    """Validates images and scales them to a model's range.

    Args:
        x: uint8 in [0, 255] or float in [0, 1], `(n, height, width)` or
            `(n, height, width, channels)`.
        pixel_range: `(0, 1)` or `(-1, 1)`.

    Returns:
        float32 `(n, height, width, channels)` in `pixel_range`, in memory.

    Raises:
        ValueError: for arrays that are not images, or another range.
    """
    x, pixel_range = check_images(x), _check_range(pixel_range)
    return to_model_range(_bytes_to_float(x, np.asarray), pixel_range)


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


def to_uint8(x):
    """Returns images as uint8: floats in [0, 1], scaled and rounded.

    Args:
        x: NumPy array of any shape, uint8 or float in [0, 1].

    Returns:
        uint8 array of the same shape; `x` itself if it is one.
    """
    return x if x.dtype == "uint8" else np.rint(255 * x).astype("uint8")


def _bytes_to_float(x, cast):
    """Scales uint8 to [0, 1]. `cast` is NumPy's or TensorFlow's."""
    return cast(x, "float32") / 255 if x.dtype == "uint8" else x


def _check_range(pixel_range):
    low_high = tuple(np.ravel(pixel_range).tolist())
    message = f"`pixel_range` must be (0, 1) or (-1, 1). Received: {pixel_range}"
    require(low_high in ((0, 1), (-1, 1)), message)
    return low_high


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
    augment=False,
    share=(0, 1),
    validate=True,
):
    """Builds a pipeline of (input, target) batches for `fit`.

    The target is the image. The input is the image itself, or a corruption of
    it, drawn anew in every epoch, or the image of the same index in `inputs`.

    The pipeline's elements are indices: the images stay where they are, in
    memory or on disk, and only those of a batch are converted to float.

    Args:
        x: uint8 in [0, 255] or float in [0, 1], `(n, height, width)` or
            `(n, height, width, channels)`, the targets.
        batch_size: int, at least 1. More than `n` counts as `n`.
        pixel_range: `(0, 1)` or `(-1, 1)`, the range of the model's output.
        seed: None for one pass in order, whose last batch may be smaller. An
            int for an infinite dataset of shuffled epochs of full batches, to
            be used with `fit(steps_per_epoch=..., shuffle=False)`.
        first_epoch: int, the epoch at which the infinite dataset starts. The
            order in an epoch depends on `seed` and the epoch's number only, so
            that a resumed training gets the batches it would have had.
        steps_per_epoch: int, batches in a shuffled epoch; None for all full
            ones, `n // batch_size`.
        corrupt: `Corruption`, or None. Its draws depend on `seed`, the epoch
            and the batch only; without `seed`, on the batch.
        inputs: images, as many as `x`, or None.
        augment: bool, apply a random flip and 90° rotation to each batch, the
            same to inputs and targets. Images must be square.
        share: `(index, count)`, which part of every shuffled batch is returned:
            that of process `index` of `count`. `corrupt` and `augment` draw
            something else for each.
        validate: bool. False skips the checks of `x` and `inputs`, for arrays
            of `Images`, which are valid: floats are then not read twice.

    Returns:
        `tf.data.Dataset` of pairs of float32 `(batch_size, height, width,
        channels)` in `pixel_range`. The inputs may have another size, that of
        `inputs` or of what `corrupt` returns, and noise that is not clipped leaves
        the range. With a `share` there are `batch_size / count` images in a batch.

    Raises:
        ValueError: for arrays that are not images, a batch size below 1, more
            steps than batches, another range, other `inputs` than as many as `x`,
            both `inputs` and `corrupt`, or `augment` of images that are not
            square.
    """
    if validate:
        x = check_images(x)
        inputs = None if inputs is None else check_images(inputs, "inputs")
    check_ints(batch_size=batch_size)
    if seed is not None:
        check_seed(seed)
    n = len(x)
    batch_size = min(batch_size, n)
    full = n // batch_size
    steps = full if steps_per_epoch is None else steps_per_epoch
    check_ints(1, full, steps_per_epoch=steps)
    check_augment(augment, x.shape[1:])
    pixel_range = _check_range(pixel_range)
    make_pair = _pair_function(x, corrupt, inputs, augment, pixel_range, share)
    if seed is None:
        batches = tf.data.Dataset.range(n).batch(batch_size).enumerate()
        batches = batches.map(lambda step, indices: ([0, 0], step, indices))
    else:
        batches = _shuffled(n, batch_size, steps, seed, first_epoch, share)
    parallel = {"num_parallel_calls": tf.data.AUTOTUNE, "deterministic": True}
    options = tf.data.Options()
    # It finds nothing here, and whoever ends a training waits until it wakes up.
    options.autotune.enabled = False
    batches = batches.map(make_pair, **parallel).prefetch(tf.data.AUTOTUNE)
    return batches.with_options(options)


def check_augment(augment, image_shape):
    """Validates that images can be rotated by 90°, if they are to be.

    Args:
        augment: bool.
        image_shape: `(height, width, channels)`.

    Raises:
        ValueError: if `augment` is true and the images are not square.
    """
    message = f"`augment` needs square images. Received: {format_shape(image_shape)}"
    square = len(image_shape) == 3 and image_shape[0] == image_shape[1]
    require(square or not augment, message)


def _shuffled(n, batch_size, steps, seed, first_epoch, share):
    """Infinite dataset of `(the epoch's seed, step, indices)`."""
    index, count = share

    def epoch_of_batches(epoch):
        epoch_seed = tf.stack([tf.cast(seed, epoch.dtype), epoch])
        order = tf.random.experimental.stateless_shuffle(tf.range(n), seed=epoch_seed)
        batches = tf.reshape(order[: steps * batch_size], (steps, batch_size))
        batches = tf.data.Dataset.from_tensor_slices(batches[:, index::count])
        batches = batches.enumerate()
        return batches.map(lambda step, indices: (epoch_seed, step, indices))

    return tf.data.Dataset.range(first_epoch, tf.int64.max).flat_map(epoch_of_batches)


def _pair_function(x, corrupt, inputs, augment, pixel_range, share):
    """Returns a function from an epoch's seed, a step and indices to a batch."""
    gather_targets, gather_inputs = _gather_function(x), None
    if inputs is not None:
        message = f"`corrupt` must be None if there are `inputs`. Received: {corrupt}"
        require(corrupt is None, message)
        expected = f"`inputs` must be {len(x)} images, as many as targets"
        require(len(inputs) == len(x), f"{expected}. Received: {len(inputs)}")
        check_augment(augment, inputs.shape[1:])
        gather_inputs = _gather_function(inputs)

    def make_pair(epoch_seed, step, indices):
        # Another seed than the one by which the epoch was shuffled.
        seed = tf.random.experimental.stateless_fold_in(epoch_seed, step + 1)
        if share[0]:
            seed = tf.random.experimental.stateless_fold_in(seed, SHARE + share[0])
        model_inputs = targets = _bytes_to_float(gather_targets(indices), tf.cast)
        if gather_inputs:
            model_inputs = _bytes_to_float(gather_inputs(indices), tf.cast)
        elif corrupt is not None:
            model_inputs = corrupt(targets, seed)
        pair = model_inputs, targets
        if augment:
            pair = [_flip_and_rotate(images, seed) for images in pair]
        return tuple(to_model_range(images, pixel_range) for images in pair)

    return make_pair


def _flip_and_rotate(images, seed):
    """Applies one of the 8 symmetries of a square, drawn from the seed."""
    seed = tf.random.experimental.stateless_fold_in(seed, AUGMENT)
    symmetry = tf.random.stateless_uniform((), seed, 0, 8, tf.int32)
    rotated = tf.image.rot90(images, symmetry)  # modulo 4
    flipped = tf.cond(symmetry < 4, lambda: rotated, lambda: tf.reverse(rotated, [2]))
    return tf.ensure_shape(flipped, images.shape)


def _gather_function(x):
    """Returns a function from a tensor of indices to those rows of `x`."""
    if not _is_on_disk(x):
        with tf.device("cpu"):  # pipelines run there, also with a GPU
            pixels = tf.constant(x)
        return lambda indices: tf.gather(pixels, indices)

    def gather(indices):
        rows = tf.numpy_function(lambda i: x[i], [indices], x.dtype, stateful=False)
        rows.set_shape((*indices.shape, *x.shape[1:]))
        return rows

    return gather


def _is_on_disk(x):
    """Whether `x` is a `np.memmap` or a view of one."""
    while x is not None and not isinstance(x, np.memmap):
        x = getattr(x, "base", None)
    return x is not None
