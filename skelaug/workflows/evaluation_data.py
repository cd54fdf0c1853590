"""Which clips `eval` compares: the split, the classes that both files have, and no leak."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skelaug.data.splits import Split, split_clips
from skelaug.data.store import SequenceFile
from skelaug.errors import CheckFailedError, DataError, SkelaugError
from skelaug.progress import Progress, silent
from skelaug.skeleton.sequence import SkeletonSequence
from skelaug.workflows.evaluation_clips import PreparedClips, measurable, prepare_clips
from skelaug.workflows.leaks import find_leaks, recorded_splits

__all__ = ["EvaluationData", "Side", "check_leak", "choose_clips", "choose_split", "prepared"]


@dataclass(frozen=True, eq=False)
class Side:
    """Some labelled clips of one file.

    Attributes:
        file: Where they are.
        rows: int64, which clips.
        labels: int64, their classes, as indices into one list of names.
    """

    file: SequenceFile
    rows: NDArray[np.int64]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def names(self) -> list[str]:
        """Names of the clips."""
        return [self.file.names[row] for row in self.rows]


@dataclass(frozen=True, eq=False)
class EvaluationData:
    """The clips of one evaluation.

    Attributes:
        train: The real training part; classes without synthetic clips included, since recognizers
            learn them too.
        synthetic: The synthetic clips of known classes.
        held_out: The real test part; None where the split leaves none.
        classes: Names that labels are indices into.
        notes: What was left out, and why.
    """

    train: Side
    synthetic: Side
    held_out: Side | None
    classes: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def persons(self) -> int:
        """Person slots that hold every clip."""
        return max(int(self.train.file.persons), int(self.synthetic.file.persons))


def choose_split(real: SequenceFile, synthetic: SequenceFile, rule: str | None) -> Split:
    """The split of the real file: as asked, else as the generator's, else the official one.

    Raises:
        UsageError: The rule that was asked for does not fit the file.
    """
    if rule is not None:
        return split_clips(real, rule)
    recorded = [str(one["rule"]) for one in recorded_splits(synthetic) if "rule" in one]
    for candidate in (*recorded, "official"):
        try:
            return split_clips(real, candidate)
        except SkelaugError:
            continue
    return split_clips(real, "")


def check_leak(real: SequenceFile, synthetic: SequenceFile, split: Split) -> list[str]:
    """Make sure that the generator has seen no clip of the test part, as far as records tell.

    Returns:
        Notes on what could not be checked.

    Raises:
        CheckFailedError: The generator was trained on test clips.
    """
    leaks, notes = find_leaks(real, synthetic.provenance, split, where=synthetic.path.name)
    for leak in leaks:
        raise CheckFailedError(
            f"{synthetic.path}: expected a generator that saw none of the {split.test.size} test "
            f"clips of --split {split.rule!r}, got {leak}; evaluate with --split {leak.rule!r}, or "
            f"train the generator on the training part"
        )
    return notes


def choose_clips(
    real: SequenceFile,
    synthetic: SequenceFile,
    split: Split,
    *,
    classes: Sequence[str] | None = None,
    limit: int,
) -> EvaluationData:
    """The clips of each side, labelled with indices into one list of classes.

    Args:
        real: The real clips.
        synthetic: The synthetic clips.
        split: Of the real file.
        classes: Class names; by default those of the real file.
        limit: Most clips per side; beyond, those with the least hash of their name are taken, so
            that memory does not grow with the files.

    Raises:
        DataError: The layouts differ, a file has no labels or no three coordinates, or the two
            share no class.
    """
    _check_files(real, synthetic)
    known = tuple(classes or real.classes)
    notes = list(split.notes)
    sides = []
    for file, rows in ((real, split.train), (synthetic, np.arange(len(synthetic)))):
        side, left_out = _side(file, rows, known, limit)
        sides.append(side)
        notes += left_out
    train, drawn = sides
    held_out = None
    if split.test.size:
        held_out, left_out = _side(real, split.test, known, limit)
        notes += left_out
    if not set(train.labels.tolist()) & set(drawn.labels.tolist()):
        theirs = ", ".join(map(repr, _used(synthetic)[:8]))
        ours = ", ".join(map(repr, _used(real)[:8]))
        raise DataError(
            f"{synthetic.path}: expected classes of {real.path} ({ours} ...), got {theirs}; "
            f"labels are matched by their exact names"
        )
    return EvaluationData(train, drawn, held_out, known, tuple(dict.fromkeys(notes)))


def _check_files(real: SequenceFile, synthetic: SequenceFile) -> None:
    if synthetic.layout.joints != real.layout.joints:
        raise DataError(
            f"{synthetic.path}: expected layout {real.layout.name} as in {real.path}, got "
            f"{synthetic.layout.name}; convert one with `skelaug convert --layout`"
        )
    for file in (real, synthetic):
        if file.channels != 3:
            raise DataError(f"{file.path}: expected 3 coordinates per joint, got {file.channels}")
        if len(file) and (file.labels < 0).all():
            raise DataError(
                f"{file.path}: expected labelled clips, got {len(file)} without a label; eval "
                f"compares class by class"
            )


def _side(
    file: SequenceFile, rows: NDArray[np.int64], classes: Sequence[str], limit: int
) -> tuple[Side, list[str]]:
    index = {name: number for number, name in enumerate(classes)}
    translation = np.array([index.get(name, -1) for name in file.classes] + [-1], dtype=np.int64)
    labels, notes = translation[file.labels[rows]], []
    for what, gone in (
        ("have no label", file.labels[rows] < 0),
        ("are of classes that the other file lacks", (file.labels[rows] >= 0) & (labels < 0)),
    ):
        if gone.any():
            notes.append(f"{file.path.name}: {int(gone.sum())} clips {what} and are left out")
    keep = np.flatnonzero(labels >= 0)
    if len(keep) > limit:
        notes.append(f"{file.path.name}: {limit} of {len(keep)} clips are used (--limit)")
        keys = [hashlib.sha256(file.names[rows[i]].encode()).digest() for i in keep]
        keep = np.sort(keep[sorted(range(len(keep)), key=keys.__getitem__)[:limit]])
    return Side(file, rows[keep], labels[keep]), notes


def _used(file: SequenceFile) -> list[str]:
    return [file.classes[label] for label in np.unique(file.labels) if label >= 0]


def prepared(
    side: Side, *, frames: int, persons: int, progress: Progress = silent
) -> tuple[PreparedClips, int]:
    """The prepared clips of a side, and how many were left out because nothing can be measured.

    Raises:
        DataError: Nothing is left.
    """
    with progress(f"reading {side.file.path.name}", total=len(side)) as advance:

        def usable() -> Iterator[tuple[SkeletonSequence, int]]:
            for row, label in zip(side.rows, side.labels, strict=True):
                sequence = side.file[int(row)]
                if measurable(sequence):
                    yield sequence, int(label)
                advance(1)

        clips = prepare_clips(usable(), frames=frames, persons=persons)
    if not len(clips):
        raise DataError(
            f"{side.file.path}: expected clips of two frames or more with measured joints, got "
            f"none of {len(side)}"
        )
    return clips, len(side) - len(clips)
