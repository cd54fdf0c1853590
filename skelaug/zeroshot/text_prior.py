"""What a text says of features before a network does: a normal prior about a ridge map (ours).

A network that has met two dozen classes guesses wildly about others, where a linear map still says
something. So features z are taken as normal about where the map expects them, ``z ~ N(mu(text),
s^2 I)``. Of ``x = a z + sigma eps``, with ``a^2 = alpha_bar`` and ``a^2 + sigma^2 = 1``, the
expected noise then is ``sigma d / v``, with ``d = x - a mu(text)`` and ``v = a^2 s^2 + sigma^2``,
and its deviation ``a s / sqrt(v)``. A network adds to the one in units of the other, and is told d
in units of its own deviation (the preconditioning of Karras et al. 2022, table 1, about a mean):

    eps_hat = sigma d / v + (a s / sqrt(v)) network(d / sqrt(v), ...)

Untrained, a network that answers 0 leaves the class whose expectation is nearest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skelaug.diffusion.schedule import Schedule
from skelaug.zeroshot.losses import Network
from skelaug.zeroshot.ridge import STRENGTHS, ridge_map

__all__ = ["TextPrior", "around", "fit_prior"]

_LEAST_VARIANCE = 1e-6
_POOLED = 2  # place of the text as a whole among local, mask, pooled, gain


class TextPrior(NamedTuple):
    """Features are normal about a linear function of their text.

    Attributes:
        weights: E K, with K = L D.
        text_mean: E.
        feature_mean: L D.
        variance: s^2, of every feature about what is expected; one number.
    """

    weights: Tensor
    text_mean: Tensor
    feature_mean: Tensor
    variance: Tensor

    def to(self, device: torch.device) -> TextPrior:
        """The same on a device."""
        return TextPrior(*(own.to(device) for own in self))

    def expected(self, pooled: Tensor) -> Tensor:
        """mu: pooled texts N E to features N L D."""
        away = (pooled - self.text_mean) @ self.weights
        return self.feature_mean + away.view(len(pooled), *self.feature_mean.shape)


def fit_prior(
    features: Tensor,
    labels: NDArray[np.integer],
    texts: Tensor,
    *,
    strengths: Sequence[float] = STRENGTHS,
) -> TextPrior:
    """The prior of classes that have clips.

    Classes are left out one by one. Of several strengths of the ridge that is taken with which
    their features lie nearest to what is expected without them; s^2 is their mean square about it.

    Args:
        features: N L D.
        labels: Class of each, N.
        texts: Pooled ones of all classes, Y E; those of classes without clips are not looked at.
        strengths: What to choose from; see `skelaug.zeroshot.ridge.fit_ridge`.
    """
    known = np.unique(labels)
    x = features.flatten(1).double().numpy()
    told = texts.double().numpy()[known]
    clips = [x[labels == one] for one in known]
    means = np.stack([own.mean(axis=0) for own in clips])

    def wrong(strength: float) -> float:
        errors = []
        for out, own in enumerate(clips):
            kept = np.arange(len(known)) != out
            ridge = ridge_map(means[kept], told[kept], strength)
            expected = ridge.feature_mean + ridge.centroids(told[out : out + 1])
            errors.append(float(((own - expected) ** 2).mean()))
        return float(np.mean(errors))

    errors = [wrong(strength) for strength in strengths]
    ridge = ridge_map(means, told, strengths[int(np.argmin(errors))])
    return TextPrior(
        torch.from_numpy(ridge.weights).float(),
        torch.from_numpy(ridge.text_mean).float(),
        torch.from_numpy(ridge.feature_mean).float().view(features.shape[1:]),
        torch.tensor(max(min(errors), _LEAST_VARIANCE)),
    )


def around(network: Network, prior: TextPrior | None, schedule: Schedule) -> Network:
    """A matching network that begins at what a prior expects; without one the network itself.

    Args:
        network: Called as in `skelaug.zeroshot.losses`.
        prior: In the units of the network's features.
        schedule: The noise levels.
    """
    if prior is None:
        return network

    def told(x: Tensor, step: Tensor, *text: Tensor) -> Tensor:
        own = prior.to(x.device)
        alpha_bar = schedule.alpha_bars.to(x.device)[step].to(x.dtype)[:, None, None]
        a, sigma = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
        variance = alpha_bar * own.variance + 1 - alpha_bar
        away = x - a * own.expected(text[_POOLED])
        more = network(away / variance.sqrt(), step, *text)
        return sigma * away / variance + a * (own.variance / variance).sqrt() * more

    return told
