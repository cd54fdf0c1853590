"""What a clip with a problem becomes under keep, repair and drop."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from skelaug.data.reading import (
    Clip,
    DamagedError,
    OnProblem,
    Problem,
    in_order,
    measured,
    settle,
    stem,
    value_problems,
)
from skelaug.skeleton.layouts import get_layout
from skelaug.skeleton.sequence import SkeletonSequence


def clip(*problems: Problem, zero: bool = False, nan: bool = False) -> Clip:
    positions = np.ones((3, 1, 20, 3), dtype=np.float32)
    if zero:
        positions[1, 0, 4] = 0
    if nan:
        positions[2, 0, 5] = np.nan
    sequence = SkeletonSequence(
        positions, measured(positions), get_layout("kinect_20"), 30.0, "clip"
    )
    return Clip(sequence, problems=problems)


VALUE = Problem("1 joint is at zero")
STRUCTURE = Problem("breaks off", line=7, structural=True)


def test_repair_makes_what_was_not_measured_nan() -> None:
    sequence = settle(clip(VALUE, zero=True), OnProblem.REPAIR, path="f")
    assert np.isnan(sequence.positions[1, 0, 4]).all()
    assert np.isfinite(sequence.positions).sum() == (3 * 20 - 1) * 3
    assert not sequence.observed[1, 0, 4]


def test_keep_leaves_numbers_but_marks_them_unobserved() -> None:
    sequence = settle(clip(VALUE, zero=True), OnProblem.KEEP, path="f")
    assert (sequence.positions[1, 0, 4] == 0).all()
    assert not sequence.observed[1, 0, 4]


def test_drop_rejects_any_problem() -> None:
    with pytest.raises(DamagedError, match="at zero"):
        settle(clip(VALUE, zero=True), OnProblem.DROP, path="f")


def test_a_broken_structure_is_used_under_repair_alone() -> None:
    assert settle(clip(STRUCTURE), OnProblem.REPAIR, path="f").num_frames == 3
    for choice in (OnProblem.KEEP, OnProblem.DROP):
        with pytest.raises(DamagedError, match="f:7: breaks off"):
            settle(clip(STRUCTURE), choice, path="f")


@pytest.mark.parametrize("choice", list(OnProblem))
def test_a_clip_in_which_nothing_was_measured_is_rejected(choice: OnProblem) -> None:
    empty = clip()
    nothing = empty.sequence.replaced(observed=np.zeros((3, 1, 20), dtype=np.bool_))
    with pytest.raises(DamagedError, match="got none"):
        settle(Clip(nothing), choice, path="f")


@pytest.mark.parametrize("choice", list(OnProblem))
def test_a_clip_without_problems_passes_unchanged(choice: OnProblem) -> None:
    whole = clip()
    assert settle(whole, choice, path="f") is whole.sequence


def test_only_finite_joints_away_from_zero_are_measured() -> None:
    positions = np.array([[[[0, 0, 0], [0, 1, 0], [np.nan, 1, 1], [1, np.inf, 1]]]], dtype=float)
    assert measured(positions).tolist() == [[[False, True, False, False]]]


def test_value_problems_count_joints_and_name_the_first_frame() -> None:
    positions = clip(zero=True, nan=True).sequence.positions
    reasons = [problem.reason for problem in value_problems(positions)]
    assert reasons == [
        "1 joints are not finite, the first in frame 2",
        "1 joints are at zero, the first in frame 1",
    ]


def test_joints_are_matched_by_name() -> None:
    layout = get_layout("kinect_20")
    names = tuple(reversed(layout.joints))
    positions = np.arange(60.0).reshape(1, 1, 20, 3)
    ordered = in_order(positions, names, layout)
    for joint in layout.joints:
        there = positions[0, 0, names.index(joint)]
        np.testing.assert_array_equal(ordered[0, 0, layout.index(joint)], there)


def test_an_error_keeps_its_parts_between_processes() -> None:
    error = pickle.loads(pickle.dumps(DamagedError("a/b.txt", "expected x, got y", line=3)))
    assert (error.path, error.line, error.reason) == ("a/b.txt", 3, "expected x, got y")
    assert str(error) == "a/b.txt:3: expected x, got y"


@pytest.mark.parametrize(
    ("path", "name"), [("a/b.c.txt", "b.c"), ("b", "b"), (".hidden", ".hidden"), ("x/y", "y")]
)
def test_the_stem_lacks_folders_and_the_last_suffix(path: str, name: str) -> None:
    assert stem(path) == name
