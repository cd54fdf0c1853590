"""Structured occlusions of a clip, for measuring and for training; each has an address.

An occlusion is a mask T V, True where a measured joint is hidden. Hiding more than was measured
hides nothing twice. Random entries are the paper's easy case (Bourached et al. 2022, sec. 5.2: the
frames beside a hidden entry are nearly always measured); a hidden limb or body is what cameras do.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from skelaug.seeds import Stream, numpy_generator
from skelaug.shapes import check_shape
from skelaug.skeleton.layout import SkeletonLayout
from skelaug.skeleton.parts import equal_parts

__all__ = ["hide_body", "hide_entries", "hide_joints", "hide_limb", "limbs"]

_Mask = NDArray[np.bool_]


def limbs(layout: SkeletonLayout) -> tuple[tuple[int, ...], ...]:
    """What is hidden together as a limb: the layout's body parts, else equal parts of its tree."""
    return tuple(layout.parts.values()) or equal_parts(layout.parents)


def hide_entries(observed: _Mask, count: int, *, seed: int, clip: int) -> _Mask:
    """Random joints of random frames, each with its three coordinates.

    The paper counts coordinates, its n entries are n / 3 here: no sensor loses x alone.

    Args:
        observed: T V.
        count: How many; all that was measured where that is less.
        seed: With `clip` the address of the draw.
        clip: Number of the clip.
    """
    generator = _generator(observed, seed, clip)
    hidden = np.zeros_like(observed)
    measured = np.flatnonzero(observed)
    hidden.flat[generator.permutation(measured)[:count]] = True
    return hidden


def hide_limb(
    observed: _Mask, parts: Sequence[Sequence[int]], frames: int, *, seed: int, clip: int
) -> _Mask:
    """One of the parts (see `limbs`), drawn at random, for some frames in a row.

    Args:
        observed: T V.
        parts: Joints of each limb.
        frames: How many; where the clip has more, the first is drawn at random.
        seed: With `clip` the address of the draw.
        clip: Number of the clip.
    """
    generator = _generator(observed, seed, clip)
    joints = list(parts[int(generator.integers(len(parts)))])
    return _hide(observed, joints, frames, generator)


def hide_body(observed: _Mask, frames: int, *, seed: int, clip: int) -> _Mask:
    """All joints for some frames in a row; see `hide_limb`."""
    generator = _generator(observed, seed, clip)
    return _hide(observed, list(range(observed.shape[1])), frames, generator)


def hide_joints(observed: _Mask, count: int, *, seed: int, clip: int) -> _Mask:
    """Random joints in all frames; one of the measured joints is always left.

    Args:
        observed: T V.
        count: How many joints.
        seed: With `clip` the address of the draw.
        clip: Number of the clip.
    """
    generator = _generator(observed, seed, clip)
    measured = np.flatnonzero(observed.any(axis=0))
    chosen = generator.permutation(measured)[: min(count, max(len(measured) - 1, 0))]
    hidden = np.zeros_like(observed)
    hidden[:, chosen] = observed[:, chosen]
    return hidden


def _generator(observed: _Mask, seed: int, clip: int) -> np.random.Generator:
    check_shape(observed, "T V", what="observed")
    return numpy_generator(seed, Stream.OCCLUSION, clip)


def _hide(observed: _Mask, joints: list[int], frames: int, generator: np.random.Generator) -> _Mask:
    start = int(generator.integers(max(len(observed) - frames, 0) + 1))
    hidden = np.zeros_like(observed)
    hidden[start : start + frames, joints] = True
    return hidden & observed
