"""The cells of a benchmark: which places there are, on which draws, and what they scored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

import numpy as np

from skelaug.benchmark.arms import Arm, choose_arms
from skelaug.benchmark.cells import Cells, Place
from skelaug.benchmark.draws import Draw, draw_clips
from skelaug.benchmark.generators import GENERATORS
from skelaug.benchmark.grid import Task
from skelaug.benchmark.mixing import places
from skelaug.benchmark.scores import CellScore
from skelaug.data.splits import Split
from skelaug.errors import UsageError

__all__ = ["Table"]


class Table:
    """All cells of a benchmark.

    Args:
        split: Training and test part of the file.
        cells: Makes their tasks.

    Attributes:
        draws: Who sees which clips, by seed.
        tasks: The task of each place.
    """

    def __init__(self, split: Split, cells: Cells) -> None:
        self.config, self.split, self.cells = cells.config, split, cells
        seeds = range(self.config.first_seed, self.config.first_seed + self.config.seeds)
        self.draws: Mapping[int, Draw] = {seed: self._draw(seed) for seed in seeds}
        self.tasks: Mapping[Place, Task] = {
            place: self.cells.cell(place, self.draws[place.seed]) for place in self._places()
        }
        if self.config.mode == "replacement" and any(place.ratio for place in self.tasks):
            self._check_what_is_left()

    def _draw(self, seed: int) -> Draw:
        config = self.config
        return draw_clips(
            self.cells.sources.file,
            self.split,
            config.regime,
            seed=seed,
            fraction=config.fraction or 1.0,
            per_class=config.per_class,
            rare_clips=config.rare_clips,
            rare_share=config.rare_share,
            generator_share=config.generator_share,
        )

    def _places(self) -> Iterator[Place]:
        config = self.config
        arms = choose_arms(config.regime, config.arms)
        trainings = product(self.draws, range(config.repeats), config.recognizers)
        for (seed, repeat, recognizer), arm in product(trainings, arms):
            for generator, ratio in product(self._generators(arm), self._ratios(arm)):
                yield Place(arm, ratio, generator, recognizer, seed, repeat)

    def _generators(self, arm: Arm) -> tuple[str, ...]:
        return self.config.generators if arm.is_synthetic else ("",)

    def _ratios(self, arm: Arm) -> tuple[float, ...]:
        return self.config.ratios if arm.has_ratio else (0.0,)

    def _check_what_is_left(self) -> None:
        """Make sure that a recognizer keeps real clips to tell classes apart by.

        Raises:
            UsageError: So many are replaced that it does not.
        """
        ratio, label = max(self.config.ratios), self.cells.sources.label
        for seed, draw in self.draws.items():
            counts = Counter(label(name) for name in draw.recognizer)
            sizes = [counts[name] for name in sorted(counts)]
            left = np.count_nonzero(places(sizes, ratio, seed=seed) < sizes)
            if left < 2:
                raise UsageError(
                    f"--ratio {ratio:g}: expected real clips of two classes or more that are not "
                    f"replaced, got {left} of the {len(sizes)} classes with {sum(sizes)} clips of "
                    f"draw {seed}; lower the ratio, or raise --fraction"
                )

    def notes_on(self, done: Mapping[Place, Task]) -> list[str]:
        """What finished cells tell: arms that found no further clips."""
        empty = Counter(
            (place.arm.name, place.ratio)
            for place, task in done.items()
            if place.arm.extra and self.cells.scores(task).get("extra") == 0
        )
        return [
            f"{count} trainings of arm {arm}{f' at ratio {ratio:g}' if ratio else ''} had no "
            f"further clips, for none was to be had or wanted: they learnt from the real ones"
            for (arm, ratio), count in empty.items()
        ]

    @property
    def notes(self) -> list[str]:
        """What the draws and ready generators tell, each thing once."""
        told = [note for draw in self.draws.values() for note in draw.notes]
        drawn = {(draw.recognizer, draw.generator) for draw in self.draws.values()}
        if len(drawn) == 1 < len(self.draws):
            told.append(
                "all draws have the same real clips: intervals tell how trainings differ, not "
                "clips; lower --fraction"
            )
        return list(dict.fromkeys([*told, *self._strange_classes(), *self.cells.sources.notes]))

    def _strange_classes(self) -> Iterator[str]:
        """Classes of which synthetic clips are wanted from a generator that has seen none."""
        if not any(place.generator in GENERATORS for place in self.tasks):
            return
        label = self.cells.sources.label
        for seed, draw in self.draws.items():
            lacking = set(map(label, draw.recognizer)) - set(map(label, draw.labelled))
            if lacking and self.config.regime != "transfer":
                names = ", ".join(sorted(map(repr, lacking)))
                yield f"draw {seed}: no clip of the generator is of {names}; it can only guess them"

    def score(self, place: Place, task: Task) -> CellScore:
        """What a finished cell scored."""
        scores: dict[str, Any] = self.cells.scores(task)
        draw, arm = self.draws[place.seed], place.arm
        several = len(self.config.generators) > 1 and arm.is_synthetic
        return CellScore(
            arm=f"{arm.name} ({place.generator})" if several else arm.name,
            ratio=place.ratio,
            seed=place.seed,
            repeat=place.repeat,
            accuracy=scores["accuracy"],
            class_accuracy=scores["classes"],
            chance=scores["chance"],
            steps=scores["steps"],
            seconds=scores["seconds"],
            rare_accuracy=_rare_accuracy(scores, draw),
            recognizer=place.recognizer if len(self.config.recognizers) > 1 else "",
            is_synthetic=arm.is_synthetic,
            is_bound=arm.is_bound,
        )


def _rare_accuracy(scores: Mapping[str, Any], draw: Draw) -> float | None:
    """Fraction of the test clips of rare classes that are recognised; None without any."""
    table = scores["confusion"]
    rows = [row for row, name in enumerate(table["truths"]) if name in draw.rare]
    counts = np.asarray(table["counts"])[rows]
    if not counts.sum():
        return None
    right = [counts[i, table["classes"].index(table["truths"][row])] for i, row in enumerate(rows)]
    return float(sum(right) / counts.sum())
