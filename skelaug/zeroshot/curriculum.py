"""Which kind of description the network learns from, by step: rich ones first, sparse ones last.

Source: FDSM, section 3.3, eq. 8 and 9; the other schedules are those of its table 8.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

__all__ = ["Curriculum", "CurriculumKind"]

CurriculumKind = Literal["cosine", "linear", "step", "fixed", "none"]

_STAGES = 4


@dataclass(frozen=True)
class Curriculum:
    """The probability of a rich description.

    Attributes:
        kind: ``cosine``: ``(1 + cos(pi e / E)) / 2`` (eq. 8); ``linear``: ``1 - e / E``; ``step``:
            halved after each quarter of the steps; ``fixed``: always 1/2; ``none``: 0, sparse ones
            alone.
        steps: E, the steps of the training.
    """

    kind: CurriculumKind
    steps: int

    def __call__(self, step: int) -> float:
        """gamma(e), the probability of a rich description at a step from 0 to E."""
        share = step / self.steps
        if self.kind == "cosine":
            return (1 + math.cos(math.pi * share)) / 2
        if self.kind == "linear":
            return 1 - share
        if self.kind == "step":
            return 0.5 ** math.floor(_STAGES * share)
        return 0.5 if self.kind == "fixed" else 0.0

    def draw(self, step: int, count: int, *, generator: torch.Generator) -> Tensor:
        """For each of `count` samples whether its description is a rich one (eq. 9), N."""
        return torch.rand(count, generator=generator) < self(step)
