"""Errors of methods that are known: what counts is what was hidden, and all see the same gaps."""

from __future__ import annotations

import numpy as np
import pytest

from skelaug.data.store import SequenceFile
from skelaug.skeleton.layouts import get_layout
from skelaug.workflows.completion_study import (
    ENTRIES,
    OCCLUSIONS,
    completions,
    occluded,
    random_entries,
    whole_windows,
)

LAYOUT = get_layout("kinect_20")


@pytest.fixture
def windows(data_file):
    with SequenceFile(data_file) as file:
        return whole_windows(file, range(6), frames=20, fps=30.0)


def test_a_window_lies_where_all_was_measured_and_as_near_to_the_middle_as_it_can(
    write_file, make_sequence, tmp_path
):
    clip = make_sequence(frames=60, persons=2)
    clip.observed[35, 0, 3] = False  # the first person: frames 36 to 59 or 0 to 34 are whole
    clip.observed[::9, 1, 5] = False  # the second has no whole window
    path = write_file(tmp_path / "a.h5", [clip, make_sequence(name="short", frames=9)])
    with SequenceFile(path) as file:
        (found,) = whole_windows(file, [0, 1], frames=10, fps=30.0)
    assert found.row == 0
    np.testing.assert_array_equal(found.track.positions, clip.positions[25:35, 0])
    assert found.track.is_whole


def test_a_clip_of_a_higher_rate_is_read_in_strides(write_file, make_sequence, tmp_path):
    clip = make_sequence(frames=80, fps=120.0)
    with SequenceFile(write_file(tmp_path / "a.h5", [clip])) as file:
        (found,) = whole_windows(file, [0], frames=20, fps=30.0)
    np.testing.assert_array_equal(found.track.positions, clip.positions[::4, 0])
    assert found.track.fps == 30.0


@pytest.mark.parametrize("count", ENTRIES)
def test_random_entries_are_whole_joints_of_at_least_so_many_coordinates(windows, count):
    for track in occluded(windows, random_entries(count), LAYOUT):
        hidden = 3 * int((~track.observed).sum())
        assert count <= hidden < count + 3
        assert np.isnan(track.positions[~track.observed]).all()


def test_structured_occlusions_hide_what_they_say(windows):
    for frames in (5, 10):
        for track in occluded(windows, OCCLUSIONS[f"all, {frames} frames"], LAYOUT):
            assert (~track.observed).all(axis=1).sum() == frames
        for track in occluded(windows, OCCLUSIONS[f"a limb, {frames} frames"], LAYOUT):
            gone = ~track.observed
            assert gone.any(axis=1).sum() == frames
            assert tuple(np.flatnonzero(gone.any(axis=0))) in set(LAYOUT.parts.values())
    for track in occluded(windows, OCCLUSIONS["a joint, always"], LAYOUT):
        assert (~track.observed).all(axis=0).sum() == 1


def test_only_hidden_coordinates_count_and_all_methods_see_the_same_gaps(windows):
    truth = [one.track.positions for one in windows]
    asked = []

    def fill(method, tracks):
        asked.append([track.observed for track in tracks])
        return [x + float(method) for x in truth]  # measured joints are moved as well

    made = completions(fill, ["0", "0.5", "2"], windows, random_entries(30), LAYOUT)
    assert made.hidden.tolist() == [30] * 6
    np.testing.assert_array_equal(made.errors["0"], np.zeros(6))
    np.testing.assert_allclose(made.errors["0.5"], 0.25 * made.hidden, rtol=1e-5)
    np.testing.assert_allclose(made.errors["2"], 4 * made.hidden, rtol=1e-5)
    for other in asked[1:]:
        np.testing.assert_array_equal(other, asked[0])


def test_a_seed_and_a_clip_are_the_address_of_a_gap(windows):
    one, same, other = (
        [t.observed for t in occluded(windows, random_entries(30), LAYOUT, seed=seed)]
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    alone = occluded(windows[3:4], random_entries(30), LAYOUT, seed=1)
    np.testing.assert_array_equal(alone[0].observed, one[3])
