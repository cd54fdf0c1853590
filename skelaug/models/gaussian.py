"""What the variational autoencoders share: a diagonal Gaussian as mean and log-variance."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Gaussian", "kl_divergence", "log_density"]


class Gaussian(NamedTuple):
    """Normal distributions, independent in every entry.

    Attributes:
        mean: Any shape.
        logvar: Natural logarithm of the variance, the shape of `mean`.
    """

    mean: Tensor
    logvar: Tensor

    def at(self, noise: Tensor) -> Tensor:
        """The draw that standard normal noise stands for (Kingma and Welling 2014, sec. 2.4)."""
        return self.mean + torch.exp(0.5 * self.logvar) * noise


def kl_divergence(q: Gaussian, p: Gaussian | None = None) -> Tensor:
    """KL(q || p) in nats, entry by entry; no p is the standard normal.

    ``1/2 (log s_p^2 - log s_q^2 + (s_q^2 + (m_q - m_p)^2) / s_p^2 - 1)``.
    """
    if p is None:
        return 0.5 * (q.logvar.exp() + q.mean.square() - q.logvar - 1)
    # no quotient of variances, so that tiny ones give no 0 / 0
    spread = torch.exp(q.logvar - p.logvar)
    shift = ((q.mean - p.mean) * torch.exp(-0.5 * p.logvar)).square()
    return 0.5 * (p.logvar - q.logvar + spread + shift - 1)


def log_density(x: Tensor, gaussian: Gaussian) -> Tensor:
    """Log N(x; mean, variance) in nats, entry by entry.

    ``-1/2 (log 2 pi + log s^2 + (x - m)^2 / s^2)``.
    """
    distance = ((x - gaussian.mean) * torch.exp(-0.5 * gaussian.logvar)).square()
    return -0.5 * (math.log(2 * math.pi) + gaussian.logvar + distance)
