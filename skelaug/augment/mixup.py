"""Mixup: each clip of a batch is blended with another one, and so are their labels.

Zhang et al. 2018 (mixup: Beyond Empirical Risk Minimization), eq. 1. Departure: each clip of a
batch has a weight of its own instead of one for the batch, which is the pairwise form of the paper
rather than of its code. Clips must be prepared to one length first. Streams may be computed before
or after, since bones and motions of a blend are the blend of bones and motions. Where one partner
has an absent person (zeros), the blend has a person that is too small.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["draw_mixup", "mixed", "mixed_targets"]


def draw_mixup(count: int, *, alpha: float, generator: np.random.Generator) -> Mapping[str, Any]:
    """Partners and weights for a batch, as plain numbers that JSON keeps exactly.

    ``{"op": "mixup", "partners": [N], "weights": [N]}``: clip i keeps the share weights[i], drawn
    from Beta(alpha, alpha), and takes the rest from clip partners[i]; the partners are a
    permutation, so no clip is seen more than another.

    Args:
        count: Clips N of the batch.
        alpha: Of the Beta distribution; 1 is uniform, small values mix little, 0 not at all.
        generator: Where chance comes from.

    Raises:
        ValueError: `alpha` is negative or not finite.
    """
    if not 0 <= alpha < np.inf:
        raise ValueError(f"alpha: expected a finite number from 0, got {alpha}")
    weights = generator.beta(alpha, alpha, count) if alpha else np.ones(count)
    partners = generator.permutation(count)
    return {"op": "mixup", "partners": partners.tolist(), "weights": weights.tolist()}


def mixed(batch: Tensor, draw: Mapping[str, Any]) -> Tensor:
    """The blended clips, w x_i + (1 - w) x_partner, of a batch N ... of any further axes.

    Raises:
        ValueError: The draw is for a batch of another size.
    """
    n = len(batch)
    if len(draw["partners"]) != n:
        raise ValueError(f"batch: expected N = {len(draw['partners'])} clips as drawn, got {n}")
    weights = torch.tensor(draw["weights"], dtype=torch.float64).to(batch)
    weights = weights.reshape(-1, *[1] * (batch.ndim - 1))
    partners = torch.tensor(draw["partners"], dtype=torch.int64, device=batch.device)
    # this form leaves a clip with weight 1, and a clip that is its own partner, exactly as it is
    return batch + (1 - weights) * (batch[partners] - batch)


def mixed_targets(labels: Tensor, draw: Mapping[str, Any], *, num_classes: int) -> Tensor:
    """The blended labels as probabilities N K, float32, for ``cross_entropy``.

    Args:
        labels: N in 0..K - 1.
        draw: As from `draw_mixup`.
        num_classes: Number of classes K.
    """
    return mixed(functional.one_hot(labels, num_classes).float(), draw)
