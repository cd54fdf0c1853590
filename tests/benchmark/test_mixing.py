"""Mixtures: exact in their size, balanced over classes, nested in the ratio."""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skelaug.benchmark.mixing import Mixture, fill, mix, places
from skelaug.errors import DataError, UsageError

MODES = ("replacement", "incremental")
SIZES = st.lists(st.integers(1, 30), min_size=1, max_size=8)
RATIOS = st.integers(0, 400).map(lambda percent: percent / 100)
SEEDS = st.integers(0, 3)


def clips(sizes: list[int], kind: str = "real") -> dict[str, str]:
    """Named clips of classes c0, c1 ..., those of a class not side by side."""
    pairs = [(f"{kind} {c}-{i}", f"c{c}") for c, size in enumerate(sizes) for i in range(size)]
    return dict(sorted(pairs, key=lambda pair: pair[0].partition("-")[2]))


def counts(names: tuple[str, ...], labels: dict[str, str]) -> Counter[str]:
    return Counter(labels[name] for name in names)


def mixed(sizes: list[int], ratio: float, seed: int, mode: Any) -> tuple[Mixture, dict[str, str]]:
    real, pool = clips(sizes), clips([5 * size for size in sizes], "extra")
    return mix(real, pool, mode=mode, ratio=ratio, seed=seed), {**real, **pool}


@given(SIZES, RATIOS, SEEDS)
def test_added_clips_are_the_ratio_of_all_and_of_every_class(
    sizes: list[int], ratio: float, seed: int
) -> None:
    mixture, labels = mixed(sizes, ratio, seed, "incremental")
    exact = Fraction(round(100 * ratio), 100)
    assert mixture.real == tuple(clips(sizes))
    assert len(mixture.extra) == math.floor(exact * sum(sizes) + Fraction(1, 2))
    extra = counts(mixture.extra, labels)
    for c, size in enumerate(sizes):
        assert abs(extra[f"c{c}"] - exact * size) < Fraction(3, 2)


@given(SIZES, st.integers(0, 100), SEEDS)
def test_replacing_keeps_the_size_and_the_clips_of_each_class(
    sizes: list[int], percent: int, seed: int
) -> None:
    mixture, labels = mixed(sizes, percent / 100, seed, "replacement")
    assert counts(mixture.real + mixture.extra, labels) == counts(tuple(clips(sizes)), labels)
    assert len(mixture.extra) == math.floor(Fraction(percent, 100) * sum(sizes) + Fraction(1, 2))


@given(SIZES, RATIOS, RATIOS, SEEDS, st.sampled_from(MODES))
def test_a_smaller_ratio_takes_and_leaves_out_what_a_larger_one_does(
    sizes: list[int], one: float, other: float, seed: int, mode: str
) -> None:
    if mode == "replacement":
        one, other = one / 4, other / 4
    low, _ = mixed(sizes, min(one, other), seed, mode)
    high, _ = mixed(sizes, max(one, other), seed, mode)
    assert set(low.extra) <= set(high.extra)
    assert set(high.real) <= set(low.real)


@given(SIZES, RATIOS.map(lambda ratio: ratio / 4), SEEDS)
def test_both_modes_take_the_same_further_clips(sizes: list[int], ratio: float, seed: int) -> None:
    assert len({mixed(sizes, ratio, seed, mode)[0].extra for mode in MODES}) == 1


@given(SIZES, RATIOS, SEEDS)
def test_no_class_is_a_whole_place_off_its_share(sizes: list[int], ratio: float, seed: int) -> None:
    found = places(sizes, ratio, seed=seed)
    house = int(found.sum())
    for count, size in zip(found.tolist(), sizes, strict=True):
        assert abs(count - Fraction(house * size, sum(sizes))) < 1


def test_the_alabama_paradox_does_not_occur() -> None:
    """With largest remainders the last class would have 2 of 10 places and 1 of 11."""
    sizes, total = [6, 6, 2], 14

    def hamilton(house: int) -> list[int]:
        quotas = [Fraction(house * size, total) for size in sizes]
        floors = [math.floor(quota) for quota in quotas]
        by_rest = sorted(range(3), key=lambda i: floors[i] - quotas[i])
        for i in by_rest[: house - sum(floors)]:
            floors[i] += 1
        return floors

    assert (hamilton(10)[2], hamilton(11)[2]) == (2, 1)
    last = [places(sizes, house / total)[2] for house in range(15)]
    assert last == sorted(last)
    assert last[-1] == 2


@given(SIZES, st.integers(0, 4))
def test_whole_multiples_are_exact(sizes: list[int], times: int) -> None:
    assert places(sizes, times).tolist() == [times * size for size in sizes]


