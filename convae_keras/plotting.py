"""Figures from arrays. They are returned, never saved or shown."""

import itertools

import numpy as np
from matplotlib import cycler
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from convae_keras.validation import require

# Okabe and Ito's colors, which readers of any color vision can tell apart, without
# their yellow, which is faint on white.
COLORS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000")

# Each line has its own color and marker, and the eighth another style than the first.
STYLES = cycler(color=COLORS, marker=[*"os^Dv<P"])
STYLES = cycler(linestyle=["-", "--", ":"]) * STYLES


# With more lines, each is named at its end.
LEGEND = 5


def image_rows(rows, count=10):
    """Draws several versions of the same images, one version a row.

    Args:
        rows: dict from a row's label to float `(n, height, width, channels)` in
            [0, 1], or uint8 in [0, 255]. Values out of range are clipped.
        count: int, the most images in a row; the first of each are drawn.

    Returns:
        `matplotlib.figure.Figure`, one inch an image.

    Raises:
        ValueError: if there is no row, or a row is no batch of images.
    """
    require(rows, "`rows` must have at least one row. Received: {}")
    batch = "(n, height, width, channels), n at least 1"
    for label, x in rows.items():
        message = f"Row {label!r} of `rows` must be {batch}. Received: {np.shape(x)}"
        require(np.ndim(x) == 4 and len(x), message)
    count = min(count, *(len(x) for x in rows.values()))
    figure = Figure(figsize=(count + 1.2, len(rows) + 0.1), layout="constrained")
    axes = figure.subplots(len(rows), count, squeeze=False)
    for line, (label, x) in zip(axes, rows.items(), strict=True):
        white = 255 if x.dtype == np.uint8 else 1
        for axis, image in zip(line, x[:count], strict=True):
            image = image[..., 0] if image.shape[-1] == 1 else image
            axis.imshow(np.clip(image / white, 0, 1), cmap="gray", vmin=0, vmax=1)
            axis.set(xticks=[], yticks=[])
        line[0].set_ylabel(label, rotation=0, ha="right", va="center")
    return figure


def draw_map(images, maps):
    """Draws anomaly maps over their images, all on one scale.

    Args:
        images: `(n, height, width, channels)`, uint8, or float in [0, 1].
        maps: float `(n, height, width)`, as `anomaly_detector` computes them.

    Returns:
        uint8 `(n, height, width, 3)`: images in gray, which turn red where the map
        is above 1, and are all red where it is 2 or more.
    """
    white = 255 if images.dtype == np.uint8 else 1
    gray = images.mean(axis=-1, keepdims=True) * (255 / white)
    strength = np.clip(np.asarray(maps) - 1, 0, 1)[..., None]
    red = np.array([255, 0, 0], "float32")
    return np.round(gray * (1 - strength) + red * strength).astype("uint8")


def curves(lines, xlabel, ylabel, x=None, levels=None, **axis_options):
    """Draws lines, such as a training history, and dashed horizontal levels.

    Args:
        lines: dict from a label to a sequence of numbers.
        xlabel, ylabel: str, with the unit.
        x: sequence of numbers, the positions of all lines, or a dict of them by
            label; None for 1, 2, 3, …
        levels: dict from a label to a number, or None.
        **axis_options: passed to `Axes.set`, such as `yscale="log"`.

    Returns:
        `matplotlib.figure.Figure`.
    """
    figure = Figure(figsize=(7, 4), layout="constrained")
    axis = figure.subplots()
    axis.set_prop_cycle(STYLES)
    for label, values in lines.items():
        positions = x[label] if isinstance(x, dict) else x
        if positions is None:
            positions = range(1, len(values) + 1)
        every = max(1, len(values) // 40)  # more markers would be one thick line
        axis.plot(positions, values, markersize=4, markevery=every, label=label)
    axis.set(xlabel=xlabel, ylabel=ylabel, **axis_options)
    axis.grid(alpha=0.3)
    _plain_ticks(axis, whole=x is None)
    named = len(lines) > LEGEND
    if named:
        _name_ends(axis)
    levels = levels or {}
    for i, (label, value) in enumerate(levels.items()):
        gray = f"{0.25 + 0.5 * i / len(levels)}"
        axis.axhline(value, color=gray, linestyle="--", label=label)
    if levels or not named:
        axis.legend(handles=list(axis.lines[len(lines) :] if named else axis.lines))
    return figure


def _plain_ticks(axis, whole):
    """Writes numbers as they are: 0.006, not 6×10⁻³; whole ones for epochs."""
    if whole:
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    both = axis.xaxis, axis.yaxis
    for each in (each for each in both if each.get_scale() == "log"):
        low, high = each.get_view_interval()
        few = high / low < 300  # so few powers of ten that 2 and 5 are named, too
        each.set_major_formatter("{x:g}")
        each.set_minor_locator(LogLocator(subs=(2, 5)))
        each.set_minor_formatter("{x:g}" if few else NullFormatter())
    if axis.get_xscale() == "log":
        positions = {*itertools.chain(*(line.get_xdata() for line in axis.lines))}
        if len(positions) <= 8:
            axis.set_xticks(sorted(positions), minor=False)
            axis.set_xticks([], minor=True)


def _name_ends(axis, gap=0.065):
    """Writes each line's label beside its end, moved apart where they would touch."""
    axis.autoscale_view()  # matplotlib would do it only as it draws
    to_axes = axis.transData + axis.transAxes.inverted()
    lines = [line for line in axis.lines if np.isfinite(line.get_ydata()).any()]
    ends = [line.get_xydata()[np.isfinite(line.get_ydata())][-1] for line in lines]
    heights = [float(to_axes.transform(end)[1]) for end in ends]
    at = -np.inf
    for i in np.argsort(heights):
        at = heights[i] = max(heights[i], at + gap)
    for line, end, height in zip(lines, ends, heights, strict=True):
        color = line.get_color()
        pointer = {"arrowstyle": "-", "color": color, "linewidth": 0.5}
        options = {"textcoords": axis.transAxes, "arrowprops": pointer, "color": color}
        place = (1.02, height - max(0, at - 1))
        axis.annotate(line.get_label(), end, place, va="center", **options)
