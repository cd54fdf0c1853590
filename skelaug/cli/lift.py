"""``skelaug lift``: 2D poses to 3D ones."""

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
    Quiet,
    Resume,
    Seed,
    SetValues,
)

if TYPE_CHECKING:
    from skelaug.workflows.lift_report import LiftReport

__all__ = ["EXAMPLES", "lift"]

EXAMPLES = [
    "skelaug lift filmed.h5 -o lifted.h5 --model lifter",
    "skelaug lift pixels.npz -o lifted.h5 --model lifter --size 640x480 --fps 30",
    "skelaug lift filmed.h5 -o tested.h5 --model lifter --split subject=1,2 --part test",
    "skelaug lift filmed.h5 -o noisy.h5 --model lifter --set keypoint_noise.share=1",
    "skelaug lift filmed.h5 --model lifter --dry-run",
]


def lift(
    poses: Annotated[
        Path,
        typer.Argument(metavar="POSES2D", help="Sequences (.h5) with 2D poses, or pixels (.npz)."),
    ],
    model: Annotated[
        str, typer.Option("--model", metavar="RUN", help="Run of `skelaug train lifter`.")
    ],
    folds: Annotated[
        list[str] | None,
        typer.Option(
            "--fold", metavar="RUN", help="Lifter trained without some performers; may be repeated."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="File to write.  [default: POSES2D.lifted.h5 beside the input]",
        ),
    ] = None,
    size: Annotated[
        str | None, typer.Option("--size", metavar="WxH", help="Image of an .npz, in pixels.")
    ] = None,
    fps: Annotated[
        float | None, typer.Option("--fps", min=0.001, help="Frames per second of an .npz.")
    ] = None,
    part: Annotated[
        Literal["all", "train", "test"],
        typer.Option("--part", help="Which clips: all, or one part of the split."),
    ] = "all",
    split: Annotated[
        str | None,
        typer.Option(
            "--split", metavar="RULE", help="The split of --part.  [default: that of the model]"
        ),
    ] = None,
    longest_gap: Annotated[
        float | None,
        typer.Option(
            "--longest-gap",
            min=0.0,
            metavar="SECONDS",
            help="Gaps of the 2D poses that are closed along time.  [default: 0.5]",
        ),
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
    """Lift 2D poses to 3D with a trained lifter.

    POSES2D is a sequence file with /keypoints or with 2 coordinates per joint, normalised as
    x / w * 2 - 1, y / w * 2 - h / w; or an .npz with one array of pixels per clip, frames x joints
    x 2 (or frames x persons x joints x 2), NaN where not detected, in the model's order of joints,
    with --size and --fps.

    The 3D poses are in metres and in the camera's frame, relative to the root: where a body stands
    cannot be seen, so its root is at the origin. Clips keep names, labels, frame rates, keypoints
    and confidence; every joint counts as observed. Windows overlap, so that clips may be of any
    length.

    All clips are lifted, those that the model learnt from too, as `skelaug train refiner` needs
    them; the output's provenance holds the split of the model. On training clips a lifter errs less
    than on others; with --fold a clip that the model learnt from is lifted by a fold that does not
    know its performer (cross-fitting). --part test lifts one part only. --set
    keypoint_noise.share=1 draws the errors of a detector onto exact 2D poses first; --set
    flip=false does without mirror images.

    A killed command goes on with --resume. Exit code 6: some clips were rejected and are not in the
    output: no detection, a joint missing for longer than --longest-gap, or pixels that are not
    normalised.

    JSON: data, output, model, kind, part, clips, lifted, by_folds, frames, rejected (name,
    reason), warnings, resumed_shards, seconds, frames_per_second, dry_run.
    """
    from skelaug.config import load
    from skelaug.workflows import lift as workflow
    from skelaug.workflows.lift_report import LiftConfig

    settings = load(
        LiftConfig,
        file=config,
        overrides=set_values or (),
        flags={
            "data": poses,
            "out": output or poses.with_name(f"{poses.stem}.lifted.h5"),
            "model": model,
            "folds": folds,
            "size": size,
            "fps": fps,
            "part": None if part == "all" else part,
            "split": split,
            "longest_gap": longest_gap,
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
    render.report("lift", report, as_json=as_json, quiet=quiet, show=_show)
    if report.rejected:
        raise typer.Exit(exits.FINISHED_WITH_REJECTS)


def _show(report: LiftReport) -> None:
    if report.dry_run:
        render.line(f"would lift {report.clips} clips to {report.output}")
        return
    render.line(f"lifted {report.lifted} clips to {report.output}")
    render.facts(
        {
            "model": f"{report.model} ({report.kind})",
            "part": report.part,
            "frames": report.frames,
            "frames per second": report.frames_per_second,
        }
    )
    if report.by_folds:
        render.line(f"{report.by_folds} clips were lifted by folds")
    if report.rejected:
        render.table(["not lifted", "because"], [(one.name, one.reason) for one in report.rejected])
