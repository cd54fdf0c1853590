"""How much of a motion is slow and how much is fast: the energy of each cosine frequency.

Frequency k has k half waves per clip, so what is fast depends on the grid: compare clips on one.
"""

from __future__ import annotations

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from skelaug.shapes import check_shape

__all__ = ["frequency_energy"]


def frequency_energy(
    positions: NDArray[np.floating], roots: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Mean over joints and coordinates of the squared coefficient of each frequency, per clip.

    The coefficients are those of the orthonormal DCT-II along time of the joints' places relative
    to their root in the same frame, so the energies of a clip add up to its number of frames times
    the mean square of those coordinates. Roots, and joints with a gap, take no part.

    Args:
        positions: N T V C in metres; NaN where a person is absent.
        roots: V, for each joint the root of its own person.

    Returns:
        N T in square metres; NaN for a clip without any joint.
    """
    check_shape(positions, "N T V C", what="positions")
    check_shape(roots, "V", what="roots", V=positions.shape[2])
    joints = np.flatnonzero(roots != np.arange(len(roots)))
    array = np.asarray(positions, dtype=np.float64)
    relative = array[:, :, joints] - array[:, :, roots[joints]]
    known = np.isfinite(relative).all(axis=(1, 3))  # N V
    coefficients = scipy.fft.dct(np.nan_to_num(relative), type=2, axis=1, norm="ortho")
    energy = (coefficients**2).mean(axis=3)  # N T V
    total = np.einsum("ntv,nv->nt", energy, known)
    counts = known.sum(axis=1, keepdims=True)
    means = np.full(total.shape, np.nan)
    np.divide(total, counts, out=means, where=counts > 0)
    return means
