"""Applying draws to a clip, and drawing and applying in one go.

Everything happens to the positions, before bones, motion and other streams are taken from them, and
to all persons alike: the streams of an augmented clip belong together by construction, two persons
keep their place towards one another, and a copied person stays a copy. A person that is all zeros
is absent and stays so.

A chain of operations that are linear along each axis (all but jitter and masks) is merged into one
map and costs one pass. Replaying draws on the same clip gives the same bits on the same machine,
because `augment` does nothing else than to draw and to apply.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skelaug.augment.clip_map import Clip, ClipMap, present
from skelaug.augment.configuration import AugmentationConfig
from skelaug.augment.drawing import Draw, draw
from skelaug.augment.maps import (
    bone_matrix,
    jitter_noise,
    mask_sources,
    mirror_matrices,
    rotation_matrix,
    view_matrix,
    warp_times,
)
from skelaug.errors import DataError, did_you_mean
from skelaug.seeds import numpy_generator
from skelaug.shapes import check_shape
from skelaug.skeleton.layout import SkeletonLayout

__all__ = ["apply", "augment"]


class _Setting(NamedTuple):
    """What a linear operation must know of the clip that it gets."""

    layout: SkeletonLayout
    frames: int
    channels: int


def augment(
    config: AugmentationConfig,
    positions: NDArray[Any],
    layout: SkeletonLayout,
    *,
    generator: np.random.Generator,
) -> tuple[Clip, list[Draw]]:
    """A varied copy of a clip, and the draws that `apply` needs to make it again.

    Args:
        config: The largest changes; all zero gives the clip itself.
        positions: T M V C; see `apply`.
        layout: The joints V.
        generator: Where chance comes from.

    Raises:
        UsageError: The clip or its layout cannot be varied that way; the message says which field.
    """
    draws = draw(config, layout=layout, frames=len(positions), generator=generator)
    return apply(positions, layout, draws), draws


def apply(positions: NDArray[Any], layout: SkeletonLayout, draws: Sequence[Draw]) -> Clip:
    """The clip with the operations of the draws done one after the other, T' M V C.

    A new array in the precision of the positions, at least float32.

    Args:
        positions: T M V C without gaps, C = 3 or 2, metres, y up. The origin should be near the
            body, as preparation leaves it at the first person's start: clips are turned, scaled and
            mirrored about the origin.
        layout: The joints V.
        draws: As from `draw`, also after a round trip through JSON.

    Raises:
        UsageError: A clip of two coordinates shall be turned about x or y.
        DataError: A draw is unknown or does not fit the clip.
        ValueError: The positions have another shape, no frame, or gaps.
    """
    check_shape(positions, "T M V C", what="positions", V=layout.num_joints)
    if not len(positions) or positions.shape[-1] not in (2, 3):
        raise ValueError(f"positions: expected T >= 1 and C = 2 or 3, got {positions.shape}")
    values = np.array(positions, dtype=np.result_type(positions, np.float32))
    if not np.isfinite(values).all():
        raise ValueError("positions: expected no gaps, got NaN or infinity; fill them first")
    pending, frames = ClipMap(), len(values)
    for one in draws:
        op = one["op"]
        if op in _LINEAR:
            step = _LINEAR[op](one, _Setting(layout, frames, values.shape[-1]))
            frames = frames if step.times is None else len(step.times)
            pending = pending.then(step)
        elif op in _OTHER:
            values, pending = _OTHER[op](pending(values), one, layout), ClipMap()
        else:
            known = did_you_mean(str(op), [*_LINEAR, *_OTHER])
            raise DataError(f"draw: expected a known operation, got {op!r}; {known}")
    return pending(values)


def _crop(one: Draw, clip: _Setting) -> ClipMap:
    start, stop = one["start"], one["start"] + one["frames"]
    _fits(one, 0 <= start < stop <= clip.frames, f"a clip of at least {stop} frames", clip.frames)
    return ClipMap(times=np.arange(start, stop, dtype=np.float64))


def _speed(one: Draw, clip: _Setting) -> ClipMap:
    return ClipMap(times=np.linspace(0, clip.frames - 1, one["frames"]))


def _time_warp(one: Draw, clip: _Setting) -> ClipMap:
    return ClipMap(times=warp_times(one["log_tempo"], clip.frames))


def _bones(one: Draw, clip: _Setting) -> ClipMap:
    count, v = len(one["factors"]), clip.layout.num_joints
    _fits(one, count == v, f"a clip of {count} joints", v)
    return ClipMap(joints=bone_matrix(one["factors"], clip.layout))


def _mirror(_: Draw, clip: _Setting) -> ClipMap:
    joints, matrix = mirror_matrices(clip.layout, channels=clip.channels)
    return ClipMap(joints=joints, matrix=matrix)


def _view(one: Draw, clip: _Setting) -> ClipMap:
    return ClipMap(matrix=view_matrix(one["degrees"], one["scale"], channels=clip.channels))


def _scale(one: Draw, clip: _Setting) -> ClipMap:
    return ClipMap(matrix=np.diag(np.asarray(one["factors"][: clip.channels], dtype=np.float64)))


def _shear(one: Draw, clip: _Setting) -> ClipMap:
    matrix = np.asarray(one["matrix"], dtype=np.float64)
    return ClipMap(matrix=matrix[: clip.channels, : clip.channels])


def _rotation(one: Draw, clip: _Setting) -> ClipMap:
    return ClipMap(matrix=rotation_matrix(one["angles"], channels=clip.channels))


def _translation(one: Draw, clip: _Setting) -> ClipMap:
    return ClipMap(shift=np.asarray(one["shift"][: clip.channels], dtype=np.float64))


def _jitter(values: Clip, one: Draw, _: SkeletonLayout) -> Clip:
    t, _m, v, c = values.shape
    noise = jitter_noise(
        (t, 1, v, c),
        std=one["std"],
        smoothing=one["smoothing"],
        generator=numpy_generator(one["seed"]),
    )
    return values + noise.astype(values.dtype) * present(values)


def _joint_mask(values: Clip, one: Draw, layout: SkeletonLayout) -> Clip:
    fits = all(0 <= joint < len(layout.joints) for joint in one["joints"])
    _fits(one, fits, f"a clip with the joints {one['joints']}", layout.num_joints)
    return values[:, :, mask_sources(layout, one["joints"])]


def _frame_mask(values: Clip, one: Draw, _: SkeletonLayout) -> Clip:
    kept = np.setdiff1d(np.arange(len(values)), one["frames"])
    fits = len(kept) > 0 and len(kept) + len(one["frames"]) == len(values)
    _fits(one, fits, f"a clip with more than the frames {one['frames']}", len(values))
    times = np.interp(np.arange(len(values)), kept, np.arange(len(kept)))
    return ClipMap(times=times)(values[kept])


def _fits(one: Draw, condition: bool, expected: str, received: int) -> None:
    if not condition:
        raise DataError(
            f"draw {one['op']!r}: expected {expected}, got {received}; "
            "replay it on the clip that it was drawn for"
        )


_LINEAR: Mapping[str, Callable[[Draw, _Setting], ClipMap]] = {
    "crop": _crop,
    "speed": _speed,
    "time_warp": _time_warp,
    "bones": _bones,
    "mirror": _mirror,
    "view": _view,
    "scale": _scale,
    "shear": _shear,
    "rotation": _rotation,
    "translation": _translation,
}
_OTHER: Mapping[str, Callable[[Clip, Draw, SkeletonLayout], Clip]] = {
    "jitter": _jitter,
    "joint_mask": _joint_mask,
    "frame_mask": _frame_mask,
}
