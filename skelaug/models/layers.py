"""What several networks share: attention, drop path, the step and labels as one vector."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Conditioning", "DropPath", "SelfAttention", "UnroundedLinear", "sinusoid"]


def sinusoid(position: Tensor, dim: int) -> Tensor:
    """Cosines and sines of a number at geometrically falling frequencies.

    Ho et al. 2020 after Vaswani et al. 2017; frequency k is 10000^(-k / (dim / 2)), the cosines
    stand first.

    Args:
        position: Any shape; steps or frame numbers.
        dim: Size of the new last axis D, even.

    Returns:
        The shape of `position` with D appended, float32 (or float64 for float64 positions).

    Raises:
        ValueError: `dim` is odd.
    """
    if dim % 2:
        raise ValueError(f"sinusoid: expected an even dim, got {dim}")
    position = position if position.dtype == torch.float64 else position.float()
    k = torch.arange(dim // 2, dtype=position.dtype, device=position.device)
    angle = position[..., None] * torch.exp(-math.log(10_000.0) * k / (dim // 2))
    return torch.cat([angle.cos(), angle.sin()], dim=-1)


class Conditioning(nn.Module):
    """The step through an MLP, plus an embedding of the class (Nichol and Dhariwal 2021, sec. 2).

    The performer is a second such embedding. Class `num_classes` is the dropped label and performer
    `num_subjects` the dropped one; a network without classes or performers ignores theirs. The
    performers' embedding starts at zero and takes no random numbers: untrained, a network that
    knows performers is the one that does not.

    Args:
        frequencies: Waves that the step is told in.
        dim: Size of the vectors.
        num_classes: Number of classes; 0 = none.
        num_subjects: Number of performers; 0 = none.
    """

    def __init__(
        self, *, frequencies: int, dim: int, num_classes: int = 0, num_subjects: int = 0
    ) -> None:
        super().__init__()
        self.frequencies = frequencies
        self.num_classes, self.num_subjects = num_classes, num_subjects
        self.time = nn.Sequential(nn.Linear(frequencies, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.label = nn.Embedding(num_classes + 1, dim) if num_classes else None
        self.subject: nn.Embedding | None = None
        if num_subjects:
            untold = torch.zeros(num_subjects + 1, dim)
            self.subject = nn.Embedding.from_pretrained(untold, freeze=False)  # type: ignore[no-untyped-call]

    def forward(
        self, step: Tensor, labels: Tensor | None = None, subjects: Tensor | None = None
    ) -> Tensor:
        """The conditioning vectors.

        Args:
            step: N, in [0, 1000); float, so that respaced schedules keep the original index.
            labels: N, int64 in 0..num_classes, or None for the dropped label everywhere.
            subjects: N, int64 in 0..num_subjects, or None for the dropped performer everywhere.

        Returns:
            N x dim.
        """
        waves = sinusoid(step, self.frequencies)
        features: Tensor = self.time(waves.to(next(self.time.parameters()).dtype))
        if self.label is not None:
            if labels is None:
                labels = torch.full(step.shape, self.num_classes, device=step.device)
            features = features + self.label(labels)
        if self.subject is not None:
            if subjects is None:
                subjects = torch.full(step.shape, self.num_subjects, device=step.device)
            features = features + self.subject(subjects)
        return features


class UnroundedLinear(nn.Linear):
    """A linear layer that autocast leaves in its own precision: one that reads or writes metres.

    In bfloat16 a coordinate of one metre is off by up to 2 mm, as much as is to be corrected.
    """

    def forward(self, x: Tensor) -> Tensor:
        """... I to ... O, in the dtype of the weights."""
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.to(self.weight.dtype))


class DropPath(nn.Module):
    """Leaves a residual branch out for whole samples while training (Huang et al. 2016).

    What is kept grows by 1 / (1 - rate), so that the expectation is the branch.

    Args:
        rate: The probability to leave it out, in [0, 1).
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, branch: Tensor) -> Tensor:
        """N ... to the same."""
        ones = branch.new_ones(len(branch), *(1 for _ in branch.shape[1:]))
        return branch * F.dropout(ones, self.rate, self.training)


class SelfAttention(nn.Module):
    """Multi-head self-attention over a sequence of tokens (Vaswani et al. 2017, sec. 3.2).

    Args:
        width: Token size D.
        heads: Heads that share it.
        outputs: Size of the tokens that come out; None keeps D.

    Raises:
        ValueError: `heads` does not divide `width`.
    """

    def __init__(self, *, width: int, heads: int, outputs: int | None = None) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width}: expected a multiple of heads, got heads {heads}")
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width if outputs is None else outputs)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens N T D to N T D (or N T outputs)."""
        n, t, d = tokens.shape
        size = d // self.heads
        q, k, v = self.qkv(tokens).view(n, t, 3, self.heads, size).permute(2, 0, 3, 1, 4).unbind(0)
        if v.dtype == torch.bfloat16 and v.requires_grad and not v.is_cuda:
            # Written out: in bfloat16 the fused kernel's backward pass takes half of a training
            # step on a CPU. In float32 it is the faster one, by a third for short sequences.
            weights = ((q * size**-0.5) @ k.transpose(-1, -2)).softmax(dim=-1).to(v.dtype)
            mixed = weights @ v
        else:
            mixed = F.scaled_dot_product_attention(q, k, v)
        out: Tensor = self.out(mixed.transpose(1, 2).reshape(n, t, d))
        return out
