"""A picture of some refined clips beside what they were."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from skelaug.data.store import SequenceFile
from skelaug.plots.skeletons import draw_sheet
from skelaug.skeleton.sequence import SkeletonSequence

__all__ = ["draw_refined"]

_SHOWN = 4


def draw_refined(
    path: Path, before: SequenceFile, parts: Sequence[Path], *, title: str, each: int = 1
) -> None:
    """Draw some clips on the left and what became of them on the right.

    Args:
        path: The PNG to write.
        before: The clips as they came.
        parts: What became of them, in the same order, in files one after the other.
        title: The headline.
        each: How many clips became of one; the first of them is drawn.
    """
    rows = np.linspace(0, len(before) - 1, min(_SHOWN, len(before))).round().astype(int).tolist()
    wanted = dict.fromkeys(rows)
    after = [clip for place, clip in enumerate(_clips(parts)) if place / each in wanted]
    draw_sheet(path, [*(before[row] for row in wanted), *after], title=title)


def _clips(parts: Sequence[Path]) -> Iterator[SkeletonSequence]:
    for part in parts:
        with SequenceFile(part) as file:
            yield from file
