"""The spectrum of motions: energy by frequency, and each kind of clips over the real ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from numpy.typing import NDArray

from skelaug.files import replacing
from skelaug.plots.view import INK
from skelaug.shapes import check_shape

__all__ = ["SpectrumLine", "draw_spectrum"]

_COLOURS = ("#4b5563", "#0072b2", "#d55e00", "#009e73")
_BAND, _GRID, _FAINT = "#f1f3f5", "#e6e8eb", "#7b828b"
_LEAST = 1e-12


@dataclass(frozen=True, eq=False)
class SpectrumLine:
    """Mean energies of some clips with their 95 % intervals.

    Attributes:
        mean: T, by frequency.
        half_width: T.
    """

    mean: NDArray[np.float64]
    half_width: NDArray[np.float64]


def draw_spectrum(
    path: Path, lines: Mapping[str, SpectrumLine], *, low: int, unit: str, title: str = ""
) -> None:
    """Write a PNG: above the energy of each frequency, below its ratio to that of the first line.

    Frequency 0, the mean pose, is left out; the high band is shaded.

    Args:
        path: The PNG to write, whole or not at all.
        lines: By name, the reference first; at most four.
        low: The number of low frequencies.
        unit: Of the energies.
        title: Above the panels.

    Raises:
        ValueError: There is no line, or the lengths differ.
    """
    if not lines:
        raise ValueError("lines: expected at least one, got none")
    reference = next(iter(lines.values()))
    for name, line in lines.items():
        check_shape(line.mean, "T", what=name, T=len(reference.mean))
    figure = Figure(figsize=(7.2, 5.6), dpi=130, facecolor="white")
    FigureCanvasAgg(figure)
    above = figure.add_axes((0.11, 0.42, 0.86, 0.5))
    below = figure.add_axes((0.11, 0.1, 0.86, 0.26), sharex=above)
    figure.text(0.11, 0.945, title, color=INK, fontsize=9.5, va="bottom", parse_math=False)
    floor = np.maximum(reference.mean[1:], _LEAST)
    for (name, line), colour in zip(lines.items(), _COLOURS, strict=False):
        _draw(above, line.mean[1:], line.half_width[1:], colour, name)
        _draw(below, line.mean[1:] / floor, line.half_width[1:] / floor, colour, name)
    above.set_yscale("log")
    above.set_ylabel(f"energy, {unit}", color=INK, fontsize=9)
    above.legend(loc="upper right", frameon=False, fontsize=8, labelcolor=INK)
    above.tick_params(labelbottom=False)
    below.set_yscale("log")
    below.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5, 7)))
    below.yaxis.set_major_formatter("{x:g}")
    below.yaxis.set_minor_formatter(NullFormatter())
    below.set_ylabel(f"over {next(iter(lines))}", color=INK, fontsize=9)
    below.set_xlabel("frequency, half waves per clip", color=INK, fontsize=9)
    for axes in (above, below):
        _frame(axes, low, len(reference.mean))
    with replacing(path) as part:
        figure.savefig(part, format="png")


def _draw(
    axes: Axes,
    mean: NDArray[np.float64],
    half_width: NDArray[np.float64],
    colour: str,
    name: str,
) -> None:
    frequencies = np.arange(1, len(mean) + 1)
    bottom = np.maximum(mean - half_width, _LEAST)
    axes.fill_between(frequencies, bottom, mean + half_width, color=colour, alpha=0.2, lw=0)
    axes.plot(frequencies, np.maximum(mean, _LEAST), "o-", color=colour, lw=1.6, ms=3, label=name)


def _frame(axes: Axes, low: int, frames: int) -> None:
    axes.axvspan(low - 0.5, frames - 0.5, color=_BAND, lw=0, zorder=0)
    axes.set_xlim(0.5, frames - 0.5)
    axes.grid(color=_GRID, lw=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(_GRID)
    axes.tick_params(colors=INK, labelsize=8, length=3)
    axes.annotate(
        "high band", (low - 0.3, 0.02), xycoords=("data", "axes fraction"), color=_FAINT,
        fontsize=8, va="bottom",
    )  # fmt: skip
