"""The conditional Gaussian against the model that made the data, least squares and its draws."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from skelaug.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from skelaug.errors import DataError
from skelaug.refinement.moments import Moments, condition_rows, pose_rows
from skelaug.refinement.noise_model import NoiseModel, fit_noise_model
from skelaug.skeleton.layouts import get_layout

ROOT = 1  # of the clips of `known`


@pytest.fixture(scope="module")
def fitted(known) -> NoiseModel:
    moments = Moments.of(known.errors, known.poses, known.keypoints, root=ROOT)
    return fit_noise_model(moments, ridge=1e-12, persistent=True)


def standard_normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def test_a_known_linear_gaussian_model_comes_out_again(known, fitted) -> None:
    """Within five standard errors of each coefficient, variance and correlation."""
    frames = 400 * 50 / 2.2  # (1 + rho^2) / (1 - rho^2) frames say as much as one
    rest = known.factor @ known.factor.T
    spread = np.sqrt(np.diag(rest))
    precision = np.linalg.inv(
        np.cov(condition_rows(known.poses, known.keypoints, ROOT).reshape(-1, 17).T)
    )
    error = np.sqrt(np.outer(np.diag(rest), np.diag(precision)) / frames)
    assert (np.abs(fitted.regression.numpy() - known.gain) < 5 * error).all()
    at_centre = fitted.mean_error.numpy() + fitted.regression.numpy() @ (
        known.centre - fitted.mean_condition.numpy()
    )
    assert (np.abs(at_centre - known.mean) < 5 * spread * np.sqrt(4 / frames)).all()
    covariance = (fitted.cholesky @ fitted.cholesky.T).numpy()
    bound = 5 * np.outer(spread, spread) * np.sqrt(2 / frames)
    assert (np.abs(covariance - rest) < bound).all()
    assert fitted.persistence == pytest.approx(known.persistence, abs=5 / np.sqrt(frames))


def test_the_expected_error_is_the_least_squares_fit(known) -> None:
    moments = Moments.of(known.errors, known.poses, known.keypoints, root=ROOT)
    model = fit_noise_model(moments, ridge=1e-14)
    b = condition_rows(known.poses, known.keypoints, ROOT).reshape(-1, 17).numpy()
    a = pose_rows(known.errors, ROOT).reshape(-1, 9).numpy()
    design = np.hstack([b, np.ones((len(b), 1))])
    found, *_ = np.linalg.lstsq(design, a, rcond=None)
    expected = pose_rows(model.expected_error(known.poses, known.keypoints), ROOT)
    np.testing.assert_allclose(expected.reshape(-1, 9), design @ found, rtol=0, atol=1e-9)
    residuals = np.cov((a - design @ found).T, ddof=0)
    np.testing.assert_allclose(model.cholesky @ model.cholesky.T, residuals, rtol=0, atol=1e-9)


def test_without_2d_poses_the_noisy_pose_alone_is_the_condition(known) -> None:
    model = fit_noise_model(Moments.of(known.errors, known.poses, root=ROOT))
    b = pose_rows(known.poses, ROOT).reshape(-1, 9).numpy()
    a = pose_rows(known.errors, ROOT).reshape(-1, 9).numpy()
    cross = np.cov(a.T, b.T, ddof=0)
    gain = cross[:9, 9:] @ np.linalg.inv(cross[9:, 9:])
    np.testing.assert_allclose(model.regression, gain, rtol=0, atol=1e-4)
    assert model.persistence == 0


def test_draws_have_the_covariance_and_the_correlation_of_the_model(known, fitted) -> None:
    poses, keypoints = known.poses[:1, :1], known.keypoints[:1, :1]
    still = poses.expand(500, 40, -1, -1), keypoints.expand(500, 40, -1, -1)
    drawn = fitted.draw(*still, noise=standard_normal(500, 40, fitted.size))
    rest = pose_rows(drawn - fitted.expected_error(*still), ROOT)
    z = torch.linalg.solve(fitted.cholesky, rest.flatten(0, 1).T).T
    rho = fitted.persistence
    frames = 500 * 40 * (1 - rho**2) / (1 + rho**2)
    bound = 5 * (2 / frames) ** 0.5
    torch.testing.assert_close(z.T @ z / len(z), torch.eye(9).double(), rtol=0, atol=bound)
    assert float(z.mean(0).abs().max()) < 5 * ((1 + rho) / (1 - rho) / len(z)) ** 0.5
    steps = z.view(500, 40, 9)
    lagged = (steps[:, 1:] * steps[:, :-1]).mean((0, 1))
    torch.testing.assert_close(lagged, torch.full((9,), rho).double(), rtol=0, atol=bound)
    first = steps[:, 0].square().mean()
    assert float(first) == pytest.approx(1, abs=5 * (2 / 4500) ** 0.5)  # stationary from the start


def test_white_noise_leaves_the_frames_apart(known, fitted) -> None:
    white = replace(fitted, persistence=0.0)
    poses, keypoints, noise = known.poses[:2], known.keypoints[:2], standard_normal(2, 50, 9)
    whole = white.draw(poses, keypoints, noise=noise)
    one = white.draw(poses[1:, 7:8], keypoints[1:, 7:8], noise=noise[1:, 7:8])
    torch.testing.assert_close(whole[1:, 7:8], one, rtol=0, atol=1e-15)
    factor = pose_rows(whole - white.expected_error(poses, keypoints), ROOT)
    torch.testing.assert_close(factor, noise @ white.cholesky.T, rtol=0, atol=1e-12)


def test_a_matrix_says_how_much_longer_one_joint_errs_than_another() -> None:
    """e_t = diag(rho) e_{t-1} + noise: K = L^-1 diag(rho) L, and draws have both covariances."""
    rho = torch.tensor([0.9] * 3 + [0.5] * 3 + [0.0] * 3).double()
    factor = torch.tril(torch.randn(9, 9, generator=torch.Generator().manual_seed(1))).double()
    fresh = factor @ factor.T
    covariance = fresh / (1 - rho[:, None] * rho)  # S = D S D + fresh
    white = standard_normal(400, 90, 9) @ torch.linalg.cholesky(fresh).T
    rows = [white[:, 0]]
    for new in white[:, 1:].unbind(1):
        rows.append(rho * rows[-1] + new)
    errors = torch.stack(rows, dim=1)[:, 40:].reshape(400, 50, 3, 3)
    errors = torch.cat([errors[:, :, :ROOT], 0 * errors[:, :, :1], errors[:, :, ROOT:]], dim=2)
    poses = standard_normal(400, 50, 4 * 3).view(400, 50, 4, 3)
    poses[:, :, ROOT] = 0
    moments = Moments.of(errors, poses, root=ROOT)
    model = fit_noise_model(moments, persistent="matrix", given_pose=False)
    assert model.persistence == 0
    assert not model.regression.any()
    found = model.cholesky @ model.cholesky.T
    scale = covariance.diagonal().sqrt()
    bound = 0.08 * torch.outer(scale, scale)
    assert bool(((found - covariance).abs() < bound).all())
    lagged = model.cholesky @ model.transition @ model.cholesky.T
    assert bool(((lagged - torch.diag(rho) @ covariance).abs() < bound).all())
    still = torch.zeros(400, 50, 4, 3).double()
    drawn = pose_rows(model.draw(still, noise=standard_normal(400, 50, 9)), ROOT)
    drawn = drawn - model.mean_error
    for lag, wanted in ((0, found), (1, lagged)):
        later, earlier = (x.reshape(-1, 9) for x in (drawn[:, lag:], drawn[:, : 50 - lag]))
        assert bool(((later.T @ earlier / len(later) - wanted).abs() < bound).all())


def test_the_root_has_no_error(known, fitted) -> None:
    poses, keypoints = known.poses[:3].float(), known.keypoints[:3].float()
    drawn = fitted.draw(poses, keypoints, noise=standard_normal(3, 50, 9).float())
    expected = fitted.expected_error(poses, keypoints)
    for errors in (drawn, expected):
        assert errors.dtype == torch.float32
        assert errors.shape == poses.shape
        assert not errors[:, :, ROOT].any()
        assert bool((errors[:, :, [0, 2, 3]] != 0).all())


def test_taking_off_the_expected_error_is_the_best_a_linear_map_can_do(known, fitted) -> None:
    left = known.errors - fitted.expected_error(known.poses, known.keypoints)
    rest = np.trace(known.factor @ known.factor.T)
    assert float(left.square().sum((2, 3)).mean()) == pytest.approx(rest, rel=0.05)
    assert float(known.errors.square().sum((2, 3)).mean()) > 2 * rest


@pytest.mark.parametrize("persistent", [True, "matrix"])
def test_a_checkpoint_keeps_the_model_to_the_last_bit(known, persistent, tmp_path) -> None:
    moments = Moments.of(known.errors, known.poses, known.keypoints, root=ROOT)
    fitted = fit_noise_model(moments, persistent=persistent)
    path = tmp_path / "model.safetensors"
    header = {"noise": fitted.to_json()}
    layout = get_layout("kinect_20")
    save_checkpoint(path, Checkpoint("x", {}, fitted.to_tensors(), layout, (), header))
    read = load_checkpoint(path)
    again = NoiseModel.from_parts(read.weights, read.meta["noise"])
    assert again.to_json() == fitted.to_json()
    for name, tensor in fitted.to_tensors().items():
        assert torch.equal(again.to_tensors()[name], tensor)
    json.dumps(fitted.to_json())


def test_a_damaged_model_is_refused(fitted) -> None:
    tensors, data = fitted.to_tensors(), fitted.to_json()
    for parts in (
        ({**tensors, "cholesky": torch.eye(3)}, data),
        ({}, data),
        (tensors, {}),
        (tensors, {**data, "persistence": 1.5}),
        (tensors, {**data, "with_keypoints": False}),
        ({**tensors, "transition": torch.eye(3)}, data),
    ):
        with pytest.raises(DataError, match="noise model: expected its tensors and sizes"):
            NoiseModel.from_parts(*parts)


def test_what_no_model_can_be_fitted_to_is_refused(known) -> None:
    few = Moments.of(known.errors[:1, :18], known.poses[:1, :18], root=ROOT)
    with pytest.raises(DataError, match="more frames than the 18 numbers of a frame, got 18"):
        fit_noise_model(few)
    none = Moments.of(torch.zeros_like(known.errors), known.poses, root=ROOT)
    with pytest.raises(DataError, match="expected errors that vary, got the same in all 20000"):
        fit_noise_model(none)


def test_poses_of_other_sizes_are_refused_by_name(known, fitted) -> None:
    poses, keypoints = known.poses[:1], known.keypoints[:1]
    with pytest.raises(ValueError, match="keypoints: expected some, got none"):
        fitted.expected_error(poses)
    with pytest.raises(ValueError, match="poses: expected N T V C with V = 4"):
        fitted.expected_error(poses[:, :, :3], keypoints)
    with pytest.raises(ValueError, match="keypoints: expected N T V C with"):
        fitted.expected_error(poses, keypoints[:, :4])
    with pytest.raises(ValueError, match="noise: expected N T a with"):
        fitted.draw(poses, keypoints, noise=standard_normal(1, 50, 12))


def test_a_single_frame_per_clip_shows_no_correlation(known) -> None:
    frames = (x.flatten(0, 1)[:, None] for x in (known.errors[:9], known.poses[:9]))
    assert fit_noise_model(Moments.of(*frames, root=ROOT), persistent=True).persistence == 0


def test_a_condition_that_says_the_same_twice_changes_nothing(known) -> None:
    """The ridge makes a singular S_bb harmless: 2D poses that repeat a part of the 3D poses."""
    keypoints = known.poses[..., :2].contiguous()  # the root's are always 0
    alone = fit_noise_model(Moments.of(known.errors, known.poses, root=ROOT))
    twice = fit_noise_model(Moments.of(known.errors, known.poses, keypoints, root=ROOT))
    one = alone.expected_error(known.poses)
    torch.testing.assert_close(twice.expected_error(known.poses, keypoints), one, rtol=0, atol=1e-4)


def test_the_moments_of_clean_poses_make_noisy_poses_of_others(known) -> None:
    """e | x0 in place of e | x: the noisy poses that it draws have the moments of the real ones."""
    clean = known.poses - known.errors
    model = fit_noise_model(Moments.of(known.errors, clean, root=ROOT))
    drawn = clean + model.draw(clean, noise=standard_normal(400, 50, 9))
    found, wanted = (pose_rows(x, ROOT).flatten(0, 1).T.cov() for x in (drawn, known.poses))
    spread = wanted.diagonal().sqrt()
    bound = 5 * torch.outer(spread, spread) * (2 / (400 * 50 / 2.2)) ** 0.5
    assert bool(((found - wanted).abs() < bound).all())
