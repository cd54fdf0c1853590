"""Filling gaps in one pass: what a prior makes of the measured part, joined to it at the edges.

A network that has seen occluded windows rebuilds the whole one. Its rebuilt motion is a little off
everywhere, the measured parts included; there the difference is known. It is carried linearly
across the gap, so that the filled stretch leaves from and arrives at what was measured.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skelaug.imputation.fillers import fill_linear, root_by_joints
from skelaug.imputation.prior import MotionPrior, check_evaluation_mode
from skelaug.imputation.tracks import TrackWindows, mean_motions

__all__ = ["join", "reconstruct"]

_Positions = NDArray[np.floating]
_Mask = NDArray[np.bool_]


@torch.no_grad()
def reconstruct(prior: MotionPrior, cut: TrackWindows, *, batch: int = 128) -> list[_Positions]:
    """Tracks T V 3 in metres with their gaps filled by one pass of the prior.

    The prior is shown what was measured; overlapping windows are blended; `join` joins the result
    to what was measured, whose bits stay. A single frame is no motion: its missing joints take
    their place in the mean pose. NaN throughout where nothing was measured.

    Args:
        prior: In evaluation mode, where `cut` lives; one that reads masks does much better.
        cut: The tracks and their windows.
        batch: Windows that go through the prior together.

    Raises:
        ValueError: The prior is in training mode.
    """
    check_evaluation_mode(prior)
    root = cut.form.layout.root
    filled = [
        fill_linear(track.positions, track.observed, mean, root=root)
        for track, mean in zip(cut.tracks, mean_motions(cut), strict=True)
    ]
    rebuilt = cut.split(_rebuilt(prior, cut, cut.flat(filled), batch))
    for n, (track, motion) in enumerate(zip(cut.tracks, rebuilt, strict=True)):
        if track.is_motion:
            filled[n] = join(track.positions, track.observed, motion, root=root)
    return filled


def join(positions: _Positions, observed: _Mask, rebuilt: _Positions, *, root: int) -> _Positions:
    """A rebuilt motion T V 3 joined to the measured part of a clip; a new array.

    The root comes first: measured, else placed by the measured joints of its frame through their
    rebuilt offsets, else rebuilt. Every other joint is the root plus its rebuilt offset plus the
    residual, measured less that, which is interpolated linearly across gaps, held at the clip's
    ends, and 0 for a joint that was measured nowhere.

    Args:
        positions: T V 3 in metres; only what was measured is read.
        observed: T V.
        rebuilt: T V 3 in metres, without gaps.
        root: Index of the root.
    """
    offsets = rebuilt - rebuilt[:, root, None]
    at_root = _joined_root(positions, observed, rebuilt, root)
    filled = positions.copy()
    for joint in range(positions.shape[1]):
        if joint == root:
            filled[:, root] = at_root
        elif not observed[:, joint].all():
            guess = at_root + offsets[:, joint]
            filled[:, joint] = _carried(positions[:, joint], observed[:, joint], guess)
    return filled


def _rebuilt(prior: MotionPrior, cut: TrackWindows, begun: Tensor, batch: int) -> Tensor:
    """What the prior makes of the measured part of the frames, F V 3 in metres.

    All windows of a clip count, since residuals are taken from the measured frames beside a gap.
    What the prior adds to the lines it began with is averaged over the phases of a clip.
    """
    made = []
    for chunk in cut.chunks(cut.every, batch):
        seen = cut.seen(chunk)
        x = cut.form.shown(cut.features(begun, chunk), seen)
        made.append(cut.in_metres(prior.reconstruct(x, seen=seen).mean.to(begun), chunk))
    added = cut.blend(torch.cat(made), cut.every) - begun
    return begun + cut.moving_mean(added)


def _joined_root(
    positions: _Positions, observed: _Mask, rebuilt: _Positions, root: int
) -> _Positions:
    """The root's way, T 3."""
    known = observed[:, root]
    if known.all():
        return positions[:, root]
    offsets = rebuilt - rebuilt[:, root, None]
    both = observed & known[:, None]
    truth = np.where(both[..., None], positions - positions[:, root, None], 0.0)
    corrected = np.stack(
        [_carried(truth[:, j], both[:, j], offsets[:, j]) for j in range(offsets.shape[1])], axis=1
    )
    votes, are_any = root_by_joints(positions, observed, corrected, root=root)
    place = np.where(known[:, None], positions[:, root], votes)
    return _carried(place, known | are_any, rebuilt[:, root])


def _carried(measured: _Positions, known: _Mask, guess: _Positions) -> _Positions:
    """A guess T 3 plus what it lacks where the truth is known, interpolated between; T 3."""
    frames = np.flatnonzero(known)
    if len(frames) == 0:
        return guess
    time = np.arange(len(known))
    lack = measured[frames] - guess[frames]
    residual = np.stack([np.interp(time, frames, lack[:, c]) for c in range(3)], axis=-1)
    return np.where(known[:, None], measured, guess + residual)
