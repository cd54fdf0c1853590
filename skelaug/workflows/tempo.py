"""The tempo at which clips are read: windows have one frame rate, clips have any."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from skelaug.imputation.windows import steps_between

__all__ = ["tempo_warnings"]

_TOLERATED = 0.1  # of the logarithm: people vary more


def tempo_warnings(rates: ArrayLike, fps: float, *, where: str, whose: str) -> list[str]:
    """A warning if clips look faster or slower than they are in windows of another rate.

    Only whole frames are skipped (`steps_between`), so a clip is read at the rate nearest to that
    of the windows, which may be far from it. Up to a tenth is passed over.

    Args:
        rates: Frames per second of each clip.
        fps: Of the windows.
        where: Where the clips are.
        whose: Whose rate it is: "model m knows".

    Returns:
        No text or one.
    """
    read = np.array([rate / steps_between(rate, fps) for rate in np.asarray(rates).tolist()])
    apart = np.log(read / fps)
    is_odd = np.abs(apart) > _TOLERATED
    if not is_odd.any():
        return []
    slowest, fastest = read[is_odd].min(), read[is_odd].max()
    at = f"{slowest:.4g}" + (f" to {fastest:.4g}" if fastest > slowest else "")
    looks = [word for word, is_so in (("faster", apart < 0), ("slower", apart > 0))
             if (is_odd & is_so).any()]  # fmt: skip
    return [
        f"{where}: {int(is_odd.sum())} clips are read at {at} frames per second, {whose} {fps:g}: "
        f"their motions look {' or '.join(looks)} than they are"
    ]
