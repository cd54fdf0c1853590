"""What the matching network is taught by: FDSM's loss and TDSM's.

The tensors of an update are those of `Lesson`, in its order; the network is called
``network(x, step, local, mask, pooled, gain)``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from skelaug.diffusion.parameterization import x0_from
from skelaug.diffusion.schedule import Schedule
from skelaug.diffusion.spectral import Reduction, spectral_loss, spectral_weights

__all__ = ["FDSMLoss", "Lesson", "Network", "TDSMLoss"]

Network = Callable[..., Tensor]
"""From x_t, t and a text for each (local, mask, pooled, gain) to the noise in x_t, N L D."""


class Lesson(NamedTuple):
    """The tensors of an update that both losses take.

    Attributes:
        x: Noised features z_t, N L D.
        step: t, N.
        noise: eps, N L D.
        local: Tokens of the true class's text, N S E.
        mask: Which tokens there are, N S.
        pooled: That text as a whole, N E.
        gain: How much motion it speaks of, N.
    """

    x: Tensor
    step: Tensor
    noise: Tensor
    local: Tensor
    mask: Tensor
    pooled: Tensor
    gain: Tensor


@dataclass(frozen=True)
class FDSMLoss:
    """The noise error and, lambda times, its spectrum by step: ``L_diff + lambda L_freq`` (eq. 10).

    L_diff is the mean square; the paper's un-squared norm is not what its code computes.

    Attributes:
        schedule: The noise levels.
        weight: lambda.
        gamma: Of the high band (eq. 7).
        low: M, frequencies of the low band; None = a quarter.
        reduction: Of the frequencies: ``mean`` as in the released code, or ``sum`` as in eq. 9.
        axis: Along what frequencies are taken: the ``channel`` or the ``time`` axis of z.
    """

    schedule: Schedule
    weight: float = 1.0
    gamma: float = 1.0
    low: int | None = None
    reduction: Reduction = "mean"
    axis: Literal["channel", "time"] = "channel"

    def __call__(self, network: Network, /, *lesson: Tensor) -> dict[str, Tensor]:
        """The loss and its parts, means over samples.

        Args:
            network: See the module.
            lesson: The tensors of a `Lesson`.
        """
        x, step, noise, *text = Lesson(*lesson)
        found = network(x, step, *text)
        diffusion = (found - noise).square().mean()
        if not self.weight:
            return {"loss": diffusion}
        dim = 2 if self.axis == "channel" else 1
        weights = spectral_weights(
            x.shape[dim], step, steps=len(self.schedule), gamma=self.gamma, low=self.low
        )
        alpha_bar = self.schedule.alpha_bars.to(step.device)[step]
        clean, found_clean = (x0_from(eps, x, alpha_bar, kind="eps") for eps in (noise, found))
        spectrum = spectral_loss(
            clean, found_clean, weights, dim=dim, reduction=self.reduction
        ).mean()
        loss = diffusion + self.weight * spectrum
        return {"loss": loss, "noise_error": diffusion, "spectral": spectrum}


@dataclass(frozen=True)
class TDSMLoss:
    """The noise error, and a margin by which a false text must do worse (Do et al. 2025).

    ``d+ + max(0, d+ - d- + margin) [y != y']`` with the mean squares d+ and d- of a sample.

    Attributes:
        margin: Of the triplet.
    """

    margin: float = 1.0

    def __call__(self, network: Network, /, *tensors: Tensor) -> dict[str, Tensor]:
        """The loss and its parts, means over samples.

        Args:
            network: See the module.
            tensors: Those of a `Lesson`; the text of another class (local, mask, pooled, gain);
                whether that is another class, N.
        """
        x, step, noise, *text = Lesson(*tensors[:7])
        false, differs = tensors[7:11], tensors[11]
        both = [torch.cat(pair) for pair in zip(text, false, strict=True)]
        told = network(torch.cat([x, x]), torch.cat([step, step]), *both)
        right, wrong = (told - torch.cat([noise, noise])).square().mean(dim=(1, 2)).chunk(2)
        triplet = ((right - wrong + self.margin).clamp(min=0) * differs.to(right)).mean()
        return {
            "loss": right.mean() + triplet,
            "noise_error": right.mean(),
            "triplet": triplet,
        }
