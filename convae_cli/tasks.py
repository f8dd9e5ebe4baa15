"""What a task of the command line means: its damage, its network, its settings."""

import numpy as np

from convae_keras.compression.bitstream import fit_tables
from convae_keras.compression.models import conv_codec
from convae_keras.corruption import Downsample, GaussianNoise, Warp
from convae_keras.evaluation import shown
from convae_keras.models import conv_autoencoder
from convae_keras.pipelines import to_float
from convae_keras.restorers import restorer
from convae_keras.runs import save_model
from convae_keras.validation import expect

# Without --epochs a network sees as many images, however few there are.
IMAGES_SHOWN = 150_000


# Of white: what a photograph has at most.
NOISE = (0.0, 0.2)


# What a code that is to serve others must not depend on; SHIFT of a side.
WARP = {"rotation": 30.0, "scale": (0.7, 1.4), "shear": 0.5, "stddev": (0.0, 0.5)}


SHIFT = 1 / 7


# Tasks of a network with a code.
CODED = ("reconstruct", "features", "compress")


# What a restorer is trained with, where nothing else is said; as many images in
# a batch as hold that many pixels, where they are patches.
PIXELS, LEARNING_RATE = 80_000, 0.002


# A codec for images of any size: its code has a position for 8 x 8 pixels.
PHOTOGRAPHS = {"filters": (32, 64, 64), "code_filters": (64, 64), "latent_dim": 24}


PHOTOGRAPHS |= {"price": 8.0}


def check_task(arguments):
    """Refuses options that do not go with the task.

    Args:
        arguments: what `parser` made of `convae train`.

    Raises:
        ValueError: naming the option.
    """
    task = arguments.task
    owners = {"noise": "denoise", "scale": "super-resolution"}
    owners |= {"downsampling": "super-resolution", "price": "compress"}
    for option, owner in owners.items():
        given = getattr(arguments, option)
        good = given is None or task == owner
        expect(good, f"--{option}", f"left out, or --task {owner}", given)
    noise = arguments.noise or [0]
    expect(len(noise) < 3, "--noise", "one number, or a lowest and a highest", noise)
    _damage(arguments)  # numbers that cannot be
    fits = task != "compress" or arguments.preset is None
    expect(fits, "--preset", "left out, to compress", arguments.preset)
    fits = task not in CODED or arguments.preset != "restorer"
    expect(fits, "--preset", f"an autoencoder, for {task}", arguments.preset)
    only = task != "super-resolution" or arguments.preset in (None, "restorer")
    expect(only, "--preset", "restorer, for super-resolution", arguments.preset)


def corruption(arguments, images):
    """What the model is to undo.

    Args:
        arguments: as in `check_task`.
        images: `Images`.

    Returns:
        `Corruption`; None to reconstruct, or where the images bring their own
        inputs.

    Raises:
        ValueError: if the task, its options and such inputs do not go together.
    """
    task = arguments.task
    if images.inputs_train is not None:
        wanted = "a task, with images in input/ and target/"
        expect(task not in CODED, "--task", wanted, task)
        for name in ("noise", "scale", "downsampling"):
            given = getattr(arguments, name)
            wanted = "left out: these images come with their inputs"
            expect(given is None, f"--{name}", wanted, given)
        sizes = images.image_shape[:2], images.inputs_train.shape[1:3]
        fits = (sizes[0] != sizes[1]) == (task == "super-resolution")
        wanted = "super-resolution where targets are larger, else denoise"
        expect(fits, "--task", wanted, f"{task}, for {sizes[1]} to {sizes[0]}")
        return None
    if task == "features":
        return Warp(**WARP, shift=min(images.image_shape[:2]) * SHIFT)
    corrupt = _damage(arguments)
    scale, sides = getattr(corrupt, "factor", 1), images.image_shape[:2]
    fits = all(side % scale == 0 and side >= 4 * scale for side in sides)
    wanted = f"a divisor of the images' sides, {sides}, with 4 pixels left at least"
    expect(scale == 1 or fits, "--scale", wanted, scale)
    return corrupt


def _damage(arguments):
    if arguments.task == "denoise":
        noise = arguments.noise or NOISE
        return GaussianNoise(noise[0] if len(noise) == 1 else tuple(noise))
    if arguments.task == "super-resolution":
        return Downsample(scale_of(arguments), arguments.downsampling or "box")
    return None


def scale_of(arguments):
    """How many times larger a task's images come out; None where none is restored."""
    if arguments.task == "super-resolution":
        return 2 if arguments.scale is None else arguments.scale
    return None if arguments.task in ("reconstruct", "features") else 1


def network(arguments, images, corrupt):
    """The untrained model of a task.

    Args:
        arguments, images: as in `corruption`.
        corrupt: what that gave.

    Returns:
        `(preset, model)`: its name and an uncompiled `keras.Model`.

    Raises:
        ValueError: for a preset or a size that does not exist or fit.
    """
    if arguments.task == "compress":
        return "codec", _codec(arguments, images)
    preset = arguments.preset
    if preset is None:
        preset = "reference" if arguments.task in CODED else "restorer"
    if preset != "restorer":
        switches = {"image_shape": images.image_shape, "seed": arguments.seed}
        if arguments.latent_dim is not None:
            switches["latent_dim"] = arguments.latent_dim
        return preset, conv_autoencoder(preset, **switches)
    latent_dim = arguments.latent_dim
    expect(latent_dim is None, "--latent-dim", "left out for a restorer", latent_dim)
    inputs = shown(to_float(images.x_val[:1]), corrupt or images.inputs_val)
    scale = images.image_shape[0] // inputs.shape[1]
    shape = (None, None, inputs.shape[3])
    return preset, restorer(shape, scale=scale, residual=True, seed=arguments.seed)


def _codec(arguments, images):
    switches = {"image_shape": images.image_shape, "seed": arguments.seed}
    if images.name == "photographs" or arguments.patch_size is not None:
        switches |= PHOTOGRAPHS
        switches["image_shape"] = None, None, images.image_shape[2]
    for name in ("latent_dim", "price"):
        given = getattr(arguments, name)
        switches |= {} if given is None else {name: given}
    return conv_codec(**switches)


def finish(arguments, run, model, images):
    """What is left to do when a model is trained.

    Args:
        arguments, images: as in `corruption`.
        run: `Path`, the run folder.
        model: trained `keras.Model`.
    """
    if arguments.task == "compress":
        fit_tables(model, images.x_train)
        save_model(run, model)


def train_options(arguments, images, preset):
    """How a task is trained, with its own defaults where it has any.

    Args:
        arguments, images: as in `corruption`.
        preset: str, the network's.

    Returns:
        dict of keywords of `train`.
    """
    names = ("batch_size", "learning_rate", "loss", "epochs", "turn")
    given = {name: getattr(arguments, name) for name in names}
    own = {
        "epochs": max(1, round(IMAGES_SHOWN / len(images.x_train))),
        # A photograph's patch is a photograph whichever way it lies.
        "turn": images.name == "photographs" or arguments.patch_size is not None,
    }
    if preset == "codec":
        own |= {"learning_rate": 0.003, "loss": "psnr"}
    if preset == "restorer":
        own |= {"learning_rate": LEARNING_RATE, "loss": "mae"}
    if preset == "restorer" or (preset == "codec" and own["turn"]):
        own["batch_size"] = max(8, PIXELS // int(np.prod(images.image_shape[:2])))
    options = {n: own.get(n) if given[n] is None else given[n] for n in names}
    return options | {"seed": arguments.seed, "tensorboard": arguments.tensorboard}
