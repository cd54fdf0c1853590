"""A clip of any length in a fixed number of frames: cropped, stretched, repeated, padded, picked.

Every `Fit` is called ``fit(positions, frames, generator, crop=share)`` with positions T M V C
(float32, no NaN, T at least 1; a memory map will do) and returns a new float32 array of `frames`
frames. A generator draws what varies in training; without one the result is the one form that
tests use. `crop` is the smallest share of a clip that a training crop keeps. Numbers are computed
in float64, and fast enough to do so for every clip of every batch.
"""

from __future__ import annotations

import functools
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Fit", "crop_resized", "looped", "resampled", "resized", "scaled_picks", "zero_padded"]

Positions = NDArray[np.float32]
_Picks = tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]

_SHORTEST_CROP = 64
_TEST_SHARE = 0.95
_FLAT = 1e-6  # an axis of less extent is constant: scaling would only show rounding errors


class Fit(Protocol):
    """One way of giving clips a fixed number of frames."""

    def __call__(
        self, positions: Positions, frames: int, generator: np.random.Generator | None, /,
        *, crop: float
    ) -> Positions:  # fmt: skip
        """The positions T M V C in `frames` frames."""
        ...


def resized(positions: Positions, frames: int) -> Positions:
    """The clip stretched or shrunk to `frames` frames, linear between the middles of frames.

    The middle of output frame i lies at input frame (i + 1/2) T / frames - 1/2, held at the ends:
    what image libraries call align_corners = False. A clip of that length comes back unchanged.

    Args:
        positions: T M V C.
        frames: Length of the result.
    """
    return _at(positions, *_middles(len(positions), frames))


def crop_resized(
    positions: Positions, frames: int, generator: np.random.Generator | None, *, crop: float
) -> Positions:
    """A crop of at least 64 frames, `resized`; without a generator the middle 95 % of the clip.

    The loader of CTR-GCN (Chen et al. 2021): a training crop keeps U[crop, 1] of the frames, but at
    least 64, whatever `frames` is, or all of a shorter clip.
    """
    t = len(positions)
    if generator is None:
        skipped = int((1 - _TEST_SHARE) * t / 2)
        return resized(positions[skipped : t - skipped], frames)
    kept = min(max(int(t * generator.uniform(crop, 1)), _SHORTEST_CROP), t)
    start = int(generator.integers(0, t - kept + 1))
    return resized(positions[start : start + kept], frames)


def resampled(
    positions: Positions, frames: int, generator: np.random.Generator | None, *, crop: float
) -> Positions:
    """U[crop, 1] of the clip's duration from a random time on; without a generator all of it.

    The times are equally spaced from the first to the last of the part, linear between frames:
    whole clips as `skelaug.skeleton.geometry.resample` gives them.
    """
    last = len(positions) - 1
    start, span = 0.0, float(last)
    if generator is not None:
        span = last * generator.uniform(crop, 1)
        start = generator.uniform(0, last - span)
    return _at(positions, *_neighbours(np.linspace(start, start + span, frames), last))


def looped(
    positions: Positions, frames: int, generator: np.random.Generator | None, *, crop: float
) -> Positions:
    """The clip repeated until it fills the frames; of a longer clip the first ones."""
    del generator, crop
    return np.asarray(positions[np.arange(frames) % len(positions)], dtype=np.float32)


def zero_padded(
    positions: Positions, frames: int, generator: np.random.Generator | None, *, crop: float
) -> Positions:
    """The clip and then zeros; of a longer clip the first frames."""
    del generator, crop
    padded = np.zeros((frames, *positions.shape[1:]), dtype=np.float32)
    padded[: len(positions)] = positions[:frames]
    return padded


def scaled_picks(
    positions: Positions, frames: int, generator: np.random.Generator | None, *, crop: float
) -> Positions:
    """Frames of the clip, each axis of which is scaled so that it extends from -1 to 1.

    The extent is that of the whole clip and of all persons in it together; an axis without extent
    becomes 0. A person who is zero throughout is absent, does not count and stays zero. The frames
    are drawn with replacement and sorted; without a generator they are equally spaced, rounded
    down.
    """
    del crop
    t, m, v, c = positions.shape
    present = np.array([bool(positions[:, person].any()) for person in range(m)])
    rows = np.ascontiguousarray(positions[:, present].reshape(-1, c).T)  # long rows reduce fast
    if not rows.size:
        return np.zeros((frames, m, v, c), dtype=np.float32)
    low, high = rows.min(axis=1).astype(np.float64), rows.max(axis=1).astype(np.float64)
    if generator is None:
        picked = np.linspace(0, t - 1, frames).astype(np.intp)
    else:
        picked = np.sort(generator.integers(0, t, frames))
    wide = high - low > _FLAT
    share = (positions[picked] - low) / np.where(wide, high - low, 1)
    return np.where(present[:, None, None] & wide, 2 * share - 1, 0).astype(np.float32)


def _neighbours(times: NDArray[np.float64], last: int) -> _Picks:
    """The frames before and after each time, and how far the time is between them."""
    held = np.clip(times, 0, last)
    before = held.astype(np.intp)
    return before, np.minimum(before + 1, last), (held - before)[:, None, None, None]


@functools.lru_cache(maxsize=1024)
def _middles(t: int, frames: int) -> _Picks:
    times = np.asarray((np.arange(frames) + 0.5) * (t / frames) - 0.5, dtype=np.float64)
    return _neighbours(times, t - 1)


def _at(
    positions: Positions,
    before: NDArray[np.intp],
    after: NDArray[np.intp],
    weight: NDArray[np.float64],
) -> Positions:
    start = positions[before].astype(np.float64)
    return np.asarray(start + weight * (positions[after] - start), dtype=np.float32)
