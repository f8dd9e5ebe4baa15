"""What all corruptions share: the call, the seeds, the checks."""

from dataclasses import asdict, dataclass

import numpy as np
import tensorflow as tf

from convae_keras.pipelines import to_float
from convae_keras.validation import expect

DOWNSAMPLING = ("box", "bicubic")


class Corruption:
    """What all of them share: arrays in, arrays out; tensors in, tensors out.

    Call arguments:
        x: images, uint8 or float in [0, 1], `(n, height, width, channels)`; or a
            float32 tensor of them, inside a pipeline.
        seed: int; for a tensor, a tensor of two.

    Returns:
        float32, an array or a tensor as `x` was, in [0, 1] (but for noise that
        is not clipped).
    """

    def __call__(self, x, seed=0):
        if tf.is_tensor(x):
            return self.damage(x, seed)
        # A GPU would draw other numbers from the same seed.
        with tf.device("cpu"):
            pair = tf.constant([0, seed], "int64")
            return self.damage(tf.constant(to_float(x)), pair).numpy()

    def config(self):
        """dict of plain values, from which `from_config` makes the same again."""
        return {"name": type(self).__name__, **asdict(self)}


def sizes(x):
    """The sizes that are known as ints, the others as tensors."""
    return [tf.shape(x)[i] if size is None else size for i, size in enumerate(x.shape)]


def key(seed, number):
    """Another two ints for every draw that one corruption makes."""
    return tf.random.experimental.stateless_fold_in(seed, number)


def drawn(value, x, seed):
    """A number, or for a range one a picture, `(n, 1, 1, 1)`."""
    if not isinstance(value, tuple):
        return value
    shape = (sizes(x)[0], 1, 1, 1)
    return tf.random.stateless_uniform(shape, key(seed, 3), *value)


def check_range(name, value, lowest, highest):
    numbers = value if isinstance(value, tuple) else (value, value)
    real = len(numbers) == 2 and all(type(number) in (int, float) for number in numbers)
    good = real and lowest <= numbers[0] <= numbers[1] <= highest
    wanted = f"a number from {lowest} to {highest}, or (low, high) inside them"
    expect(good, name, wanted, repr(value))


def check_number(name, value, lowest, highest):
    good = type(value) in (int, float) and lowest <= value <= highest
    expect(good, name, f"a number from {lowest} to {highest}", repr(value))


def check_fits(name, side, x):
    known = [size for size in x.shape[1:3] if size is not None]
    fits = all(side <= size for size in known)
    expect(fits, name, f"at most a side of the images, {known}", side)


def from_config(config):
    """The corruption that a run's settings name.

    Args:
        config: dict, as `Corruption.config` gives it, or None.

    Returns:
        `Corruption`, or None.

    Raises:
        ValueError: if there is none of that name, or its values do not fit.
    """
    if config is None:
        return None
    kinds = {kind.__name__: kind for kind in Corruption.__subclasses__()}
    values = {key: _tuple(value) for key, value in config.items() if key != "name"}
    name = config.get("name")
    expect(name in kinds, "name", f"in {sorted(kinds)}", repr(name))
    try:
        return kinds[name](**values)
    except TypeError as error:
        raise ValueError(f"No {name} is made of {values}: {error}") from error


@dataclass(frozen=True)
class GaussianNoise(Corruption):
    """Adds noise of standard deviation `stddev`, and clips to [0, 1].

    Args:
        stddev: float, where white is 1; `25 / 255` is the photographer's 25. Or
            `(low, high)`: each image's is drawn from between the two.
        clip: bool. A file or a sensor clips; the noise of a black pixel is then
            never negative, so that its mean is not zero any more.
    """

    stddev: float | tuple = 0.5
    clip: bool = True

    def __post_init__(self):
        check_range("stddev", self.stddev, 0, 10)

    def damage(self, x, seed):
        noise = tf.random.stateless_normal(tf.shape(x), key(seed, 0))
        noisy = x + drawn(self.stddev, x, seed) * noise
        return tf.clip_by_value(noisy, 0, 1) if self.clip else noisy


@dataclass(frozen=True)
class SaltAndPepper(Corruption):
    """Makes a share of the pixels black or white, as often the one as the other.

    Args:
        amount: float in [0, 1], or a range to draw each image's from.
    """

    amount: float | tuple = 0.2

    def __post_init__(self):
        check_range("amount", self.amount, 0, 1)

    def damage(self, x, seed):
        amount = drawn(self.amount, x, seed)
        draws = tf.random.stateless_uniform((*sizes(x)[:3], 1), key(seed, 0))
        x = tf.where(draws < amount / 2, 0.0, x)
        return tf.where(draws > 1 - amount / 2, 1.0, x)


@dataclass(frozen=True)
class Hole(Corruption):
    """Paints a grey square somewhere over each image, for inpainting.

    Args:
        side: int, of the square, in pixels; at most the image's.
        value: float in [0, 1], what it is painted with.
    """

    side: int = 10
    value: float = 0.5

    def __post_init__(self):
        whole = type(self.side) is int and self.side > 0
        expect(whole, "side", "a positive int", self.side)
        check_number("value", self.value, 0, 1)

    def damage(self, x, seed):
        n, height, width, _ = sizes(x)
        check_fits("side", self.side, x)
        draws = tf.random.stateless_uniform((2, n, 1, 1, 1), key(seed, 0))
        top, left = (
            tf.floor(draws[i] * tf.cast(length - self.side + 1, "float32"))
            for i, length in enumerate((height, width))
        )
        row = tf.reshape(tf.range(height, dtype="float32"), (1, -1, 1, 1))
        column = tf.reshape(tf.range(width, dtype="float32"), (1, 1, -1, 1))
        inside = (row >= top) & (row < top + self.side)
        inside &= (column >= left) & (column < left + self.side)
        return tf.where(inside, self.value, x)


