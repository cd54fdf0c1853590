"""Signals as frequencies: the transform, the gain of SG-SRM and the loss of TASL.

Equations 1 to 7 are those of FDSM, the frequency-aware diffusion model for zero-shot recognition:
its semantic-guided spectral residual module (SG-SRM, eq. 1 to 4) turns the high frequencies of a
feature up, its timestep-adaptive spectral loss (TASL, eq. 5 to 7) turns their errors down where the
noise is loud. A frequency is high from index `low_band` on. Letters: n samples, l places along the
axis that is transformed, k frequencies.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor

from skelaug.diffusion.schedule import like

__all__ = [
    "REDUCTIONS",
    "Reduction",
    "amplified",
    "cosine_basis",
    "dct",
    "frequency_gains",
    "idct",
    "low_band",
    "spectral_loss",
    "spectral_weights",
]

Reduction = Literal["mean", "sum"]
REDUCTIONS: tuple[Reduction, ...] = get_args(Reduction)


def cosine_basis(length: int) -> Tensor:
    """The orthonormal DCT-II, L L in float64: rows are frequencies; its transpose inverts it.

    ``B_kl = beta_k cos(pi (2 l + 1) k / 2 L)``, ``beta_0 = sqrt(1 / L)``, else ``sqrt(2 / L)``
    (eq. 1; Bourached et al. 2022, eq. 6 counts both from 1).
    """
    k = torch.arange(length, dtype=torch.float64)
    basis = torch.cos(math.pi / length * (k + 0.5) * k[:, None]) * math.sqrt(2 / length)
    basis[0] /= math.sqrt(2)
    return basis


def low_band(length: int, share: float = 0.25) -> int:
    """M, the number of low frequencies: a share of all, rounded down, but at least the mean."""
    return max(1, int(length * share))


def dct(x: Tensor, dim: int) -> Tensor:
    """Eq. 1: the coefficients along one axis, shaped like x; in float32 or better."""
    return _mapped(x, cosine_basis(x.shape[dim]), dim)


def idct(coefficients: Tensor, dim: int) -> Tensor:
    """Eq. 3: the signal that has these coefficients along one axis; the inverse of `dct`."""
    return _mapped(coefficients, cosine_basis(coefficients.shape[dim]).mT, dim)


def frequency_gains(length: int, gain: Tensor, *, alpha: float, low: int) -> Tensor:
    """Eq. 2 and 4: the factor of each frequency, N L: 1 below M, ``1 + alpha gain`` from M on."""
    is_high = torch.arange(length, device=gain.device) >= low
    return 1 + alpha * gain[:, None] * is_high


def amplified(
    x: Tensor, gain: Tensor, *, alpha: float, low: int, dim: int, basis: Tensor | None = None
) -> Tensor:
    """Eq. 1 to 4: x with its high frequencies turned up to ``1 + alpha gain`` times themselves.

    The low ones have factor 1, so what eq. 2 adds is the high part of x alone, and that is how it
    is computed: without a gain x comes out as it went in, bit for bit.

    Args:
        x: N ..., any feature.
        gain: N, in [0, 1]: s-hat, how lively the motion of each sample is.
        alpha: Size of the largest gain.
        low: M, the number of frequencies, from the lowest, that keep factor 1.
        dim: The axis of x, of length L.
        basis: `cosine_basis` of L, from a network that keeps it; None computes it.

    Returns:
        Shaped like x, in its dtype.
    """
    rows = (cosine_basis(x.shape[dim]) if basis is None else basis)[low:]
    high = _mapped(_mapped(x, rows, dim), rows.mT, dim)
    return x + like(alpha * gain, x) * high.to(x.dtype)


def spectral_weights(
    length: int, step: Tensor, *, steps: int, gamma: float = 1.0, low: int | None = None
) -> Tensor:
    """Eq. 7: W, the weight of the error of each frequency, N L in float64.

    1 below M, ``gamma (1 - t / T)`` from M on: the louder the noise, the less details count. With
    steps counted from 0 the weight never reaches 0.

    Args:
        length: L, the number of frequencies.
        step: t, N, in 0 ... T - 1.
        steps: T.
        gamma: Weight of the high frequencies at step 0.
        low: M; None takes `low_band` of the length.
    """
    boundary = low_band(length) if low is None else low
    fading = gamma * (1 - step.to(torch.float64) / steps)
    is_low = torch.arange(length, device=step.device) < boundary
    return torch.where(is_low, 1.0, fading[:, None])


def spectral_loss(
    z0: Tensor, z0_hat: Tensor, weights: Tensor, *, dim: int, reduction: Reduction = "mean"
) -> Tensor:
    """Eq. 6: the weighted squared error of the coefficients of a clean signal, shape N.

    The transform keeps lengths, so with weights of 1 and the estimate of eq. 5 (see
    `skelaug.diffusion.parameterization.x0_from`) the sum is ``(1 - abar) / abar |eps - eps_hat|^2``
    : what is new in this loss is only how it weights frequencies and steps.

    Args:
        z0: Clean signals, N ...
        z0_hat: Their estimates, shaped like them.
        weights: W, N L, of the frequencies along `dim`; see `spectral_weights`.
        dim: The axis of time, of length L.
        reduction: Over the elements of a sample. ``sum`` is the paper's, ``mean`` that of its
            published code, smaller by the number of elements.

    Raises:
        ValueError: The reduction is unknown.
    """
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction: expected one of {REDUCTIONS}, got {reduction!r}")
    errors = dct(z0 - z0_hat, dim).transpose(dim, -1)
    errors = errors.reshape(len(z0), -1, z0.shape[dim])
    weighted = (weights.to(errors)[:, None] * errors**2).flatten(1)
    return weighted.mean(dim=1) if reduction == "mean" else weighted.sum(dim=1)


def _mapped(x: Tensor, rows: Tensor, dim: int) -> Tensor:
    """One axis of x times the rows of a matrix, in float32 or better under autocast too."""
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    with torch.autocast(x.device.type, enabled=False):
        return (x.transpose(dim, -1) @ rows.to(x).mT).transpose(dim, -1)
