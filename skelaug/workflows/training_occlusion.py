"""Random occlusions of training windows: what a camera may fail to see of a body."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from skelaug.imputation.occlusion import limbs
from skelaug.skeleton.layout import SkeletonLayout

__all__ = ["draw_occlusions"]

_EACH = 0.4  # of the occluded windows have each of the four kinds
_SHARES = (0.002, 0.8)  # of the entries that are hidden one by one
_JOINTS = 0.4  # of the joints, at most, are never seen


def draw_occlusions(
    count: int, frames: int, layout: SkeletonLayout, *, share: float, numbers: torch.Generator
) -> Tensor:
    """What is hidden of windows, N T V, bool.

    Four kinds, each in two of five occluded windows, so that some have several: random entries (a
    share of them from 0.2 % to 80 %, equally often in each order of magnitude); a limb for a while;
    all joints for a while; joints that are never seen. Where no kind was drawn, random entries are
    hidden. One joint of one frame at least is left.

    Args:
        count: Windows N.
        frames: Their length T.
        layout: Its body parts are the limbs.
        share: Of the windows that are occluded.
        numbers: Where chance comes from.
    """
    shape = (count, frames, layout.num_joints)

    def rand(*size: int) -> Tensor:
        return torch.rand(size, generator=numbers)

    low, high = (math.log(each) for each in _SHARES)
    entries = rand(*shape) < (low + (high - low) * rand(count)).exp()[:, None, None]
    parts = torch.zeros(len(limbs(layout)), layout.num_joints, dtype=torch.bool)
    for row, joints in zip(parts, limbs(layout), strict=True):
        row[list(joints)] = True
    limb = parts[(rand(count) * len(parts)).long()]
    limb_for_a_while = _spans(rand(2, count), frames)[:, :, None] & limb[:, None]
    all_for_a_while = _spans(rand(2, count), frames)[:, :, None].expand(shape)
    never = (rand(count, shape[2]) < _JOINTS * rand(count)[:, None])[:, None].expand(shape)
    kinds = (entries, limb_for_a_while, all_for_a_while, never)
    drawn = rand(len(kinds), count) < _EACH
    drawn[0] |= ~drawn.any(dim=0)
    hidden = torch.zeros(shape, dtype=torch.bool)
    for kind, is_drawn in zip(kinds, drawn, strict=True):
        hidden |= kind & is_drawn[:, None, None]
    is_occluded = (rand(count) < share) & ~hidden.flatten(1).all(dim=1)
    return hidden & is_occluded[:, None, None]


def _spans(uniform: Tensor, frames: int) -> Tensor:
    """Stretches of time, N T, 1 to T frames long; some reach beyond an end of the window.

    Args:
        uniform: Two numbers from U(0, 1) for each, 2 N.
        frames: T.
    """
    length = 1 + (uniform[0] * frames).floor()
    start = (uniform[1] * (frames + length - 1)).floor() - length + 1
    clock = torch.arange(frames)
    return (clock >= start[:, None]) & (clock < (start + length)[:, None])
