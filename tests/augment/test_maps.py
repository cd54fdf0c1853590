from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from skelaug.augment.maps import (
    bone_matrix,
    jitter_noise,
    mask_sources,
    mirror_matrices,
    rotation_matrix,
    view_matrix,
    warp_times,
)
from skelaug.errors import UsageError
from skelaug.seeds import numpy_generator
from skelaug.skeleton.geometry import bone_lengths, rotate_about_y
from skelaug.skeleton.layouts import LAYOUTS, get_layout

KINECT = get_layout("kinect_20")
ANGLE = st.floats(-np.pi, np.pi)
TEMPI = st.lists(st.floats(-2, 2), min_size=2, max_size=9)
EACH_LAYOUT = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)


@settings(max_examples=40)
@given(st.tuples(ANGLE, ANGLE, ANGLE))
def test_a_rotation_is_the_turns_about_x_y_and_z_one_after_the_other(angles):
    matrix = rotation_matrix(angles)
    np.testing.assert_allclose(matrix, Rotation.from_euler("xyz", angles).as_matrix(), atol=1e-12)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(matrix) == pytest.approx(1)


def test_turns_have_the_sense_of_the_rest_of_the_package():
    points = np.random.default_rng(0).normal(size=(7, 3))
    turned = points @ rotation_matrix((0.0, 0.7, 0.0)).T
    np.testing.assert_allclose(turned, rotate_about_y(points, 0.7), atol=1e-12)
    flat = rotation_matrix((0.0, 0.0, 0.7), channels=2)
    np.testing.assert_array_equal(flat, rotation_matrix((0.0, 0.0, 0.7))[:2, :2])
    np.testing.assert_allclose(flat @ [1, 0], [np.cos(0.7), np.sin(0.7)])
    np.testing.assert_array_equal(rotation_matrix((0.0, 0.0, 0.0)), np.eye(3))


@pytest.mark.parametrize("angles", [(0.1, 0.0, 0.0), (0.0, 0.1, 0.0)])
def test_a_flat_clip_turns_about_z_alone(angles):
    with pytest.raises(UsageError, match=r"3 coordinates .* got 2; set rotation_x, rotation_y and"):
        rotation_matrix(angles, channels=2)
    with pytest.raises(UsageError, match="view_degrees"):
        view_matrix(np.rad2deg(angles[:2]), 1.0, channels=2)
    np.testing.assert_array_equal(view_matrix((0, 0), 1.2, channels=2), 1.2 * np.eye(2))


@settings(max_examples=40)
@given(st.integers(-60, 60), st.integers(-60, 60), st.floats(0.5, 1.5))
def test_the_view_is_the_published_product_on_rows(x, y, scale):
    a, b = np.radians([x, y])
    rows_x = np.array([[1, 0, 0], [0, np.cos(a), np.sin(a)], [0, -np.sin(a), np.cos(a)]])
    rows_y = np.array([[np.cos(b), 0, -np.sin(b)], [0, 1, 0], [np.sin(b), 0, np.cos(b)]])
    points = np.random.default_rng(0).normal(size=(7, 3))
    expected = points @ rows_y @ rows_x * scale
    np.testing.assert_allclose(points @ view_matrix((x, y), scale).T, expected, atol=1e-12)


@EACH_LAYOUT
def test_each_bone_is_multiplied_by_its_factor_and_the_root_stays(layout):
    numbers = np.random.default_rng(0)
    positions = numbers.normal(size=(5, 2, layout.num_joints, 3))
    factors = numbers.uniform(0.5, 1.5, layout.num_joints)
    scaled = bone_matrix(factors.tolist(), layout) @ positions
    children = [child for child, _ in layout.bones]
    expected = bone_lengths(positions, layout) * factors[children]
    np.testing.assert_allclose(bone_lengths(scaled, layout), expected, rtol=1e-12)
    np.testing.assert_array_equal(scaled[..., layout.root, :], positions[..., layout.root, :])
    by_hand = positions.copy()
    for joint in layout.tree_order[1:]:
        parent = layout.parents[joint]
        bone = positions[..., joint, :] - positions[..., parent, :]
        by_hand[..., joint, :] = by_hand[..., parent, :] + factors[joint] * bone
    np.testing.assert_allclose(scaled, by_hand, atol=1e-12)


@EACH_LAYOUT
def test_equal_factors_of_one_change_nothing_and_a_shift_goes_through(layout):
    v = layout.num_joints
    np.testing.assert_array_equal(bone_matrix(np.ones(v).tolist(), layout), np.eye(v))
    factors = np.random.default_rng(0).uniform(0.5, 1.5, v).tolist()
    np.testing.assert_allclose(bone_matrix(factors, layout).sum(axis=1), 1, atol=1e-12)


