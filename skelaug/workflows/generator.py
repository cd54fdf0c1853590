"""A diffusion model, guided or not, as a source of skeleton images."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from skelaug.checkpoint import load_checkpoint
from skelaug.diffusion.guidance import (
    LogLikelihood,
    classifier_free,
    guided,
    label_log_likelihood,
    noisy_guided,
)
from skelaug.diffusion.parameterization import Denoiser, as_denoiser
from skelaug.diffusion.sampling import SAMPLERS, PerSampleNoise, Sampler, levels, sample_ddim
from skelaug.diffusion.schedule import SCHEDULES, Schedule
from skelaug.errors import UsageError
from skelaug.image.codec import ImageCodec
from skelaug.image.normalizer import ImageNormalizer
from skelaug.optimisation import autocast_dtype
from skelaug.seeds import Stream, generator, numpy_generator
from skelaug.skeleton.sequence import UNKNOWN
from skelaug.workflows.image_source import Address, draw_in_groups, ready_network

__all__ = ["ImageGenerator", "Recipe"]


class Recipe(BaseModel, frozen=True, extra="forbid"):
    """How samples are drawn from a model; a trained model carries the one it recommends.

    Attributes:
        sampler: ``ddpm``, ``ddim``, ``dpm++`` or ``dpm++sde``.
        steps: Denoiser evaluations per sample.
        spacing: Of the noise levels: ``uniform``, ``logsnr`` or ``karras``.
        quietest: Highest alpha_bar from which the last estimate is made; below 1 it is smoother.
        eta: Noise put back by ``ddim``; 0 is deterministic, 1 is ancestral.
        guidance_scale: Weight of the guide; 0 leaves it out.
        guidance_interval: Least and largest alpha_bar at which the guide acts.
        guidance_mode: ``xhat``, ``damped`` or ``exact``: see `skelaug.diffusion.guidance`.
        guidance_max_shift: Bound of the guide's pull, see `guided`; None leaves it unbounded.
        label_weight: Of classifier-free guidance, which drops class and performer together; 1
            switches it off, below 1 adds variety.
        subjects: Performers to imitate, every sample one of them; empty takes all that the model
            knows.
    """

    sampler: Literal["ddpm", "ddim", "dpm++", "dpm++sde"] = "dpm++sde"
    steps: PositiveInt = 12
    spacing: Literal["uniform", "logsnr", "karras"] = "karras"
    quietest: float = Field(default=0.99, gt=0.0, le=1.0)
    eta: float = Field(default=1.0, ge=0.0, le=1.0)
    guidance_scale: NonNegativeFloat = 0.0
    guidance_interval: tuple[float, float] = (0.0, 1.0)
    guidance_mode: Literal["xhat", "damped", "exact"] = "xhat"
    guidance_max_shift: PositiveFloat | None = 1.0
    label_weight: NonNegativeFloat = 0.8
    subjects: tuple[int, ...] = ()


class ImageGenerator:
    """A diffusion model, and a guide if there is one, ready to draw.

    Args:
        diffusion: Checkpoint of the denoiser.
        guide: Checkpoint of the guide, or None.
        recipe: How to draw.
        seed: Root of every random number.
        device: Where to compute.

    Attributes:
        checkpoint: Of the denoiser.
        codec: From its images back to clips.
        workers: Groups that are computed at the same time, each by one thread.
        files: The weights that decide what is drawn.
        sampler: How it draws, in a word.
        steps: Denoiser evaluations per sample.
        guidance_scale: Weight of the guide; 0 = none.
        performers: Whom the samples imitate, each one of them by its own address; empty where the
            model knows no performers.

    Raises:
        UsageError: The guide does not fit the model, or a label or a performer could not take
            effect.
    """

    def __init__(
        self,
        diffusion: Path,
        guide: Path | None,
        recipe: Recipe,
        *,
        seed: int = 0,
        device: torch.device | None = None,
    ) -> None:
        self.device = device or torch.device("cpu")
        self.recipe, self.seed = recipe, seed
        self.checkpoint = load_checkpoint(diffusion, expect="diffusion")
        meta = self.checkpoint.meta
        self.codec = ImageCodec.from_json(json.dumps(meta["codec"]))
        self.normalizer = ImageNormalizer.from_json(meta["normalizer"])
        self.settings: Mapping[str, Any] = meta["diffusion"]
        self.conditional = bool(meta["conditional"])
        self.performers, self._places = _performers(meta, recipe.subjects, where=diffusion)
        self.network = ready_network(self.checkpoint, self.device)
        self.guide = _Guide(guide, self) if guide is not None and recipe.guidance_scale else None
        if not self.conditional and self.guide is None and recipe.guidance_scale:
            raise UsageError(
                f"{diffusion}: an unconditional model needs a guide to follow a label; "
                f"give one with --guide RUN, or --guidance-scale 0 to draw without labels"
            )
        self.workers = torch.get_num_threads() if self.device.type == "cpu" else 1
        self._dtype = autocast_dtype("auto", self.device)
        steps = int(self.settings["steps"])
        self.schedule: Schedule = SCHEDULES[self.settings["schedule"]](steps)
        self.alpha_bars = _levels(self.schedule, recipe)
        self.files = (diffusion,) if guide is None else (diffusion, guide)
        self.sampler, self.steps = recipe.sampler, recipe.steps
        self.guidance_scale = recipe.guidance_scale if self.guide else 0.0
        self._sampler: Sampler = SAMPLERS[recipe.sampler]
        if recipe.sampler == "ddim":
            self._sampler = partial(sample_ddim, eta=recipe.eta)

    def draw(self, addresses: Sequence[Address], labels: Sequence[int]) -> NDArray[np.float32]:
        """Images of samples, N C R F in the codec's pixel values.

        Args:
            addresses: Which samples; sample i takes place i modulo `GROUP` of a group.
            labels: Class of each, an index into the checkpoint's classes.
        """
        return draw_in_groups(
            self._draw_group, addresses, labels, shape=self.codec.shape, workers=self.workers
        )

    def _draw_group(self, addresses: Sequence[Address], labels: Tensor) -> NDArray[np.float32]:
        noise = PerSampleNoise(
            [generator(self.seed, Stream.SAMPLE, *address) for address in addresses]
        )
        start = noise(torch.empty(len(addresses), *self.codec.shape, device=self.device))
        subjects = self._subjects(addresses)
        denoise = self._denoiser(labels.to(self.device), subjects, start)
        drawn = self._sampler(denoise, start, self.alpha_bars, noise_like=noise)
        low, high = self.normalizer.bounds(drawn)
        pixels = self.normalizer.denormalize(drawn.clamp(low, high))
        return np.asarray(pixels.float().cpu().numpy(), dtype=np.float32)

    def performer(self, sample: int) -> int:
        """Number of the performer that a sample imitates, whatever the attempt; -1 = nobody's."""
        return self.performers[self._choice(sample)] if self.performers else UNKNOWN

    def _choice(self, sample: int) -> int:
        numbers = numpy_generator(self.seed, Stream.PERFORMER, sample)
        return int(numbers.integers(len(self.performers)))

    def _subjects(self, addresses: Sequence[Address]) -> Tensor | None:
        """What the network is told of the samples' performers, N."""
        if not self.performers:
            return None
        choices = [self._places[self._choice(address.sample)] for address in addresses]
        return torch.tensor(choices, device=self.device)

    def _denoiser(self, labels: Tensor, subjects: Tensor | None, like: Tensor) -> Denoiser:
        low, high = self.normalizer.bounds(like)

        def told(labels: Tensor | None, subjects: Tensor | None) -> Denoiser:
            return as_denoiser(
                partial(self._forward, subjects=subjects),
                self.schedule,
                labels=labels,
                kind=self.settings["parameterization"],
                learned_variance=bool(self.settings["learned_variance"]),
                clamp=lambda x0: x0.clamp(low, high),
            )

        denoise = told(labels if self.conditional else None, subjects)
        if (self.conditional or subjects is not None) and self.recipe.label_weight != 1:
            denoise = classifier_free(denoise, told(None, None), self.recipe.label_weight)
        return self.guide.applied(denoise, labels) if self.guide else denoise

    def _forward(
        self, x: Tensor, step: Tensor, labels: Tensor | None, *, subjects: Tensor | None
    ) -> Tensor:
        with torch.autocast(self.device.type, dtype=self._dtype, enabled=self._dtype is not None):
            output: Tensor = self.network(x, step, labels, subjects)
        return output.float()


