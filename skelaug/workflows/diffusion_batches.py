"""What an update of a denoiser sees: which clips, told how much of their class and performer."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, Field
from torch import Tensor

from skelaug.data.splits import selected
from skelaug.errors import DataError
from skelaug.learner import Batches
from skelaug.optimisation import batch_indices, mixed_indices
from skelaug.seeds import Stream, generator
from skelaug.workflows.training_clips import TrainingClips
from skelaug.workflows.training_images import AugmentConfig, TrainingImages

__all__ = ["FavourConfig", "Telling", "denoising_batches", "favoured", "performer_indices"]


class FavourConfig(BaseModel, frozen=True, extra="forbid"):
    """Clips that take part more often than others: co-training on few clips and many others.

    Attributes:
        rule: Which of the training clips are favoured, e.g. ``name=FILE`` or ``subject=1,2``;
            empty favours none.
        share: Of every batch that comes from them.
    """

    rule: str = ""
    share: float = Field(default=0.5, gt=0.0, lt=1.0)


class Telling(NamedTuple):
    """How much a network is told of each sample.

    Attributes:
        label_drop: Share of samples without their class; they go without their performer too, as
            in classifier-free guidance, which drops both.
        performers: Whether performers are told at all.
        performer_drop: Share of the other samples without their performer.
    """

    label_drop: float
    performers: bool = False
    performer_drop: float = 0.0


def favoured(clips: TrainingClips, rule: str) -> NDArray[np.bool_]:
    """Which training clips a rule favours, one truth value each.

    Raises:
        UsageError: The rule is not understood, or does not fit the clips of the file.
        NotFoundError: A file of names does not exist.
        DataError: It favours no training clip, or all of them.
    """
    chosen: NDArray[np.bool_] = selected(clips.file, rule)[clips.rows]
    if chosen.all() or not chosen.any():
        which = "all" if chosen.any() else "none"
        raise DataError(
            f"favour.rule={rule}: expected some of the {len(chosen)} training clips, got {which}; "
            f"choose another rule, or leave it out"
        )
    return chosen


def performer_indices(clips: TrainingClips) -> NDArray[np.int64]:
    """Place of each training clip's performer in ``clips.subjects``; their number = unknown."""
    known = np.asarray(clips.subjects, dtype=np.int64)
    own = clips.file.subjects[clips.rows].astype(np.int64)
    return np.where(own >= 0, np.searchsorted(known, own), len(known))


def denoising_batches(
    images: TrainingImages,
    telling: Telling,
    favour: FavourConfig,
    augment: AugmentConfig,
    *,
    batch: int,
    levels: int,
    seed: int,
) -> Batches:
    """From the number of an update to its clean images, noise, steps, labels and performers.

    Labels N are the number of classes, performers N (left out where they are not told) the number
    of performers, where they are dropped or unknown.

    Args:
        images: The training part.
        telling: How much of each sample is told.
        favour: Which clips take part more often.
        augment: How images are varied.
        batch: Samples N per update.
        levels: Number of noise levels.
        seed: Root of every random number.
    """
    classes = len(images.clips.classes)
    performers = torch.from_numpy(performer_indices(images.clips))
    parts: tuple[NDArray[np.int64], ...] = ()
    if favour.rule:
        chosen = favoured(images.clips, favour.rule)
        parts = (np.flatnonzero(chosen), np.flatnonzero(~chosen))

    def batches(step: int) -> tuple[Tensor, ...]:
        if parts:
            rows = mixed_indices(seed, step, batch=batch, share=favour.share, parts=parts)
        else:
            rows = batch_indices(seed, step, batch=batch, count=len(images))
        x0, labels = images.batch(rows, augment, generator(seed, Stream.AUGMENT, step))
        numbers = generator(seed, Stream.TRAIN_NOISE, step)
        steps = torch.randint(levels, (batch,), generator=numbers)
        noise = torch.randn(x0.shape, generator=numbers)
        dropped = torch.rand(batch, generator=numbers) < telling.label_drop
        labels = torch.where(dropped | (labels < 0), classes, labels)
        if not telling.performers:
            return x0, noise, steps, labels
        dropped |= torch.rand(batch, generator=numbers) < telling.performer_drop
        who = performers[torch.from_numpy(rows)]
        return x0, noise, steps, labels, torch.where(dropped, len(images.clips.subjects), who)

    return batches
