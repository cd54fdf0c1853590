"""``skelaug zeroshot``: name actions that nobody labelled."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from skelaug.cli import exits, render
from skelaug.cli.options import (
    AsJson,
    Device,
    DryRun,
    Force,
    LinesOutput,
    Poses,
    Quiet,
    Stride,
    Window,
)
from skelaug.errors import UsageError

if TYPE_CHECKING:
    from skelaug.workflows.prediction_report import PredictReport
    from skelaug.workflows.zeroshot_eval import ZeroshotEvalReport

__all__ = ["EXAMPLES", "zeroshot"]

EXAMPLES = [
    'skelaug zeroshot predict data.h5 --model unseen --labels "wave, squat, jump up" -o z.csv',
    "skelaug zeroshot predict data.h5 --model unseen --top 3",
    "skelaug zeroshot predict data.h5 --model unseen --window 16 --labels-file labels.txt --json",
    "skelaug zeroshot eval actions.h5 --model unseen --draws 2 --picture confusion.png",
]


def zeroshot(
    what: Annotated[
        Literal["predict", "eval"],
        typer.Argument(help="Name clips by any labels, or test a model on unseen classes."),
    ],
    poses: Poses,
    model: Annotated[
        str, typer.Option("--model", metavar="RUN", help="A run of `skelaug train zeroshot`.")
    ],
    labels: Annotated[
        str | None,
        typer.Option(
            "--labels",
            metavar="LIST",
            help="What clips may be called, in your words.  [default: the model's classes]",
        ),
    ] = None,
    labels_file: Annotated[
        Path | None,
        typer.Option("--labels-file", metavar="FILE", help="The same, a label per line."),
    ] = None,
    descriptions: Annotated[
        str | None,
        typer.Option(
            "--descriptions",
            metavar="YAML|NAME",
            help="Texts that stand for labels of the same name: a file, or a data set's.",
        ),
    ] = None,
    text: Annotated[
        str | None,
        typer.Option("--text", metavar="NAME|FILE", help="Text encoder.  [default: the model's]"),
    ] = None,
    noises: Annotated[
        int | None,
        typer.Option("--noises", min=1, help="Noises per answer.  [default: as trained]"),
    ] = None,
    draws: Annotated[
        int | None,
        typer.Option(
            "--draws", min=1, help="eval: sets of noises for the intervals.  [default: 5]"
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            "--split",
            metavar="RULE",
            help="Only clips outside the training part of this rule.  [eval: the model's rule]",
        ),
    ] = None,
    window: Window = None,
    stride: Stride = None,
    output: LinesOutput = None,
    form: Annotated[
        Literal["auto", "jsonl", "csv"] | None,
        typer.Option("--format", help="auto: by the name of the output, else jsonl."),
    ] = None,
    top: Annotated[
        int | None,
        typer.Option("--top", min=1, help="Only the most probable labels.  [default: all]"),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option("--picture", metavar="FILE.png", help="Draw the confusion matrix."),
    ] = None,
    device: Device = "auto",
    force: Force = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Name actions that no training clip showed, by a text.

    predict: a line per clip, or per window, as `skelaug predict` writes them: the label whose text
    fits best, its probability and those of the other labels. Labels are free text, one phrase each:
    --labels "draw a circle, squat, wave". Say what the body does; "raise one hand and wave" is told
    apart better than "greet". Probabilities compare the given labels alone: there is no "none".
    Without labels all classes of the data compete, and learnt ones are handicapped as in eval. Exit
    code 6: some clips have no measured joint and no line.

    eval: accuracy on the test clips of the classes that the model was not trained on, among these
    classes; then of clips of all classes among all classes (generalised zero-shot: seen, unseen and
    their harmonic mean, with and without the calibration that held-out seen classes chose). Beside
    it two rivals on the same features and texts: a ridge map from texts to features, and
    autoencoders that share a code. Means and 95 % intervals over --draws sets of noises.

    A model reads clips of its own layout alone; `skelaug convert --layout` makes them.

    JSON: of predict data, output, confusion, models (name, kind, streams, weight), classes, clips,
    windows, rejected, accuracy, known_accuracy, unseen_accuracy (without training_clips),
    class_accuracy, chance, training_clips, unknown_classes, warnings, seconds, clips_per_second,
    predictions, dry_run; of eval data, model, method, mode, split, clips, unseen_clips, seen,
    unseen, chance, scores (method, measure, mean, half_width, draws), class_accuracy (label, clips,
    accuracy), picture, warnings, seconds, dry_run.
    """
    flags: dict[str, Any] = {"data": poses, "split": split, "text": text}
    naming: dict[str, Any] = {
        "descriptions": descriptions,
        "noises": noises,
        "window": window,
        "stride": stride,
        "out": output,
        "format": form,
        "top": top,
    }
    common = {"force": force, "dry_run": dry_run, "device": device}
    if what == "eval":
        extra = {**naming, "labels": labels, "labels_file": labels_file}
        _refuse(what, {"format": None, **extra}, names={"out": "-o"})
        _eval({**flags, "model": model, "draws": draws, "picture": picture}, common, quiet, as_json)
        return
    _refuse(what, {"draws": draws})
    if as_json and form == "csv" and output is None:
        raise UsageError("--json: expected no --format csv, got both; add -o FILE, or drop one")
    naming |= {"labels": _labels(labels, labels_file), "models": (model,), "confusion": picture}
    _predict({**flags, **naming}, common, quiet, as_json)


