"""The validation part of a probe: whole performers, each in turn, never a clip of the test part."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from skelaug.benchmark.validation import carve_validation
from skelaug.data.store import SequenceFile
from skelaug.errors import DataError


def clips(make_sequence, subjects, *, labels=("walk", "wave"), takes=2):
    return [
        make_sequence(label, name=f"{label} {subject} {take}", subject=subject, seed=take)
        for subject in subjects
        for label in labels
        for take in range(takes)
    ]


@pytest.fixture
def file_of(make_sequence, write_file, tmp_path):
    def make(subjects=(1, 2, 3, 4), **options):
        path = write_file(tmp_path / "some.h5", clips(make_sequence, subjects, **options))
        return SequenceFile(path)

    return make


def every(file):
    return np.arange(len(file.names))


def test_no_performer_is_on_both_sides_and_no_clip_is_lost(file_of):
    file = file_of()
    for number in range(6):
        part = carve_validation(file, every(file), number)
        assert not set(file.subjects[part.train]) & set(file.subjects[part.test])
        assert sorted([*part.train, *part.test]) == every(file).tolist()
        assert len(part.test) == len(file.names) / 4


def test_every_performer_has_a_turn_before_one_has_a_second(file_of):
    file = file_of()
    held = [set(file.subjects[carve_validation(file, every(file), k).test]) for k in range(8)]
    assert set.union(*held[:4]) == set.union(*held[4:]) == {1, 2, 3, 4}
    assert held[:4] != held[4:], "a second round is shuffled anew"


def test_clips_outside_the_training_part_are_on_no_side(file_of):
    file = file_of()
    rows = np.flatnonzero(file.subjects != 3)
    part = carve_validation(file, rows, 0)
    assert 3 not in file.subjects[part.train]
    assert 3 not in file.subjects[part.test]


def test_two_performers_of_unequal_weight_are_told_apart(
    file_of, make_sequence, write_file, tmp_path
):
    some = [*clips(make_sequence, (1,), takes=9), *clips(make_sequence, (2,), takes=1)]
    file = SequenceFile(write_file(tmp_path / "two.h5", some))
    sizes = [len(carve_validation(file, every(file), number).test) for number in range(2)]
    assert sorted(sizes) == [2, 18]


def test_without_performers_a_quarter_of_each_class_is_drawn_and_said_to_flatter(file_of):
    file = file_of((-1,), takes=8)
    part = carve_validation(file, every(file), 0)
    assert Counter(file.label_name(row) for row in part.test) == {"walk": 2, "wave": 2}
    assert "flattering" in part.notes[0]
    other = carve_validation(file, every(file), 1)
    assert part.test.tolist() != other.test.tolist()


def test_a_class_that_nobody_else_performs_is_not_tested(make_sequence, write_file, tmp_path):
    some = [*clips(make_sequence, (1, 2)), make_sequence("sit", name="sit", subject=1)]
    file = SequenceFile(write_file(tmp_path / "sit.h5", some))
    parts = [carve_validation(file, every(file), number) for number in range(2)]
    row = file.names.index("sit")
    assert all(row not in part.test for part in parts)
    assert any("'sit'" in note for part in parts for note in part.notes)


def test_clips_without_a_label_are_on_no_side(make_sequence, write_file, tmp_path):
    some = [*clips(make_sequence, (1, 2)), make_sequence("", name="what", subject=1)]
    file = SequenceFile(write_file(tmp_path / "what.h5", some))
    part = carve_validation(file, every(file), 0)
    assert file.names.index("what") not in [*part.train, *part.test]
    assert "no label" in part.notes[0]


def test_too_few_clips_are_refused(file_of):
    file = file_of((1,), labels=("walk",), takes=1)
    with pytest.raises(DataError, match="expected labelled training clips"):
        carve_validation(file, every(file), 0)
