from __future__ import annotations

import numpy as np
import pytest

from skelaug.workflows.prediction_report import Chance, Tally

ANSWERS = [  # class of the file, class of the model
    *[(0, 1)] * 6,
    *[(0, 0)] * 2,
    *[(2, 0)] * 3,
    *[(3, 1)],
    *[(-1, 0)] * 5,
]


@pytest.fixture
def tally():
    counted = Tally(["walk", "nobody", "wave", "fly"], ["wave", "walk", "sit"])
    for label, answer in ANSWERS:
        counted.add(label, answer)
    return counted


def test_classes_are_matched_by_name_and_an_unknown_one_is_never_right(tally):
    found = tally.fields()
    assert found["accuracy"] == pytest.approx(9 / 12)
    assert found["known_accuracy"] == pytest.approx(9 / 11)
    assert found["chance"] == Chance(uniform=1 / 3, majority=8 / 12)
    assert found["unknown_classes"] == ["fly"]
    rows = [(row.label, row.clips, row.accuracy) for row in found["class_accuracy"]]
    assert rows == [("walk", 8, 6 / 8), ("wave", 3, 1.0), ("fly", 1, 0.0)]
    assert "1 labelled answers are about 1 classes" in tally.warnings("data.h5")[0]
    assert "'fly'" in tally.warnings("data.h5")[0]


def test_without_labels_there_is_no_accuracy():
    counted = Tally(["walk"], ["walk"])
    counted.add(-1, 0)
    found = counted.fields()
    assert (found["accuracy"], found["known_accuracy"], found["chance"]) == (None, None, None)
    assert found["class_accuracy"] == []
    assert counted.accuracy() is None
    assert counted.warnings("data.h5") == []


def test_the_picture_has_a_row_for_each_class_with_clips(tally, tmp_path, monkeypatch):
    drawn = {}
    monkeypatch.setattr(
        "skelaug.plots.confusion.draw_confusion",
        lambda path, matrices, **names: drawn.update(path=path, **matrices, **names),
    )
    tally.draw(tmp_path / "a.png", title="mine")
    assert (drawn["rows"], drawn["columns"]) == (["walk", "wave", "fly"], ("wave", "walk", "sit"))
    np.testing.assert_array_equal(drawn["mine"], [[2, 6, 0], [3, 0, 0], [0, 1, 0]])
