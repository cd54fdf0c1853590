"""Trajectories as frequencies: the cosine transform of HG-VAE (Bourached et al. 2022, app. A.1).

The orthonormal matrix D of its eq. 6 is `skelaug.diffusion.spectral.cosine_basis`.
Letters: n samples, v nodes, t frames.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["encoder_input", "in_frequencies", "in_time", "interpolated"]


def in_frequencies(x: Tensor, dct: Tensor) -> Tensor:
    """Eq. 6: trajectories N V T to their coefficients, in full precision under autocast too."""
    with torch.autocast(x.device.type, enabled=False):
        return x @ dct.to(x.dtype).mT


def in_time(coefficients: Tensor, dct: Tensor) -> Tensor:
    """Eq. 7: coefficients N V T to trajectories, in full precision under autocast too."""
    with torch.autocast(coefficients.device.type, enabled=False):
        return coefficients @ dct.to(coefficients.dtype)


def interpolated(x: Tensor, seen: Tensor) -> Tensor:
    """Trajectories N V T, cubic in time between the entries that were seen, held beyond them.

    A gap is Hermite's cubic between its neighbours; its slope at either end is that of the step
    before or after the gap, and that of the straight line across where that step was not seen
    either. A trajectory of which nothing was seen is 0. What x holds where it was not seen, NaN
    too, has no effect.

    Args:
        x: N V T.
        seen: N V T, bool.
    """
    frames = x.shape[-1]
    clock = torch.arange(frames, device=x.device).expand(seen.shape)
    x = torch.where(seen, x, 0)
    before = torch.where(seen, clock, -1).cummax(dim=-1).values
    after = torch.where(seen, clock, frames).flip(-1).cummin(dim=-1).values.flip(-1)
    first = torch.where(before < 0, after, before).clamp(max=frames - 1)
    last = torch.where(after == frames, before, after).clamp(min=0)
    start, end = x.gather(-1, first), x.gather(-1, last)
    length = (last - first).clamp(min=1)
    step = x[..., 1:] - x[..., :-1]
    is_step = seen[..., 1:] & seen[..., :-1]
    arrives, leaves = (first - 1).clamp(min=0), last.clamp(max=frames - 2)
    chord = end - start
    slopes = [
        torch.where(is_step.gather(-1, place) & is_inside, step.gather(-1, place) * length, chord)
        for place, is_inside in ((arrives, first > 0), (leaves, last < frames - 1))
    ]
    u = (clock - first).to(x.dtype) / length
    bend = u * (1 - u) * ((1 - u) * (slopes[0] - chord) - u * (slopes[1] - chord))
    joined = start + chord * u + torch.where(last > first, bend, 0)
    return torch.where(seen.any(dim=-1, keepdim=True), torch.where(seen, x, joined), 0)


def encoder_input(x: Tensor, seen: Tensor | None, dct: Tensor, *, reads_mask: bool) -> Tensor:
    """What an encoder is shown: the coefficients of what was seen, `interpolated` elsewhere.

    A network then has to learn how a motion differs from a straight line, which is easier than to
    learn the motion from zeros between its parts (the paper's encoder sees the mean, 0, there).

    Args:
        x: N V T, in the time domain; what it holds where it was not seen, NaN too, has no effect.
        seen: N V T, bool; None = all.
        dct: The matrix D, T T.
        reads_mask: Whether the mask, in time, follows the coefficients, which makes it N V 2T.
    """
    read = in_frequencies(x if seen is None else interpolated(x, seen), dct)
    if not reads_mask:
        return read
    mask = torch.ones_like(x) if seen is None else seen.to(x.dtype)
    return torch.cat([read, mask], dim=-1)
