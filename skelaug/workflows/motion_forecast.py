"""How a motion goes on, by ridge regression: the simple predictor that imputation is tried on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from skelaug.imputation.body_frame import fit_body_frames, turned_about_y
from skelaug.imputation.tracks import Track
from skelaug.imputation.windows import WindowForm
from skelaug.shapes import check_shape

__all__ = ["Forecaster", "Ridge", "fit_ridge"]

_STRENGTHS = 10.0 ** np.arange(-4, 5)  # in units of the mean eigenvalue

_Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Ridge:
    """A linear map with an offset, y = (x - x_mean) W + y_mean.

    Attributes:
        weights: W, D K.
        x_mean: D.
        y_mean: K.
        strength: What the squared weights were held down by.
        left_out: Of each strength that was tried the mean squared error of samples left out.
    """

    weights: _Array
    x_mean: _Array
    y_mean: _Array
    strength: float
    left_out: dict[float, float]

    def __call__(self, x: _Array) -> _Array:
        """What is predicted of N samples, N D to N K."""
        return (x - self.x_mean) @ self.weights + self.y_mean


def fit_ridge(x: _Array, y: _Array, *, strengths: Sequence[float] | None = None) -> Ridge:
    """The minimum of |y - f(x)|^2 + s |W|^2, its strength s chosen by leaving one sample out.

    In the dual form, for fewer samples than features: with K = x x^T of the centred x,
    W = x^T (K + s I)^-1 y. A sample that is left out is missed by what the fit with it misses it
    by, over 1 - H_ii, the hat matrix being H = K (K + s I)^-1 + 1 1^T / N (the offset is not held
    down).

    Args:
        x: N D, N at least 2.
        y: N K.
        strengths: Which to try, above 0; powers of ten around the mean eigenvalue of K if None.

    Raises:
        ValueError: There is but one sample, or x and y do not go together.
    """
    check_shape(x, "N D", what="x")
    check_shape(y, "N K", what="y", N=len(x))
    if len(x) < 2:
        raise ValueError(f"x: expected at least 2 samples, got {len(x)}")
    n = len(x)
    x_mean, y_mean = x.mean(axis=0), y.mean(axis=0)
    centred = x - x_mean
    values, vectors = np.linalg.eigh(centred @ centred.T)
    projected = vectors.T @ (y - y_mean)
    if strengths is None:  # of samples that are all alike no eigenvalue is above 0
        strengths = (_STRENGTHS * max(values.mean(), np.finfo(np.float64).eps)).tolist()
    left_out = {}
    for strength in strengths:
        missed = strength * ((vectors / (values + strength)) @ projected)
        kept = strength * np.square(vectors) @ (1 / (values + strength)) - 1 / n
        left_out[strength] = float(np.square(missed / kept[:, None]).mean())
    best = min(left_out, key=lambda strength: left_out[strength])
    weights = centred.T @ ((vectors / (values + best)) @ projected)
    return Ridge(weights, x_mean, y_mean, best, left_out)


class Forecaster:
    """From the first frames of a motion to those that follow.

    Both are seen in the body frame that the first frames give, and what follows relative to the
    last of them, so that place, direction and standing still need not be learnt.

    Args:
        tracks: Whole motions of T frames to learn from, at least 2.
        form: Of the body frames.
        seen: How many frames are given, fewer than T.
    """

    def __init__(self, tracks: Sequence[Track], form: WindowForm, *, seen: int) -> None:
        self._form, self._seen = form, seen
        self._ridge = fit_ridge(*self._samples(tracks, _beginnings(tracks, seen)))

    def errors(
        self, tracks: Sequence[Track], given: Sequence[NDArray[np.floating]] | None = None
    ) -> _Array:
        """Mean distance of the forecast joints from the true ones, metres, N.

        Bourached et al. 2022, eq. 8, with the norm where they print its square.

        Args:
            tracks: The true motions.
            given: What is known of their first frames, `seen` V 3 each; None = the truth.
        """
        known = _beginnings(tracks, self._seen) if given is None else given
        x, y = self._samples(tracks, known)
        apart = (self._ridge(x) - y).reshape(len(tracks), -1, 3)
        return np.asarray(np.linalg.norm(apart, axis=-1).mean(axis=1))

    def _samples(
        self, tracks: Sequence[Track], given: Sequence[NDArray[np.floating]]
    ) -> tuple[_Array, _Array]:
        """What is given and how it goes on, one row each."""
        past = torch.from_numpy(np.stack(given)).double()
        whole = torch.from_numpy(np.stack([track.positions for track in tracks])).double()
        frames = fit_body_frames(past, torch.ones(past.shape[:3], dtype=torch.bool), self._form)
        x, y = (
            turned_about_y(part - frames.origin[:, None, None], -frames.yaw)
            for part in (past, whole[:, self._seen :])
        )
        return x.flatten(1).numpy(), (y - x[:, -1:]).flatten(1).numpy()


def _beginnings(tracks: Sequence[Track], seen: int) -> list[NDArray[np.floating]]:
    return [track.positions[:seen] for track in tracks]