@dataclass(frozen=True)
class Fog(Corruption):
    """A bad camera: blur, then low contrast, then some noise.

    Args:
        blur: float, standard deviation of the Gaussian blur, in pixels.
        contrast: float in [0.01, 1], or a range: what is left of black to white.
            Where in [0, 1] that lies is drawn for each image.
        stddev: float, of the noise that is added at the end, clipped.
    """

    blur: float = 1.0
    contrast: float | tuple = (0.2, 0.6)
    stddev: float = 0.03

    def __post_init__(self):
        check_number("blur", self.blur, 0, 100)
        check_range("contrast", self.contrast, 0.01, 1)
        check_number("stddev", self.stddev, 0, 10)

    def damage(self, x, seed):
        contrast = drawn(self.contrast, x, seed)
        black = tf.random.stateless_uniform((sizes(x)[0], 1, 1, 1), key(seed, 1))
        x = _blurred(x, self.blur) * contrast + black * (1 - contrast)
        return GaussianNoise(self.stddev).damage(x, key(seed, 2))


@dataclass(frozen=True)
class Downsample(Corruption):
    """Makes images `factor` times smaller; nothing is drawn.

    Args:
        factor: int, 2 or more. Rows and columns that are left over at the
            bottom and right are cut off.
        method: `"box"`, the mean of `factor × factor` pixels, or `"bicubic"`,
            Keys's kernel stretched by `factor`, as Pillow and Matlab have it.
    """

    factor: int = 2
    method: str = "box"

    def __post_init__(self):
        whole = type(self.factor) is int and self.factor > 1
        expect(whole, "factor", "an int of 2 or more", self.factor)
        good = self.method in DOWNSAMPLING
        expect(good, "method", f"in {DOWNSAMPLING}", repr(self.method))

    def damage(self, x, seed):
        check_fits("factor", self.factor, x)
        height, width = (side // self.factor for side in sizes(x)[1:3])
        x = x[:, : height * self.factor, : width * self.factor]
        method = "area" if self.method == "box" else "bicubic"
        antialias = self.method == "bicubic"
        small = tf.image.resize(x, (height, width), method, antialias=antialias)
        return tf.clip_by_value(small, 0, 1)  # bicubic overshoots


@dataclass(frozen=True)
class Warp(Corruption):
    """Turns, scales, shears and shifts each image by chance, then adds noise.

    What comes in from outside is black.

    Args:
        rotation: float, degrees, at most so many either way.
        scale: `(low, high)`, how many times as large.
        shear: float, at most so many pixels sideways for each down, either way.
        shift: float, pixels, at most so many either way, down and across.
        stddev: float, of the noise that is added at the end, clipped; or a range.
    """

    rotation: float = 20.0
    scale: tuple = (0.8, 1.25)
    shear: float = 0.35
    shift: float = 3.0
    stddev: float | tuple = 0.2

    def __post_init__(self):
        check_number("rotation", self.rotation, 0, 180)
        pair = isinstance(self.scale, tuple)
        expect(pair, "scale", "(low, high)", repr(self.scale))
        check_range("scale", self.scale, 0.1, 10)
        check_number("shear", self.shear, 0, 10)
        check_number("shift", self.shift, 0, 1000)
        check_range("stddev", self.stddev, 0, 10)

    def damage(self, x, seed):
        warped = tf.raw_ops.ImageProjectiveTransformV3(
            images=x,
            transforms=self._transforms(x, seed),
            output_shape=tf.shape(x)[1:3],
            fill_value=0.0,
            interpolation="BILINEAR",
            fill_mode="CONSTANT",
        )
        warped = tf.ensure_shape(warped, x.shape)
        return GaussianNoise(self.stddev).damage(warped, key(seed, 2))

    def _transforms(self, x, seed):
        """Where each pixel of the result comes from: eight numbers an image."""
        n, height, width, _ = sizes(x)
        draws = tf.random.stateless_uniform((5, n), key(seed, 1), -1, 1)
        low, high = np.log(self.scale)
        size = tf.exp((low + high) / 2 + draws[0] * (high - low) / 2)
        angle, shear = np.radians(self.rotation) * draws[1], self.shear * draws[2]
        cos, sin = tf.cos(angle) / size, tf.sin(angle) / size
        across, down = [cos, cos * shear - sin], [sin, sin * shear + cos]
        # About the image's centre, which is then shifted.
        x_0, y_0 = ((tf.cast(side, "float32") - 1) / 2 for side in (width, height))
        for row, centre, shift in ((across, x_0, draws[3]), (down, y_0, draws[4])):
            row.append(centre - row[0] * x_0 - row[1] * y_0 + self.shift * shift)
        zeros = tf.zeros((n,))
        return tf.stack([*across, *down, zeros, zeros], axis=-1)


def _blurred(x, stddev):
    if not stddev:
        return x
    radius = int(np.ceil(3 * stddev))
    kernel = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * stddev**2))
    kernel = (kernel / kernel.sum()).astype("float32").reshape(-1, 1, 1, 1)
    kernel = tf.tile(kernel, (1, 1, x.shape[-1], 1))
    margin = [[0, 0], [radius, radius], [radius, radius], [0, 0]]
    x = tf.pad(x, margin, "SYMMETRIC")
    x = tf.nn.depthwise_conv2d(x, kernel, (1, 1, 1, 1), "VALID")
    across = tf.transpose(kernel, (1, 0, 2, 3))
    return tf.nn.depthwise_conv2d(x, across, (1, 1, 1, 1), "VALID")


def _tuple(value):
    return tuple(value) if isinstance(value, list) else value
