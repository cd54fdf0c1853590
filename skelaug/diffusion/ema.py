"""Exponential moving average of weights: torch's own `AveragedModel` with a warm-up."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

__all__ = ["averaged", "decay_at"]


def decay_at(updates: float, *, decay: float) -> float:
    """The decay after this many updates: ``min(decay, (1 + n) / (10 + n))``.

    So a short training is not an average over its random start.
    """
    return min(decay, (1 + updates) / (10 + updates))


def averaged(model: nn.Module, *, decay: float = 0.9999) -> AveragedModel:
    """A copy of the model that follows it: call ``update_parameters(model)`` after each step.

    The first update copies, each later one moves by ``1 - decay_at(n)``. Floating-point buffers are
    averaged too, counters are copied. Sample from its ``module``.

    Args:
        model: The model in training.
        decay: The final decay, in 0..1.

    Raises:
        ValueError: The decay is outside 0..1.
    """
    if not 0 <= decay <= 1:
        raise ValueError(f"decay: expected a value in 0..1, got {decay}")

    @torch.no_grad()
    def move(average: Sequence[Tensor], current: Sequence[Tensor], updates: Tensor | int) -> None:
        share = 1 - decay_at(float(updates), decay=decay)
        for kept, new in zip(average, current, strict=True):
            if kept.is_floating_point():
                kept.lerp_(new, share)
            else:
                kept.copy_(new)

    return AveragedModel(model, multi_avg_fn=move, use_buffers=True)
