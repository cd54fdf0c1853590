"""What a refiner's frame estimate learns before the network does: errors of single frames.

Windows hold frames that are much alike, and errors that last. Frames drawn one by one from many
windows teach a map of one frame many times faster.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from pydantic import BaseModel, Field, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor

from skelaug.learner import Batches
from skelaug.models.frame_estimate import FrameEstimate
from skelaug.models.pose_losses import joint_distance
from skelaug.optimisation import batch_indices
from skelaug.progress import Progress, silent
from skelaug.refinement.linear_estimate import linear_estimates
from skelaug.refinement.process import ErrorProcess
from skelaug.seeds import Stream, generator

__all__ = ["FrameEstimateConfig", "FrameLessons", "fitted_frame_estimate"]

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


@dataclass(frozen=True)
class FrameLessons:
    """What frames are drawn from.

    Attributes:
        windows: Batches of x_t, t, e in units, and y where there is a condition.
        process: What made x_t.
        unit: Metres per unit.
        last_only: Whether only the last step of the process is ever asked for.
    """

    windows: Batches
    process: ErrorProcess
    unit: float
    last_only: bool = False

    def frames(self, count: int) -> tuple[Tensor, Tensor, Tensor | None]:
        """Clean poses, errors in metres and conditions of at least that many frames, F V C."""
        clean: list[Tensor] = []
        errors: list[Tensor] = []
        seen: list[Tensor] = []
        while sum(len(part) for part in clean) < count:
            x, t, error, *keypoints = self.windows(len(clean))
            errors.append((error * self.unit).flatten(0, 1))
            clean.append(self.process.clean(x, error * self.unit, t).flatten(0, 1))
            seen += [y.flatten(0, 1) for y in keypoints]
        return torch.cat(clean), torch.cat(errors), torch.cat(seen) if seen else None


def fitted_frame_estimate(
    config: FrameEstimateConfig,
    estimate: FrameEstimate,
    lessons: FrameLessons,
    *,
    seed: int,
    progress: Progress = silent,
) -> None:
    """Fit the linear part in closed form, then train the perceptron on what it leaves.

    Args:
        config: How long.
        estimate: What is fitted; its answer is in units.
        lessons: Where frames come from.
        seed: Decides the frames of each update.
        progress: Shows the updates.
    """
    process, unit = lessons.process, lessons.unit
    clean, error, keypoints = lessons.frames(config.frames)
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
    with progress("learning from frames", total=config.updates) as advance:
        for update in range(config.updates):
            numbers = generator(seed, Stream.TRAIN_NOISE, update)
            chosen = batch_indices(seed, update, batch=config.batch, count=len(clean))
            x0, e, *y = (
                part[chosen].view(_STEPS_AT_ONCE, -1, *part.shape[1:])
                for part in (clean, error, *([] if keypoints is None else [keypoints]))
            )
            t = torch.randint(1, process.steps + 1, (_STEPS_AT_ONCE,), generator=numbers)
            if lessons.last_only:
                t = torch.full_like(t, process.steps)
            answer = estimate(process.noised(x0, e, t), t, *y)
            loss = joint_distance(answer, e / unit).mean()
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            rates.step()
            advance(1)
