"""Features as the matching network takes them: centred, and scaled or whitened within classes.

In raw features what tells performers, places and sensors apart is larger than what tells actions
apart. Whitening shrinks the directions in which clips of one class differ: with D the deviations
and R the correlations of features about the means of their classes, and a share r of noise::

    z = c (R + r I)^(-1/2) D^(-1) (x - mean)

with one number c that gives z the mean square 1 over all clips. It is the metric of linear
discriminant analysis with shrunk correlations; the symmetric root keeps each z_k as near to its
x_k as can be.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from skelaug.errors import DataError

__all__ = ["FeatureScale", "Standardise", "fit_scale"]

Standardise = Literal["none", "scale", "whiten"]
"""Whether features stay raw, are centred and divided by one number, or whitened within classes."""

_DEAD = 1e-6  # of its size, and of that of all; what varies less does so by rounding
_NOISE = 0.1


class FeatureScale(NamedTuple):
    """A linear map of features.

    Attributes:
        mean: What is taken off, D.
        weights: D D.
    """

    mean: Tensor
    weights: Tensor

    def applied(self, features: Tensor) -> Tensor:
        """Raw features ... D, mapped."""
        return (features - self.mean) @ self.weights

    def to(self, device: torch.device) -> FeatureScale:
        """The same on a device."""
        return FeatureScale(*(own.to(device) for own in self))


def fit_scale(
    features: Tensor, labels: Tensor, how: Standardise, *, noise: float = _NOISE
) -> FeatureScale:
    """The map that some clips ask for.

    Args:
        features: N L D.
        labels: Class of each clip, N.
        how: ``none`` leaves features as they are, as the published code does.
        noise: r, the share of independent noise that is added to the correlations.

    Raises:
        DataError: Nothing varies within classes, so there is nothing to whiten by.
    """
    size = features.shape[-1]
    if how == "none":
        return FeatureScale(torch.zeros(size), torch.eye(size))
    x = features.double()
    flat = x.flatten(0, 1)
    weights = torch.eye(size, dtype=torch.float64)
    if how == "whiten":
        weights = _whitening(_about_class_means(x, labels), flat.square().mean(dim=0), noise)
    mean = flat.mean(dim=0)
    large = ((flat - mean) @ weights).square().mean().sqrt().clamp(min=1e-6)
    return FeatureScale(mean.float(), (weights / large).float())


def _about_class_means(x: Tensor, labels: Tensor) -> Tensor:
    """N L D less the mean of the class, which differs from moment to moment, as (N L) D."""
    known, rows = torch.unique(labels, return_inverse=True)
    means = torch.stack([x[rows == place].mean(dim=0) for place in range(len(known))])
    return (x - means[rows]).flatten(0, 1)


def _whitening(away: Tensor, power: Tensor, noise: float) -> Tensor:
    """``D^(-1) (R + r I)^(-1/2)`` of rows with mean 0; 0 for features that never vary.

    Args:
        away: N D.
        power: Mean squares of the features as they were, D.
        noise: r.
    """
    deviation = away.square().mean(dim=0).sqrt()
    lives = deviation > _DEAD * torch.maximum(power, power.mean()).sqrt()
    if not lives.any():
        raise DataError(
            "features: expected two clips of a class that differ to whiten by, got none; add --set "
            "standardise=scale"
        )
    inverse = torch.where(lives, 1 / torch.where(lives, deviation, 1.0), 0.0)
    away = away * inverse
    values, axes = torch.linalg.eigh(away.T @ away / len(away))
    root = axes @ torch.diag((values.clamp(min=0) + noise).rsqrt()) @ axes.T
    weights: Tensor = inverse[:, None] * root
    return weights
