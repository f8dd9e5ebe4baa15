"""The networks that `convae train` builds, from its arguments.

A builder also takes the `Images`, and the `Corruption` to undo or None.
Help reads the tasks, and must not wait for Keras: it is imported inside.
"""

from convae_cli import defaults
from convae_cli.checks import require


def network(arguments, images, corrupt):
    """Builds a restorer of images of any size, or an autoencoder with a code."""
    from convae_keras import block_autoencoder, conv_autoencoder

    if arguments.preset == "restorer":
        return _restorer(arguments, images, corrupt)
    latent_dim = arguments.latent_dim
    switches = {"image_shape": images.image_shape, "seed": arguments.seed}
    if arguments.preset == "photographs":
        return block_autoencoder(latent_dim=latent_dim, **switches)
    if latent_dim is None and arguments.preset == "reference":
        latent_dim = defaults.latent_dim(images.image_shape)
    switches |= {} if latent_dim is None else {"latent_dim": latent_dim}
    return conv_autoencoder(arguments.preset, **switches)


def _restorer(arguments, images, corrupt):
    from convae_keras.evaluation import model_inputs
    from convae_keras.pipelines import to_float
    from convae_keras.restorers import restorer

    message = "`--latent-dim` cannot be used with a restorer."
    require(arguments.latent_dim is None, message)
    inputs = model_inputs(to_float(images.x_val[:1]), corrupt or images.inputs_val)
    scale = images.image_shape[0] // inputs.shape[1]
    shape = (None, None, inputs.shape[3])
    return restorer(shape, scale=scale, residual=True, seed=arguments.seed)


def network_of_several(least, arguments, images, corrupt):
    """Builds a network, unless there are fewer training images than the task needs."""
    count = len(images.x_train)
    expected = f"`--data` must have at least {least} training images with --task"
    require(count >= least, f"{expected} {arguments.task}. Received: {count}")
    return network(arguments, images, corrupt)


def network_defaults(arguments):
    """Returns keywords of `train` for it."""
    own = {"restorer": {"learning_rate": 0.002, "loss": "mae"}}
    own["photographs"] = {"learning_rate": 0.002, "batch_size": 8}
    return own.get(arguments.preset, {})
