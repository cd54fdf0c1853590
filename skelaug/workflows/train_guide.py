"""Train a guide, a classifier of skeleton images: ``skelaug train guide``.

A guide is asked about estimates of clean images, which at high noise are smooth: part of its
training images are smoothed like them. The noisy guide is trained on noisy images instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from skelaug.diffusion.parameterization import noised
from skelaug.diffusion.schedule import SCHEDULES, Schedule
from skelaug.errors import DataError
from skelaug.image.perturb import low_passed, temporal_power
from skelaug.learner import Batches
from skelaug.models import GUIDES
from skelaug.optimisation import batch_indices
from skelaug.progress import Progress, silent
from skelaug.seeds import Stream, generator, numpy_generator
from skelaug.workflows.training_clips import TrainingClips
from skelaug.workflows.training_images import (
    AugmentConfig,
    ImageTrainingConfig,
    TrainingImages,
    image_material,
    stand_in_images,
)
from skelaug.workflows.training_run import Plan, TrainReport, known, run_plan

__all__ = ["PRESETS", "GuideConfig", "GuideLoss", "TrainGuideConfig", "run"]

NOISY = "noisy-unet"
_POWER_IMAGES = 2048
_CHUNK = 256
_LEVELS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9)

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "cpu": {
        "model": {"name": "st-trans", "arguments": {"variant": "xxs"}},
        "augment": {"turn": 0.15, "size": 0.1},
        "smoothed": 0.5,
        "optimisation": {
            "steps": 1500,
            "batch": 64,
            "lr": 1e-3,
            "warmup": 100,
            "decay_start": 0.5,
            "weight_decay": 0.01,
            "clip": 1.0,
            "ema_decay": 0.99,
        },
    },
    "paper": {
        "model": {"name": "st-trans", "arguments": {"variant": "xs"}},
        "codec": {"rows": 24, "frames": 24},
        "evaluate_every": 1000,
        "optimisation": {"steps": 500_000, "batch": 1024, "lr": 1e-4, "weight_decay": 0.01},
    },
}


class GuideConfig(BaseModel, frozen=True, extra="forbid"):
    """Which network is trained.

    Attributes:
        name: ``st-trans`` (the paper's), ``frame`` (made for CPUs), or for comparison ``cnn``,
            ``vit`` or ``noisy-unet``.
        dropout: Dropout inside it.
        arguments: Further arguments of its constructor, e.g. the variant of ST-Trans.
    """

    name: Annotated[str, AfterValidator(partial(known, choices=GUIDES))] = "st-trans"
    dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
    arguments: dict[str, Any] = {}


class TrainGuideConfig(ImageTrainingConfig, frozen=True, extra="forbid"):
    """How a guide is trained.

    Attributes:
        model: The network.
        label_smoothing: Share of the target spread over all classes.
        held_out: Share of the labelled training clips that only chooses the weights to keep; a
            class is never held out whole.
        evaluate_every: Updates per look at the held-out clips.
        augment: How the images are varied.
        smoothed: Share of the images that are smoothed in time like estimates at a random noise
            level; without meaning for the noisy guide.
        schedule: Noise levels of the diffusion model that it will guide.
        schedule_steps: Their number.
    """

    model: GuideConfig = GuideConfig()
    label_smoothing: float = Field(default=0.1, ge=0.0, lt=1.0)
    held_out: float = Field(default=0.05, ge=0.0, lt=1.0)
    evaluate_every: PositiveInt = 100
    augment: AugmentConfig = AugmentConfig()
    smoothed: float = Field(default=0.0, ge=0.0, le=1.0)
    schedule: Literal["cosine", "linear"] = "cosine"
    schedule_steps: PositiveInt = 1000

    @property
    def is_noisy(self) -> bool:
        """Whether the guide sees noisy images."""
        return self.model.name == NOISY


def run(
    config: TrainGuideConfig,
    *,
    resume: bool = False,
    force: bool = False,
    dry_run: bool = False,
    device: str = "auto",
    progress: Progress = silent,
) -> TrainReport:
    """Train a guide into a run directory.

    Args:
        config: What to train, on what.
        resume: Go on with the run that is there.
        force: Replace the run that is there.
        dry_run: Measure a few steps, write nothing.
        device: ``auto``, ``cpu``, ``cuda`` ...
        progress: Shows the steps.

    Raises:
        SkelaugError: See `skelaug.workflows.training_run.conduct`.
    """
    schedule = SCHEDULES[config.schedule](config.schedule_steps)
    noise = {"schedule": config.schedule, "steps": config.schedule_steps}
    plan = Plan(
        what="guide",
        prepare=partial(image_material, config),
        stand_in=lambda clips, count: stand_in_images(clips, config.codec, count=count),
        network=lambda images: _network(config, images),
        batches=lambda images, batch: _batches(config, images, schedule, batch=batch),
        loss=lambda images: GuideLoss(
            label_smoothing=config.label_smoothing, is_noisy=config.is_noisy
        ),
        meta={"diffusion": noise, "is_noisy": config.is_noisy},
        check=_check,
        evaluate=lambda images: _judge(config, images, schedule),
        evaluate_every=config.evaluate_every,
    )
    return run_plan(
        plan,
        config,
        resume=resume,
        force=force,
        dry_run=dry_run,
        device=device,
        progress=progress,
    )


def _network(config: TrainGuideConfig, images: TrainingImages) -> tuple[str, dict[str, Any]]:
    _, rows, frames = images.shape
    arguments = {
        "rows": rows,
        "frames": frames,
        "num_classes": len(images.clips.classes),
        "dropout": config.model.dropout,
        **config.model.arguments,
    }
    return config.model.name, arguments


def _check(clips: TrainingClips) -> list[str]:
    """That there is something to tell apart; clips without a label are left out."""
    classes = len(set(clips.labels.tolist()) - {-1})
    if classes < 2:
        raise DataError(
            f"{clips.file.path}: expected labelled clips of two or more classes to tell apart, got "
            f"{classes}; check the labels with `skelaug info`"
        )
    return []


@dataclass(frozen=True, eq=False)
class _Parts:
    """Numbers of the labelled clips that teach and that judge, within the training part."""

    taught: NDArray[np.int64]
    held_out: NDArray[np.int64]


def _parts(config: TrainGuideConfig, images: TrainingImages) -> _Parts:
    labels = images.clips.labels
    order = numpy_generator(config.seed, Stream.SPLIT).permutation(np.flatnonzero(labels >= 0))
    held = round(config.held_out * len(order))
    spared = np.isin(labels[order[:held]], labels[order[held:]])  # no class is held out whole
    return _Parts(
        taught=np.sort(np.concatenate([order[:held][~spared], order[held:]])),
        held_out=np.sort(order[:held][spared]),
    )


def _power(images: TrainingImages) -> Tensor:
    """Power of the frequencies of time in up to 2,048 of the images."""
    count = min(len(images), _POWER_IMAGES)
    which = np.linspace(0, len(images) - 1, count).astype(np.int64)
    return temporal_power(images.batch(which)[0])


def _batches(
    config: TrainGuideConfig, images: TrainingImages, schedule: Schedule, *, batch: int
) -> Batches:
    taught = _parts(config, images).taught
    view = _View(config, schedule, _power(images))

    def batches(step: int) -> tuple[Tensor, ...]:
        which = taught[batch_indices(config.seed, step, batch=batch, count=len(taught))]
        variation = generator(config.seed, Stream.AUGMENT, step)
        x0, labels = images.batch(which, config.augment, variation)
        numbers = generator(config.seed, Stream.TRAIN_NOISE, step)
        steps = torch.randint(len(schedule), (batch,), generator=numbers)
        changed = torch.rand(batch, generator=numbers) < (
            1.0 if config.is_noisy else config.smoothed
        )
        seen = torch.where(changed[:, None, None, None], view(x0, steps, numbers), x0)
        return seen, labels, steps

    return batches


@dataclass(frozen=True)
class GuideLoss:
    """Cross-entropy with smoothed labels, averaged over samples.

    Attributes:
        label_smoothing: Share of the target spread over all classes.
        is_noisy: Whether the network is told the step.
    """

    label_smoothing: float = 0.0
    is_noisy: bool = False

    def __call__(
        self, network: Callable[..., Tensor], images: Tensor, labels: Tensor, steps: Tensor, /
    ) -> dict[str, Tensor]:
        """The loss and the accuracy.

        Args:
            network: From images N C R F (and steps N) to logits N K.
            images: As the guide sees them.
            labels: N.
            steps: Index of each image's noise level, N.
        """
        logits = network(images, steps.float()) if self.is_noisy else network(images)
        loss = functional.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)
        accuracy = (logits.detach().argmax(dim=1) == labels).float().mean()
        return {"loss": loss, "accuracy": accuracy}


def _judge(
    config: TrainGuideConfig, images: TrainingImages, schedule: Schedule
) -> Callable[[nn.Module], Mapping[str, float]] | None:
    """From a network to minus its cross-entropy on the held-out clips, and its accuracies.

    None where no clips are held out. Accuracy at step 0 is that on clean images.
    """
    which = _parts(config, images).held_out
    if not len(which):
        return None
    view = _View(config, schedule, _power(images))
    levels = [round(share * (len(schedule) - 1)) for share in _LEVELS]

    def judge(network: nn.Module) -> dict[str, float]:
        truth = torch.from_numpy(images.clips.labels[which])
        logits = {step: _logits(network, images, which, view=view, step=step) for step in levels}
        clean = logits[levels[0]]
        loss = float(functional.cross_entropy(clean, truth))
        found = {
            step: float((own.argmax(1) == truth).float().mean()) for step, own in logits.items()
        }
        return {
            "score": -loss,
            **{f"accuracy_at_{step}": accuracy for step, accuracy in found.items()},
        }

    return judge


@dataclass(frozen=True, eq=False)
class _View:
    """What a guide sees at a noise level: a noisy image, or the estimate of a clean one."""

    config: TrainGuideConfig
    schedule: Schedule
    power: Tensor

    def __call__(self, x0: Tensor, steps: Tensor, numbers: torch.Generator) -> Tensor:
        alpha_bar = self.schedule.alpha_bars[steps]
        if self.config.is_noisy:
            return noised(x0, torch.randn(x0.shape, generator=numbers), alpha_bar)
        return low_passed(x0, self.power, (1 - alpha_bar) / alpha_bar)


def _logits(
    network: nn.Module, images: TrainingImages, which: NDArray[np.int64], *, view: _View, step: int
) -> Tensor:
    """Logits of clips as they look at one noise level, a few hundred at a time."""
    device = next(network.parameters()).device
    numbers = generator(view.config.seed, Stream.EVALUATE, step)
    logits = []
    for start in range(0, len(which), _CHUNK):
        x0, _ = images.batch(which[start : start + _CHUNK])
        steps = torch.full((len(x0),), step)
        seen = view(x0, steps, numbers).to(device)
        extra = (steps.float().to(device),) if view.config.is_noisy else ()
        logits.append(network(seen, *extra).float().cpu())
    return torch.cat(logits)
