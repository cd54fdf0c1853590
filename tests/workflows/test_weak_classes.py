"""Clips go where errors are: in proportion, exactly as many as asked for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skelaug.errors import DataError, NotFoundError, UsageError
from skelaug.workflows.weak_classes import Confusion, allocated, read_confusion, weak_classes

# kick is taken for wave three times, wave for kick once, sit for walk twice; walk is never missed
COUNTS = [[7, 0, 3, 0], [0, 9, 0, 0], [1, 0, 4, 0], [0, 2, 0, 6]]
NAMES = ("kick", "walk", "wave", "sit")
CONFUSION = Confusion(NAMES, NAMES, np.array(COUNTS))


@given(st.lists(st.integers(0, 50), min_size=1, max_size=9).filter(any), st.integers(1, 10**6))
def test_shares_sum_to_the_total_and_are_proportional(weights: list[int], total: int) -> None:
    shares = allocated(np.array(weights), total)
    exact = np.array(weights) * total / sum(weights)
    assert shares.sum() == total
    assert (np.abs(shares - exact) < 1 + 1e-6).all()
    # a larger remainder is never rounded down while a smaller one is rounded up
    rest = np.array([w * total % sum(weights) for w in weights])
    up = shares > np.array([w * total // sum(weights) for w in weights])
    assert not up.any() or rest[up].min() >= rest[~up].max(initial=0)


def test_errors_count_both_ways_and_classes_without_any_get_nothing() -> None:
    found = {one.label: one for one in weak_classes(CONFUSION, total=120)}
    assert {name: one.errors for name, one in found.items()} == {
        "kick": 4,
        "walk": 2,
        "wave": 4,
        "sit": 2,
    }
    assert {name: one.clips for name, one in found.items()} == {
        "kick": 40,
        "walk": 20,
        "wave": 40,
        "sit": 20,
    }
    assert found["kick"].recall == 0.7
    assert found["kick"].confused_with == "wave"
    assert found["walk"].recall == 1.0
    once = np.diag([5, 5, 5, 5])
    once[0, 2] = 1
    assert [one.label for one in weak_classes(Confusion(NAMES, NAMES, once))] == ["kick", "wave"]


def test_labels_restrict_and_the_default_is_a_hundred_per_weak_class() -> None:
    found = weak_classes(CONFUSION, labels=("kick", "sit"))
    assert [(one.label, one.clips) for one in found] == [("kick", 133), ("sit", 67)]


def test_classes_go_by_their_names_not_by_their_places() -> None:
    order = [2, 0, 3, 1]
    shuffled = Confusion(NAMES, tuple(NAMES[i] for i in order), np.array(COUNTS)[:, order])
    assert weak_classes(shuffled) == weak_classes(CONFUSION)


def test_a_class_that_the_recognizer_lacks_is_all_errors() -> None:
    confusion = Confusion(("kick", "jump"), ("kick", "walk"), np.array([[5, 0], [2, 1]]))
    found = {one.label: one for one in weak_classes(confusion)}
    assert found["jump"].errors == 3
    assert found["jump"].recall == 0.0
    assert found["walk"].recall is None  # no clip of it was tested


def test_without_errors_there_is_nothing_to_draw() -> None:
    with pytest.raises(UsageError, match="expected classes that were mistaken, got none; choose"):
        weak_classes(Confusion(NAMES, NAMES, np.diag([5, 5, 5, 5])))
    with pytest.raises(UsageError, match="got none among those of --label"):
        weak_classes(CONFUSION, labels=("jump",))


def _run(folder: Path, scores: object) -> Path:
    folder.mkdir()
    (folder / "scores.json").write_text(scores if isinstance(scores, str) else json.dumps(scores))
    return folder


def test_scores_of_a_run_are_read(tmp_path: Path) -> None:
    told = {"truths": NAMES, "classes": NAMES, "counts": COUNTS}
    found = read_confusion(_run(tmp_path / "run", {"accuracy": 0.8, "confusion": told}))
    assert weak_classes(found) == weak_classes(CONFUSION)


@pytest.mark.parametrize(
    ("scores", "error", "message"),
    [
        ({"accuracy": 0.5}, NotFoundError, "train the recognizer again"),
        ("{", DataError, "expected a confusion matrix"),
        ({"confusion": {"truths": ["a"]}}, DataError, "expected a confusion matrix"),
        ({"confusion": 5}, DataError, "expected a confusion matrix"),
        (
            {"confusion": {"truths": ["a"], "classes": ["a", "b"], "counts": [[1]]}},
            DataError,
            r"expected 1 x 2 counts of clips, got \(1, 1\)",
        ),
    ],
)
def test_scores_without_a_matrix_are_named(
    tmp_path: Path, scores: object, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        read_confusion(_run(tmp_path / "run", scores))


def test_a_run_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no such run"):
        read_confusion(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFoundError, match="train the recognizer again"):
        read_confusion(tmp_path / "empty")
