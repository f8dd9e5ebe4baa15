"""What a network looks at: gradients with respect to its input, and what they tell.

A `function` here maps a float32 tensor of images `(n, height, width, channels)` to
one number an image, `(n,)`, computed from that image alone. What else the number
depends on, such as the code of the original image, follows as further arrays, whose
first axis is that of the images.
"""

from itertools import pairwise

import keras
import numpy as np
from keras import layers, ops

from convae_keras.keras_settings import standard_settings
from convae_keras.models import pixel_range
from convae_keras.pipelines import to_float, to_model_range
from convae_keras.validation import (
    check_finite,
    check_images,
    check_ints,
    is_int,
    is_number,
    plain,
    require,
)

# Images that are computed at once.
BATCH_SIZE = 100

# What a pixel must change a unit by, relative to the pixel that changes it most, to
# count for its effective receptive field: two standard deviations of a Gaussian.
NEGLIGIBLE = 1 - 0.9545

# Layers that look at a window of pixels.
WINDOWED = (layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D)
WINDOWED += (layers.MaxPooling2D, layers.AveragePooling2D)

# Layers that look at one pixel, and so leave a receptive field as it is.
POINTWISE = (layers.InputLayer, layers.Activation, layers.BatchNormalization)
POINTWISE += (layers.ReLU, layers.LeakyReLU, layers.Dropout, layers.Rescaling)


def scores(function, x, *others):
    """Computes a function of images, one batch at a time.

    Args:
        function: as this module's docstring says.
        x: images, as `check_images` takes them.
        *others: arrays `(n, …)`, which the function is given as well, as float32.

    Returns:
        float32 `(n,)`.

    Raises:
        ValueError: for arrays that are not images, arrays of other lengths, or a
            function that does not return one number an image.

    Example:

    >>> scores(lambda x: x[:, 0, 0, 0], np.full((3, 8, 8, 1), 0.5)).tolist()
    [0.5, 0.5, 0.5]
    """
    return _batches(lambda *batch: _each(function, *batch), x, others)


def input_gradients(function, x, *others):
    """Computes the gradient of a function with respect to images.

    Scores are added in float32, and gradients are float32. A network of half
    precision still computes in it; `float32_copy` is one that does not.

    Args:
        function, x, *others: as in `scores`.

    Returns:
        float32 `(n, height, width, channels)`: by how much the score would rise for
        each unit that a pixel rises.

    Raises:
        ValueError: as `scores`, or under TensorFlow for a function that is not
            computed from the images, or by NumPy or `predict`.

    References:
        - [Simonyan et al., 2014](https://arxiv.org/abs/1312.6034)

    Example:

    >>> gradients = input_gradients(lambda x: 3 * x[:, 0, 0, 0], np.ones((2, 8, 8, 1)))
    >>> gradients.shape, gradients.sum(axis=(1, 2, 3)).tolist()
    ((2, 8, 8, 1), [3.0, 3.0])
    """
    return _batches(lambda *batch: _gradients(function, *batch), x, others)


def _batches(compute, x, others):
    """Computes arrays from arrays, a batch at a time, in Keras's standard settings."""
    x = to_float(check_images(x))
    sizes = [np.shape(each)[:1] for each in others]
    expected = f"Further arrays must be as many as the images, {len(x)}"
    fits = all(size == x.shape[:1] for size in sizes)
    require(fits, f"{expected}. Received: {sizes}")
    arrays, found = (x, *(np.asarray(each, "float32") for each in others)), []
    for start in range(0, len(x), BATCH_SIZE):
        batch = (each[start : start + BATCH_SIZE] for each in arrays)
        with standard_settings():
            outputs = compute(*map(ops.convert_to_tensor, batch))
        found.append(ops.convert_to_numpy(outputs))
    return np.concatenate(found)


def _each(function, x, *others):
    """The float32 scores of one batch, one an image."""
    outputs = ops.cast(function(x, *others), "float32")
    expected = f"`function` must return one number an image, {tuple(x.shape[:1])}"
    fits = tuple(outputs.shape) == tuple(x.shape[:1])
    require(fits, f"{expected}. Received: {tuple(outputs.shape)}")
    return outputs


def _gradients(function, x, *others):
    """The gradient of the sum of scores: an image's depends on its own score only."""
    backend = {"tensorflow": _tape, "jax": _jax, "torch": _torch}
    return backend[keras.backend.backend()](
        lambda x: ops.sum(_each(function, x, *others)), x
    )


