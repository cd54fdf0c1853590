"""The Frechet distance between two sets of features (FID)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skelaug.shapes import check_shape

__all__ = ["frechet_distance", "frechet_from_moments", "moments"]


def moments(features: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean (D) and unbiased covariance (D D, divided by N - 1) of features N D.

    Raises:
        ValueError: There are fewer than two features, or one is not finite.
    """
    check_shape(features, "N D", what="features")
    array = np.asarray(features, dtype=np.float64)
    if len(array) < 2:
        raise ValueError(f"features: expected at least 2, got {len(array)}")
    if not np.isfinite(array).all():
        raise ValueError("features: expected finite numbers, got NaN or infinity")
    centred = array - array.mean(axis=0)
    return array.mean(axis=0), centred.T @ centred / (len(array) - 1)


def frechet_from_moments(
    mean_a: NDArray[np.floating],
    covariance_a: NDArray[np.floating],
    mean_b: NDArray[np.floating],
    *,
    covariance_b: NDArray[np.floating],
) -> float:
    """|m_a - m_b|² + Tr(S_a + S_b - 2 (S_a S_b)^½), Dowson and Landau 1982; Heusel et al. 2017.

    The trace of the root is the sum of the roots of the eigenvalues of S_a^½ S_b S_a^½, which is
    symmetric and has the same spectrum as S_a S_b. So singular covariances (fewer clips than
    features) need neither an added identity nor a discarded imaginary part, as a Schur root does.

    Args:
        mean_a: Mean of the first set, D.
        covariance_a: Its covariance, D D, symmetric and positive semi-definite.
        mean_b: Mean of the second set, D.
        covariance_b: Its covariance, D D.
    """
    root = _symmetric_root(np.asarray(covariance_a, dtype=np.float64))
    spectrum = np.linalg.eigvalsh(root @ np.asarray(covariance_b, dtype=np.float64) @ root)
    cross = float(np.sqrt(np.clip(spectrum, 0.0, None)).sum())
    offset = np.asarray(mean_a, dtype=np.float64) - np.asarray(mean_b, dtype=np.float64)
    traces = float(np.trace(covariance_a)) + float(np.trace(covariance_b))
    return max(float(offset @ offset) + traces - 2.0 * cross, 0.0)


def frechet_distance(features_a: NDArray[np.floating], features_b: NDArray[np.floating]) -> float:
    """Frechet distance between the Gaussians fitted to two sets of features, N D and M D.

    No factor of 100. The estimate grows as sets shrink (about in proportion to 1/N), so compare
    only numbers that were taken at equal N and M.

    Raises:
        ValueError: A set has fewer than two features, or the widths differ.
    """
    check_shape(features_b, "N D", what="features", D=features_a.shape[-1])
    mean_a, covariance_a = moments(features_a)
    mean_b, covariance_b = moments(features_b)
    return frechet_from_moments(mean_a, covariance_a, mean_b, covariance_b=covariance_b)


def _symmetric_root(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    values, vectors = np.linalg.eigh(matrix)
    root: NDArray[np.float64] = (vectors * np.sqrt(np.clip(values, 0.0, None))) @ vectors.T
    return root
