"""What one update of weights is made of: its rate, its samples, its precision, its randomness."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from skelaug.seeds import Stream, generator, numpy_generator

__all__ = ["Optimisation", "autocast_dtype", "batch_indices", "reseed", "seeded"]


class Optimisation(BaseModel, frozen=True, extra="forbid"):
    """How the weights move: AdamW with warm-up and linear decay, and a moving average.

    Attributes:
        steps: Updates in all.
        max_epochs: Passes over the training clips after which it ends even if steps are left, so
            that few clips are not learnt by heart; None sets no such end.
        batch: Samples per update, over all processes.
        micro_batch: Samples per backward pass in each process; fewer need less memory and give the
            same gradient (batch norm and dropout aside). None takes the whole share at once.
        lr: Learning rate after the warm-up.
        warmup: Updates over which the rate rises linearly.
        decay_start: Fraction of the updates after which the rate falls linearly to 0; 1 = never.
        weight_decay: Decoupled weight decay (Loshchilov and Hutter 2019).
        betas: Decay rates of the two moments.
        clip: Largest norm of the gradient; None leaves it alone.
        ema_decay: Decay of the moving average of the weights; 0 switches it off.
        precision: ``bf16`` autocast, ``fp32``, or ``auto``: bf16 where the device computes in it.
    """

    steps: PositiveInt = 6000
    max_epochs: PositiveFloat | None = None
    batch: PositiveInt = 64
    micro_batch: PositiveInt | None = None
    lr: PositiveFloat = 1e-3
    warmup: NonNegativeInt = 0
    decay_start: float = Field(default=1.0, ge=0.0, le=1.0)
    weight_decay: NonNegativeFloat = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    clip: PositiveFloat | None = None
    ema_decay: float = Field(default=0.0, ge=0.0, lt=1.0)
    precision: Literal["auto", "bf16", "fp32"] = "auto"

    def for_clips(self, count: int) -> Optimisation:
        """The same with the steps that `max_epochs` passes over `count` clips leave of them."""
        if self.max_epochs is None:
            return self
        most = max(1, math.ceil(self.max_epochs * count / self.batch))
        return self.model_copy(update={"steps": min(self.steps, most)})

    def lr_at(self, step: int) -> float:
        """The learning rate of update `step` (from 0)."""
        rising = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        start = self.decay_start * self.steps
        falling = 1.0 if step < start else (self.steps - step) / max(self.steps - start, 1.0)
        return self.lr * rising * falling


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


@lru_cache(maxsize=4)
def _permutation(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    return numpy_generator(seed, Stream.TRAIN_BATCH, epoch).permutation(count)


def batch_indices(seed: int, step: int, *, batch: int, count: int) -> NDArray[np.int64]:
    """Which of `count` samples update `step` sees: each once per epoch, in an order of its own."""
    epochs, places = np.divmod(np.arange(step * batch, (step + 1) * batch), count)
    return np.concatenate(
        [_permutation(seed, int(e), count)[places[epochs == e]] for e in np.unique(epochs)]
    )
