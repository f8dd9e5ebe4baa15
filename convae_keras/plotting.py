"""Figures: arrays in, `matplotlib.figure.Figure` out; nothing saved or shown."""

import numpy as np
from matplotlib.figure import Figure


def image_rows(rows, count=10):
    """The same images, seen in several ways, one way a row.

    Args:
        rows: dict from a row's label to float `(n, height, width, channels)` in
            [0, 1], or uint8. The first `count` of each are drawn.
        count: int, images in a row.

    Returns:
        `Figure`, an inch an image.

    Raises:
        ValueError: if there is no row, or a row is no batch of images.
    """
    if not rows:
        raise ValueError("`rows` must hold one row at least. Received: {}")
    for label, x in rows.items():
        if np.ndim(x) != 4 or not len(x):
            raise ValueError(
                f"Row {label!r} must be (n, height, width, channels), n at least 1. "
                f"Received: {np.shape(x)}"
            )
    count = min(count, *(len(x) for x in rows.values()))
    figure = Figure(figsize=(count + 1.2, len(rows) + 0.1), layout="constrained")
    axes = figure.subplots(len(rows), count, squeeze=False)
    for line, (label, x) in zip(axes, rows.items(), strict=True):
        white = 255 if x.dtype == np.uint8 else 1
        for axis, image in zip(line, x[:count], strict=True):
            shown = image[..., 0] if image.shape[-1] == 1 else image
            axis.imshow(np.clip(shown / white, 0, 1), cmap="gray", vmin=0, vmax=1)
            axis.set(xticks=[], yticks=[])
        line[0].set_ylabel(label, rotation=0, ha="right", va="center")
    return figure


def curves(lines, xlabel, ylabel, x=None, levels=None, **axis_options):
    """Lines over one axis, with optional dashed levels to hold them against.

    Args:
        lines: dict from a label to numbers.
        xlabel, ylabel: str, with the unit.
        x: numbers, the positions of all lines, or a dict of them by label;
            1, 2, 3, … when None.
        levels: dict from a label to a number, drawn across.
        **axis_options: given to `Axes.set`, such as `yscale="log"`.

    Returns:
        `Figure`.
    """
    figure = Figure(figsize=(6, 3.2), layout="constrained")
    axis = figure.subplots()
    for label, values in lines.items():
        positions = x[label] if isinstance(x, dict) else x
        if positions is None:
            positions = range(1, len(values) + 1)
        axis.plot(positions, values, marker=".", label=label)
    levels = levels or {}
    for i, (label, value) in enumerate(levels.items()):
        grey = f"{0.25 + 0.5 * i / len(levels)}"
        axis.axhline(value, color=grey, linestyle="--", label=label)
    axis.set(xlabel=xlabel, ylabel=ylabel, **axis_options)
    axis.grid(alpha=0.3)
    axis.legend()
    return figure
