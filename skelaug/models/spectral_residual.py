"""SG-SRM for denoisers of images: a class turns up the high frequencies of what attention adds.

It is FDSM's semantic-guided spectral residual module (eq. 1 to 4 in `skelaug.diffusion.spectral`)
along the frames. There the gain of a class is read off its text, by a head that was taught which
texts speak of lively motions. Here nobody describes the classes: the gain is one number per class
and one for the dropped label, learnt with the network from the loss alone, and shared by all its
blocks. So it says what helped to denoise a class, not how lively somebody called it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from skelaug.diffusion.spectral import amplified, frequency_gains, low_band

__all__ = ["PLACEMENTS", "Placement", "Residual", "SpectralResidual", "spectral_residual"]

Placement = Literal["none", "attention", "stream"]
PLACEMENTS: tuple[Placement, ...] = get_args(Placement)
Residual = Callable[[Tensor, Tensor], Tensor]  # how a stream and a branch become the next stream


class SpectralResidual(nn.Module):
    """A residual connection that turns high frequencies up.

    All gains begin at one half and take no random numbers, so that the other weights are those of
    the network without it.

    Args:
        placement: ``attention`` amplifies the branch before it is added, at most ``1 + alpha``
            times, as the paper writes; ``stream`` amplifies the sum, as its published code does,
            which multiplies over the blocks.
        num_classes: Number of classes; 0 learns a single gain.
        alpha: Size of the largest gain (eq. 2).
    """

    def __init__(self, placement: Placement, *, num_classes: int = 0, alpha: float = 1.0) -> None:
        super().__init__()
        self.placement, self.alpha = placement, alpha
        self.logits = nn.Parameter(torch.zeros(num_classes + 1))

    def gain(self, labels: Tensor | None, count: int) -> Tensor:
        """The gain of each of `count` samples, N, in (0, 1); without labels the last one."""
        gains = self.logits.sigmoid()
        if labels is None or len(gains) == 1:
            return gains[-1].expand(count)
        return gains[labels]

    def forward(
        self,
        stream: Tensor,
        branch: Tensor,
        gain: Tensor,
        *,
        dim: int,
        basis: Tensor | None = None,
        is_spectrum: bool = False,
    ) -> Tensor:
        """The stream with the branch added and, of either or both, the high frequencies turned up.

        Args:
            stream: N ...
            branch: Shaped like it.
            gain: N; see `gain`.
            dim: The axis of frames.
            basis: The cosine basis of that axis, if it is kept.
            is_spectrum: The axis is one of frequencies already.
        """

        def boosted(x: Tensor) -> Tensor:
            low = low_band(x.shape[dim])
            if not is_spectrum:
                return amplified(x, gain, alpha=self.alpha, low=low, dim=dim, basis=basis)
            gains = frequency_gains(x.shape[dim], gain, alpha=self.alpha, low=low).to(x)
            shape = [len(x), *[1] * (x.ndim - 2), x.shape[dim]]
            return (x.transpose(dim, -1) * gains.view(shape)).transpose(dim, -1)

        if self.placement == "attention":
            return stream + boosted(branch)
        return boosted(stream + branch)


def spectral_residual(
    placement: Placement, *, num_classes: int, alpha: float
) -> SpectralResidual | None:
    """What a network's argument ``spectral`` asks for; None for ``none``.

    Raises:
        ValueError: The placement is unknown.
    """
    if placement not in PLACEMENTS:
        raise ValueError(f"spectral: expected one of {PLACEMENTS}, got {placement!r}")
    if placement == "none":
        return None
    return SpectralResidual(placement, num_classes=num_classes, alpha=alpha)
