"""A learning curve: accuracy by clips per class, the fitted law with its band, the target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from numpy.typing import NDArray

from skelaug.files import replacing
from skelaug.plots.view import INK

__all__ = ["CurveLine", "CurveMark", "draw_learning_curve"]

_LINE, _BAND, _GRID, _FAINT, _TARGET = "#0072b2", "#d6e6f2", "#e6e8eb", "#7b828b", "#d55e00"


@dataclass(frozen=True)
class CurveMark:
    """What was measured at one size.

    Attributes:
        clips: Clips per class.
        mean: Accuracy, 0 to 1.
        half_width: Of its 95 % interval; None where there is none.
    """

    clips: float
    mean: float
    half_width: float | None


@dataclass(frozen=True, eq=False)
class CurveLine:
    """A fitted law at rising numbers of clips, with its band.

    Attributes:
        clips: Clips per class, K.
        accuracy: 0 to 1, K.
        low: Lower end of the band, K.
        high: Upper end of it, K.
    """

    clips: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def draw_learning_curve(
    path: Path,
    marks: Sequence[CurveMark],
    line: CurveLine | None,
    *,
    target: float,
    have: float,
    reached: float | None = None,
    title: str = "",
) -> None:
    """Write a PNG: measured accuracies with intervals, the law with its band, the target.

    Sizes stand on a logarithmic scale. The law is dashed beyond the clips that are there.

    Args:
        path: The PNG to write, whole or not at all.
        marks: At least one.
        line: The fitted law; None draws none.
        target: Accuracy wanted, 0 to 1.
        have: Clips per class that are there.
        reached: Clips per class at which the law reaches the target, if it does.
        title: Above the panel.

    Raises:
        ValueError: There is no mark.
    """
    if not marks:
        raise ValueError("marks: expected at least one size, got none")
    figure = Figure(figsize=(7.2, 4.4), dpi=130, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.1, 0.14, 0.87, 0.74))
    figure.text(0.1, 0.925, title, color=INK, fontsize=9.5, va="bottom", parse_math=False)
    axes.set_xscale("log")
    if line is not None:
        _draw_line(axes, line, have)
    half = [0.0 if mark.half_width is None else 100 * mark.half_width for mark in marks]
    x = [mark.clips for mark in marks]
    means = [100 * mark.mean for mark in marks]
    axes.errorbar(x, means, half, fmt="none", ecolor=INK, elinewidth=1.4, zorder=3)
    axes.plot(x, means, "o", color=INK, ms=6, zorder=4, label="measured, 95 % interval")
    axes.axhline(100 * target, color=_TARGET, lw=1.2, zorder=2, label=f"target, {100 * target:g} %")
    axes.axvline(
        have, color=_FAINT, lw=1, ls=":", zorder=1, label=f"all that are there, {have:.3g}"
    )
    if reached is not None:
        axes.plot(reached, 100 * target, "D", color=_TARGET, ms=7, mfc="white", mew=1.6, zorder=5)
        axes.annotate(
            f"{reached:.3g}", (reached, 100 * target), (0, 9), textcoords="offset points",
            ha="center", color=_TARGET, fontsize=8.5,
        )  # fmt: skip
    _frame(axes, [*x, have, *([reached] if reached else [])], target)
    axes.legend(
        loc="lower right", frameon=True, framealpha=0.9, edgecolor="none", fontsize=8,
        labelcolor=INK,
    )  # fmt: skip
    with replacing(path) as part:
        figure.savefig(part, format="png")


def _draw_line(axes: Axes, line: CurveLine, have: float) -> None:
    axes.fill_between(line.clips, 100 * line.low, 100 * line.high, color=_BAND, lw=0, zorder=0)
    inside = line.clips <= have
    label = "fitted law and band"
    axes.plot(line.clips[inside], 100 * line.accuracy[inside], color=_LINE, lw=1.8, label=label)
    from_there = np.flatnonzero(~inside)
    if len(from_there):
        start = max(int(from_there[0]) - 1, 0)
        axes.plot(line.clips[start:], 100 * line.accuracy[start:], color=_LINE, lw=1.5, ls="--")


def _frame(axes: Axes, clips: Sequence[float], target: float) -> None:
    """Limits, labels and ticks at 1, 2, 5, 10 ..."""
    axes.set_xlabel("clips per class", color=INK, fontsize=9)
    axes.set_ylabel("validation accuracy, %", color=INK, fontsize=9)
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, -2), min(max(high, 100 * target + 3), 102))
    left, right = axes.get_xlim()
    left, right = max(min(left, min(clips) / 1.3), min(clips) / 2), max(right, max(clips) * 1.2)
    axes.set_xlim(left, right)
    steps = [m * 10.0**e for e in range(-1, 9) for m in (1, 2, 5)]
    axes.xaxis.set_major_locator(FixedLocator([step for step in steps if left <= step <= right]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.grid(color=_GRID, lw=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(_GRID)
    axes.tick_params(colors=INK, labelsize=8, length=3)
