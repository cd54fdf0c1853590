"""Trajectories as frequencies: the cosine transform of HG-VAE (Bourached et al. 2022, app. A.1).

Letters: n samples, v nodes, t frames.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

__all__ = ["dct_matrix", "encoder_input", "in_frequencies", "in_time"]


def dct_matrix(frames: int) -> Tensor:
    """The orthonormal DCT-II D of eq. 6, T T in float64: frequencies are x D^T, and x = C D.

    ``D_ln = sqrt(2 / N) (1 + delta_l1)^-1/2 cos(pi / 2N (2n - 1)(l - 1))`` for l, n = 1 ... N.
    """
    l, n = np.arange(frames)[:, None], np.arange(frames)[None, :]  # noqa: E741  # the paper's
    waves = np.sqrt(2 / frames) * np.cos(np.pi / (2 * frames) * (2 * n + 1) * l)
    waves[0] /= math.sqrt(2)
    return torch.from_numpy(waves)


def in_frequencies(x: Tensor, dct: Tensor) -> Tensor:
    """Eq. 6: trajectories N V T to their coefficients, in full precision under autocast too."""
    with torch.autocast(x.device.type, enabled=False):
        return x @ dct.to(x.dtype).mT


def in_time(coefficients: Tensor, dct: Tensor) -> Tensor:
    """Eq. 7: coefficients N V T to trajectories, in full precision under autocast too."""
    with torch.autocast(coefficients.device.type, enabled=False):
        return coefficients @ dct.to(coefficients.dtype)


def encoder_input(x: Tensor, seen: Tensor | None, dct: Tensor, *, reads_mask: bool) -> Tensor:
    """What an encoder is shown: the coefficients of the entries that were seen, 0 elsewhere.

    Args:
        x: N V T, in the time domain; what it holds where it was not seen, NaN too, has no effect.
        seen: N V T, bool; None = all.
        dct: See `dct_matrix`.
        reads_mask: Whether the mask, in time, follows the coefficients, which makes it N V 2T.
    """
    read = in_frequencies(x if seen is None else torch.where(seen, x, 0), dct)
    if not reads_mask:
        return read
    mask = torch.ones_like(x) if seen is None else seen.to(x.dtype)
    return torch.cat([read, mask], dim=-1)
