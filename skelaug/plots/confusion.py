"""Confusion matrices side by side: a row per class, a column per answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from skelaug.files import replacing
from skelaug.plots.view import INK
from skelaug.shapes import check_shape

__all__ = ["draw_confusion"]

_CELL, _MARGIN = 0.19, 2.4  # inches


def draw_confusion(
    path: Path,
    matrices: Mapping[str, NDArray[np.integer]],
    *,
    rows: Sequence[str],
    columns: Sequence[str],
) -> None:
    """Write a PNG with one confusion matrix per set, as fractions of each row.

    Args:
        path: The PNG to write, whole or not at all.
        matrices: Name of a set to counts R K.
        rows: Names of the true classes R; one that is no column is never answered right.
        columns: Names of the answers K.

    Raises:
        ValueError: The shapes differ.
    """
    for name, matrix in matrices.items():
        check_shape(matrix, "R K", what=name, R=len(rows), K=len(columns))
    wide, high = max(len(columns), 6) * _CELL, max(len(rows), 6) * _CELL
    width = _MARGIN + len(matrices) * (wide + 0.4) + 0.3
    height = high + _MARGIN + 0.5
    figure = Figure(figsize=(width, height), dpi=110, facecolor="white")
    FigureCanvasAgg(figure)
    for index, (name, matrix) in enumerate(matrices.items()):
        left = _MARGIN + index * (wide + 0.4)
        axes = figure.add_axes((left / width, _MARGIN / height, wide / width, high / height))
        totals = np.maximum(matrix.sum(axis=1, keepdims=True), 1)
        axes.imshow(matrix / totals, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        axes.set_title(
            f"{name}, {100 * _hits(matrix, rows, columns):.1f} % right", color=INK, fontsize=9
        )
        axes.set_xticks(range(len(columns)), columns, rotation=90, fontsize=6, parse_math=False)
        axes.set_yticks(
            range(len(rows)), rows if index == 0 else [""] * len(rows), fontsize=6, parse_math=False
        )
        axes.tick_params(length=0, colors=INK)
    with replacing(path) as part:
        figure.savefig(part, format="png", bbox_inches="tight", pad_inches=0.15)


def _hits(matrix: NDArray[np.integer], rows: Sequence[str], columns: Sequence[str]) -> float:
    known = [(i, columns.index(name)) for i, name in enumerate(rows) if name in columns]
    right = sum(int(matrix[place]) for place in known)
    return right / max(int(matrix.sum()), 1)
