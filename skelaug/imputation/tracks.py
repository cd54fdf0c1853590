"""One person of one clip, many of them laid out as one flat array, and their windows in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Track"]


@dataclass(frozen=True)
class Track:
    """One person of one clip.

    Attributes:
        positions: T V 3 in metres, float32 or float64; only measured joints are ever read.
        observed: T V, True where a joint was measured; its three coordinates are finite there.
        fps: Frames per second.
    """

    positions: NDArray[np.floating]
    observed: NDArray[np.bool_]
    fps: float
