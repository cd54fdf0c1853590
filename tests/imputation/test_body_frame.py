"""Body frames: where a body stands, which way it faces, how large it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor

from skelaug.errors import DataError
from skelaug.imputation.body_frame import (
    BodyFrames,
    fit_body_frames,
    reference_pose,
    turned_about_y,
)
from skelaug.skeleton.geometry import bone_lengths, heading_angle, rotate_about_y
from skelaug.skeleton.layout import SkeletonLayout
from skelaug.skeleton.layouts import get_layout


@dataclass
class Standing:
    """A pose that bodies are compared with."""

    layout: SkeletonLayout
    reference: np.ndarray


@pytest.fixture
def windows(make_sequence) -> Tensor:
    clips = [make_sequence(seed=seed, frames=20).positions[:, 0] for seed in range(4)]
    return torch.from_numpy(np.stack(clips)).double()


@pytest.fixture
def form(windows) -> Standing:
    layout = get_layout("kinect_20")
    poses = windows.flatten(0, 1).numpy()
    return Standing(layout, reference_pose(poses, np.ones(poses.shape[:2], bool), layout))


def everything(windows: Tensor) -> Tensor:
    return torch.ones(windows.shape[:3], dtype=torch.bool)


def laid(pose: Tensor, origin: list[float], yaw: float, size: float, frames: int = 5) -> Tensor:
    turned = turned_about_y(pose[None], torch.tensor([yaw], dtype=pose.dtype))
    return (size * turned + torch.tensor(origin, dtype=pose.dtype))[:, None].repeat(1, frames, 1, 1)


def test_a_turn_is_the_turn_of_the_geometry() -> None:
    points = np.random.default_rng(0).normal(size=(6, 3))
    turned = turned_about_y(torch.from_numpy(points)[None], torch.tensor([0.7]).double())
    np.testing.assert_allclose(turned[0].numpy(), rotate_about_y(points, 0.7), atol=1e-12)


@pytest.mark.parametrize("yaw", [-3.1, -1.0, 0.0, 0.4, 2.0])
def test_the_reference_pose_itself_is_found_where_it_was_laid(form, yaw) -> None:
    x = laid(torch.from_numpy(form.reference), [1.0, 2.0, -3.0], yaw, 1.3)
    found = fit_body_frames(x, everything(x), form)
    torch.testing.assert_close(found.origin[0], torch.tensor([1.0, 2.0, -3.0]).double())
    assert float(found.yaw) == pytest.approx(yaw, abs=1e-9)
    assert float(found.size) == pytest.approx(1.3)


@pytest.mark.parametrize("lost", [[0], [0, 1, 2, 3], [4, 5, 6, 7, 12, 13, 14, 15]])
def test_any_part_of_the_pose_is_enough_also_without_the_root(form, lost) -> None:
    x = laid(torch.from_numpy(form.reference), [0.5, 1.0, 2.0], 0.8, 0.9)
    observed = everything(x)
    observed[:, :, lost] = False
    observed[:, 2] = False  # a whole frame
    x[~observed] = torch.nan
    found = fit_body_frames(x, observed, form)
    torch.testing.assert_close(found.origin[0], torch.tensor([0.5, 1.0, 2.0]).double())
    assert float(found.yaw) == pytest.approx(0.8)
    assert float(found.size) == pytest.approx(0.9)


def test_yaw_and_origin_are_the_least_squares_that_a_numerical_search_finds(windows, form) -> None:
    observed = torch.from_numpy(np.random.default_rng(1).random(windows.shape[:3]) > 0.3)
    found = fit_body_frames(windows, observed, form)
    for window, seen, origin, yaw, size in zip(windows, observed, *found, strict=True):
        ratios = [
            float((window[t, child] - window[t, parent]).norm())
            / np.linalg.norm(form.reference[child] - form.reference[parent])
            for t in range(len(window))
            for child, parent in form.layout.bones
            if seen[t, child] and seen[t, parent]
        ]
        assert float(size) == sorted(ratios)[(len(ratios) - 1) // 2]

        def error(
            angle: np.ndarray, x: np.ndarray, seen: np.ndarray, size: float
        ) -> tuple[float, np.ndarray]:
            """The sum of squares with the best o_t of each frame, and these."""
            pose = size * rotate_about_y(form.reference, float(angle[0]))
            rest = x - pose
            places = np.stack([rest[t][seen[t]].mean(axis=0) for t in range(len(x))])
            return float(np.square((rest - places[:, None])[seen]).sum()), places

        x, mask = window.numpy(), seen.numpy()
        best = min(
            (
                minimize(lambda a: error(a, x, mask, float(size))[0], [start], tol=1e-12)  # noqa: B023
                for start in (-2.0, 0.0, 2.0)
            ),
            key=lambda result: result.fun,
        )
        assert np.cos(best.x[0] - float(yaw)) == pytest.approx(1, abs=1e-9)
        places = error(np.array([float(yaw)]), x, mask, float(size))[1]
        np.testing.assert_allclose(origin.numpy(), places.mean(axis=0), atol=1e-12)


def test_a_body_that_moved_turned_and_grew_has_a_frame_that_did_so(windows, form) -> None:
    observed = torch.from_numpy(np.random.default_rng(2).random(windows.shape[:3]) > 0.2)
    turn, shift, growth = 1.1, torch.tensor([3.0, -1.0, 2.0]).double(), 1.7
    angles = torch.full((len(windows),), turn).double()
    before = fit_body_frames(windows, observed, form)
    after = fit_body_frames(turned_about_y(windows * growth, angles) + shift, observed, form)
    moved = turned_about_y(before.origin * growth, angles) + shift
    torch.testing.assert_close(after.origin, moved, atol=1e-9, rtol=0)
    torch.testing.assert_close(after.size, before.size * growth)
    turned = (after.yaw - before.yaw - turn).cos()
    torch.testing.assert_close(turned, torch.ones_like(turned))


def test_too_little_to_tell_gives_the_reference_s_own_frame(form) -> None:
    x = laid(torch.from_numpy(form.reference), [1.0, 1.0, 1.0], 0.5, 2.0).repeat(3, 1, 1, 1)
    observed = torch.zeros(x.shape[:3], dtype=torch.bool)
    observed[1, :, 7] = True  # one joint: a place, no direction, no size
    observed[2, 3] = True  # one frame tells all
    found = fit_body_frames(x, observed, form)
    assert found.yaw[:2].tolist() == [0.0, 0.0]
    assert found.size[:2].tolist() == [1.0, 1.0]
    assert found.origin[0].tolist() == [0.0, 0.0, 0.0]
    joint = found.origin[1] + torch.from_numpy(form.reference[7])
    torch.testing.assert_close(joint, x[1, 0, 7])
    assert float(found.yaw[2]) == pytest.approx(0.5)
    assert float(found.size[2]) == pytest.approx(2.0)


def test_joints_above_one_another_do_not_tell_a_direction(form) -> None:
    """What they say of it is noise of a millimetre, whatever the sensor made of it."""
    spine = [form.layout.root, form.layout.tree_order[1]]
    form.reference[spine[1]] = [0.005, 0.2, 0.01]
    x = laid(torch.from_numpy(form.reference), [1.0, 1.0, 1.0], 0.5, 1.0)
    observed = torch.zeros(x.shape[:3], dtype=torch.bool)
    observed[:, :, spine] = True
    assert float(fit_body_frames(x, observed, form).yaw) == 0.0


def test_what_was_not_observed_and_who_else_is_in_the_batch_does_not_matter(windows, form) -> None:
    observed = torch.from_numpy(np.random.default_rng(3).random(windows.shape[:3]) > 0.4)
    wild = torch.where(observed[..., None], windows, torch.inf)
    together, alone = (fit_body_frames(x, observed, form) for x in (windows, wild))
    for one, other in zip(together, alone, strict=True):
        assert torch.equal(one, other)
    single = fit_body_frames(windows[2:3], observed[2:3], form)
    for one, other in zip(single, BodyFrames(*(part[2:3] for part in together)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_the_reference_stands_in_the_origin_faces_z_and_has_typical_bones(windows, form) -> None:
    layout, pose = form.layout, form.reference
    assert pose[layout.root].tolist() == [0.0, 0.0, 0.0]
    assert heading_angle(pose[None], layout) == pytest.approx(0, abs=0.05)
    bones = bone_lengths(windows.flatten(0, 1).numpy(), layout)
    np.testing.assert_allclose(bone_lengths(pose, layout), np.median(bones, axis=0))


def test_the_reference_does_not_depend_on_where_bodies_stand_and_face(windows, form) -> None:
    poses = windows.flatten(0, 1)
    angles = torch.linspace(-3, 3, len(poses)).double()
    moved = turned_about_y(poses, angles) + angles[:, None, None]
    again = reference_pose(moved.numpy(), np.ones(poses.shape[:2], bool), form.layout)
    np.testing.assert_allclose(again, form.reference, atol=1e-9)


def test_a_joint_that_was_never_observed_lies_on_its_parent(windows, form) -> None:
    poses = windows.flatten(0, 1).numpy().copy()
    observed = np.ones(poses.shape[:2], bool)
    hand = form.layout.index("left_hand")
    observed[:, hand] = False
    observed[::3, 4] = False
    poses[~observed] = np.nan
    pose = reference_pose(poses, observed, form.layout)
    assert np.isfinite(pose).all()
    assert pose[hand].tolist() == pose[form.layout.parents[hand]].tolist()


def test_without_any_pose_with_root_and_hips_there_is_no_reference(windows, form) -> None:
    poses = windows.flatten(0, 1).numpy()
    observed = np.ones(poses.shape[:2], bool)
    observed[:, form.layout.root] = False
    with pytest.raises(DataError, match="the hips were measured, got none in 80"):
        reference_pose(poses, observed, form.layout)


def test_a_layout_without_hips_takes_its_sides_or_no_turn_at_all(windows, form) -> None:
    plain = form.layout
    whole = np.ones((80, plain.num_joints), bool)
    poses = windows.flatten(0, 1).numpy()
    sides = SkeletonLayout("own", plain.joints, plain.parents, mirror=plain.mirror)
    pose = reference_pose(poses, whole, sides)
    left, right = np.array(plain.mirror).T
    across = (pose[right] - pose[left]).sum(axis=0)
    assert across[0] > 0
    assert abs(across[2]) < 0.1 * across[0]
    bare = reference_pose(poses, whole, SkeletonLayout("own", plain.joints, plain.parents))
    assert np.isfinite(bare).all()
