"""Which clips of a file are the training part: published protocols and rules on what is in it.

=============  ====================================================================================
official       each data set's own: NTU cross-subject; NW-UCLA views 1 and 2; UTD-MHAD odd subjects;
               HDM05 actors bd, bk, dg; HumanEva's Train part; Human3.6M subjects 1, 5, 6, 7, 8
xsub           NTU cross-subject: 20 of 40 (NTU RGB+D) or 53 of 106 performers (NTU RGB+D 120)
xview          NTU RGB+D cross-view: cameras 2 and 3 train
xset           NTU RGB+D 120 cross-setup: even setups train
subject=1,3-5  the clips of these subjects train; likewise camera= and setup=; ``unknown`` may be
               one of the numbers
name=FILE      the clips named in a text file train, one name per line
=============  ====================================================================================

Rules may be joined, ``official and subject=1,3``: the clips that all of them name train.

Published protocols go by the names of the clips, so they hold in a file of several data sets. Where
a protocol has published counts and the file has others, a note says so.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from skelaug.data.ntu import NTUName
from skelaug.errors import DataError, NotFoundError, UsageError, did_you_mean

__all__ = [
    "NTU_TRAINING_PERFORMERS",
    "HasClips",
    "Split",
    "selected",
    "split_clips",
    "split_hash",
]

NTU_TRAINING_PERFORMERS = frozenset(
    (
        *(1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38),
        # NTU RGB+D 120 adds
        *(45, 46, 47, 49, 50, 52, 53, 54, 55, 56, 57, 58, 59, 70, 74, 78, 80, 81, 82, 83, 84, 85),
        *(86, 89, 91, 92, 93, 94, 95, 97, 98, 100, 103),
    )
)
"""Shahroudy et al. 2016, section 3.2.1, and Liu et al. 2020, section 3.3.1."""

_UTD = re.compile(r"a\d+_s(\d+)_t\d+")
_UCLA = re.compile(r"a\d+_s\d+_e\d+_v(\d+)")
_HDM = re.compile(r"HDM_([a-z]{2})_.*", re.IGNORECASE)
_HUMANEVA = re.compile(
    r"(Train|Validate)/S[1-4]/(?:Walking|Jog|ThrowCatch|Gestures|Box|Combo)\b.*/C[1-7]"
)
_H36M = re.compile(
    r"S(1|5|6|7|8|9|11)/(?:Directions|Discussion|Eating|Greeting|Phoning|Photo|Posing|Purchases"
    r"|Sitting|SittingDown|Smoking|Waiting|WalkDog|WalkTogether|Walking)(?: \d)?/C[1-4]"
)
_H36M_TRAINING = (1, 5, 6, 7, 8)
_NTU_60_SETUPS = 17
_AND = re.compile(r" and (?=(?:official|xsub|xview|xset)(?: |$)|(?:subject|camera|setup|name)=)")

# Training and test clips of the complete sets without the 302 or 535 unusable ones.
_EXPECTED = {
    ("xsub", "NTU RGB+D"): (40091, 16487),
    ("xsub", "NTU RGB+D 120"): (63026, 50919),
    ("xview", "NTU RGB+D"): (37646, 18932),
    ("xset", "NTU RGB+D 120"): (54468, 59477),
    ("official", "NW-UCLA"): (1020, 464),
    ("official", "UTD-MHAD"): (431, 430),
    ("official", "HDM05"): (189, 99),
    ("official", "HumanEva"): (105, 126),
    ("official", "Human3.6M"): (600, 236),
}


class HasClips(Protocol):
    """What a file must tell about its clips: a sequence file and an images file do."""

    @property
    def names(self) -> Sequence[str]:
        """Clip names."""
        ...

    @property
    def subjects(self) -> NDArray[np.int32]:
        """One per clip, -1 = unknown."""
        ...

    @property
    def cameras(self) -> NDArray[np.int32]:
        """One per clip, -1 = unknown."""
        ...

    @property
    def setups(self) -> NDArray[np.int32]:
        """One per clip, -1 = unknown."""
        ...


@dataclass(frozen=True, eq=False)
class Split:
    """The clips of a file in two parts.

    Attributes:
        rule: As the user gave it.
        train: Indices of the training clips, ascending.
        test: Indices of the others.
        hash: Of the names of the training clips; the same whatever their order.
        notes: What the user should know, e.g. that counts differ from the published ones.
    """

    rule: str
    train: NDArray[np.int64]
    test: NDArray[np.int64]
    hash: str
    notes: tuple[str, ...] = ()


def split_hash(names: Sequence[str]) -> str:
    """SHA-256 of a set of clip names, one per line in sorted order."""
    return hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()


def split_clips(clips: HasClips, rule: str) -> Split:
    """Divide the clips of a file into a training and a test part.

    Args:
        clips: A sequence file or an images file.
        rule: As in the table above; empty puts all clips into the training part.

    Raises:
        UsageError: The rule is not understood, or does not fit the clips of the file.
        NotFoundError: The file of names does not exist.
        DataError: One of the parts is empty.
    """
    names = clips.names
    chosen, notes = _chosen(clips, rule)
    train, test = np.flatnonzero(chosen), np.flatnonzero(~chosen)
    if train.size == 0 or (rule and test.size == 0):
        empty = "training" if train.size == 0 else "test"
        raise DataError(f"--split {rule}: expected two parts, got no {empty} clip; check the rule")
    return Split(
        rule=rule,
        train=train,
        test=test,
        hash=split_hash([names[i] for i in train.tolist()]),
        notes=tuple(notes),
    )


def selected(clips: HasClips, rule: str) -> NDArray[np.bool_]:
    """Which clips of a file a rule names, one truth value per clip; an empty rule names all.

    Raises:
        UsageError: The rule is not understood, or does not fit the clips of the file.
        NotFoundError: The file of names does not exist.
        DataError: The file of names names other clips.
    """
    return _chosen(clips, rule)[0]


def _chosen(clips: HasClips, rule: str) -> tuple[NDArray[np.bool_], list[str]]:
    """The clips that a rule names, and notes on it."""
    if not rule:
        return np.ones(len(clips.names), dtype=np.bool_), []
    if len(parts := _AND.split(rule)) > 1:
        # what is noted of a part, its counts, does not hold for what the parts have in common
        return np.logical_and.reduce([_chosen(clips, part)[0] for part in parts]), []
    if rule in _PROTOCOLS:
        return _by_protocol(clips.names, rule)
    return _by_key(clips, rule), []


def _official(name: str) -> tuple[str, bool] | None:
    """The data set that a clip belongs to and whether it trains; None for an unknown name."""
    ntu = NTUName.parse(name)
    if ntu is not None:
        return "NTU", ntu.performer in NTU_TRAINING_PERFORMERS
    if match := _UTD.fullmatch(name):
        return "UTD-MHAD", int(match[1]) % 2 == 1
    if match := _UCLA.fullmatch(name):
        return "NW-UCLA", int(match[1]) in (1, 2)
    if match := _HDM.fullmatch(name):
        return "HDM05", match[1].lower() in ("bd", "bk", "dg")
    if match := _HUMANEVA.fullmatch(name):
        return "HumanEva", match[1] == "Train"
    if match := _H36M.fullmatch(name):
        return "Human3.6M", int(match[1]) in _H36M_TRAINING
    return None


def _ntu_rule(choose: Callable[[NTUName], bool]) -> Callable[[str], tuple[str, bool] | None]:
    def decide(name: str) -> tuple[str, bool] | None:
        ntu = NTUName.parse(name)
        return ("NTU", choose(ntu)) if ntu is not None else None

    return decide


_PROTOCOLS: dict[str, Callable[[str], tuple[str, bool] | None]] = {
    "official": _official,
    "xsub": _ntu_rule(lambda ntu: ntu.performer in NTU_TRAINING_PERFORMERS),
    "xview": _ntu_rule(lambda ntu: ntu.camera in (2, 3)),
    "xset": _ntu_rule(lambda ntu: ntu.setup % 2 == 0),
}


def _by_protocol(names: Sequence[str], rule: str) -> tuple[NDArray[np.bool_], list[str]]:
    decided = [_PROTOCOLS[rule](name) for name in names]
    unknown = [name for name, decision in zip(names, decided, strict=True) if decision is None]
    if unknown:
        raise UsageError(
            f"--split {rule}: expected clips of a data set with that protocol, got "
            f"{unknown[0]!r} ({len(unknown)} such names); use subject=, camera= or name=FILE"
        )
    chosen = np.array([decision is not None and decision[1] for decision in decided])
    sets = np.array([decision[0] if decision else "" for decision in decided])
    notes = []
    for data_set in dict.fromkeys(sets.tolist()):
        own = np.flatnonzero(sets == data_set)
        notes += _notes(rule, data_set, [names[i] for i in own.tolist()], chosen[own])
    return chosen, notes


def _notes(rule: str, data_set: str, names: Sequence[str], chosen: NDArray[np.bool_]) -> list[str]:
    if data_set == "NTU":
        setups = [ntu.setup for ntu in map(NTUName.parse, names) if ntu is not None]
        data_set = "NTU RGB+D 120" if max(setups) > _NTU_60_SETUPS else "NTU RGB+D"
        rule = "xsub" if rule == "official" else rule
    notes = []
    if data_set == "NW-UCLA":
        notes.append("NW-UCLA: 95 of the 464 test clips are copies of training clips (see convert)")
    expected, got = _EXPECTED.get((rule, data_set)), (int(chosen.sum()), int((~chosen).sum()))
    if expected is None:
        notes.append(f"{rule} is no published protocol of {data_set}")
    elif expected != got:
        notes.append(
            f"{rule} of the complete {data_set} has {expected[0]} training and {expected[1]} test "
            f"clips, this file has {got[0]} and {got[1]}: scores do not compare with published ones"
        )
    return notes


def _by_key(clips: HasClips, rule: str) -> NDArray[np.bool_]:
    key, equals, value = rule.partition("=")
    keys = {"subject": clips.subjects, "camera": clips.cameras, "setup": clips.setups}
    if not equals or key not in (*keys, "name"):
        known = [*_PROTOCOLS, *(f"{k}=" for k in (*keys, "name"))]
        raise UsageError(f"--split {rule}: no such split; {did_you_mean(rule, known)}")
    if key == "name":
        wanted = _names_in(Path(value), frozenset(clips.names))
        return np.array([name in wanted for name in clips.names], dtype=np.bool_)
    numbers = _numbers(value, rule)
    absent = sorted(numbers - set(keys[key].tolist()))
    if absent:
        there = ", ".join(str(n) for n in sorted({*keys[key].tolist()} - {-1})[:40]) or "none"
        raise UsageError(f"--split {rule}: no clip has {key} {absent[0]}; there are {there}")
    return np.isin(keys[key], sorted(numbers))


def _numbers(value: str, rule: str) -> set[int]:
    numbers: set[int] = set()
    for part in value.split(","):
        if part.strip() == "unknown":
            numbers.add(-1)
            continue
        match = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)
        if not match or int(match[2] or match[1]) - int(match[1]) > 10_000:
            raise UsageError(f"--split {rule}: expected numbers, for example subject=1,3,5-8")
        numbers.update(range(int(match[1]), int(match[2] or match[1]) + 1))
    return numbers


def _names_in(path: Path, known: frozenset[str]) -> frozenset[str]:
    if not path.is_file():
        raise NotFoundError(f"{path}: no such file; check --split name=FILE")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: expected one clip name per line, got no text") from error
    wanted = frozenset(line.strip() for line in lines if line.strip())
    absent = sorted(wanted - known)
    if absent:
        raise DataError(f"{path}: the file has no clip {absent[0]!r} ({len(absent)} such names)")
    return wanted
