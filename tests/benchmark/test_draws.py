"""Draws: nested in the fraction, apart from the test part, and who sees what in each regime."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

import hypothesis
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from skelaug.benchmark.draws import Draw, Regime, draw_clips
from skelaug.data.splits import Split, split_clips, split_hash
from skelaug.data.store import SequenceFile
from skelaug.errors import DataError, UsageError

REGIMES: tuple[Regime, ...] = get_args(Regime)


@dataclass
class Table:
    """Clips without positions."""

    labels: NDArray[np.int32]
    subjects: NDArray[np.int32]
    classes: tuple[str, ...] = ("kick", "walk", "wave", "sit")
    path: Path = Path("data.h5")
    names: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.names = [f"clip {row}" for row in range(len(self.labels))]
        self.cameras = self.setups = np.full(len(self.labels), -1, np.int32)


def grid(subjects: int = 8, takes: int = 4, classes: int = 4, *, unlabelled: int = 0) -> Table:
    """Every subject performs every class in some takes; then some unlabelled clips of each."""
    cells = [(s, c) for s in range(1, subjects + 1) for _ in range(takes) for c in range(classes)]
    cells += [(s, -1) for s in range(1, subjects + 1) for _ in range(unlabelled)]
    people, labels = np.array(cells, dtype=np.int32).T
    return Table(labels, people, tuple("abcdefghijklmnop"[:classes]))


def halves(table: Table, test: set[int] | None = None) -> Split:
    """Even subjects (or those named) are the test part."""
    is_test = table.subjects % 2 == 0 if test is None else np.isin(table.subjects, sorted(test))
    train = np.flatnonzero(~is_test)
    names = [table.names[row] for row in train]
    return Split("subject=...", train, np.flatnonzero(is_test), split_hash(names), ("a note",))


def rows(table: Table, names: tuple[str, ...]) -> NDArray[np.int64]:
    return np.array([table.names.index(name) for name in names], dtype=np.int64)


def counts(table: Table, names: tuple[str, ...]) -> dict[str, int]:
    labels = table.labels[rows(table, names)]
    return dict(Counter(table.classes[label] for label in labels))


@st.composite
def tables(draw: st.DrawFn) -> tuple[Table, Split]:
    """Any clips of four classes and some subjects; a test part by subject."""
    size = draw(st.integers(8, 60))
    labels = draw(st.lists(st.integers(-1, 3), min_size=size, max_size=size))
    people = draw(st.lists(st.integers(-1, 6), min_size=size, max_size=size))
    table = Table(np.array(labels, np.int32), np.array(people, np.int32))
    split = halves(table, {1, 2})
    tested = set(table.labels[split.test].tolist()) - {-1}
    assume(len(tested) >= 2)
    assume(tested <= set(table.labels[split.train].tolist()))
    return table, split


def drawn(table: Table, split: Split, regime: Regime, **options: object) -> Draw:
    """A draw, unless no performer of the file can be spared."""
    try:
        return draw_clips(table, split, regime, **{"seed": 0, **options})  # type: ignore[arg-type]
    except DataError:
        if regime != "subjects":
            raise
        hypothesis.reject()


@given(tables(), st.sampled_from(REGIMES), st.integers(0, 5), st.floats(0.01, 1))
def test_the_parts_are_apart_from_the_test_part_and_in_the_order_of_the_file(
    data: tuple[Table, Split], regime: Regime, seed: int, fraction: float
) -> None:
    table, split = data
    draw = drawn(table, split, regime, seed=seed, fraction=fraction)
    test = set(draw.test)
    assert test == {table.names[r] for r in split.test if table.labels[r] >= 0}
    for part in (draw.recognizer, draw.generator, draw.labelled, draw.unlabelled):
        assert not test & set(part)
        assert (np.diff(rows(table, part)) > 0).all()
    assert sorted((*draw.labelled, *draw.unlabelled)) == sorted(draw.generator)
    assert (table.labels[rows(table, draw.recognizer)] >= 0).all()
    assert (table.labels[rows(table, draw.labelled)] >= 0).all()


@given(tables(), st.sampled_from(REGIMES), st.integers(0, 5), st.floats(0.01, 1))
def test_each_class_that_is_tested_has_a_clip_to_learn_from(
    data: tuple[Table, Split], regime: Regime, seed: int, fraction: float
) -> None:
    table, split = data
    draw = drawn(table, split, regime, seed=seed, fraction=fraction)
    assert counts(table, draw.test).keys() <= counts(table, draw.recognizer).keys()


@given(tables(), st.sampled_from(REGIMES), st.floats(0.01, 1), st.floats(0.01, 1))
def test_fewer_clips_are_among_more_clips_of_one_seed(
    data: tuple[Table, Split], regime: Regime, one: float, other: float
) -> None:
    table, split = data
    small = drawn(table, split, regime, fraction=min(one, other))
    large = drawn(table, split, regime, fraction=max(one, other))
    for part in ("recognizer", "generator", "labelled"):
        assert set(getattr(small, part)) <= set(getattr(large, part))
    assert small.rare == large.rare
    few, many = (drawn(table, split, regime, per_class=k) for k in (1, 3))
    assert set(few.recognizer) <= set(many.recognizer)


@pytest.mark.parametrize("regime", REGIMES)
def test_draws_of_different_seeds_differ_and_those_of_one_seed_do_not(regime: Regime) -> None:
    table = grid(20)
    draws = [draw_clips(table, halves(table), regime, seed=s, fraction=0.5) for s in range(8)]
    assert len({draw.recognizer for draw in draws}) == 8
    assert draws[3] == draw_clips(table, halves(table), regime, seed=3, fraction=0.5)


def test_a_fraction_is_one_of_every_class_and_at_least_one_clip() -> None:
    table = grid()
    draw = draw_clips(table, halves(table), "scarce", seed=0, fraction=0.25)
    assert counts(table, draw.recognizer) == {"a": 4, "b": 4, "c": 4, "d": 4}
    assert draw.generator == draw.labelled == draw.recognizer
    assert draw.unlabelled == ()
    least = draw_clips(table, halves(table), "scarce", seed=0, fraction=0.001)
    assert counts(table, least.recognizer) == {"a": 1, "b": 1, "c": 1, "d": 1}


def test_clips_per_class_replace_the_fraction_and_shortages_are_noted() -> None:
    table = grid()
    two = draw_clips(table, halves(table), "scarce", seed=0, fraction=1.0, per_class=2)
    assert set(counts(table, two.recognizer).values()) == {2}
    many = draw_clips(table, halves(table), "scarce", seed=0, per_class=17)
    assert set(counts(table, many.recognizer).values()) == {16}
    assert "fewer than 17 training clips of 'a', 'b', 'c', 'd'; all are used" in many.notes
    assert two.notes == ("a note",)


def test_labels_hides_all_labels_but_the_recognizers() -> None:
    table = grid(unlabelled=2)
    split = halves(table)
    draw = draw_clips(table, split, "labels", seed=0, fraction=0.25)
    assert len(draw.generator) == len(split.train) == 72
    assert draw.labelled == draw.recognizer
    assert len(draw.unlabelled) == 72 - 16
    assert "8 test clips have no label and are left out" in draw.notes


def test_rare_classes_keep_few_clips_and_the_others_their_fraction() -> None:
    table = grid(classes=6)
    draw = draw_clips(table, halves(table), "rare", seed=1, fraction=0.5)
    assert len(draw.rare) == 2
    assert counts(table, draw.recognizer) == {c: 3 if c in draw.rare else 8 for c in "abcdef"}
    assert draw.generator == draw.recognizer
    one = draw_clips(table, halves(table), "rare", seed=1, rare_clips=1, per_class=5)
    assert one.rare == draw.rare
    assert counts(table, one.recognizer) == {c: 1 if c in draw.rare else 5 for c in "abcdef"}
    even = draw_clips(table, halves(table), "rare", seed=1, rare_clips=5, per_class=5)
    assert any("than of a rare class" in note for note in even.notes)


@pytest.mark.parametrize(("share", "count"), [(0.01, 1), (1 / 3, 1), (0.5, 2), (0.99, 3)])
def test_some_classes_are_rare_and_some_are_not(share: float, count: int) -> None:
    table = grid()
    draw = draw_clips(table, halves(table), "rare", seed=0, rare_share=share)
    assert len(draw.rare) == count


def test_each_class_may_be_a_rare_one() -> None:
    table = grid()
    found = {draw_clips(table, halves(table), "rare", seed=s).rare for s in range(40)}
    assert found == {("a",), ("b",), ("c",), ("d",)}


@pytest.mark.parametrize(("share", "count"), [(None, 6), (0.2, 2), (0.01, 1), (0.99, 7)])
def test_whole_subjects_are_the_generators_as_near_to_the_share_as_can_be(
    share: float | None, count: int
) -> None:
    table = grid(16, unlabelled=1)
    draw = draw_clips(table, halves(table), "subjects", seed=0, generator_share=share)
    theirs = set(table.subjects[rows(table, draw.generator)].tolist())
    ours = set(table.subjects[rows(table, draw.recognizer)].tolist())
    assert len(theirs) == count
    assert theirs | ours == set(range(1, 16, 2))
    assert not theirs & ours
    assert len(draw.generator) == 17 * count
    assert len(draw.unlabelled) == count
    assert any(f"{count} of 8 subjects" in note for note in draw.notes)


@given(tables(), st.integers(0, 9), st.floats(0.05, 0.95), st.floats(0.05, 1))
def test_no_performer_is_on_both_sides(
    data: tuple[Table, Split], seed: int, share: float, fraction: float
) -> None:
    table, split = data
    draw = drawn(table, split, "subjects", seed=seed, generator_share=share, fraction=fraction)
    theirs, ours = (
        set(table.subjects[rows(table, part)].tolist())
        for part in (draw.generator, draw.recognizer)
    )
    assert not theirs & ours
    assert -1 not in theirs | ours
    assert theirs
    assert ours


def test_who_alone_performs_a_class_stays_with_the_recognizer() -> None:
    table = grid()
    alone = (table.labels == 0) & (table.subjects % 2 == 1) & (table.subjects != 5)
    table.labels[alone] = 1
    for seed in range(10):
        draw = draw_clips(table, halves(table), "subjects", seed=seed)
        assert 5 not in table.subjects[rows(table, draw.generator)]
        assert "a" in counts(table, draw.recognizer)


def test_few_divisions_of_the_subjects_are_noted() -> None:
    table = grid()
    notes = draw_clips(table, halves(table), "subjects", seed=0).notes
    assert "subjects can be divided in 4 ways only, so draws may repeat them" in notes


def test_subjects_that_are_tested_too_are_noted() -> None:
    table = grid()
    split = Split("camera=1", np.arange(0, 128, 2), np.arange(1, 128, 2), "")
    table.labels[:] = np.arange(128) // 2 % 4
    notes = draw_clips(table, split, "subjects", seed=0).notes
    assert any("subjects are in the test part too" in note for note in notes)


def test_copies_in_the_test_part_are_noted() -> None:
    table = grid()
    draw = draw_clips(table, halves(table), "scarce", seed=0, copied=frozenset({3, 4}))
    assert draw.notes[-1] == "2 test clips are copies of clips outside the test part"


def test_a_sequence_file_is_drawn_from(data_file: Path) -> None:
    with SequenceFile(data_file) as file:
        draw = draw_clips(file, split_clips(file, "subject=1,2"), "scarce", seed=0, per_class=1)
    assert len(draw.recognizer) == 4
    assert len(draw.test) == 8


def test_a_class_without_training_clips_is_named() -> None:
    table = grid()
    split = halves(table)
    table.labels[split.train[table.labels[split.train] == 2]] = -1
    with pytest.raises(DataError, match=r"data.h5: expected training clips .* none of 'c'; choose"):
        draw_clips(table, split, "scarce", seed=0)


def test_files_that_a_regime_cannot_use_are_refused() -> None:
    table = grid()
    split = halves(table)
    unknown = Table(table.labels, np.full_like(table.subjects, -1), table.classes)
    with pytest.raises(DataError, match=r"expected two known subjects or more .* got 0"):
        draw_clips(unknown, split, "subjects", seed=0)
    single = Table(np.zeros_like(table.labels), table.subjects, ("a",))
    with pytest.raises(DataError, match="expected two classes or more"):
        draw_clips(single, split, "rare", seed=0)
    blind = Table(np.full_like(table.labels, -1), table.subjects, ("a",))
    with pytest.raises(DataError, match="expected labelled test clips"):
        draw_clips(blind, split, "scarce", seed=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"regime": "rares"}, "did you mean 'rare'"),
        ({"fraction": 0.0}, "fraction: expected more than 0"),
        ({"fraction": 1.5}, "fraction: expected .* got 1.5"),
        ({"per_class": 0}, "per_class: expected at least 1"),
        ({"rare_clips": 0}, "rare_clips: expected at least 1"),
        ({"rare_share": 1.0}, "rare_share: expected .* less than 1"),
        ({"generator_share": 0.0}, "generator_share: expected more than 0"),
    ],
)
def test_settings_out_of_bounds_are_refused(options: dict[str, object], message: str) -> None:
    table = grid()
    with pytest.raises(UsageError, match=message):
        draw_clips(table, halves(table), **{"regime": "scarce", "seed": 0, **options})  # type: ignore[arg-type]
