"""What one update of weights is made of: its rate, its samples, its precision, its randomness."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from skelaug.seeds import Stream, generator, numpy_generator

__all__ = ["Optimisation", "autocast_dtype", "batch_indices", "mixed_indices", "reseed", "seeded"]


class Optimisation(BaseModel, frozen=True, extra="forbid"):
    """How the weights move: optimizer, rate by update, and a moving average.

    Attributes:
        steps: Updates in all.
        epochs: Passes over the training clips, in place of `steps`.
        max_epochs: Passes over the training clips after which it ends even if steps are left, so
            that few clips are not learnt by heart; None sets no such end.
        batch: Samples per update, over all processes.
        micro_batch: Samples per backward pass in each process; fewer need less memory and give the
            same gradient (batch norm and dropout aside). None takes the whole share at once.
        optimizer: ``adamw`` (Loshchilov and Hutter 2019) or ``sgd`` with Nesterov momentum.
        momentum: Of ``sgd``.
        lr: Learning rate after the warm-up.
        warmup: Updates over which the rate rises linearly.
        warmup_epochs: The same in passes over the training clips, in place of `warmup`.
        decay: How the rate falls: ``linear`` to 0 from `decay_start` on, ``cosine`` to 0 after the
            warm-up, ``steps``, by a factor of ten at each of the `milestones`, or ``exponential``,
            by the same factor in each update down to `decay_to`.
        decay_to: Share of the rate that ``exponential`` ends with.
        decay_start: Fraction of the updates after which ``linear`` begins; 1 = never.
        milestones: Fractions of the updates.
        weight_decay: Decoupled from the gradient in ``adamw``, part of it in ``sgd``.
        betas: Decay rates of the two moments of ``adamw``.
        clip: Largest norm of the gradient; None leaves it alone.
        ema_decay: Decay of the moving average of the weights; 0 switches it off.
        precision: ``bf16`` autocast, ``fp32``, or ``auto``: bf16 where the device computes in it.
    """

    steps: PositiveInt = 6000
    epochs: PositiveFloat | None = None
    max_epochs: PositiveFloat | None = None
    batch: PositiveInt = 64
    micro_batch: PositiveInt | None = None
    optimizer: Literal["adamw", "sgd"] = "adamw"
    momentum: float = Field(default=0.9, ge=0.0, lt=1.0)
    lr: PositiveFloat = 1e-3
    warmup: NonNegativeInt = 0
    warmup_epochs: NonNegativeFloat | None = None
    decay: Literal["linear", "cosine", "steps", "exponential"] = "linear"
    decay_to: float = Field(default=0.01, gt=0.0, le=1.0)
    decay_start: float = Field(default=1.0, ge=0.0, le=1.0)
    milestones: tuple[Annotated[float, Field(gt=0.0, lt=1.0)], ...] = ()
    weight_decay: NonNegativeFloat = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    clip: PositiveFloat | None = None
    ema_decay: float = Field(default=0.0, ge=0.0, lt=1.0)
    precision: Literal["auto", "bf16", "fp32"] = "auto"

    def for_clips(self, count: int) -> Optimisation:
        """The same with `steps` and `warmup` as its epochs over `count` clips leave them."""

        def updates(epochs: float) -> int:
            return max(1, math.ceil(epochs * count / self.batch))

        steps = self.steps if self.epochs is None else updates(self.epochs)
        if self.max_epochs is not None:
            steps = min(steps, updates(self.max_epochs))
        warmup = self.warmup if self.warmup_epochs is None else updates(self.warmup_epochs)
        return self.model_copy(update={"steps": steps, "warmup": warmup})

    def lr_at(self, step: int) -> float:
        """The learning rate of update `step` (from 0)."""
        rising = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        return self.lr * rising * self._falling(step)

    def _falling(self, step: int) -> float:
        if self.decay == "steps":
            return float(0.1 ** sum(step >= share * self.steps for share in self.milestones))
        if self.decay == "exponential":
            return float(self.decay_to ** (step / self.steps))
        start = self.warmup if self.decay == "cosine" else self.decay_start * self.steps
        if step < start:
            return 1.0
        left = (self.steps - step) / max(self.steps - start, 1.0)
        return (1 - math.cos(math.pi * left)) / 2 if self.decay == "cosine" else left


def autocast_dtype(precision: str, device: torch.device) -> torch.dtype | None:
    """bfloat16 if asked for, or on ``auto`` if the device computes in it natively; else None."""
    if precision == "auto":
        native = (
            torch.cuda.is_bf16_supported(including_emulation=False)
            if device.type == "cuda"
            else _cpu_has_bf16()
        )
        precision = "bf16" if native else "fp32"
    return torch.bfloat16 if precision == "bf16" else None


def _cpu_has_bf16() -> bool:
    probes = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(getattr(torch.cpu, probe, bool)() for probe in probes)


@contextlib.contextmanager
def seeded(seed: int, *stream: int, device: torch.device | None = None) -> Iterator[None]:
    """Inside the block, modules draw (initial weights, dropout) from this address alone."""
    gpus = [device] if device is not None and device.type == "cuda" else []
    with torch.random.fork_rng(devices=gpus):
        reseed(seed, *stream, device=device)
        yield


def reseed(seed: int, *stream: int, device: torch.device | None) -> None:
    """Start torch's own generators at an address; only inside a block of `seeded`."""
    word = generator(seed, *stream).initial_seed()
    torch.default_generator.manual_seed(word)
    if device is not None and device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(word)


@lru_cache(maxsize=8)
def _permutation(seed: int, count: int, *address: int) -> NDArray[np.int64]:
    return numpy_generator(seed, Stream.TRAIN_BATCH, *address).permutation(count)


def batch_indices(seed: int, step: int, *, batch: int, count: int) -> NDArray[np.int64]:
    """Which of `count` samples update `step` sees: each once per epoch, in an order of its own."""
    return _in_epochs(seed, step * batch, (step + 1) * batch, count=count)


def mixed_indices(
    seed: int, step: int, *, batch: int, share: float, parts: Sequence[NDArray[np.int64]]
) -> NDArray[np.int64]:
    """Which samples update `step` sees where a share of them comes from one of two parts.

    Each part is passed through as in `batch_indices`, in epochs of its own. Where ``share batch``
    is no whole number the updates differ by one sample, so that the share holds in the long run.

    Args:
        seed: Root of the orders.
        step: Number of the update.
        batch: Samples per update.
        share: Of each batch, from the first part; in (0, 1).
        parts: Samples of the first and of the second part.

    Returns:
        Samples of the first part, then of the second.
    """
    begin, end = round(step * batch * share), round((step + 1) * batch * share)
    spans = ((begin, end), (step * batch - begin, (step + 1) * batch - end))
    return np.concatenate(
        [
            own[_in_epochs(seed, *span, count=len(own), part=number)]
            for number, (own, span) in enumerate(zip(parts, spans, strict=True))
        ]
    )


def _in_epochs(
    seed: int, begin: int, end: int, *, count: int, part: int | None = None
) -> NDArray[np.int64]:
    """Places `begin` to `end` of endless passes through `count` samples, each in another order."""
    epochs, places = np.divmod(np.arange(begin, end), count)
    own = () if part is None else (part,)
    pieces = [
        _permutation(seed, count, int(epoch), *own)[places[epochs == epoch]]
        for epoch in np.unique(epochs)
    ]
    return np.concatenate(pieces) if pieces else np.empty(0, dtype=np.int64)
