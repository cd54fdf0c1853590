"""Clips refined: what is changed, what is left, what is refused."""

import numpy as np
import pytest

from skelaug.refinement.filters import FILTERS
from skelaug.skeleton.sequence import Source
from skelaug.workflows.refinement import (
    compared,
    filtering,
    known_keypoints,
    refine_clips,
)


def shrunk(tracks):
    """A corrector that halves every pose."""
    return [track.poses / 2 for track in tracks]


def refined(clip, corrector=shrunk, root_filter=None, **options):
    return refine_clips({0: clip}, corrector, root_filter=root_filter, **options)[0]


def test_the_pose_about_the_root_is_refined_and_the_root_stays_bit_for_bit(make_sequence):
    clip = make_sequence(persons=2)
    root, done = clip.layout.root, refined(clip).clip
    before, after = clip.positions, done.positions
    np.testing.assert_array_equal(after[:, :, root], before[:, :, root])
    np.testing.assert_allclose(
        after - after[:, :, [root]], (before - before[:, :, [root]]) / 2, atol=1e-6
    )
    assert done.source is Source.REFINED
    np.testing.assert_array_equal(done.observed, clip.observed)


@pytest.mark.parametrize("name", ["butterworth", "savitzky-golay"])
def test_a_linear_filter_of_pose_and_root_is_that_of_the_positions(name, make_sequence):
    clip = make_sequence(frames=40)
    clip = clip.replaced(positions=clip.positions + np.float32(0.01) * noise(clip))
    done = refined(clip, filtering(name), FILTERS[name]).clip
    whole = FILTERS[name](clip.positions[:, 0].astype(np.float64), clip.fps)
    np.testing.assert_allclose(done.positions[:, 0], whole, atol=2e-6)


def test_a_root_that_is_kept_stays_under_a_filter(make_sequence):
    clip = make_sequence(frames=40)
    done, root = refined(clip, filtering("one-euro"), None).clip, clip.layout.root
    np.testing.assert_array_equal(done.positions[:, :, root], clip.positions[:, :, root])


def test_clips_of_one_frame_and_empty_slots_stay_as_they_are(make_sequence):
    clip = make_sequence(frames=1)
    assert refined(clip).clip is clip
    two = make_sequence(persons=2)
    positions, observed = two.positions.copy(), two.observed.copy()
    positions[:, 1], observed[:, 1] = np.nan, False
    one = refined(two.replaced(positions=positions, observed=observed))
    assert one.persons == (0,)
    assert one.rejected == ()
    assert np.isnan(one.clip.positions[:, 1]).all()


def test_a_person_with_gaps_is_written_as_it_was_and_named(make_sequence):
    clip = make_sequence(persons=2)
    positions = clip.positions.copy()
    positions[3, 1, 2] = np.nan
    done = refined(clip.replaced(positions=positions))
    assert done.persons == (0,)
    np.testing.assert_array_equal(done.clip.positions[:, 1], positions[:, 1])
    (rejected,) = done.rejected
    assert rejected.name == "clip, person 1"
    assert "1 joints are missing" in rejected.reason
    assert "skelaug impute" in rejected.reason


def test_synthetic_clips_stay_such(make_sequence):
    assert refined(make_sequence(source=Source.SYNTHETIC)).clip.source is Source.SYNTHETIC


@pytest.mark.parametrize(
    ("scale", "words"), [(400.0, "normalised"), (np.nan, "never detected"), (0.5, "")]
)
def test_2d_poses_in_pixels_or_without_a_joint_are_refused(scale, words, make_sequence):
    clip = make_sequence()
    keypoints = np.full((*clip.positions.shape[:3], 2), scale, np.float32)
    done = refined(clip.replaced(keypoints=keypoints), reads_keypoints=True)
    assert [words in one.reason for one in done.rejected] == ([True] if words else [])


def test_undetected_joints_lie_between_their_neighbours_in_time():
    keypoints = np.zeros((5, 2, 2))
    keypoints[:, 1, 0] = [np.nan, 1, np.nan, np.nan, 4]
    found = known_keypoints(keypoints)
    np.testing.assert_allclose(found[:, 1, 0], [1, 1, 2, 3, 4])
    np.testing.assert_array_equal(found[:, 0], 0)


def test_what_changed_is_measured(make_sequence):
    clip = make_sequence(frames=30)
    moved = clip.positions.copy()
    moved[:, :, 5] += np.float32([0.0, 0.02, 0.0])
    root = clip.layout.root
    offset = moved[:, 0] - moved[:, 0, [root]]
    done = refined(clip, lambda tracks: [offset])
    sums = compared(clip, done, clip)
    joints = clip.layout.num_joints
    assert sums["frames"] == 30
    assert sums["displacement"] / 30 == pytest.approx(0.02 / joints, rel=1e-4)
    assert sums["mpjpe before walk"] == 0
    assert sums["mpjpe after walk"] / 30 == pytest.approx(20 / joints, rel=1e-4)
    assert sums["jitter after"] == pytest.approx(sums["jitter before"], rel=1e-3)


def noise(clip):
    return np.random.default_rng(0).standard_normal(clip.positions.shape).astype(np.float32)
