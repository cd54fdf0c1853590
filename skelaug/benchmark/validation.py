"""The validation part of a probe: some of the training clips, whole performers where known.

A performer whom a recognizer has seen is easier for it than a new one, so a validation part that
shares performers with the training part promises too much.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skelaug.benchmark.draws import LabelledClips
from skelaug.data.splits import Split, split_hash
from skelaug.errors import DataError
from skelaug.seeds import Stream, numpy_generator

__all__ = ["carve_validation"]

_VALIDATION = 4  # what is drawn, below Stream.BENCHMARK; after those of draws and learning curves

_Rows = NDArray[np.int64]


def carve_validation(
    file: LabelledClips, rows: _Rows, number: int, *, share: float = 0.25
) -> Split:
    """Divide training clips into those that a recognizer learns from and the validation part.

    Performers are shuffled and dealt into groups of about `share` of the clips; draw `number` is
    tested on the next group, so that every performer has a turn before one has a second. Without
    two known performers, `share` of the clips of each class is drawn.

    Args:
        file: All clips.
        rows: Those of the training part.
        number: Of the draw, from 0.
        share: Of the clips that is the validation part.

    Returns:
        Of the labelled clips among `rows`, what is learned from (train) and the validation part
        (test), without classes of which nothing is left to learn from.

    Raises:
        DataError: No clip would be left on either side.
    """
    labels = np.asarray(file.labels, dtype=np.int64)
    subjects = np.asarray(file.subjects, dtype=np.int64)
    own = np.sort(rows[labels[rows] >= 0])
    notes = []
    if len(own) < len(rows):
        notes.append(f"{len(rows) - len(own)} training clips have no label and are left out")
    known = own[subjects[own] >= 0]
    if len(np.unique(subjects[known])) >= 2:
        if len(known) < len(own):
            notes.append(f"{len(own) - len(known)} training clips name no subject; left out")
        test = known[np.isin(subjects[known], _group(subjects[known], number, share))]
        train = np.setdiff1d(known, test)
    else:
        notes.append(
            "no two subjects are known, so the validation clips may be of performers that the "
            "recognizer has seen: the accuracies are flattering ones"
        )
        test = _some_of_each(own, labels[own], number, share)
        train = np.setdiff1d(own, test)
    lacking = ~np.isin(labels[test], labels[train])
    if lacking.any():
        names = [file.classes[label] for label in np.unique(labels[test[lacking]])]
        notes.append(
            f"{int(lacking.sum())} validation clips are left out: nobody else performs "
            f"{', '.join(map(repr, names[:6]))}{' ...' if len(names) > 6 else ''}"
        )
        test = test[~lacking]
    if not len(train) or not len(test):
        raise DataError(
            f"{file.path}: expected labelled training clips of which some can be spared for a "
            f"validation part, got {len(own)}; record more"
        )
    names = [file.names[row] for row in train]
    return Split(f"draw {number}", train, test, split_hash(names), tuple(notes))


def _group(subjects: _Rows, number: int, share: float) -> _Rows:
    """The performers of the validation part of a draw."""
    people, counts = np.unique(subjects, return_counts=True)
    dealt, turn = 0, 0
    while True:
        order = numpy_generator(turn, Stream.BENCHMARK, _VALIDATION).permutation(len(people))
        # performers lie side by side on a line of all clips; the cut that has a middle has them
        middles = np.cumsum(counts[order]) - counts[order] / 2
        cuts = np.floor(middles / counts.sum() * max(2, round(1 / share)))
        groups = np.unique(cuts)
        if number < dealt + len(groups):
            return np.asarray(people[order[cuts == groups[number - dealt]]])
        dealt, turn = dealt + len(groups), turn + 1


def _some_of_each(rows: _Rows, labels: _Rows, number: int, share: float) -> _Rows:
    """A share of the clips of each class, rounded; one is always left."""
    random = numpy_generator(number, Stream.BENCHMARK, _VALIDATION)
    chosen = [np.zeros(0, dtype=np.int64)]
    for label in np.unique(labels):
        own = random.permutation(rows[labels == label])
        chosen.append(own[: min(len(own) - 1, max(1, round(share * len(own))))])
    return np.sort(np.concatenate(chosen))
