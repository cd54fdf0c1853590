"""``skelaug advise``: how many more clips a target takes, and whether synthesis would help."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from skelaug.cli import render
from skelaug.cli.options import AsJson, ConfigFile, Device, DryRun, Quiet, RealClips, SetValues
from skelaug.errors import UsageError

if TYPE_CHECKING:
    from skelaug.benchmark.advice import AdviseReport

__all__ = ["EXAMPLES", "advise"]

EXAMPLES = [
    "skelaug advise data.h5 --out a --split subject=1,2 --target 0.9 --no-synthesis "
    "--set recognizer_settings.optimisation.steps=20",
    "skelaug advise data.h5 --out a --seeds 5 --dry-run",
    "skelaug advise data.h5 --out a --generator performers --ratio 2 --dry-run",
]


def advise(
    data: RealClips = None,
    out: Annotated[
        Path, typer.Option("--out", metavar="RUN", help="Folder of the probe; may be shared.")
    ] = Path("advice"),
    split: Annotated[
        str | None,
        typer.Option(
            "--split",
            metavar="RULE",
            help="Training part; the rest is never looked at.  [default: official, else all clips]",
        ),
    ] = None,
    target: Annotated[
        float | None, typer.Option("--target", help="Accuracy wanted.  [default: 0.9]")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option("--seeds", min=1, help="Draws of clips.  [default: 3]")
    ] = None,
    ratio: Annotated[
        list[float] | None,
        typer.Option("--ratio", metavar="R", help="Synthetic over real; repeatable.  [1 and 3]"),
    ] = None,
    generator: Annotated[
        str | None,
        typer.Option(
            "--generator", metavar="NAME|RUN|FILE", help="As of `skelaug bench`.  [diffusion]"
        ),
    ] = None,
    recognizer: Annotated[
        str | None, typer.Option("--recognizer", metavar="NAME", help="Network.  [compact]")
    ] = None,
    synthesis: Annotated[
        bool | None, typer.Option("--synthesis/--no-synthesis", help="Try synthetic clips.")
    ] = None,
    config: ConfigFile = None,
    set_values: SetValues = None,
    device: Device = "auto",
    dry_run: DryRun = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Say how many more clips a target takes, and if synthesis helps.

    A short probe of the training part: in each draw about a quarter of the clips, of whole
    performers, is held out, and recognizers learn from a quarter, a half and all of the others. A
    law error = a n^-b, n clips per class, is fitted to all classes and to each, with 95 %
    intervals. Then a generator adds synthetic clips on the same draws.

    RUN/advice.md, advice.json and learning_curve.png hold the result, with the commands to go on
    with. The same command goes on after an interruption, and several processes may share RUN.

    JSON: data, split, target, clips, clips_per_class, curve (fraction, clips, accuracy, draws), law
    (a, b), accuracy (mean, low, high), needed (more, low, high), classes (label, clips, accuracy,
    needed), synthesis (generator, ratio, gain, p, corrected_p), outcome, sentences, commands,
    chance, cells, remaining, seconds, dry_run, notes, settings.
    """
    from skelaug.benchmark.advise import AdviseConfig, run
    from skelaug.config import load

    before = out / "config.yaml"
    if data is None and not before.exists():
        raise UsageError(f"{out}: expected DATA.h5 or a probe to go on with, got neither")
    settings = load(
        AdviseConfig,
        file=config or (before if data is None else None),
        overrides=set_values or (),
        flags={
            "data": data,
            "out": out,
            "split": split,
            "target": target,
            "seeds": seeds,
            "ratios": tuple(ratio) if ratio else None,
            "generator": generator,
            "recognizer": recognizer,
            "synthesis": synthesis,
        },
    )
    report = run(settings, dry_run=dry_run, device=device, progress=render.progress(quiet=quiet))
    if not quiet and (as_json or dry_run):
        for line in report.notes:
            render.note(f"note: {line}")
    render.report("advise", report, as_json=as_json, quiet=quiet, show=_show)


def _show(report: AdviseReport) -> None:
    from skelaug.benchmark.advice_files import markdown_advice

    out = report.settings["out"]
    if report.dry_run:
        render.line(
            f"would train {report.remaining} of {report.cells} recognizers, and the generators "
            f"they need, in {out}"
        )
        return
    render.write(markdown_advice(report))
    render.line(f"wrote advice.md, advice.json and learning_curve.png to {out}")
