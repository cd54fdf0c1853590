"""Skeleton images as colour maps: joints down, time across, the coordinates as red, green, blue."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from skelaug.files import replacing
from skelaug.plots.view import INK
from skelaug.shapes import check_shape

__all__ = ["draw_images"]

_SIDE = 2.5  # inches
_FAINT = "#8b929b"


def draw_images(
    path: Path,
    pixels: NDArray[np.floating],
    *,
    titles: Sequence[str],
    rows: Sequence[str],
    title: str,
) -> None:
    """Write a PNG with a grid of skeleton images.

    Red, green and blue are x, y and z; grey is the middle of the range [-1, 1].

    Args:
        path: The PNG to write, whole or not at all.
        pixels: N 3 R F in [-1, 1].
        titles: One line per image.
        rows: One name per row R, top to bottom; equal neighbours are bracketed together.
        title: The headline.

    Raises:
        ValueError: The shapes differ.
    """
    check_shape(pixels, "N C R F", what="pixels", C=3, R=len(rows), N=len(titles))
    columns = min(len(pixels), 4)
    lines = -(-len(pixels) // columns)
    width, height = columns * (_SIDE + 0.25) + 1.2, lines * (_SIDE + 0.45) + 1.0
    figure = Figure(figsize=(width, height), dpi=110, facecolor="white")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(
        lines,
        columns,
        left=1.25 / width,
        right=1 - 0.2 / width,
        bottom=0.4 / height,
        top=1 - 0.95 / height,
        wspace=0.1,
        hspace=0.2,
    )
    figure.text(
        0.2 / width,
        1 - 0.35 / height,
        title,
        fontsize=14,
        color=INK,
        weight="bold",
        parse_math=False,
    )
    for index, (image, name) in enumerate(zip(pixels, titles, strict=True)):
        axes = figure.add_subplot(grid[index // columns, index % columns])
        axes.imshow(_colours(image), interpolation="nearest", aspect="auto")
        axes.set_title(name, fontsize=9.5, color=INK, loc="left", pad=4, parse_math=False)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
        if index % columns == 0:
            _name_rows(axes, rows)
        if index // columns == lines - 1:
            axes.set_xlabel("time →", fontsize=8.5, color=_FAINT)
    with replacing(path) as part:
        figure.savefig(part, format="png")


def _colours(image: NDArray[np.floating]) -> NDArray[np.float64]:
    """C R F in [-1, 1] to R F C in [0, 1]."""
    return np.clip(np.moveaxis(image.astype(np.float64), 0, -1) / 2 + 0.5, 0, 1)


def _name_rows(axes: Axes, rows: Sequence[str]) -> None:
    """Write the name of each run of equal rows at the left edge, with a thin bracket."""
    starts = [i for i, name in enumerate(rows) if i == 0 or rows[i - 1] != name]
    for start, end in zip(starts, [*starts[1:], len(rows)], strict=True):
        edge = axes.get_yaxis_transform()
        axes.plot(
            [-0.02, -0.02],
            [start - 0.35, end - 0.65],
            transform=edge,
            color=_FAINT,
            lw=1,
            clip_on=False,
        )
        middle = (start + end - 1) / 2
        axes.text(
            -0.05,
            middle,
            rows[start].replace("_", " "),
            transform=edge,
            fontsize=8.5,
            color=_FAINT,
            ha="right",
            va="center",
            parse_math=False,
        )
