"""What a matching network is taught with: the tensors of each update, and their loss."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from skelaug.diffusion.parameterization import noised
from skelaug.diffusion.schedule import scaled_linear_schedule
from skelaug.learner import Batches, Loss
from skelaug.optimisation import batch_indices
from skelaug.seeds import Stream, generator
from skelaug.workflows.zeroshot_config import TrainZeroshotConfig
from skelaug.workflows.zeroshot_material import ZeroShotMaterial
from skelaug.zeroshot.curriculum import Curriculum
from skelaug.zeroshot.losses import FDSMLoss, TDSMLoss
from skelaug.zeroshot.noise_error import Texts
from skelaug.zeroshot.text_prior import around

__all__ = ["lesson_batches", "lesson_loss"]


def lesson_loss(config: TrainZeroshotConfig, own: ZeroShotMaterial) -> Loss:
    """What the matching network is taught by, around the prior if there is one."""
    schedule = scaled_linear_schedule(config.diffusion_steps)
    axis: Literal["channel", "time"] = "channel" if config.mode == "channel" else "time"
    spectral = FDSMLoss(schedule, **config.spectral_loss.model_dump(), axis=axis)
    taught = spectral if config.method == "fdsm" else TDSMLoss(config.margin)

    def loss(network: nn.Module, /, *tensors: Tensor) -> dict[str, Tensor]:
        return taught(around(network, own.prior, schedule), *tensors)

    return loss


def lesson_batches(config: TrainZeroshotConfig, own: ZeroShotMaterial, batch: int) -> Batches:
    """From the number of an update to the tensors of the loss."""
    schedule, taught = scaled_linear_schedule(config.diffusion_steps), own.parts.taught
    z, labels = own.z[taught], torch.from_numpy(own.labels[taught])
    learnt = torch.from_numpy(np.unique(own.labels[taught]))
    steps = config.optimisation.for_clips(len(own.clips.rows)).steps
    curriculum = None if config.curriculum == "blend" else Curriculum(config.curriculum, steps)

    def batches(step: int) -> tuple[Tensor, ...]:
        numbers = generator(config.seed, Stream.TRAIN_NOISE, step)
        rows = torch.from_numpy(batch_indices(config.seed, step, batch=batch, count=len(z)))
        clean, true = z[rows], labels[rows]
        noise = torch.randn(clean.shape, generator=numbers)
        t = torch.randint(len(schedule), (batch,), generator=numbers)
        x = noised(clean, noise, schedule.alpha_bars[t])
        if config.method == "tdsm":  # one text per class, so nothing is drawn
            false = learnt[torch.randint(len(learnt), (batch,), generator=numbers)]
            right, wrong = own.bank.sparse[true], own.bank.sparse[false]
            return x, t, noise, *_tensors_of(right), *_tensors_of(wrong), false != true
        if curriculum is None:
            text = own.bank.blended(true, generator=numbers)
        else:
            is_rich = curriculum.draw(step, batch, generator=numbers)
            text = own.bank.drawn(true, is_rich, generator=numbers)
        return x, t, noise, *_tensors_of(text.trimmed())

    return batches


def _tensors_of(texts: Texts) -> tuple[Tensor, ...]:
    assert texts.gain is not None
    return texts.local, texts.mask, texts.pooled, texts.gain
