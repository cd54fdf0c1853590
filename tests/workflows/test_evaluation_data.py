import re

import numpy as np
import pytest

from skelaug.data.splits import split_clips, split_hash
from skelaug.data.store import Schema, SequenceFile, write_sequences
from skelaug.errors import CheckFailedError, DataError, UsageError
from skelaug.workflows.evaluation_data import check_leak, choose_clips, choose_split, prepared


@pytest.fixture
def synthetic_file(tmp_path, make_sequence):
    """``synthetic_file(split=record, labels=...)``: a file whose generator had that split."""

    def write(split=None, labels=("walk", "wave"), layout="kinect_20", name="synthetic.h5"):
        clips = [
            make_sequence(label, name=f"{label} {i}", seed=i, layout=layout)
            for label in labels
            for i in range(3)
        ]
        record = {"command": "synth"}
        if split is not None:
            record["model"] = {"name": "mine", "split": split}
        path = tmp_path / name
        classes = tuple(dict.fromkeys(label for label in labels if label))
        write_sequences(path, clips, Schema(clips[0].layout, classes), provenance=[record])
        return SequenceFile(path)

    return write


@pytest.fixture
def real(data_file):
    return SequenceFile(data_file)


def record(real, rule):
    split = split_clips(real, rule)
    return {"rule": rule, "hash": split.hash}


def test_the_rule_that_was_asked_for_is_used_and_must_fit(real, synthetic_file):
    assert choose_split(real, synthetic_file(), "subject=1").rule == "subject=1"
    with pytest.raises(UsageError, match="subject 9"):
        choose_split(real, synthetic_file(), "subject=9")


def test_by_default_the_split_is_the_generators_own(real, synthetic_file):
    split = choose_split(real, synthetic_file(record(real, "subject=1,3")), None)
    assert split.rule == "subject=1,3"
    assert len(split.test) == 8


def test_without_one_it_is_official_and_else_everything_trains(
    real, synthetic_file, tmp_path, make_sequence, write_file
):
    assert choose_split(real, synthetic_file(), None).rule == ""
    utd = [make_sequence(name=f"a1_s{s}_t1", subject=s) for s in (1, 2)]
    with SequenceFile(write_file(tmp_path / "utd.h5", utd)) as official:
        assert choose_split(official, synthetic_file(), None).rule == "official"


def test_a_generators_rule_that_does_not_fit_is_passed_over(real, synthetic_file):
    foreign = {"rule": "subject=77", "hash": "0"}
    assert choose_split(real, synthetic_file(foreign), None).rule == ""


def test_a_generator_that_saw_test_clips_is_refused(real, synthetic_file):
    split = split_clips(real, "subject=1")
    synthetic = synthetic_file(record(real, "subject=1,2"))
    message = r"saw none of the 16 test clips of --split 'subject=1', got one trained on 8 of them"
    with pytest.raises(CheckFailedError, match=message):
        check_leak(real, synthetic, split)


def test_a_generator_that_saw_everything_is_refused(real, synthetic_file):
    everything = {"rule": "", "hash": split_hash(real.names)}
    with pytest.raises(CheckFailedError, match="16 of them"):
        check_leak(real, synthetic_file(everything), split_clips(real, "subject=1"))


def test_a_generator_that_was_trained_on_the_test_part_alone_is_refused(real, synthetic_file):
    split = split_clips(real, "subject=1")
    other_way_round = {"rule": "subject=1", "hash": split_hash([real.names[i] for i in split.test])}
    with pytest.raises(CheckFailedError, match="16 of them"):
        check_leak(real, synthetic_file(other_way_round), split)


def test_a_judge_that_saw_test_clips_is_refused_like_a_generator(real, tmp_path, make_sequence):
    split = split_clips(real, "subject=1")
    clip = make_sequence("walk")
    told = {"model": {"split": record(real, "subject=1")}}

    def judged_by(rule):
        told["judge"] = {"split": record(real, rule)}
        path = tmp_path / f"{rule}.h5"
        write_sequences(path, [clip], Schema(clip.layout, ("walk",)), provenance=[told])
        return SequenceFile(path)

    assert check_leak(real, judged_by("subject=1"), split) == []
    with pytest.raises(CheckFailedError, match="trained on 8 of them"):
        check_leak(real, judged_by("subject=1,2"), split)


def test_a_generator_of_the_training_part_passes_in_silence(real, synthetic_file):
    split = split_clips(real, "subject=1,2")
    assert check_leak(real, synthetic_file(record(real, "subject=1,2")), split) == []
    assert check_leak(real, synthetic_file(record(real, "subject=1")), split) == []


