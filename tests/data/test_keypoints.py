"""2D poses of a clip's camera travel with it: through files, shards, layouts and windows."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from skelaug.data.shards import ShardFolder
from skelaug.data.store import Schema, SequenceFile, write_sequences
from skelaug.errors import DataError
from skelaug.skeleton.layouts import LAYOUTS
from skelaug.skeleton.mapping import map_sequence
from skelaug.skeleton.sequence import SkeletonSequence
from skelaug.workflows.convert import ConvertConfig, run
from skelaug.workflows.inspect import InspectConfig
from skelaug.workflows.inspect import run as look
from skelaug.workflows.prediction_batches import cut


@pytest.fixture
def seen(make_sequence) -> SkeletonSequence:
    """Two persons, some joints of whom were not detected."""
    clip = make_sequence(name="seen", persons=2, layout="h36m_17")
    keypoints = np.random.default_rng(0).uniform(-1, 1, (*clip.observed.shape, 2))
    keypoints[3, 1, 5] = np.nan
    return clip.replaced(keypoints=keypoints.astype(np.float32))


def test_keypoints_come_back_as_they_were_and_of_nobody_as_gaps(
    tmp_path, seen, make_sequence, write_file
) -> None:
    blind = make_sequence(name="blind", layout="h36m_17")
    path = write_file(tmp_path / "data.h5", [seen, blind], persons=3, has_keypoints=True)
    with SequenceFile(path) as file:
        assert file.has_keypoints
        np.testing.assert_array_equal(file[0].keypoints[:, :2], seen.keypoints)
        assert np.isnan(file[0].keypoints[:, 2]).all()
        assert np.isnan(file[1].keypoints).all()
        np.testing.assert_array_equal(file.keypoints(0, 1), file[0].keypoints)
    with h5py.File(path) as file:
        assert file["keypoints"].dtype == np.float32
        assert file["keypoints"].shape == (*file["observed"].shape, 2)


def test_a_file_without_keypoints_is_the_same_bytes_whether_or_not_clips_have_them(
    tmp_path, seen, write_file
) -> None:
    write_file(tmp_path / "a.h5", [seen.replaced(keypoints=None)])
    write_file(tmp_path / "b.h5", [seen])
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    with SequenceFile(tmp_path / "a.h5") as file:
        assert not file.has_keypoints
        assert file[0].keypoints is None


def test_keypoints_of_another_shape_are_refused(tmp_path, seen, write_file) -> None:
    with pytest.raises(ValueError, match="keypoints: expected T M V C"):
        seen.replaced(keypoints=seen.keypoints[..., :1])
    path = write_file(tmp_path / "data.h5", [seen], has_keypoints=True)
    with h5py.File(path, "r+") as file:
        short = file["keypoints"][:-1]
        del file["keypoints"]
        file["keypoints"] = short
    with pytest.raises(DataError, match="keypoints that are not"):
        SequenceFile(path)


def test_joined_shards_have_keypoints_if_one_has(tmp_path, seen, make_sequence) -> None:
    folder = ShardFolder(tmp_path / "data.h5", count=2, plan={})
    folder.open(resume=False)
    blind = make_sequence(name="blind", layout="h36m_17", persons=2)
    for index, (one, has) in enumerate([(blind, False), (seen, True)]):
        schema = Schema(one.layout, ("walk",), persons=2, has_keypoints=has)
        write_sequences(folder.path(index), [one], schema, provenance=[])
    folder.join(classes=("walk",), provenance=[])
    with SequenceFile(tmp_path / "data.h5") as file:
        assert np.isnan(file[0].keypoints).all()
        np.testing.assert_array_equal(file[1].keypoints, seen.keypoints)


def test_sequence_files_keep_their_keypoints_when_they_are_joined(
    tmp_path, seen, make_sequence, write_file
) -> None:
    a = write_file(tmp_path / "a.h5", [seen], has_keypoints=True)
    b = write_file(tmp_path / "b.h5", [make_sequence(name="blind", layout="h36m_17")])
    run(ConvertConfig(sources=(a, b), out=tmp_path / "all.h5"))
    with SequenceFile(tmp_path / "all.h5") as file:
        clips = {clip.name: clip for clip in file}
    np.testing.assert_array_equal(clips["seen"].keypoints, seen.keypoints)
    assert np.isnan(clips["blind"].keypoints).all()


def test_a_mapped_keypoint_is_the_mean_that_its_joint_is(seen) -> None:
    kinect, source = LAYOUTS["kinect_20"], LAYOUTS["h36m_17"]
    mapped = map_sequence(seen, kinect).keypoints
    knee = mapped[:, :, kinect.index("left_knee")]
    np.testing.assert_array_equal(knee, seen.keypoints[:, :, source.index("left_knee")])
    assert np.isnan(knee[3, 1]).all()
    parts = seen.keypoints[:, :, [source.index("neck"), source.index("head")]]
    np.testing.assert_allclose(mapped[:, :, kinect.index("head")], parts.mean(axis=2), rtol=1e-6)
    assert np.isnan(mapped[:, :, kinect.index("left_foot")]).all()


def test_a_window_of_a_clip_has_the_keypoints_of_its_frames(seen) -> None:
    np.testing.assert_array_equal(cut(seen, 2, 9).keypoints, seen.keypoints[2:9])


def test_info_says_how_much_was_detected(tmp_path: Path, seen, write_file) -> None:
    path = write_file(tmp_path / "data.h5", [seen], has_keypoints=True)
    expected = 1 - 1 / seen.observed.size
    assert look(InspectConfig(file=path)).detected == pytest.approx(expected)
    blind = write_file(tmp_path / "blind.h5", [seen])
    assert look(InspectConfig(file=blind)).detected is None
