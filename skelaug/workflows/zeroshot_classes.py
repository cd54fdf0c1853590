"""Which classes of a file are learnt and which are only described, by a split or by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skelaug.data.class_splits import class_split
from skelaug.errors import DataError, UsageError, did_you_mean
from skelaug.seeds import Stream, numpy_generator

__all__ = ["SeenClasses", "TeachingParts", "seen_classes", "teaching_parts"]

_OWN = "unseen="


@dataclass(frozen=True)
class SeenClasses:
    """The classes of a file in two groups, each in the order of the file.

    Attributes:
        rule: As the user gave it.
        seen: With training clips.
        unseen: Without.
    """

    rule: str
    seen: tuple[str, ...]
    unseen: tuple[str, ...]


def seen_classes(rule: str, classes: Sequence[str], *, where: str) -> SeenClasses:
    """The two groups of a file's classes.

    Args:
        rule: A published split like ``purls/utd-mhad/22-5``, or ``unseen=jump,kick``.
        classes: Of the file.
        where: What the file is called in messages.

    Raises:
        UsageError: No rule is given, a class is named that the file lacks, or a group is too small.
        NotFoundError: There is no such published split.
        DataError: The file lacks classes of the split.
    """
    if not rule:
        raise UsageError(
            "classes: expected which classes are unseen, got nothing; for example --set "
            "classes=purls/utd-mhad/22-5 or --set 'classes=unseen=jump,kick'"
        )
    if rule.startswith(_OWN):
        named = [name.strip() for name in rule.removeprefix(_OWN).split(",") if name.strip()]
        strange = [name for name in named if name not in classes]
        if strange:
            raise UsageError(
                f"classes={rule}: {where} has no class {strange[0]!r}; "
                f"{did_you_mean(strange[0], classes)}"
            )
        unseen = set(named)
    else:
        split = class_split(rule)
        lacking = [name for name in (*split.seen, *split.unseen) if name not in classes]
        if lacking:
            raise DataError(
                f"{where}: expected the classes of {rule}, got none called {lacking[0]!r} and "
                f"{len(lacking) - 1} more missing; name your own with 'classes=unseen=A,B'"
            )
        strange = sorted(set(classes) - {*split.seen, *split.unseen})
        if strange:
            raise DataError(
                f"{where}: expected the classes of {rule}, got {strange[0]!r} too; name your own "
                f"with 'classes=unseen=A,B'"
            )
        unseen = set(split.unseen)
    groups = [tuple(n for n in classes if (n in unseen) == wanted) for wanted in (False, True)]
    if len(groups[0]) < 2 or not groups[1]:
        raise UsageError(
            f"classes={rule}: expected two seen classes or more and one unseen or more, got "
            f"{len(groups[0])} and {len(groups[1])}"
        )
    return SeenClasses(rule, *groups)


@dataclass(frozen=True, eq=False)
class TeachingParts:
    """The clips of the seen classes in three parts, as places among them.

    Attributes:
        taught: What the matcher learns from.
        kept: Clips of the same classes that it does not learn from.
        held: All clips of the classes that it does not learn: they play unseen ones.
        held_classes: Those classes.
    """

    taught: NDArray[np.int64]
    kept: NDArray[np.int64]
    held: NDArray[np.int64]
    held_classes: NDArray[np.int64]

    @classmethod
    def whole(cls, count: int) -> TeachingParts:
        """All of so many clips are learnt from."""
        none = np.empty(0, dtype=np.int64)
        return cls(np.arange(count), none, none, none)


def teaching_parts(
    labels: NDArray[np.integer], *, classes: float, clips: float, seed: int
) -> TeachingParts:
    """Set classes and clips aside that choose a model and its calibration.

    Args:
        labels: Class of each clip of a seen class, N.
        classes: Share of the classes, rounded, but at least two, and two are left; 0 sets none
            aside, clips neither.
        clips: Share of the clips of each other class, at least one where two are left.
        seed: Draws which.
    """
    known, rows = np.unique(labels), np.arange(len(labels))
    wanted = bool(classes) and len(known) > 3
    count = min(max(2, round(classes * len(known))), len(known) - 2) if wanted else 0
    numbers = numpy_generator(seed, Stream.SPLIT)
    held_classes = np.sort(numbers.permutation(known)[:count])
    is_held = np.isin(labels, held_classes)
    is_kept = np.zeros(len(labels), dtype=np.bool_)
    if count and clips:
        for label in known[~np.isin(known, held_classes)]:
            own = numbers.permutation(np.flatnonzero(labels == label))
            is_kept[own[: max(1, round(clips * len(own)))] if len(own) > 2 else []] = True
    return TeachingParts(
        rows[~is_held & ~is_kept], rows[is_kept], rows[is_held], held_classes.astype(np.int64)
    )
