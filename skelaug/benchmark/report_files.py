"""A benchmark's report as files: tables for people and programs, pictures."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from skelaug.benchmark.report import BenchReport, Estimate, GainReport, RowReport
from skelaug.files import write_text
from skelaug.plots.benchmark import ArmCurve, GainBar, draw_benchmark, draw_class_gains

__all__ = ["csv_table", "markdown_table", "write_report"]

_RATIO: Mapping[str, str] = {
    "incremental": "more clips",
    "replacement": "replaced",
    "filling": "filled up",
}
_EXPLAINED = (
    "Means over draws of clips with 95 % t-intervals; gains in points, paired by draw, "
    "corrected by Holm's rule for the number of synthetic rows."
)
_X_LABELS = {
    "incremental": "further clips, in % of the real ones",
    "replacement": "replaced clips, in % of the real ones",
    "filling": "rare classes filled up, 100 % = as many as the others have",
}


def markdown_table(report: BenchReport) -> str:
    """The report as Markdown: the sentence, a line per row, a line per class, the notes."""
    is_rare = report.rare_verdict is not None
    over_best, over_control, rare = (
        {_place(gain): gain for gain in gains}
        for gains in (report.gains, report.control_gains, report.rare_gains)
    )
    heads = ["arm", _RATIO[report.mode], "accuracy, %", *(["rare classes, %"] if is_rare else [])]
    heads += ["draws", "trainings", "over the best without synthetic clips", "p", "p, corrected"]
    heads += ["rare classes over their best"] if is_rare else []
    heads += [f"over '{report.control}'"] if report.control else []
    lines = []
    for row in report.rows:
        gain, other = over_best.get(_place(row)), over_control.get(_place(row))
        cells = [_arm_text(row), f"{100 * row.ratio:g} %" if row.ratio else "", _text(row.accuracy)]
        cells += [_text(row.rare_accuracy)] if is_rare else []
        cells += [str(row.draws), str(row.trainings), _gain_text(gain), *_p_texts(gain)]
        cells += [_gain_text(rare.get(_place(row)))] if is_rare else []
        cells += [_gain_text(other)] if report.control else []
        lines.append(cells)
    parts = [report.verdict.sentence]
    if report.rare_verdict is not None:
        parts.append(f"On the rare classes: {report.rare_verdict.sentence}")
    parts.append(_markdown(heads, lines))
    if report.remaining:
        parts.append(f"{report.remaining} of {report.cells} trainings are not finished.")
    if report.chance is not None:
        parts.append(f"Chance: {100 * report.chance:.3g} %. {_EXPLAINED}")
    if report.classes:
        lines = [
            [
                one.label,
                *(f"{100 * value:.1f}" for value in (one.accuracy, one.rival_accuracy)),
                _text(one.gain, sign="+"),
            ]
            for one in report.classes
        ]
        parts.append(f"By class, {report.classes_of}:")
        parts.append(_markdown(["class", "accuracy, %", "rival, %", "gain"], lines))
    parts += [f"- {note}" for note in report.notes]
    return "\n\n".join(parts) + "\n"


def csv_table(report: BenchReport) -> str:
    """The rows as CSV with fractions; a field is empty where there is no number."""
    over_best, over_control, rare = (
        {_place(gain): gain for gain in gains}
        for gains in (report.gains, report.control_gains, report.rare_gains)
    )
    names = ("recognizer", "arm", "ratio", "is_synthetic", "is_bound", "draws", "trainings")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    pairs = ("accuracy", "rare_accuracy", "gain", "control_gain", "rare_gain")
    columns = [column for name in pairs for column in (name, f"{name}_half_width")]
    writer.writerow([*names, *columns, "p", "corrected_p", "steps", "seconds"])
    for row in report.rows:
        gains = [found.get(_place(row)) for found in (over_best, over_control, rare)]
        estimates = [None if one is None else one.accuracy for one in gains]
        gain = gains[0]
        numbers: list[object] = [getattr(row, name) for name in names]
        for estimate in (row.accuracy, row.rare_accuracy, *estimates):
            numbers += [estimate.mean, estimate.half_width] if estimate else [None, None]
        tests = [gain.p, gain.corrected_p] if gain else [None, None]
        writer.writerow([*numbers, *tests, row.steps, f"{row.seconds:.3g}"])
    return text.getvalue()


def write_report(report: BenchReport, folder: Path) -> None:
    """Write ``report.json``, ``table.md``, ``table.csv`` and the pictures.

    Raises:
        StorageError: The folder cannot be written.
    """
    write_text(folder / "report.json", report.model_dump_json(indent=2) + "\n")
    write_text(folder / "table.md", markdown_table(report))
    write_text(folder / "table.csv", csv_table(report))
    _write_pictures(report, folder)


def _arm_text(row: RowReport) -> str:
    name = f"{row.arm} (upper bound)" if row.is_bound else row.arm
    return f"{row.recognizer}: {name}" if row.recognizer else name


def _text(found: Estimate | None, *, sign: str = "") -> str:
    """In percent or points, e.g. ``81.2 ± 1.3``."""
    if found is None:
        return ""
    mean = f"{100 * found.mean:{sign}.1f}"
    return mean if found.half_width is None else f"{mean} ± {100 * found.half_width:.1f}"


def _gain_text(gain: GainReport | None) -> str:
    return "" if gain is None else _text(gain.accuracy, sign="+")


def _p_texts(gain: GainReport | None) -> tuple[str, str]:
    """The p-value as it is, and corrected."""
    values = (None, None) if gain is None else (gain.p, gain.corrected_p)
    one, other = ("" if p is None else f"{p:.2g}" for p in values)
    return one, other


def _place(one: RowReport | GainReport) -> tuple[str, str, float]:
    return one.recognizer, one.arm, one.ratio


def _markdown(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [heads, ["---"] * len(heads), *lines]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows)


def _write_pictures(report: BenchReport, folder: Path) -> None:
    """Write ``benchmark.png``, ``rare.png`` where classes are rare, and ``classes.png``.

    With several recognizers each has its own: ``benchmark-NAME.png``.
    """
    recognizers = dict.fromkeys(row.recognizer for row in report.rows)
    for name in recognizers:
        rows = [row for row in report.rows if row.recognizer == name]
        end = "-" + re.sub(r"[^\w.-]+", "_", name) if len(recognizers) > 1 else ""
        _draw(report, rows, report.gains, folder / f"benchmark{end}.png")
        if report.rare_verdict is not None:
            _draw(report, rows, report.rare_gains, folder / f"rare{end}.png", is_rare=True)
    if report.classes:
        bars = [GainBar(one.label, one.gain.mean, one.gain.half_width) for one in report.classes]
        draw_class_gains(folder / "classes.png", bars, title=report.classes_of)


def _draw(
    report: BenchReport,
    rows: list[RowReport],
    gains: tuple[GainReport, ...],
    path: Path,
    *,
    is_rare: bool = False,
) -> None:
    own = [gain for gain in gains if gain.recognizer == rows[0].recognizer]
    curves = [
        curve
        for arm in dict.fromkeys(row.arm for row in rows)
        if (curve := _curve([row for row in rows if row.arm == arm], is_rare=is_rare)) is not None
    ]
    if not curves:
        return
    draws = max(row.draws for row in rows)
    title = f"{Path(report.data).stem}, {report.regime}, {draws} draws of clips"
    title += f", {rows[0].recognizer}" if rows[0].recognizer else ""
    rival = f"'{own[0].rival_arm}'{_ratio(own[0].rival_ratio)}" if own else ""
    draw_benchmark(
        path,
        curves,
        [_bar(gain) for gain in own],
        chance=None if is_rare else report.chance,
        control=report.control,
        titles=(
            f"{title}: rare classes" if is_rare else title,
            f"gain over {rival}, the best without synthetic clips" if own else "",
        ),
        x_label=_X_LABELS[report.mode],
    )


def _curve(rows: list[RowReport], *, is_rare: bool) -> ArmCurve | None:
    points = [(row.ratio, row.rare_accuracy if is_rare else row.accuracy) for row in rows]
    known: list[tuple[float, Estimate]] = [(r, one) for r, one in points if one is not None]
    if not known:
        return None
    return ArmCurve(
        rows[0].arm,
        [ratio for ratio, _ in known],
        [one.mean for _, one in known],
        [one.half_width for _, one in known],
        is_synthetic=rows[0].is_synthetic,
        is_bound=rows[0].is_bound,
    )


def _bar(gain: GainReport) -> GainBar:
    p = gain.p if gain.corrected_p is None else gain.corrected_p
    note = "" if p is None else "p < 0.001" if p < 0.001 else f"p {p:.2g}"
    name = f"{gain.arm}{_ratio(gain.ratio)}" + (" (upper bound)" if gain.is_bound else "")
    return GainBar(name, gain.accuracy.mean, gain.accuracy.half_width, note)


def _ratio(ratio: float) -> str:
    return f" {100 * ratio:g} %" if ratio else ""
