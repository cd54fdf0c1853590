"""What a 2D pose detector makes of exact 2D poses: jitter, left-right swaps and misses.

The kinds of error are those of Ronchi and Perona 2017. How much joints jitter in relation to one
another is taken from the spread of human annotators in the COCO keypoint evaluation. Everything
else, namely the sizes, rates and durations, is our choice and a parameter. An error lasts: jitter
is a first-order autoregression in time, swaps and misses come in episodes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from skelaug.errors import UsageError
from skelaug.shapes import check_shape
from skelaug.skeleton.layout import SkeletonLayout

__all__ = ["DetectorNoise", "detected", "joint_spread"]

_COCO: Mapping[str, float] = MappingProxyType(
    {  # part of a joint's name -> standard deviation over the root of the person's area
        "eye": 0.025,
        "nose": 0.026,
        "ear": 0.035,
        "head": 0.035,
        "shoulder": 0.079,
        "thorax": 0.079,
        "neck": 0.079,
        "elbow": 0.072,
        "wrist": 0.062,
        "hand": 0.062,
        "pelvis": 0.107,
        "hip": 0.107,
        "knee": 0.087,
        "ankle": 0.089,
        "foot": 0.089,
    }
)


@dataclass(frozen=True)
class DetectorNoise:
    """How a detector errs; lengths are shares of the body's larger side in the image.

    Attributes:
        jitter: Root mean square error of an average joint along an axis.
        tail: Standard deviation of the logarithm of that error's size, which wanders too; 0 makes
            jitter Gaussian, otherwise its kurtosis is 3 exp(4 tail^2).
        memory: Time in seconds after which jitter has forgotten all but 1/e.
        swapped: Share of frames in which a left limb is taken for the right one.
        missed: Share of frames in which a joint is found in a wrong place.
        reach: Standard deviation of a missed joint's place about the true one, along an axis.
        episode: Mean seconds that a swap or a miss lasts.
    """

    jitter: float = 0.01
    tail: float = 0.4
    memory: float = 0.1
    swapped: float = 0.005
    missed: float = 0.01
    reach: float = 0.1
    episode: float = 0.1

    def __post_init__(self) -> None:
        for name in ("jitter", "tail", "memory", "reach", "episode"):
            if not getattr(self, name) >= 0:
                raise UsageError(f"{name}: expected 0 or more, got {getattr(self, name)}")
        for name in ("swapped", "missed"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(f"{name}: expected a share below 1, got {getattr(self, name)}")


def detected(
    keypoints: NDArray[np.floating],
    layout: SkeletonLayout,
    *,
    fps: float,
    generator: np.random.Generator,
    noise: DetectorNoise | None = None,
) -> NDArray[np.float64]:
    """The 2D poses of one person as a detector might have found them.

    Limbs that are swapped are the left and right parts of the layout. The noise scales with the
    body: half as large a person in the image errs half as far.

    Args:
        keypoints: T V 2 in pixels or normalised; NaN stays NaN.
        layout: The joints.
        fps: Frames per second.
        generator: The one source of randomness.
        noise: How a detector errs; the default ones if None.
    """
    check_shape(keypoints, "T V C", what="keypoints", V=layout.num_joints, C=2)
    noise = noise or DetectorNoise()
    found = np.array(keypoints, dtype=np.float64)
    t, v, _ = found.shape
    size = _body_size(found)
    for left, right in _limbs(layout):
        frames = _episodes((t, 1), noise.swapped, noise.episode * fps, generator)[:, 0]
        found[:, [*left, *right]] = np.where(
            frames[:, None, None], found[:, [*right, *left]], found[:, [*left, *right]]
        )
    keep = np.exp(-1 / (fps * noise.memory)) if noise.memory else 0.0
    wander = _autoregression((t, v, 2), keep, generator)
    volume = np.exp(noise.tail * _autoregression((t, v, 1), keep, generator) - noise.tail**2)
    found += size * noise.jitter * joint_spread(layout)[:, None] * volume * wander
    missed = _episodes((t, v), noise.missed, noise.episode * fps, generator)
    away = size * noise.reach * _autoregression((t, v, 2), keep, generator)
    return np.asarray(found + np.where(missed[..., None], away, 0), dtype=np.float64)


def joint_spread(layout: SkeletonLayout) -> NDArray[np.float64]:
    """How far each joint jitters in relation to the others: V numbers, root mean square 1.

    A joint goes by the first word of the table that its name contains; others are average.
    """
    average = float(np.sqrt(np.mean(np.square([*_COCO.values()]))))
    spread = np.array(
        [
            next((size for word, size in _COCO.items() if word in joint.lower()), average)
            for joint in layout.joints
        ]
    )
    return np.asarray(spread / np.sqrt(np.mean(spread**2)), dtype=np.float64)


def _limbs(layout: SkeletonLayout) -> list[tuple[list[int], list[int]]]:
    """Left and right limbs: the pairs of a left part and its mirror image, joint by joint."""
    pairs = dict(layout.mirror)
    parts = ([joint for joint in part if joint in pairs] for part in layout.parts.values())
    lefts = [part for part in parts if part] or ([[*pairs]] if pairs else [])
    return [(left, [pairs[joint] for joint in left]) for left in lefts]


def _body_size(keypoints: NDArray[np.float64]) -> float:
    """The larger side of the box around the body, its median over the frames; 0 of nobody."""
    known = np.isfinite(keypoints).all(axis=(1, 2))
    if not known.any():
        return 0.0
    return float(np.median(np.ptp(keypoints[known], axis=1).max(axis=-1)))


def _autoregression(
    shape: tuple[int, ...], keep: float, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Standard normal numbers whose first axis is time: x_t = keep x_t-1 + sqrt(1 - keep^2) n_t."""
    fresh = generator.standard_normal(shape)
    fresh[1:] *= np.sqrt(1 - keep**2)
    return np.asarray(lfilter([1.0], [1.0, -keep], fresh, axis=0), dtype=np.float64)


def _episodes(
    shape: tuple[int, int], share: float, frames: float, generator: np.random.Generator
) -> NDArray[np.bool_]:
    """T V: a two-state Markov chain of that share of True, in runs of so many frames on average."""
    leave = 1 / max(
        frames, 1 / (1 - share)
    )  # shorter runs would need more than one new one a frame
    enter = leave * share / (1 - share)
    chance = generator.random(shape)
    states = np.zeros(shape, dtype=np.bool_)
    state = np.zeros(shape[1], dtype=np.bool_)
    for time, now in enumerate(chance):
        state = np.where(state, now >= leave, now < (enter if time else share))
        states[time] = state
    return states
