import numpy as np

from skelaug.data.store import SequenceFile
from skelaug.imputation.gaps import Gap, GapKind
from skelaug.workflows.file_gaps import find_file_gaps, measured_joints, tracks_of, unknown_persons


def look(path, *, min_confidence=0.0):
    counted = []
    with SequenceFile(path) as file:
        found = find_file_gaps(
            file, min_confidence=min_confidence, seed=0, advance=lambda *_: counted.append(1)
        )
        assert len(counted) == len(file)
    return found


def with_gap(clip, frames, joints, *, person=0, as_number=False):
    observed, positions = clip.observed.copy(), clip.positions.copy()
    observed[frames, person, joints] = False
    if not as_number:
        positions[frames, person, joints] = np.nan
    return clip.replaced(observed=observed, positions=positions)


def test_a_joint_is_measured_where_it_is_observed_finite_and_sure_enough(make_sequence):
    clip = make_sequence(frames=4)
    positions = clip.positions.copy()
    positions[1, 0, 2, 0] = np.nan
    observed = clip.observed.copy()
    observed[0, 0, 3] = False
    confidence = np.ones(observed.shape, np.float32)
    confidence[2, 0, 4], confidence[3, 0, 5] = 0.4, np.nan
    clip = clip.replaced(positions=positions, observed=observed, confidence=confidence)
    missing = {tuple(entry) for entry in np.argwhere(~measured_joints(clip, 0.5)).tolist()}
    assert missing == {(1, 0, 2), (0, 0, 3), (2, 0, 4), (3, 0, 5)}
    missing = {tuple(entry) for entry in np.argwhere(~measured_joints(clip, 0.4)).tolist()}
    assert missing == {(1, 0, 2), (0, 0, 3), (3, 0, 5)}
    assert (~measured_joints(clip, 0.0)).sum() == 2
    assert measured_joints(clip.replaced(confidence=None), 0.9).sum() == clip.observed.size - 2


def test_every_kind_of_gap_is_counted_in_joints_and_frames(tmp_path, make_sequence, write_file):
    clips = [
        with_gap(make_sequence(name="a", frames=40), slice(5, 9), [3, 4]),
        with_gap(make_sequence(name="b", frames=40), slice(5, 25), [6]),
        with_gap(make_sequence(name="c", frames=40), slice(30, 40), [6], as_number=True),
        with_gap(make_sequence(name="d", frames=40, persons=2), slice(0, 40), [7], person=1),
        make_sequence(name="e", frames=40),
    ]
    found = look(write_file(tmp_path / "a.h5", clips))
    assert found.missing == {
        GapKind.SHORT: 8,
        GapKind.LONG: 20,
        GapKind.OPEN: 10,
        GapKind.UNSEEN: 40,
    }
    assert found.gaps == {
        GapKind.SHORT: (Gap(GapKind.SHORT, (3, 4), 4),),
        GapKind.LONG: (Gap(GapKind.LONG, (6,), 20),),
        GapKind.OPEN: (Gap(GapKind.OPEN, (6,), 10),),
        GapKind.UNSEEN: (Gap(GapKind.UNSEEN, (7,), 40),),
    }
    assert (found.clips, found.rejected) == (4, ())


def test_a_slot_that_nobody_fills_is_no_gap_and_a_clip_of_nobody_is_rejected(
    tmp_path, make_sequence, write_file
):
    alone = make_sequence(name="alone")
    empty = make_sequence(name="empty", missing=1.0)
    unsure = make_sequence(name="unsure", persons=2)
    confidence = np.ones(unsure.observed.shape, np.float32)
    confidence[:, 1] = 0.1
    clips = [alone, empty, unsure.replaced(confidence=confidence)]
    path = write_file(tmp_path / "a.h5", clips, persons=2, has_confidence=True)
    found = look(path)
    assert found.missing == {}
    assert [(one.name, one.reason) for one in found.rejected] == [
        ("empty", "no joint was measured in any frame")
    ]
    found = look(path, min_confidence=0.5)
    assert found.rejected[1].name == "unsure"
    assert found.rejected[1].reason == "person 1: no joint has a confidence of 0.5"
    with SequenceFile(path) as file:
        assert [list(tracks_of(clip, 0.5)) for clip in file] == [[0], [], [0]]


def test_persons_are_numbered_as_along_their_axis(make_sequence):
    """So that a number of a report is an index of /positions."""
    clip = make_sequence(name="a", persons=3)
    confidence = np.ones(clip.observed.shape, np.float32)
    confidence[:, [0, 2]] = 0.1
    told = unknown_persons(clip.replaced(confidence=confidence), 0.5)
    assert [one.reason.partition(":")[0] for one in told] == ["person 0", "person 2"]
    assert unknown_persons(clip.replaced(confidence=confidence), 0.0) == []


def test_what_is_remembered_of_many_gaps_is_bounded_and_drawn_from_all(
    tmp_path, make_sequence, write_file, monkeypatch
):
    monkeypatch.setattr("skelaug.workflows.file_gaps._KEPT", 20)
    clips = [
        with_gap(make_sequence(name=str(n), frames=6), slice(2, 3), [n % 20]) for n in range(200)
    ]
    gaps = look(write_file(tmp_path / "a.h5", clips)).gaps[GapKind.SHORT]
    assert len(gaps) == 20
    # the first twenty gaps are of joints 0 to 19, each once
    assert sorted(gap.joints[0] for gap in gaps) != list(range(20))


def test_a_clip_without_frames_is_rejected(tmp_path, make_sequence, write_file):
    found = look(write_file(tmp_path / "a.h5", [make_sequence(frames=0), make_sequence(name="b")]))
    assert [one.reason for one in found.rejected] == ["it has no frames"]
    assert found.clips == 0
