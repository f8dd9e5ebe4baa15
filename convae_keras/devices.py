"""The hardware: GPUs, and half precision."""

import contextlib
import logging
import os
import shutil
import sys

import keras

from convae_keras import keras_settings

# Below it, float16 is computed no faster than float32.
HALF_CAPABILITY = 7

INSTALL = {
    "tensorflow": 'pip install "convae-keras[gpu]"',
    "jax": 'pip install "jax[cuda13]"',
    "torch": "the command for CUDA at https://pytorch.org/get-started",
}


def set_up_device(half=False):
    """Prepares the GPUs, sets the precision, and prints both in one line.

    GPU memory is allocated as it is needed, not all at once, and the messages of
    TensorFlow are silenced. Call it before a model is built.

    Args:
        half: bool, let new models compute in half precision (`mixed_float16`),
            which is faster on GPUs. Weights and outputs stay float32; codes
            may be float16. False for float32. Also set by the environment
            variable `CONVAE_HALF=1`.
    """
    half = half or os.environ.get("CONVAE_HALF") == "1"
    policy = "mixed_float16" if half else "float32"
    keras_settings.set_policy(policy)
    keras.config.set_dtype_policy(policy)  # for layers of the caller's own
    backend = keras.backend.backend()
    find = {"tensorflow": _tensorflow_gpus, "jax": _jax_gpus, "torch": _torch_gpus}
    capabilities = find[backend]()
    count = len(capabilities)
    device = f"{count} GPU{'s' * (count > 1)}" if capabilities else "the CPU"
    print(f"Keras {keras.__version__} with {backend} on {device}, {policy}")
    if not capabilities and _has_gpu():
        hint = f"update its driver, and install CUDA with {INSTALL[backend]}"
        print(f"A GPU is present, but {backend} cannot use it: {hint}")
    if half and capabilities and min(capabilities) < HALF_CAPABILITY:
        found = f"a GPU of compute capability {min(capabilities):g}"
        print(f"Half precision is slow on {found}: it needs {HALF_CAPABILITY} or more.")


def _has_gpu():
    """Whether there is an NVIDIA GPU that was not hidden on purpose."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    driver = os.path.exists("/dev/nvidia0") or shutil.which("nvidia-smi")
    return bool(driver) and not hidden


def _tensorflow_gpus():
    """Returns the compute capability of each GPU; lets their memory grow."""
    import tensorflow as tf

    # Among others, a warning for every few models that are built.
    for logger in (tf.get_logger(), logging.getLogger("absl")):
        logger.setLevel("ERROR")
    with _silenced_stderr():
        gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        with contextlib.suppress(RuntimeError):  # a model was built before
            tf.config.experimental.set_memory_growth(gpu, True)
    details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
    return [_version(detail.get("compute_capability", (0, 0))) for detail in details]


def _jax_gpus():
    """Returns the compute capability of each GPU."""
    import jax

    logging.getLogger("jax").setLevel("ERROR")
    gpus = [device for device in jax.devices() if device.platform == "gpu"]
    return [float(getattr(gpu, "compute_capability", 0)) for gpu in gpus]


def _torch_gpus():
    """Returns the compute capability of each GPU."""
    import torch

    count = torch.cuda.device_count()
    return [_version(torch.cuda.get_device_capability(i)) for i in range(count)]


def _version(pair):
    major, minor = pair
    return float(f"{major}.{minor}")


@contextlib.contextmanager
def _silenced_stderr():
    """Discards what C++ code writes to standard error.

    TensorFlow reports what it finds of CUDA there when it first looks for GPUs,
    and reads `TF_CPP_MIN_LOG_LEVEL` only when it is imported.
    """
    sys.stderr.flush()
    try:
        saved = os.dup(2)
    except OSError:  # there is no standard error
        yield
        return
    try:
        with open(os.devnull, "w") as null:
            os.dup2(null.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
