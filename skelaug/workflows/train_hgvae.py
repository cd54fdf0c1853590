"""Train a generative model of motion, HG-VAE or its baselines: ``skelaug train hgvae``."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any

import torch
from pydantic import AfterValidator, BaseModel, Field, NonNegativeFloat, NonNegativeInt, PositiveInt
from torch import Tensor

from skelaug.checkpoint import load_checkpoint, save_checkpoint
from skelaug.errors import UsageError
from skelaug.learner import Batches
from skelaug.models import MOTION_PRIORS, build
from skelaug.progress import Progress, silent
from skelaug.seeds import Stream, generator
from skelaug.skeleton.parts import body_groups
from skelaug.workflows.motion_examination import examiner, training_typicality
from skelaug.workflows.motion_lessons import Lessons, LessonsConfig, lessons
from skelaug.workflows.run_directory import RunDirectory
from skelaug.workflows.training_images import TrainingImages
from skelaug.workflows.training_run import Plan, TrainReport, known, run_plan
from skelaug.workflows.training_sketch import write_sketch

__all__ = ["PRESETS", "EvidenceLoss", "MotionPriorConfig", "TrainHgvaeConfig", "run"]

_CPU: Mapping[str, Any] = {
    "codec": {"frames": 50},
    "variation": {"mirror": 0.5, "tempo": 0.15},
    "augment": {"size": 0.05},
    "occlusion": 0.5,
    "kl_start": 0.001,
    "kl_warmup": 1500,
    "optimisation": {
        "steps": 6000,
        "max_epochs": 200,
        "batch": 64,
        "lr": 2e-3,
        "warmup": 200,
        "decay_start": 0.5,
        "clip": 100.0,
        "ema_decay": 0.999,
    },
}
# Bourached et al. 2022, sec. 5; an epoch is one pass over the windows, five frames apart, of all
# clips. Their warm-up starts at 0.001 and is linear.
_PAPER: Mapping[str, Any] = {
    "codec": {"frames": 50},
    "windows": {"fps": 25.0},
    "kl_start": 0.001,
    "kl_warmup_epochs": 200,
    "held_out": 0.0,
    "optimisation": {"epochs": 5000, "batch": 800, "lr": 1e-3, "clip": 100.0},
}

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "cpu": {
        **_CPU,
        "model": {
            "name": "hgvae",
            "arguments": {"level_features": [64, 64, 64, 128], "width": 128},
        },
    },
    "cpu/motion-vae": {
        **_CPU,
        "model": {
            "name": "motion-vae",
            "arguments": {"hidden": [512, 256, 128, 64, 50]},
        },
    },
    "cpu/hm-vae": {
        **_CPU,
        "model": {"name": "hm-vae", "arguments": {"features": 96, "latent": 64}},
        "kl_weight": 0.003,
        "kl_start": 1.0,
    },
    "paper": {**_PAPER, "model": {"name": "hgvae"}},
    "paper/motion-vae": {
        **_PAPER,
        "model": {"name": "motion-vae"},
        "optimisation": {**_PAPER["optimisation"], "epochs": 200},
    },
    "paper/hm-vae": {**_PAPER, "model": {"name": "hm-vae"}, "kl_weight": 0.003, "kl_start": 1.0},
}


class MotionPriorConfig(BaseModel, frozen=True, extra="forbid"):
    """Which network is trained.

    Attributes:
        name: ``hgvae`` (the paper's), or for comparison ``motion-vae`` or ``hm-vae``.
        arguments: Further arguments of its constructor, e.g. the sizes of its levels.
    """

    name: Annotated[str, AfterValidator(partial(known, choices=MOTION_PRIORS))] = "hgvae"
    arguments: dict[str, Any] = {}


class TrainHgvaeConfig(LessonsConfig, frozen=True, extra="forbid"):
    """How a model of motion is trained.

    Attributes:
        model: The network.
        kl_weight: Weight of the divergence of the posterior from the prior, after the warm-up.
        kl_start: Share of it that the first update has; the share rises linearly to 1.
        kl_warmup: Updates over which it rises.
        kl_warmup_epochs: The same in passes over the training windows, in place of `kl_warmup`.
        evaluate_every: Updates per look at what is held out.
    """

    model: MotionPriorConfig = MotionPriorConfig()
    kl_weight: NonNegativeFloat = 1.0
    kl_start: float = Field(default=1.0, ge=0.0, le=1.0)
    kl_warmup: NonNegativeInt = 0
    kl_warmup_epochs: NonNegativeFloat | None = None
    evaluate_every: PositiveInt = 500

    def kl_at(self, step: int, *, samples: int) -> float:
        """The weight of the divergence in update `step` (from 0), with so many samples an epoch."""
        rising = self.kl_warmup
        if self.kl_warmup_epochs is not None:
            rising = math.ceil(self.kl_warmup_epochs * samples / self.optimisation.batch)
        share = min(1.0, step / rising) if rising else 1.0
        return self.kl_weight * (self.kl_start + (1 - self.kl_start) * share)


def run(
    config: TrainHgvaeConfig,
    *,
    resume: bool = False,
    force: bool = False,
    dry_run: bool = False,
    device: str = "auto",
    progress: Progress = silent,
) -> TrainReport:
    """Train a model of motion into a run directory.

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
    way = lessons(config)
    plan: Plan[Any] = Plan(
        what="hgvae",
        prepare=way.prepare,
        stand_in=way.stand_in,
        samples=way.samples,
        check=way.check,
        network=partial(_network, config, way),
        batches=partial(_batches, config, way),
        loss=lambda material: EvidenceLoss(),
        meta={
            "conditional": config.conditional,
            "kl_weight": config.kl_weight,
        },
        evaluate=partial(examiner, way, kl_weight=config.kl_weight, seed=config.seed),
        evaluate_every=config.evaluate_every,
        conclude=_conclude,
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


def _network(config: TrainHgvaeConfig, way: Lessons, material: Any) -> tuple[str, dict[str, Any]]:
    sizes = way.sizes(material)
    if config.model.name == "hm-vae" and "groups" not in config.model.arguments:
        if config.conditional:
            raise UsageError(
                "model.name=hm-vae: expected windows to learn from, got conditional=true; choose "
                "hgvae or motion-vae, or set model.arguments.groups to lists of image rows"
            )
        sizes["groups"] = [list(group) for group in body_groups(material.layout)]
    return config.model.name, {**sizes, **config.model.arguments}


def _batches(config: TrainHgvaeConfig, way: Lessons, material: Any, batch: int) -> Batches:
    """From the number of an update to the arguments of `EvidenceLoss`."""
    taught, samples = way.taught(material, batch), way.samples(material.clips)
    entries = _noise_entries(*_network(config, way, material))

    def batches(step: int) -> tuple[Tensor, ...]:
        windows, labels = taught(step)
        noise = torch.randn(
            batch, entries, generator=generator(config.seed, Stream.TRAIN_NOISE, step)
        )
        weight = torch.full((batch,), config.kl_at(step, samples=samples))
        return (*windows, labels, noise, weight)

    return batches


def _noise_entries(kind: str, arguments: Mapping[str, Any]) -> int:
    """Entries of the noise of one sample, asked of a network without weights."""
    with torch.device("meta"):
        shape: tuple[int] = build(kind, arguments).noise_shape  # type: ignore[assignment]
    return shape[0]


@dataclass(frozen=True)
class EvidenceLoss:
    """The negative evidence bound, eq. 1 with the divergence weighted, averaged over samples."""

    def __call__(  # noqa: PLR0913  # the tensors of a batch
        self,
        network: Callable[..., Tensor],
        x: Tensor,
        known: Tensor,
        seen: Tensor,
        shown: Tensor,
        labels: Tensor,
        noise: Tensor,
        weight: Tensor,
        /,
    ) -> dict[str, Tensor]:
        """The loss and its terms, nats per sample.

        Args:
            network: See `skelaug.models.MOTION_PRIORS`.
            x: Windows, N nodes T.
            known: What counts in the likelihood, N nodes T.
            seen: What the encoder is shown, N nodes T.
            shown: What it is shown, N nodes T.
            labels: N.
            noise: Of all levels, N S.
            weight: Of the divergence, N.
        """
        terms = network(x, seen, known, labels, noise, shown)
        likelihood, divergence = terms[:, 0], terms[:, 1:].sum(dim=1)
        return {
            "loss": (weight * divergence - likelihood).mean(),
            "log_likelihood": likelihood.mean(),
            "divergence": divergence.mean(),
        }


def _conclude(material: Any, directory: RunDirectory, progress: Progress) -> dict[str, Any]:
    """Of windows how typical the training clips are, of images what tells their copies."""
    if isinstance(material, TrainingImages):
        return write_sketch(material, directory, progress)
    typicality = training_typicality(material, directory.model, progress)
    checkpoint = load_checkpoint(directory.model)
    meta = {**checkpoint.meta, "typicality": typicality}
    save_checkpoint(directory.model, replace(checkpoint, meta=meta))
    return {"typicality": typicality}
