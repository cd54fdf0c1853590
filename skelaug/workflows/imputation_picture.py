"""A picture of some imputed clips: what was measured beside what was invented."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from skelaug.data.store import SequenceFile
from skelaug.plots.skeletons import draw_sheet
from skelaug.skeleton.sequence import SkeletonSequence

__all__ = ["draw_imputed"]

_SHOWN = 6


def draw_imputed(path: Path, parts: Sequence[Path], *, of: Path) -> bool:
    """Draw some clips in which something was invented; whether there was one.

    Args:
        path: The PNG to write.
        parts: The imputed clips, in files one after the other.
        of: The file that they were made of, named in the headline.
    """
    found = [(part, row) for part in parts for row in _with_inventions(part)]
    if not found:
        return False
    places = np.linspace(0, len(found) - 1, min(_SHOWN, len(found))).round().astype(int)
    chosen = [found[place] for place in dict.fromkeys(places.tolist())]
    title = f"{of.name}: {len(chosen)} of {len(found)} clips with gaps that were filled"
    draw_sheet(path, [_clip(*one) for one in chosen], title=title, inventions=True)
    return True


def _with_inventions(path: Path) -> list[int]:
    with SequenceFile(path) as file:
        return [row for row in range(len(file)) if _has_inventions(file, row)]


def _clip(path: Path, row: int) -> SkeletonSequence:
    with SequenceFile(path) as file:
        return file[row]


def _has_inventions(file: SequenceFile, row: int) -> bool:
    observed = file.observed(row, row + 1)
    somebody = observed.any(axis=(0, 2), keepdims=True)  # an empty slot may hold any numbers
    invented = ~observed & somebody & (file.uncertainty(row, row + 1) != 0)
    if not invented.any():
        return False
    return bool((invented & np.isfinite(file[row].positions).all(axis=-1)).any())