class _Guide:
    """A classifier of images, in its own normalisation, as a shift of a denoiser."""

    def __init__(self, path: Path, owner: ImageGenerator) -> None:
        checkpoint = load_checkpoint(path, expect="guide")
        classes = owner.checkpoint.classes
        missing = [name for name in classes if name not in checkpoint.classes]
        codec = ImageCodec.from_json(json.dumps(checkpoint.meta["codec"]))
        if missing or codec.shape != owner.codec.shape or codec.layout != owner.codec.layout:
            what = f"class {missing[0]!r} is unknown to it" if missing else "its images differ"
            raise UsageError(f"{path}: the guide does not fit the model: {what}; train it on it")
        self.network = ready_network(checkpoint, owner.device)
        self.is_noisy = checkpoint.kind == "noisy-unet"
        self.owner = owner
        self.normalizer = ImageNormalizer.from_json(checkpoint.meta["normalizer"])
        self.ratio = owner.codec.scale / codec.scale
        self.index = torch.tensor([checkpoint.classes.index(name) for name in classes])

    def applied(self, denoise: Denoiser, labels: Tensor) -> Denoiser:
        """The denoiser, pulled towards the labels."""
        recipe, wanted = self.owner.recipe, self.index.to(labels.device)[labels]
        if self.is_noisy:
            return noisy_guided(
                denoise,
                lambda x, step: _log_likelihood(partial(self.network, step=step), wanted)(x),
                self.owner.schedule,
                scale=recipe.guidance_scale,
                interval=recipe.guidance_interval,
                max_shift=recipe.guidance_max_shift,
            )
        return guided(
            denoise,
            _log_likelihood(self._logits, wanted),
            scale=recipe.guidance_scale,
            mode=recipe.guidance_mode,
            interval=recipe.guidance_interval,
            max_shift=recipe.guidance_max_shift,
        )

    def _logits(self, x0: Tensor) -> Tensor:
        pixels = self.owner.normalizer.denormalize(x0) * self.ratio
        logits: Tensor = self.network(self.normalizer.normalize(pixels))
        return logits


