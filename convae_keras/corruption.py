"""Corruptions of images: noise, salt and pepper, holes, fog, affine transforms."""

from dataclasses import asdict, dataclass

import numpy as np
import tensorflow as tf

from convae_keras.pipelines import to_float
from convae_keras.validation import check_ints, is_number, plain, require

DOWNSAMPLING = ("box", "bicubic")

# The largest size that a corruption can have, in pixels.
LARGEST = 10_000


class Corruption:
    """Base class of all corruptions.

    A subclass is a frozen dataclass of plain values with one method,
    `damage(x, seed)`, from float32 tensors in [0, 1] and a seed, a tensor of two
    integers, to float32 tensors. It must draw with TensorFlow's stateless
    functions, so that the same seed gives the same result.

    Call arguments:
        x: uint8 in [0, 255] or float in [0, 1], `(n, height, width, channels)`;
            or, in a pipeline, a float32 tensor in [0, 1].
        seed: int; for a tensor, a tensor of two integers.

    Returns:
        float32 array, or tensor if `x` is one, in [0, 1] (except for noise that
        is not clipped).

    Raises:
        ValueError: for an array that is not images.

    Example:

    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Dim(Corruption):
    ...     factor: float = 0.5
    ...
    ...     def damage(self, x, seed):
    ...         return x * self.factor
    >>> float(Dim(0.25)(np.ones((1, 2, 2, 1)))[0, 0, 0, 0])
    0.25
    """

    def __post_init__(self):
        for name, value in vars(self).items():
            object.__setattr__(self, name, plain(value))  # NumPy's numbers, too

    def __call__(self, x, seed=0):
        if tf.is_tensor(x):
            return self.damage(x, seed)
        # A GPU would draw other numbers from the same seed.
        with tf.device("cpu"):
            pair = tf.constant([0, seed], "int64")
            return self.damage(tf.constant(to_float(x)), pair).numpy()

    def config(self):
        """Returns a dict of plain values, for `from_config` and JSON."""
        return {"name": type(self).__name__, **asdict(self)}


def from_config(config):
    """Restores a corruption from its config.

    Args:
        config: dict, as `Corruption.config` returns it, or None.

    Returns:
        `Corruption`, or None.

    Raises:
        ValueError: for an unknown name, or values that do not fit.

    Example:

    >>> from_config({"name": "GaussianNoise", "stddev": 0.1, "clip": True})
    GaussianNoise(stddev=0.1, clip=True)
    """
    if config is None:
        return None
    kinds = {kind.__name__: kind for kind in Corruption.__subclasses__()}
    name = config.get("name") if isinstance(config, dict) else config
    known = isinstance(config, dict) and isinstance(name, str) and name in kinds
    require(known, f"Unknown corruption {name!r:.99}. Available: {sorted(kinds)}")
    values = {key: value for key, value in config.items() if key != "name"}
    # JSON has no tuples.
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    try:
        return kinds[name](**values)
    except TypeError as error:
        raise ValueError(f"Invalid config of {name}: {error}") from error


def _check_number(name, value, lowest, highest):
    valid = is_number(value) and lowest <= value <= highest
    expected = f"`{name}` must be a number from {lowest} to {highest}"
    require(valid, f"{expected}. Received: {value!r}")


def _check_range(name, value, lowest, highest):
    """Validates a number, or `(low, high)`, from which each image's is drawn."""
    values = value if isinstance(value, tuple) else (value, value)
    numbers = len(values) == 2 and all(is_number(each) for each in values)
    valid = numbers and lowest <= values[0] <= values[1] <= highest
    expected = f"`{name}` must be a number from {lowest} to {highest}, or a range"
    require(valid, f"{expected} (low, high) of them. Received: {value!r}")


def _check_fits(name, size, x):
    """Validates a size in pixels against the images' height and width."""
    sides = [side for side in x.shape[1:3] if side is not None]
    expected = f"`{name}` must not exceed the images' height and width, {sides}"
    require(all(size <= side for side in sides), f"{expected}. Received: {size}")


def _sizes(x):
    """Returns the shape of `x`: ints where they are known, else tensors."""
    return [tf.shape(x)[i] if size is None else size for i, size in enumerate(x.shape)]


def _fold_in(seed, number):
    """Returns another seed, for each of the draws of one corruption."""
    return tf.random.experimental.stateless_fold_in(seed, number)


def _uniform(value, x, seed):
    """Returns a number as it is; draws from a range, as `(n, 1, 1, 1)`."""
    if not isinstance(value, tuple):
        return value
    shape = (_sizes(x)[0], 1, 1, 1)
    return tf.random.stateless_uniform(shape, _fold_in(seed, 3), *value)


