"""What the trainings of rival generators share: labelled images, noise, and a loss of two terms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, NonNegativeFloat
from torch import Tensor

from skelaug.errors import DataError
from skelaug.learner import Batches
from skelaug.models import build
from skelaug.optimisation import batch_indices
from skelaug.seeds import Stream, generator
from skelaug.workflows.training_clips import TrainingClips
from skelaug.workflows.training_images import (
    AugmentConfig,
    ImageTrainingConfig,
    TrainingImages,
    image_material,
    stand_in_images,
)
from skelaug.workflows.training_run import Plan
from skelaug.workflows.training_sketch import write_sketch

__all__ = [
    "Lesson",
    "RivalConfig",
    "RivalLoss",
    "RivalNetworkConfig",
    "rival_batches",
    "rival_plan",
]


class RivalNetworkConfig(BaseModel, frozen=True, extra="forbid"):
    """Which size of network is trained.

    Attributes:
        arguments: Further arguments of its constructor, e.g. its width.
    """

    arguments: dict[str, Any] = {}


class RivalConfig(ImageTrainingConfig, frozen=True, extra="forbid"):
    """What every training of a rival generator is told.

    Attributes:
        model: The network.
        kl_weight: Weight of the divergence of the posterior from the prior, summed over the
            entries of the noise, per clip.
        augment: How the images are varied.
    """

    model: RivalNetworkConfig = RivalNetworkConfig()
    kl_weight: NonNegativeFloat = 1e-3
    augment: AugmentConfig = AugmentConfig()


class Lesson(Protocol):
    """Further tensors of a batch, samples first."""

    def __call__(self, batch: int, frames: int, numbers: torch.Generator, /) -> tuple[Tensor, ...]:
        """Those of a batch of so many images, from a generator."""
        ...


def rival_plan(kind: str, config: RivalConfig, *, lesson: Lesson | None = None) -> Plan[Any]:
    """The training of a rival generator.

    Args:
        kind: A key of `skelaug.models.RIVALS`; also what the model is said to be.
        config: What to train, on what.
        lesson: What the network is told beside images, labels and noise; None = nothing.
    """
    return Plan(
        what=kind,
        prepare=partial(image_material, config),
        stand_in=lambda clips, count: stand_in_images(clips, config.codec, count=count),
        network=lambda images: (kind, _arguments(config, images)),
        check=_check,
        batches=lambda images, batch: rival_batches(
            kind, config, images, batch=batch, lesson=lesson
        ),
        loss=lambda images: RivalLoss(config.kl_weight),
        conclude=write_sketch,
        meta={"kl_weight": config.kl_weight},
    )


def _check(clips: TrainingClips) -> list[str]:
    if not (clips.labels >= 0).any():
        raise DataError(
            f"{clips.file.path}: expected clips of a class, got none in the training part; check "
            f"the labels with `skelaug info`"
        )
    return []


def _arguments(config: RivalConfig, images: TrainingImages) -> dict[str, Any]:
    rows, frames = images.shape[1:]
    return {
        "rows": rows,
        "frames": frames,
        "num_classes": len(images.clips.classes),
        **config.model.arguments,
    }


def rival_batches(
    kind: str,
    config: RivalConfig,
    images: TrainingImages,
    *,
    batch: int,
    lesson: Lesson | None = None,
) -> Batches:
    """From the number of an update to images N C R F, labels N, noise, and the lesson's tensors.

    Clips without a class take no part.
    """
    taught = _labelled(images)
    shape = _noise_shape(kind, _arguments(config, images))
    frames = images.shape[2]

    def batches(step: int) -> tuple[Tensor, ...]:
        which = taught[batch_indices(config.seed, step, batch=batch, count=len(taught))]
        x, labels = images.batch(
            which, config.augment, generator(config.seed, Stream.AUGMENT, step)
        )
        numbers = generator(config.seed, Stream.TRAIN_NOISE, step)
        noise = torch.randn(batch, *shape, generator=numbers)
        more = lesson(batch, frames, numbers) if lesson else ()
        return x, labels.clamp(min=0), noise, *more

    return batches


def _noise_shape(kind: str, arguments: Mapping[str, Any]) -> tuple[int, ...]:
    """That of one sample, asked of a network without weights."""
    with torch.device("meta"):
        shape: tuple[int, ...] = build(kind, arguments).noise_shape  # type: ignore[assignment]
    return shape


def _labelled(images: TrainingImages) -> NDArray[np.int64]:
    """Numbers of the clips with a class; of a stand-in without any, all of its random images."""
    labels = images.clips.labels[: len(images)]
    found = np.flatnonzero(labels >= 0)
    return found if len(found) else np.arange(len(labels))


@dataclass(frozen=True)
class RivalLoss:
    """``error + kl_weight * divergence``, averaged over samples: the negative evidence bound.

    Attributes:
        kl_weight: Weight of the divergence.
    """

    kl_weight: float

    def __call__(self, network: Callable[..., Tensor], *tensors: Tensor) -> Mapping[str, Tensor]:
        """The loss and its two terms.

        Args:
            network: From the tensors to the error and the divergence of each sample, N 2.
            tensors: Images, labels, noise, and what else the network is told.
        """
        error, divergence = network(*tensors).mean(dim=0)
        return {
            "loss": error + self.kl_weight * divergence,
            "error": error,
            "divergence": divergence,
        }
