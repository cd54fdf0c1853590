"""Acclaim motion capture (.asf skeleton + .amc motion) by forward kinematics: HDM05 and CMU.

The rotations of a bone are relative to its own axes: with C the rotation to those axes and M that
of the frame, the bone turns by ``R = R_parent C M C^-1`` and ends at ``start + R direction
length``. Rotations are applied in the order in which they are listed: ``axis XYZ`` is
``Rz Ry Rx``. A joint is named by the bone that ends there. One unit is ``25.4 / length`` mm, where
``length`` is that of the .asf's :units (0.45 in both data sets).

Formats as on http://research.cs.wisc.edu/graphics/Courses/cs-838-1999/Jeff/ASF-AMC.html.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skelaug.data.reading import DamagedError, Problem

__all__ = [
    "AcclaimSkeleton",
    "Bone",
    "Motion",
    "forward_kinematics",
    "parse_amc",
    "parse_asf",
    "rotation",
]

_INCH = 0.0254


@dataclass(frozen=True)
class Bone:
    """One bone of an .asf file.

    Attributes:
        name: Its name, and that of the joint where it ends.
        parent: Index of the bone that it hangs on; -1 is the root joint.
        offset: Direction times length in metres, in world axes.
        axis: 3 x 3, from world axes to its own.
        dofs: The rotations that a frame gives, in order, e.g. ``("rx", "rz")``.
    """

    name: str
    parent: int
    offset: NDArray[np.float64]
    axis: NDArray[np.float64]
    dofs: tuple[str, ...]


@dataclass(frozen=True)
class AcclaimSkeleton:
    """What an .asf file says.

    Attributes:
        bones: Parents before their children.
        unit: Metres per unit of the file.
        degrees: Whether angles are in degrees.
        root_order: What the six numbers of the root are, e.g. ``("tx", ..., "rz")``.
        root_position: Added to the root's translation, in metres.
        root_axis: 3 x 3, from world axes to the root's own.
    """

    bones: tuple[Bone, ...]
    unit: float
    degrees: bool
    root_order: tuple[str, ...]
    root_position: NDArray[np.float64]
    root_axis: NDArray[np.float64]

    @property
    def joints(self) -> tuple[str, ...]:
        """The root and the end of each bone."""
        return ("root", *(bone.name for bone in self.bones))


@dataclass(frozen=True)
class Motion:
    """What an .amc file says: for each bone the values T x dofs, as in the file."""

    values: Mapping[str, NDArray[np.float64]]
    num_frames: int
    problems: tuple[Problem, ...] = ()


def parse_asf(text: str, *, path: str) -> AcclaimSkeleton:
    """The skeleton of an .asf file.

    Raises:
        DamagedError: A section is missing or a line is not as the format promises.
    """
    sections = _sections(text)
    for key in (":root", ":bonedata", ":hierarchy"):
        if key not in sections:
            raise DamagedError(path, f"expected a section {key}, got none")
    try:
        units = {words[0]: words[1] for _, words in sections.get(":units", ()) if len(words) > 1}
        unit = _INCH / float(units.get("length", "1"))
        degrees = units.get("angle", "deg").startswith("deg")
        root = {words[0].lower(): words[1:] for _, words in sections[":root"]}
        return AcclaimSkeleton(
            bones=tuple(_bones(sections, unit=unit, degrees=degrees)),
            unit=unit,
            degrees=degrees,
            root_order=tuple(word.lower() for word in root["order"]),
            root_position=unit * np.array([float(word) for word in root["position"]]),
            root_axis=_axes([*root["orientation"], *root["axis"]], degrees=degrees),
        )
    except (KeyError, ValueError, IndexError, ZeroDivisionError) as error:
        raise DamagedError(
            path, f"expected an Acclaim skeleton, got an error at {error}"
        ) from error


_Line = tuple[int, list[str]]


def _sections(text: str) -> dict[str, list[_Line]]:
    """The lines under each ``:section``, split into words, with their numbers."""
    sections: dict[str, list[_Line]] = {}
    current: list[_Line] = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.partition("#")[0].split()
        if words and words[0].startswith(":"):
            current = sections.setdefault(words[0].lower(), [])
        elif words:
            current.append((number, words))
    return sections


def _bones(
    sections: Mapping[str, Sequence[_Line]], *, unit: float, degrees: bool
) -> Iterator[Bone]:
    """The bones in the order of the hierarchy, where parents come before their children."""
    described = dict(_described(sections[":bonedata"]))
    index = {"root": -1}
    for number, words in sections[":hierarchy"]:
        if words[0] in ("begin", "end"):
            continue
        for name in words[1:]:
            if words[0] not in index or name not in described or name in index:
                raise ValueError(f"line {number}, where {words[0]!r} or {name!r} is out of place")
            index[name] = len(index) - 1
            yield _bone(described[name], parent=index[words[0]], unit=unit, degrees=degrees)


def _described(lines: Sequence[_Line]) -> Iterator[tuple[str, dict[str, list[str]]]]:
    fields: dict[str, list[str]] = {}
    for _, words in lines:
        if words[0] == "begin":
            fields = {}
        elif words[0] == "end":
            yield fields["name"][0], fields
        else:
            fields[words[0]] = words[1:]


def _bone(fields: Mapping[str, list[str]], *, parent: int, unit: float, degrees: bool) -> Bone:
    direction = np.array([float(word) for word in fields["direction"]])
    dofs = tuple(word.lower() for word in fields.get("dof", ()))
    if len(direction) != 3 or not set(dofs) <= {"rx", "ry", "rz"}:
        raise ValueError(f"bone {fields['name'][0]!r}: expected 3 numbers and rotations only")
    return Bone(
        name=fields["name"][0],
        parent=parent,
        offset=direction * float(fields["length"][0]) * unit,
        axis=_axes(fields["axis"], degrees=degrees),
        dofs=dofs,
    )


def _axes(words: Sequence[str], *, degrees: bool) -> NDArray[np.float64]:
    """The rotation of ``x y z XYZ``: three angles and the order in which they are applied."""
    angles = dict(zip(("rx", "ry", "rz"), map(float, words[:3]), strict=True))
    order = [f"r{axis}" for axis in words[3].lower()]
    turned = rotation(np.array([[angles[dof] for dof in order]]), order, degrees=degrees)
    return np.asarray(turned[0], dtype=np.float64)


def rotation(
    angles: NDArray[np.float64], dofs: Sequence[str], *, degrees: bool
) -> NDArray[np.float64]:
    """T x 3 x 3: the rotations about fixed axes, the first listed applied first.

    Args:
        angles: T x number of dofs.
        dofs: Of ``rx``, ``ry``, ``rz``; an axis that is not listed does not turn.
        degrees: Whether the angles are in degrees.
    """
    radians = np.deg2rad(angles) if degrees else angles
    total = np.broadcast_to(np.eye(3), (len(angles), 3, 3))
    for column, dof in enumerate(dofs):
        c, s = np.cos(radians[:, column]), np.sin(radians[:, column])
        i, j = {"rx": (1, 2), "ry": (2, 0), "rz": (0, 1)}[dof]
        turn = np.zeros((len(angles), 3, 3))
        turn[:] = np.eye(3)
        turn[:, i, i], turn[:, i, j], turn[:, j, i], turn[:, j, j] = c, -s, s, c
        total = turn @ total
    return total


def parse_amc(text: str, *, path: str) -> Motion:
    """The motion of an .amc file; the complete frames of one that breaks off.

    Raises:
        DamagedError: There is no complete frame, or a line is not as the first frame promises.
    """
    lines = text.splitlines()
    numbers = (n for n, line in enumerate(lines) if line.strip().isdigit())
    start = next(numbers, None)
    if start is None:
        raise DamagedError(path, "expected frames, got none")
    rows = [line.split() for line in lines[start:]]
    while rows and not rows[-1]:
        rows.pop()
    height = next((i for i, row in enumerate(rows[1:], start=1) if len(row) == 1), len(rows))
    columns = [(row[0] if i else "", len(row)) for i, row in enumerate(rows[:height])]
    frames, problems = _complete(rows, columns, first_line=start + 1, path=path)
    if frames == 0 or height == 1:
        raise DamagedError(path, "expected a complete frame, got none", line=start + 1)
    values: dict[str, NDArray[np.float64]] = {}
    for i, (name, _) in enumerate(columns):
        if i:
            block = [row[1:] for row in rows[i : frames * height : height]]
            values[name] = _floats(block, path=path, line=start + 1 + i, step=height)
    return Motion(values=values, num_frames=frames, problems=tuple(problems))


def _complete(
    rows: Sequence[Sequence[str]],
    columns: Sequence[tuple[str, int]],
    *,
    first_line: int,
    path: str,
) -> tuple[int, list[Problem]]:
    """How many frames have all the lines of the first one, and what is wrong with the rest."""
    height = len(columns)
    problems: list[Problem] = []
    for number, row in enumerate(rows):
        name, width = columns[number % height]
        is_header = number % height == 0
        if len(row) == width and (row[0].isdigit() if is_header else row[0] == name):
            continue
        line = first_line + number
        if number >= len(rows) - height:
            break
        raise DamagedError(path, f"expected {name or 'a frame number'}, got {row[:1]}", line=line)
    else:
        number = len(rows)
    frames = number // height
    if number % height or number < len(rows):
        reason = f"breaks off in frame {frames + 1}; {frames} frames are complete"
        problems.append(Problem(reason, line=first_line + number, structural=True))
    steps = np.diff([int(rows[i][0]) for i in range(0, frames * height, height)])
    if (steps != 1).any():
        jump = int(np.argmax(steps != 1)) + 1
        reason = f"frame {rows[jump * height][0]} follows frame {rows[(jump - 1) * height][0]}"
        problems.append(Problem(reason, line=first_line + jump * height, structural=True))
    return frames, problems


def _floats(
    block: Sequence[Sequence[str]], *, path: str, line: int, step: int
) -> NDArray[np.float64]:
    try:
        return np.array(block, dtype=np.float64)
    except ValueError:
        for row, words in enumerate(block):
            for word in words:
                try:
                    float(word)
                except ValueError as error:
                    reason = f"expected a number, got {word!r}"
                    raise DamagedError(path, reason, line=line + row * step) from error
        raise


def forward_kinematics(skeleton: AcclaimSkeleton, motion: Motion) -> NDArray[np.float64]:
    """Joint positions T x (1 + bones) x 3 in metres; the root first, then the end of each bone.

    A bone that the motion does not mention keeps its rest orientation.

    Raises:
        ValueError: The motion lacks the root, or gives a bone another number of values than it
            has degrees of freedom.
    """
    frames, degrees = motion.num_frames, skeleton.degrees
    root = dict(zip(skeleton.root_order, _values(motion, "root", 6).T, strict=True))
    turns = [dof for dof in skeleton.root_order if dof.startswith("r")]
    angles = np.stack([root[dof] for dof in turns], axis=1)
    axis = skeleton.root_axis
    rotations = [axis @ rotation(angles, turns, degrees=degrees) @ axis.T]
    origin = np.stack([root["tx"], root["ty"], root["tz"]], axis=1) * skeleton.unit
    positions = [origin + skeleton.root_position]
    for bone in skeleton.bones:
        turned = rotations[bone.parent + 1]
        if bone.dofs and bone.name in motion.values:
            angles = _values(motion, bone.name, len(bone.dofs))
            own = rotation(angles, bone.dofs, degrees=degrees)
            turned = turned @ bone.axis @ own @ bone.axis.T
        rotations.append(turned)
        positions.append(positions[bone.parent + 1] + turned @ bone.offset)
    return np.stack(positions, axis=1).reshape(frames, -1, 3)


def _values(motion: Motion, name: str, count: int) -> NDArray[np.float64]:
    values = motion.values.get(name)
    if values is None or values.shape[1] != count:
        got = 0 if values is None else values.shape[1]
        raise ValueError(f"expected {count} values of {name}, got {got}")
    return values
