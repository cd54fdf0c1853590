"""What a refiner's frame estimate learns before the network does: errors of single frames.

Windows hold frames that are much alike, and errors that last. Frames drawn one by one from many
windows teach a map of one frame many times faster.
"""

from __future__ import annotations

import torch
from pydantic import BaseModel, Field, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor

from skelaug.learner import Batches
from skelaug.models.frame_estimate import FrameEstimate
from skelaug.models.pose_losses import joint_distance
from skelaug.optimisation import batch_indices
from skelaug.refinement.linear_estimate import linear_estimates
from skelaug.refinement.process import ErrorProcess
from skelaug.seeds import Stream, generator

__all__ = ["FrameEstimateConfig", "fitted_frame_estimate"]

_LEAST_SCALE = 0.02  # metres or normalised units, of coordinates that hardly vary
_STEPS_AT_ONCE = 16  # samples of an update; each has one step and many frames


class FrameEstimateConfig(BaseModel, frozen=True, extra="forbid"):
    """The estimate of the error from one frame that a refiner's network adds to.

    Attributes:
        width: Units of the perceptron's hidden layers; 0 leaves the linear estimate alone.
        updates: Of the perceptron, before the network's.
        batch: Frames of such an update, a multiple of 16.
        lr: Its greatest learning rate; it falls along a cosine.
        frames: Frames with errors that are drawn once for this.
    """

    width: NonNegativeInt = 512
    updates: NonNegativeInt = 3000
    batch: PositiveInt = Field(default=512, multiple_of=_STEPS_AT_ONCE)
    lr: PositiveFloat = 2e-3
    frames: PositiveInt = 300_000


def fitted_frame_estimate(
    config: FrameEstimateConfig,
    estimate: FrameEstimate,
    lessons: Batches,
    process: ErrorProcess,
    *,
    unit: float,
    last_only: bool,
    seed: int,
) -> None:
    """Fit the linear part in closed form, then train the perceptron on what it leaves.

    Afterwards the perceptron is frozen: windows of like frames would unteach it.

    Args:
        config: How long.
        estimate: What is fitted; its answer is in units.
        lessons: Batches of x_t, t, e in units, and y where there are 2D poses.
        process: What made x_t.
        unit: Metres per unit.
        last_only: Whether only the last step of the process is ever asked for.
        seed: Decides the frames of each update.
    """
    clean, error, keypoints = _frames(config.frames, lessons, process, unit)
    found = linear_estimates(error, clean, keypoints, process)
    estimate.weight.copy_(found.weight / unit)
    estimate.bias.copy_(found.bias / unit)
    told = [clean] if keypoints is None else [clean, keypoints]
    rows = torch.cat([part.flatten(1) for part in told], dim=1)
    estimate.mean.copy_(rows.mean(dim=0))
    estimate.scale.copy_(rows.std(dim=0).clamp_min(_LEAST_SCALE))
    if estimate.perceptron is None:
        return
    optimizer = torch.optim.AdamW(estimate.parameters(), lr=config.lr)
    rates = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(config.updates, 1))
    for update in range(config.updates):
        numbers = generator(seed, Stream.TRAIN_NOISE, update)
        chosen = batch_indices(seed, update, batch=config.batch, count=len(clean))
        x0, e, *y = (
            part[chosen].view(_STEPS_AT_ONCE, -1, *part.shape[1:])
            for part in (clean, error, *([] if keypoints is None else [keypoints]))
        )
        t = torch.randint(1, process.steps + 1, (_STEPS_AT_ONCE,), generator=numbers)
        if last_only:
            t = torch.full_like(t, process.steps)
        answer = estimate(process.noised(x0, e, t), t, *y)
        loss = joint_distance(answer, e / unit).mean()
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        rates.step()
    estimate.requires_grad_(False)


def _frames(
    count: int, lessons: Batches, process: ErrorProcess, unit: float
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Clean poses, errors in metres and 2D poses of single frames, F V C."""
    clean: list[Tensor] = []
    errors: list[Tensor] = []
    seen: list[Tensor] = []
    while sum(len(part) for part in clean) < count:
        x, t, error, *keypoints = lessons(len(clean))
        errors.append((error * unit).flatten(0, 1))
        clean.append(process.clean(x, error * unit, t).flatten(0, 1))
        seen += [y.flatten(0, 1) for y in keypoints]
    return torch.cat(clean), torch.cat(errors), torch.cat(seen) if seen else None
