"""Randomness has an address: a stream depends on (seed, purpose, index) and on nothing else.

So sample i is the same alone or in a batch of 512, on one process or on eight, and a resumed
training equals an uninterrupted one. Nothing in the library seeds a global generator.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

__all__ = ["Stream", "generator", "numpy_generator"]


class Stream(enum.IntEnum):
    """What a random stream is for; two purposes never share numbers."""

    SAMPLE = 1
    TRAIN_BATCH = 2
    TRAIN_NOISE = 3
    INITIAL_WEIGHTS = 4
    SPLIT = 5
    EVALUATE = 6
    AUGMENT = 7
    DROPOUT = 8
    DURATION = 9
    SKETCH = 10
    MIXUP = 11
    VARIATION = 12
    PERFORMER = 13
    BENCHMARK = 14
    OCCLUSION = 15
    POSTERIOR = 16
    TEXT = 17


def _sequence(seed: int, stream: tuple[int, ...]) -> np.random.SeedSequence:
    # as a spawn key the stream is kept apart from the seed, and (1,) from (1, 0)
    return np.random.SeedSequence(seed, spawn_key=stream)


def generator(seed: int, *stream: int) -> torch.Generator:
    """A torch generator that depends on its address only, e.g. (seed, Stream.SAMPLE, index)."""
    import torch

    word = int(_sequence(seed, stream).generate_state(1, np.uint64)[0])
    return torch.Generator().manual_seed(word)


def numpy_generator(seed: int, *stream: int) -> np.random.Generator:
    """A numpy generator that depends on its address only."""
    return np.random.default_rng(_sequence(seed, stream))