@dataclass(frozen=True)
class GaussianNoise(Corruption):
    """Adds Gaussian noise.

    Args:
        stddev: float from 0 to 10, standard deviation, of pixels in [0, 1] (a
            noise level of 25 in the literature is `25 / 255`). Or `(low, high)`,
            from which each image's is drawn uniformly.
        clip: bool, clip the result to [0, 1], as sensors and files do. The
            noise of a black pixel then has a mean above 0.

    Raises:
        ValueError: for a value out of range.
    """

    stddev: float | tuple = 0.5
    clip: bool = True

    def __post_init__(self):
        super().__post_init__()
        _check_range("stddev", self.stddev, 0, 10)
        message = f"`clip` must be True or False. Received: {self.clip!r}"
        require(isinstance(self.clip, bool), message)

    def damage(self, x, seed):
        noise = tf.random.stateless_normal(tf.shape(x), _fold_in(seed, 0))
        noisy = x + _uniform(self.stddev, x, seed) * noise
        return tf.clip_by_value(noisy, 0, 1) if self.clip else noisy


@dataclass(frozen=True)
class SaltAndPepper(Corruption):
    """Makes a fraction of the pixels black or white, each with probability 1/2.

    Args:
        amount: float in [0, 1], the fraction, or `(low, high)`, from which each
            image's is drawn uniformly.

    Raises:
        ValueError: for a value out of range.
    """

    amount: float | tuple = 0.2

    def __post_init__(self):
        super().__post_init__()
        _check_range("amount", self.amount, 0, 1)

    def damage(self, x, seed):
        amount = _uniform(self.amount, x, seed)
        draws = tf.random.stateless_uniform((*_sizes(x)[:3], 1), _fold_in(seed, 0))
        x = tf.where(draws < amount / 2, 0.0, x)
        return tf.where(draws > 1 - amount / 2, 1.0, x)


@dataclass(frozen=True)
class Hole(Corruption):
    """Fills a square at a random position of each image, for inpainting.

    Args:
        side: int from 1 to 10,000, side of the square in pixels, at most the
            image's.
        value: float in [0, 1], the gray level it is filled with.

    Raises:
        ValueError: for a value out of range; when called, for images too small.
    """

    side: int = 10
    value: float = 0.5

    def __post_init__(self):
        super().__post_init__()
        check_ints(1, LARGEST, side=self.side)
        _check_number("value", self.value, 0, 1)

    def damage(self, x, seed):
        n, height, width, _ = _sizes(x)
        _check_fits("side", self.side, x)
        draws = tf.random.stateless_uniform((2, n, 1, 1, 1), _fold_in(seed, 0))
        ends = [tf.cast(size - self.side + 1, "float32") for size in (height, width)]
        top, left = (tf.floor(draws[i] * ends[i]) for i in range(2))
        row = tf.reshape(tf.range(height, dtype="float32"), (1, -1, 1, 1))
        column = tf.reshape(tf.range(width, dtype="float32"), (1, 1, -1, 1))
        inside = (row >= top) & (row < top + self.side)
        inside &= (column >= left) & (column < left + self.side)
        return tf.where(inside, self.value, x)


@dataclass(frozen=True)
class Fog(Corruption):
    """Blurs, lowers the contrast, then adds noise.

    Args:
        blur: float from 0 to 100, standard deviation of the Gaussian blur, in
            pixels, at most a third of height and width.
        contrast: float in [0.01, 1], the difference of white and black
            afterwards, or `(low, high)`, from which each image's is drawn
            uniformly. The level of black is drawn for each image.
        stddev: float from 0 to 10, standard deviation of the noise, which is
            clipped.

    Raises:
        ValueError: for a value out of range; when called, for images too small.
    """

    blur: float = 1.0
    contrast: float | tuple = (0.2, 0.6)
    stddev: float = 0.03

    def __post_init__(self):
        super().__post_init__()
        _check_number("blur", self.blur, 0, 100)
        _check_range("contrast", self.contrast, 0.01, 1)
        _check_number("stddev", self.stddev, 0, 10)

    def damage(self, x, seed):
        _check_fits("3 * blur", 3 * self.blur, x)  # what mirrored borders are good for
        contrast = _uniform(self.contrast, x, seed)
        black = tf.random.stateless_uniform((_sizes(x)[0], 1, 1, 1), _fold_in(seed, 1))
        x = _blur(x, self.blur) * contrast + black * (1 - contrast)
        return GaussianNoise(self.stddev).damage(x, _fold_in(seed, 2))


