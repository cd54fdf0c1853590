"""Whether synthetic clips may carry something of the test part: what their provenance tells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skelaug.data.splits import Split, split_clips, split_hash
from skelaug.data.store import SequenceFile
from skelaug.errors import SkelaugError

__all__ = ["Leak", "find_leaks", "recorded_splits"]

_BY_NAME = frozenset({"official", "xsub", "xview", "xset"})


@dataclass(frozen=True)
class Leak:
    """What a generator has seen of a test part.

    Attributes:
        rule: The split that the generator was trained with.
        clips: Names of test clips that it was trained on.
        subjects: Performers of the test part that it was trained on, where performers are what
            tells training and test part apart.
    """

    rule: str
    clips: tuple[str, ...] = ()
    subjects: tuple[int, ...] = ()

    def __str__(self) -> str:
        if self.clips:
            return f"one trained on {len(self.clips)} of them ({self.clips[0]} ...)"
        return f"one trained on performers of the test part: {', '.join(map(str, self.subjects))}"


def find_leaks(
    real: SequenceFile, provenance: Sequence[Mapping[str, Any]], split: Split, *, where: str
) -> tuple[list[Leak], list[str]]:
    """What generators have seen of a test part, as far as records tell.

    The provenance of synthetic clips names each generator's split: a rule, a hash of the training
    clips' names, the performers. A rule that goes by names, or a hash that the real file
    reproduces, says exactly which of its clips the generator has seen; else the performers are
    compared, if it was trained on this very file. A guide that pulled the clips towards their
    classes and a judge that chose among them count as generators: what they have seen is in what
    was drawn and kept.

    Args:
        real: Where the test part is.
        provenance: Of the synthetic clips.
        split: Of the real file.
        where: What the synthetic clips are called in notes.

    Returns:
        The leaks, and notes on what could not be checked.
    """
    if split.test.size == 0:
        return [], []
    models = _recorded_models(provenance)
    if not models:
        return [], [
            f"{where} does not say which clips its generator was trained on, so a "
            f"leak of test clips into it cannot be excluded"
        ]
    leaks, notes = [], []
    others = [(role, m) for role in ("judge", "guide") for m in _recorded_models(provenance, role)]
    for what, model in [("generator", m) for m in models] + others:
        rule = str(model["split"].get("rule", ""))
        seen = _seen_by(model["split"], real)
        clips = _names(real, np.intersect1d(seen, split.test)) if seen is not None else ()
        subjects = _shared_performers(model, real, split)
        if clips or subjects:
            leaks.append(Leak(rule, clips, subjects))
        elif seen is None and not _tells_by_performers(model, real, split):
            is_known = _is_of(model, real)
            data = (
                f"unknown clips of {real.path.name}"
                if is_known
                else f"other data than {real.path.name}"
            )
            notes.append(
                f"the {what} was trained on {data} (split {rule!r}), "
                f"so a leak of test clips into it cannot be excluded"
            )
    return leaks, notes


def recorded_splits(file: SequenceFile) -> list[Mapping[str, Any]]:
    """The splits of all generators in a file's provenance, newest first."""
    return [model["split"] for model in _recorded_models(file.provenance)]


def _recorded_models(
    provenance: Sequence[Mapping[str, Any]], role: str = "model"
) -> list[Mapping[str, Any]]:
    models = (record.get(role) for record in reversed(provenance))
    return [
        model
        for model in models
        if isinstance(model, Mapping) and isinstance(model.get("split"), Mapping)
    ]


def _is_of(model: Mapping[str, Any], real: SequenceFile) -> bool:
    """Whether the record says which performers of this very file the generator has seen."""
    data = model.get("data")
    names = data.get("names") if isinstance(data, Mapping) else None
    return names == split_hash(real.names) and bool(model.get("subjects"))


def _shared_performers(
    model: Mapping[str, Any], real: SequenceFile, split: Split
) -> tuple[int, ...]:
    if not _is_of(model, real):
        return ()
    tested = {int(subject) for subject in real.subjects[split.test] if subject >= 0}
    if tested & _taught(real, split):  # the parts differ by something else
        return ()
    return tuple(sorted(tested & {int(subject) for subject in model["subjects"]}))


def _tells_by_performers(model: Mapping[str, Any], real: SequenceFile, split: Split) -> bool:
    """Whether the generator's performers say that it has not seen the test part."""
    tested = set(real.subjects[split.test].tolist())
    return _is_of(model, real) and -1 not in tested and not tested & _taught(real, split)


def _taught(real: SequenceFile, split: Split) -> set[int]:
    return set(real.subjects[split.train].tolist())


def _seen_by(record: Mapping[str, Any], real: SequenceFile) -> NDArray[np.int64] | None:
    """The clips of a file that a recorded training part contains; None if that cannot be told."""
    rule = str(record.get("rule", ""))
    if record.get("hash") == split_hash(real.names):
        return np.arange(len(real), dtype=np.int64)
    try:
        split = split_clips(real, rule)
    except SkelaugError:
        return None
    if rule in _BY_NAME or record.get("hash") == split.hash:
        return split.train
    is_rest = record.get("hash") == split_hash(_names(real, split.test))
    return split.test if is_rest else None


def _names(file: SequenceFile, rows: NDArray[np.int64]) -> tuple[str, ...]:
    return tuple(file.names[row] for row in rows)
