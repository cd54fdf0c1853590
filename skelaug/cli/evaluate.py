"""``skelaug eval``: how good synthetic clips are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from skelaug.cli import render
from skelaug.cli.options import AsJson, ConfigFile, Force, Quiet, SetValues

if TYPE_CHECKING:
    from skelaug.workflows.evaluation_report import Estimate, EvaluationReport, Score

__all__ = ["EXAMPLES", "evaluate"]

EXAMPLES = [
    "skelaug eval data.h5 synthetic.h5",
    "skelaug eval data.h5 synthetic.h5 --split subject=1,2 --picture confusion.png",
    "skelaug eval data.h5 synthetic.h5 --spectrum spectrum.png",
    "skelaug eval data.h5 synthetic.h5 --save-network recognizers.safetensors -o scores.json",
]

_ROWS = {
    "fid": "FID",
    "accuracy": "accuracy",
    "diversity": "diversity, overall",
    "action_diversity": "diversity, per action",
    "bone_length_variation": "bone-length variation",
    "velocity_mm": "velocity, mm/frame",
    "acceleration_mm": "acceleration, mm/frame²",
    "velocity_m_s": "velocity, m/s",
    "acceleration_m_s2": "acceleration, m/s²",
    "nearest_median_mm": "nearest, median, mm",
    "nearest_p05_mm": "nearest, 5th pct., mm",
}


def evaluate(
    real: Annotated[Path, typer.Argument(metavar="REAL.h5", help="Real clips.")],
    synthetic: Annotated[Path, typer.Argument(metavar="SYNTH.h5", help="Synthetic clips.")],
    split: Annotated[
        str | None,
        typer.Option(
            "--split",
            metavar="RULE",
            help="Real clips that are the training part: official, xsub, xview, xset, "
            "subject=1,3, name=FILE.  [default: the generator's]",
        ),
    ] = None,
    network: Annotated[
        str | None,
        typer.Option(
            "--network",
            metavar="NAME|FILE",
            help="Recognizers that --save-network kept, or of a packaged model, instead of "
            "training them.",
        ),
    ] = None,
    save_network: Annotated[
        Path | None,
        typer.Option("--save-network", metavar="FILE", help="Keep the recognizers for --network."),
    ] = None,
    frames: Annotated[
        int | None,
        typer.Option(
            "--frames", min=4, help="Frames that every clip is resampled to.  [default: 24]"
        ),
    ] = None,
    draws: Annotated[
        int | None,
        typer.Option("--draws", min=2, help="Matched draws behind each interval.  [default: 20]"),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=1, help="Most clips to use of each part.  [default: 10000]"),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Write the scores as JSON."),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option("--picture", metavar="PNG", help="Draw the confusion matrices."),
    ] = None,
    spectrum: Annotated[
        Path | None,
        typer.Option("--spectrum", metavar="PNG", help="Draw the energy of motions by frequency."),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", min=0, help="Root of every random number.  [default: 0]"),
    ] = None,
    config: ConfigFile = None,
    set_values: SetValues = None,
    force: Force = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Score synthetic clips against real ones.

    Every number stands beside the same number of real training clips against other real training
    clips (the floor: what a perfect generator would have) and of the real test part, each a mean
    over matched draws with its 95 % interval. FID, accuracy and diversity are seen through GRU
    recognizers that are trained on the training part, each on one half of it, and that judge only
    clips that they have not seen. "Nearest" is the distance to the nearest training clip: smaller
    than among real clips means copies. "High-band energy" is that of the fastest three quarters of
    the cosine frequencies of root-relative positions over a clip: too little is a blurred motion,
    too much jitter.

    JSON: real, synthetic, split, split_hash, draws, clips (train, synthetic, held_out, per_draw);
    fid, accuracy (fractions), diversity, action_diversity, bone_length_variation, velocity_mm,
    acceleration_mm, velocity_m_s, acceleration_m_s2, nearest_median_mm, nearest_p05_mm: each unit,
    synthetic, real, held_out (mean, half_width), ratio; spectrum (unit, low; synthetic, real,
    held_out: mean and half_width of each frequency; high_band, as above); copies (threshold_mm and
    fractions), recognizer (source, held_out_accuracy, unseen_accuracy, seconds), classes (label,
    train, synthetic, held_out, synthetic_accuracy, held_out_accuracy), notes, seconds.
    """
    from skelaug.config import load
    from skelaug.workflows import evaluate as workflow

    settings = load(
        workflow.EvaluateConfig,
        file=config,
        overrides=set_values or (),
        flags={
            "real": real,
            "synthetic": synthetic,
            "split": split,
            "network": network,
            "save_network": save_network,
            "frames": frames,
            "draws": draws,
            "limit": limit,
            "out": output,
            "picture": picture,
            "spectrum": spectrum,
            "seed": seed,
        },
    )
    report = workflow.run(settings, force=force, progress=render.progress(quiet=quiet))
    if not quiet:
        for note in report.notes:
            render.note(f"note: {note}")
    render.report("eval", report, as_json=as_json, quiet=quiet, show=_show)


def _show(report: EvaluationReport) -> None:
    clips, seen = report.clips, report.recognizer
    render.line(
        f"{clips.synthetic} synthetic clips of {len(report.classes)} classes against "
        f"{clips.train} real training clips ({report.draws} draws of {clips.per_draw})"
    )
    rows = [_row(name, getattr(report, field)) for field, name in _ROWS.items()]
    rows.append(_row("high-band energy, mm²", report.spectrum.high_band))
    render.table(["", "synthetic", "real (floor)", "held-out", "synth/real"], rows)
    render.facts(
        {
            "split": report.split or "all real clips are training clips",
            "recognizers": f"{seen.source}; "
            f"{_percent(seen.unseen_accuracy)} of unseen training clips right, "
            f"{_percent(seen.held_out_accuracy)} of held-out clips",
            "copies": f"{_percent(report.copies.synthetic)} of synthetic clips are nearer than "
            f"{report.copies.threshold_mm:.3g} mm to a training clip; of real ones "
            f"{_percent(report.copies.real)}",
            "seconds": report.seconds,
        }
    )


def _row(name: str, score: Score) -> list[object]:
    columns = [_text(score.synthetic), _text(score.real), _text(score.held_out)]
    return [name, *columns, "" if score.ratio is None else f"{score.ratio:.2f}"]


def _text(estimate: Estimate | None) -> str:
    return "" if estimate is None else f"{estimate.mean:.3g} ± {estimate.half_width:.1g}"


def _percent(fraction: float | None) -> str:
    return "none" if fraction is None else f"{100 * fraction:.1f} %"
