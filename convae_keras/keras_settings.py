"""Keras's global settings: this package's while it works, the user's afterwards."""

import contextlib
import random

import keras

from convae_keras.validation import check_seed

# The dtype policy of what is built: `set_up_device(half=True)` changes it.
_policy = "float32"


def set_policy(policy):
    """Sets the dtype policy of models that are built from now on.

    Args:
        policy: str, `"float32"` or `"mixed_float16"`.
    """
    global _policy
    _policy = policy


@contextlib.contextmanager
def standard_settings(policy=None, seed=None):
    """Makes results independent of Keras's global settings, for a `with` block.

    Without it, another project's `keras.json` or dtype policy would change what
    is built and computed. Afterwards all is as it was. Also a decorator.

    Args:
        policy: str, the dtype policy; None for that of `set_policy`.
        seed: int, which initial weights are drawn from; None for Python's
            `random`, where Keras draws them from.

    Raises:
        ValueError: for another `seed`.
    """
    if seed is not None:
        check_seed(seed)
    global _policy
    ours, state = _policy, random.getstate()
    before = keras.config.floatx(), keras.config.image_data_format()
    before += keras.config.epsilon(), keras.config.dtype_policy()
    _policy = policy or ours
    _set("float32", "channels_last", 1e-7, _policy)
    if seed is not None:
        random.seed(int(seed))
    try:
        yield
    finally:
        _policy = ours
        _set(*before)
        if seed is not None:
            random.setstate(state)


def _set(floatx, data_format, epsilon, policy):
    keras.config.set_floatx(floatx)
    keras.config.set_image_data_format(data_format)
    keras.config.set_epsilon(epsilon)
    keras.config.set_dtype_policy(policy)
