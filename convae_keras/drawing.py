"""Drawings of networks, made from the models themselves."""

import itertools
import re

import keras
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from convae_keras.plotting import COLORS
from convae_keras.validation import require

GRAY = "#767676"  # reads on white and on black

# Part of a layer's class name, and the color of what it returns. The first that fits
# counts: "UpsampleConv2D" enlarges.
KINDS = {
    "Input": GRAY,
    "Pool": COLORS[1],
    "Up": COLORS[2],
    "DepthToSpace": COLORS[2],
    "Transpose": COLORS[2],
    "Conv": COLORS[0],
    "Dense": COLORS[3],
    "EntropyBottleneck": COLORS[5],
    "SampleCode": COLORS[5],
    "Add": COLORS[4],
    "Concatenate": COLORS[4],
}


def draw_network(model, input_shape=None):
    """Draws what each layer of a network returns, from left to right.

    A block is as high as the feature maps and the wider, the more channels there are.
    Arcs are skip connections. Layers that only rearrange or crop are not drawn.

    Args:
        model: functional `keras.Model` with one input.
        input_shape: tuple, such as `(96, 96, 3)`, for a model of any image size; None
            for the model's own.

    Returns:
        `matplotlib.figure.Figure`. `figure.savefig("network.svg")` stores it as SVG.

    Raises:
        ValueError: for several inputs; if the image size is open and `input_shape` is
            None; or for a model of any size whose encoder is a model of its own.

    Example:

    >>> figure = draw_network(conv_autoencoder("keras"))
    """
    count = len(model.inputs)
    require(count == 1, f"`model` must have one input. Received: {count}")
    if input_shape is not None:
        model = keras.models.clone_model(model, keras.Input(input_shape))
    message = "`input_shape` must be given for a model of any image size. Received: {}"
    require(None not in model.input_shape[1:], message.format(input_shape))
    blocks, skips = _blocks(model), _skips(model)
    fixed = all(None not in shape[1:] for _, _, shape in blocks)
    require(fixed, "`model` must be built for one size. Received: an encoder of any")
    figure = Figure(figsize=(0.85 * len(blocks) + 0.4, 3), layout="constrained")
    axis = figure.subplots()
    highest = max(_size(shape)[0] for _, _, shape in blocks)
    places = {}
    for x, (layer, _, shape) in enumerate(blocks):
        places[layer] = x, _draw_block(axis, x, layer, shape, highest)
    for source, target in skips:
        (start, low), (end, high) = places[source], places[target]
        arc = {"arrowstyle": "->", "color": COLORS[4], "linestyle": "--"}
        arc["connectionstyle"] = f"arc3,rad={-0.5 / (end - start) ** 0.5}"
        axis.annotate("", (end, high), (start, low), arrowprops=arc)
    _draw_parts(axis, [part for _, part, _ in blocks], bool(skips))
    axis.set(xlim=(-0.6, len(blocks) - 0.4), ylim=(-1.15, 1.05 + 0.3 * bool(skips)))
    axis.set_title(f"{model.count_params():,} weights", fontsize=9)
    axis.axis("off")
    return figure


def _layers(model, part=None):
    """Yields each layer, those of models within it too, and the model it is of."""
    # Functions such as `depth_to_space` are operations, but no layers.
    for layer in getattr(model, "operations", model.layers):
        if isinstance(layer, keras.Model):
            yield from _layers(layer, layer)
        elif not (part and isinstance(layer, keras.layers.InputLayer)):
            yield layer, part


def _kind(layer):
    return next((kind for kind in KINDS if kind in type(layer).__name__), None)


def _blocks(model):
    """Lists `(layer, part, shape)` of what is drawn."""
    blocks = []
    for layer, part in _layers(model):
        if _kind(layer):
            blocks.append((layer, part.name if part else "", layer.output.shape[1:]))
        elif isinstance(layer, keras.layers.Reshape):
            blocks[-1] = *blocks[-1][:2], layer.output.shape[1:]
    return blocks


def _skips(model):
    """Lists pairs of layers that are connected past those drawn between them."""
    skips, last, made_by, entry = [], None, {}, (None, None)
    for layer, part in _layers(model):
        if part is not entry[0]:  # what a model within the model is given
            entry = part, last
        if _kind(layer):
            inputs = keras.tree.flatten(layer.input)
            makers = [made_by.get(id(x), entry[1]) for x in inputs]
            skips += [(maker, layer) for maker in makers if maker not in (last, None)]
            last = layer
        made_by[id(layer.output)] = last
    return skips


def _size(shape):
    """Height of a tensor's block, and its channels."""
    return (shape[0], shape[-1]) if len(shape) > 1 else (shape[0] ** 0.5, 1)


def _draw_block(axis, x, layer, shape, highest):
    """Draws a block, and returns the height of its upper edge."""
    height, channels = _size(shape)
    half, width = max(height / highest, 0.06) / 2, 0.07 + 0.045 * channels**0.5
    corner = (x - width / 2, -half)
    color = KINDS[_kind(layer)]
    axis.add_patch(Rectangle(corner, width, 2 * half, color=color))
    text = "×".join(map(str, shape))
    axis.text(x, half + 0.05, text, ha="center", fontsize=7.5, color=GRAY)
    axis.text(x, -0.6, _words(layer), ha="center", va="top", fontsize=7, color=color)
    return half + 0.14


def _words(layer):
    """A layer's class, and on a second line its window and activation."""
    window = getattr(layer, "kernel_size", None) or getattr(layer, "pool_size", None)
    size = "×".join(map(str, window)) if isinstance(window, tuple) else ""
    activation = getattr(getattr(layer, "activation", None), "__name__", "linear")
    details = [size, "" if activation == "linear" else activation]
    name = type(layer).__name__.removesuffix("Layer")
    name = re.sub(r"(?<=[a-z]{4})(Conv|Pool|Bottleneck|Code|Upsampling)", r"\n\1", name)
    return "\n".join([name, *filter(None, details)])


def _draw_parts(axis, parts, skips):
    """Writes "encoder" and "decoder" over their blocks."""
    for part, group in itertools.groupby(enumerate(parts), lambda pair: pair[1]):
        places = [x for x, _ in group]
        first, last = places[0], places[-1]
        if part:
            y = 0.75 + 0.5 * skips
            axis.plot([first - 0.4, last + 0.4], [y, y], color=GRAY, linewidth=1)
            axis.text((first + last) / 2, y + 0.05, part, ha="center", color=GRAY)
