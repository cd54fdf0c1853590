"""Long tables: one line per joint, ``clip,frame,person,joint,x,y,z,conf,label,subject,camera``.

Only clip, frame, joint, x and y must be there. Joints are named or numbered from 0; frames are
numbers, and those that are missing between the first and the last are unobserved, so that time is
not lost. An empty cell is a gap.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from skelaug.data.raw_clips import RawClip
from skelaug.data.reading import DamagedError
from skelaug.errors import did_you_mean
from skelaug.skeleton.layout import SkeletonLayout
from skelaug.skeleton.sequence import UNKNOWN

__all__ = ["parse_table"]

_NEEDED = ("clip", "frame", "joint", "x", "y")
_COLUMNS = (*_NEEDED, "z", "person", "conf", "label", "subject", "camera")
_MOST_FRAMES = 1_000_000


@dataclass
class _Rows:
    """The lines of one clip, column by column."""

    frames: list[int] = field(default_factory=list)
    persons: list[int] = field(default_factory=list)
    joints: list[int] = field(default_factory=list)
    values: list[list[float]] = field(default_factory=list)
    line: int = 0
    facts: dict[str, str] = field(default_factory=dict)


def parse_table(
    text: str, layout: SkeletonLayout, *, path: str, columns: Mapping[str, str] | None = None
) -> tuple[str, Iterator[RawClip | DamagedError]]:
    """What the channels hold (``xyz``, ``xy``, ``xyzc`` or ``xyc``), and the clips.

    Args:
        text: The content of the .csv file, with a line of column names.
        layout: The joints.
        path: The file, for messages.
        columns: Names of columns where they differ from those above.

    Raises:
        DamagedError: A needed column is missing, or a line is not as above.
    """
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        header = [name.strip() for name in next(reader, [])]
        place = _places(header, columns or {}, path)
        channels = "xyz" if "z" in place else "xy"
        numeric = [*channels, *(["conf"] if "conf" in place else [])]
        clips: dict[str, _Rows] = {}
        joints = {name: index for index, name in enumerate(layout.joints)}
        joints |= {str(index): index for index in range(layout.num_joints)}
        for cells in reader:
            if cells:
                _add(clips, cells, place, numeric, joints, where=(path, reader.line_num))
    except csv.Error as error:
        raise DamagedError(path, f"expected CSV, got {error}", line=reader.line_num) from error
    if not clips:
        raise DamagedError(path, "expected lines below the column names, got none")
    kind = channels + ("c" if "conf" in place else "")
    return kind, (_clip(name, rows, layout, path=path) for name, rows in clips.items())


def _places(header: Sequence[str], columns: Mapping[str, str], path: str) -> dict[str, int]:
    unknown = sorted(set(columns) - set(_COLUMNS))
    if unknown:
        raise DamagedError(
            path, f"key 'columns': {unknown[0]!r}; {did_you_mean(unknown[0], _COLUMNS)}"
        )
    named = {column: columns.get(column, column) for column in _COLUMNS}
    place = {column: header.index(name) for column, name in named.items() if name in header}
    missing = [named[column] for column in (*_NEEDED, *columns) if column not in place]
    if missing:
        got = ", ".join(header) or "none"
        raise DamagedError(path, f"expected a column {missing[0]!r}, got {got}", line=1)
    return place


def _add(
    clips: dict[str, _Rows],
    cells: Sequence[str],
    place: Mapping[str, int],
    numeric: Sequence[str],
    joints: Mapping[str, int],
    *,
    where: tuple[str, int],
) -> None:
    path, line = where
    if len(cells) <= max(place.values()):
        raise DamagedError(
            path, f"expected {max(place.values()) + 1} cells, got {len(cells)}", line=line
        )
    rows = clips.setdefault(cells[place["clip"]].strip(), _Rows(line=line))
    joint = cells[place["joint"]].strip()
    if joint not in joints:
        raise DamagedError(path, f"no joint {joint!r}; {did_you_mean(joint, joints)}", line=line)
    try:
        rows.values.append([float(cells[place[c]].strip() or "nan") for c in numeric])
        rows.frames.append(int(cells[place["frame"]]))
        rows.persons.append(int(cells[place["person"]] or 0) if "person" in place else 0)
    except ValueError as error:
        raise DamagedError(path, f"expected numbers, got {error}", line=line) from error
    rows.joints.append(joints[joint])
    for key in ("label", "subject", "camera"):
        if key in place:
            value = cells[place[key]].strip()
            if rows.facts.setdefault(key, value) != value:
                first = rows.facts[key]
                reason = f"{key} {value!r}, but the clip began with {first!r}"
                raise DamagedError(path, reason, line=line)


def _clip(name: str, rows: _Rows, layout: SkeletonLayout, *, path: str) -> RawClip | DamagedError:
    frames, joints = np.array(rows.frames), np.array(rows.joints)
    persons = np.unique(rows.persons, return_inverse=True)[1]
    first, last = int(frames.min()), int(frames.max())
    if last - first >= _MOST_FRAMES:
        reason = f"clip {name!r}: expected frame numbers, got {first} to {last}"
        return DamagedError(path, reason, line=rows.line)
    cell = (frames - first, persons, joints)
    shape = (last - first + 1, int(persons.max()) + 1, layout.num_joints)
    if len(np.unique(np.ravel_multi_index(cell, shape))) < len(frames):
        reason = f"clip {name!r}: a joint is listed twice in one frame"
        return DamagedError(path, reason, line=rows.line)
    values = np.full((*shape, len(rows.values[0])), np.nan)
    values[cell] = rows.values
    numbers = {}
    for key in ("subject", "camera"):
        text = rows.facts.get(key, "")
        if text and not text.lstrip("-").isdecimal():
            reason = f"clip {name!r}: expected a number as {key}, got {text!r}"
            return DamagedError(path, reason, line=rows.line)
        numbers[key] = int(text) if text else UNKNOWN
    return RawClip(
        values,
        name,
        label=rows.facts.get("label", ""),
        subject=numbers["subject"],
        camera=numbers["camera"],
    )
