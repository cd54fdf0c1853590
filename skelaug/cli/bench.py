"""``skelaug bench``: does synthetic data make the recognizer better, and how sure is that?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from skelaug.cli import render
from skelaug.cli.options import (
    AsJson,
    ConfigFile,
    Device,
    DryRun,
    Quiet,
    RealClips,
    SetValues,
    TestPart,
)
from skelaug.errors import UsageError

if TYPE_CHECKING:
    from skelaug.benchmark.report import BenchReport

__all__ = ["EXAMPLES", "bench"]

_SHORT = (
    "--set recognizer_settings.optimisation.steps=20 --set generator_settings.optimisation.steps=20"
)
EXAMPLES = [
    f"skelaug bench incremental data.h5 --out b --split subject=1,2 --ratio 1 --seeds 2 {_SHORT}",
    "skelaug bench replacement data.h5 --out b --split subject=1,2 --ratio 0.5 --dry-run",
    "skelaug bench incremental data.h5 --out b --split subject=1,2 --regime subjects --dry-run",
    "skelaug bench incremental data.h5 --out b --split subject=1,2 --generator actor "
    "--generator action2motion --arm classical --arm synthetic+classical --dry-run",
]


def bench(
    mode: Annotated[
        Literal["replacement", "incremental"],
        typer.Argument(help="Swap real clips for synthetic ones, or add them."),
    ],
    data: RealClips = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="RUN", help="Folder of results; may be shared.  [bench]"),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option("--split", metavar="RULE", help="Training part.  [default: official]"),
    ] = None,
    test: TestPart = None,
    regime: Annotated[
        Literal["scarce", "labels", "rare", "transfer", "subjects"] | None,
        typer.Option("--regime", help="Who sees which clips.  [default: scarce]"),
    ] = None,
    protocol: Annotated[
        Literal["scarce", "paper"] | None,
        typer.Option("--protocol", help="paper: 20 % of the performers are the generator's."),
    ] = None,
    recognizer: Annotated[
        list[str] | None,
        typer.Option("--recognizer", metavar="NAME", help="Network; repeatable.  [compact]"),
    ] = None,
    generator: Annotated[
        list[str] | None,
        typer.Option(
            "--generator",
            metavar="NAME|RUN|FILE",
            help="diffusion, performers, guided, paper, actor, action2motion ..., a model, or a "
            "file of synthetic clips; repeatable.",
        ),
    ] = None,
    arm: Annotated[
        list[str] | None,
        typer.Option("--arm", metavar="NAME", help="Only this arm; repeatable.  [all]"),
    ] = None,
    ratio: Annotated[
        list[str] | None,
        typer.Option("--ratio", metavar="R", help="Synthetic over real, 0.5 or 50%; repeatable."),
    ] = None,
    fraction: Annotated[
        float | None, typer.Option("--fraction", help="Share of clips that the recognizer has.")
    ] = None,
    other: Annotated[
        list[Path] | None,
        typer.Option("--other", metavar="FILE.h5", help="Other data set (transfer); repeatable."),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option("--seeds", min=1, help="Draws of clips.  [default: 5]")
    ] = None,
    repeats: Annotated[
        int | None, typer.Option("--repeats", min=1, help="Trainings per draw.  [default: 1]")
    ] = None,
    config: ConfigFile = None,
    set_values: SetValues = None,
    device: Device = "auto",
    dry_run: DryRun = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Measure whether synthetic clips make a recognizer better.

    Every arm trains the same network for the same number of steps on the same draws of real clips:
    without augmentation (real), with copies (oversampling), with classical augmentation
    (classical), with synthetic clips (synthetic), with both (synthetic+classical), and what the
    regime adds. Where they are named, --arm noisy-poses and noisy-poses+classical learn from copies
    with the errors of a depth sensor (--set noise=RUN, of `skelaug train refiner`). The verdict
    compares the best synthetic arm with the best other one, paired by draw, with a 95 % interval.

    scarce: few clips for all. labels: many clips, few labels. rare: few clips of some classes.
    subjects: few performers, the generator has others. transfer: the generator has other data
    sets (--other).

    Finished cells are never trained twice: the same command goes on after an interruption, and any
    number of processes may share RUN (the command started twice, or torchrun). RUN/table.md,
    table.csv, report.json and benchmark.png hold the result.

    JSON: data, mode, regime, verdict (outcome, sentence), rare_verdict, chance, rows, gains,
    rare_gains, control, control_gains, classes, classes_of, cells, remaining, seconds, dry_run,
    notes, settings.
    """
    from skelaug.benchmark.run import run
    from skelaug.benchmark.settings import BenchConfig
    from skelaug.config import load

    folder = out or Path("bench")
    before = folder / "config.yaml"
    if data is None and config is None and not before.exists():
        raise UsageError(f"{folder}: expected DATA.h5 or a benchmark to go on with, got neither")
    settings = load(
        BenchConfig,
        preset={"out": folder},
        file=config or (before if data is None else None),
        overrides=set_values or (),
        flags={
            "mode": mode,
            "data": data,
            "out": out,
            "split": split,
            "test": test,
            "regime": regime,
            "protocol": protocol,
            "recognizers": tuple(recognizer) if recognizer else None,
            "generators": tuple(generator) if generator else None,
            "arms": tuple(arm) if arm else None,
            "ratios": tuple(_ratio(text) for text in ratio) if ratio else None,
            "fraction": fraction,
            "others": tuple(other) if other else None,
            "seeds": seeds,
            "repeats": repeats,
        },
    )
    report = run(settings, dry_run=dry_run, device=device, progress=render.progress(quiet=quiet))
    if not quiet:
        for line in report.notes:
            render.note(f"note: {line}")
    render.report("bench", report, as_json=as_json, quiet=quiet, show=_show)


def _ratio(text: str) -> float:
    """0.5 from ``0.5`` or ``50%``."""
    number = text.strip().removesuffix("%")
    try:
        return float(number) / (100 if text.strip().endswith("%") else 1)
    except ValueError as error:
        raise UsageError(f"--ratio {text}: expected a number like 0.5 or 50%") from error


def _show(report: BenchReport) -> None:
    from skelaug.benchmark.report_files import markdown_table

    if report.dry_run:
        render.line(
            f"would train {report.remaining} of {report.cells} recognizers, and the generators "
            f"they need, in {report.settings['out']}"
        )
        return
    render.write(markdown_table(report))
    render.line(f"wrote table.md, table.csv, report.json and pictures to {report.settings['out']}")
