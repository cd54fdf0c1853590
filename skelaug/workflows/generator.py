"""A trained model as a source of skeleton images: sample i depends on its address alone.

Samples are always computed in groups of `GROUP`, each at its own place in its group, and a group
that is not full is filled up. Matrix products of one shape round in one way, so a sample is the
same bit for bit alone, among a thousand, on one process or on eight, and after an interruption.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from skelaug.checkpoint import Checkpoint, load_checkpoint
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
from skelaug.errors import DataError, UsageError
from skelaug.image.codec import ImageCodec
from skelaug.image.normalizer import ImageNormalizer
from skelaug.models import build
from skelaug.optimisation import autocast_dtype
from skelaug.place import one_thread_each
from skelaug.seeds import Stream, generator

__all__ = ["GROUP", "Address", "ImageGenerator", "Recipe"]

GROUP = 64


class Address(NamedTuple):
    """Which sample: its number and, for one drawn again, the attempt."""

    sample: int
    attempt: int = 0


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
        label_weight: Of classifier-free guidance; 1 switches it off, below 1 adds variety.
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

    Raises:
        UsageError: The guide does not fit the model, or a label could not take effect.
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
        self.network = _ready(self.checkpoint, self.device)
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
        self._sampler: Sampler = SAMPLERS[recipe.sampler]
        if recipe.sampler == "ddim":
            self._sampler = partial(sample_ddim, eta=recipe.eta)

    def draw(self, addresses: Sequence[Address], labels: Sequence[int]) -> NDArray[np.float32]:
        """Images of samples, N C R F in the codec's pixel values.

        Args:
            addresses: Which samples; sample i takes place i modulo `GROUP` of a group.
            labels: Class of each, an index into the checkpoint's classes.
        """
        images = np.empty((len(addresses), *self.codec.shape), dtype=np.float32)

        def fill(places: list[int]) -> None:
            filled: dict[int, int] = {addresses[i].sample % GROUP: i for i in places}
            spare = next(iter(filled.values()))
            order = [filled.get(place, spare) for place in range(GROUP)]
            group = self._draw_group(
                [addresses[i] for i in order], torch.tensor([labels[i] for i in order])
            )
            for i in places:
                images[i] = group[addresses[i].sample % GROUP]

        with one_thread_each(self.workers), ThreadPoolExecutor(self.workers) as pool:
            list(pool.map(fill, _groups(addresses)))
        return images

    def _draw_group(self, addresses: Sequence[Address], labels: Tensor) -> NDArray[np.float32]:
        noise = PerSampleNoise(
            [generator(self.seed, Stream.SAMPLE, *address) for address in addresses]
        )
        start = noise(torch.empty(len(addresses), *self.codec.shape, device=self.device))
        denoise = self._denoiser(labels.to(self.device), start)
        drawn = self._sampler(denoise, start, self.alpha_bars, noise_like=noise)
        low, high = self.normalizer.bounds(drawn)
        pixels = self.normalizer.denormalize(drawn.clamp(low, high))
        return np.asarray(pixels.float().cpu().numpy(), dtype=np.float32)

    def _denoiser(self, labels: Tensor, like: Tensor) -> Denoiser:
        low, high = self.normalizer.bounds(like)
        prepared = partial(
            as_denoiser,
            self._forward,
            self.schedule,
            kind=self.settings["parameterization"],
            learned_variance=bool(self.settings["learned_variance"]),
            clamp=lambda x0: x0.clamp(low, high),
        )
        denoise = prepared(labels=labels if self.conditional else None)
        if self.conditional and self.recipe.label_weight != 1:
            denoise = classifier_free(denoise, prepared(labels=None), self.recipe.label_weight)
        return self.guide.applied(denoise, labels) if self.guide else denoise

    def _forward(self, x: Tensor, step: Tensor, labels: Tensor | None) -> Tensor:
        with torch.autocast(self.device.type, dtype=self._dtype, enabled=self._dtype is not None):
            output: Tensor = self.network(x, step, labels)
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
        self.network = _ready(checkpoint, owner.device)
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


def _ready(checkpoint: Checkpoint, device: torch.device) -> nn.Module:
    network = build(checkpoint.kind, checkpoint.arguments)
    try:
        network.load_state_dict(dict(checkpoint.weights))
    except RuntimeError as error:
        raise DataError(
            f"{checkpoint.kind}: the weights do not fit the network of this version of skelaug; "
            f"train the model again"
        ) from error
    return network.to(device).eval().requires_grad_(False)


def _levels(schedule: Schedule, recipe: Recipe) -> Tensor:
    if recipe.steps > len(schedule):
        raise UsageError(
            f"--steps {recipe.steps}: expected 1 to {len(schedule)}, the steps of the model"
        )
    return levels(schedule, recipe.steps, spacing=recipe.spacing, quietest=recipe.quietest)


def _groups(addresses: Sequence[Address]) -> list[list[int]]:
    """Positions of the addresses, in groups whose samples have different places."""
    groups: list[list[int]] = []
    taken: list[set[int]] = []
    for position, address in enumerate(addresses):
        place = address.sample % GROUP
        free = next((g for g, places in enumerate(taken) if place not in places), None)
        if free is None:
            groups.append([])
            taken.append(set())
            free = len(groups) - 1
        groups[free].append(position)
        taken[free].add(place)
    return groups
