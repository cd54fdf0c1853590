"""How strongly clips are varied: one group of fields per operation, and named settings."""

from __future__ import annotations

from collections.abc import Mapping
from math import pi

from pydantic import BaseModel, Field

__all__ = ["PRESETS", "AugmentationConfig"]


class AugmentationConfig(BaseModel, frozen=True, extra="forbid"):
    """The largest change that each operation may make; 0 switches an operation off.

    Everything is off by default. Each clip gets its own draw, and every person in it the same one.
    The operations follow one another in the order of the fields. Angles are in radians, except
    where a field says degrees; lengths are in the unit of the clip, metres.

    Attributes:
        crop: Largest share of the frames that is cut off; how many go at which end is random.
        speed: Largest relative change of the number of frames, by linear resampling. Without effect
            where clips are resampled to one length afterwards.
        time_warp: Largest logarithm of the tempo at a knot, drawn from U(-w, w). The tempo between
            knots is linear, so time runs on without a stop or a kink; first and last frame stay.
        time_warp_knots: Knots of the tempo, equally spaced over the clip.
        bones: Largest relative change of a bone's length. Each bone has its own factor from
            U(1 - b, 1 + b), the left one the same as the right one; the root's path stays.
        mirror: Probability that left and right are exchanged: x is negated and each joint takes the
            name of its mirror image. Leave it at 0 where classes name a hand.
        view_degrees: Largest turn about y, then about x, each in whole degrees from U{-d..d}: the
            view augmentation of Northwestern-UCLA, kept in the degrees it was published in.
        view_scale: Largest relative change of size that goes with the change of view.
        scale: Largest relative change of the size.
        scale_axes: Largest relative change of the size along each axis, on top of it.
        shear: Largest off-diagonal entry of the shear matrix, from U(-s, s).
        rotation_x: Largest turn about x, to the side of the person, radians.
        rotation_y: Largest turn about y, up, radians.
        rotation_z: Largest turn about z, radians; the only one that 2D clips can have. The turns
            follow one another in the order x, y, z.
        translation: Largest shift along each axis, metres.
        jitter: Standard deviation of Gaussian noise on each coordinate of each joint, metres.
        jitter_smoothing: Standard deviation, in frames, of the Gaussian that smooths that noise in
            time; the noise keeps its size. 0 leaves it white.
        joint_mask: Largest share of the joints that is lost for the whole clip. A lost joint lies
            where its parent is (its nearest ancestor that is not lost); the root is never lost.
        frame_mask: Largest share of the frames that is lost. A lost frame is interpolated from its
            neighbours in time that are not.
    """

    crop: float = Field(default=0.0, ge=0, lt=1)
    speed: float = Field(default=0.0, ge=0, lt=1)
    time_warp: float = Field(default=0.0, ge=0, le=2)
    time_warp_knots: int = Field(default=5, ge=2, le=64)
    bones: float = Field(default=0.0, ge=0, lt=1)
    mirror: float = Field(default=0.0, ge=0, le=1)
    view_degrees: int = Field(default=0, ge=0, le=180)
    view_scale: float = Field(default=0.0, ge=0, lt=1)
    scale: float = Field(default=0.0, ge=0, lt=1)
    scale_axes: float = Field(default=0.0, ge=0, lt=1)
    # beyond a half the matrix may be singular or turn a body inside out
    shear: float = Field(default=0.0, ge=0, le=0.5)
    rotation_x: float = Field(default=0.0, ge=0, le=pi)
    rotation_y: float = Field(default=0.0, ge=0, le=pi)
    rotation_z: float = Field(default=0.0, ge=0, le=pi)
    translation: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    jitter: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    jitter_smoothing: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    joint_mask: float = Field(default=0.0, ge=0, lt=1)
    frame_mask: float = Field(default=0.0, ge=0, lt=1)


PRESETS: Mapping[str, AugmentationConfig] = {
    "none": AugmentationConfig(),
    # turn, tilt and crop
    "light": AugmentationConfig(crop=0.2, rotation_x=0.15, rotation_y=0.35, rotation_z=0.15),
    # light, and other bodies: the best classical lever where clips are scarce
    "limbs": AugmentationConfig(
        crop=0.2, bones=0.15, rotation_x=0.15, rotation_y=0.35, rotation_z=0.15
    ),
    # the classical arm of the benchmark; no mirror, because classes may name a hand
    "classical": AugmentationConfig(
        crop=0.2,
        time_warp=0.3,
        scale=0.1,
        scale_axes=0.05,
        shear=0.1,
        rotation_x=0.15,
        rotation_y=0.35,
        rotation_z=0.15,
        jitter=0.005,
        jitter_smoothing=2.0,
        joint_mask=0.1,
    ),
    # Chen et al. 2021, as published with their code
    "ctr": AugmentationConfig(rotation_x=0.3, rotation_y=0.3, rotation_z=0.3),
    # Chen et al. 2021, Northwestern-UCLA
    "ucla": AugmentationConfig(view_degrees=60, view_scale=0.5),
}
