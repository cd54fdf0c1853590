"""``skelaug score``: find clips that look like nothing a model has seen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

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
)
from skelaug.errors import UsageError

if TYPE_CHECKING:
    from skelaug.workflows.score_report import ScoreReport

__all__ = ["EXAMPLES", "score"]

EXAMPLES = [
    "skelaug score data.h5 -o scores.csv",
    "skelaug score data.h5 --json",
    "skelaug score synthetic.h5 -o scores.jsonl --picture scores.png",
    "skelaug score data.h5 --split subject=1,2 -o unseen.csv",
    "skelaug score synthetic.h5 --like data.h5 -o by_camera.csv",
    "skelaug score data.h5 --by posterior -o published.csv",
]


def score(
    poses: Poses,
    model: Annotated[
        str,
        typer.Option(
            "--model", metavar="NAME|RUN", help="Packaged model or run of `skelaug train hgvae`."
        ),
    ] = "kinect20",
    by: Annotated[
        Literal["joint", "posterior"] | None,
        typer.Option("--by", help="The log-density that decides.  [default: joint]"),
    ] = None,
    split: OutsideTraining = None,
    min_confidence: Annotated[
        float | None,
        typer.Option(
            "--min-confidence", min=0.0, max=1.0, help="Joints with less are missing.  [default: 0]"
        ),
    ] = None,
    like: Annotated[
        Path | None,
        typer.Option(
            "--like",
            metavar="GOOD.h5",
            help="Clips that say what is usual, not the training clips.",
        ),
    ] = None,
    output: LinesOutput = None,
    form: LinesFormat = "auto",
    picture: Annotated[
        Path | None,
        typer.Option("--picture", metavar="FILE.png", help="Draw a histogram of the scores."),
    ] = None,
    device: Device = "auto",
    force: Force = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Find clips that look like nothing a model has seen.

    A line per person of a clip (from 0): its log-density under the model, the mean over windows of
    the clip, without randomness; how many deviations of the usual clips it lies above their mean;
    and whether it is out of distribution, more than one deviation below. Missing joints are filled
    with the training mean first; their number stands beside the score.

    The usual clips are those that the model was trained on. Where yours come from another camera or
    other performers, most of them are flagged for that alone. Then give --like GOOD.h5: 8 or more
    clips of the same camera that nothing is wrong with, best of the same actions. The model stays
    the same; what is flagged is what it finds odd for such clips.

    --by joint is the density of the window and its latent variables together, --by posterior that
    of the latent variables alone, as Bourached et al. publish it; joint is the default because a
    damaged window can have latent variables as usual as any, and only joint sees that it is not as
    they say.

    A packaged model judges clips of its own joints; `skelaug train hgvae DATA.h5 --out RUN` makes
    one of others. A clip of a higher frame rate than the model's is read in several phases.
    Exit code 6: some clips, or persons in them, have no measured joint (of --min-confidence), and
    no line; they are listed.

    JSON: data, output, picture, model, kind, by, like (null: the training clips are the usual
    ones), usual (mean, std, clips, threshold: one deviation below the mean; null in a dry run that
    would have to compute it), clips, persons, out_of_distribution, labels (label, scores,
    out_of_distribution, standardised), missing, rejected (name, reason), warnings, seconds,
    clips_per_second, scores (without -o: name, person, label, score, standardised,
    out_of_distribution, frames, missing), dry_run.
    """
    from skelaug.config import load
    from skelaug.workflows import score as workflow

    if as_json and form == "csv" and output is None:
        raise UsageError("--json: expected no --format csv, got both; add -o FILE, or drop one")
    flags = {
        "data": poses,
        "model": model,
        "by": by,
        "split": split,
        "min_confidence": min_confidence,
        "like": like,
        "out": output,
        "format": form,
        "picture": picture,
    }
    report = workflow.run(
        load(workflow.ScoreConfig, flags=flags),
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
    render.report("score", report, as_json=as_json, quiet=quiet, show=_note if streamed else _show)
    if report.rejected:
        raise typer.Exit(exits.FINISHED_WITH_REJECTS)


def _summary(report: ScoreReport) -> str:
    if report.dry_run:
        return f"{report.clips} clips"
    share = 100 * report.out_of_distribution / report.persons
    return (
        f"{report.persons} scores of {report.clips} clips, {report.out_of_distribution} out of "
        f"distribution ({share:.1f} %)"
    )


def _usual(report: ScoreReport) -> str:
    which = f"clips of {report.like}" if report.like else "training clips"
    if report.usual is None:
        return which
    mean, std = f"{report.usual.mean:.5g}", f"{report.usual.std:.3g}"
    return f"{mean} ± {std} nats, {report.usual.clips} {which}"


def _note(report: ScoreReport) -> None:
    """Beside scores on stdout, talk belongs on stderr."""
    render.note(f"{_summary(report)}, {report.clips_per_second:.0f} clips/s")
    for rejection in report.rejected:
        render.note(f"rejected {rejection.name}: {rejection.reason}")


def _show(report: ScoreReport) -> None:
    verb = "would write" if report.dry_run else "wrote"
    render.line(f"{verb} {report.output or 'to stdout'}: {_summary(report)}")
    render.facts(
        {
            "model": f"{report.model} ({report.kind})",
            "score": f"log-{report.by}",
            "usual": _usual(report),
            "flagged below": report.usual and f"{report.usual.threshold:.5g} nats",
            "joints filled": report.missing or None,
            "histogram": report.picture,
            "clips per second": None if report.dry_run else report.clips_per_second,
        }
    )
    if report.labels:
        rows = [
            (one.label or "(none)", one.scores, one.out_of_distribution, one.standardised)
            for one in report.labels
        ]
        render.table(["class", "scores", "out of distribution", "deviations"], rows)
    if report.rejected:
        render.table(["rejected", "because"], [(one.name, one.reason) for one in report.rejected])
