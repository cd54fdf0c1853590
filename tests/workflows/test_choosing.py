"""Choosing: earlier questions count first, merit tells equals apart, the first of equals wins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skelaug.workflows.choosing import Evidence, Standards, Verdict, is_better, verdict


def _one(value: float) -> np.ndarray:
    return np.array([value])


def _verdict(
    probability: float, acceleration: float, novelty: float, distance: float = 1.0
) -> Verdict:
    evidence = Evidence(
        probability=_one(probability),
        quantities={"acceleration": _one(acceleration)},
        distance=_one(distance),
        novelty=_one(novelty),
    )
    standards = Standards(0.5, {"acceleration": (0.1, 0.2)}, copy_distance=0.05, novel_most=2.0)
    return verdict(evidence, standards, count=1)


# from the best to the worst
ORDER = [
    _verdict(0.5, 0.1, 2.0),  # passes everything, at the bounds themselves
    _verdict(0.9, 0.2, 1.9),
    _verdict(0.6, 0.15, 0.3),
    _verdict(0.9, 0.15, 2.1),  # beyond the range: the nearer the better
    _verdict(0.9, 0.15, 3.0),
    _verdict(0.9, 0.15, 1.5, distance=0.04),  # a copy
    _verdict(0.9, 0.25, 1.5),  # implausible
    _verdict(0.9, float("nan"), 1.2),
    _verdict(0.49, 0.15, 0.2),  # the judge does not see it: the likelier the better
    _verdict(0.3, 0.15, 1.9),
    _verdict(float("nan"), 0.15, 1.9),
    _verdict(0.4, 0.25, 1.9),
]


@pytest.mark.parametrize("i", range(len(ORDER)))
@pytest.mark.parametrize("j", range(len(ORDER)))
def test_candidates_come_in_the_order_of_the_questions(i: int, j: int) -> None:
    assert bool(is_better(ORDER[i].ranks, ORDER[j].ranks)[0]) == (i < j)


def test_only_what_passes_every_question_passes() -> None:
    assert [bool(one.passes[0]) for one in ORDER] == [True] * 3 + [False] * 9
    assert list(ORDER[0].passed) == ["judge", "plausible", "copy", "novel"]


def test_without_questions_everything_passes_and_nothing_is_better() -> None:
    found = verdict(Evidence(), Standards(), count=4)
    assert found.passes.all()
    assert not is_better(found.ranks, found.ranks).any()


def test_of_copies_the_farthest_is_kept() -> None:
    standards = Standards(copy_distance=0.05)
    near, far = (verdict(Evidence(distance=_one(d)), standards, count=1) for d in (0.01, 0.04))
    assert is_better(far.ranks, near.ranks)[0]
    apart, farther = (verdict(Evidence(distance=_one(d)), standards, count=1) for d in (0.05, 9.0))
    assert apart.passes[0]
    assert not is_better(farther.ranks, apart.ranks)[0]  # it is no copy either way


@given(
    st.lists(st.lists(st.integers(-1, 1), min_size=3, max_size=3), min_size=1, max_size=8),
    st.integers(0, 7),
)
def test_rows_compare_as_tuples_do(rows: list[list[int]], shift: int) -> None:
    ranks = np.array(rows, dtype=np.float64)
    others = np.roll(ranks, shift, axis=0)
    expected = [tuple(a) > tuple(b) for a, b in zip(ranks, others, strict=True)]
    assert is_better(ranks, others).tolist() == expected
