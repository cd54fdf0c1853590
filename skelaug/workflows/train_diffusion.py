"""Train a denoiser of skeleton images: ``skelaug train diffusion``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Annotated, Any, Literal

import torch
from pydantic import AfterValidator, BaseModel, Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from skelaug.diffusion.loss import hybrid_loss, min_snr_weight, simple_loss
from skelaug.diffusion.parameterization import noised, split_output, target_from, x0_from
from skelaug.diffusion.schedule import SCHEDULES, Schedule
from skelaug.diffusion.spectral import Reduction, low_band, spectral_loss, spectral_weights
from skelaug.errors import DataError
from skelaug.image.bones import BoneLengths
from skelaug.models import DENOISERS
from skelaug.progress import Progress, silent
from skelaug.workflows.diffusion_batches import (
    FavourConfig,
    Telling,
    denoising_batches,
    favoured,
)
from skelaug.workflows.generator import Recipe
from skelaug.workflows.training_clips import TrainingClips
from skelaug.workflows.training_images import (
    AugmentConfig,
    ImageTrainingConfig,
    TrainingImages,
    image_material,
    stand_in_images,
)
from skelaug.workflows.training_run import Plan, TrainReport, known, run_plan
from skelaug.workflows.training_sketch import write_sketch

__all__ = [
    "PRESETS",
    "DenoiserConfig",
    "DiffusionConfig",
    "DiffusionLoss",
    "SpectralLossConfig",
    "TrainDiffusionConfig",
    "run",
]

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "cpu": {
        "diffusion": {"bone_weight": 5.0},
        "augment": {"size": 0.05},
        "optimisation": {
            "steps": 3500,
            "max_epochs": 600,
            "batch": 128,
            "lr": 1e-3,
            "warmup": 200,
            "decay_start": 0.6,
            "clip": 1.0,
            "ema_decay": 0.999,
        },
    },
    "paper": {
        "model": {"name": "unet", "dropout": 0.1, "arguments": {"width": 128}},
        "diffusion": {"parameterization": "eps", "learned_variance": True},
        "conditional": False,
        "sampling": {
            "sampler": "ddpm",
            "steps": 1000,
            "spacing": "uniform",
            "quietest": 1.0,
            "label_weight": 1.0,
            "guidance_scale": 1.0,
        },
        "codec": {"rows": 24, "frames": 24},
        "optimisation": {
            "steps": 500_000,
            "batch": 1024,
            "lr": 1e-4,
            "ema_decay": 0.9999,
        },
    },
}


class DenoiserConfig(BaseModel, frozen=True, extra="forbid"):
    """Which network is trained.

    Attributes:
        name: ``frame-transformer`` (made for CPUs) or ``unet`` (the paper's).
        dropout: Dropout inside it; against memorising small sets.
        arguments: Further arguments of its constructor, e.g. width and depth; ``spectral``
            (``attention`` or ``stream``) adds SG-SRM, which turns high frequencies up by class.
    """

    name: Annotated[str, AfterValidator(partial(known, choices=DENOISERS))] = "frame-transformer"
    dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
    arguments: dict[str, Any] = {}


class DiffusionConfig(BaseModel, frozen=True, extra="forbid"):
    """What the network learns to undo.

    Attributes:
        schedule: Noise levels: ``cosine`` or ``linear``.
        steps: Number of levels T.
        parameterization: What the network predicts: ``eps``, ``x0`` or ``v``.
        learned_variance: Also learn the variance of each step, by the hybrid objective.
        vb_weight: Weight of the variational bound in it.
        min_snr_gamma: Cap of the signal-to-noise weight of the loss; None leaves it unweighted.
        bone_weight: Weight of the error of the clean estimate's bone lengths (see `DiffusionLoss`).
    """

    schedule: Literal["cosine", "linear"] = "cosine"
    steps: PositiveInt = 1000
    parameterization: Literal["eps", "x0", "v"] = "v"
    learned_variance: bool = False
    vb_weight: NonNegativeFloat = 1e-3
    min_snr_gamma: PositiveFloat | None = None
    bone_weight: NonNegativeFloat = 0.0


class SpectralLossConfig(BaseModel, frozen=True, extra="forbid"):
    """TASL: the error of the clean estimate, frequency by frequency along the frames.

    Attributes:
        weight: Of the loss; 0 leaves it out.
        gamma: Weight of the high frequencies where there is no noise; it falls with the step.
        share: Of the frequencies that are low.
        reduction: ``mean`` over the elements of an image, or the paper's ``sum``, larger by their
            number (1,440 for 20 rows of 24 frames).
    """

    weight: NonNegativeFloat = 0.0
    gamma: NonNegativeFloat = 1.0
    share: float = Field(default=0.25, gt=0.0, le=1.0)
    reduction: Reduction = "mean"


class TrainDiffusionConfig(ImageTrainingConfig, frozen=True, extra="forbid"):
    """How a diffusion model is trained.

    Attributes:
        model: The network.
        diffusion: The process.
        spectral_loss: The loss of frequencies that is added.
        conditional: Give the network the class; else the label acts through a guide alone.
        label_drop: Share of samples trained without their label, so that a conditional network
            serves as the unconditional one too.
        performers: Give the network the performer where it is known, so that bodies and manners
            can be asked for.
        performer_drop: Share of the samples trained with their label but without their performer;
            samples without their label go without it too.
        favour: Clips that take part more often than others.
        augment: How the images are varied.
        sampling: The recipe that the model recommends to `skelaug synth`. A network that is not
            told the class recommends a strong guide where this has none.
    """

    model: DenoiserConfig = DenoiserConfig()
    diffusion: DiffusionConfig = DiffusionConfig()
    spectral_loss: SpectralLossConfig = SpectralLossConfig()
    sampling: Recipe = Recipe()
    conditional: bool = True
    label_drop: float = Field(default=0.15, ge=0.0, le=1.0)
    performers: bool = False
    performer_drop: float = Field(default=0.15, ge=0.0, le=1.0)
    favour: FavourConfig = FavourConfig()
    augment: AugmentConfig = AugmentConfig()


def run(
    config: TrainDiffusionConfig,
    *,
    resume: bool = False,
    force: bool = False,
    dry_run: bool = False,
    device: str = "auto",
    progress: Progress = silent,
) -> TrainReport:
    """Train a diffusion model into a run directory.

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
    plan = Plan(
        what="diffusion",
        prepare=partial(image_material, config),
        stand_in=lambda clips, count: stand_in_images(clips, config.codec, count=count),
        network=lambda images: _network(config, images),
        check=partial(_check, config),
        batches=lambda images, batch: denoising_batches(
            images,
            _telling(config),
            config.favour,
            config.augment,
            batch=batch,
            levels=config.diffusion.steps,
            seed=config.seed,
        ),
        loss=lambda images: DiffusionLoss(
            config.diffusion,
            conditional=config.conditional,
            bones=BoneLengths(images.codec, images.normalizer),
            spectral=config.spectral_loss,
        ),
        conclude=write_sketch,
        meta={
            "sampling": _sampling(config).model_dump(mode="json"),
            "diffusion": config.diffusion.model_dump(mode="json"),
            "conditional": config.conditional,
            "label_drop": config.label_drop if config.conditional else None,
            "performers": config.performers,
        },
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


def _network(config: TrainDiffusionConfig, images: TrainingImages) -> tuple[str, dict[str, Any]]:
    rows, frames = images.shape[1:]
    arguments = {
        "rows": rows,
        "frames": frames,
        "num_classes": len(images.clips.classes) if config.conditional else 0,
        **({"num_subjects": len(images.clips.subjects)} if config.performers else {}),
        "learned_variance": config.diffusion.learned_variance,
        "dropout": config.model.dropout,
        **config.model.arguments,
    }
    return config.model.name, arguments


def _sampling(config: TrainDiffusionConfig) -> Recipe:
    """The recommended recipe; where only a guide knows the label, one whose guide is heard.

    An independent recognizer found the class asked for in 0 % of the clips without a guide, 10 % at
    scale 10 and shift 1, 50 % at the values below and 37 % at scale 100 and shift 30 (the packaged
    data without labels, 38 classes, 38 to 152 clips).
    """
    if config.conditional or config.sampling.guidance_scale:
        return config.sampling
    return config.sampling.model_copy(update={"guidance_scale": 30.0, "guidance_max_shift": 5.0})


def _telling(config: TrainDiffusionConfig) -> Telling:
    """Without labels there is none to drop, and no performer with it."""
    label_drop = config.label_drop if config.conditional else 0.0
    return Telling(label_drop, config.performers, config.performer_drop)


def _check(config: TrainDiffusionConfig, clips: TrainingClips) -> list[str]:
    """That the network has what it is to be told."""
    where = clips.file.path
    if config.conditional and not (clips.labels >= 0).any():
        raise DataError(
            f"{where}: expected training clips with a label, got none; --set conditional=false "
            f"trains without labels"
        )
    if config.performers and not clips.subjects:
        raise DataError(
            f"{where}: expected training clips whose performer is known, got none; leave out "
            f"performers=true"
        )
    if config.favour.rule:
        favoured(clips, config.favour.rule)
    return []


class DiffusionLoss:
    """The objective of a denoiser, averaged over samples.

    Beside the paper's: ``bone_weight alpha_bar mean (|bone(x0 estimate)| - |bone(x0)|)^2``, a
    geometric loss as in Tevet et al. 2023, eq. 3 to 5, faded out where the estimate is a blur; and
    ``weight alpha_bar`` times FDSM's spectral loss (see `skelaug.diffusion.spectral`) along the
    frames. Its paper has no alpha_bar there and needs none: its schedule keeps 0.76 or more of the
    signal, ours next to nothing, by which the estimate from a predicted noise is divided.

    Args:
        config: The process.
        conditional: Whether the network gets the labels.
        bones: Bone lengths of normalised images; without them the config has no bone weight.
        spectral: The spectral loss.
    """

    def __init__(
        self,
        config: DiffusionConfig,
        *,
        conditional: bool,
        bones: BoneLengths | None = None,
        spectral: SpectralLossConfig | None = None,
    ) -> None:
        self.config, self.conditional, self.bones = config, conditional, bones
        self.spectral = spectral or SpectralLossConfig()
        self.schedule = SCHEDULES[config.schedule](config.steps)

    def __call__(
        self,
        network: Callable[..., Tensor],
        x0: Tensor,
        noise: Tensor,
        steps: Tensor,
        labels: Tensor,
        subjects: Tensor | None = None,
        /,
    ) -> dict[str, Tensor]:
        """The loss and its parts.

        Args:
            network: Called as ``network(x, step, labels)``, with the performers last if given.
            x0: Normalised images, N C R F.
            noise: Shaped like them.
            steps: Index of each sample's noise level, N.
            labels: Class of each sample, N; the number of classes = dropped.
            subjects: Performer of each sample, N, likewise; None where they are not told.
        """
        kind, config = self.config.parameterization, self.config
        schedule = self._schedule_on(steps.device)
        alpha_bar = schedule.alpha_bars[steps]
        x = noised(x0, noise, alpha_bar)
        told = (labels if self.conditional else None, *(() if subjects is None else (subjects,)))
        output = network(x, steps.float(), *told)
        prediction = split_output(output)[0] if config.learned_variance else output
        simple = simple_loss(prediction, target_from(x0, noise, alpha_bar, kind=kind))
        terms = {"simple": simple.mean()}
        loss = simple
        if config.min_snr_gamma is not None:
            weight = min_snr_weight(alpha_bar, kind=kind, gamma=config.min_snr_gamma)
            loss = weight.to(simple) * simple
        if config.learned_variance:
            hybrid = hybrid_loss(
                output,
                x0,
                noise,
                step=steps,
                schedule=schedule,
                kind=kind,
                vb_weight=config.vb_weight,
            )
            bound = hybrid - simple
            terms["bound"] = bound.mean()
            loss = loss + bound
        for name, scale, error in self._estimate_errors(
            x0, x0_from(prediction, x, alpha_bar, kind=kind), steps
        ):
            terms[name] = error.mean()
            loss = loss + scale * alpha_bar.to(error) * error
        return {"loss": loss.mean(), **terms}

    def _estimate_errors(
        self, x0: Tensor, estimate: Tensor, steps: Tensor
    ) -> Iterator[tuple[str, float, Tensor]]:
        """What is asked of the clean estimate: name, weight and error N of each term."""
        if self.config.bone_weight and self.bones is not None:
            error = simple_loss(self.bones(estimate), self.bones(x0))
            yield "bones", self.config.bone_weight, error
        if self.spectral.weight:
            length, settings = x0.shape[-1], self.spectral
            weights = spectral_weights(
                length,
                steps,
                steps=self.config.steps,
                gamma=settings.gamma,
                low=low_band(length, settings.share),
            )
            error = spectral_loss(x0, estimate, weights, dim=-1, reduction=settings.reduction)
            yield "spectral", settings.weight, error

    def _schedule_on(self, device: torch.device) -> Schedule:
        """The levels where the samples are, so that looking one up waits for no device."""
        if self.schedule.alpha_bars.device != device:
            tables = ("betas", "alpha_bars", "original")
            moved = {name: getattr(self.schedule, name).to(device) for name in tables}
            self.schedule = Schedule(**moved)
        return self.schedule
