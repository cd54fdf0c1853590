"""What is measured on is whole, and what is not is counted with its reason."""

from __future__ import annotations

import numpy as np
import pytest

from skelaug.data.store import SequenceFile
from skelaug.errors import DataError
from skelaug.workflows.study_windows import whole_clips, whole_stretches, whole_windows


def test_a_window_lies_where_all_was_measured_and_as_near_to_the_middle_as_it_can(
    write_file, make_sequence, tmp_path
):
    clip = make_sequence(frames=60, persons=2)
    clip.observed[35, 0, 3] = False  # the first person: frames 36 to 59 or 0 to 34 are whole
    clip.observed[::9, 1, 5] = False  # the second has no whole window
    path = write_file(tmp_path / "a.h5", [clip, make_sequence(name="short", frames=9)])
    with SequenceFile(path) as file:
        windows = whole_windows(file, [0, 1], frames=10, fps=30.0)
    (found,) = windows
    assert found.row == 0
    np.testing.assert_array_equal(found.track.positions, clip.positions[25:35, 0])
    assert found.track.is_whole
    assert dict(windows.left_out) == {
        "with gaps in all 10 frames at 30 per second": 1,
        "shorter than 10 frames at 30 per second": 1,
    }
    for reason in windows.left_out:
        assert reason in str(windows)


def test_a_clip_of_a_higher_rate_is_read_in_strides(write_file, make_sequence, tmp_path):
    clip = make_sequence(frames=80, fps=120.0)
    with SequenceFile(write_file(tmp_path / "a.h5", [clip])) as file:
        (found,) = whole_windows(file, [0], frames=20, fps=30.0)
    np.testing.assert_array_equal(found.track.positions, clip.positions[::4, 0])
    assert found.track.fps == 30.0


def test_a_stretch_has_its_seconds_at_the_rate_of_its_clip(write_file, make_sequence, tmp_path):
    clips = [make_sequence(name=f"{fps}", frames=90, fps=fps) for fps in (25.0, 100.0)]
    with SequenceFile(write_file(tmp_path / "a.h5", clips)) as file:
        slow, fast = whole_stretches(file, [0, 1], seconds=0.8)
    assert (len(slow.track.positions), slow.track.fps) == (20, 25.0)
    assert (len(fast.track.positions), fast.track.fps) == (80, 100.0)
    np.testing.assert_array_equal(fast.track.positions, clips[1].positions[5:85, 0])


def test_a_whole_clip_is_of_one_person_and_without_gaps(write_file, make_sequence, tmp_path):
    gappy, nobody = make_sequence(name="gappy"), make_sequence(name="nobody")
    gappy.observed[3, 0, 4] = False
    nobody.observed[:] = False
    clips = [make_sequence(name="two", persons=2), gappy, nobody, make_sequence(name="whole")]
    with SequenceFile(write_file(tmp_path / "a.h5", clips)) as file:
        found = whole_clips(file, range(4))
    assert [one.row for one in found] == [3]
    assert dict(found.left_out) == {"of several persons": 1, "with gaps": 1, "of nobody": 1}


def test_where_nothing_is_whole_the_message_says_why(write_file, make_sequence, tmp_path):
    clips = [make_sequence(name=str(n), frames=9) for n in range(3)]
    with SequenceFile(write_file(tmp_path / "a.h5", clips)) as file:
        with pytest.raises(DataError, match=r"in 3 clips \(3 shorter than 10 frames at 30"):
            whole_windows(file, range(3), frames=10, fps=30.0)
        with pytest.raises(DataError, match=r"0 clips \(no clip\)"):
            whole_stretches(file, [], seconds=0.1)


@pytest.mark.parametrize(("most", "rows"), [(None, range(7)), (9, range(7)), (3, (0, 3, 6))])
def test_some_are_taken_evenly_from_end_to_end_and_it_is_said(
    write_file, make_sequence, tmp_path, most, rows
):
    clips = [make_sequence(name=str(n)) for n in range(7)]
    with SequenceFile(write_file(tmp_path / "a.h5", clips)) as file:
        found = whole_clips(file, range(7)).spread(most)
    assert [one.row for one in found] == list(rows)
    assert str(found).startswith(f"{len(rows)} stretches")
    assert (" of 7, evenly spread" in str(found)) == (len(rows) < 7)
    with pytest.raises(ValueError, match="at least 1"):
        found.spread(0)
