"""Losses of lifters and refiners against sums over samples, frames and joints."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from skelaug.models.pose_losses import joint_distance, joint_weights, mixste_loss
from skelaug.seeds import generator
from skelaug.skeleton.layout import SkeletonLayout
from skelaug.skeleton.layouts import LAYOUTS, get_layout

# Zhang et al. 2022, the authors' code for Human3.6M
PUBLISHED = [1, 1, 2.5, 2.5, 1, 2.5, 2.5, 1, 1, 1, 1.5, 1.5, 4, 4, 1.5, 4, 4]


def _poses(stream: int, n: int = 3, t: int = 4) -> Tensor:
    return torch.randn(n, t, 5, 3, generator=generator(1, stream), dtype=torch.float64)


WEIGHTS = torch.tensor([1.0, 2.5, 0.5, 4.0, 1.0], dtype=torch.float64)


def test_joint_distance_is_the_mean_over_frames_and_joints() -> None:
    predicted, target = _poses(0), _poses(1)
    for weights in (None, WEIGHTS):
        for n, found in enumerate(joint_distance(predicted, target, weights=weights)):
            total = sum(
                (1.0 if weights is None else float(weights[v]))
                * math.dist(predicted[n, t, v].tolist(), target[n, t, v].tolist())
                for t in range(4)
                for v in range(5)
            )
            assert float(found) == pytest.approx(total / 20, rel=1e-12)


def test_mixste_loss_is_its_three_terms() -> None:
    predicted, target = _poses(0), _poses(1)
    found = mixste_loss(predicted, target, weights=WEIGHTS)
    for n in range(3):
        position = restless = velocity = 0.0
        for v in range(5):
            weight, mine, true = float(WEIGHTS[v]), predicted[n, :, v], target[n, :, v]
            for t in range(4):
                position += weight * math.dist(mine[t].tolist(), true[t].tolist()) / 20
            for t in range(3):
                moved, truly = mine[t + 1] - mine[t], true[t + 1] - true[t]
                restless += weight * float(moved @ moved) / (15 * 3)
                velocity += math.dist(moved.tolist(), truly.tolist()) / 15
        wanted = position + 0.5 * restless + 2.0 * velocity
        assert float(found[n]) == pytest.approx(wanted, rel=1e-12)


def test_an_offset_costs_its_length_and_no_velocity() -> None:
    still = _poses(0)[:, :1].expand(-1, 4, -1, -1)
    offset = torch.tensor([0.0, 0.03, 0.04], dtype=torch.float64)
    ones = torch.ones(5, dtype=torch.float64)
    loss = mixste_loss(still + offset, still, weights=ones)
    torch.testing.assert_close(loss, torch.full_like(loss, 0.05))


def test_a_joint_that_is_right_has_a_finite_gradient() -> None:
    """The root is always right, and the length of a zero vector has no slope of its own."""
    target = _poses(0)
    predicted = target.clone().requires_grad_()
    mixste_loss(predicted, target, weights=WEIGHTS).sum().backward()
    assert predicted.grad is not None
    assert bool(predicted.grad.isfinite().all())


def test_joints_of_human36m_have_the_published_weights() -> None:
    assert joint_weights(get_layout("h36m_17")).tolist() == PUBLISHED


def test_weights_follow_the_body_whatever_the_order_of_the_joints() -> None:
    layout = get_layout("humaneva_15")
    found = dict(zip(layout.joints, joint_weights(layout).tolist(), strict=True))
    assert found["pelvis"] == found["thorax"] == found["right_hip"] == 1
    assert found["head"] == found["left_shoulder"] == 1.5
    assert found["left_knee"] == found["right_ankle"] == 2.5
    assert found["right_elbow"] == found["left_wrist"] == 4


@pytest.mark.parametrize("name", LAYOUTS)
def test_left_and_right_weigh_the_same(name: str) -> None:
    layout = get_layout(name)
    weights = joint_weights(layout)
    assert torch.equal(weights, weights[list(layout.mirrored)])


def test_joints_of_a_body_without_parts_weigh_the_same() -> None:
    chain = SkeletonLayout(name="chain", joints=("a", "b", "c"), parents=(-1, 0, 1))
    assert joint_weights(chain).tolist() == [1, 1, 1]


def test_shapes_that_differ_are_named() -> None:
    with pytest.raises(ValueError, match="target: expected N T V C with N = 3, T = 4"):
        joint_distance(_poses(0), _poses(1)[:, 1:])
    with pytest.raises(ValueError, match="weights: expected V with V = 5, got 4"):
        joint_distance(_poses(0), _poses(1), weights=WEIGHTS[1:])
    with pytest.raises(ValueError, match="at least 2 frames, got 1"):
        mixste_loss(_poses(0)[:, :1], _poses(1)[:, :1], weights=WEIGHTS)
