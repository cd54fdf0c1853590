"""One cell of a benchmark: a recognizer trained in one arm, tested once at its last step."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import softmax

from skelaug.augment import AugmentationConfig
from skelaug.benchmark.arms import SAMPLED, Arm
from skelaug.benchmark.copies import copies_of_kept
from skelaug.benchmark.draws import Draw
from skelaug.benchmark.grid import Task
from skelaug.benchmark.mixing import Mixture, fill, mix
from skelaug.benchmark.sources import CLIPS, Sources
from skelaug.config import merge
from skelaug.data.splits import split_hash
from skelaug.data.store import Schema, SequenceFile, write_sequences
from skelaug.errors import DataError
from skelaug.files import write_text
from skelaug.skeleton.sequence import SkeletonSequence
from skelaug.workflows import train_recognizer
from skelaug.workflows.recognizer import load_recognizer
from skelaug.workflows.run_directory import resolve
from skelaug.workflows.train_recognizer import TrainRecognizerConfig

__all__ = ["Cells", "Place"]

_HEAVY = ("model.safetensors", "state.pt")
_BATCH = 256
_MOST_COPIES = 20
SCORES = "scores.json"


@dataclass(frozen=True)
class Place:
    """Where a cell stands in the table.

    Attributes:
        arm: What is special about it.
        ratio: Further clips over real ones; 0 where the arm has none.
        generator: Name of the generator; empty where none takes part.
        recognizer: The network.
        seed: Of the draw of clips.
        repeat: Number of the training on this draw.
    """

    arm: Arm
    ratio: float
    generator: str
    recognizer: str
    seed: int
    repeat: int


class Cells:
    """The tasks that train recognizers.

    Args:
        sources: Where further clips come from.
    """

    def __init__(self, sources: Sources) -> None:
        self.sources, self.config, self.grid = sources, sources.config, sources.grid

    def cell(self, place: Place, draw: Draw) -> Task:
        """The recognizer of a place, without its weights: configuration, log and scores."""
        arm, extra = place.arm, self._extra(place, draw)
        start = self._start(place, draw)
        settings = {
            **self._told(place.recognizer, place.seed, place.repeat, augment=arm.augment),
            "real": split_hash(draw.recognizer),
            "test": split_hash(draw.test),
            "ratio": place.ratio if extra else 0.0,
            "mode": self.config.mode if extra and place.ratio else "",
            "share": self.config.share if extra else None,
            "weight": self.config.weight if extra else 1.0,
            "fills": sorted(draw.rare) if extra and self.config.regime == "rare" else [],
        }

        def make(folder: Path) -> None:
            mixture = self._mixture(place, draw, extra) if place.ratio else None
            real = mixture.real if mixture else draw.recognizer
            more = self._joined(folder, extra, mixture) if extra else None
            config = self._training(place.recognizer, place.seed, place.repeat, augment=arm.augment)
            self._train(folder, config, real, draw.test, extra=more, start=start)
            for name in (*_HEAVY, CLIPS):
                (folder / name).unlink(missing_ok=True)

        return Task("cell", settings, make, needs=(*extra.values(), *((start,) if start else ())))

    def _told(self, recognizer: str, seed: int, repeat: int, *, augment: bool) -> dict[str, Any]:
        """What decides a training beside its clips, as JSON."""
        config = self._training(recognizer, seed, repeat, augment=augment)
        out = {"data", "out", "split", "test", "labelled", "extra", "init_from"}
        return {"data": self.sources.data, "training": config.model_dump(mode="json", exclude=out)}

    def _training(
        self, recognizer: str, seed: int, repeat: int, *, augment: bool
    ) -> TrainRecognizerConfig:
        flags: dict[str, Any] = {}
        merge(flags, self.config.recognizer_settings)
        own = {"data": self.config.data, "out": self.config.out, "seed": 100 * seed + repeat}
        merge(flags, {**own, "model": {"name": recognizer}})
        config = resolve(TrainRecognizerConfig, train_recognizer.PRESETS, flags=flags)
        return config if augment else config.model_copy(update={"augment": AugmentationConfig()})

    def _train(
        self,
        folder: Path,
        config: TrainRecognizerConfig,
        real: Sequence[str],
        test: Sequence[str],
        *,
        extra: Path | None = None,
        start: Task | None = None,
    ) -> None:
        update: dict[str, Any] = {
            "out": folder,
            "split": self.sources.rule(real),
            "test": self.sources.rule(test),
            "init_from": str(self.grid.path(start)) if start else "",
        }
        if extra is not None:
            options = {"file": extra, "share": self.config.share, "weight": self.config.weight}
            update["extra"] = config.extra.model_copy(update=options)
        report = train_recognizer.run(config.model_copy(update=update), device=self.sources.device)
        told = {
            **report.scores,
            "extra": _clips_in(extra),
            "steps": report.steps,
            "seconds": report.seconds,
        }
        write_text(folder / SCORES, json.dumps(told) + "\n")

    def _extra(self, place: Place, draw: Draw) -> dict[str, Task]:
        """By kind the tasks that an arm's further clips come from."""
        found: dict[str, Task] = {}
        for kind in place.arm.extra:
            if kind in ("copies", "noisy"):
                times = max(1, math.ceil(self._most(draw)))
                found[kind] = self.sources.copies(draw, times=times, noisy=kind == "noisy")
            elif kind == "generator":
                per_class = max(1, math.ceil(self._needed(draw)))
                found[kind] = self.sources.pool(
                    place.generator, draw, place.seed, per_class=per_class, every=False
                )
            elif kind == "bound":
                labelled = [name for name in draw.generator if self.sources.label(name)]
                found[kind] = self.sources.real(labelled)
            else:
                found[kind] = self._pseudo(place, draw, place.arm.rounds)
        return found

    def _counts(self, draw: Draw) -> dict[str, int]:
        counts: dict[str, int] = {}
        for name in draw.recognizer:
            label = self.sources.label(name)
            counts[label] = counts.get(label, 0) + 1
        return counts

    def _needed(self, draw: Draw) -> float:
        """Most further clips that any cell of the grid takes of a class."""
        counts = self._counts(draw)
        if self.config.regime == "rare":
            return max(self._filled_to(draw, ratio) for ratio in self.config.ratios)
        return max(self.config.ratios) * max(counts.values()) + 1

    def _most(self, draw: Draw) -> float:
        """The same as a multiple of the real clips of a class."""
        least, ratio = min(self._counts(draw).values()), max(self.config.ratios)
        if self.config.regime == "rare":
            return self._needed(draw) / least
        if self.config.mode == "replacement":
            return min(ratio / (1 - ratio), _MOST_COPIES) + 1 if ratio < 1 else _MOST_COPIES
        return ratio + 1 / least

    def _filled_to(self, draw: Draw, ratio: float) -> int:
        """Clips that a rare class is filled up to: ratio 1 = the median of the others."""
        counts = self._counts(draw)
        others = [count for label, count in counts.items() if label not in draw.rare]
        own = [count for label, count in counts.items() if label in draw.rare]
        low, high = float(np.mean(own)), float(np.median(others))
        return max(1, round(low + ratio * max(0.0, high - low)))

    def _mixture(self, place: Place, draw: Draw, extra: Mapping[str, Task]) -> Mixture:
        """Which real and which further clips take part."""
        kind = next(kind for kind in extra if kind in SAMPLED)
        with SequenceFile(self.grid.path(extra[kind]) / CLIPS) as file:
            pool = {name: file.label_name(row) for row, name in enumerate(file.names)}
        real = {name: self.sources.label(name) for name in draw.recognizer}
        wanted = frozenset(real.values())  # a file may hold other classes too
        pool = {name: label for name, label in pool.items() if label in wanted}
        if self.config.regime == "rare":
            to = self._filled_to(draw, place.ratio)
            return fill(real, pool, to=to, classes=draw.rare, seed=place.seed)
        mixture = mix(real, pool, mode=self.config.mode, ratio=place.ratio, seed=place.seed)
        return copies_of_kept(mixture, pool) if kind != "generator" else mixture

    def _joined(
        self, folder: Path, extra: Mapping[str, Task], mixture: Mixture | None
    ) -> Path | None:
        """One file of all further clips that take part; None where there are none."""
        files = [SequenceFile(self.grid.path(task) / CLIPS) for task in extra.values()]
        chosen = frozenset(mixture.extra) if mixture else frozenset[str]()
        rows = [
            (file, row)
            for kind, file in zip(extra, files, strict=True)
            for row, name in enumerate(file.names)
            if kind not in SAMPLED or name in chosen
        ]
        first = files[0]
        own = self.sources.file
        schema = Schema(first.layout, own.classes, max(f.persons for f in files), own.channels)
        provenance = [record for file in files for record in file.provenance]
        if rows:
            clips = (file[row] for file, row in rows)
            write_sequences(folder / CLIPS, clips, schema, provenance=provenance)
        for file in files:
            file.close()
        return folder / CLIPS if rows else None

    def _start(self, place: Place, draw: Draw) -> Task | None:
        """The recognizer that an arm starts from."""
        if not place.arm.start:
            return None
        told = self._told(place.recognizer, place.seed, place.repeat, augment=True)
        if place.arm.start == "others":
            source = self.sources.merged
        else:
            per_class = max(8, math.ceil(self._needed(draw)))
            source = self.sources.pool(
                place.generator, draw, place.seed, per_class=per_class, every=True
            )

        def make(folder: Path) -> None:
            names = self.sources.foreign() if place.arm.start == "others" else None
            config = self._training(place.recognizer, place.seed, place.repeat, augment=True)
            update = {
                "data": self.grid.path(source) / CLIPS,
                "out": folder,
                "split": self.sources.rule(names) if names else "",
                "test": "",
            }
            train_recognizer.run(config.model_copy(update=update), device=self.sources.device)
            (folder / "state.pt").unlink(missing_ok=True)

        return Task("start", {**told, "of": place.arm.start}, make, needs=(source,))

    def _pseudo(self, place: Place, draw: Draw, rounds: int) -> Task:
        """The unlabelled clips that a recognizer is sure of, with the labels that it gives them."""
        if not draw.unlabelled:
            raise DataError(
                f"{self.config.data}: expected training clips whose labels may be hidden for arm "
                f"{place.arm.name}, got none; lower --fraction, or leave the arm out"
            )
        before = self._pseudo(place, draw, rounds - 1) if rounds > 1 else None
        told = self._told(place.recognizer, place.seed, place.repeat, augment=True)
        settings = {
            **told,
            "real": split_hash(draw.recognizer),
            "unlabelled": split_hash(draw.unlabelled),
            "least": self.config.pseudo_least,
        }
        further = {"share": self.config.share, "weight": self.config.weight}
        if before and further != {"share": None, "weight": 1.0}:
            settings |= further  # the teacher of this round learns from pseudo-labels itself

        def make(folder: Path) -> None:
            config = self._training(place.recognizer, place.seed, place.repeat, augment=True)
            more = self.grid.path(before) / CLIPS if before else None
            more = more if _clips_in(more) else None
            run = folder / "teacher"
            self._train(run, config, draw.recognizer, draw.test, extra=more)
            self._name(run, draw.unlabelled, folder / CLIPS)
            shutil.rmtree(run)  # how it did in the test is nobody's business

        return Task("pseudo", settings, make, needs=(before,) if before else ())

    def _name(self, run: Path, names: Sequence[str], out: Path) -> None:
        """Write the clips that the recognizer of a run is sure of."""
        file = self.sources.file
        recognizer = load_recognizer(run)
        rows = [self.sources.row(name) for name in names]
        schema = Schema(file.layout, file.classes, file.persons, file.channels)

        def clips() -> Iterator[SkeletonSequence]:
            for start in range(0, len(rows), _BATCH):
                some = [file[row] for row in rows[start : start + _BATCH]]
                chances = softmax(recognizer.logits(some), axis=1)
                for clip, chance in zip(some, chances, strict=True):
                    if chance.max() >= self.config.pseudo_least:
                        yield replace(clip, label=recognizer.classes[int(chance.argmax())])

        write_sequences(out, clips(), schema, provenance=[])

    def scores(self, task: Task) -> dict[str, Any]:
        """What a finished cell scored."""
        path = self.grid.path(task) / SCORES
        return dict(json.loads(path.read_text(encoding="utf-8")))


def _clips_in(path: Path | None) -> int:
    if path is None:
        return 0
    with SequenceFile(path) as file:
        return len(file)
