"""Classical filters of noisy motion, the baselines of refinement.

Each takes positions T V 3 in metres and frames per second, works on every coordinate by itself and
gives positions of the same shape and dtype. Parameters are in hertz and seconds, so that they mean
the same at every rate. A clip of one or two frames comes back as it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter
from scipy.signal import butter, savgol_filter, sosfiltfilt

from skelaug.shapes import check_shape

__all__ = ["FILTERS", "Filter", "butterworth", "moving_median", "one_euro", "savitzky_golay"]

_LEAST_FRAMES = 3


class Filter(Protocol):
    """Smooths a motion."""

    def __call__(self, positions: NDArray[np.floating], fps: float) -> NDArray[np.floating]:
        """Smoothed positions T V 3 in metres of positions T V 3 at so many frames per second."""
        ...


def butterworth(
    positions: NDArray[np.floating], fps: float, *, cutoff: float = 6.0, order: int = 2
) -> NDArray[np.floating]:
    """Positions without frequencies above a cutoff: a Butterworth filter run forth and back.

    It does not shift the motion in time. What stands still stays where it is; a clip of which the
    rate is at most twice the cutoff holds nothing above it and is not changed.

    Args:
        positions: T V 3, finite.
        fps: Frames per second.
        cutoff: Hertz, of each of the two runs; 6 Hz is usual for gait (Winter 2009, sec. 3.4.4).
        order: Of each run.
    """
    x = _checked(positions, fps)
    if len(x) < _LEAST_FRAMES or 2 * cutoff >= fps:
        return positions.copy()
    sections = butter(order, cutoff, fs=fps, output="sos")
    # three periods of the cutoff, mirrored at the ends, for the filter to swing in
    beyond = min(len(x) - 1, math.ceil(3 * fps / cutoff))
    return _as(sosfiltfilt(sections, x, axis=0, padlen=beyond), positions)


def savitzky_golay(
    positions: NDArray[np.floating], fps: float, *, window: float = 0.25, degree: int = 3
) -> NDArray[np.floating]:
    """Positions on the polynomials fitted around each frame (Savitzky and Golay 1964).

    A motion that is a polynomial of time of that degree is not changed, nor is a clip of which a
    window holds no more frames than the degree.

    Args:
        positions: T V 3, finite.
        fps: Frames per second.
        window: Seconds around a frame; rounded to an odd number of frames.
        degree: Of the polynomials.
    """
    x = _checked(positions, fps)
    frames = min(_odd_frames(window, fps), len(x))
    if len(x) < _LEAST_FRAMES or frames <= degree:
        return positions.copy()
    return _as(savgol_filter(x, frames, degree, axis=0, mode="interp"), positions)


def moving_median(
    positions: NDArray[np.floating], fps: float, *, window: float = 0.15
) -> NDArray[np.floating]:
    """The median of each coordinate around each frame; outliers leave no trace.

    A coordinate that only rises or only falls is not changed; the ends are held.

    Args:
        positions: T V 3, finite.
        fps: Frames per second.
        window: Seconds around a frame; rounded to an odd number of frames.
    """
    x = _checked(positions, fps)
    frames = _odd_frames(window, fps)
    if len(x) < _LEAST_FRAMES or frames == 1:
        return positions.copy()
    return _as(median_filter(x, size=(frames, 1, 1), mode="nearest"), positions)


def one_euro(
    positions: NDArray[np.floating],
    fps: float,
    *,
    least_cutoff: float = 1.0,
    slope: float = 10.0,
    speed_cutoff: float = 1.0,
) -> NDArray[np.floating]:
    """Positions behind a low pass whose cutoff rises with the speed (Casiez et al. 2012).

    Of each coordinate, with x the noisy and y the smoothed one::

        alpha(f) = 1 / (1 + fps / (2 pi f))
        dx_t = alpha(speed_cutoff) (x_t - y_{t-1}) fps + (1 - alpha(speed_cutoff)) dx_{t-1}
        f_t  = least_cutoff + slope |dx_t|
        y_t  = alpha(f_t) x_t + (1 - alpha(f_t)) y_{t-1},   y_0 = x_0,  dx_0 = 0

    It looks at the past alone and so lags behind a motion. What stands still stays where it is.

    Args:
        positions: T V 3, finite.
        fps: Frames per second.
        least_cutoff: Hertz, of a coordinate at rest (the paper's mincutoff).
        slope: Hertz per metre per second (the paper's beta).
        speed_cutoff: Hertz, of the speed (the paper's dcutoff).
    """
    x = _checked(positions, fps)
    if len(x) < _LEAST_FRAMES:
        return positions.copy()
    y = np.empty_like(x)
    y[0], speed = x[0], np.zeros_like(x[0])
    of_speed = _share(np.float64(speed_cutoff), fps)
    for t in range(1, len(x)):
        speed += of_speed * ((x[t] - y[t - 1]) * fps - speed)
        y[t] = y[t - 1] + _share(least_cutoff + slope * np.abs(speed), fps) * (x[t] - y[t - 1])
    return _as(y, positions)


FILTERS: Mapping[str, Filter] = {
    "butterworth": butterworth,
    "savitzky-golay": savitzky_golay,
    "one-euro": one_euro,
    "moving-median": moving_median,
}


def _checked(positions: NDArray[np.floating], fps: float) -> NDArray[np.float64]:
    """The positions in float64."""
    check_shape(positions, "T V C", what="positions", C=3)
    if not np.isfinite(positions).all():
        raise ValueError("positions: expected finite numbers, got others; fill the gaps first")
    if not fps > 0:
        raise ValueError(f"fps: expected frames per second above 0, got {fps}")
    return np.asarray(positions, dtype=np.float64)


def _as(filtered: NDArray[np.float64], positions: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.asarray(filtered, dtype=positions.dtype)


def _odd_frames(seconds: float, fps: float) -> int:
    """The odd number of frames that comes nearest to so many seconds."""
    return 2 * round((seconds * fps - 1) / 2) + 1 if seconds * fps > 1 else 1


def _share(cutoff: NDArray[np.float64] | np.float64, fps: float) -> NDArray[np.float64]:
    """How much a first-order low pass of that cutoff takes of each new value."""
    return np.asarray(1 / (1 + fps / (2 * math.pi * cutoff)))
