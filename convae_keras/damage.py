"""What all corruptions share: the call, the seeds, the checks."""

from dataclasses import asdict

import tensorflow as tf

from convae_keras.pipelines import expect, to_float


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


def check_room(name, side, x):
    known = [size for size in x.shape[1:3] if size is not None]
    fits = all(side <= size for size in known)
    expect(fits, name, f"at most a side of the images, {known}", side)
