import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial.transform import Rotation

from skelaug.skeleton.geometry import (
    bone_lengths,
    fill_missing,
    heading_angle,
    resample,
    rotate_about_y,
)
from skelaug.skeleton.layout import SkeletonLayout
from skelaug.skeleton.layouts import LAYOUTS

KINECT = LAYOUTS["kinect_20"]
CHAIN = SkeletonLayout(name="chain", joints=("a", "b", "c", "d"), parents=(1, -1, 1, 2))
FINITE = st.floats(-10, 10, width=32)


def shapes(t_max=12):
    return st.tuples(st.integers(1, t_max), st.integers(1, 2), st.just(4), st.just(3))


@given(st.data())
def test_filling_is_what_a_loop_over_gaps_gives(data):
    positions = data.draw(hnp.arrays(np.float64, shapes(), elements=FINITE))
    observed = data.draw(hnp.arrays(np.bool_, positions.shape[:3]))
    filled = fill_missing(np.where(observed[..., None], positions, np.nan), observed, CHAIN)
    for m in range(positions.shape[1]):
        expected = by_hand(positions[:, m], observed[:, m])
        np.testing.assert_allclose(filled[:, m], expected, atol=1e-9)


def by_hand(positions, observed):
    """One person of the four-joint chain b-a, b-c-d, frame by frame."""
    filled = np.zeros_like(positions)
    seen = observed.any(axis=0)
    for joint in np.flatnonzero(seen):
        times = np.flatnonzero(observed[:, joint])
        for time in range(len(positions)):
            before = [k for k in times if k <= time]
            after = [k for k in times if k >= time]
            k0, k1 = (before or after)[-1 if before else 0], (after or before)[0 if after else -1]
            share = 0.0 if k0 == k1 else (time - k0) / (k1 - k0)
            filled[time, joint] = (1 - share) * positions[k0, joint] + share * positions[k1, joint]
    if seen.any():
        above = {1: None, 0: 1, 2: 1, 3: 2}
        for joint in (1, 0, 2, 3):
            if not seen[joint] and above[joint] is None:
                filled[:, joint] = filled[:, seen].mean(axis=1)
            elif not seen[joint]:
                filled[:, joint] = filled[:, above[joint]]
    return filled


@given(st.data())
def test_filling_keeps_what_was_observed_and_leaves_its_input_alone(data):
    positions = data.draw(hnp.arrays(np.float32, shapes(), elements=FINITE))
    observed = data.draw(hnp.arrays(np.bool_, positions.shape[:3]))
    before = positions.copy()
    filled = fill_missing(positions, observed, CHAIN)
    np.testing.assert_array_equal(filled[observed], positions[observed])
    np.testing.assert_array_equal(positions, before)
    assert np.isfinite(filled).all()
    assert filled.dtype == np.float64


def test_a_person_of_whom_nothing_was_seen_is_zeros():
    positions = np.full((3, 2, 4, 3), np.nan)
    positions[:, 0] = 1.0
    observed = np.isfinite(positions).all(axis=-1)
    np.testing.assert_array_equal(fill_missing(positions, observed, CHAIN)[:, 1], 0)


@given(st.floats(-np.pi, np.pi), st.integers(0, 2**16))
def test_turning_a_body_adds_to_its_heading(angle, seed):
    body = np.random.default_rng(seed).normal(size=(9, 20, 3))
    turned = rotate_about_y(body, angle)
    difference = heading_angle(turned, KINECT) - heading_angle(body, KINECT) - angle
    assert np.cos(difference) == pytest.approx(1, abs=1e-12)


@given(st.integers(0, 2**16), st.integers(1, 20))
def test_turning_a_body_back_by_its_heading_puts_the_right_hip_at_plus_x(seed, frames):
    body = np.random.default_rng(seed).normal(size=(frames, 20, 3))
    level = rotate_about_y(body, -heading_angle(body, KINECT))
    left, right = KINECT.hip_indices
    third = int(np.ceil(frames / 3))
    x, _, z = (level[:third, right] - level[:third, left]).mean(axis=0)
    assert x > 0
    assert z == pytest.approx(0, abs=1e-12)


def test_heading_is_that_of_the_first_third_of_the_clip():
    body = np.zeros((10, 20, 3))
    left, right = KINECT.hip_indices
    body[:4, right] = [0.2, 0.1, 0.0]  # seen by a sensor that the person faces
    body[4:, left] = [0.0, 0.0, 5.0]
    assert heading_angle(body, KINECT) == 0
    body[:4, right] = [0.0, 0.1, -0.2]
    assert heading_angle(body, KINECT) == pytest.approx(np.pi / 2)


