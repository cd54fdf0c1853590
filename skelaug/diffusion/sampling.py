"""Samplers: pure functions from a denoiser, a noisy start and falling noise to a clean sample.

Every sampler takes `alpha_bars`, S + 1 noise levels that rise to 1 (see `levels`), evaluates the
denoiser S times, and returns the estimate of x0 from the last level, without noise. There is no
step counter, no network and no progress bar: a caller who wants one wraps the denoiser.

Coefficients are zero-dimensional float64 tensors, so x keeps its own precision.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Literal, Protocol, get_args

import torch
from torch import Tensor

from skelaug.diffusion.parameterization import Denoiser
from skelaug.diffusion.schedule import Schedule, posterior, spaced_steps

__all__ = [
    "SAMPLERS",
    "SPACINGS",
    "NoiseLike",
    "PerSampleNoise",
    "Sampler",
    "Spacing",
    "levels",
    "sample_ddim",
    "sample_ddpm",
    "sample_dpmpp_2m",
    "sample_dpmpp_2m_sde",
]

NoiseLike = Callable[[Tensor], Tensor]
Spacing = Literal["uniform", "logsnr", "karras"]
SPACINGS: tuple[Spacing, ...] = get_args(Spacing)


class Sampler(Protocol):
    """Draws clean samples."""

    def __call__(
        self, denoise: Denoiser, x: Tensor, alpha_bars: Tensor, *, noise_like: NoiseLike
    ) -> Tensor:
        """Draw x0 from noise x (N ...), through levels alpha_bars (S + 1, float64, rising to 1)."""
        ...


@torch.no_grad()
def sample_ddpm(
    denoise: Denoiser,
    x: Tensor,
    alpha_bars: Tensor,
    *,
    noise_like: NoiseLike = torch.randn_like,
    variance: Literal["lower", "upper"] = "lower",
    mean_shift: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None,
) -> Tensor:
    """Draw x0 by ancestral sampling (Ho et al. 2020, algorithm 2, mean by eq. 7).

    Args:
        denoise: The estimate of x0; its learned variance is used where it has one.
        x: Noise at the first level, N ...; not modified.
        alpha_bars: Noise levels, shape S + 1, float64, rising to 1.
        noise_like: Standard normal noise of the shape of its argument.
        variance: Without a learned one, beta-tilde (``lower``) or beta (``upper``).
        mean_shift: Direction g(x0, x, alpha_bar) by which each mean moves, ``mean + variance g``
            (Dhariwal & Nichol 2021, algorithm 1).
    """
    for now, after in pairwise(alpha_bars):
        level = now.expand(len(x))
        x0, weight = denoise(x, level)
        q, beta = posterior(now, after), 1 - now / after
        mean = q.c1 * x0 + q.c2 * x  # eq. 7
        if after == 1:
            return mean
        spread = beta if variance == "upper" else q.variance
        if weight is not None:  # Nichol & Dhariwal 2021, eq. 15
            spread = (weight * beta.log() + (1 - weight) * q.variance.log()).exp()
        if mean_shift is not None:
            mean = mean + spread * mean_shift(x0, x, level)
        x = mean + spread.sqrt() * noise_like(x)
    return x


@torch.no_grad()
def sample_ddim(
    denoise: Denoiser,
    x: Tensor,
    alpha_bars: Tensor,
    *,
    eta: float = 0.0,
    noise_like: NoiseLike = torch.randn_like,
) -> Tensor:
    """Draw x0 with DDIM (Song et al. 2021, eq. 12 and 16).

    Args:
        denoise: The estimate of x0; a learned variance is not used.
        x: Noise at the first level, N ...; not modified.
        alpha_bars: Noise levels, shape S + 1, float64, rising to 1.
        eta: In 0..1: 0 is deterministic, 1 is `sample_ddpm` with its lower variance.
        noise_like: Standard normal noise of the shape of its argument.
    """
    for now, after in pairwise(alpha_bars):
        x0 = denoise(x, now.expand(len(x))).x0
        eps = (x - now.sqrt() * x0) / (1 - now).sqrt()
        sigma = eta * ((1 - after) / (1 - now) * (1 - now / after)).sqrt()  # eq. 16
        x = after.sqrt() * x0 + (1 - after - sigma**2).sqrt() * eps  # eq. 12
        if sigma > 0:
            x = x + sigma * noise_like(x)
    return x


@torch.no_grad()
def sample_dpmpp_2m_sde(
    denoise: Denoiser,
    x: Tensor,
    alpha_bars: Tensor,
    *,
    eta: float = 1.0,
    noise_like: NoiseLike = torch.randn_like,
) -> Tensor:
    """Draw x0 with SDE-DPM-Solver++(2M) (Lu et al. 2022, in the midpoint form of k-diffusion).

    The linear part of the SDE is solved exactly; x0 is extrapolated from the last two estimates to
    the middle of the step in ``lambda = log(sqrt(alpha_bar) / sqrt(1 - alpha_bar))``. Without the
    extrapolation, eta = 1 is ancestral sampling with the posterior variance. Uneven steps in lambda
    cost it dearly: use ``levels(..., spacing="logsnr")``.

    Args:
        denoise: The estimate of x0; a learned variance is not used.
        x: Noise at the first level, N ...; not modified.
        alpha_bars: Noise levels, shape S + 1, float64, rising to 1.
        eta: 1 is the reverse SDE, 0 the probability flow ODE (`sample_dpmpp_2m`), or between.
        noise_like: Standard normal noise of the shape of its argument.
    """
    lambdas = alpha_bars.logit() / 2
    previous, h_previous = x, lambdas.new_zeros(())
    for (now, after), h in zip(pairwise(alpha_bars), lambdas.diff(), strict=True):
        x0 = denoise(x, now.expand(len(x))).x0
        if after == 1:
            return x0
        d = x0 + h / (2 * h_previous) * (x0 - previous) if h_previous > 0 else x0
        sigma_now, sigma = (1 - now).sqrt(), (1 - after).sqrt()
        x = sigma / sigma_now * (-eta * h).exp() * x - after.sqrt() * (-(1 + eta) * h).expm1() * d
        if eta > 0:
            x = x + sigma * (-(-2 * eta * h).expm1()).sqrt() * noise_like(x)
        previous, h_previous = x0, h
    return x


def sample_dpmpp_2m(
    denoise: Denoiser,
    x: Tensor,
    alpha_bars: Tensor,
    *,
    noise_like: NoiseLike = torch.randn_like,
) -> Tensor:
    """Draw x0 with DPM-Solver++(2M) (Lu et al. 2022, algorithm 2): second order, deterministic.

    Args:
        denoise: The estimate of x0; a learned variance is not used.
        x: Noise at the first level, N ...; not modified.
        alpha_bars: Noise levels, shape S + 1, float64, rising to 1.
        noise_like: Never called; here so that samplers are interchangeable.
    """
    return sample_dpmpp_2m_sde(denoise, x, alpha_bars, eta=0.0, noise_like=noise_like)


SAMPLERS: Mapping[str, Sampler] = {
    "ddpm": sample_ddpm,
    "ddim": sample_ddim,
    "dpm++": sample_dpmpp_2m,
    "dpm++sde": sample_dpmpp_2m_sde,
}


def levels(
    schedule: Schedule,
    steps: int,
    *,
    spacing: Spacing = "uniform",
    noisiest: float = 1e-4,
    quietest: float = 1.0,
    rho: float = 7.0,
) -> Tensor:
    """Noise levels for a sampler: S + 1 values of alpha_bar, rising to 1, float64.

    Args:
        schedule: The schedule that the network was trained with.
        steps: Denoiser evaluations S.
        spacing: ``uniform`` in the step index, as in `respaced`; ``logsnr`` uniform in log-SNR;
            ``karras`` as in Karras et al. 2022, eq. 5, with ``sigma = sqrt((1 - a) / a)``.
        noisiest: Lowest alpha_bar of the last two spacings, if the schedule goes below it: the
            cosine schedule ends in 2.4e-9, and steps spent on that much noise are wasted.
        quietest: Highest alpha_bar before 1: the last estimate of x0 is made from this much noise,
            which leaves out what a briefly trained network does worst.
        rho: Exponent of ``karras``; larger puts more levels at low noise.

    Raises:
        ValueError: The spacing is unknown, or the steps are not in 1..T.
    """
    if spacing not in SPACINGS:
        raise ValueError(f"spacing: expected one of {SPACINGS}, got {spacing!r}")
    noisy_enough = schedule.alpha_bars[schedule.alpha_bars <= quietest]
    inner = noisy_enough[spaced_steps(len(noisy_enough), steps)].flip(0)
    if spacing != "uniform":
        first, last = schedule.alpha_bars[-1].clamp(min=noisiest), noisy_enough[0]
        share = torch.linspace(0, 1, steps, dtype=torch.float64)
        if spacing == "logsnr":
            inner = torch.lerp(first.logit(), last.logit(), share).sigmoid()
        else:
            high, low = (((1 - a) / a) ** (0.5 / rho) for a in (first, last))
            inner = 1 / (1 + torch.lerp(high, low, share) ** (2 * rho))  # Karras et al., eq. 5
    return torch.cat([inner, torch.ones_like(inner[:1])])


class PerSampleNoise:
    """Standard normal noise whose row i comes from generator i alone.

    So a sample does not depend on the batch it is drawn in. Noise is drawn in float32 on the CPU
    and then moved, so it is the same on every device.
    """

    def __init__(self, generators: Sequence[torch.Generator]) -> None:
        self._generators = tuple(generators)

    def __call__(self, x: Tensor) -> Tensor:
        """Noise of the shape, type and device of x, whose first axis has one row per generator.

        Raises:
            ValueError: x has another number of rows.
        """
        if len(x) != len(self._generators):
            raise ValueError(f"x: expected {len(self._generators)} rows, got {len(x)}")
        noise = torch.empty(x.shape, dtype=torch.float32)
        for row, generator in zip(noise.unbind(), self._generators, strict=True):
            row.normal_(generator=generator)
        return noise.to(device=x.device, dtype=x.dtype)
