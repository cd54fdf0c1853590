"""What a prior of motion with stochastic levels says of a window, and what is summed from it.

The networks of `skelaug.models.MOTION_PRIORS` share this vocabulary. Levels are counted from the
top: z0 is the most abstract one. Letters: n samples, v nodes (3 j + c is coordinate c of joint j),
t frames, l levels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skelaug.models.gaussian import Gaussian, kl_divergence, log_density
from skelaug.shapes import check_shape

__all__ = [
    "LOGVAR_RANGE",
    "Inference",
    "Level",
    "LogDensities",
    "MotionModel",
    "at_least_float32",
    "log_densities",
    "one_hot",
    "split_noise",
    "standard_normal",
    "training_terms",
]


# of every head; not in the publication of HG-VAE, but in its code
LOGVAR_RANGE = (-20.0, 3.0)


class Level(NamedTuple):
    """One stochastic level, as a window has it.

    Attributes:
        posterior: q(z_l | x, z_<l), over N and the level's own axes.
        prior: p(z_l | z_<l), the same shape.
        z: What was handed down, the same shape.
        is_stochastic: False for a level that is switched off: z is the mean of its prior, so that
            nothing of x goes through it, and it carries no divergence.
    """

    posterior: Gaussian
    prior: Gaussian
    z: Tensor
    is_stochastic: bool


class Inference(NamedTuple):
    """What a network makes of windows.

    Attributes:
        levels: z0, z1 ..., from the top.
        output: p(x | z) in the time domain, over N V T.
    """

    levels: tuple[Level, ...]
    output: Gaussian


class LogDensities(NamedTuple):
    """Of each window in nats, N, float64; differentiable.

    Attributes:
        joint: Log p(x, z) at the means of the posterior.
        posterior: Log p(z) there, what Bourached et al. 2022 call log-posterior (sec. 5.2).
    """

    joint: Tensor
    posterior: Tensor


def at_least_float32(x: Tensor) -> Tensor:
    """Products of autocast, which are of half precision, in float32; others as they are."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def standard_normal(like: Gaussian) -> Gaussian:
    """N(0, I) in the shape of another."""
    return Gaussian(torch.zeros_like(like.mean), torch.zeros_like(like.logvar))


def training_terms(inference: Inference, x: Tensor, known: Tensor) -> Tensor:
    """The terms of the evidence bound (eq. 1 of HG-VAE) of each sample in nats, N 1+L.

    First the log-likelihood, summed over the known entries; then the divergence of each level from
    the top, summed over its entries; 0 for levels that are switched off.

    Args:
        inference: Of a posterior sample.
        x: The truth, N V T; what it holds where it is unknown, NaN too, has no effect.
        known: N V T, bool.
    """
    check_shape(known, "N V T", what="known", N=x.shape[0], V=x.shape[1], T=x.shape[2])
    likelihood = log_density(torch.where(known, x, 0), inference.output)
    terms = [torch.where(known, likelihood, 0).flatten(1).sum(1)]
    for level in inference.levels:
        if level.is_stochastic:
            terms.append(kl_divergence(level.posterior, level.prior).flatten(1).sum(1))
        else:  # a zero that every weight of the level still has a gradient from, as DDP wants it
            parts = torch.stack([*level.posterior, level.prior.logvar], dim=1)
            terms.append(0 * parts.flatten(1).sum(1))
    return torch.stack(terms, dim=1)


def log_densities(inference: Inference, x: Tensor) -> LogDensities:
    """How much windows look like what was learnt; of levels that are switched off nothing counts.

    The paper writes p(z | x) for the posterior's; what its code computes, and what its numbers
    agree with, is the density under the prior of the means of the posterior, summed over levels:
    ``sum_l log N(mu_q; mu_p, sigma_p^2)``. A window that is not as its latent variables say is
    noticed by the joint density alone.

    Args:
        inference: Along the means.
        x: N V T, of which it is.
    """

    def total(density: Tensor) -> Tensor:
        return density.flatten(1).sum(1, dtype=torch.float64)

    posterior = x.new_zeros(len(x), dtype=torch.float64)
    for level in inference.levels:
        if level.is_stochastic:
            posterior = posterior + total(log_density(level.posterior.mean, level.prior))
    return LogDensities(total(log_density(x, inference.output)) + posterior, posterior)


def split_noise(noise: Tensor, shapes: Sequence[tuple[int, ...]]) -> tuple[Tensor, ...]:
    """Flat noise of samples, N S, to the noise of each level, N and the level's shape.

    Raises:
        ValueError: S is not the sum of the shapes' sizes.
    """
    ends = list(accumulate(math.prod(shape) for shape in shapes))
    check_shape(noise, "N S", what="noise", S=ends[-1])
    starts = [0, *ends[:-1]]
    return tuple(
        noise[:, start:end].reshape(len(noise), *shape)
        for start, end, shape in zip(starts, ends, shapes, strict=True)
    )


def one_hot(labels: Tensor | None, num_classes: int, *, like: Tensor) -> Tensor:
    """Classes N to N K in the type of another tensor; a label of -1 gives a row of zeros.

    Raises:
        ValueError: There are classes, but no labels.
    """
    if num_classes == 0:
        return like.new_zeros(len(like), 0)
    if labels is None:
        raise ValueError(f"labels: expected one of {num_classes} classes per sample, got None")
    rows = F.one_hot(labels + 1, num_classes + 1)[:, 1:]
    return rows.to(like)


class MotionModel(nn.Module):
    """What all priors of motion answer from what they infer."""

    def infer(
        self,
        x: Tensor,
        *,
        labels: Tensor | None = None,
        seen: Tensor | None = None,
        noise: Tensor | None = None,
    ) -> Inference:
        """Every level's posterior and prior, and the output, of windows.

        Args:
            x: N V T, standardised, in the time domain.
            labels: N, int64, -1 = no class; None only where there are no classes.
            seen: N V T, bool: what the encoder is shown; None = all.
            noise: Standard normal, N S; None takes the mean of every posterior.
        """
        raise NotImplementedError

    def forward(
        self,
        x: Tensor,
        seen: Tensor,
        known: Tensor,
        labels: Tensor | None,
        noise: Tensor,
        shown: Tensor | None = None,
    ) -> Tensor:
        """The terms of eq. 1 of each sample in nats, N 1+L: see `training_terms`.

        Args:
            x: N V T, standardised, in the time domain.
            seen: N V T, bool: what the encoder is shown.
            known: N V T, bool: what counts in the likelihood.
            labels: As in `infer`.
            noise: Standard normal, N S.
            shown: N V T: what the encoder reads where it differs from x; None = x.
        """
        read = x if shown is None else shown
        return training_terms(self.infer(read, labels=labels, seen=seen, noise=noise), x, known)

    def log_densities(self, x: Tensor, labels: Tensor | None = None) -> LogDensities:
        """How much windows look like what was learnt, see `log_densities`.

        Means along the path make it deterministic (the code draws).
        """
        return log_densities(self.infer(x, labels=labels), x)

    def reconstruct(
        self,
        x: Tensor,
        *,
        seen: Tensor | None = None,
        labels: Tensor | None = None,
        noise: Tensor | None = None,
    ) -> Gaussian:
        """p(x | z) in the time domain, over N V T; arguments as in `infer`."""
        return self.infer(x, labels=labels, seen=seen, noise=noise).output
