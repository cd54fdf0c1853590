"""Which clips play which part in a benchmark, by regime and seed.

``scarce``    few clips of every class, for the recognizer and the generator alike
``labels``    the generator sees all training clips, but labels of few
``rare``      few clips of some classes, drawn by the seed, and many of the others
``transfer``  few clips, as in ``scarce``; the generator also learns from other data sets
``subjects``  some performers are the generator's, the others the recognizer's

Draws of one seed are nested: what is drawn at a small fraction is among what is drawn at a larger
one. The parts never touch the test part.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from skelaug.data.splits import HasClips, Split
from skelaug.errors import DataError, UsageError, did_you_mean
from skelaug.seeds import Stream, numpy_generator

__all__ = ["Draw", "LabelledClips", "Regime", "draw_clips"]

Regime = Literal["scarce", "labels", "rare", "transfer", "subjects"]

_CLIPS, _RARE, _SUBJECTS = range(3)  # what is drawn, below Stream.BENCHMARK
_SHARE = 0.75
_FEW_WAYS = 20
_SHOWN = 6

_Rows = NDArray[np.int64]


class LabelledClips(HasClips, Protocol):
    """What a file must tell about its clips: a sequence file does."""

    @property
    def path(self) -> Path:
        """The file, for messages."""
        ...

    @property
    def classes(self) -> Sequence[str]:
        """Class names; labels index into them."""
        ...

    @property
    def labels(self) -> NDArray[np.int32]:
        """One per clip, -1 = unknown."""
        ...


@dataclass(frozen=True)
class Draw:
    """The clips of each part, by name, in the order of the file.

    Attributes:
        recognizer: The real clips that a recognizer learns from; all have a label.
        generator: The real clips that a generator learns from.
        labelled: Those of the generator's clips whose label it may use.
        unlabelled: The others of the generator's clips.
        test: The clips that recognizers are scored on; all have a label.
        rare: Names of the classes of which there are few clips on purpose.
        notes: What the user should know about this draw.
    """

    recognizer: tuple[str, ...]
    generator: tuple[str, ...]
    labelled: tuple[str, ...]
    unlabelled: tuple[str, ...]
    test: tuple[str, ...]
    rare: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def draw_clips(  # noqa: PLR0913, every regime has a setting of its own
    file: LabelledClips,
    split: Split,
    regime: Regime,
    *,
    seed: int,
    fraction: float = 1.0,
    per_class: int | None = None,
    rare_clips: int = 3,
    rare_share: float = 1 / 3,
    generator_share: float | None = None,
    copied: Collection[int] = (),
) -> Draw:
    """Draw the clips of every part.

    Args:
        file: All clips.
        split: Which of them may be drawn from, and which are the test part.
        regime: Who sees what.
        seed: Of the draw.
        fraction: Share of the clips of each class that the recognizer has, rounded, at least one.
        per_class: Clips of each class that it has, in place of `fraction`; fewer where there are.
        rare_clips: Of regime ``rare``, clips of each rare class.
        rare_share: Of regime ``rare``, the share of the classes that are rare; at least one class
            and not all of them.
        generator_share: Of regime ``subjects``, the share of the training clips whose performers
            are the generator's; None = 0.75. Whole performers are drawn, as near to it as can be.
        copied: Rows of test clips whose positions are in the training part too; see
            `skelaug.workflows.training_clips.TrainingClips.leaked`.

    Raises:
        UsageError: There is no such regime, or a setting is out of its bounds.
        DataError: There is no test clip, a class of the test part has no training clip, there are
            too few classes or performers, or no performer is known.
    """
    if regime not in get_args(Regime):
        raise UsageError(f"--regime {regime}: no such; {did_you_mean(regime, get_args(Regime))}")
    _check_bounds(fraction, per_class, rare_clips, rare_share, generator_share)
    clips = _Clips(file, split, seed)
    notes = [*split.notes, *clips.notes()]
    if copied:
        notes.append(f"{len(copied)} test clips are copies of clips outside the test part")
    train, rare = clips.train, frozenset[int]()
    keeps: dict[int, int | None] = {}
    theirs = np.zeros(0, dtype=np.int64)
    if regime == "rare":
        rare = clips.rare_classes(rare_share)
        keeps = dict.fromkeys(rare, rare_clips)
    elif regime == "subjects":
        theirs, train, told = clips.by_subject(
            _SHARE if generator_share is None else generator_share
        )
        notes += told
    recognizer = clips.some(train, fraction, per_class, keeps)
    generator = {"labels": clips.train, "subjects": theirs}.get(regime, recognizer)
    labelled = recognizer if regime == "labels" else generator[clips.labels[generator] >= 0]
    notes += clips.shortages(recognizer, per_class, rare)
    return Draw(
        recognizer=clips.names(recognizer),
        generator=clips.names(generator),
        labelled=clips.names(labelled),
        unlabelled=clips.names(np.setdiff1d(generator, labelled)),
        test=clips.names(clips.test),
        rare=tuple(file.classes[label] for label in sorted(rare)),
        notes=tuple(notes),
    )


def _check_bounds(
    fraction: float,
    per_class: int | None,
    rare_clips: int,
    rare_share: float,
    generator_share: float | None,
) -> None:
    if not 0 < fraction <= 1:
        raise UsageError(f"fraction: expected more than 0 and at most 1, got {fraction:g}")
    for name, count in (("per_class", per_class), ("rare_clips", rare_clips)):
        if count is not None and count < 1:
            raise UsageError(f"{name}: expected at least 1 clip, got {count}")
    for name, share in (("rare_share", rare_share), ("generator_share", generator_share)):
        if share is not None and not 0 < share < 1:
            raise UsageError(f"{name}: expected more than 0 and less than 1, got {share:g}")


class _Clips:
    """The clips that may be drawn and those of the test part, as ascending rows of the file."""

    def __init__(self, file: LabelledClips, split: Split, seed: int) -> None:
        self._file = file
        self._seed = seed
        self.labels = np.asarray(file.labels, dtype=np.int64)
        self.train = np.asarray(split.train, dtype=np.int64)
        self.test = np.sort(split.test[self.labels[split.test] >= 0])
        self._without_label = len(split.test) - len(self.test)
        self._places = np.empty(len(self.labels), dtype=np.int64)  # earlier places are drawn first
        self._places[self.train] = self._generator(_CLIPS).permutation(len(self.train))
        if not len(self.test):
            raise DataError(
                f"{file.path}: expected labelled test clips, got none; give --split with two parts"
            )
        lacking = np.setdiff1d(self.labels[self.test], self.labels[self.train])
        if len(lacking):
            raise DataError(
                f"{file.path}: expected training clips of each class of the test part, got none "
                f"of {_list(file.classes[label] for label in lacking)}; choose another --split, or "
                f"leave the class out"
            )

    def _generator(self, what: int) -> np.random.Generator:
        return numpy_generator(self._seed, Stream.BENCHMARK, what)

    def names(self, rows: _Rows) -> tuple[str, ...]:
        """The clips' names."""
        return tuple(self._file.names[row] for row in rows)

    def notes(self) -> list[str]:
        """What is special about the file."""
        if not self._without_label:
            return []
        return [f"{self._without_label} test clips have no label and are left out"]

    def some(
        self, rows: _Rows, fraction: float, per_class: int | None, keeps: dict[int, int | None]
    ) -> _Rows:
        """So many clips of each class, ascending; those without a label never.

        Args:
            rows: What to choose from.
            fraction: Share of each class.
            per_class: Clips of each class, in place of it.
            keeps: Clips of some classes, in place of both.
        """
        kept = [np.zeros(0, dtype=np.int64)]
        for label in np.unique(self.labels[rows]):
            if label >= 0:
                own = rows[self.labels[rows] == label]
                count = keeps.get(int(label), per_class) or max(1, round(fraction * len(own)))
                kept.append(own[np.argsort(self._places[own])][:count])
        return np.sort(np.concatenate(kept))

    def rare_classes(self, share: float) -> frozenset[int]:
        """The classes that are made rare, among those that are tested.

        Raises:
            DataError: Only one class is tested.
        """
        tested = np.unique(self.labels[self.test])
        if len(tested) < 2:
            raise DataError(
                f"{self._file.path}: expected two classes or more in the test part for regime "
                f"rare, got {len(tested)}; choose another regime"
            )
        count = min(max(1, round(share * len(tested))), len(tested) - 1)
        return frozenset(self._generator(_RARE).permutation(tested)[:count].tolist())

    def by_subject(self, share: float) -> tuple[_Rows, _Rows, list[str]]:
        """The training clips of the generator's and of the recognizer's performers, and notes.

        Performers are given to the generator in a drawn order as long as that brings its share of
        the clips nearer to what was asked. One without whom the recognizer would lack a class of
        the test part is passed over.

        Raises:
            DataError: There are not two performers, or none can be spared.
        """
        subjects = np.asarray(self._file.subjects, dtype=np.int64)
        known = self.train[subjects[self.train] >= 0]
        people = np.unique(subjects[known])
        if len(people) < 2:
            raise DataError(
                f"{self._file.path}: expected two known subjects or more in the training part for "
                f"regime subjects, got {len(people)}; convert data that names them, or choose "
                f"another regime"
            )
        wanted, given = share * len(known), np.zeros(0, dtype=np.int64)
        rest = known
        for person in self._generator(_SUBJECTS).permutation(people):
            own = known[subjects[known] == person]
            left = np.setdiff1d(rest, own)
            if len(given) and abs(len(given) + len(own) - wanted) >= abs(len(given) - wanted):
                break
            if not np.setdiff1d(self.labels[self.test], self.labels[left]).size:
                given, rest = np.union1d(given, own), left
        if not len(given):
            raise DataError(
                f"{self._file.path}: expected a subject without whom the others still perform "
                f"every class of the test part, got none; choose another regime"
            )
        held = np.unique(subjects[given])
        told = [
            f"{len(held)} of {len(people)} subjects are the generator's "
            f"({', '.join(map(str, held))}), with {len(given) / len(known):.0%} of the clips"
        ]
        ways = math.comb(len(people), len(held))
        if ways < _FEW_WAYS:
            told.append(f"subjects can be divided in {ways} ways only, so draws may repeat them")
        if len(known) < len(self.train):
            told.append(f"{len(self.train) - len(known)} training clips name no subject; left out")
        both = np.intersect1d(held, subjects[self.test])
        if len(both):
            told.append(f"{len(both)} of the generator's subjects are in the test part too")
        return given, rest, told

    def shortages(
        self, recognizer: _Rows, per_class: int | None, rare: Collection[int]
    ) -> list[str]:
        """Classes of which there are fewer clips than was asked, or than is meant."""
        labels, counts = np.unique(self.labels[recognizer], return_counts=True)
        have = dict(zip(labels.tolist(), counts.tolist(), strict=True))
        notes = []
        short = [label for label in have if per_class and label not in rare]
        short = [label for label in short if have[label] < (per_class or 0)]
        if short:
            names = _list(self._file.classes[label] for label in short)
            notes.append(f"fewer than {per_class} training clips of {names}; all are used")
        most = max((have[label] for label in rare), default=0)
        common = [label for label in have if label not in rare and have[label] <= most]
        if common:
            names = _list(self._file.classes[label] for label in common)
            notes.append(f"no more clips of {names} than of a rare class")
        return notes


def _list(names: Iterable[str]) -> str:
    known = [repr(str(name)) for name in names]
    return ", ".join(known[:_SHOWN]) + (
        f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
    )
