"""``skelaug bench``: every arm on the same draws, one table, one picture, one sentence."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from skelaug.benchmark.cells import Cells
from skelaug.benchmark.grid import Grid
from skelaug.benchmark.report import BenchReport, bench_report
from skelaug.benchmark.report_files import write_report
from skelaug.benchmark.settings import BenchConfig
from skelaug.benchmark.sources import Sources
from skelaug.benchmark.table import Table
from skelaug.config import write_resolved
from skelaug.data.splits import Split
from skelaug.data.store import SequenceFile
from skelaug.errors import UsageError
from skelaug.files import require_file
from skelaug.models.recognizers import RECOGNIZERS
from skelaug.place import alone
from skelaug.progress import Progress, silent
from skelaug.workflows.training_clips import training_clips
from skelaug.workflows.training_run import known

__all__ = ["run"]


def run(
    config: BenchConfig,
    *,
    dry_run: bool = False,
    device: str = "auto",
    progress: Progress = silent,
) -> BenchReport:
    """Train every cell that is missing, and report on all of them.

    The folder `config.out` may be shared: each process that is given it takes cells that no other
    has, and reports when all are finished.

    Args:
        config: What is compared.
        dry_run: Only say which cells there are.
        device: ``auto``, ``cpu``, ``cuda`` ...; each process that ``torchrun`` starts has its own.
        progress: Shows the tasks.

    Raises:
        NotFoundError: A file or a generator does not exist.
        UsageError: Settings do not fit one another or the file.
        DataError: The clips cannot be drawn so, or a generator has seen the test part.
        InterruptedRunError: A signal stopped it; the same command goes on.
    """
    started = time.monotonic()
    config = _checked(config.resolved())
    split, notes = _parts(config)
    with SequenceFile(config.data) as file, alone(device) as own:
        grid = Grid(config.out)
        table = Table(split, Cells(Sources(config, grid, file, device=own)))
        tasks = list(table.tasks.values())
        if not dry_run:
            config.out.mkdir(parents=True, exist_ok=True)
            write_resolved(config.out / "config.yaml", config)
            grid.complete(tasks, progress=progress)
        done = {place: task for place, task in table.tasks.items() if grid.is_done(task)}
        scores = [table.score(place, task) for place, task in done.items()]
        report = bench_report(
            scores,
            config=config,
            notes=[*notes, *table.notes, *table.notes_on(done)],
            cells=len(set(tasks)),
            remaining=len({task for task in tasks if not grid.is_done(task)}),
            seconds=time.monotonic() - started,
            dry_run=dry_run,
        )
    if scores and not dry_run:
        write_report(report, config.out)
    return report


def _checked(config: BenchConfig) -> BenchConfig:
    require_file(config.data)
    for name in config.recognizers:
        try:
            known(name, RECOGNIZERS)
        except ValueError as error:
            raise UsageError(f"--recognizer {error}") from error
    if config.mode == "replacement" and config.regime == "rare":
        raise UsageError("--regime rare: nothing is replaced; use `skelaug bench incremental`")
    if config.mode == "replacement" and max(config.ratios) >= 1:
        raise UsageError(
            f"--ratio {max(config.ratios):g}: expected less than 1, all clips, for a replacement; "
            f"`skelaug bench incremental` adds more"
        )
    if config.others and config.regime != "transfer":
        raise UsageError("--other: other data sets take part in --regime transfer alone")
    if not config.others and config.regime == "transfer":
        raise UsageError("--regime transfer: expected other data sets, got none; add --other F.h5")
    return config


def _parts(config: BenchConfig) -> tuple[Split, list[str]]:
    """Training and test part, without test clips that are copies of others."""
    clips = training_clips(config.data, split=config.split, test=config.test)
    split, leaked = clips.split, clips.leaked
    if not leaked:
        return split, list(split.notes)
    test = np.array([row for row in split.test if row not in leaked], dtype=np.int64)
    note = f"{len(leaked)} test clips are left out: they are copies of clips outside the test part"
    return replace(split, test=test), [*split.notes, note]
