"""Bones of one length throughout a clip: the nearest motion of a body that does not stretch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skelaug.refinement.filters import butterworth
from skelaug.skeleton.layout import SkeletonLayout

__all__ = ["rigid_hints", "with_rigid_bones"]

_HINT_ROUNDS, _HINT_CUTOFF = 3, 4.0  # Hz; what is faster in a body is mostly noise
_SHORTEST = 1e-9  # metres; a bone below that has no direction


def with_rigid_bones(
    positions: NDArray[np.floating],
    layout: SkeletonLayout,
    *,
    lengths: NDArray[np.floating] | None = None,
    rounds: int = 8,
) -> NDArray[np.floating]:
    """The poses with bones of constant length whose joints are nearest to those that are given.

    With u_b its direction, l_b its length
    and p the joints that they make from the root on, the sum of the squares of p - x is lowered
    bone by bone, in each frame by itself. A bone carries the joints J behind it along, so the best
    direction, all others held, is that of::

        sum_J (x_j - p_j) + |J| l_b u_b

    Directions start as those of the given bones. No step raises the sum, and after a few rounds
    over the tree little more is gained. The root stays where it is.

    Args:
        positions: ... T V 3, finite; each of several clips has lengths of its own.
        layout: The tree of the joints.
        lengths: Of the bones, V - 1 in the order of ``layout.bones``, metres; None takes the median
            of each bone's lengths over the clip.
        rounds: Over the tree.

    Returns:
        ... T V 3 in the same dtype.
    """
    if positions.shape[-2:] != (layout.num_joints, 3):
        raise ValueError(
            f"positions: expected ... T {layout.num_joints} 3, got shape {positions.shape}"
        )
    if not np.isfinite(positions).all():
        raise ValueError("positions: expected finite numbers, got others; fill the gaps first")
    x = np.asarray(positions, dtype=np.float64)
    order = [joint for joint in layout.tree_order if layout.parents[joint] >= 0]
    given = {joint: x[..., joint, :] - x[..., layout.parents[joint], :] for joint in order}
    if lengths is None:
        long = {joint: np.median(_norms(bone), -2, keepdims=True) for joint, bone in given.items()}
    else:
        long = dict(zip((child for child, _ in layout.bones), lengths, strict=True))
    bones = {joint: long[joint] * _directions(bone) for joint, bone in given.items()}
    placed = x.copy()
    for joint in order:
        placed[..., joint, :] = placed[..., layout.parents[joint], :] + bones[joint]
    behind = _joints_behind(layout)
    for _ in range(rounds):
        for joint in order:
            carried = behind[joint]
            left = (x[..., carried, :] - placed[..., carried, :]).sum(axis=-2)
            pull = left + len(carried) * bones[joint]
            turned = np.where(
                _norms(pull) > _SHORTEST, long[joint] * _directions(pull), bones[joint]
            )
            placed[..., carried, :] += (turned - bones[joint])[..., None, :]
            bones[joint] = turned
    return np.asarray(placed, dtype=positions.dtype)


def rigid_hints(
    poses: NDArray[np.floating], fps: float, layout: SkeletonLayout
) -> NDArray[np.floating]:
    """Where a low pass and rigid bones would put the joints, less where they are, metres.

    What a refiner may read beside the poses: errors of a centimetre are hard to see in them.

    Args:
        poses: ... T V 3 about the root.
        fps: Frames per second.
        layout: The tree of the joints.
    """
    in_time = np.moveaxis(poses, -3, 0)
    flat = in_time.reshape(len(in_time), -1, 3)
    smooth = np.moveaxis(butterworth(flat, fps, cutoff=_HINT_CUTOFF).reshape(in_time.shape), 0, -3)
    return np.asarray(with_rigid_bones(smooth, layout, rounds=_HINT_ROUNDS) - poses)


def _norms(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.linalg.norm(vectors, axis=-1, keepdims=True))


def _directions(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Vectors of length 1; zero where there is none."""
    return np.asarray(vectors / np.maximum(_norms(vectors), _SHORTEST))


def _joints_behind(layout: SkeletonLayout) -> dict[int, list[int]]:
    """Of each joint itself and all that hang on it."""
    behind: dict[int, list[int]] = {joint: [] for joint in range(layout.num_joints)}
    for joint in range(layout.num_joints):
        above = joint
        while above >= 0:
            behind[above].append(joint)
            above = layout.parents[above]
    return behind
