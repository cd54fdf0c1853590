"""Recognizers that judge only clips that they have not seen: cross-fitting in the training part.

A recognizer knows the clips that it was trained on by heart: their features collapse towards one
point per class. If real clips were measured by a recognizer of their own, the real-vs-real floor
would fall far below what new clips of the same people reach (measured on UTD-MHAD and HDM05: FID
0.01 instead of 0.16), and the best generator would be the one that copies. So the training part is
cut into folds; member f of the panel is trained on all folds but f, and judges real clips of fold f
only. Synthetic and held-out clips are new to all members.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from skelaug.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from skelaug.errors import DataError
from skelaug.models.gru_classifier import GRUClassifier
from skelaug.progress import Progress, silent
from skelaug.skeleton.layout import SkeletonLayout
from skelaug.workflows.evaluation_clips import PreparedClips, roots_of
from skelaug.workflows.evaluation_network import (
    Recognizer,
    RecognizerTraining,
    train_recognizer,
)

__all__ = ["FOLDS", "KIND", "Panel", "assigned_folds", "load_panel", "save_panel", "train_panel"]

KIND = "evaluation/gru"
FOLDS = 2


@dataclass(frozen=True, eq=False)
class Panel:
    """Recognizers of one training part.

    Attributes:
        members: Member f was trained on all clips that are not in fold f.
        num_classes: Number of classes K.
    """

    members: tuple[Recognizer, ...]
    num_classes: int

    def folds(self, clips: PreparedClips) -> NDArray[np.int64]:
        """For each training clip the member that has not seen it."""
        return assigned_folds(clips.labels, clips.names, count=len(self.members))

    def accuracy(self, clips: PreparedClips) -> float:
        """Fraction of clips, new to all members, that a member recognises: the members' mean."""
        hits = [member.read(clips.positions).predictions == clips.labels for member in self.members]
        return float(np.mean(hits))


def assigned_folds(
    labels: NDArray[np.integer], names: Sequence[str], *, count: int = FOLDS
) -> NDArray[np.int64]:
    """The fold of each clip: the clips of a class, in the order of their names' hashes, in turn.

    So every class is spread evenly, and the fold of a clip depends on the names of its class alone:
    not on the order of the file, nor on other classes in it.
    """
    folds = np.empty(len(labels), dtype=np.int64)
    keys = [hashlib.sha256(name.encode()).digest() for name in names]
    for label in np.unique(labels):
        members = sorted(np.flatnonzero(labels == label), key=lambda index: keys[index])
        folds[members] = (np.arange(len(members)) + int(label)) % count
    return folds


def train_panel(
    train: PreparedClips,
    *,
    layout: SkeletonLayout,
    num_classes: int | None = None,
    training: RecognizerTraining | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> Panel:
    """A panel of two recognizers, each trained on half of every class of the training part.

    Args:
        train: The real training part, at least two clips.
        layout: Joints of one person.
        num_classes: Number of classes K; by default the largest label + 1.
        training: Settings of each.
        seed: Decides weights, order and augmentation.
        progress: Shows the updates.
    """
    k = num_classes or int(train.labels.max()) + 1
    folds = assigned_folds(train.labels, train.names)
    roots = roots_of(layout, train.positions.shape[2] // layout.num_joints)
    settings = training or RecognizerTraining()
    members = []
    total = sum(settings.steps_for(int((folds != fold).sum())) for fold in range(FOLDS))
    with progress("training the recognizers", total=total) as advance:
        for fold in range(FOLDS):
            seen = folds != fold
            members.append(
                train_recognizer(
                    train.positions[seen],
                    train.labels[seen],
                    num_classes=k,
                    roots=roots,
                    training=settings,
                    seed=seed + fold,
                    advance=advance,
                )
            )
    return Panel(tuple(members), k)


def save_panel(
    path: Path,
    panel: Panel,
    layout: SkeletonLayout,
    *,
    classes: Sequence[str],
    meta: Mapping[str, Any],
    half: bool = False,
) -> None:
    """Write a panel with its preparation; `meta` adds split, clips and scores."""
    first = panel.members[0]
    weights = {}
    for index, member in enumerate(panel.members):
        parts = {**member.network.state_dict(), "mean": member.mean, "std": member.std}
        weights.update({f"{index}.{name}": tensor for name, tensor in parts.items()})
    checkpoint = Checkpoint(
        kind=KIND,
        arguments={"inputs": first.network.inputs, "num_classes": panel.num_classes},
        weights=weights,
        layout=layout,
        classes=tuple(classes),
        meta={**meta, "frames": first.frames, "folds": len(panel.members)},
    )
    save_checkpoint(path, checkpoint, half=half)


def load_panel(path: Path) -> tuple[Panel, Checkpoint]:
    """Read a panel that `save_panel` wrote.

    Raises:
        NotFoundError: There is no such file.
        DataError: It holds no recognizers for evaluation.
    """
    checkpoint = load_checkpoint(path, expect="evaluation")
    try:
        members = tuple(_member(checkpoint, fold) for fold in range(checkpoint.meta["folds"]))
        return Panel(members, int(checkpoint.arguments["num_classes"])), checkpoint
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"{path}: expected recognizers for evaluation, got {error}") from error


def _member(checkpoint: Checkpoint, fold: int) -> Recognizer:
    prefix = f"{fold}."
    weights = {
        name.removeprefix(prefix): tensor
        for name, tensor in checkpoint.weights.items()
        if name.startswith(prefix)
    }
    mean, std = weights.pop("mean"), weights.pop("std")
    network = GRUClassifier(**checkpoint.arguments)
    network.load_state_dict(weights)
    layout = checkpoint.layout
    return Recognizer(
        network=network.eval().requires_grad_(False),
        roots=torch.from_numpy(roots_of(layout, len(mean) // layout.num_joints)),
        mean=mean,
        std=std,
        frames=int(checkpoint.meta["frames"]),
    )
