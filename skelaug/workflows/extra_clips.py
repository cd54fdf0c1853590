"""Clips of another file that a recognizer learns from beside its own, synthetic ones for example.

How they take part is the file's size (all clips in one pool) or a fixed share of every batch; their
loss may weigh less. The number of updates is the same with and without them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, Field, NonNegativeFloat
from torch import Tensor

from skelaug.augment import AugmentationConfig
from skelaug.data.splits import Split, selected, split_hash
from skelaug.data.store import SequenceFile
from skelaug.errors import DataError
from skelaug.files import require_file, sha256
from skelaug.optimisation import batch_indices, mixed_indices
from skelaug.skeleton.layout import SkeletonLayout
from skelaug.skeleton.sequence import Source
from skelaug.workflows.leaks import find_leaks
from skelaug.workflows.training_clips import TrainingClips
from skelaug.workflows.training_motions import TrainingMotions

__all__ = ["ExtraConfig", "MixedMotions", "extra_clips", "extra_notes"]


class ExtraConfig(BaseModel, frozen=True, extra="forbid"):
    """Which further clips take part in a training, and how much.

    Attributes:
        file: Sequence file of labelled clips; None = none.
        only: A split rule; of the file these clips are used. Empty takes all.
        share: Share of every batch that comes from it, one clip more or less where that is no whole
            number; None mixes all clips in one pool, so that each is seen as often as each other.
        weight: Of the loss of its clips; those of the data itself weigh 1.
    """

    file: Path | None = None
    only: str = ""
    share: float | None = Field(default=None, gt=0.0, lt=1.0)
    weight: NonNegativeFloat = 1.0


def extra_clips(config: ExtraConfig, own: TrainingClips) -> TrainingClips | None:
    """The further clips, or None if there are none.

    Args:
        config: Which.
        own: The clips of the data itself.

    Raises:
        NotFoundError: There is no such file.
        UsageError: The rule is not understood.
        DataError: Layouts or classes differ, a clip has no label, no clip is left, or the clips
            are test clips or come from a generator that has seen the test part.
    """
    if config.file is None or not isinstance(own.file, SequenceFile):
        return None
    file = SequenceFile(require_file(config.file))
    rows = np.flatnonzero(selected(file, config.only)).astype(np.int64)
    _check(file, rows, own.file, where=str(config.file))
    leaks, _ = find_leaks(own.file, file.provenance, own.split, where=file.path.name)
    for leak in leaks:
        raise DataError(
            f"{config.file}: expected clips of a generator that saw none of the "
            f"{own.split.test.size} test clips of --split {own.split.rule!r}, got {leak}; train "
            f"the generator on the training part"
        )
    # a generator never gives a clip back exactly, so what is synthetic need not be read
    given = rows[file.sources[rows] != int(Source.SYNTHETIC)]
    tested = own.tested_in(file, given)
    if tested:
        raise DataError(
            f"{config.file}: expected clips that are not in the test part of {own.file.path}, got "
            f"{len(tested)} copies of its clips ({tested[0]} ...); leave them out with extra.only"
        )
    names = [file.names[row] for row in rows]
    none = np.empty(0, dtype=np.int64)
    return TrainingClips(
        file, sha256(config.file), Split(config.only, rows, none, split_hash(names))
    )


def extra_notes(config: ExtraConfig, own: TrainingClips) -> list[str]:
    """What could not be checked about synthetic further clips: whether they carry test clips."""
    if config.file is None or not isinstance(own.file, SequenceFile):
        return []
    with SequenceFile(require_file(config.file)) as file:
        if not (file.sources == int(Source.SYNTHETIC)).any():
            return []
        return find_leaks(own.file, file.provenance, own.split, where=file.path.name)[1]


def _check(file: SequenceFile, rows: NDArray[np.int64], own: SequenceFile, *, where: str) -> None:
    if file.layout.joints != own.layout.joints:
        raise DataError(
            f"{where}: expected layout {own.layout.name} as in {own.path}, got {file.layout.name}; "
            f"convert one with `skelaug convert --layout`"
        )
    if file.channels != own.channels:
        raise DataError(
            f"{where}: expected {own.channels} coordinates per joint as in {own.path}, got "
            f"{file.channels}"
        )
    if not rows.size:
        raise DataError(f"{where}: expected clips to learn from, got none; check extra.only")
    labels = file.labels[rows]
    strangers = sorted({file.classes[label] for label in labels if label >= 0} - set(own.classes))
    if strangers or (labels < 0).any():
        what = f"class {strangers[0]!r}" if strangers else f"{(labels < 0).sum()} without a label"
        raise DataError(
            f"{where}: expected clips of the classes of {own.path}, got {what}; labels are matched "
            f"by their exact names"
        )


@dataclass(frozen=True, eq=False)
class MixedMotions:
    """The batches of a training on clips of its own and further ones.

    Attributes:
        own: Prepared clips of the data itself.
        extra: Prepared further clips, or None.
        config: How they take part.
    """

    own: TrainingMotions
    extra: TrainingMotions | None
    config: ExtraConfig

    @property
    def clips(self) -> TrainingClips:
        """The clips of the data itself."""
        return self.own.clips

    @property
    def layout(self) -> SkeletonLayout:
        """The joints of all of them."""
        return self.own.layout

    def facts(self) -> dict[str, Any]:
        """What a checkpoint says about the form of its input; plain JSON values."""
        if self.extra is None:
            return self.own.facts()
        clips = self.extra.clips
        told = {
            "name": clips.file.path.name,
            "sha256": clips.sha256,
            "clips": len(clips.rows),
            "share": self.config.share,
            "weight": self.config.weight,
        }
        return {**self.own.facts(), "extra": told}

    def batch(
        self, augment: AugmentationConfig, *, batch: int, seed: int, step: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Varied clips (N C T V M), labels (N) and weights (N) of an update, own clips first.

        Args:
            augment: How clips are varied, further ones too.
            batch: Clips N.
            seed: Root of every random number.
            step: Number of the update.
        """
        taught = self.own.labelled
        if self.extra is None:
            which = taught[batch_indices(seed, step, batch=batch, count=len(taught))]
            x, labels = self.own.batch(which, augment, seed=seed, step=step)
            return x, labels, torch.ones(batch)
        ours, theirs = self._drawn(len(taught), len(self.extra), batch=batch, seed=seed, step=step)
        x, labels = self.own.batch(taught[ours], augment, seed=seed, step=step)
        more, named = self.extra.batch(theirs, augment, seed=seed, step=step, first=len(ours))
        weights = torch.ones(batch)
        weights[len(ours) :] = self.config.weight
        return torch.cat([x, more]), torch.cat([labels, self._index[named]]), weights

    def _drawn(
        self, own: int, extra: int, *, batch: int, seed: int, step: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Numbers of the clips of an update, the data's own and the further ones."""
        count, share = own + extra, self.config.share
        if share is None:
            pooled = batch_indices(seed, step, batch=batch, count=count)
        else:
            parts = np.arange(own), np.arange(own, count)
            pooled = mixed_indices(seed, step, batch=batch, share=1.0 - share, parts=parts)
        return pooled[pooled < own], pooled[pooled >= own] - own

    @property
    def _index(self) -> Tensor:
        """From the further file's classes to the data's own."""
        classes = self.own.clips.classes
        there = self.extra.clips.classes if self.extra else ()
        return torch.tensor([classes.index(c) if c in classes else -1 for c in there])
