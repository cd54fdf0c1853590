"""A picture of some refined clips beside what they were."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from skelaug.data.store import SequenceFile
from skelaug.plots.skeletons import draw_sheet

__all__ = ["draw_refined"]

_SHOWN = 4


def draw_refined(
    path: Path, before: SequenceFile, refined: Path, *, title: str, each: int = 1
) -> None:
    """Draw some clips on the left and what became of them on the right.

    Args:
        path: The PNG to write.
        before: The clips as they came.
        refined: The file of what became of them, in the same order.
        title: The headline.
        each: How many clips became of one; the first of them is drawn.
    """
    rows = np.linspace(0, len(before) - 1, min(_SHOWN, len(before))).round().astype(int).tolist()
    wanted = dict.fromkeys(rows)
    with SequenceFile(refined) as file:
        after = [file[row * each] for row in wanted]
    draw_sheet(path, [*(before[row] for row in wanted), *after], title=title)
