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
from torch import Tensor

from skelaug.models.gaussian import Gaussian, kl_divergence, log_density
from skelaug.shapes import check_shape

__all__ = [
    "LOGVAR_RANGE",
    "Inference",
    "Level",
    "at_least_float32",
    "density_of_means",
    "joint_density",
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


def density_of_means(levels: Sequence[Level]) -> Tensor:
    """The "log-posterior" of HG-VAE: sum over levels of log N(mu_q; mu_p, sigma_p^2) in nats, N.

    The paper writes p(z | x); what its code computes, and what its numbers agree with, is the
    density under the prior of the means of the posterior. Levels that are switched off do not
    count.
    """
    counted = [
        log_density(level.posterior.mean, level.prior).flatten(1).sum(1)
        for level in levels
        if level.is_stochastic
    ]
    if not counted:
        return levels[0].z.flatten(1).sum(1) * 0
    return torch.stack(counted).sum(0)


def joint_density(inference: Inference, x: Tensor) -> Tensor:
    """Log p(x, z) at the means of the posterior in nats, N: log p(x | z) + `density_of_means`.

    The first term is what notices that a window is not as its latent variables say;
    `density_of_means` alone hears nothing of it.

    Args:
        inference: Along the means.
        x: N V T.
    """
    likelihood = log_density(x, inference.output).flatten(1).sum(1)
    return likelihood + density_of_means(inference.levels)


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
