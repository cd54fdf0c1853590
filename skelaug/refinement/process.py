"""Diffusion from clean poses to noisy ones and back (Yan et al., D3PRefiner, sec. III-C).

The noise at the end of the process is not white: it is eps = x0 + e, a pose with an error (Eq. 4).
So x_t is a mixture of pose and error, and a network that finds the error undoes it::

    x_t = sqrt(abar_t) x0 + sqrt(1 - abar_t) eps = c_t x0 + s_t e      Eq. 3 and 4
    s_t = sqrt(1 - abar_t),  c_t = sqrt(abar_t) + s_t

Eq. 7 of the paper prints (1 - abar) in place of its root, and Eq. 8 x0 + eps in place of x0 + e;
both contradict Eq. 3 and 9, which hold here. c_t reaches sqrt 2: x_t is larger than a pose.
Steps count from 0 (clean) to T (noisy). Letters: n samples, t frames, v joints.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor

from skelaug.diffusion.schedule import cosine_schedule, like
from skelaug.shapes import check_shape

__all__ = [
    "ErrorPredictor",
    "ErrorProcess",
    "cosine_process",
    "flip_averaged",
    "flipped",
    "in_metres",
    "refined",
]


class ErrorPredictor(Protocol):
    """Finds the error in poses that are on their way from clean to noisy."""

    def __call__(self, x: Tensor, step: Tensor, keypoints: Tensor | None = None, /) -> Tensor:
        """The error e, N T V 3, of x (x_t, N T V 3), at steps N, with 2D poses N T V 2 or none."""
        ...


@dataclass(frozen=True, eq=False)
class ErrorProcess:
    """T steps from a clean pose to a noisy one.

    Attributes:
        alpha_bars: abar_0 = 1 to abar_T, falling, T + 1, float64.
    """

    alpha_bars: Tensor

    def __post_init__(self) -> None:
        check_shape(self.alpha_bars, "steps", what="alpha_bars")
        if (
            len(self.alpha_bars) < 2
            or self.alpha_bars[0] != 1
            or (self.alpha_bars.diff() >= 0).any()
        ):
            raise ValueError(
                f"alpha_bars: expected falling ones from 1, got {self.alpha_bars.tolist()}"
            )

    @property
    def steps(self) -> int:
        """T."""
        return len(self.alpha_bars) - 1

    def error_weight(self, step: Tensor | int) -> Tensor:
        """s_t = sqrt(1 - abar_t) of steps 0 to T, float64."""
        return (1 - self._alpha_bar(step)).sqrt()

    def clean_weight(self, step: Tensor | int) -> Tensor:
        """c_t = sqrt(abar_t) + s_t of steps 0 to T, float64."""
        return self._alpha_bar(step).sqrt() + self.error_weight(step)

    def _alpha_bar(self, step: Tensor | int) -> Tensor:
        table = self.alpha_bars if isinstance(step, int) else self.alpha_bars.to(step.device)
        return table[step]

    def noised(self, clean: Tensor, error: Tensor, step: Tensor | int) -> Tensor:
        """x_t = c_t x0 + s_t e; `step` is one number or N."""
        return (
            like(self.clean_weight(step), clean) * clean
            + like(self.error_weight(step), error) * error
        )

    def clean(self, x: Tensor, error: Tensor, step: Tensor | int) -> Tensor:
        """The x0 that x_t holds besides an error (Eq. 9, first line)."""
        return (x - like(self.error_weight(step), error) * error) / like(self.clean_weight(step), x)

    def moved(self, x: Tensor, error: Tensor, step: Tensor | int, to: Tensor | int) -> Tensor:
        """The same clean pose and error at another step (Eq. 9, both lines)."""
        return self.noised(self.clean(x, error, step), error, to)

    def path(self, count: int) -> tuple[int, ...]:
        """The steps at which an error is looked for, from T down, and 0 at the end.

        `count` + 1 equal parts of T, rounded down, as D3DP (Shan et al. 2023) takes them.

        Raises:
            ValueError: `count` is not in 1..T.
        """
        if not 1 <= count <= self.steps:
            raise ValueError(f"steps: expected 1 to {self.steps}, got {count}")
        return tuple(self.steps * k // count for k in range(count, -1, -1))


def cosine_process(steps: int = 50, *, ends_noisy: bool = True) -> ErrorProcess:
    """The process with the cosine schedule (Nichol and Dhariwal 2021, eq. 17).

    Args:
        steps: T.
        ends_noisy: Whether abar_T is 0, so that x_T is the noisy pose itself. With the schedule's
            own last value a residue of the scale stays, 0.1 % for T = 50.
    """
    alpha_bars = torch.cat([torch.ones(1, dtype=torch.float64), cosine_schedule(steps).alpha_bars])
    if ends_noisy:
        alpha_bars[-1] = 0
    return ErrorProcess(alpha_bars)


@torch.no_grad()
def refined(
    predict: ErrorPredictor,
    noisy: Tensor,
    keypoints: Tensor | None = None,
    *,
    process: ErrorProcess,
    root: int,
    steps: int = 2,
) -> Tensor:
    """Refined poses N T V 3: deterministic DDIM from the noisy poses as x_T (Eq. 9).

    One step is the residual regressor ``noisy - e`` where abar_T is 0.

    Args:
        predict: Finds errors, in metres.
        noisy: N T V 3, metres, relative to the root.
        keypoints: N T V 2, normalised; None where there are none.
        process: What `predict` was trained with.
        root: Index of the root, in which there is no error: it stays where it is.
        steps: How often the error is looked for, K.

    Raises:
        ValueError: `steps` is not in 1..T.
    """
    check_shape(noisy, "N T V C", what="noisy", C=3)
    x = noisy
    for now, after in pairwise(process.path(steps)):
        error = predict(x, torch.full((len(x),), now, device=x.device), keypoints).clone()
        error[:, :, root] = 0
        x = process.moved(x, error, now, after)
    return x


def in_metres(predict: ErrorPredictor, unit: float) -> ErrorPredictor:
    """Errors in metres of what finds them in units of so many metres."""

    def predicted(x: Tensor, step: Tensor, keypoints: Tensor | None = None, /) -> Tensor:
        return predict(x, step, keypoints) * unit

    return predicted


def flipped(poses: Tensor, mirrored: tuple[int, ...]) -> Tensor:
    """Mirror images of poses ... V C: the first coordinate changes sign, left and right swap.

    Args:
        poses: 3D poses relative to a joint, their errors, or 2D poses about the image's middle.
        mirrored: For each joint that on the other side (``SkeletonLayout.mirrored``).
    """
    sign = torch.ones(poses.shape[-1], dtype=poses.dtype, device=poses.device)
    sign[0] = -1
    return poses[..., list(mirrored), :] * sign


def flip_averaged(predict: ErrorPredictor, mirrored: tuple[int, ...]) -> ErrorPredictor:
    """The mean of the errors found in the poses and in their mirror images."""

    def averaged(x: Tensor, step: Tensor, keypoints: Tensor | None = None, /) -> Tensor:
        turned = None if keypoints is None else flipped(keypoints, mirrored)
        other = flipped(predict(flipped(x, mirrored), step, turned), mirrored)
        return (predict(x, step, keypoints) + other) / 2

    return averaged
