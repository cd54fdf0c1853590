"""The nearest motion with bones of constant length."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from skelaug.metrics.plausibility import bone_length_variation
from skelaug.refinement.filters import butterworth
from skelaug.refinement.rigid_bones import rigid_hints, with_rigid_bones
from skelaug.skeleton.geometry import bone_lengths, rotate_about_y
from skelaug.skeleton.layout import SkeletonLayout
from skelaug.skeleton.layouts import get_layout

KINECT = get_layout("kinect_20")
CHAIN = SkeletonLayout("chain", ("a", "b", "c"), (-1, 0, 1))


@pytest.fixture
def moving(make_sequence):
    """A body whose bones stretch by some per cent."""
    clip = make_sequence("walk", frames=60).positions[:, 0].astype(np.float64)
    return clip + 0.02 * np.random.default_rng(0).standard_normal(clip.shape)


def distance(found, given) -> float:
    return float(np.square(found - given).sum())


def test_bones_keep_their_median_length_and_the_root_stays(moving) -> None:
    found = with_rigid_bones(moving, KINECT)
    assert bone_length_variation(moving[None], KINECT.bones)[0] > 0.05
    assert bone_length_variation(found[None], KINECT.bones)[0] < 1e-12
    medians = np.median(bone_lengths(moving, KINECT), axis=0)
    np.testing.assert_allclose(bone_lengths(found, KINECT)[7], medians, rtol=1e-12)
    np.testing.assert_array_equal(found[:, KINECT.root], moving[:, KINECT.root])


def test_a_rigid_body_is_not_changed(moving) -> None:
    rigid = with_rigid_bones(moving, KINECT)
    np.testing.assert_allclose(with_rigid_bones(rigid, KINECT), rigid, rtol=0, atol=1e-12)


def test_every_round_comes_nearer_and_a_few_suffice(moving) -> None:
    sums = [distance(with_rigid_bones(moving, KINECT, rounds=n), moving) for n in range(9)]
    assert all(after < before for before, after in pairwise(sums))
    assert sums[1] < 0.5 * sums[0]
    assert distance(with_rigid_bones(moving, KINECT, rounds=60), moving) > 0.95 * sums[8]


def test_two_bones_come_as_near_as_a_search_over_all_angles_finds() -> None:
    """In the plane: every pair of directions of bones of length 1 and 1."""
    given = np.array([[0, 0, 0], [1.0, 0, 0], [1.0, 1.0, 0]])
    stretched = np.array([[0, 0, 0], [1.3, 0.2, 0], [1.2, 1.6, 0]])
    clip = np.stack([given, stretched, given])  # both medians are 1
    found = with_rigid_bones(clip, CHAIN, rounds=50)[1]
    angles = np.linspace(-np.pi, np.pi, 721)
    first = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    second = first[:, None] + first
    squares = np.square(first - stretched[1, :2]).sum(-1)[:, None]
    squares = squares + np.square(second - stretched[2, :2]).sum(-1)
    assert distance(found, stretched) == pytest.approx(squares.min(), rel=1e-3)
    assert distance(found, stretched) <= squares.min()


def test_it_turns_with_the_body(moving) -> None:
    turned = with_rigid_bones(rotate_about_y(moving, 0.7), KINECT)
    np.testing.assert_allclose(turned, rotate_about_y(with_rigid_bones(moving, KINECT), 0.7))


def test_joints_that_coincide_and_a_single_frame_stay(moving) -> None:
    moving[:, 3] = moving[:, 2]
    found = with_rigid_bones(moving.astype(np.float32), KINECT)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[:, 3], found[:, 2], rtol=0, atol=1e-6)
    np.testing.assert_allclose(with_rigid_bones(moving[:1], KINECT), moving[:1], atol=1e-12)


def test_clips_side_by_side_have_lengths_of_their_own(moving) -> None:
    both = np.stack([moving, 1.2 * moving])
    found = with_rigid_bones(both, KINECT)
    for clip, given in zip(found, both, strict=True):
        np.testing.assert_allclose(clip, with_rigid_bones(given, KINECT), rtol=0, atol=1e-12)


def test_hints_point_from_noisy_joints_to_where_they_were(make_sequence) -> None:
    walk = make_sequence("walk", frames=90).positions[:, 0].astype(np.float64)
    truth = with_rigid_bones(walk[::3].repeat(3, axis=0), KINECT)
    truth = butterworth(truth - truth[:, [KINECT.root]], 30.0, cutoff=2.0)
    noise = 0.02 * np.random.default_rng(0).standard_normal(truth.shape)
    noise[:, KINECT.root] = 0
    noisy = np.stack([truth + noise, truth - noise])
    hints = rigid_hints(noisy, 30.0, KINECT)
    np.testing.assert_array_equal(hints[0], rigid_hints(noisy[0], 30.0, KINECT))
    assert not hints[:, :, KINECT.root].any()
    left = np.linalg.norm(noisy + hints - truth, axis=-1).mean()
    assert left < 0.8 * np.linalg.norm(noise, axis=-1).mean()


def test_gaps_are_refused(moving) -> None:
    moving[3, 4] = np.nan
    with pytest.raises(ValueError, match="fill the gaps first"):
        with_rigid_bones(moving, KINECT)