def test_a_rule_by_names_tells_although_the_generator_had_more_data(
    synthetic_file, tmp_path, make_sequence, write_file
):
    utd = [make_sequence(name=f"a1_s{s}_t1", subject=s) for s in (1, 2, 3)]
    with SequenceFile(write_file(tmp_path / "utd.h5", utd)) as real:
        synthetic = synthetic_file({"rule": "official", "hash": "of a larger file"})
        assert check_leak(real, synthetic, split_clips(real, "official")) == []
        with pytest.raises(CheckFailedError, match="official"):
            check_leak(real, synthetic, split_clips(real, "subject=2,3"))


@pytest.mark.parametrize("split", [None, {"rule": "subject=1", "hash": "of other data"}])
def test_what_cannot_be_checked_is_said(real, synthetic_file, split):
    notes = check_leak(real, synthetic_file(split), split_clips(real, "subject=1"))
    assert len(notes) == 1
    assert "cannot be excluded" in notes[0]
    assert check_leak(real, synthetic_file(split), split_clips(real, "")) == []


def test_labels_become_indices_into_one_list_whatever_order_the_files_have(real, synthetic_file):
    synthetic = synthetic_file(labels=("wave", "walk"))
    data = choose_clips(real, synthetic, split_clips(real, "subject=1,2"), limit=99)
    assert data.classes == real.classes
    for side in (data.train, data.synthetic, data.held_out):
        for row, label in zip(side.rows, side.labels, strict=True):
            assert side.file.label_name(int(row)) == data.classes[label]
    assert (len(data.train), len(data.synthetic), len(data.held_out)) == (16, 6, 8)
    assert data.notes == ()


def test_classes_of_one_side_only_are_left_out_with_a_note(real, synthetic_file):
    synthetic = synthetic_file(labels=("walk", "dance"))
    data = choose_clips(real, synthetic, split_clips(real, ""), limit=99)
    assert len(data.synthetic) == 3
    assert data.held_out is None
    assert any("3 clips are of classes" in note for note in data.notes)


def test_clips_without_a_label_are_left_out_with_a_note(real, tmp_path, make_sequence, write_file):
    clips = [make_sequence(label, name=f"{i}") for i, label in enumerate(["walk", "", "walk"])]
    with SequenceFile(write_file(tmp_path / "some.h5", clips)) as synthetic:
        data = choose_clips(real, synthetic, split_clips(real, ""), limit=99)
    assert len(data.synthetic) == 2
    assert data.notes == ("some.h5: 1 clips have no label and are left out",)


def test_a_limit_takes_the_same_clips_in_whatever_order(real, synthetic_file):
    split = split_clips(real, "")
    some = choose_clips(real, synthetic_file(), split, limit=10)
    fewer = choose_clips(real, synthetic_file(), split, limit=4)
    assert len(some.train) == 10
    assert set(fewer.train.names) < set(some.train.names)
    assert any("(--limit)" in note for note in some.notes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layout": "ntu_25"}, "expected layout kinect_20"),
        ({"labels": ("dance",)}, "expected classes of"),
        ({"labels": ("",)}, "expected labelled clips"),
    ],
)
def test_files_that_do_not_fit_are_refused_by_name(real, synthetic_file, options, message):
    synthetic = synthetic_file(**options)
    with pytest.raises(DataError, match=message) as caught:
        choose_clips(real, synthetic, split_clips(real, ""), limit=99)
    assert str(caught.value).startswith(str(synthetic.path))


def test_flat_clips_are_refused(real, tmp_path, make_sequence, write_file):
    clip = make_sequence()
    flat = clip.replaced(positions=clip.positions[..., :2])
    with (
        SequenceFile(write_file(tmp_path / "flat.h5", [flat], channels=2)) as synthetic,
        pytest.raises(DataError, match="3 coordinates per joint, got 2"),
    ):
        choose_clips(real, synthetic, split_clips(real, ""), limit=99)


def test_clips_that_cannot_be_measured_are_counted(tmp_path, make_sequence, write_file):
    still = make_sequence(name="one frame", frames=1)
    clips = [make_sequence(name="good"), still, make_sequence(name="unseen", missing=1.1)]
    with SequenceFile(write_file(tmp_path / "some.h5", clips)) as file:
        data = choose_clips(file, file, split_clips(file, ""), limit=99)
        found, lost = prepared(data.train, frames=24, persons=data.persons)
    assert found.names == ("good",)
    assert lost == 2
    with SequenceFile(write_file(tmp_path / "none.h5", [still])) as file:
        data = choose_clips(file, file, split_clips(file, ""), limit=99)
        with pytest.raises(DataError, match=re.escape("none of 1")):
            prepared(data.train, frames=24, persons=1)


def test_persons_are_those_of_the_larger_file(real, tmp_path, make_sequence, write_file):
    both = [make_sequence(persons=2)]
    with SequenceFile(write_file(tmp_path / "two.h5", both)) as synthetic:
        data = choose_clips(real, synthetic, split_clips(real, ""), limit=99)
        found, _ = prepared(data.train, frames=24, persons=data.persons)
    assert found.positions.shape[2] == 40
    assert np.isnan(found.positions[:, :, 20:]).all()
