"""Noise schedules: how much of the clean signal is left at each of T steps.

``x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps`` (Ho et al. 2020, eq. 4). Steps count
from 0 (nearly clean) to T - 1 (nearly pure noise). All tables are float64; whoever multiplies them
onto data casts once, at the end (`like`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = [
    "SCHEDULES",
    "Posterior",
    "Schedule",
    "cosine_schedule",
    "like",
    "linear_schedule",
    "log_snr",
    "posterior",
    "respaced",
    "scaled_linear_schedule",
    "schedule_from_betas",
    "spaced_steps",
]


class Posterior(NamedTuple):
    """The Gaussian q(x_after | x_now, x0): ``mean = c1 x0 + c2 x_now``, and its variance.

    Attributes:
        c1: Weight of x0 in the mean.
        c2: Weight of x_now in the mean.
        variance: beta-tilde, the variance.
    """

    c1: Tensor
    c2: Tensor
    variance: Tensor


def posterior(now: Tensor, after: Tensor) -> Posterior:
    """The posterior of a less noisy level given a noisier one and x0 (Ho et al. 2020, eq. 6 and 7).

    Args:
        now: alpha_bar of the noisier level, below 1.
        after: alpha_bar of the level that is wanted, at least `now`; 1 gives x0 itself.
    """
    beta = 1 - now / after
    return Posterior(
        c1=after.sqrt() * beta / (1 - now),  # eq. 7
        c2=(now / after).sqrt() * (1 - after) / (1 - now),  # eq. 7
        variance=beta * (1 - after) / (1 - now),  # eq. 7
    )


@dataclass(frozen=True, eq=False)
class Schedule:
    """T noise levels.

    Attributes:
        betas: Variance that each step adds, shape T, float64, in (0, 1).
        alpha_bars: Share of signal variance left after each step, shape T, float64, falling.
        original: The step that the network knows each level by, shape T; 0..T-1 unless respaced.
    """

    betas: Tensor
    alpha_bars: Tensor
    original: Tensor

    def __len__(self) -> int:
        return len(self.betas)

    @cached_property
    def posterior(self) -> Posterior:
        """q(x_{t-1} | x_t, x0) of every step, shape T each; step 0 leads to x0 itself."""
        return posterior(self.alpha_bars, _before(self.alpha_bars))

    @cached_property
    def log_variance_bounds(self) -> tuple[Tensor, Tensor]:
        """Logarithms of beta-tilde and beta, the ends of a learned variance, shape T each.

        beta-tilde of step 0 is zero; step 1 lends its own (Nichol & Dhariwal 2021, code).
        """
        variance = self.posterior.variance
        variance = torch.cat([variance[1:2], variance[1:]]) if len(self) > 1 else self.betas
        return variance.log(), self.betas.log()

    def step_of(self, alpha_bar: Tensor) -> Tensor:
        """The original step of each noise level, fractional between two levels of the table.

        Exact at the table's own values; linear in log-SNR between them; constant outside.

        Args:
            alpha_bar: Noise levels, shape N.

        Returns:
            Steps in 0..T-1 of the unspaced schedule, shape N, float64.
        """
        rising = log_snr(self.alpha_bars).flip(0)
        steps = self.original.double().flip(0)
        if len(self) == 1:
            return steps.expand(alpha_bar.shape)
        wanted = log_snr(alpha_bar.double().to(rising.device)).clamp(rising[0], rising[-1])
        above = torch.searchsorted(rising, wanted).clamp(min=1)
        share = (wanted - rising[above - 1]) / (rising[above] - rising[above - 1])
        return torch.lerp(steps[above - 1], steps[above], share)


def log_snr(alpha_bar: Tensor) -> Tensor:
    """The logarithm of the signal-to-noise ratio, ``log(alpha_bar / (1 - alpha_bar))``."""
    return alpha_bar.logit()


def like(coefficient: Tensor, x: Tensor) -> Tensor:
    """A float64 coefficient per sample (shape N, or a scalar), cast and shaped to multiply x."""
    column = coefficient.reshape(-1, *[1] * (x.ndim - 1))
    return column.to(device=x.device, dtype=x.dtype)


def schedule_from_betas(betas: Tensor) -> Schedule:
    """The schedule that adds the given variances.

    Raises:
        ValueError: A beta is not strictly between 0 and 1.
    """
    betas = betas.double()
    if betas.ndim != 1 or len(betas) == 0 or not bool(((betas > 0) & (betas < 1)).all()):
        raise ValueError(f"betas: expected values strictly between 0 and 1, got {betas.tolist()}")
    return Schedule(betas, (1 - betas).cumprod(0), torch.arange(len(betas)))


def cosine_schedule(steps: int = 1000) -> Schedule:
    """The cosine schedule (Nichol & Dhariwal 2021, eq. 17), betas clipped at 0.999."""
    u = torch.arange(steps + 1, dtype=torch.float64) / steps
    f = torch.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2  # eq. 17
    return schedule_from_betas((1 - f[1:] / f[:-1]).clamp(max=0.999))


def linear_schedule(steps: int = 1000) -> Schedule:
    """The linear schedule of Ho et al. 2020 (sec. 4), rescaled so that any T ends in equal noise.

    Raises:
        ValueError: Fewer than 21 steps, whose last beta would reach 1.
    """
    scale = 1000 / steps
    return schedule_from_betas(
        torch.linspace(scale * 1e-4, scale * 0.02, steps, dtype=torch.float64)
    )


def scaled_linear_schedule(
    steps: int = 50, *, start: float = 0.00085, end: float = 0.012
) -> Schedule:
    """Betas whose square roots are evenly spread (Rombach et al. 2022, the code), not rescaled.

    FDSM takes over the ends that were made for 1000 steps and has 50, so its process stops far from
    pure noise: alpha_bar is 0.93 at step 25 and 0.76 at the last one.

    Args:
        steps: T.
        start: The first beta.
        end: The last beta.

    Raises:
        ValueError: A beta is not strictly between 0 and 1.
    """
    return schedule_from_betas(
        torch.linspace(start**0.5, end**0.5, steps, dtype=torch.float64).square()
    )


SCHEDULES: Mapping[str, Callable[[int], Schedule]] = {
    "cosine": cosine_schedule,
    "linear": linear_schedule,
}


def spaced_steps(total: int, count: int) -> Tensor:
    """`count` of `total` step indices, evenly spread, both ends kept (one step keeps the noisiest).

    Raises:
        ValueError: `count` is not in 1..total.
    """
    if not 1 <= count <= total:
        raise ValueError(f"count: expected 1 to {total} steps, got {count}")
    if count == 1:
        return torch.tensor([total - 1])
    stride = (total - 1) / (count - 1)
    return torch.tensor([round(stride * k) for k in range(count)])


def respaced(schedule: Schedule, count: int) -> Schedule:
    """A schedule of `count` of the steps, at exactly the same noise levels.

    ``beta'_k = 1 - alpha_bar_{S_k} / alpha_bar_{S_{k-1}}`` (Nichol & Dhariwal 2021, sec. 4); the
    kept steps go on by their original index, which is what the network was trained with.

    Raises:
        ValueError: `count` is not in 1..T.
    """
    kept = spaced_steps(len(schedule), count)
    alpha_bars = schedule.alpha_bars[kept]
    return Schedule(1 - alpha_bars / _before(alpha_bars), alpha_bars, schedule.original[kept])


def _before(alpha_bars: Tensor) -> Tensor:
    """alpha_bar of the step before each; 1 before step 0."""
    return torch.cat([torch.ones_like(alpha_bars[:1]), alpha_bars[:-1]])