@dataclass(frozen=True)
class Downsample(Corruption):
    """Makes images `factor` times smaller. Not random.

    Args:
        factor: int from 2 to 10,000, at most height and width. Surplus rows and
            columns at the bottom and right are cropped.
        method: `"box"`, the mean of `factor × factor` pixels, or `"bicubic"`,
            Keys's kernel stretched by `factor`, as in Pillow and Matlab.

    Raises:
        ValueError: for a value out of range; when called, for images too small.
    """

    factor: int = 2
    method: str = "box"

    def __post_init__(self):
        super().__post_init__()
        check_ints(2, LARGEST, factor=self.factor)
        message = f"`method` must be one of {DOWNSAMPLING}. Received: {self.method!r}"
        require(self.method in DOWNSAMPLING, message)

    def damage(self, x, seed):
        _check_fits("factor", self.factor, x)
        height, width = (side // self.factor for side in _sizes(x)[1:3])
        x = x[:, : height * self.factor, : width * self.factor]
        method = "area" if self.method == "box" else "bicubic"
        antialias = self.method == "bicubic"
        small = tf.image.resize(x, (height, width), method, antialias=antialias)
        return tf.clip_by_value(small, 0, 1)  # bicubic overshoots


@dataclass(frozen=True)
class Warp(Corruption):
    """Applies a random affine transformation to each image, then adds noise.

    Pixels from outside the image are black.

    Args:
        rotation: float from 0 to 180, the largest angle in degrees, in either
            direction.
        scale: `(low, high)`, from 0.1 to 10, the scale factor, drawn
            log-uniformly.
        shear: float from 0 to 10, the largest shear, in pixels sideways for each
            pixel down.
        shift: float from 0 to 1000, the largest translation, vertical and
            horizontal, in pixels of the original.
        stddev: float from 0 to 10, standard deviation of the noise, which is
            clipped, or `(low, high)`, from which each image's is drawn uniformly.

    Raises:
        ValueError: for a value out of range.
    """

    rotation: float = 20.0
    scale: tuple = (0.8, 1.25)
    shear: float = 0.35
    shift: float = 3.0
    stddev: float | tuple = 0.2

    def __post_init__(self):
        super().__post_init__()
        _check_number("rotation", self.rotation, 0, 180)
        message = f"`scale` must be a range (low, high). Received: {self.scale!r}"
        require(isinstance(self.scale, tuple), message)
        _check_range("scale", self.scale, 0.1, 10)
        _check_number("shear", self.shear, 0, 10)
        _check_number("shift", self.shift, 0, 1000)
        _check_range("stddev", self.stddev, 0, 10)

    def damage(self, x, seed):
        options = {"interpolation": "BILINEAR", "fill_mode": "CONSTANT"}
        options |= {"fill_value": 0.0, "output_shape": tf.shape(x)[1:3]}
        options |= {"images": x, "transforms": self._transforms(x, seed)}
        warped = tf.raw_ops.ImageProjectiveTransformV3(**options)
        warped = tf.ensure_shape(warped, x.shape)
        return GaussianNoise(self.stddev).damage(warped, _fold_in(seed, 2))

    def _transforms(self, x, seed):
        """Returns `(n, 8)`: for each image, the map from output to input pixels."""
        n, height, width, _ = _sizes(x)
        draws = tf.random.stateless_uniform((5, n), _fold_in(seed, 1), -1, 1)
        low, high = np.log(self.scale)
        size = tf.exp((low + high) / 2 + draws[0] * (high - low) / 2)
        angle, shear = np.radians(self.rotation) * draws[1], self.shear * draws[2]
        cos, sin = tf.cos(angle) / size, tf.sin(angle) / size
        across, down = [cos, cos * shear - sin], [sin, sin * shear + cos]
        # About the image's center, which is then shifted.
        x_0, y_0 = ((tf.cast(side, "float32") - 1) / 2 for side in (width, height))
        for row, center, shift in ((across, x_0, draws[3]), (down, y_0, draws[4])):
            row.append(center - row[0] * x_0 - row[1] * y_0 + self.shift * shift)
        zeros = tf.zeros((n,))
        return tf.stack([*across, *down, zeros, zeros], axis=-1)


def _blur(x, stddev):
    """Gaussian blur, rows then columns; borders are mirrored."""
    if not stddev:
        return x
    radius = int(np.ceil(3 * stddev))
    kernel = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * stddev**2))
    kernel = (kernel / kernel.sum()).astype("float32").reshape(-1, 1, 1, 1)
    kernel = tf.tile(kernel, (1, 1, x.shape[-1], 1))
    x = tf.pad(x, [[0, 0], [radius] * 2, [radius] * 2, [0, 0]], "SYMMETRIC")
    x = tf.nn.depthwise_conv2d(x, kernel, (1, 1, 1, 1), "VALID")
    across = tf.transpose(kernel, (1, 0, 2, 3))
    return tf.nn.depthwise_conv2d(x, across, (1, 1, 1, 1), "VALID")
