import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from skelaug.metrics.plausibility import bone_length_variation, mean_magnitude

RNG = np.random.default_rng(0)
BONES = ((1, 0), (2, 1), (3, 1))
POSE = RNG.normal(size=(4, 3))


def rigid(frames=12):
    turns = Rotation.from_rotvec(RNG.normal(size=(frames, 3))).as_matrix()
    return (POSE @ turns.transpose(0, 2, 1) + RNG.normal(size=(frames, 1, 3)))[None]


def test_a_body_of_rigid_bones_has_no_variation():
    np.testing.assert_allclose(bone_length_variation(rigid(), BONES), 0, atol=1e-12)


def test_the_variation_is_the_mean_over_bones_of_deviation_over_length():
    clip = np.zeros((1, 2, 3, 3))
    clip[0, :, 1, 0] = 1.0, 3.0  # mean 2, deviation 1
    clip[0, :, 2, 1] = 4.0  # a rigid bone from joint 0
    np.testing.assert_allclose(bone_length_variation(clip, ((1, 0), (2, 0))), [0.25])


def test_the_variation_does_not_depend_on_size_place_or_turn():
    clip = RNG.normal(size=(3, 9, 4, 3))
    turn = Rotation.from_rotvec([0.3, 1.0, -0.5]).as_matrix()
    expected = bone_length_variation(clip, BONES)
    np.testing.assert_allclose(bone_length_variation(7 * clip @ turn + 5, BONES), expected)


def test_coinciding_joints_and_absent_persons_are_left_out():
    clip = RNG.normal(size=(1, 9, 4, 3))
    expected = bone_length_variation(clip, BONES[:1])
    joined = clip.copy()
    joined[:, :, 2:] = joined[:, :, 1:2] + 1e-5 * RNG.normal(size=(1, 9, 2, 3))
    np.testing.assert_allclose(bone_length_variation(joined, BONES), expected)
    absent = clip.copy()
    absent[:, :, 2:] = np.nan
    np.testing.assert_allclose(bone_length_variation(absent, BONES), expected)
    assert np.isnan(bone_length_variation(np.full_like(clip, np.nan), BONES)).all()


def motion(power, coefficient, frames=10):
    """One joint that moves as coefficient t^power."""
    time = np.arange(frames)[:, None, None]
    return (np.asarray(coefficient) * time**power)[None]


def test_constant_velocity_has_that_speed_and_no_acceleration():
    clip = motion(1, [0.3, 0.0, 0.4])
    np.testing.assert_allclose(mean_magnitude(clip, order=1), 0.5)
    np.testing.assert_allclose(mean_magnitude(clip, order=2), 0, atol=1e-12)


def test_second_differences_of_a_parabola_and_third_of_a_cubic_are_exact():
    np.testing.assert_allclose(mean_magnitude(motion(2, [1.5, 2.0, 0.0]), order=2), 2 * 2.5)
    np.testing.assert_allclose(mean_magnitude(motion(2, [1.5, 2.0, 0.0]), order=3), 0, atol=1e-10)
    np.testing.assert_allclose(mean_magnitude(motion(3, [0.0, 0.0, 1.0]), order=3), 6)


def test_the_rate_turns_frames_into_seconds():
    for order in (1, 2, 3):
        clip = RNG.normal(size=(2, 9, 4, 3))
        per_frame = mean_magnitude(clip, order=order)
        np.testing.assert_allclose(
            mean_magnitude(clip, order=order, rate=30), per_frame * 30**order
        )


def test_the_mean_is_over_joints_frames_and_present_persons_of_each_clip():
    clips = RNG.normal(size=(2, 9, 4, 3))
    loop = [
        np.mean(
            [
                np.linalg.norm(c[t + 1, v] - 2 * c[t, v] + c[t - 1, v])
                for t in range(1, 8)
                for v in range(4)
            ]
        )
        for c in clips
    ]
    np.testing.assert_allclose(mean_magnitude(clips, order=2), loop)
    padded = np.concatenate([clips, np.full_like(clips, np.nan)], axis=2)
    np.testing.assert_allclose(mean_magnitude(padded, order=2), loop)


def test_too_short_clips_have_none_and_other_orders_do_not_exist():
    assert np.isnan(mean_magnitude(np.zeros((1, 2, 4, 3)), order=2)).all()
    assert mean_magnitude(np.zeros((1, 2, 4, 3)), order=1) == [0]
    with pytest.raises(ValueError, match="1, 2 or 3"):
        mean_magnitude(np.zeros((1, 9, 4, 3)), order=0)
    with pytest.raises(ValueError, match="N T V C"):
        mean_magnitude(np.zeros((9, 4, 3)), order=1)
