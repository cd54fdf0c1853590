import numpy as np
import pytest

from skelaug.skeleton.geometry import rotate_about_y
from skelaug.skeleton.layouts import get_layout
from skelaug.skeleton.sequence import Source
from skelaug.workflows.evaluation_clips import (
    PreparedClips,
    bones_of,
    measurable,
    prepare_clip,
    prepare_clips,
    roots_of,
)

LAYOUT = get_layout("kinect_20")


def test_where_somebody_stands_and_which_way_they_face_does_not_matter(make_sequence):
    clip = make_sequence(frames=40)
    moved = rotate_about_y(clip.positions, 1.1) + np.array([2.0, 0.5, -1.0])
    expected, numbers = prepare_clip(clip)
    found, same = prepare_clip(clip.replaced(positions=moved.astype(np.float32)))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert same == pytest.approx(numbers, rel=1e-3)


def test_the_root_starts_at_the_origin_and_the_hips_lie_along_x(make_sequence):
    found, _ = prepare_clip(make_sequence(frames=24), frames=24)
    assert found.shape == (24, 20, 3)
    np.testing.assert_allclose(found[0, LAYOUT.root], 0, atol=1e-12)
    left, right = LAYOUT.hip_indices
    across = (found[:8, right] - found[:8, left]).mean(axis=0)
    assert across[0] > 0.05
    assert across[2] == pytest.approx(0, abs=1e-6)


def test_speeds_are_taken_before_resampling(make_sequence):
    clip = make_sequence(frames=50, fps=25.0)
    glide = np.arange(50)[:, None, None, None] * np.float32([0.04, 0.0, 0.03]) + clip.positions[:1]
    _, numbers = prepare_clip(clip.replaced(positions=glide.astype(np.float32)))
    assert numbers["velocity_m_s"] == pytest.approx(0.05 * 25, rel=1e-4)
    assert numbers["acceleration_m_s2"] == pytest.approx(0, abs=1e-2)


def test_gaps_are_filled(make_sequence):
    found, _ = prepare_clip(make_sequence(frames=40, missing=0.2))
    assert np.isfinite(found).all()


def test_an_absent_person_is_nan_and_the_present_one_comes_first(make_sequence):
    clip = make_sequence(frames=30, persons=2)
    observed, positions = clip.observed.copy(), clip.positions.copy()
    observed[:, 0], positions[:, 0] = False, np.nan
    found, _ = prepare_clip(clip.replaced(observed=observed, positions=positions), persons=2)
    assert np.isfinite(found[:, :20]).all()
    assert np.isnan(found[:, 20:]).all()


def test_two_persons_stay_where_they_are_relative_to_each_other(make_sequence):
    clip = make_sequence(frames=24, persons=2)
    found, _ = prepare_clip(clip, frames=24, persons=2)
    apart = np.linalg.norm(clip.positions[:, 0] - clip.positions[:, 1], axis=-1)
    np.testing.assert_allclose(
        np.linalg.norm(found[:, :20] - found[:, 20:], axis=-1), apart, atol=1e-5
    )


def test_imputed_positions_count_although_nobody_measured_them(make_sequence):
    clip = make_sequence(frames=24)
    unmeasured = clip.replaced(observed=np.zeros_like(clip.observed))
    assert not measurable(unmeasured)
    imputed = unmeasured.replaced(source=Source.IMPUTED)
    assert measurable(imputed)
    np.testing.assert_array_equal(prepare_clip(imputed)[0], prepare_clip(clip)[0])


def test_one_frame_cannot_be_measured(make_sequence):
    assert not measurable(make_sequence(frames=1))
    assert measurable(make_sequence(frames=2))


def test_many_clips_keep_their_labels_names_and_numbers(make_sequence):
    clips = [make_sequence(name=f"clip {i}", frames=20 + i, seed=i) for i in range(3)]
    found = prepare_clips(zip(clips, [4, 2, 4], strict=True), frames=12)
    assert found.positions.shape == (3, 12, 20, 3)
    assert found.positions.dtype == np.float32
    assert found.labels.tolist() == [4, 2, 4]
    assert found.names == ("clip 0", "clip 1", "clip 2")
    for i, clip in enumerate(clips):
        on_grid, numbers = prepare_clip(clip, frames=12)
        np.testing.assert_allclose(found.positions[i], on_grid, atol=1e-6)
        assert found.native["velocity_m_s"][i] == numbers["velocity_m_s"]


def test_no_clips_are_no_error_here():
    assert len(prepare_clips([])) == 0


def test_arrays_without_names_are_numbered():
    clips = PreparedClips(np.zeros((2, 3, 4, 3), dtype=np.float32), np.zeros(2, dtype=np.int64))
    assert clips.names == ("0", "1")


def test_bones_and_roots_of_the_second_person_are_shifted_by_a_body():
    bones, v = LAYOUT.bones, LAYOUT.num_joints
    assert bones_of(LAYOUT, 2) == (*bones, *((c + v, p + v) for c, p in bones))
    assert roots_of(LAYOUT, 2).tolist() == [LAYOUT.root] * v + [LAYOUT.root + v] * v
