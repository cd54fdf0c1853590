"""Eq. 9 undoes Eq. 3 at every step; DDIM with a perfect predictor ends at the clean pose."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from skelaug.refinement.process import (
    ErrorProcess,
    cosine_process,
    flip_averaged,
    flipped,
    in_metres,
    refined,
)

MIRRORED = (0, 2, 1, 3)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture
def clean() -> Tensor:
    return rooted(normal(3, 5, 4, 3))


@pytest.fixture
def error() -> Tensor:
    return rooted(normal(3, 5, 4, 3, seed=1))


def rooted(poses: Tensor) -> Tensor:
    return poses - poses[:, :, :1]


@pytest.mark.parametrize("ends_noisy", [True, False])
def test_the_clean_pose_comes_back_from_every_step(clean, error, ends_noisy) -> None:
    process = cosine_process(ends_noisy=ends_noisy)
    for step in range(process.steps + 1):
        x = process.noised(clean, error, step)
        torch.testing.assert_close(process.clean(x, error, step), clean, rtol=0, atol=1e-12)
        for to in (0, 1, step // 2, 50):
            there = process.noised(clean, error, to)
            torch.testing.assert_close(process.moved(x, error, step, to), there, rtol=0, atol=1e-12)


def test_a_step_mixes_the_pose_with_the_pose_and_its_error(clean, error) -> None:
    """Eq. 3 with eps = x0 + e, the noise level by the squared cosine."""
    process = cosine_process(50, ends_noisy=False)
    for step in (1, 7, 25, 49):
        at = [math.cos((t / 50 + 0.008) / 1.008 * math.pi / 2) ** 2 for t in (0, step)]
        alpha_bar = at[1] / at[0]
        mixed = math.sqrt(alpha_bar) * clean + math.sqrt(1 - alpha_bar) * (clean + error)
        torch.testing.assert_close(process.noised(clean, error, step), mixed, rtol=0, atol=1e-12)


def test_the_process_begins_at_the_clean_pose_and_ends_at_the_noisy_one(clean, error) -> None:
    process = cosine_process()
    assert torch.equal(process.noised(clean, error, 0), clean)
    assert torch.equal(process.noised(clean, error, 50), clean + error)
    left = cosine_process(ends_noisy=False)
    assert float(left.clean_weight(50)) == pytest.approx(1.00099, abs=1e-5)


def test_in_between_a_pose_is_larger_than_at_the_ends() -> None:
    process = cosine_process(ends_noisy=False)
    published = {1: 1.041, 5: 1.153, 10: 1.266, 20: 1.398, 25: 1.414, 30: 1.396, 40: 1.259}
    for step, weight in published.items():
        assert float(process.clean_weight(step)) == pytest.approx(weight, abs=1e-3)


def test_each_sample_has_a_step_of_its_own(clean, error) -> None:
    process, steps = cosine_process(), torch.tensor([0, 17, 50])
    together = process.noised(clean, error, steps)
    for i, step in enumerate(steps.tolist()):
        assert torch.equal(together[i], process.noised(clean, error, step)[i])
    back = process.moved(together, error, steps, torch.tensor([3, 3, 3]))
    torch.testing.assert_close(back, process.noised(clean, error, 3), rtol=0, atol=1e-12)


def test_the_path_is_that_of_d3dp() -> None:
    process = cosine_process()
    assert process.path(1) == (50, 0)
    assert process.path(2) == (50, 25, 0)
    assert process.path(3) == (50, 33, 16, 0)
    assert process.path(50) == tuple(range(50, -1, -1))
    for wrong in (0, 51):
        with pytest.raises(ValueError, match="steps: expected 1 to 50"):
            process.path(wrong)


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 50])
def test_with_a_perfect_predictor_every_number_of_steps_ends_at_the_clean_pose(
    clean, error, steps
) -> None:
    process, seen = cosine_process(), []

    def perfect(x: Tensor, step: Tensor, keypoints: Tensor | None = None, /) -> Tensor:
        """Eq. 3 solved for the error of the x that it is given."""
        seen.append(int(step[0]))
        assert step.shape == (3,)
        weights = (w(step).view(-1, 1, 1, 1) for w in (process.clean_weight, process.error_weight))
        c, s = weights
        return (x - c * clean) / s

    found = refined(perfect, clean + error, process=process, root=0, steps=steps)
    torch.testing.assert_close(found, clean, rtol=0, atol=1e-12)
    assert tuple(seen) == process.path(steps)[:-1]


def test_one_step_takes_the_predicted_error_off_the_noisy_pose(clean, error) -> None:
    noisy, predicted = clean + error, rooted(normal(3, 5, 4, 3, seed=2))
    found = refined(lambda *_: predicted, noisy, process=cosine_process(), root=0, steps=1)
    assert torch.equal(found, noisy - predicted)


def test_a_predictor_of_one_error_is_believed_at_every_step(clean, error) -> None:
    noisy, predicted = clean + error, rooted(normal(3, 5, 4, 3, seed=2))
    for steps in (2, 5):
        found = refined(lambda *_: predicted, noisy, process=cosine_process(), root=0, steps=steps)
        torch.testing.assert_close(found, noisy - predicted, rtol=0, atol=1e-12)


def test_the_root_stays_at_zero_whatever_is_predicted(clean) -> None:
    predicted = normal(3, 5, 4, 3).float()
    found = refined(lambda *_: predicted, clean.float(), process=cosine_process(), root=0, steps=4)
    assert found.dtype == torch.float32
    assert not found[:, :, 0].any()
    assert bool(predicted[:, :, 0].any())  # what was predicted is not written into


def test_2d_poses_reach_the_predictor_and_errors_are_scaled(clean) -> None:
    keypoints = normal(3, 5, 4, 2)

    def from_2d(x: Tensor, step: Tensor, keypoints: Tensor | None = None, /) -> Tensor:
        assert keypoints is not None
        return torch.cat([keypoints, keypoints[..., :1]], dim=-1)

    found = refined(
        in_metres(from_2d, 0.01), clean, keypoints, process=cosine_process(), root=3, steps=1
    )
    expected = clean - 0.01 * torch.cat([keypoints, keypoints[..., :1]], dim=-1)
    expected[:, :, 3] = clean[:, :, 3]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-15)


def test_a_mirror_image_has_left_for_right_and_is_its_own_inverse() -> None:
    poses = normal(2, 3, 4, 3)
    image = flipped(poses, MIRRORED)
    assert torch.equal(image[:, :, 1], poses[:, :, 2] * torch.tensor([-1.0, 1, 1]))
    assert torch.equal(flipped(image, MIRRORED), poses)
    points = normal(2, 3, 4, 2)
    assert torch.equal(flipped(points, MIRRORED)[:, :, 2], points[:, :, 1] * torch.tensor([-1, 1]))


def test_averaged_over_the_flip_a_predictor_commutes_with_it(clean) -> None:
    weight, from_2d = normal(12, 12), normal(8, 12, seed=3)

    def linear(x: Tensor, step: Tensor, keypoints: Tensor | None = None, /) -> Tensor:
        assert keypoints is not None
        return (x.flatten(2) @ weight + keypoints.flatten(2) @ from_2d).view_as(x)

    step, keypoints = torch.tensor([50, 25, 3]), normal(3, 5, 4, 2, seed=4)
    averaged = flip_averaged(linear, MIRRORED)
    once = averaged(clean, step, keypoints)
    image = averaged(flipped(clean, MIRRORED), step, flipped(keypoints, MIRRORED))
    torch.testing.assert_close(image, flipped(once, MIRRORED), rtol=0, atol=1e-12)
    again = flip_averaged(averaged, MIRRORED)(clean, step, keypoints)
    torch.testing.assert_close(again, once, rtol=0, atol=1e-12)
    assert not torch.allclose(once, linear(clean, step, keypoints))


@pytest.mark.parametrize("wrong", [[1.0], [0.9, 0.5], [1.0, 0.5, 0.6]])
def test_levels_that_do_not_fall_from_one_are_refused(wrong) -> None:
    with pytest.raises(ValueError, match="alpha_bars: expected falling ones from 1"):
        ErrorProcess(torch.tensor(wrong))