def _tape(total, x):
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(x)
        value = total(x)
    gradient = tape.gradient(value, x)
    expected = "`function` must be computed from the images by Keras or TensorFlow"
    require(gradient is not None, f"{expected}, without NumPy or `predict`")
    return gradient


def _jax(total, x):
    import jax

    return jax.grad(total)(x)


def _torch(total, x):
    import torch

    with torch.enable_grad():
        x = x.detach().requires_grad_(True)
        # PyTorch refuses the gradient of a constant.
        return torch.autograd.grad(total(x) + 0 * x.sum(), x)[0]


def integrated_gradients(function, x, *others, fill, steps=32):
    """Divides the difference of two scores among the pixels.

    The gradient is averaged along the straight line from `fill` to the image, and
    multiplied by their difference. So the attributions of an image add up to its
    score less that of `fill`, but for the error of the sum.

    Args:
        function, x, *others: as in `scores`.
        fill: float in [0, 1], what images are compared with: one number, an image
            `(height, width, channels)` such as the mean, or one for each, as `x`.
        steps: int, points of the line, by the midpoint rule.

    Returns:
        float32 `(n, height, width, channels)`.

    Raises:
        ValueError: as `scores`, for a `fill` of another shape, or `steps` that are
            not a positive int.

    References:
        - [Sundararajan et al., 2017](https://arxiv.org/abs/1703.01365)

    Example:

    >>> x, fill = np.ones((2, 8, 8, 1)), np.zeros((8, 8, 1))
    >>> parts = integrated_gradients(lambda x: x[:, 0, 0, 0] ** 2, x, fill=fill)
    >>> parts.sum(axis=(1, 2, 3)).round(3).tolist()
    [1.0, 1.0]
    """
    x, fill = _filled(x, fill)
    check_ints(steps=steps)
    total = np.zeros_like(x)
    for step in range(steps):
        between = fill + (x - fill) * np.float32((step + 0.5) / steps)
        total += input_gradients(function, between, *others)
    return total / np.float32(steps) * (x - fill)


def _filled(x, fill):
    """Returns images and what replaces their pixels as float32, checked."""
    x, fill = to_float(check_images(x)), np.asarray(fill)
    if fill.ndim == 0:
        fits, fill = is_number(fill.item()), np.full(x.shape[1:], fill, "float32")
        require(fits, f"`fill` must be in [0, 1]. Received: {fill.flat[0]}")
    expected = f"`fill` must be one image of shape {x.shape[1:]}, or as many as `x`"
    require(fill.shape in (x.shape[1:], x.shape), f"{expected}. Received: {fill.shape}")
    fill = fill if fill.ndim == 4 else fill[None]
    return x, to_float(check_images(fill, "fill"))


def deletion_curve(function, x, maps, *others, fill, steps=40, seed=0):
    """Scores images while their pixels are replaced, the highest of a map first.

    Args:
        function, x, *others: as in `scores`.
        maps: float `(n, height, width)`, of any scale. Where pixels are equal, chance
            decides.
        fill: as in `integrated_gradients`, what replaces pixels.
        steps: int, from one pixel to all of them, in equal parts.
        seed: int, of that chance.

    Returns:
        float32 `(n, steps + 1)`: the scores with 0, 1 / steps, …, and all of the
        pixels replaced.

    Raises:
        ValueError: as `integrated_gradients`, or for maps of another shape or with
            NaN.

    References:
        - [Petsiuk et al., 2018](https://arxiv.org/abs/1806.07421)

    Example:

    >>> x, fill = np.ones((3, 8, 8, 1)), np.zeros((8, 8, 1))
    >>> maps = np.random.RandomState(0).rand(3, 8, 8)
    >>> mean = lambda x: keras.ops.mean(x, axis=(1, 2, 3))
    >>> deletion_curve(mean, x, maps, fill=fill, steps=4)[0].tolist()
    [1.0, 0.75, 0.5, 0.25, 0.0]
    """
    x, fill = _filled(x, fill)
    maps, pixels = np.asarray(maps), x.shape[1] * x.shape[2]
    expected = f"`maps` must be real numbers of shape {x.shape[:3]}"
    fits = maps.shape == x.shape[:3] and maps.dtype.kind in "biuf"
    require(fits, f"{expected}. Received: {maps.dtype} {maps.shape}")
    maps = maps.astype("float64")  # whose negatives rank as they should
    check_finite(maps=maps)
    check_ints(1, pixels, steps=steps)
    flat = maps.reshape(len(x), pixels)
    chance = np.random.RandomState(seed).rand(*flat.shape)
    rank = np.lexsort((chance, -flat)).argsort(axis=1).reshape(maps.shape)[..., None]
    curve = []
    for step in range(steps + 1):
        deleted = rank < round(step * pixels / steps)
        curve.append(scores(function, np.where(deleted, fill, x), *others))
    return np.stack(curve, axis=1)


