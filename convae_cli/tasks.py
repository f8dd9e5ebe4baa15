"""The tasks of `convae train --task …`: each is one `Task`.

To add a task, add an instance to `TASKS`. Help reads them too and must not wait
for Keras, so the functions below import what they call when they are called.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from convae_cli import defaults, finish, networks
from convae_cli.checks import require
from convae_cli.data import is_folder

AUTOENCODERS = ("reference", "keras", "pytorch", "photographs")
# Pixels in a batch of patches.
BATCH_PIXELS = 80_000
# Standard deviation of the noise in photographs, where white is 1.
NOISE = (0.0, 0.2)
# The random affine transform that features should not depend on, and its
# largest shift as a fraction of height or width.
AFFINE = {"rotation": 30.0, "scale": (0.7, 1.4), "shear": 0.5, "stddev": (0.0, 0.5)}
SHIFT = 1 / 7
# A codec for images of any size: a position of its code for 8 x 8 pixels.
PHOTOGRAPHS = {"filters": (32, 64, 64), "code_filters": (64, 64), "latent_dim": 24}
PHOTOGRAPHS |= {"rate_weight": 8.0}
NOISE_HELP = "standard deviation, where white is 1; two for a range (default: 0 0.2)"
SCALE = {"type": int, "help": "how many times larger the output is (default: 2)"}
DOWNSAMPLING = {"choices": ("box", "bicubic")}
DOWNSAMPLING["help"] = "how the small images are made (default: box)"
RATE_HELP = """weight of the rate in the loss, -PSNR + LAMBDA * bits per pixel; larger
values give smaller files (default: 50; photographs: 8)"""
RATE_WEIGHT = {"type": float, "metavar": "LAMBDA", "help": RATE_HELP}


def _noise(arguments, image_shape):
    from convae_keras.corruption import GaussianNoise

    noise = arguments.noise or NOISE
    require(len(noise) < 3, f"`--noise` must be one or two numbers. Received: {noise}")
    return GaussianNoise(noise[0] if len(noise) == 1 else tuple(noise))


def _downsampling(arguments, image_shape):
    from convae_keras.corruption import Downsample

    corrupt = Downsample(_scale(arguments), arguments.downsampling or "box")
    shape, factor = (image_shape or ())[:2], corrupt.factor
    fits = all(side % factor == 0 and side >= 4 * factor for side in shape)
    message = f"`--scale` must divide height and width, {shape}, and leave 4 pixels. "
    require(fits, f"{message}Received: {factor}")
    return corrupt


def _affine(arguments, image_shape):
    from convae_keras.corruption import Warp

    return Warp(**AFFINE, shift=min((image_shape or (1, 1))[:2]) * SHIFT)


def _scale(arguments):
    return 2 if arguments.scale is None else arguments.scale


def _codec(arguments, images, corrupt):
    from convae_keras import conv_codec

    switches = {"image_shape": images.image_shape, "seed": arguments.seed}
    if are_patches(arguments):
        switches |= PHOTOGRAPHS
        switches["image_shape"] = None, None, images.image_shape[2]
    for name in ("latent_dim", "rate_weight"):
        value = getattr(arguments, name)
        switches |= {} if value is None else {name: value}
    return conv_codec(**switches)


def _codec_scores(model, images, corrupt):
    from convae_keras.compression.evaluation import codec_scores

    return codec_scores(model, images)


def _scores(model, images, corrupt):
    from convae_keras.evaluation import held_out_scores

    return held_out_scores(model, images, corrupt)


@dataclass(frozen=True)
class Task:
    """What `convae train` and `convae evaluate` do for one `--task`.

    Args:
        name: str.
        help: str, what is trained.
        presets: names of the networks it can train, the default first.
        preset: function from `Images` to the network that suits them; None for
            the first.
        flags: dict from the flags that only this task takes to keywords of
            `add_argument`.
        restores: bool, whether it learns from photographs at their own size:
            folders are then cut into patches, and may hold pairs of images.
        scale: function from the arguments to how many times larger the output
            is than the input.
        corruption: function from the arguments and an image's shape (None to
            check the arguments alone) to a `Corruption`, or None.
        undoes: str, the class of that corruption, by which `convae evaluate`
            finds the task of a run; None without any.
        build: function from the arguments, `Images` and the corruption to an
            untrained model.
        defaults: function from the arguments to keywords of `train`.
        finish: function of the run folder, the trained model and `Images`.
        scores: function of the model, `Images` and the corruption to a dict of
            scores, as `held_out_scores` returns it.
    """

    name: str
    help: str
    presets: tuple = AUTOENCODERS
    preset: Callable | None = None
    flags: Mapping = field(default_factory=dict)
    restores: bool = False
    scale: Callable = lambda arguments: 1
    corruption: Callable = lambda arguments, image_shape: None
    undoes: str | None = None
    build: Callable = networks.network
    defaults: Callable = networks.network_defaults
    finish: Callable = lambda run, model, images: None
    scores: Callable = _scores


_TASKS = (
    Task("reconstruct", "reconstruct the input through a code", preset=defaults.preset),
    Task(
        "denoise",
        "remove Gaussian noise, or restore the images of pairs",
        presets=("restorer", *AUTOENCODERS),
        flags={"--noise": {"type": float, "nargs": "+", "help": NOISE_HELP}},
        restores=True,
        corruption=_noise,
        undoes="GaussianNoise",
    ),
    Task(
        "super-resolution",
        "enlarge images",
        presets=("restorer",),
        flags={"--scale": SCALE, "--downsampling": DOWNSAMPLING},
        restores=True,
        scale=_scale,
        corruption=_downsampling,
        undoes="Downsample",
    ),
    Task(
        "features",
        "undo random affine transforms, for a code that serves other methods",
        corruption=_affine,
        undoes="Warp",
    ),
    Task(
        "anomaly",
        "reconstruct normal images; the model finds those that are unlike them",
        preset=defaults.preset,
        build=partial(networks.network_of_several, 6),
        finish=finish.fit_detector,
    ),
    Task(
        "generate",
        "reconstruct, then learn to draw codes; the model draws new images",
        presets=("reference",),
        build=partial(networks.network_of_several, 2),
        finish=finish.fit_generator,
    ),
    Task(
        "compress",
        "compress images; the model packs and unpacks .cae files",
        presets=("codec",),
        flags={"--rate-weight": RATE_WEIGHT},
        restores=True,
        build=_codec,
        defaults=lambda arguments: {"learning_rate": 0.003, "loss": "psnr"},
        finish=finish.fit_tables,
        scores=_codec_scores,
    ),
)
TASKS = {task.name: task for task in _TASKS}


def check_arguments(task, arguments):
    """Checks that the arguments of `convae train` go together.

    Args:
        task: `Task`.
        arguments: `argparse.Namespace` of `convae train`.

    Raises:
        ValueError: naming the flag.
    """
    for other in TASKS.values():
        for flag, value in _given(other, arguments).items():
            message = f"`{flag}` requires --task {other.name}. Received: {value}"
            require(flag in task.flags, message)
    preset = arguments.preset or task.presets[0]
    names, with_task = ", ".join(task.presets), f"with --task {task.name}"
    message = f"`--preset` must be one of {names} {with_task}. Received: {preset}"
    if len(task.presets) == 1:
        message = f"`--preset` cannot be used {with_task}. Received: {preset}"
    require(preset in task.presets, message)


def choose_preset(task, arguments, images):
    """Sets `arguments.preset` where no flag did: to what suits the images.

    Args:
        task, arguments: as in `check_arguments`.
        images: `Images`.
    """
    chosen = task.preset(images) if task.preset else task.presets[0]
    arguments.preset = arguments.preset or chosen


def _given(task, arguments):
    """The task's own flags that were given, with their values."""
    names = {flag: flag.strip("-").replace("-", "_") for flag in task.flags}
    values = {flag: getattr(arguments, name) for flag, name in names.items()}
    return {flag: value for flag, value in values.items() if value is not None}


