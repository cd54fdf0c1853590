"""Training objectives: the simple loss, the variational bound of the variance, and their sum.

Every loss is per sample (shape N), so that the caller can weight, log by step, and average.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from skelaug.diffusion.parameterization import (
    Kind,
    noised,
    split_output,
    target_from,
    x0_from,
)
from skelaug.diffusion.schedule import Schedule, like

__all__ = [
    "LossSecondMoment",
    "gaussian_kl",
    "gaussian_nll",
    "hybrid_loss",
    "min_snr_weight",
    "simple_loss",
    "vb_loss",
]


def gaussian_kl(
    mean1: Tensor, log_variance1: Tensor, mean2: Tensor, log_variance2: Tensor
) -> Tensor:
    """KL divergence of N(mean1, .) from N(mean2, .), elementwise, in nats."""
    return 0.5 * (
        log_variance2
        - log_variance1
        - 1
        + (log_variance1 - log_variance2).exp()
        + (mean1 - mean2) ** 2 * (-log_variance2).exp()
    )


def gaussian_nll(x: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Negative log density of N(mean, .) at x, elementwise, in nats."""
    return 0.5 * (math.log(2 * math.pi) + log_variance + (x - mean) ** 2 * (-log_variance).exp())


def simple_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Squared error, averaged over all elements of a sample (Ho et al. 2020, eq. 14), shape N."""
    return _per_sample((prediction - target) ** 2)


def hybrid_loss(
    output: Tensor,
    x0: Tensor,
    noise: Tensor,
    *,
    step: Tensor,
    schedule: Schedule,
    kind: Kind,
    vb_weight: float = 1e-3,
) -> Tensor:
    """``L_simple + vb_weight T L_t`` (Nichol & Dhariwal 2021, eq. 16), shape N.

    T L_t is the one-sample estimate of the bound L_vlb, a sum over T steps. With C output channels
    the variance is not learned and L_simple is all.

    Args:
        output: The network's answer at ``noised(x0, noise, alpha_bar)``, N C R F or N 2C R F.
        x0: Clean samples, N C R F.
        noise: The noise that was added, like x0.
        step: Index into the schedule, shape N, int64.
        schedule: The schedule to train with.
        kind: What the network predicts.
        vb_weight: lambda, the weight of the bound.
    """
    alpha_bar = _at(schedule.alpha_bars, step)
    target = target_from(x0, noise, alpha_bar, kind=kind)
    if output.shape[1] == x0.shape[1]:
        return simple_loss(output, target)
    prediction, weight = split_output(output.to(x0.dtype))
    bound = vb_loss(prediction.detach(), weight, x0, noise, step=step, schedule=schedule, kind=kind)
    return simple_loss(prediction, target) + vb_weight * len(schedule) * bound


def vb_loss(
    prediction: Tensor,
    weight: Tensor,
    x0: Tensor,
    noise: Tensor,
    *,
    step: Tensor,
    schedule: Schedule,
    kind: Kind,
) -> Tensor:
    """One term L_t of the variational bound (Ho et al. 2020, eq. 5), bits per element, shape N.

    Steps above 0: KL of the posterior q(x_{t-1} | x_t, x0) from the model. Step 0: the negative log
    density of x0. Published code counts bins of 8-bit pixels there; skeletons are not quantised.

    Args:
        prediction: What the network predicts, of `kind`; detached by `hybrid_loss`, so that only
            the variance learns from the bound. Never clamped.
        weight: Log-variance weight, as in `split_output`.
        x0: Clean samples.
        noise: The noise that was added.
        step: Index into the schedule, shape N, int64.
        schedule: The schedule.
        kind: What the network predicts.
    """
    alpha_bar, q = _at(schedule.alpha_bars, step), schedule.posterior
    x = noised(x0, noise, alpha_bar)
    c1, c2 = like(_at(q.c1, step), x), like(_at(q.c2, step), x)
    lower, upper = (like(_at(bound, step), x) for bound in schedule.log_variance_bounds)
    mean = c1 * x0_from(prediction, x, alpha_bar, kind=kind) + c2 * x
    log_variance = weight * upper + (1 - weight) * lower  # Nichol & Dhariwal, eq. 15
    kl = gaussian_kl(c1 * x0 + c2 * x, lower, mean, log_variance)
    nll = gaussian_nll(x0, mean, log_variance)
    return _per_sample(torch.where(like(step == 0, x).bool(), nll, kl)) / math.log(2)


def min_snr_weight(alpha_bar: Tensor, *, kind: Kind, gamma: float = 5.0) -> Tensor:
    """Weight of `simple_loss` that counts an error of x0 ``min(SNR, gamma)`` fold, shape N.

    Hang et al. 2023, sec. 3.4: min(SNR, gamma) divided by 1 (x0), SNR (eps) or SNR + 1 (v), since
    those are the factors by which an error of x0 grows in each target.

    Args:
        alpha_bar: Noise levels, shape N.
        kind: What the network predicts.
        gamma: Cap of the signal-to-noise ratio.
    """
    snr = alpha_bar / (1 - alpha_bar)
    factor = {"x0": torch.ones_like(snr), "eps": snr, "v": snr + 1}[kind]
    return snr.clamp(max=gamma) / factor


class LossSecondMoment:
    """Importance sampling of steps for the pure bound (Nichol & Dhariwal 2021, eq. 18).

    Steps are drawn with probability proportional to ``sqrt(E[L_t^2])`` over the last losses of
    each, mixed with a little of the uniform distribution, and uniformly until all have a history.

    Attributes:
        history: The last losses of each step, oldest first, shape T x H, float64.
        seen: How many of them are filled, shape T, int64.
    """

    def __init__(self, steps: int, *, length: int = 10, uniform: float = 1e-3) -> None:
        self.history = torch.zeros(steps, length, dtype=torch.float64)
        self.seen = torch.zeros(steps, dtype=torch.int64)
        self._uniform = uniform

    def probabilities(self) -> Tensor:
        """Probability of each step, shape T, float64."""
        steps, length = self.history.shape
        flat = torch.full((steps,), 1 / steps, dtype=torch.float64)
        if bool((self.seen < length).any()):
            return flat
        p = (self.history**2).mean(dim=1).sqrt()
        return torch.lerp(p / p.sum(), flat, self._uniform)

    def sample(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Steps, and the weights 1 / (T p) that keep the average loss unbiased; shape `count`."""
        p = self.probabilities()
        step = torch.multinomial(p, count, replacement=True, generator=generator)
        return step, 1 / (len(p) * p[step])

    def update(self, step: Tensor, loss: Tensor) -> None:
        """Remember the unweighted losses of these steps."""
        for t, value in zip(step.tolist(), loss.tolist(), strict=True):
            self.history[t] = torch.cat([self.history[t, 1:], self.history.new_tensor([value])])
            self.seen[t] = min(int(self.seen[t]) + 1, self.history.shape[1])


def _at(table: Tensor, step: Tensor) -> Tensor:
    return table[step.to(table.device)]


def _per_sample(elements: Tensor) -> Tensor:
    return elements.flatten(1).mean(dim=1)