def test_heading_is_zero_where_there_is_no_direction():
    body = np.zeros((3, 4, 3))
    assert heading_angle(body, CHAIN) == 0
    upright = np.zeros((3, 20, 3))
    upright[:, KINECT.hip_indices[0], 1] = 1.0
    assert heading_angle(upright, KINECT) == 0
    assert heading_angle(np.zeros((3, 17, 2)), LAYOUTS["coco_17"]) == 0


@given(st.floats(-7, 7))
def test_rotation_about_y_is_scipys(angle):
    points = np.random.default_rng(0).normal(size=(4, 5, 3))
    expected = Rotation.from_euler("y", angle).apply(points.reshape(-1, 3)).reshape(points.shape)
    np.testing.assert_allclose(rotate_about_y(points, angle), expected, atol=1e-12)


@given(
    hnp.arrays(np.float64, st.tuples(st.integers(1, 40), st.just(2)), elements=FINITE),
    st.integers(1, 60),
)
def test_linear_resampling_is_numpys_interpolation(array, frames):
    times = np.linspace(0, len(array) - 1, frames)
    expected = [np.interp(times, np.arange(len(array)), column) for column in array.T]
    np.testing.assert_allclose(resample(array, frames), np.stack(expected, axis=1), atol=1e-9)


@pytest.mark.parametrize("kind", ["linear", "cubic", "pchip"])
@pytest.mark.parametrize("t", [2, 3, 24, 90])
def test_resampling_keeps_ends_knots_and_straight_lines(kind, t):
    rng = np.random.default_rng(t)
    array = rng.normal(size=(t, 3, 2))
    np.testing.assert_array_equal(resample(array, t, interpolation=kind), array)
    finer = resample(array, 4 * (t - 1) + 1, interpolation=kind)
    np.testing.assert_allclose(finer[::4], array, atol=1e-12)
    other = resample(array, 7, interpolation=kind)
    np.testing.assert_allclose(other[[0, -1]], array[[0, -1]], atol=1e-12)
    line = np.linspace(-1, 5, t)
    np.testing.assert_allclose(
        resample(line, 11, interpolation=kind), np.linspace(-1, 5, 11), atol=1e-12
    )


@pytest.mark.parametrize("t", [4, 24, 64, 65])
def test_the_cubic_is_the_natural_spline(t):
    values = np.random.default_rng(t).normal(size=t)
    curvature = np.zeros(t)  # second derivatives at the knots, from the tridiagonal system
    system = 4 * np.eye(t - 2) + np.eye(t - 2, k=1) + np.eye(t - 2, k=-1)
    curvature[1:-1] = np.linalg.solve(system, 6 * np.diff(values, 2))
    s = np.linspace(0, t - 1, 3 * t)
    i = np.minimum(s.astype(int), t - 2)
    a, b = i + 1 - s, s - i
    expected = (
        a * values[i]
        + b * values[i + 1]
        + ((a**3 - a) * curvature[i] + (b**3 - b) * curvature[i + 1]) / 6
    )
    got = resample(values, 3 * t, interpolation="cubic")
    np.testing.assert_allclose(got, expected, atol=1e-10)


def test_pchip_never_overshoots_where_the_spline_does():
    step = np.repeat([0.0, 1.0], 6)
    assert resample(step, 100, interpolation="cubic").max() > 1.01
    assert resample(step, 100, interpolation="pchip").max() <= 1


def test_one_frame_is_repeated_and_one_frame_out_is_the_first():
    np.testing.assert_array_equal(resample(np.array([[3.0, 4.0]]), 3), [[3, 4]] * 3)
    np.testing.assert_array_equal(resample(np.arange(5.0), 1), [0.0])


@pytest.mark.parametrize(("t", "frames"), [(0, 3), (3, 0)])
def test_nothing_cannot_be_resampled(t, frames):
    with pytest.raises(ValueError, match=f"got {t} in and {frames} out"):
        resample(np.zeros((t, 2)), frames)


def test_resampling_returns_an_array_of_its_own():
    array = np.zeros(4)
    resample(array, 4)[0] = 1
    assert array[0] == 0


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_bone_lengths_are_distances_to_the_parent_and_survive_rigid_motion(layout):
    rng = np.random.default_rng(0)
    body = rng.normal(size=(5, 2, layout.num_joints, 3))
    lengths = bone_lengths(body, layout)
    assert lengths.shape == (5, 2, layout.num_joints - 1)
    for bone, (child, parent) in enumerate(layout.bones):
        expected = np.sqrt(((body[..., child, :] - body[..., parent, :]) ** 2).sum(-1))
        np.testing.assert_allclose(lengths[..., bone], expected)
    np.testing.assert_allclose(bone_lengths(rotate_about_y(body, 1.0) + 4, layout), lengths)


def test_a_layout_of_one_joint_has_no_bones():
    single = SkeletonLayout(name="dot", joints=("a",), parents=(-1,))
    assert bone_lengths(np.zeros((2, 1, 3)), single).shape == (2, 0)
