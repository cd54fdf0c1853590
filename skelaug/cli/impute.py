"""``skelaug impute``: fill in what was not measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from skelaug.cli import exits, render
from skelaug.cli.options import (
    AsJson,
    ConfigFile,
    Device,
    DryRun,
    Force,
    Poses,
    Quiet,
    Resume,
    Seed,
    SetValues,
)

if TYPE_CHECKING:
    from skelaug.workflows.imputation_report import GapReport, ImputeReport

__all__ = ["EXAMPLES", "impute"]

EXAMPLES = [
    "skelaug impute gaps.h5 -o whole.h5",
    "skelaug impute gaps.h5 -o whole.h5 --picture whole.png",
    "skelaug impute gaps.h5 --dry-run",
    "skelaug impute gaps.h5 --method hgvae --steps 20 -o ascended.h5",
    "skelaug impute gaps.h5 --model prior --min-confidence 0.4 -o sure.h5",
    "skelaug impute gaps.h5 --model prior --model vae -o compared.h5",
    "skelaug impute gaps.h5 --method linear --trial-clips 0 -o quick.h5",
]


def impute(
    poses: Poses,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="File to write.  [default: POSES.imputed.h5 beside the input]",
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            metavar="NAME|RUN",
            help="Packaged model, or run of `skelaug train hgvae`; may be repeated, the main one "
            "first.  [default: kinect20]",
        ),
    ] = None,
    method: Annotated[
        Literal[
            "auto",
            "hold",
            "linear",
            "cubic",
            "mean",
            "reconstruction",
            "ascent",
            "motion-vae",
            "hm-vae",
            "hgvae",
        ],
        typer.Option("--method", help="How to fill; auto: the best for each kind of gap."),
    ] = "auto",
    steps: Annotated[
        int | None, typer.Option("--steps", min=1, help="Steps of an ascent.  [default: 10]")
    ] = None,
    min_confidence: Annotated[
        float | None,
        typer.Option(
            "--min-confidence",
            min=0.0,
            max=1.0,
            metavar="P",
            help="Joints with less confidence count as missing.  [default: 0]",
        ),
    ] = None,
    trial_clips: Annotated[
        int | None,
        typer.Option(
            "--trial-clips",
            min=0,
            metavar="N",
            help="Clips per kind of gap to measure the methods on; 0 = none.  [default: 24]",
        ),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option("--picture", metavar="FILE.png", help="Draw some of the imputed clips."),
    ] = None,
    seed: Seed = 0,
    config: ConfigFile = None,
    set_values: SetValues = None,
    device: Device = "auto",
    resume: Resume = False,
    force: Force = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Fill in what was not measured, and say how far off it may be.

    Missing is what is not observed, not a number, or below --min-confidence. Every measured
    coordinate stays as it is, bit for bit. What is invented keeps `observed` False; /uncertainty
    holds its standard deviation in metres, 0 where measured; its clips have the source `imputed`,
    synthetic ones stay `synthetic`. A person slot in which nothing was ever measured is nobody, and
    stays empty.

    Gaps are of four kinds: short (at most 10 frames, measured at both ends), long, open (up to the
    clip's first or last frame) and unseen (a joint that the clip never shows). First, known joints
    of the same file are hidden in gaps like its own, and all methods fill them: `auto` takes, for
    each kind, the one of least error; of equal ones the simplest. With fewer than 8 such gaps to
    measure on, short gaps are filled linearly and others by `reconstruction`. So --dry-run shows
    what to expect.

    Methods: hold, linear and cubic along time, which need no model; mean, the training mean;
    reconstruction, one pass of the model; ascent, --steps steps of posterior ascent from the mean,
    as the paper's code does. hgvae, motion-vae and hm-vae climb the joint density of the model of
    that kind from its own reconstruction; --set start=mean or =linear begins elsewhere, --set
    climbs=posterior climbs what the paper's code does. Each takes a --model of its kind, a RUN of
    `skelaug train hgvae DATA.h5 --out RUN --set model.name=motion-vae`; mean, reconstruction,
    ascent and the uncertainty are those of the first --model. auto tries all that can be had.

    The uncertainty of a model's inventions is the spread of its posterior samples, times a factor
    per kind that makes it as large as the errors just measured; that of other methods is their
    error; NaN where nothing was measured. A file without a gap is written as it is. A killed
    command goes on with --resume. Exit code 6: somebody has nothing to fill from, and is listed.

    JSON: data, output, models (name, kind), picture, clips, clips_with_gaps, imputed, missing,
    filled, gaps (kind, missing, filled, method or null where nothing fills them, reason,
    trial_clips, trial_joints, errors: method, rmse_mm, low_mm, high_mm), rejected (name, reason),
    warnings, resumed_shards, seconds, clips_per_second, dry_run. Joints are counted over all
    frames, persons from 0; low_mm to high_mm is the 95 % interval over the gaps that were hidden;
    gaps of one clip are alike, so that of few clips it is too narrow.
    """
    from skelaug.config import load
    from skelaug.workflows import impute as workflow
    from skelaug.workflows.imputation_report import ImputeConfig

    settings = load(
        ImputeConfig,
        file=config,
        overrides=set_values or (),
        flags={
            "data": poses,
            "out": output or poses.with_name(f"{poses.stem}.imputed.h5"),
            "models": model or None,
            "method": None if method == "auto" else method,
            "steps": steps,
            "min_confidence": min_confidence,
            "trial_clips": trial_clips,
            "picture": picture,
            "seed": seed,
        },
    )
    report = workflow.run(
        settings,
        resume=resume,
        force=force,
        dry_run=dry_run,
        device=device,
        progress=render.progress(quiet=quiet),
    )
    if not quiet:
        for warning in report.warnings:
            render.note(f"warning: {warning}")
    render.report("impute", report, as_json=as_json, quiet=quiet, show=_show)
    if report.rejected:
        raise typer.Exit(exits.FINISHED_WITH_REJECTS)


def _show(report: ImputeReport) -> None:
    verb = "would write" if report.dry_run else "wrote"
    render.line(f"{verb} {report.clips} clips to {report.output}")
    render.facts(
        {
            "models": [f"{one.name} ({one.kind})" for one in report.models],
            "picture": report.picture,
            "clips with gaps": report.clips_with_gaps,
            "missing joints": report.missing,
            "filled": None if report.dry_run else report.filled,
            "clips per second": None if report.dry_run else report.clips_per_second,
        }
    )
    if report.gaps:
        render.table(
            ["gaps", "missing", "filled with", "because"],
            [(gap.kind, gap.missing, gap.method or "nothing", gap.reason) for gap in report.gaps],
        )
    measured = [gap for gap in report.gaps if gap.errors]
    if measured:
        render.table(
            ["error in mm", *(f"{gap.kind} ({gap.trial_clips} gaps)" for gap in measured)],
            [[method, *(_error(gap, method) for gap in measured)] for method in _methods(measured)],
        )
    if report.rejected:
        render.table(["not filled", "because"], [(one.name, one.reason) for one in report.rejected])


def _methods(gaps: list[GapReport]) -> list[str]:
    from skelaug.workflows.imputation_report import METHODS

    tried = {error.method for gap in gaps for error in gap.errors}
    return [method for method in METHODS if method in tried]


def _error(gap: GapReport, method: str) -> str:
    """A method's root mean square error on a kind of gap with its interval; a star = taken."""
    for error in gap.errors:
        if error.method == method:
            star = " *" if method == gap.method else ""
            return f"{error.rmse_mm:.1f} ({error.low_mm:.1f} to {error.high_mm:.1f}){star}"
    return "-"