def maximize_activation(
    function, x, *others, smoothness=0.0, steps=100, step_size=0.05
):
    """Changes images until a function of them is large.

    Gradient ascent on the function less a penalty. The first step moves the pixels by
    `step_size` on the whole, as a root of a mean of squares, later ones by less, the
    last one hardly; each clips them to [0, 1].

    Args:
        function, x, *others: as in `scores`; `x` is where to start from, such as gray
            with noise.
        smoothness: float, the weight of the total variation: the mean absolute
            difference of neighboring pixels.
        steps: int.
        step_size: float.

    Returns:
        float32 `(n, height, width, channels)` in [0, 1].

    Raises:
        ValueError: as `scores`, or for numbers out of range.

    References:
        - Erhan et al., Visualizing higher-layer features of a deep network, 2009
        - [Mahendran and Vedaldi, 2015](https://arxiv.org/abs/1412.0035), the penalty

    Example:

    >>> corner = lambda x: x[:, 0, 0, 0]
    >>> found = maximize_activation(corner, np.full((1, 8, 8, 1), 0.5))
    >>> float(found[0, 0, 0, 0]), float(found[0, 4, 4, 0])
    (1.0, 0.5)
    """
    check_ints(steps=steps)
    for name, value in {"smoothness": smoothness, "step_size": step_size}.items():
        fits = is_number(value) and value >= 0
        require(fits, f"`{name}` must be a number from 0. Received: {value!r}")

    def penalized(x, *others):
        rough = [x[:, 1:] - x[:, :-1], x[:, :, 1:] - x[:, :, :-1]]
        variation = sum(ops.mean(ops.abs(each), axis=(1, 2, 3)) for each in rough)
        return ops.cast(function(x, *others), "float32") - smoothness * variation

    x = to_float(check_images(x))
    input_gradients(function, x, *others)  # without the penalty, it must have one
    for step in range(steps):
        gradients = input_gradients(penalized, x, *others)
        size = np.sqrt((gradients**2).mean(axis=(1, 2, 3), keepdims=True))
        length = step_size * (1 - step / steps) / np.maximum(size, 1e-12)
        x = np.clip(x + length * gradients, 0, 1).astype("float32")
    return x


def float32_copy(model):
    """Copies a model to one that computes in float32, whatever its dtype policy.

    Gradients of half precision are coarse, and small ones are 0.

    Args:
        model: functional `keras.Model`.

    Returns:
        An uncompiled `keras.Model` with weights of its own, equal to those of `model`.

    Raises:
        ValueError: for a model that is not functional.

    Example:

    >>> autoencoder = conv_autoencoder()
    >>> float32_copy(autoencoder).encoder.compute_dtype
    'float32'
    """
    copy = _clone(model)
    copy.set_weights(model.get_weights())
    return copy


def randomize_weights(model, seed=0):
    """Copies a model's architecture, with new initial weights.

    A map that looks the same for the copy shows the image, not what was learned.

    Args:
        model: functional `keras.Model`.
        seed: int.

    Returns:
        An uncompiled `keras.Model` that computes in float32; `model` is not changed.

    Raises:
        ValueError: for a model that is not functional, or a `seed` that is not an
            int.

    References:
        - [Adebayo et al., 2018](https://arxiv.org/abs/1810.03292)

    Example:

    >>> autoencoder = conv_autoencoder(seed=0)
    >>> one, other = (randomize_weights(autoencoder, seed) for seed in (1, 2))
    >>> bool(np.array_equal(one.get_weights()[0], other.get_weights()[0]))
    False
    """
    require(is_int(seed), f"`seed` must be an int. Received: {seed!r}")
    return _clone(model, plain(seed))


