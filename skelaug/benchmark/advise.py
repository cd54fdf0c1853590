"""``skelaug advise``: from a short probe, how many more clips a target takes, and what helps.

The test part of the file is never looked at. Of the training part, other performers are the
validation part in each draw of clips (see `skelaug.benchmark.validation`); recognizers learn from a
quarter, a half and all of the rest. On the same draws, a generator trained on all of the rest adds
synthetic clips.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator, BaseModel, Field, NonNegativeInt, PositiveFloat, PositiveInt

from skelaug.benchmark.advice import AdviseReport
from skelaug.benchmark.advice_files import write_advice
from skelaug.benchmark.advice_text import advice_sentences, next_commands
from skelaug.benchmark.arms import choose_arms
from skelaug.benchmark.cells import Cells, Place
from skelaug.benchmark.draws import draw_clips
from skelaug.benchmark.grid import Grid
from skelaug.benchmark.probe import Probe, ProbeCell
from skelaug.benchmark.settings import BenchConfig
from skelaug.benchmark.sources import Sources
from skelaug.benchmark.validation import carve_validation
from skelaug.config import merge, write_resolved
from skelaug.data.splits import Split, split_clips
from skelaug.data.store import SequenceFile
from skelaug.errors import DataError, UsageError
from skelaug.files import require_file, sha256
from skelaug.models.recognizers import RECOGNIZERS
from skelaug.place import alone
from skelaug.progress import Progress, silent
from skelaug.workflows.training_clips import TrainingClips
from skelaug.workflows.training_run import known

__all__ = ["AdviseConfig", "run"]

_MOST_LABELS = 5
_CLASSICAL, _SYNTHETIC = "classical", "synthetic+classical"
_SHORT: Mapping[str, Mapping[str, Any]] = {  # ends on two cores within about ten minutes
    "recognizer_settings": {"optimisation": {"steps": 300}},
    "generator_settings": {"optimisation": {"steps": 600, "warmup": 60, "ema_decay": 0.99}},
}
_PEOPLE = (
    "the curve is that of more clips of the same performers, tested on others; clips of further "
    "performers may be worth more"
)
_SHORTENED = (
    "trainings are short ones ({steps} steps of the recognizer): full ones may reach more, and a "
    "generator that learns for longer may help more; `skelaug bench` tells"
)

Share = Annotated[float, Field(gt=0.0, le=1.0)]


class AdviseConfig(BaseModel, frozen=True, extra="forbid"):
    """What is asked, and how much work the answer may take.

    Attributes:
        data: Sequence file of labelled real clips.
        out: Folder of the probe; the same folder goes on, and is shared by several processes.
        split: The training part; the rest is never looked at. None = the official one where the
            names of the clips have one, else all clips.
        target: Accuracy wanted.
        fractions: Shares of the clips beside the validation part, two or more.
        seeds: Draws of clips, each with a validation part, weights and batches of its own.
        first_seed: The first of them.
        synthesis: Whether synthetic clips are tried.
        ratios: Synthetic clips over real ones.
        generator: As of `skelaug.benchmark.settings.BenchConfig.generators`.
        recognizer: The network.
        recognizer_settings: Over the ``cpu`` preset of ``train recognizer``, with 300 steps.
        generator_settings: Over that of the generator's training, with 600 steps.
        guide_settings: Over that of ``train guide``.
        synth_settings: Over those of ``synth``.
    """

    data: Path
    out: Path
    split: str | None = None
    target: float = Field(default=0.9, gt=0.0, lt=1.0)
    fractions: tuple[Share, ...] = Field(default=(0.25, 0.5, 1.0), min_length=2)
    seeds: PositiveInt = 3
    first_seed: NonNegativeInt = 0
    synthesis: bool = True
    ratios: tuple[Annotated[PositiveFloat, Field(le=100.0)], ...] = Field((1.0, 3.0), min_length=1)
    generator: str = "diffusion"
    recognizer: Annotated[str, AfterValidator(partial(known, choices=RECOGNIZERS))] = "compact"
    recognizer_settings: dict[str, Any] = {}
    generator_settings: dict[str, Any] = {}
    guide_settings: dict[str, Any] = {}
    synth_settings: dict[str, Any] = {}

    def resolved(self) -> AdviseConfig:
        """The same with the short schedules filled in, where nothing else is said."""
        update: dict[str, Any] = {}
        for name, values in _SHORT.items():
            update[name] = {}
            merge(update[name], values)
            merge(update[name], getattr(self, name))
        fractions = tuple(sorted(set(self.fractions)))
        return self.model_copy(update={**update, "fractions": fractions})

    def as_bench(self) -> BenchConfig:
        """What the cells of a benchmark are told."""
        own: dict[str, Any] = {"mode": "incremental", "generators": (self.generator,)}
        own |= {"recognizers": (self.recognizer,), "fraction": 1.0, "split": self.split or ""}
        shared = self.model_dump(include=set(BenchConfig.model_fields), exclude=set(own))
        return BenchConfig.model_validate({**shared, **own}).resolved()


def run(
    config: AdviseConfig,
    *,
    dry_run: bool = False,
    device: str = "auto",
    progress: Progress = silent,
) -> AdviseReport:
    """Train what is missing of a probe, and say what all of it comes to.

    Args:
        config: What is asked.
        dry_run: Only say what would be trained.
        device: ``auto``, ``cpu``, ``cuda`` ...; each process that ``torchrun`` starts has its own.
        progress: Shows the tasks.

    Raises:
        NotFoundError: A file or a generator does not exist.
        UsageError: Settings do not fit one another or the file.
        DataError: There are too few clips, or a generator has seen the validation part.
        InterruptedRunError: A signal stopped it; the same command goes on.
    """
    started = time.monotonic()
    config = config.resolved()
    if len(config.fractions) < 2:
        raise UsageError(f"fractions: expected two or more, got {list(config.fractions)}")
    with SequenceFile(require_file(config.data)) as file, alone(device) as own:
        split, notes = _training_part(file, config.split)
        config = config.model_copy(update={"split": split.rule})
        grid = Grid(config.out)
        cells = Cells(Sources(config.as_bench(), grid, file, device=own))
        wanted, told = _wanted(config, file, split, cells)
        tasks = [cell.task for cell in wanted]
        if not dry_run:
            config.out.mkdir(parents=True, exist_ok=True)
            write_resolved(config.out / "config.yaml", config)
            grid.complete(tasks, progress=progress)
        finished = {cell: cells.scores(cell.task) for cell in wanted if grid.is_done(cell.task)}
        rule = split.rule
        if not rule and not dry_run:
            rule = cells.sources.rule(wanted[0].draw.recognizer)
        probe = Probe(file, split, config.target, finished)
        remaining = {task for task in tasks if not grid.is_done(task)}
        report = _report(config, probe, rule=rule, notes=[*notes, *told]).model_copy(
            update={
                "cells": len(set(tasks)),
                "remaining": len(remaining),
                "seconds": time.monotonic() - started,
                "dry_run": dry_run,
            }
        )
    if report.curve and not dry_run:
        write_advice(report, probe.fit, config.out)
    return report


def _training_part(file: SequenceFile, rule: str | None) -> tuple[Split, list[str]]:
    """The clips that may be looked at."""
    try:
        split = split_clips(file, "official" if rule is None else rule)
    except (UsageError, DataError):
        if rule is not None:
            raise
        note = "the clips are of no data set with an official test part, so all are taken"
        return split_clips(file, ""), [f"{note}; --split keeps some for the end"]
    notes = [f"the {len(split.test)} test clips of {split.rule!r} are not looked at"]
    return split, notes if split.rule else []


def _wanted(
    config: AdviseConfig, file: SequenceFile, split: Split, cells: Cells
) -> tuple[list[ProbeCell], list[str]]:
    """All trainings, and what there is to know about their clips."""
    arms = {arm.name: arm for arm in choose_arms("scarce")}
    digest, found, notes = sha256(config.data), list[ProbeCell](), list[str]()
    for seed in range(config.first_seed, config.first_seed + config.seeds):
        part = carve_validation(file, split.train, seed)
        notes += part.notes
        leaked = TrainingClips(file, digest, part).leaked
        if leaked:
            notes.append("validation clips that are copies of other clips are left out")
            test = np.array([row for row in part.test if row not in leaked], dtype=np.int64)
            part = replace(part, test=test)
        part = replace(part, notes=())
        # the largest share of those that round to the same clips: nothing counts twice
        draws = {
            draw.recognizer: (share, draw)
            for share in config.fractions
            for draw in (draw_clips(file, part, "scarce", seed=seed, fraction=share),)
        }
        if len(draws) == 1:
            notes.append("there are too few clips of a class for sizes that differ, so no curve")
        options = [(_CLASSICAL, 0.0, *one) for one in draws.values()]
        if config.synthesis:
            options += [(_SYNTHETIC, ratio, *options[-1][2:]) for ratio in config.ratios]
        for name, ratio, share, draw in options:
            arm = arms[name]
            generator = config.generator if arm.is_synthetic else ""
            place = Place(arm, ratio, generator, config.recognizer, seed, repeat=0)
            found.append(ProbeCell(place, share, draw, cells.cell(place, draw)))
    return found, notes


def _report(config: AdviseConfig, probe: Probe, *, rule: str, notes: Sequence[str]) -> AdviseReport:
    """What there is to say of the finished trainings; of the command itself nothing yet."""
    found, fit = probe.findings(config.generator), probe.fit
    commands: tuple[str, ...] = ()
    if rule and fit:
        weak = [one.label for one in found.classes if one.needed.more != 0]
        ratio = max(found.synthesis, key=lambda one: one.gain.mean).ratio if found.synthesis else 1
        commands = next_commands(
            str(config.data),
            rule=rule,
            out=str(config.out),
            weak=(weak or list(probe.counts))[:_MOST_LABELS],
            count=max(1, round(ratio * found.clips_per_class)),
            outcome=found.outcome,
        )
    steps, chance = probe.steps, probe.chance
    notes = [*notes, *([_PEOPLE, _SHORTENED.format(steps=steps)] if steps else [])]
    return AdviseReport(
        data=str(config.data),
        split=config.split or "",
        target=config.target,
        clips=sum(probe.counts.values()),
        clips_per_class=found.clips_per_class,
        curve=probe.sizes,
        law={"a": fit.a, "b": fit.b} if fit else None,
        accuracy=found.accuracy,
        needed=found.needed,
        classes=found.classes,
        synthesis=found.synthesis,
        outcome=found.outcome,
        sentences=advice_sentences(found, target=config.target, draws=config.seeds),
        commands=commands,
        chance=chance,
        cells=0,
        remaining=0,
        seconds=0.0,
        dry_run=False,
        notes=tuple(dict.fromkeys(notes)),
        settings=config.model_dump(mode="json"),
    )