@pytest.mark.parametrize(("ratio", "total"), [(0.29, 15), (0.57, 29), (0.05, 3), (0.04, 2)])
def test_half_a_clip_is_rounded_up_whatever_floating_point_makes_of_it(
    ratio: float, total: int
) -> None:
    """0.29 x 50 is 14.499999999999998 in floating point."""
    assert places([25, 25], ratio).sum() == total


@pytest.mark.parametrize("sizes", [[90, *[1] * 10], [40, 40, *[3] * 7], [500, *[7] * 30]])
def test_a_large_class_takes_no_place_from_small_ones(sizes: list[int]) -> None:
    """Without the first condition of the rule it would: 0.5 x 100 clips would all be of 90."""
    for house in range(sum(sizes)):
        found = places(sizes, house / sum(sizes))
        assert (np.abs(found - house * np.array(sizes) / sum(sizes)) < 1 - 1e-9).all()


def test_classes_of_one_size_take_turns_in_an_order_of_the_seed() -> None:
    found = [places([4] * 6, 0.25, seed=seed).tolist() for seed in range(8)]
    assert all(sorted(one) == [1] * 6 for one in found)
    found = [places([4] * 6, 0.125, seed=seed).tolist() for seed in range(8)]
    assert all(sorted(one) == [0, 0, 0, 1, 1, 1] for one in found)
    assert len({tuple(one) for one in found}) > 1


def test_seeds_choose_other_clips() -> None:
    found = [mixed([9, 9], 1 / 3, seed, "replacement")[0] for seed in range(5)]
    assert len({one.real for one in found}) == len({one.extra for one in found}) == 5


@given(SIZES, st.integers(0, 40), st.integers(0, 40), SEEDS)
def test_filling_up_brings_small_classes_to_a_size_and_is_nested(
    sizes: list[int], one: int, other: int, seed: int
) -> None:
    real, pool = clips(sizes), clips([40] * len(sizes), "extra")
    low, high = (fill(real, pool, to=to, seed=seed) for to in (min(one, other), max(one, other)))
    assert low.real == tuple(real)
    assert set(low.extra) <= set(high.extra)
    found = counts(high.real + high.extra, {**real, **pool})
    assert found == {f"c{c}": max(size, one, other) for c, size in enumerate(sizes)}


def test_only_the_named_classes_are_filled_up() -> None:
    pool = clips([9, 9, 9], "extra")
    mixture = fill(clips([1, 2, 8]), pool, to=5, classes=("c1", "c2"))
    assert counts(mixture.extra, pool) == {"c1": 3}


def test_names_stay_in_the_order_in_which_they_came() -> None:
    real, pool = clips([6, 6]), clips([30, 30], "extra")
    mixture = mix(real, pool, mode="replacement", ratio=0.5, seed=1)
    for chosen, given_names in ((mixture.real, list(real)), (mixture.extra, list(pool))):
        assert (np.diff([given_names.index(name) for name in chosen]) > 0).all()


def test_a_pool_that_is_too_small_names_class_wanted_and_present() -> None:
    real, pool = clips([10, 10]), clips([20, 3], "extra")
    assert len(mix(real, pool, mode="incremental", ratio=0.3, seed=0).extra) == 6
    with pytest.raises(
        DataError, match=r"too few of 'c1' \(wanted 5, got 3\); draw more, or lower"
    ):
        mix(real, pool, mode="incremental", ratio=0.5, seed=0)
    with pytest.raises(DataError, match=r"'c1' \(wanted 5, got 0\)"):
        mix(real, clips([20], "extra"), mode="replacement", ratio=0.5, seed=0)
    with pytest.raises(DataError, match=r"'c1' \(wanted 10, got 3\)"):
        fill(real, pool, to=20)


@pytest.mark.parametrize("ratio", [0.0, 0.5])
def test_classes_that_the_real_clips_lack_are_refused(ratio: float) -> None:
    with pytest.raises(DataError, match="expected classes of the real clips, got 'c1', 'c2'"):
        mix(clips([4]), clips([4, 4, 4], "extra"), mode="incremental", ratio=ratio, seed=0)
    with pytest.raises(DataError, match="expected classes of the real clips"):
        fill(clips([4]), clips([4, 4], "extra"), to=0)


@pytest.mark.parametrize(
    ("mode", "ratio", "message"),
    [
        ("replacement", 1.1, "at least 0 and at most 1 for replacement"),
        ("replacement", -0.1, "expected at least 0"),
        ("incremental", -1.0, "expected at least 0 for incremental"),
        ("incremental", math.inf, "--ratio inf"),
        ("incremental", math.nan, "--ratio nan"),
        ("swap", 0.5, "expected replacement or incremental"),
    ],
)
def test_ratios_out_of_bounds_are_refused(mode: Any, ratio: float, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        mix(clips([4]), clips([4], "extra"), mode=mode, ratio=ratio, seed=0)
