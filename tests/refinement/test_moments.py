"""Moments against numpy and scipy on all frames at once, whatever the order and the chunks."""

from __future__ import annotations

import operator
from functools import reduce

import numpy as np
import pytest
import torch
from scipy import stats

from skelaug.errors import DataError
from skelaug.refinement.moments import Moments, condition_rows, normality, pose_rows

ROOT = 1  # of the clips of `known`


def skewed(offset: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Errors and poses that are far from Gaussian and from 0."""
    numbers = np.random.default_rng(0)
    errors, poses = offset + numbers.gamma(2.0, size=(6, 40, 3, 3)), numbers.random((6, 40, 3, 3))
    errors[:, :, 2], poses[:, :, 2] = 0, 0
    return torch.from_numpy(errors), torch.from_numpy(poses)


def numbers_of(moments: Moments) -> list[torch.Tensor]:
    parts = [moments.third, moments.fourth]
    for co in (moments.frame, moments.step):
        parts += [torch.tensor(float(co.count)), co.mean_x, co.mean_y, co.scatter]
    return parts


def test_rows_leave_out_the_root_alone() -> None:
    poses = torch.arange(2 * 3 * 4 * 3.0).view(2, 3, 4, 3)
    assert torch.equal(pose_rows(poses, 1)[1, 2], poses[1, 2, [0, 2, 3]].flatten())
    keypoints = torch.arange(2 * 3 * 4 * 2.0).view(2, 3, 4, 2)
    both = condition_rows(poses, keypoints, 1)
    assert both.shape == (2, 3, 8 + 9)
    assert torch.equal(
        both[0, 1], torch.cat([keypoints[0, 1].flatten(), poses[0, 1, [0, 2, 3]].flatten()])
    )


def test_the_covariances_are_those_of_numpy(known) -> None:
    moments = Moments.of(known.errors, known.poses, known.keypoints, root=ROOT)
    rows = np.concatenate(
        [pose_rows(known.errors, ROOT), condition_rows(known.poses, known.keypoints, ROOT)], axis=-1
    )
    flat = rows.reshape(-1, rows.shape[-1])
    assert moments.count == len(flat) == 400 * 50
    assert moments.sizes == (9, 17)
    np.testing.assert_allclose(moments.frame.mean_x, flat.mean(0), rtol=0, atol=1e-12)
    np.testing.assert_allclose(
        moments.frame.covariance, np.cov(flat.T, ddof=0), rtol=1e-10, atol=1e-12
    )
    now, after = (part.reshape(-1, rows.shape[-1]) for part in (rows[:, :-1], rows[:, 1:]))
    lagged = np.cov(now.T, after.T, ddof=0)[: rows.shape[-1], rows.shape[-1] :]
    np.testing.assert_allclose(moments.step.covariance, lagged, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_moments_depend_on_neither_order_nor_chunks(offset: float) -> None:
    errors, poses = skewed(offset)
    whole = Moments.of(errors, poses, root=2)
    one_by_one = [Moments.of(errors[i : i + 1], poses[i : i + 1], root=2) for i in range(6)]
    mixed = [one_by_one[i] for i in (3, 0, 5)], [one_by_one[i] for i in (1, 4, 2)]
    chunks = [Moments.of(errors[a:b], poses[a:b], root=2) for a, b in ((0, 0), (0, 4), (4, 6))]
    for parts in (
        one_by_one,
        one_by_one[::-1],
        [reduce(operator.add, half) for half in mixed],
        chunks,
    ):
        for got, wanted in zip(
            numbers_of(reduce(operator.add, parts)), numbers_of(whole), strict=True
        ):
            torch.testing.assert_close(got, wanted, rtol=1e-9, atol=1e-9 * (1 + offset))


@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_skewness_and_kurtosis_are_those_of_scipy(offset: float) -> None:
    errors, poses = skewed(offset)
    parts = [Moments.of(errors[i : i + n], poses[i : i + n], root=2) for i, n in ((0, 1), (1, 5))]
    found = normality(parts[0] + parts[1])
    flat = errors[:, :, :2].reshape(-1, 6).numpy()
    np.testing.assert_allclose(found.skewness[:2].flatten(), stats.skew(flat), rtol=1e-7)
    np.testing.assert_allclose(found.excess_kurtosis[:2].flatten(), stats.kurtosis(flat), rtol=1e-6)
    assert bool(found.skewness[2].isnan().all())


def test_the_errors_of_a_gaussian_are_found_to_be_one(known) -> None:
    found = normality(Moments.of(known.errors, known.poses, root=ROOT))
    # standard errors are sqrt(6 / n) and sqrt(24 / n); correlated frames count as fewer
    frames = 400 * 50 / 4
    assert float(found.skewness.nan_to_num().abs().max()) < 5 * (6 / frames) ** 0.5
    assert float(found.excess_kurtosis.nan_to_num().abs().max()) < 5 * (24 / frames) ** 0.5


def test_many_frames_add_up_too(known) -> None:
    """40,000 each: the fifth power of that is beyond the integers of a tensor."""
    part = Moments.of(known.errors, known.poses, root=ROOT)
    twice = reduce(operator.add, [part] * 4)
    found = normality(twice + twice)
    for got, wanted in zip(found, normality(part), strict=True):
        torch.testing.assert_close(got, wanted, equal_nan=True)


def test_a_frame_with_a_gap_is_left_out_and_breaks_the_step_over_it(known) -> None:
    errors, keypoints = known.errors[:2].clone(), known.keypoints[:2].clone()
    keypoints[0, 10, 3] = float("nan")
    found = Moments.of(errors, known.poses[:2], keypoints, root=ROOT)
    assert (found.count, found.step.count) == (99, 96)
    apart = [
        Moments.of(*(x[i : i + 1, a:b] for x in (errors, known.poses, keypoints)), root=ROOT)
        for i, a, b in ((0, 0, 10), (0, 11, 50), (1, 0, 50))
    ]
    for got, wanted in zip(numbers_of(found), numbers_of(reduce(operator.add, apart)), strict=True):
        torch.testing.assert_close(got, wanted)


def test_what_does_not_belong_together_is_refused(known) -> None:
    parts = known.errors[:1], known.poses[:1]
    with pytest.raises(ValueError, match="errors: expected joint 2, the root, at 0"):
        Moments.of(*parts, root=2)
    with pytest.raises(ValueError, match="keypoints: expected N T V C with N = 1"):
        Moments.of(*parts, known.keypoints, root=ROOT)
    with pytest.raises(ValueError, match="moments: expected those of"):
        Moments.of(*parts, root=ROOT) + Moments.of(*parts, known.keypoints[:1], root=ROOT)
    with pytest.raises(DataError, match="normality: expected frames"):
        normality(Moments.of(*(x[:, :0] for x in parts), root=ROOT))
