"""Which real and which further clips a recognizer learns from: nested, balanced, exact.

Clips are names with the name of their class; nothing is read. For one seed, what a small ratio
takes or leaves out is among what a larger one does, so that arms differ in their ratio alone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from skelaug.errors import DataError, UsageError
from skelaug.seeds import Stream, numpy_generator

__all__ = ["Mixture", "fill", "mix", "places"]

_REAL, _POOL, _CLASSES = 3, 4, 5  # below Stream.BENCHMARK, after those of draws
_SHOWN = 3


@dataclass(frozen=True)
class Mixture:
    """The clips that a recognizer learns from, by name, in the order in which they were given.

    Attributes:
        real: Of the real clips.
        extra: Of the pool.
    """

    real: tuple[str, ...]
    extra: tuple[str, ...]


def mix(
    real: Mapping[str, str],
    pool: Mapping[str, str],
    *,
    mode: Literal["replacement", "incremental"],
    ratio: float,
    seed: int,
) -> Mixture:
    """Real clips, of which a share is swapped for further clips or to which they are added.

    ``replacement`` takes ``ratio`` of the clips of every class out and as many of the pool in: the
    size and the clips of each class stay. ``incremental`` adds ``ratio`` times the clips of every
    class. Shares are rounded so that the total is exact, see `places`.

    Args:
        real: Class of each real clip.
        pool: Class of each further clip.
        mode: What the ratio means.
        ratio: Further clips over real ones, 0 or more; at most 1 in ``replacement``.
        seed: Decides which clips these are.

    Raises:
        UsageError: The ratio is out of its bounds, or there is no such mode.
        DataError: The pool has too few clips of a class, or classes that the real clips lack.
    """
    if mode not in ("replacement", "incremental"):
        raise UsageError(f"mode {mode}: expected replacement or incremental")
    if not 0 <= ratio < np.inf or (mode == "replacement" and ratio > 1):
        most = " and at most 1" if mode == "replacement" else ""
        raise UsageError(f"--ratio {ratio:g}: expected at least 0{most} for {mode}")
    own = _by_class(real, seed, _REAL)
    order = sorted(own)
    counts = places([len(own[name]) for name in order], ratio, seed=seed)
    wanted = dict(zip(order, counts.tolist(), strict=True))
    extra = _taken(pool, wanted, seed=seed)
    gone: set[str] = set()
    if mode == "replacement":
        gone = {clip for name, count in wanted.items() for clip in own[name][:count]}
    return Mixture(tuple(clip for clip in real if clip not in gone), extra)


def fill(
    real: Mapping[str, str],
    pool: Mapping[str, str],
    *,
    to: int,
    classes: Collection[str] | None = None,
    seed: int = 0,
) -> Mixture:
    """All real clips, and further ones for the classes that have fewer than ``to``.

    Args:
        real: Class of each real clip.
        pool: Class of each further clip.
        to: Clips that each class has in the end; one with more keeps them.
        classes: Which classes are filled up; None = all.
        seed: Decides which clips these are.

    Raises:
        DataError: The pool has too few clips of a class, or classes that the real clips lack.
    """
    counts = {name: len(clips) for name, clips in _by_class(real, seed, _REAL).items()}
    wanted = {
        name: max(0, to - count) if classes is None or name in classes else 0
        for name, count in counts.items()
    }
    return Mixture(tuple(real), _taken(pool, wanted, seed=seed))


def places(sizes: Sequence[int], ratio: float, *, seed: int = 0) -> NDArray[np.int64]:
    """For each class ``ratio`` times its size, rounded; together ``ratio`` times all, rounded.

    Places are given one by one, each to a class that is owed one, so that a larger ratio takes
    none back; rounding by largest remainders would (the Alabama paradox). The rule is the quota
    method of Balinski and Young 1975: of the classes i with a_i < p_i h / sum(p) at the h-th
    place, the one with the largest p_i / (a_i + 1). No class is ever a whole place off its share
    p_i h / sum(p) of the h places.

    Args:
        sizes: Clips p of each class, at least one.
        ratio: 0 or more.
        seed: Decides between classes of one size.
    """
    p = np.asarray(sizes, dtype=np.int64)
    total = int(p.sum())
    # whole multiples are exact: begin anew after each; a product like 0.15 x 10 is half a clip
    rounds, rest = divmod(int(np.floor(round(ratio * total, 6) + 0.5)), max(total, 1))
    given = np.zeros_like(p)
    lot = numpy_generator(seed, Stream.BENCHMARK, _CLASSES).permutation(len(p))
    for h in range(1, rest + 1):
        owed = given * total < p * h
        claims = np.where(owed, p / (given + 1), -1.0)
        given[lot[np.argmax(claims[lot])]] += 1
    return rounds * p + given


def _by_class(clips: Mapping[str, str], seed: int, stream: int) -> dict[str, list[str]]:
    """The clips of each class in a drawn order."""
    names = list(clips)
    found: dict[str, list[str]] = {}
    for place in numpy_generator(seed, Stream.BENCHMARK, stream).permutation(len(names)):
        found.setdefault(clips[names[place]], []).append(names[place])
    return found


def _taken(pool: Mapping[str, str], wanted: Mapping[str, int], *, seed: int) -> tuple[str, ...]:
    """So many clips of each class of the pool, in its order."""
    there = _by_class(pool, seed, _POOL)
    foreign = sorted(set(there) - set(wanted))
    if foreign:
        raise DataError(
            f"extra clips: expected classes of the real clips, got {_list(foreign)}; leave their "
            f"clips out"
        )
    short = [
        f"{name!r} (wanted {count}, got {len(there.get(name, []))})"
        for name, count in sorted(wanted.items())
        if count > len(there.get(name, []))
    ]
    if short:
        raise DataError(
            f"extra clips: expected enough of every class, got too few of "
            f"{', '.join(short[:_SHOWN])}{_more(short)}; draw more, or lower the ratio"
        )
    taken = {clip for name, count in wanted.items() for clip in there.get(name, [])[:count]}
    return tuple(clip for clip in pool if clip in taken)


def _list(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:_SHOWN])) + _more(names)


def _more(names: Sequence[str]) -> str:
    return f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
