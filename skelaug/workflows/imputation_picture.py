"""A picture of some imputed clips: what was measured beside what was invented."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from skelaug.data.store import SequenceFile
from skelaug.plots.skeletons import draw_sheet

__all__ = ["draw_imputed"]

_SHOWN = 6


def draw_imputed(path: Path, out: Path, *, of: Path) -> bool:
    """Draw some clips in which something was invented; whether there was one.

    Args:
        path: The PNG to write.
        out: The imputed file.
        of: The file that it was made of, named in the headline.
    """
    with SequenceFile(out) as file:
        rows = [row for row in range(len(file)) if _has_inventions(file, row)]
        if not rows:
            return False
        places = np.linspace(0, len(rows) - 1, min(_SHOWN, len(rows))).round().astype(int)
        chosen = [rows[place] for place in dict.fromkeys(places.tolist())]
        title = f"{of.name}: {len(chosen)} of {len(rows)} clips with gaps that were filled"
        draw_sheet(path, [file[row] for row in chosen], title=title, inventions=True)
    return True


def _has_inventions(file: SequenceFile, row: int) -> bool:
    observed = file.observed(row, row + 1)
    somebody = observed.any(axis=(0, 2), keepdims=True)  # an empty slot may hold any numbers
    invented = ~observed & somebody & (file.uncertainty(row, row + 1) != 0)
    if not invented.any():
        return False
    return bool((invented & np.isfinite(file[row].positions).all(axis=-1)).any())
