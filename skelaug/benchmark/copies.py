"""Copies of real clips, as they are or with the errors of a sensor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from skelaug.benchmark.mixing import Mixture
from skelaug.data.store import SequenceFile
from skelaug.skeleton.sequence import SkeletonSequence
from skelaug.workflows.drawn_errors import DrawnErrors, corrupted

__all__ = ["copied", "copies_of_kept"]

_COPY = " copy "


def copied(
    file: SequenceFile, rows: Sequence[int], *, times: int, errors: DrawnErrors | None = None
) -> Iterator[SkeletonSequence]:
    """Clips of a file, so many times.

    Args:
        file: The clips.
        rows: Their places in it.
        times: Copies of each.
        errors: What each copy has of its own; None leaves the copies alike.
    """
    for number in range(1, times + 1):
        for row in rows:
            clip = file[row]
            copy = replace(clip, name=f"{clip.name}{_COPY}{number}")
            address = number * len(file) + row
            yield corrupted(copy, errors, seed=0, address=address) if errors else copy


def copies_of_kept(mixture: Mixture, pool: Mapping[str, str]) -> Mixture:
    """The same with copies of clips that are kept, where there are: no clip comes back as a copy.

    Args:
        mixture: Real clips, and copies in the place of others.
        pool: Class of each copy.
    """
    kept = frozenset(mixture.real)
    spare: dict[str, list[str]] = {}
    for name in set(pool) - set(mixture.extra):
        if _original(name) in kept:
            spare.setdefault(pool[name], []).append(name)
    ordered = {label: sorted(names, key=_by_number) for label, names in spare.items()}
    chosen = [
        ordered[pool[name]].pop(0)
        if _original(name) not in kept and ordered.get(pool[name])
        else name
        for name in mixture.extra
    ]
    return Mixture(mixture.real, tuple(chosen))


def _original(copy: str) -> str:
    return copy.rpartition(_COPY)[0]


def _by_number(copy: str) -> tuple[int, str]:
    name, _, number = copy.rpartition(_COPY)
    return int(number), name
