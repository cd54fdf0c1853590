"""Pictures of a benchmark: accuracy against the ratio, gains around zero, gains of each class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from skelaug.files import replacing
from skelaug.plots.view import INK

__all__ = ["ArmCurve", "GainBar", "draw_benchmark", "draw_class_gains"]

# Okabe and Ito 2008, told apart by people who see no red or no green; their yellow is darkened.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#b8860b", "#6a3d9a", "#30343b")
_MARKS = ("o", "s", "^", "D", "v", "P", "X", "p")
_BETTER, _WORSE, _OPEN = "#0072b2", "#d55e00", "#8b929b"
_GRID, _FAINT, _BAND = "#e6e8eb", "#7b828b", "#eceef1"
_ROW, _CLASS_ROW = 0.27, 0.2  # inches


@dataclass(frozen=True)
class ArmCurve:
    """One arm of a benchmark.

    Attributes:
        name: As in the legend.
        ratios: Further clips over real ones, rising; 0 where the arm has no ratio.
        means: Accuracy at each ratio, 0 to 1.
        half_widths: Of their 95 % intervals; None where there is none.
        is_synthetic: Whether a generator took part; drawn full, others dashed.
        is_bound: Whether it is an upper bound; drawn dotted.
    """

    name: str
    ratios: Sequence[float]
    means: Sequence[float]
    half_widths: Sequence[float | None]
    is_synthetic: bool = False
    is_bound: bool = False


@dataclass(frozen=True)
class GainBar:
    """A difference with its interval.

    Attributes:
        name: Of the row.
        mean: Of the difference, as a fraction.
        half_width: Of its 95 % interval; None where there is none.
        note: A few words at the right edge, e.g. a p-value.
    """

    name: str
    mean: float
    half_width: float | None
    note: str = ""


def draw_benchmark(
    path: Path,
    curves: Sequence[ArmCurve],
    gains: Sequence[GainBar],
    *,
    chance: float | None = None,
    control: str = "",
    titles: tuple[str, str] = ("", ""),
    x_label: str = "further clips, in % of the real ones",
) -> None:
    """Write a PNG: accuracy of every arm against the ratio, and beside it gains around zero.

    Ratios stand side by side at equal distances, arms without a ratio at the left. Within a ratio,
    arms stand beside one another, so that no interval hides another one.

    Args:
        path: The PNG to write, whole or not at all.
        curves: At least one arm.
        gains: Differences, the first on top; without any there is one panel.
        chance: Accuracy of guessing, drawn where it is near the scores, else written.
        control: Name of the arm whose first mean and interval lie behind everything as a band.
        titles: Above the panels; the second one says what the gains are differences to.
        x_label: What a ratio is.

    Raises:
        ValueError: There is no arm, or an arm has not one mean and interval per ratio.
    """
    if not curves:
        raise ValueError("curves: expected at least one arm, got none")
    for curve in curves:
        if not len(curve.ratios) == len(curve.means) == len(curve.half_widths) > 0:
            raise ValueError(f"curves: {curve.name!r} needs one mean and interval per ratio")
    title, against = titles
    ratios = sorted({ratio for curve in curves for ratio in curve.ratios})
    left = max(4.2, 0.6 + sum(max(0.8, 0.2 * _present(curves, ratio)) for ratio in ratios))
    names = max((_text_width(bar.name) for bar in gains), default=0.0)
    right = max(0.3 + names + _gains_width(gains), _text_width(against) + 0.3) if gains else 0.0
    rows = _ROW * len(gains) + 0.3
    panel = float(np.clip(rows, 3.4, 4.8))
    handles = [_handle(curve, index) for index, curve in enumerate(curves)]
    room = left if rows > panel else left + right
    widest = 0.7 + max(_text_width(str(handle.get_label())) for handle in handles)
    columns = max(1, int(room / widest))
    lines = -(-(len(handles) + (chance is not None)) // columns)
    below = max(0.95 + 0.22 * lines, rows - panel + 0.75)
    width, height = 0.75 + left + right + 0.2, 0.5 + panel + below
    figure = _figure(width, height)
    axes = figure.add_axes((0.75 / width, below / height, left / width, panel / height))
    is_drawn = _draw_curves(axes, curves, ratios, control=control, chance=chance)
    axes.set_xlabel(x_label, color=INK, fontsize=9)
    _head(figure, title, x=0.75 / width, height=height)
    if chance is not None:
        line = ":" if is_drawn else ""
        label = f"chance, {100 * chance:.3g} %"
        handles.append(Line2D([], [], color=_FAINT, lw=1, ls=line, label=label))
    _legend(figure, handles, columns=columns, x=0.7 / width, y=(below - 0.62) / height)
    if gains:
        start = 0.75 + left + 0.3
        place = ((start + names) / width, 1 - (0.5 + rows) / height, 2.9 / width, rows / height)
        _draw_gains(figure.add_axes(place), gains)
        _head(figure, against, x=start / width, height=height)
    _save(figure, path)


def draw_class_gains(path: Path, gains: Sequence[GainBar], *, title: str = "") -> None:
    """Write a PNG with the gain of each class and its interval, the largest on top.

    Args:
        path: The PNG to write, whole or not at all.
        gains: One per class, in any order.
        title: Above the panel.

    Raises:
        ValueError: There is no class.
    """
    if not gains:
        raise ValueError("gains: expected at least one class, got none")
    ordered = sorted(gains, key=lambda gain: (-gain.mean, gain.name))
    names = max(_text_width(bar.name) for bar in ordered)
    panel = _CLASS_ROW * len(ordered) + 0.2
    width, height = (
        max(names + 0.5 + _gains_width(ordered, 3.7), _text_width(title) + 0.4),
        panel + 1.1,
    )
    figure = _figure(width, height)
    place = ((names + 0.3) / width, 0.6 / height, 3.7 / width, panel / height)
    _draw_gains(figure.add_axes(place), ordered)
    _head(figure, title, x=0.25 / width, height=height)
    _save(figure, path)


def _draw_curves(
    axes: Axes,
    curves: Sequence[ArmCurve],
    ratios: Sequence[float],
    *,
    control: str,
    chance: float | None,
) -> bool:
    """Draw the left panel; whether the chance level is in it."""
    taken = dict.fromkeys(ratios, 0)
    for index, curve in enumerate(curves):
        x = []
        for ratio in curve.ratios:  # beside the others that have this ratio
            many = _present(curves, ratio)
            step = min(0.66 / max(many - 1, 1), 0.16)
            x.append(ratios.index(ratio) + (taken[ratio] - (many - 1) / 2) * step)
            taken[ratio] += 1
        y = 100 * np.asarray(curve.means, dtype=np.float64)
        half = 100 * _widths(curve.half_widths)
        colour = _COLOURS[index % len(_COLOURS)]
        axes.errorbar(x, y, half, fmt="none", ecolor=colour, elinewidth=1.3, zorder=3)
        axes.plot(x, y, **_style(curve, index), zorder=4)
        if curve.name == control:
            axes.axhspan(y[0] - half[0], y[0] + half[0], color=_BAND, lw=0, zorder=0)
            axes.axhline(y[0], color=colour, lw=0.8, alpha=0.7, zorder=1)
    low, high = axes.get_ylim()
    edge = 0.03 * (high - low)
    is_near = chance is not None and 100 * chance > low - 0.5 * (high - low)
    if chance is not None and is_near:
        low = min(low, 100 * chance - edge)
        axes.axhline(100 * chance, color=_FAINT, lw=1, ls=":", zorder=1)
    axes.set_ylim(max(low, -edge), min(high, 100 + edge))
    for place in range(1, len(ratios)):
        axes.axvline(place - 0.5, color=_GRID, lw=0.8, zorder=0)
    axes.set_xlim(-0.5, len(ratios) - 0.5)
    labels = [f"{100 * ratio:g} %" if ratio else "none" for ratio in ratios]
    axes.set_xticks(range(len(ratios)), labels)
    axes.set_ylabel("test accuracy, %", color=INK, fontsize=9)
    axes.grid(axis="y", color=_GRID, lw=0.8)
    _quiet(axes)
    axes.tick_params(axis="x", length=0)
    return is_near


def _present(curves: Sequence[ArmCurve], ratio: float) -> int:
    """How many arms have a ratio."""
    return sum(ratio in curve.ratios for curve in curves)


def _draw_gains(axes: Axes, gains: Sequence[GainBar]) -> None:
    """A row per gain: its interval, its mean, and what it says in words at the right edge."""
    means = 100 * np.array([gain.mean for gain in gains])
    half = 100 * _widths([gain.half_width for gain in gains])
    reach = max(1.0, 1.08 * float(np.max(np.abs(means) + half)))
    axes.axvline(0, color=INK, lw=1, zorder=1)
    for row, gain in enumerate(gains):
        colour = _OPEN
        if gain.half_width is not None and abs(gain.mean) > gain.half_width:
            colour = _BETTER if gain.mean > 0 else _WORSE
        axes.plot([means[row] - half[row], means[row] + half[row]], [row, row], color=colour, lw=2)
        axes.plot(
            means[row], row, "o", ms=5.5, color=colour, zorder=3,
            mfc=colour if gain.half_width is not None else "white",
        )  # fmt: skip
        text = _gain_text(gain)
        axes.text(
            1.02, row, text, transform=axes.get_yaxis_transform(), va="center",
            fontsize=7.5, color=colour if colour != _OPEN else _FAINT,
        )  # fmt: skip
    axes.set_xlim(-reach, reach)
    axes.set_ylim(len(gains) - 0.4, -0.6)
    axes.set_yticks(range(len(gains)), [gain.name for gain in gains], parse_math=False)
    axes.set_xlabel("points of accuracy, 95 % interval", color=INK, fontsize=9)
    axes.grid(axis="x", color=_GRID, lw=0.8)
    _quiet(axes)
    axes.tick_params(axis="y", length=0)


def _gain_text(gain: GainBar) -> str:
    return f"{100 * gain.mean:+.1f}".replace("-", "−") + (f"  {gain.note}" if gain.note else "")


def _gains_width(gains: Sequence[GainBar], panel: float = 2.9) -> float:
    """Inches of a panel of gains with the words at its right edge."""
    return panel + 0.15 + max(_text_width(_gain_text(gain)) for gain in gains)


def _style(curve: ArmCurve, index: int) -> dict[str, Any]:
    colour = _COLOURS[index % len(_COLOURS)]
    line = ":" if curve.is_bound else "-" if curve.is_synthetic else "--"
    return {
        "color": colour,
        "ls": line,
        "lw": 1.6,
        "marker": _MARKS[index % len(_MARKS)],
        "ms": 6,
        "mfc": colour if curve.is_synthetic else "white",
        "mew": 1.4,
    }


def _handle(curve: ArmCurve, index: int) -> Line2D:
    name = f"{curve.name} (upper bound)" if curve.is_bound else curve.name
    return Line2D([], [], label=name, **_style(curve, index))


def _legend(figure: Figure, handles: Sequence[Line2D], *, columns: int, x: float, y: float) -> None:
    legend = figure.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(x, y), borderaxespad=0, frameon=False,
        fontsize=8.5, labelcolor=INK, handlelength=3.2, labelspacing=0.45, ncols=columns,
    )  # fmt: skip
    for text in legend.get_texts():
        text.set_parse_math(False)


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), dpi=130, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def _head(figure: Figure, text: str, *, x: float, height: float) -> None:
    """A line above a panel, beginning at x (a fraction of the width)."""
    figure.text(
        x, 1 - 0.36 / height, text, color=INK, fontsize=9.5, va="bottom", parse_math=False
    )  # fmt: skip


def _quiet(axes: Axes) -> None:
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(_GRID)
    axes.tick_params(colors=INK, labelsize=8, length=3)
    axes.set_axisbelow(True)


def _widths(half_widths: Sequence[float | None]) -> np.ndarray:
    return np.array([0.0 if half is None else half for half in half_widths], dtype=np.float64)


def _text_width(text: str) -> float:
    """About how many inches a label takes."""
    return 0.068 * len(text)


def _save(figure: Figure, path: Path) -> None:
    with replacing(path) as part:
        figure.savefig(part, format="png")