@EACH_LAYOUT
def test_a_mirror_is_its_own_inverse_and_takes_left_joints_to_right_ones(layout):
    joints, matrix = mirror_matrices(layout)
    np.testing.assert_array_equal(joints @ joints, np.eye(layout.num_joints))
    np.testing.assert_array_equal(matrix @ matrix, np.eye(3))
    np.testing.assert_array_equal(matrix @ [1.0, 2.0, 3.0], [-1, 2, 3])
    for left, right in layout.mirror:
        np.testing.assert_array_equal(joints[left], np.eye(layout.num_joints)[right])
    assert mirror_matrices(layout, channels=2)[1].tolist() == [[-1, 0], [0, 1]]


@settings(max_examples=40)
@given(st.sets(st.integers(0, 19)))
def test_a_lost_joint_lies_at_its_nearest_ancestor_that_is_not_lost(lost):
    sources = mask_sources(KINECT, sorted(lost))
    for joint, source in enumerate(sources):
        ancestor = joint
        while ancestor in lost and ancestor != KINECT.root:
            ancestor = KINECT.parents[ancestor]
        assert source == ancestor


@settings(max_examples=40)
@given(TEMPI, st.integers(1, 80))
def test_warped_time_rises_between_fixed_ends_at_the_drawn_tempo(log_tempo, frames):
    times = warp_times(log_tempo, frames)
    assert times[0] == 0
    assert times[-1] == frames - 1
    steps = np.diff(times)
    assert (steps > 0).all()
    spread = max(log_tempo) - min(log_tempo)
    assert (steps <= np.exp(spread) + 1e-9).all()
    assert (steps >= np.exp(-spread) - 1e-9).all()


@settings(max_examples=40)
@given(st.floats(-2, 2), st.integers(2, 9), st.integers(1, 80))
def test_an_even_tempo_changes_nothing(log_tempo, knots, frames):
    expected = np.arange(frames)
    np.testing.assert_array_equal(warp_times([0.0] * knots, frames), expected)
    np.testing.assert_allclose(warp_times([log_tempo] * knots, frames), expected, atol=1e-9)


def test_warped_time_is_the_integral_of_the_tempo():
    log_tempo, frames = (
        [0.3, -0.5, 0.1],
        41,
    )  # a knot on every twentieth frame: trapezoids are exact
    tempo = lambda time: np.interp(time, [0, 20, 40], np.exp(log_tempo))  # noqa: E731
    passed = np.array([quad(tempo, 0, time, points=[20])[0] for time in range(frames)])
    expected = 40 * passed / passed[-1]
    np.testing.assert_allclose(warp_times(log_tempo, frames), expected, atol=1e-9)


def test_warped_time_has_no_kinks():
    """Of twice as many frames the tempo changes half as much from frame to frame."""
    bends = [
        np.abs(np.diff(warp_times([0.5, -0.5, 0.5, 0.0], frames), 2)).max() for frames in (100, 200)
    ]
    assert bends[1] == pytest.approx(bends[0] / 2, rel=0.1)


@pytest.mark.parametrize("smoothing", [0.0, 1.5, 6.0])
def test_smooth_noise_is_white_noise_filtered_around_the_clip_and_keeps_its_size(smoothing):
    shape = (30, 1, 400, 3)
    options = {"std": 0.01, "smoothing": smoothing}
    noise = jitter_noise(shape, **options, generator=numpy_generator(0))
    white = numpy_generator(0).standard_normal(shape)
    if smoothing:
        one = gaussian_filter1d(np.eye(30)[0], smoothing, mode="wrap", truncate=8)
        white = gaussian_filter1d(white, smoothing, axis=0, mode="wrap", truncate=8)
        white /= np.linalg.norm(one)
    np.testing.assert_allclose(noise, 0.01 * white, atol=1e-6)
    # 1200 numbers per frame: the standard error of their deviation is 2 %
    np.testing.assert_allclose(noise.std(axis=(1, 2, 3)), 0.01, rtol=0.12)


def test_noise_of_one_frame_keeps_its_size():
    options = {"std": 2.0, "smoothing": 3.0}
    noise = jitter_noise((1, 1, 5, 3), **options, generator=numpy_generator(0))
    expected = 2 * numpy_generator(0).standard_normal((1, 1, 5, 3))
    np.testing.assert_array_equal(noise, expected)
