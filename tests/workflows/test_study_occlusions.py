"""Occlusions hide what their names say, and each has an address."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from skelaug.data.store import SequenceFile
from skelaug.imputation.tracks import Track
from skelaug.skeleton.layouts import get_layout
from skelaug.workflows.study_occlusions import (
    ENTRIES,
    OCCLUSIONS,
    TIMED_OCCLUSIONS,
    occluded,
    random_entries,
    write_occluded,
)
from skelaug.workflows.study_windows import whole_windows

LAYOUT = get_layout("kinect_20")


@pytest.fixture
def windows(data_file):
    with SequenceFile(data_file) as file:
        return whole_windows(file, range(6), frames=20, fps=30.0)


@pytest.mark.parametrize("count", ENTRIES)
def test_random_entries_are_whole_joints_of_at_least_so_many_coordinates(windows, count):
    for track in occluded(windows, random_entries(count), LAYOUT):
        hidden = 3 * int((~track.observed).sum())
        assert count <= hidden < count + 3
        assert np.isnan(track.positions[~track.observed]).all()


def check(tracks, what, frames):
    """That one limb or everything is gone for so many frames in a row."""
    parts = {"a limb": set(LAYOUT.parts.values()), "all": {tuple(range(LAYOUT.num_joints))}}
    for track in tracks:
        gone = ~track.observed
        rows = np.flatnonzero(gone.any(axis=1))
        assert len(rows) == frames == rows[-1] - rows[0] + 1
        joints = tuple(np.flatnonzero(gone.any(axis=0)))
        assert joints in parts[what]
        assert gone[np.ix_(rows, joints)].all()


@pytest.mark.parametrize("frames", [5, 10])
@pytest.mark.parametrize("what", ["a limb", "all"])
def test_a_gap_has_its_frames(windows, what, frames):
    check(occluded(windows, OCCLUSIONS[f"{what}, {frames} frames"], LAYOUT), what, frames)


@pytest.mark.parametrize(("fps", "frames"), [(30.0, 6), (25.0, 5), (50.0, 10)])
@pytest.mark.parametrize("what", ["a limb", "all"])
def test_a_timed_gap_has_its_seconds_at_the_rate_of_the_clip(windows, what, fps, frames):
    told = tuple(
        replace(one, track=Track(one.track.positions, one.track.observed, fps)) for one in windows
    )
    gaps = occluded(replace(windows, windows=told), TIMED_OCCLUSIONS[f"{what}, 0.2 s"], LAYOUT)
    check(gaps, what, frames)


def test_a_joint_is_gone_for_good(windows):
    for track in occluded(windows, OCCLUSIONS["a joint, always"], LAYOUT):
        assert (~track.observed).all(axis=0).sum() == 1
        assert (~track.observed).any(axis=0).sum() == 1


def test_a_seed_and_a_clip_are_the_address_of_a_gap(windows):
    one, same, other = (
        [t.observed for t in occluded(windows, random_entries(30), LAYOUT, seed=seed)]
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    alone = replace(windows, windows=windows.windows[3:4])
    np.testing.assert_array_equal(
        occluded(alone, random_entries(30), LAYOUT, seed=1)[0].observed, one[3]
    )


def test_so_many_clips_with_gaps_are_written_the_windows_in_turn(windows, tmp_path):
    hide = OCCLUSIONS["a limb, 5 frames"]
    write_occluded(tmp_path / "a.h5", windows, hide, LAYOUT, count=8)
    tracks = occluded(windows, hide, LAYOUT)
    with SequenceFile(tmp_path / "a.h5") as file:
        clips = [file[row] for row in range(len(file))]
    assert len(clips) == 8
    for clip, track in zip(clips, tracks + tracks[:2], strict=True):
        np.testing.assert_array_equal(clip.observed[:, 0], track.observed)
        np.testing.assert_array_equal(clip.positions[:, 0], track.positions)