def are_patches(arguments):
    """Whether the images are patches of photographs."""
    cut = TASKS[arguments.task].restores and arguments.image_size is None
    # A folder that is called photographs has another name here, that of its path.
    given = arguments.patch_size is not None or arguments.data == "photographs"
    return given or (cut and is_folder(arguments))


def corruption_of(task, arguments, images):
    """The corruption that the model learns to undo.

    Args:
        task, arguments: as in `check_arguments`.
        images: `Images`.

    Returns:
        `Corruption`; None to reconstruct, or if the images bring their inputs.

    Raises:
        ValueError: if the task, its flags and such inputs do not go together.
    """
    if images.inputs_train is None:
        return task.corruption(arguments, images.image_shape)
    given = _given(task, arguments)
    flags = ", ".join(f"`{flag}`" for flag in given)
    message = f"{flags} cannot be used with images in input/ and target/"
    require(not given, f"{message}. Received: {[*given.values()]}")
    scale = images.image_shape[0] // images.inputs_train.shape[1]
    expected = "super-resolution" if scale > 1 else "denoise"
    message = f"`--task` must be {expected} for pairs of scale {scale}. "
    require(task.name == expected, f"{message}Received: {task.name}")
    return None


def train_options(task, arguments, images):
    """Keywords of `train`: the given ones over the task's own defaults.

    Args:
        task, arguments, images: as in `corruption_of`.

    Returns:
        dict.
    """
    patches = are_patches(arguments)
    height, width = images.image_shape[:2]
    options = {
        "epochs": defaults.epochs(images, task.restores),
        # A patch of a photograph is one whichever way it is flipped or rotated, and
        # so are the blocks of which a code of blocks is made.
        "augment": patches or (arguments.preset == "photographs" and height == width),
        **task.defaults(arguments),
    }
    if arguments.preset == "restorer" or (arguments.preset == "codec" and patches):
        options["batch_size"] = max(8, BATCH_PIXELS // (height * width))
    for name in ("batch_size", "learning_rate", "loss", "epochs", "augment"):
        value = getattr(arguments, name)
        options[name] = options.get(name) if value is None else value
    if is_folder(arguments):
        options["patience"] = defaults.patience(options["epochs"])
    return options | {"seed": arguments.seed, "tensorboard": arguments.tensorboard}


def task_of(settings, model):
    """The task of a run folder, by what its model undoes.

    Args:
        settings: dict, its `settings.json`.
        model: `keras.Model`.

    Returns:
        `Task`.
    """
    if hasattr(model, "tables"):
        return TASKS["compress"]
    undone = (settings.get("corruption") or {}).get("name")
    if settings.get("paired"):
        return TASKS["denoise"]
    tasks = (task for task in TASKS.values() if task.undoes == undone)
    return next(tasks, TASKS["denoise"])
