"""``skelaug predict``: name the actions in clips."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from skelaug.cli import exits, render
from skelaug.cli.options import (
    AsJson,
    Device,
    DryRun,
    Force,
    LinesFormat,
    LinesOutput,
    OutsideTraining,
    Poses,
    Quiet,
    Stride,
    Window,
)
from skelaug.errors import UsageError

if TYPE_CHECKING:
    from skelaug.workflows.prediction_report import PredictReport

__all__ = ["EXAMPLES", "predict", "show_note", "show_summary"]

EXAMPLES = [
    "skelaug predict data.h5 -o labels.csv",
    "skelaug predict data.h5 --top 3",
    "skelaug predict data.h5 --window 16 --stride 8 -o windows.jsonl",
    "skelaug predict data.h5 --model recognizer -o labels.jsonl --confusion confusion.png",
    "skelaug predict data.h5 --model recognizer --model bones --weights 0.6,0.4 --json",
]


def predict(
    poses: Poses,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            metavar="NAME|RUN",
            help="Packaged model or run directory; several are fused.  [default: kinect20]",
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights",
            metavar="LIST",
            help="A number per model: 0.6,0.6,0.4,0.4.  [default: so for the four streams, "
            "else equal]",
        ),
    ] = None,
    split: OutsideTraining = None,
    window: Window = None,
    stride: Stride = None,
    output: LinesOutput = None,
    form: LinesFormat = "auto",
    top: Annotated[
        int | None,
        typer.Option("--top", min=1, help="Only the most probable classes.  [default: all]"),
    ] = None,
    confusion: Annotated[
        Path | None,
        typer.Option("--confusion", metavar="FILE.png", help="Draw the confusion matrix."),
    ] = None,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Clips per forward pass.")] = 32,
    device: Device = "auto",
    force: Force = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Name the action in each clip, with probabilities.

    A line per clip, or per window of --window frames: the label, its probability, those of the
    other classes and, where the file names it, the truth. Windows cover the clip; the last one
    ends with it, and a shorter clip is one window. JSON lines and CSV are written as they are
    computed; a killed command leaves no half output file.

    The models' logits are added up, so their classes must be the same. If a clip has more persons
    than a model was trained for, the first ones in it are looked at. Where the file knows labels,
    the summary gives the accuracy beside chance; a clip whose class the model lacks counts as
    wrong, and clips that a model was trained on are told apart (--split RULE leaves them out).
    Exit code 6: some clips have no measured joint and no line.

    JSON: data, output, confusion, models (name, kind, streams, weight), classes, clips, windows,
    rejected (name, reason), accuracy, known_accuracy (without classes that the model lacks),
    unseen_accuracy (without training_clips), class_accuracy (label, clips, accuracy), chance
    (uniform, majority), training_clips, unknown_classes, warnings, seconds, clips_per_second,
    predictions (without -o: name, start_frame, end_frame, start_seconds, end_seconds, label,
    probability, truth, probabilities), dry_run.
    """
    from skelaug.config import load
    from skelaug.workflows import predict as workflow

    if as_json and form == "csv" and output is None:
        raise UsageError("--json: expected no --format csv, got both; add -o FILE, or drop one")
    flags = {
        "data": poses,
        "models": model,
        "weights": weights.split(",") if weights is not None else None,
        "split": split,
        "window": window,
        "stride": stride,
        "out": output,
        "format": form,
        "top": top,
        "confusion": confusion,
        "batch": batch,
    }
    report = workflow.run(
        load(workflow.PredictConfig, flags=flags),
        force=force,
        dry_run=dry_run,
        device=device,
        write=None if as_json else render.write,
        progress=render.progress(quiet=quiet),
    )
    if not quiet:
        for warning in report.warnings:
            render.note(f"warning: {warning}")
    streamed = output is None and not dry_run
    render.report(
        "predict",
        report,
        as_json=as_json,
        quiet=quiet,
        show=show_note if streamed else show_summary,
    )
    if report.rejected:
        raise typer.Exit(exits.FINISHED_WITH_REJECTS)


def _summary(report: PredictReport) -> str:
    what = f"{report.clips} clips"
    if report.windows is not None:
        what += f" in {report.windows} windows"
    if report.accuracy is None or report.chance is None:
        return what
    chance = max(report.chance.uniform, report.chance.majority)
    what += f", {100 * report.accuracy:.1f} % right (chance {100 * chance:.1f} %)"
    if report.unknown_classes and report.known_accuracy is not None:
        what += f"; {100 * report.known_accuracy:.1f} % of the classes that the model knows"
    if report.unseen_accuracy is not None:
        what += f"; {100 * report.unseen_accuracy:.1f} % of clips that no model was trained on"
    return what


def show_note(report: PredictReport) -> None:
    """Beside answers on stdout, talk belongs on stderr."""
    render.note(f"{_summary(report)}, {report.clips_per_second:.0f} clips/s")
    for rejection in report.rejected:
        render.note(f"rejected {rejection.name}: {rejection.reason}")


def show_summary(report: PredictReport) -> None:
    """What was written, and how right it is."""
    verb = "would write" if report.dry_run else "wrote"
    render.line(f"{verb} {report.output or 'to stdout'}: {_summary(report)}")
    render.facts(
        {
            "models": [f"{one.name} ({one.kind}, weight {one.weight:g})" for one in report.models],
            "confusion matrix": report.confusion,
            "clips per second": None if report.dry_run else report.clips_per_second,
        }
    )
    if report.class_accuracy:
        rows = [(row.label, row.clips, row.accuracy) for row in report.class_accuracy]
        answers = "windows" if report.windows is not None else "clips"
        render.table(["class", answers, "accuracy"], rows)
    if report.rejected:
        render.table(["rejected", "because"], [(one.name, one.reason) for one in report.rejected])