def _log_likelihood(network: Callable[[Tensor], Tensor], labels: Tensor) -> LogLikelihood:
    return label_log_likelihood(network, labels)


def _performers(
    meta: Mapping[str, Any], wanted: Sequence[int], *, where: Path
) -> tuple[tuple[int, ...], list[int]]:
    """Whom samples imitate, and what the network calls them: all it knows, or those wanted."""
    known = [int(number) for number in meta["subjects"]] if meta.get("performers") else []
    if wanted and not known:
        raise UsageError(
            f"--subject {wanted[0]}: {where} was not told who performed its clips; leave "
            f"--subject out, or train with --set performers=true"
        )
    absent = [number for number in wanted if number not in known]
    if absent:
        there = ", ".join(map(str, known[:40]))
        raise UsageError(f"--subject {absent[0]}: expected performers of {where}: {there}")
    performers = tuple(dict.fromkeys(wanted)) or tuple(known)
    return performers, [known.index(number) for number in performers]


def _levels(schedule: Schedule, recipe: Recipe) -> Tensor:
    if recipe.steps > len(schedule):
        raise UsageError(
            f"--steps {recipe.steps}: expected 1 to {len(schedule)}, the steps of the model"
        )
    return levels(schedule, recipe.steps, spacing=recipe.spacing, quietest=recipe.quietest)
