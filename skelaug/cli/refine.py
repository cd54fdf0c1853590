"""``skelaug refine``: make noisy 3D poses more accurate."""

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
    from skelaug.workflows.refinement_report import Change, RefineReport

__all__ = ["EXAMPLES", "refine"]

EXAMPLES = [
    "skelaug refine data.h5 -o smooth.h5 --method butterworth",
    "skelaug refine data.h5 -o smooth.h5 --method savitzky-golay --picture smooth.png",
    "skelaug refine noisy.h5 -o clean.h5 --model refiner --truth data.h5",
    "skelaug refine noisy.h5 -o drawn.h5 --model refiner --sample 3",
    "skelaug refine data.h5 --method one-euro --dry-run",
    "skelaug refine data.h5 --method moving-median --set root=keep -o steady.h5",
    "skelaug refine data.h5 --method butterworth --bones rigid -o rigid.h5",
]


def refine(
    poses: Poses,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="File to write.  [default: POSES.refined.h5 beside the input]",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="NAME|RUN",
            help="Packaged model, or run of `skelaug train refiner`.  [default: kinect20]",
        ),
    ] = None,
    method: Annotated[
        Literal[
            "diffusion",
            "linear-corrector",
            "butterworth",
            "savitzky-golay",
            "one-euro",
            "moving-median",
        ],
        typer.Option("--method", help="How to refine; filters need no model."),
    ] = "diffusion",
    bones: Annotated[
        Literal["keep", "rigid", "performer"] | None,
        typer.Option(
            "--bones",
            help="What becomes of bones in the end.  [default: the model's, else keep]",
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            "--steps", min=1, metavar="K", help="Steps of diffusion.  [default: the model's]"
        ),
    ] = None,
    sample: Annotated[
        int | None,
        typer.Option(
            "--sample", min=1, metavar="N", help="Draw N clips for each, in place of the best one."
        ),
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option(
            "--truth", metavar="TRUTH.h5", help="True poses of the same clips, to compare with."
        ),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option("--picture", metavar="FILE.png", help="Draw some clips before and after."),
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
    """Make noisy 3D poses more accurate, and say what that changed.

    Methods: diffusion, the network of a trained refiner, which looks for the error --steps times;
    linear-corrector, the error that the refiner's model of noise expects of a pose; butterworth,
    savitzky-golay, one-euro and moving-median, filters along time, which need no model.

    The pose about the root is refined, and the root put back. Diffusion does to its way what its
    model was trained for, the linear corrector nothing, a filter smooths it as well; --set
    root=keep leaves it, --set root=butterworth (or another filter) smooths it. With --bones rigid
    every bone keeps the median of its lengths in the clip, with --bones performer in all clips of a
    performer, which is better known, and joints move as little as that allows; --set low_pass=4
    cuts off what is faster than 4 Hz before. --method butterworth --bones rigid gives what a depth
    sensor's poses would be without most of their errors: `skelaug train refiner RIGID.h5 --noisy
    POSES.h5` finds its noise so. Long clips go through the network in windows that overlap and are
    blended.

    --sample draws poses from the model of noise that the noisy ones may stand for, N clips for
    each, named "CLIP, sample 0" and so on; a recognizer learns from them what such noise does.

    What was measured stays marked as such, refined clips have the source `refined`, synthetic ones
    stay `synthetic`; 2D poses, confidence and uncertainty stay as they are. A person of whom
    something is missing, or without the 2D pose that the model reads, is listed and written as it
    was (exit code 6): fill gaps first with `skelaug impute`. Clips of one frame stay as they are. A
    killed command goes on with --resume.

    Without the truth the report says what changed: the mean acceleration of joints (jitter), the
    variation of the bones' lengths, and how far joints moved. With --truth it adds MPJPE and
    P-MPJPE in mm by class, and their mean over classes.

    JSON: data, output, method, model, steps, root, low_pass (Hz), bones, picture, clips, written,
    refined, frames, jitter (before, after; m/s^2), bone_length_variation (before, after; a
    fraction), displacement_mm, errors (action, frames, mpjpe, p_mpjpe: before, after; the last
    action is `mean`), rejected (name, reason), warnings, resumed_shards, seconds,
    frames_per_second, dry_run.
    """
    from skelaug.config import load
    from skelaug.workflows import refine as workflow
    from skelaug.workflows.refinement_report import RefineConfig

    settings = load(
        RefineConfig,
        file=config,
        overrides=set_values or (),
        flags={
            "data": poses,
            "out": output or poses.with_name(f"{poses.stem}.refined.h5"),
            "model": model,
            "method": None if method == "diffusion" else method,
            "bones": bones,
            "steps": steps,
            "sample": sample,
            "truth": truth,
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
    render.report("refine", report, as_json=as_json, quiet=quiet, show=_show)
    if report.rejected:
        raise typer.Exit(exits.FINISHED_WITH_REJECTS)


def _show(report: RefineReport) -> None:
    verb = "would write" if report.dry_run else "wrote"
    render.line(f"{verb} {report.written} clips to {report.output}")
    render.facts(
        {
            "method": report.method,
            "model": report.model,
            "steps": report.steps,
            "root's way": report.root,
            "low pass (Hz)": report.low_pass or None,
            "bones": report.bones,
            "picture": report.picture,
        }
    )
    if report.dry_run:
        return
    render.facts(
        {
            "refined": report.refined,
            "jitter (m/s²)": _change(report.jitter),
            "bone-length variation": _change(report.bone_length_variation, percent=True),
            "joints moved by (mm)": report.displacement_mm,
            "frames per second": report.frames_per_second,
        }
    )
    if report.errors:
        render.table(
            ["error in mm", "frames", "MPJPE before", "after", "P-MPJPE before", "after"],
            [
                (
                    row.action or "(no label)",
                    row.frames,
                    f"{row.mpjpe.before:.1f}",
                    f"{row.mpjpe.after:.1f}",
                    f"{row.p_mpjpe.before:.1f}",
                    f"{row.p_mpjpe.after:.1f}",
                )
                for row in report.errors
            ],
        )
    if report.rejected:
        render.table(
            ["not refined", "because"], [(one.name, one.reason) for one in report.rejected]
        )


def _change(change: Change | None, *, percent: bool = False) -> str | None:
    if change is None:
        return None
    if percent:
        return f"{100 * change.before:.2f} % before, {100 * change.after:.2f} % after"
    return f"{change.before:.2f} before, {change.after:.2f} after"
