"""Lessons of single frames: what they teach, from whatever windows they were drawn."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from skelaug.models.frame_estimate import FrameEstimate
from skelaug.refinement.process import cosine_process
from skelaug.seeds import generator
from skelaug.workflows.frame_lessons import (
    FrameEstimateConfig,
    FrameLessons,
    fitted_frame_estimate,
)

V, UNIT, PROCESS = 4, 0.05, cosine_process(50)


def _errors(clean: Tensor) -> Tensor:
    """No linear map of a pose; the root has none."""
    error = UNIT * torch.sin(4 * clean.roll(1, dims=-1))
    error[..., 0, :] = 0
    return error


def _lessons(step: int) -> tuple[Tensor, ...]:
    numbers = generator(1, step)
    clean = 0.3 * torch.randn(8, 9, V, 3, generator=numbers)
    clean[..., 0, :] = 0
    t = torch.randint(1, 51, (8,), generator=numbers)
    error = _errors(clean)
    return PROCESS.noised(clean, error, t), t, error / UNIT


def _fitted(**settings: int) -> FrameEstimate:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        estimate = FrameEstimate(V, channels=3, steps=50, width=64)
    config = FrameEstimateConfig(frames=4000, batch=64, width=64, **settings)
    fitted_frame_estimate(config, estimate, FrameLessons(_lessons, PROCESS, UNIT), seed=0)
    return estimate


def _left(estimate: FrameEstimate) -> float:
    """Of the size of errors of clips that are no lesson."""
    x, t, error = _lessons(10**6)
    estimate.requires_grad_(False)
    return float((estimate(x, t) - error).norm(dim=-1).mean() / error.norm(dim=-1).mean())


def test_the_perceptron_learns_what_the_linear_estimate_leaves() -> None:
    linear, learned = _left(_fitted(updates=0)), _left(_fitted(updates=400))
    assert linear < 1.0
    assert learned < 0.8 * linear


def test_it_is_the_same_again() -> None:
    estimate, again = _fitted(updates=20), _fitted(updates=20)
    for one, other in zip(estimate.state_dict().values(), again.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_a_batch_that_steps_do_not_divide_is_refused() -> None:
    with pytest.raises(ValidationError, match="multiple of 16"):
        FrameEstimateConfig(batch=100)