def _refuse(what: str, given: dict[str, Any], names: dict[str, str] | None = None) -> None:
    """Options of the other kind of command."""
    for key, value in given.items():
        if value is not None:
            option = (names or {}).get(key, "--" + key.replace("_", "-"))
            raise UsageError(f"zeroshot {what}: expected no {option}, got {value}; leave it out")


def _labels(labels: str | None, file: Path | None) -> list[str] | None:
    from skelaug.workflows.zeroshot_predict import read_labels

    if labels is not None and file is not None:
        raise UsageError("--labels-file: expected no --labels too, got both; give one of them")
    if file is not None:
        found = read_labels(file)
        if not found:
            raise UsageError(f"--labels-file {file}: expected a label per line, got none")
        return found
    return None if labels is None else labels.split(",")


def _predict(flags: dict[str, Any], common: dict[str, Any], quiet: bool, as_json: bool) -> None:
    from skelaug.cli.predict import show_note, show_summary
    from skelaug.config import load
    from skelaug.workflows import zeroshot_predict as workflow

    report: PredictReport = workflow.run(
        load(workflow.ZeroshotPredictConfig, flags=flags),
        write=None if as_json else render.write,
        progress=render.progress(quiet=quiet),
        **common,
    )
    if not quiet:
        for warning in report.warnings:
            render.note(f"warning: {warning}")
    streamed = flags["out"] is None and not report.dry_run
    show = show_note if streamed else show_summary
    render.report("zeroshot", report, as_json=as_json, quiet=quiet, show=show)
    if report.rejected:
        raise typer.Exit(exits.FINISHED_WITH_REJECTS)


def _eval(flags: dict[str, Any], common: dict[str, Any], quiet: bool, as_json: bool) -> None:
    from skelaug.config import load
    from skelaug.workflows import zeroshot_eval as workflow

    report = workflow.run(
        load(workflow.ZeroshotEvalConfig, flags=flags),
        progress=render.progress(quiet=quiet),
        **common,
    )
    if not quiet:
        for warning in report.warnings:
            render.note(f"warning: {warning}")
    render.report("zeroshot", report, as_json=as_json, quiet=quiet, show=_show)


def _show(report: ZeroshotEvalReport) -> None:
    verb = "would test" if report.dry_run else "tested"
    render.facts(
        {
            "classes": f"{len(report.seen)} seen, {len(report.unseen)} unseen",
            "unseen": report.unseen,
            "clips": report.clips,
            "of unseen classes": report.unseen_clips,
            "chance": report.chance,
            "picture": report.picture,
        },
        title=f"{verb} {report.model} ({report.method}, {report.mode}) on {report.data}",
    )
    if not report.scores:
        return
    methods = list(dict.fromkeys(one.method for one in report.scores))
    cells = {(one.measure, one.method): one for one in report.scores}
    rows = [
        [measure, *(_percent(cells.get((measure, method))) for method in methods)]
        for measure in dict.fromkeys(one.measure for one in report.scores)
    ]
    render.table(["%", *methods], rows)
    by_class = [[one.label, one.clips, one.accuracy] for one in report.class_accuracy]
    render.table(["unseen class", "clips", "accuracy"], by_class)


def _percent(one: Any) -> str:
    if one is None:
        return ""
    width = f" ± {100 * one.half_width:.1f}" if one.draws > 1 else ""
    return f"{100 * one.mean:.1f}{width}"
