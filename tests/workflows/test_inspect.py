"""What is in a file, counted a second way."""

import numpy as np
import pytest

from skelaug.checkpoint import Checkpoint, save_checkpoint
from skelaug.errors import DataError, NotFoundError
from skelaug.skeleton.sequence import Source
from skelaug.workflows import images
from skelaug.workflows.inspect import InspectConfig, run


def look(path, **options):
    return run(InspectConfig(file=path, **options))


def test_the_numbers_of_a_sequence_file_are_those_of_its_clips(
    labelled_clips, write_file, tmp_path
):
    clips = labelled_clips(missing=0.1)
    report = look(write_file(tmp_path / "a.h5", clips, persons=3))
    lengths = [clip.num_frames for clip in clips]
    assert (report.kind, report.clips, report.frames) == ("sequences", 24, sum(lengths))
    assert report.length is not None
    assert (report.length.least, report.length.greatest) == (min(lengths), max(lengths))
    assert report.length.median == np.median(lengths)
    assert report.fps == [30.0]
    assert {count.name: count.clips for count in report.subjects} == {"1": 8, "2": 8, "3": 8}
    assert [(count.name, count.clips) for count in report.classes] == [
        ("kick forward", 6),
        ("walk", 6),
        ("wave", 6),
        ("sit [slow]", 6),
    ]
    # person slots that are never filled are padding, not missing joints
    hidden = sum(int((~clip.observed).sum()) for clip in clips)
    joints = sum(clip.observed.size for clip in clips)
    assert report.missing == pytest.approx(hidden / joints)
    assert report.provenance[0]["command"] == "test"


def test_clips_in_many_blocks_and_absent_persons_are_counted(make_sequence, write_file, tmp_path):
    clips = [
        make_sequence(name=str(k), frames=2, persons=1 + k % 2, missing=0.2, seed=k)
        for k in range(600)
    ]
    report = look(write_file(tmp_path / "a.h5", clips))
    hidden = sum(int((~clip.observed).sum()) for clip in clips)
    assert report.missing == pytest.approx(hidden / sum(clip.observed.size for clip in clips))
    assert report.persons == 2


def test_unknown_labels_sources_and_classes_without_a_clip_are_shown(
    make_sequence, write_file, tmp_path
):
    clips = [
        make_sequence("", name="a"),
        make_sequence("walk", name="b", source=Source.SYNTHETIC, subject=-1),
    ]
    report = look(write_file(tmp_path / "a.h5", clips, classes=("walk", "jump")))
    shown = [(count.name, count.clips) for count in report.classes]
    assert shown == [("walk", 1), ("jump", 0), ("(no label)", 1)]
    assert {count.name: count.clips for count in report.sources} == {"real": 1, "synthetic": 1}
    assert [count.name for count in report.subjects] == ["1"]


def test_a_file_without_clips_has_no_spread(make_sequence, tmp_path):
    from skelaug.data.store import Schema, write_sequences

    schema = Schema(make_sequence().layout, ("walk",))
    write_sequences(tmp_path / "a.h5", [], schema, provenance=[])
    report = look(tmp_path / "a.h5")
    assert (report.clips, report.length, report.missing) == (0, None, None)


def test_the_joints_are_listed_with_their_parents(data_file):
    rows = look(data_file, joints=True).joint_list
    assert [row.joint for row in rows if not row.parent] == ["hip_center"]
    assert next(row for row in rows if row.joint == "left_knee").parent == "left_hip"
    assert look(data_file).joint_list == []


def test_images_are_described_too(data_file, tmp_path):
    images.run(images.ImagesConfig(data=data_file, out=tmp_path / "i.h5", frames=16))
    report, sequences = look(tmp_path / "i.h5"), look(data_file)
    assert (report.kind, report.image_size) == ("images", (20, 16))
    assert report.classes == sequences.classes
    assert report.length == sequences.length
    assert len(report.provenance) == 2


def test_a_run_directory_and_its_weights_are_a_model(make_sequence, tmp_path):
    import torch

    checkpoint = Checkpoint(
        kind="guide.linear",
        arguments={},
        weights={"w": torch.zeros(3, 4)},
        layout=make_sequence().layout,
        classes=("walk",),
    )
    save_checkpoint(tmp_path / "run" / "model.safetensors", checkpoint)
    for path in (tmp_path / "run", tmp_path / "run" / "model.safetensors"):
        report = look(path)
        assert report.kind == "model"
        assert report.model is not None
        assert report.model.parts[0].parameters == 12


@pytest.mark.parametrize("junk", [b"", b"junk", b"PK\x03\x04"])
def test_another_kind_of_file_is_named(tmp_path, junk):
    (tmp_path / "a.h5").write_bytes(junk)
    with pytest.raises(DataError, match=r"a\.h5"):
        look(tmp_path / "a.h5")


def test_nothing_there_is_not_found(tmp_path):
    with pytest.raises(NotFoundError, match=r"a\.h5"):
        look(tmp_path / "a.h5")
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFoundError, match="safetensors"):
        look(tmp_path / "empty")


def test_uncertainty_is_the_root_mean_square_over_what_was_invented(
    make_sequence, write_file, tmp_path
):
    clip = make_sequence(missing=0.3)
    said = np.where(clip.observed, 0, 0.02).astype(np.float32)
    said[np.unravel_index(np.flatnonzero(~clip.observed)[:2], said.shape)] = [np.nan, 0.1]
    hidden = int((~clip.observed).sum()) - 1
    path = write_file(tmp_path / "a.h5", [clip.replaced(uncertainty=said)], has_uncertainty=True)
    found = look(path).uncertainty
    assert found is not None
    assert found.joints == hidden
    expected = 1e3 * np.sqrt((0.1**2 + (hidden - 1) * 0.02**2) / hidden)
    assert found.rms_mm == pytest.approx(expected, rel=1e-6)
    assert look(write_file(tmp_path / "b.h5", [clip])).uncertainty is None
