"""A function of windows of one length, applied to clips of any length.

The frames of all clips lie one after the other, F of them, and a window is a row of their numbers.
Windows overlap, and what they say about a frame is averaged with weights that fall off towards a
window's ends, so that nothing jumps at the seams.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from skelaug.shapes import check_shape
from skelaug.skeleton.windows import window_frames

__all__ = ["seam_weights", "through_windows", "window_rows"]


def window_rows(
    lengths: Sequence[int], frames: int, *, stride: int = 1, hop: int | None = None
) -> Tensor:
    """The frame numbers of the windows of clips that lie one after the other, W T, int64.

    Args:
        lengths: Frames of each clip.
        frames: Frames of a window, T; a shorter clip's last frame is repeated.
        stride: Frames of a clip per step of a window, above 1 for clips of a higher rate than the
            network's. A clip is read in as many interleaved phases: no frame is left out.
        hop: Steps from one window to the next; half a window if not given.

    Raises:
        ValueError: A clip is empty, or hop or stride would leave frames out.
    """
    hop = max(frames // 2, 1) if hop is None else hop
    first = np.cumsum([0, *lengths])
    rows = [
        start + window_frames(length, frames, stride, hop, beyond="hold")
        for start, length in zip(first, lengths, strict=False)
    ]
    return torch.from_numpy(np.concatenate(rows) if rows else np.zeros((0, frames), np.int64))


def seam_weights(rows: Tensor, count: int) -> Tensor:
    """How much each window counts in each of its frames, W T, float64.

    A window counts most in its middle and falls off linearly; what it says about a repeated frame
    does not count. Over the windows that hold it, the weights of a frame sum to 1.

    Args:
        rows: Frame numbers of the windows, W T.
        count: Number of frames F.
    """
    check_shape(rows, "W T", what="rows")
    rising = torch.arange(1, rows.shape[1] + 1, dtype=torch.float64, device=rows.device)
    weights = torch.minimum(rising, rising.flip(0)).repeat(len(rows), 1)
    weights[:, 1:][rows[:, 1:] == rows[:, :-1]] = 0
    total = weights.new_zeros(count).index_add_(0, rows.flatten(), weights.flatten())
    return weights / total[rows]


def through_windows(
    apply: Callable[..., Tensor], inputs: Sequence[Tensor], rows: Tensor, *, batch: int = 64
) -> Tensor:
    """What a function of windows says about frames, F ..., blended where windows overlap.

    Besides inputs and result, the memory is that of one batch.

    Args:
        apply: From one tensor n T ... per input to n T ....
        inputs: At least one; what is known of each frame, F ... each.
        rows: Frame numbers of the windows, W T (`window_rows`); every frame must be in one.
        batch: Windows at a time.

    Raises:
        ValueError: The inputs have not the same number of frames, or there are no windows.
    """
    count = len(inputs[0])
    if any(len(one) != count for one in inputs) or not len(rows):
        raise ValueError(
            f"through_windows: expected inputs of one length and windows of them, "
            f"got {[len(one) for one in inputs]} frames and {len(rows)} windows"
        )
    weights = seam_weights(rows, count)
    blended: Tensor | None = None
    for some, shares in zip(torch.split(rows, batch), torch.split(weights, batch), strict=True):
        said = apply(*(one[some] for one in inputs)).flatten(0, 1)
        if blended is None:
            blended = said.new_zeros(count, *said.shape[1:])
        share = shares.flatten().to(said).view(-1, *[1] * (said.ndim - 1))
        blended.index_add_(0, some.flatten(), said * share)
    assert blended is not None
    return blended
