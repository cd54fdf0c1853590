"""Windows of a clip: frame numbers of one length and rate that together hold every frame."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["window_frames"]


def window_frames(
    count: int, frames: int, stride: int, hop: int, *, beyond: Literal["mirror", "hold"] = "mirror"
) -> NDArray[np.int64]:
    """The frame numbers of the windows of a clip, n frames; every frame is in at least one.

    The clip is read in `stride` interleaved phases. In each, a window starts every `hop` steps, and
    the last one ends with the phase. Only a phase shorter than a window is read beyond its end.

    Args:
        count: Frames of the clip.
        frames: Frames of a window.
        stride: Frames of the clip per step of a window.
        hop: Steps from window to window, 1 to `frames`.
        beyond: What follows the last frame of a phase: ``mirror``, the frames before it (of one
            frame always itself), or ``hold``, that frame again.

    Raises:
        ValueError: The clip is empty, or hop or stride would leave frames out.
    """
    if count < 1 or stride < 1 or not 1 <= hop <= frames:
        raise ValueError(
            f"window_frames: expected at least one frame, stride 1 and a hop of 1 to {frames}, "
            f"got {count}, {stride} and {hop}"
        )
    found = []
    for phase in range(min(stride, count)):
        length = -(-(count - phase) // stride)
        last = max(length - frames, 0)
        starts = np.append(np.arange(0, last, hop), last)
        places = starts[:, None] + np.arange(frames)
        inside = _mirrored(places, length) if beyond == "mirror" else places.clip(max=length - 1)
        found.append(phase + stride * inside)
    return np.concatenate(found)


def _mirrored(places: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """Places beyond the last of `length` frames, mirrored at it and, if need be, at the first."""
    period = max(2 * length - 2, 1)
    folded = places % period
    return np.asarray(np.minimum(folded, period - folded) if length > 1 else 0 * places)
