"""A histogram of standardised scores, with the band of the usual clips."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from skelaug.files import replacing
from skelaug.plots.view import INK

__all__ = ["draw_scores"]

_IN, _OUT, _BAND, _GRID = "#0072b2", "#d55e00", "#e3edf5", "#e6e8eb"
_LOW, _HIGH, _BIN = -8.0, 4.0, 0.25  # beyond the ends everything is in the last bars


def draw_scores(
    path: Path,
    standardised: Sequence[float],
    *,
    usual: str = "the training clips",
    title: str = "",
) -> None:
    """Write a PNG: how many scores lie where, in deviations of the usual clips.

    The band of one deviation is shaded, and bars below it have the colour of what is flagged.
    Scores beyond the ends of the axis are counted in its last bars.

    Args:
        path: The PNG to write, whole or not at all.
        standardised: (score - mean) / std, at least one.
        usual: What the usual clips are.
        title: Above the panel.

    Raises:
        ValueError: There is no score.
    """
    if not len(standardised):
        raise ValueError("standardised: expected at least one score, got none")
    values = np.asarray(standardised, dtype=np.float64)
    flagged = int((values < -1).sum())
    edges = np.arange(_LOW, _HIGH + _BIN / 2, _BIN)
    inside = np.clip(values, _LOW, np.nextafter(_HIGH, _LOW))
    # a score of -1 is not flagged and opens the bar to its right
    counts, _ = np.histogram(inside, edges)
    colours = [_OUT if left < -1 else _IN for left in edges[:-1]]
    figure = Figure(figsize=(7.2, 3.8), dpi=130, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.09, 0.16, 0.88, 0.7))
    figure.text(0.09, 0.9, title, color=INK, fontsize=9.5, va="bottom", parse_math=False)
    axes.axvspan(-1, 1, color=_BAND, lw=0, zorder=0, label=f"band of {usual}")
    axes.bar(edges[:-1], counts, _BIN, align="edge", color=colours, lw=0, zorder=2)
    axes.axvline(
        -1, color=_OUT, lw=1.2, zorder=3,
        label=f"{flagged} of {values.size} below it, {100 * flagged / values.size:.1f} %",
    )  # fmt: skip
    axes.set_xlim(_LOW, _HIGH)
    ticks = np.arange(_LOW, _HIGH + 1, 2)
    axes.set_xticks(ticks, [_tick(tick) for tick in ticks])
    axes.set_xlabel(f"deviations from the mean of {usual}", color=INK, fontsize=9)
    axes.set_ylabel("scores", color=INK, fontsize=9)
    axes.grid(axis="y", color=_GRID, lw=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(_GRID)
    axes.tick_params(colors=INK, labelsize=8, length=3)
    axes.legend(loc="upper left", frameon=False, fontsize=8, labelcolor=INK)
    with replacing(path) as part:
        figure.savefig(part, format="png")


def _tick(value: float) -> str:
    end = {_LOW: "≤ ", _HIGH: "≥ "}.get(value, "")
    return f"{end}{value:g}".replace("-", "−")
