"""The hardware that there is, and how to make use of it."""

import keras


def set_up_device():
    """Readies the GPUs there are, and prints what it chose in one line.

    Memory is taken as it is needed, not all at once, and where every GPU has
    units for half precision (compute capability 7 and up) new models compute
    in `mixed_float16`; their last layer stays float32. On a CPU nothing
    changes. Call it before a model is built.
    """
    backend = keras.backend.backend()
    find = {"tensorflow": _tensorflow_gpus, "jax": _jax_gpus, "torch": _torch_gpus}
    capabilities = find[backend]()
    if capabilities and min(capabilities) >= 7:
        keras.mixed_precision.set_global_policy("mixed_float16")
    device = f"{len(capabilities)} GPU" if capabilities else "the CPU"
    policy = keras.mixed_precision.global_policy().name
    print(f"Keras {keras.__version__} with {backend} on {device}, {policy}")


def _tensorflow_gpus():
    import tensorflow as tf

    # A course builds many models, and would be warned of each.
    tf.get_logger().setLevel("ERROR")
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
    return [detail.get("compute_capability", (0,))[0] for detail in details]


def _jax_gpus():
    import jax

    gpus = [device for device in jax.devices() if device.platform == "gpu"]
    return [float(getattr(gpu, "compute_capability", 0)) for gpu in gpus]


def _torch_gpus():
    import torch

    count = torch.cuda.device_count()
    return [torch.cuda.get_device_capability(i)[0] for i in range(count)]
