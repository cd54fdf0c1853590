"""NTU RGB+D and NTU RGB+D 120: ``SsssCcccPpppRrrrAaaa.skeleton``, Kinect v2, metres, 30 fps.

Shahroudy, Liu, Ng, Wang 2016 (CVPR) and Liu et al. 2020 (TPAMI). The text: a line with the number
of frames; per frame a line with the number of bodies; per body a line of ten numbers (the first is
a 64-bit number of the body, kept as text), a line with the number of joints (25), and a line of
twelve numbers per joint (x y z first, the tracking state 0, 1 or 2 last).

Frames without a body stay in the clip as unobserved ones, so that time is not lost.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from skelaug.data.actors import ActorRule, Body, choose_actors
from skelaug.data.reading import (
    Clip,
    DamagedError,
    Fetch,
    Problem,
    as_float32,
    measured,
    stem,
    value_problems,
)
from skelaug.skeleton.layouts import get_layout
from skelaug.skeleton.sequence import UNKNOWN, SkeletonSequence

__all__ = ["CLASSES", "NTUName", "NTUReader", "missing_skeletons", "parse_ntu"]

_LISTS = resources.files("skelaug.data").joinpath("lists")

CLASSES = tuple(_LISTS.joinpath("ntu_classes.txt").read_text(encoding="utf-8").splitlines())
"""The actions A001 to A120."""

FPS = 30.0
_JOINTS, _BODY_NUMBERS, _JOINT_NUMBERS = 25, 10, 12
_BODY_TOKENS = _BODY_NUMBERS + 1 + _JOINTS * _JOINT_NUMBERS
_NOT_FINITE = re.compile(rb"[+-]?(nan.*|inf.*|\d*\.?#\w+|\d+\.#\w+)", re.IGNORECASE)


@dataclass(frozen=True)
class NTUName:
    """What the name of a clip says; all numbers as in the name.

    Attributes:
        setup: S, 1 to 32.
        camera: C, 1 to 3.
        performer: P, 1 to 106.
        repetition: R.
        action: A, 1 to 120.
    """

    setup: int
    camera: int
    performer: int
    repetition: int
    action: int

    @classmethod
    def parse(cls, name: str) -> NTUName | None:
        """The numbers in SsssCcccPpppRrrrAaaa; None if the name is another."""
        match = re.fullmatch(r"S(\d{3})C(\d{3})P(\d{3})R(\d{3})A(\d{3})", name)
        return cls(*map(int, match.groups())) if match else None

    @property
    def persons(self) -> int:
        """Two for the mutual actions A050 to A060 and A106 to A120, else one."""
        return 2 if 50 <= self.action <= 60 or 106 <= self.action <= 120 else 1


@cache
def missing_skeletons() -> frozenset[str]:
    """The names of the 535 clips (302 of them in NTU RGB+D) without usable skeletons."""
    packed = _LISTS.joinpath("ntu_missing_skeletons.txt.gz")
    lines = gzip.decompress(packed.read_bytes()).decode().splitlines()
    return frozenset(line for line in lines if not line.startswith("#"))


@dataclass(frozen=True)
class _Table:
    """All bodies of all frames: one row each."""

    frames: int
    frame: list[int]
    body: list[bytes]
    joints: NDArray[np.float64]  # rows x 25 x (x y z state)
    problems: tuple[Problem, ...] = ()


def parse_ntu(data: bytes, *, path: str, rule: ActorRule | None = None) -> Clip:
    """The clip of one .skeleton file.

    Args:
        data: The file's content.
        path: Its name, which says action, performer, camera and setup; another name gives a clip
            without label, of at most two persons.
        rule: Which bodies are actors.

    Raises:
        DamagedError: There is no complete frame, or the action is none of the 120.
    """
    name = NTUName.parse(stem(path))
    if name is not None and not 1 <= name.action <= len(CLASSES):
        raise DamagedError(path, f"expected an action A001 to A120, got A{name.action:03d}")
    table = _fast_table(data) or _careful_table(data, path)
    bodies, problems = _bodies(table)
    wanted = name.persons if name else 2
    actors: list[Body] = []
    decisions: list[str] = []
    if bodies:
        actors, decisions = choose_actors(bodies, rule or ActorRule(), persons=wanted, fps=FPS)
    if name is not None and wanted == 2 and len(actors) == 1:
        problems.append(Problem("expected two persons, got one"))
    if name is None:
        decisions.append("the name is not SsssCcccPpppRrrrAaaa: no label, performer, camera, setup")
    positions, confidence = _filled(table, actors)
    return Clip(
        SkeletonSequence(
            positions=positions,
            observed=measured(positions) & (confidence > 0),
            layout=get_layout("ntu_25"),
            fps=FPS,
            name=stem(path),
            label=CLASSES[name.action - 1] if name else "",
            confidence=confidence,
            subject=name.performer if name else UNKNOWN,
            camera=name.camera if name else UNKNOWN,
            setup=name.setup if name else UNKNOWN,
        ),
        problems=(*table.problems, *problems),
        decisions=tuple(decisions),
    )


def _fast_table(data: bytes) -> _Table | None:
    """The bodies of a file in which everything is as it should be; None for any other."""
    tokens = data.split()
    frame: list[int] = []
    body: list[bytes] = []
    columns: list[bytes] = []
    try:
        frames, at = int(tokens[0]), 1
        for t in range(frames):
            count = int(tokens[at])
            at += 1
            for _ in range(count):
                first, end = at + _BODY_NUMBERS + 1, at + _BODY_TOKENS
                if int(tokens[first - 1]) != _JOINTS:
                    return None
                frame.append(t)
                body.append(tokens[at])
                for column in (0, 1, 2, _JOINT_NUMBERS - 1):
                    columns += tokens[first + column : end : _JOINT_NUMBERS]
                at = end
        joints = np.fromiter(map(float, columns), np.float64, len(columns))
    except (ValueError, IndexError):
        return None
    size = len(body) * 4 * _JOINTS
    if at != len(tokens) or frames < 1 or joints.size != size:
        return None
    joints = joints.reshape(-1, 4, _JOINTS).transpose(0, 2, 1)
    if not np.isin(joints[..., 3], (0, 1, 2)).all():
        return None
    return _Table(frames=frames, frame=frame, body=body, joints=joints)


class _LineError(ValueError):
    """A line is not as the format promises."""


def _careful_table(data: bytes, path: str) -> _Table:
    """The bodies of the complete frames, line by line, and where the file stops making sense."""
    lines = data.splitlines()
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise DamagedError(path, "expected a number of frames, got an empty file", line=1)
    try:
        frames = _whole(lines[0], "a number of frames")
    except _LineError as error:
        raise DamagedError(path, str(error), line=1) from error
    if frames == 0:
        raise DamagedError(path, "expected at least one frame, got 0", line=1)
    complete, at, problems = 0, 1, []
    table = _Table(frames, [], [], np.zeros((0, _JOINTS, 4)))
    rows: list[NDArray[np.float64]] = []
    for t in range(frames):
        cursor = _Cursor(lines, at)
        try:
            found = [cursor.body() for _ in range(cursor.number("a number of bodies"))]
        except _LineError as error:
            reason = f"says {frames} frames, breaks off in frame {t + 1}: {error}"
            problems.append(Problem(reason, line=cursor.at + 1, structural=True))
            break
        at, complete = cursor.at, t + 1
        table.frame.extend([t] * len(found))
        table.body.extend(name for name, _ in found)
        rows.extend(joints for _, joints in found)
    else:
        if at < len(lines):
            reason = f"says {frames} frames, but goes on after them"
            problems.append(Problem(reason, line=at + 1, structural=True))
    if complete == 0:
        raise DamagedError(path, problems[0].reason, line=problems[0].line)
    joints = np.stack(rows) if rows else table.joints
    return _Table(complete, table.frame, table.body, joints, tuple(problems))


class _Cursor:
    """Reads lines one after the other; `at` is the 0-based line that comes next."""

    def __init__(self, lines: Sequence[bytes], at: int) -> None:
        self._lines, self.at = lines, at

    def _next(self, what: str) -> bytes:
        if self.at >= len(self._lines):
            raise _LineError(f"expected {what}, got the end of the file")
        return self._lines[self.at]

    def number(self, what: str) -> int:
        value = _whole(self._next(what), what)
        self.at += 1
        return value

    def body(self) -> tuple[bytes, NDArray[np.float64]]:
        words = self._next("a body").split()
        if len(words) != _BODY_NUMBERS:
            raise _LineError(f"expected {_BODY_NUMBERS} numbers of a body, got {len(words)}")
        self.at += 1
        joints = self.number("a number of joints")
        if joints != _JOINTS:
            self.at -= 1
            raise _LineError(f"expected {_JOINTS} joints, got {joints}")
        values = np.empty((_JOINTS, 4))
        for joint in range(_JOINTS):
            values[joint] = self._joint()
            self.at += 1
        return words[0], values

    def _joint(self) -> list[float]:
        words = self._next("a joint").split()
        if len(words) != _JOINT_NUMBERS:
            raise _LineError(f"expected {_JOINT_NUMBERS} numbers of a joint, got {len(words)}")
        return [_value(words[column]) for column in (0, 1, 2, _JOINT_NUMBERS - 1)]


def _whole(line: bytes, what: str) -> int:
    if not line.strip().isdigit():
        shown = line[:20].decode("ascii", errors="replace")
        raise _LineError(f"expected {what}, got {shown!r}")
    return int(line)


def _value(word: bytes) -> float:
    """A number; also as Windows prints one that is none (``-1.#IND``)."""
    try:
        return float(word)
    except ValueError as error:
        if _NOT_FINITE.fullmatch(word):
            return float("nan")
        shown = word[:20].decode("ascii", errors="replace")
        raise _LineError(f"expected a number, got {shown!r}") from error


def _bodies(table: _Table) -> tuple[list[Body], list[Problem]]:
    """The bodies that were seen at all, and what is wrong with the frames."""
    problems = list(value_problems(table.joints[..., :3]))
    empty = sorted(set(range(table.frames)) - set(table.frame))
    if empty:
        problems.append(Problem(f"{len(empty)} frames without a body, the first is {empty[0]}"))
    frame, names = np.array(table.frame, dtype=np.int64), np.array(table.body)
    usable = measured(table.joints[..., :3]).any(axis=-1)
    bodies = []
    for name in dict.fromkeys(table.body):
        rows = np.flatnonzero((names == name) & usable)
        rows = rows[np.unique(frame[rows], return_index=True)[1]]
        if rows.size == 0:
            continue
        positions = table.joints[rows, :, :3]
        positions = np.where(measured(positions)[..., None], positions, np.nan)
        bodies.append(Body((name.decode("ascii", errors="replace"),), frame[rows], positions, rows))
    if len(set(zip(table.frame, table.body, strict=True))) < len(table.body):
        problems.append(Problem("a body is listed twice in one frame; the first is used"))
    return bodies, problems


def _filled(
    table: _Table, actors: Sequence[Body]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Positions T M V 3, as in the file, and confidence T M V; NaN and 0 where there is nothing."""
    shape = (table.frames, max(len(actors), 1), _JOINTS)
    positions = np.full((*shape, 3), np.nan, dtype=np.float32)
    confidence = np.zeros(shape, dtype=np.float32)
    for person, body in enumerate(actors):
        positions[body.frames, person] = as_float32(table.joints[body.rows, :, :3])
        confidence[body.frames, person] = table.joints[body.rows, :, 3] / 2
    return positions, np.nan_to_num(confidence)


class NTUReader:
    """Reads NTU RGB+D skeletons.

    Args:
        rule: Which bodies are actors.
        skip_listed: Whether the clips of `missing_skeletons` are left out.
    """

    name = "ntu"
    classes = CLASSES
    subjects = (1, 106)
    layout = "ntu_25"

    def __init__(self, rule: ActorRule | None = None, *, skip_listed: bool = True) -> None:
        self._rule, self._skip_listed = rule or ActorRule(), skip_listed

    def claims(self, paths: Sequence[str]) -> list[str]:
        """The .skeleton files."""
        return [path for path in paths if path.lower().endswith(".skeleton")]

    def admits(self, paths: Sequence[str]) -> list[str]:
        """The .skeleton and .txt files."""
        return [path for path in paths if path.lower().endswith((".skeleton", ".txt"))]

    def skips(self, path: str) -> str:
        """The clips that the data set's authors list as unusable."""
        listed = self._skip_listed and stem(path) in missing_skeletons()
        return "on the data set's list of clips without usable skeletons" if listed else ""

    def population(self, path: str, fetch: Fetch) -> str:
        """The data set's name."""
        del path, fetch
        return self.name

    def read(self, path: str, fetch: Fetch) -> Iterator[Clip | DamagedError]:
        """The one clip of the file."""
        yield parse_ntu(fetch(path), path=path, rule=self._rule)
