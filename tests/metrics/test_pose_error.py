"""Laws of pose errors, against scipy's own alignment and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation

from skelaug.metrics.pose_error import (
    aligned,
    joint_errors,
    mean_over_actions,
    mpjpe,
    p_mpjpe,
    per_action,
)


def poses(seed: int, frames: int = 5, joints: int = 7) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(frames, joints, 3))


def test_an_error_is_a_distance_in_millimetres_and_the_root_counts() -> None:
    truth = np.zeros((2, 4, 3))
    off = truth.copy()
    off[0, 2] = [0.03, 0, 0.04]
    np.testing.assert_allclose(joint_errors(off, truth, root=0), [[0, 0, 50, 0], [0, 0, 0, 0]])
    np.testing.assert_allclose(mpjpe(off, truth, root=0), [50 / 4, 0])


def test_where_the_body_stands_does_not_matter() -> None:
    a, b = poses(0), poses(1)
    moved = a + np.arange(5)[:, None, None]
    np.testing.assert_allclose(mpjpe(moved, b, root=3), mpjpe(a, b, root=3))
    assert not np.allclose(mpjpe(a, b, root=0), mpjpe(a, b, root=3))


@settings(max_examples=30)
@given(st.integers(0, 2**20), st.floats(0.1, 10))
def test_p_mpjpe_does_not_feel_a_similarity(seed: int, scale: float) -> None:
    a, b = poses(seed), poses(seed + 1)
    turn = Rotation.random(5, random_state=seed).as_matrix()
    similar = scale * np.einsum("fij,fvj->fvi", turn, a) + poses(seed + 2, joints=1)
    np.testing.assert_allclose(p_mpjpe(similar, b), p_mpjpe(a, b), rtol=1e-6)
    np.testing.assert_allclose(p_mpjpe(similar, a), 0, atol=1e-6)


def test_the_alignment_is_the_best_of_all_similarities() -> None:
    x, y = poses(3, frames=1), poses(4, frames=1)

    def off(q: np.ndarray) -> float:
        turned = Rotation.from_rotvec(q[:3]).apply(x[0])
        return float(np.sum((np.exp(q[3]) * turned + q[4:] - y[0]) ** 2))

    starts = np.random.default_rng(0).normal(size=(12, 7))
    best = min(minimize(off, start, tol=1e-12).fun for start in starts)
    assert np.sum((aligned(x, y) - y) ** 2) == pytest.approx(best, rel=1e-6)


def test_a_mirror_image_is_not_taken_for_the_pose() -> None:
    truth = poses(5)
    mirrored = truth * [-1, 1, 1]
    assert (p_mpjpe(mirrored, truth) > 100).all()
    x = mirrored - mirrored.mean(axis=1, keepdims=True)
    y = aligned(mirrored, truth) - truth.mean(axis=1, keepdims=True)
    maps = np.stack([np.linalg.lstsq(a, b, rcond=None)[0] for a, b in zip(x, y, strict=True)])
    assert (np.linalg.det(maps) > 0).all()


def test_p_mpjpe_takes_poses_that_are_a_point_or_a_plane() -> None:
    truth = poses(6)
    middle = np.linalg.norm(truth - truth.mean(axis=1, keepdims=True), axis=-1).mean(axis=-1)
    np.testing.assert_allclose(p_mpjpe(np.ones_like(truth), truth), 1e3 * middle)
    flat = truth * [1, 1, 0]
    np.testing.assert_allclose(p_mpjpe(2 * flat, flat), 0, atol=1e-9)


def test_every_action_counts_alike() -> None:
    by_action = per_action([10, 20, 30, 2], ["walk", "walk", "walk", "box"])
    assert by_action == {"walk": 20, "box": 2}
    assert mean_over_actions(by_action) == 11
    with pytest.raises(ValueError, match="at least one action"):
        mean_over_actions({})


def test_poses_of_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="truth: expected F V C with F = 5, V = 7, C = 3"):
        mpjpe(poses(0), poses(0, joints=6), root=0)
    with pytest.raises(ValueError, match="actions: expected F with F = 2"):
        per_action([1, 2], ["walk"])
