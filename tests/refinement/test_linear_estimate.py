"""The linear estimate of the error: a regression at every step, from one set of frames."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from skelaug.refinement.linear_estimate import linear_estimates
from skelaug.refinement.process import cosine_process
from skelaug.seeds import generator

FRAMES, JOINTS = 400, 3


def _frames(*, keypoints: bool = True) -> list[torch.Tensor]:
    """Errors that follow from pose and 2D pose but for some noise; the root is 0."""
    numbers = generator(0, 0)
    y = torch.randn(FRAMES, JOINTS, 2, generator=numbers, dtype=torch.float64)
    clean = torch.randn(FRAMES, JOINTS, 3, generator=numbers, dtype=torch.float64)
    clean[..., :2] += y
    error = 0.3 * clean.roll(1, dims=1) - 0.2 * clean + 0.1
    error += 0.05 * torch.randn(error.shape, generator=numbers, dtype=torch.float64)
    clean[:, 0] = error[:, 0] = 0
    return [error, clean, *([y] if keypoints else [])]


@pytest.mark.parametrize("keypoints", [True, False])
@pytest.mark.parametrize("step", [0, 1, 25, 50])
def test_it_is_the_least_squares_map_of_that_steps_poses(keypoints: bool, step: int) -> None:
    error, clean, *y = _frames(keypoints=keypoints)
    process = cosine_process(50)
    found = linear_estimates(error, clean, y[0] if y else None, process, ridge=1e-12)
    told = torch.cat([process.noised(clean, error, step).flatten(1), *(k.flatten(1) for k in y)], 1)
    ones = np.ones((FRAMES, 1))
    expected = np.linalg.lstsq(
        np.hstack([told.numpy(), ones]), error.flatten(1).numpy(), rcond=1e-9
    )[0]
    answer = told @ found.weight[step].T + found.bias[step]
    np.testing.assert_allclose(
        answer.numpy(), np.hstack([told.numpy(), ones]) @ expected, atol=1e-6
    )


def test_the_root_has_no_error() -> None:
    error, clean, y = _frames()
    found = linear_estimates(error, clean, y, cosine_process(50))
    assert not found.weight[:, :3].any()
    assert not found.bias[:, :3].any()