def _clone(model, seed=None):
    def anew(layer):
        # An initializer with a seed of its own would draw the same weights again.
        config = {k: _unseeded(v) for k, v in layer.get_config().items()}
        own = {"dtype": "float32"} if "dtype" in config else {}  # some have none
        return type(layer).from_config(config | own)

    expected = "`model` must be a functional keras.Model"
    is_one = isinstance(model, keras.Model) and hasattr(model, "input_shape")
    require(is_one, f"{expected}. Received: {model!r}")
    with standard_settings(policy="float32", seed=seed):
        return keras.models.clone_model(model, clone_function=anew, recursive=True)


def _unseeded(value):
    if isinstance(value, dict) and "seed" in (value.get("config") or {}):
        return {**value, "config": {**value["config"], "seed": None}}
    return value


def receptive_field(model, layer):
    """Computes how many pixels a unit of a layer can see.

    Args:
        model: autoencoder, or any `keras.Model` of images whose layers, up to
            `layer`, are a chain of convolutions, pooling and layers that look at
            one pixel.
        layer: str, the name of a layer of the encoder (of the model, if it has no
            encoder).

    Returns:
        `((height, width), (down, right))`: two pairs of int, the size in pixels, and
        the distance between the fields of neighboring units.

    Raises:
        ValueError: for an unknown layer, or other layers before it.

    References:
        - [Araujo et al., 2019](https://doi.org/10.23915/distill.00021)

    Example:

    >>> receptive_field(conv_autoencoder("keras"), "code_1")
    ((8, 8), (2, 2))
    """
    encoder = getattr(model, "encoder", model)
    names = [each.name for each in encoder.layers]
    require(layer in names, f"`layer` must be one of {names}. Received: {layer!r}")
    chain = encoder.layers[: names.index(layer) + 1]
    expected = "Layers before `layer` must be a chain"
    for before, after in pairwise(chain):
        message = f"{expected}. Received: {after.name!r} after {before.name!r}"
        require(after.input is before.output, message)
    size, jump = np.ones(2, int), np.ones(2, int)
    for each in chain:
        kind = type(each).__name__
        message = f"`layer` must be before any {kind}. Received: {layer!r}"
        require(isinstance(each, WINDOWED + POINTWISE), message)
        if isinstance(each, WINDOWED):
            window = getattr(each, "kernel_size", getattr(each, "pool_size", None))
            dilation = np.array(getattr(each, "dilation_rate", 1))
            size += (np.array(window) - 1) * dilation * jump
            jump *= np.array(each.strides)
    return tuple(size.tolist()), tuple(jump.tolist())


def effective_receptive_field(model, layer, x):
    """Measures how much each pixel changes the unit in the middle of a layer.

    Args:
        model, layer: as in `receptive_field`, but of any layers with feature maps.
        x: images, as `check_images` takes them, over which is averaged.

    Returns:
        `(map, side)`: float32 `(height, width)`, the mean square of the gradient of
        the channels' sum, divided by its maximum; float, the side in pixels of a
        square that has as many pixels as are above 4.55 % of that.

    Raises:
        ValueError: for an unknown layer or one without feature maps, or as `scores`.

    References:
        - [Luo et al., 2016](https://arxiv.org/abs/1701.04128)

    Example:

    >>> x = np.random.RandomState(0).rand(3, 28, 28, 1)
    >>> field, side = effective_receptive_field(conv_autoencoder(), "conv_1", x)
    >>> field.shape, int((field > 0).sum()), side <= 3
    ((28, 28), 9, True)
    """
    encoder = getattr(model, "encoder", model)
    names = [each.name for each in encoder.layers if len(each.output.shape) == 4]
    require(layer in names, f"`layer` must be one of {names}. Received: {layer!r}")
    part = keras.Model(encoder.input, encoder.get_layer(layer).output)

    def middle(x):
        maps = ops.cast(part(to_model_range(x, pixel_range(model))), "float32")
        row, column = (side // 2 for side in maps.shape[1:3])
        return ops.sum(maps[:, row, column], axis=-1)

    field = (input_gradients(middle, x) ** 2).sum(axis=-1).mean(axis=0)
    field /= max(field.max(), 1e-30)
    return field, float((field > NEGLIGIBLE).sum() ** 0.5)
