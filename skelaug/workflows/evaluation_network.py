"""The recognizer that `eval` looks through: Action2Motion's GRU, trained on real training clips.

The published recipe is not known (only weights are), so preparation and training are ours: root
trajectory and root-relative joints, standardised per joint on the training part, and light
augmentation (turn, tilt, size, tempo); without it a cross-subject test loses about ten points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from skelaug.models.gru_classifier import GRUClassifier
from skelaug.optimisation import batch_indices, seeded
from skelaug.progress import Advance
from skelaug.seeds import Stream, generator

__all__ = ["Reading", "Recognizer", "RecognizerTraining", "train_recognizer"]

_CHUNK = 512
_EPOCHS = 10
_LEAST_SPREAD = 0.02


@dataclass(frozen=True)
class RecognizerTraining:
    """How the recognizer is trained.

    Attributes:
        steps: Updates (Adam, cross-entropy); more if there are so many clips that they would not
            make ten epochs.
        batch: Clips per update.
        lr: Learning rate; falls linearly to 0 over the last 40 %.
        turn: Largest turn about the vertical, radians.
        tilt: Largest turn about each horizontal axis, radians.
        size: Largest relative change of the body's size, and half of that per axis.
        crop: Largest share of the clip cut off at each end.
        tempo: Largest shift of the middle of the clip in time, as a share of it (times pi).
    """

    steps: int = 600
    batch: int = 64
    lr: float = 3e-3
    turn: float = 0.35
    tilt: float = 0.15
    size: float = 0.1
    crop: float = 0.1
    tempo: float = 0.3

    def steps_for(self, clips: int) -> int:
        """Updates for so many training clips."""
        return max(self.steps, _EPOCHS * clips // self.batch)


@dataclass(frozen=True)
class Reading:
    """What the recognizer sees in clips.

    Attributes:
        features: N E, float32.
        logits: N K, float32.
    """

    features: NDArray[np.float32]
    logits: NDArray[np.float32]

    @property
    def predictions(self) -> NDArray[np.int64]:
        """The class of each clip."""
        return np.asarray(self.logits.argmax(axis=1), dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Recognizer:
    """A GRU with the preparation that it was trained with.

    Attributes:
        network: In eval mode.
        roots: For each joint V the root that it is taken relative to; a root itself keeps its path.
        mean: Of the training part, V 3.
        std: Likewise, V 3.
        frames: Length T of the clips that it reads.
    """

    network: GRUClassifier
    roots: Tensor
    mean: Tensor
    std: Tensor
    frames: int

    def inputs(self, positions: Tensor) -> Tensor:
        """Positions N T V 3 as the network reads them, N T 3V; absent persons are 0."""
        standard = (_relative(positions, self.roots) - self.mean) / self.std
        return standard.nan_to_num(0.0).flatten(2)

    @torch.no_grad()
    def read(self, positions: NDArray[np.float32]) -> Reading:
        """Features and logits of prepared clips N T V 3."""
        features, logits = [], []
        for start in range(0, len(positions), _CHUNK):
            chunk = torch.from_numpy(positions[start : start + _CHUNK])
            seen = self.network.features(self.inputs(chunk))
            features.append(seen)
            logits.append(self.network.classify(seen))
        return Reading(torch.cat(features).numpy(), torch.cat(logits).numpy())


def train_recognizer(
    positions: NDArray[np.float32],
    labels: NDArray[np.int64],
    *,
    num_classes: int,
    roots: Sequence[int] | NDArray[np.integer],
    training: RecognizerTraining | None = None,
    seed: int = 0,
    advance: Advance | None = None,
) -> Recognizer:
    """A recognizer trained on prepared clips N T V 3 of the real training part, and on no others.

    The same clips, settings and seed give the same weights (on one machine and number of threads).

    Args:
        positions: N T V 3, metres; absent persons NaN.
        labels: N in 0..num_classes - 1.
        num_classes: Number of classes K.
        roots: For each joint its person's root; see `Recognizer`.
        training: Settings.
        seed: Decides weights, order and augmentation.
        advance: Counts the updates.
    """
    settings = training or RecognizerTraining()
    clips, targets = torch.from_numpy(positions), torch.from_numpy(labels)
    with seeded(seed, Stream.INITIAL_WEIGHTS):
        network = GRUClassifier(inputs=3 * clips.shape[2], num_classes=num_classes)
    recognizer = _fitted(network, clips, torch.as_tensor(np.asarray(roots)))
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.lr)
    steps = settings.steps_for(len(clips))
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = settings.lr * min(1.0, (1 - step / steps) / 0.4)
        rows = batch_indices(seed, step, batch=settings.batch, count=len(clips))
        batch = _augmented(clips[rows], settings, generator(seed, Stream.AUGMENT, step))
        loss = functional.cross_entropy(network(recognizer.inputs(batch)), targets[rows])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        if advance is not None:
            advance(1, note=f"loss {loss.item():.3f}")
    network.eval().requires_grad_(False)
    return recognizer


def _fitted(network: GRUClassifier, clips: Tensor, roots: Tensor) -> Recognizer:
    """The recognizer with the statistics of its training clips; absent persons do not count."""
    relative = _relative(clips, roots)
    known = torch.isfinite(relative)
    count = known.sum(dim=(0, 1)).clamp_min(1)
    mean = relative.nan_to_num(0.0).sum(dim=(0, 1)) / count
    spread = ((relative - mean).nan_to_num(0.0) ** 2).sum(dim=(0, 1)) / count
    return Recognizer(network, roots, mean, spread.sqrt().clamp_min(_LEAST_SPREAD), clips.shape[1])


def _relative(positions: Tensor, roots: Tensor) -> Tensor:
    """Joints relative to their root; roots as they are. N T V 3 in and out."""
    is_root = roots == torch.arange(len(roots))
    return torch.where(is_root[:, None], positions, positions - positions[:, :, roots])


def _augmented(clips: Tensor, settings: RecognizerTraining, numbers: torch.Generator) -> Tensor:
    """Clips N T V 3, each turned, tilted, resized and warped in time by itself."""

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=numbers) * 2 - 1

    n = len(clips)
    turn = _rotations(uniform(n, 3) * torch.tensor([settings.tilt, settings.turn, settings.tilt]))
    size = (1 + settings.size * uniform(n, 1)) * (1 + settings.size / 2 * uniform(n, 3))
    moved = torch.einsum("nij,ntvj->ntvi", turn * size[:, :, None], clips)
    return _warped(moved, settings, uniform(n, 3))


def _rotations(angles: Tensor) -> Tensor:
    """Rotation matrices N 3 3 about x, then z, then y, from angles N 3 (radians)."""
    n = len(angles)
    matrices = torch.eye(3).repeat(3, n, 1, 1)
    for axis, (i, j) in enumerate(((1, 2), (2, 0), (0, 1))):
        cos, sin = angles[:, axis].cos(), angles[:, axis].sin()
        matrices[axis, :, i, i] = matrices[axis, :, j, j] = cos
        matrices[axis, :, i, j], matrices[axis, :, j, i] = -sin, sin
    return matrices[1] @ matrices[2] @ matrices[0]


def _warped(clips: Tensor, settings: RecognizerTraining, uniform: Tensor) -> Tensor:
    """Clips read at other times: ends cut, middle shifted; `uniform` is N 3 in [-1, 1]."""
    n, t = clips.shape[:2]
    start, end = (uniform[:, :2] + 1).T[:, :, None] / 2 * settings.crop
    grid = torch.linspace(0, 1, t)
    bent = grid + uniform[:, 2:] * settings.tempo / torch.pi * torch.sin(torch.pi * grid)
    times = (start + (1 - start - end) * bent) * (t - 1)
    before = times.long().clamp(0, t - 2)
    weight = (times - before)[:, :, None, None]
    rows = torch.arange(n)[:, None]
    warped: Tensor = (1 - weight) * clips[rows, before] + weight * clips[rows, before + 1]
    return warped
