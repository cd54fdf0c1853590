"""A probe's report as files: Markdown, JSON, the picture of the learning curve."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from skelaug.benchmark.advice import AdviseReport, ClassAdvice
from skelaug.benchmark.advice_text import advice_headline, range_text
from skelaug.benchmark.learning_curve import CurveFit
from skelaug.benchmark.report import Estimate
from skelaug.files import write_text
from skelaug.plots.learning_curve import CurveLine, CurveMark, draw_learning_curve

__all__ = ["markdown_advice", "write_advice"]

_REACH = 3.0  # times the clips that are there, drawn where the target lies nearer


def markdown_advice(report: AdviseReport) -> str:
    """The report as Markdown: sentences, the curve, the classes, synthesis, commands, notes."""
    parts = [" ".join(report.sentences) or "Nothing is finished yet."]
    if report.remaining:
        parts.append(f"{report.remaining} of {report.cells} trainings are not finished.")
    if report.curve:
        lines = [
            [f"{one.clips:.3g}", _points(one.accuracy), str(one.draws)] for one in report.curve
        ]
        parts.append(_table(["clips per class", "accuracy, %", "draws"], lines))
    if report.law is not None:
        parts.append(f"Fitted: error = {report.law['a']:.3g} n^-{report.law['b']:.3g}.")
    if report.classes:
        heads = ["class", "clips", "accuracy, %", "interval", "more clips", "interval"]
        parts.append(_table(heads, [_class_line(one) for one in report.classes]))
    if report.synthesis:
        lines = [
            [f"{one.ratio:g}", _points(one.gain, sign="+"), _p(one.p), _p(one.corrected_p)]
            for one in report.synthesis
        ]
        parts.append(_table(["synthetic per real clip", "gain, points", "p", "corrected"], lines))
    if report.commands:
        parts.append("\n".join(["What to do next:", "", "```", *report.commands, "```"]))
    if report.notes:
        parts.append("\n".join(f"- {note}" for note in report.notes))
    return "\n\n".join(parts) + "\n"


def write_advice(report: AdviseReport, fit: CurveFit | None, folder: Path) -> None:
    """Write ``advice.json``, ``advice.md`` and ``learning_curve.png``.

    Args:
        report: With one size at least.
        fit: Its law.
        folder: Where to.

    Raises:
        StorageError: The folder cannot be written.
    """
    write_text(folder / "advice.json", report.model_dump_json(indent=2) + "\n")
    write_text(folder / "advice.md", markdown_advice(report))
    marks = [
        CurveMark(one.clips, one.accuracy.mean, one.accuracy.half_width) for one in report.curve
    ]
    have, line, reached = report.clips_per_class, None, None
    if fit is not None and report.needed is not None:
        if report.needed.more:
            reached = have + report.needed.more
        end = max(_REACH * have, 1.2 * (reached or 0))
        x = np.geomspace(min(mark.clips for mark in marks), end, 200)
        line = CurveLine(x, fit.accuracy(x), *fit.band(x))
    draw_learning_curve(
        folder / "learning_curve.png",
        marks,
        line,
        target=report.target,
        have=have,
        reached=reached,
        title=f"{Path(report.data).name}  {advice_headline(report.needed, target=report.target)}",
    )


def _class_line(one: ClassAdvice) -> list[str]:
    ends = f"{100 * one.accuracy.low:.0f} to {100 * one.accuracy.high:.0f}"
    more = "?" if one.needed.more is None else str(one.needed.more)
    return [
        one.label,
        str(one.clips),
        f"{100 * one.accuracy.mean:.1f}",
        ends,
        more,
        range_text(one.needed),
    ]


def _points(found: Estimate, *, sign: Literal["", "+"] = "") -> str:
    mean = f"{100 * found.mean:{sign}.1f}"
    return mean if found.half_width is None else f"{mean} ± {100 * found.half_width:.1f}"


def _p(value: float | None) -> str:
    return "" if value is None else f"{value:.2g}"


def _table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [heads, ["---"] * len(heads), *lines]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows)
