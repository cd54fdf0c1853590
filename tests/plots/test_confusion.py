import numpy as np
import pytest
from PIL import Image

from skelaug.plots.confusion import draw_confusion

CLASSES = ["kick", "wave [slow]", "cost $5 to $6"]


def test_the_picture_is_dark_where_clips_are_and_light_elsewhere(tmp_path):
    path = tmp_path / "confusion.png"
    counts = np.diag([5, 3, 2])
    draw_confusion(path, {"synthetic": counts}, rows=CLASSES, columns=CLASSES)
    with Image.open(path) as image:
        grey = np.asarray(image.convert("L"))
    assert grey.min() < 80
    assert np.mean(grey > 230) > 0.7


def test_every_set_gets_a_matrix_of_its_own(tmp_path):
    one, two = tmp_path / "one.png", tmp_path / "two.png"
    counts = np.eye(3, dtype=int)
    draw_confusion(one, {"synthetic": counts}, rows=CLASSES, columns=CLASSES)
    draw_confusion(two, {"synthetic": counts, "held-out": counts}, rows=CLASSES, columns=CLASSES)
    with Image.open(one) as narrow, Image.open(two) as wide:
        assert wide.width > narrow.width
        assert wide.height == narrow.height


def test_a_class_without_clips_is_blank_and_rows_may_be_fewer_than_columns(tmp_path):
    path = tmp_path / "confusion.png"
    draw_confusion(path, {"synthetic": np.zeros((2, 3), int)}, rows=CLASSES[:2], columns=CLASSES)
    assert path.stat().st_size > 0


def test_sizes_that_differ_are_refused_and_write_nothing(tmp_path):
    with pytest.raises(ValueError, match="R = 3"):
        draw_confusion(tmp_path / "a.png", {"x": np.eye(2, 3)}, rows=CLASSES, columns=CLASSES)
    assert list(tmp_path.iterdir()) == []


def test_a_class_that_no_answer_can_name_is_a_row_without_a_right_one(tmp_path):
    path = tmp_path / "confusion.png"
    counts = np.array([[4, 0], [1, 1]])
    draw_confusion(path, {"data.h5": counts}, rows=["kick", "jump"], columns=["kick", "walk"])
    assert path.stat().st_size > 0
