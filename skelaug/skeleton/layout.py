"""A skeleton layout is data with laws: joints, parents, mirror pairs, body parts, and a source."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from skelaug.errors import DataError, did_you_mean

__all__ = ["SkeletonLayout", "layout_from_yaml"]


@dataclass(frozen=True)
class SkeletonLayout:
    """The joints of a skeleton and the tree that they form.

    Attributes:
        name: The layout's own name, e.g. ``kinect_20``.
        joints: Joint names, unique, in the order of the arrays.
        parents: Index of each joint's parent; -1 marks the one root.
        mirror: Pairs (left, right) of joint indices; joints in no pair mirror onto themselves.
        parts: Body part name to joint indices; every joint is in exactly one part.
        source: Where joints and parents come from: paper, figure, or code.
        hips: Names of the (left, right) hip joints that define the heading; empty if none do.
    """

    name: str
    joints: tuple[str, ...]
    parents: tuple[int, ...]
    mirror: tuple[tuple[int, int], ...] = ()
    parts: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    source: str = ""
    hips: tuple[str, str] | tuple[()] = ()

    def __post_init__(self) -> None:
        fault = _fault(self)
        if fault:
            raise DataError(f"layout {self.name!r}: {fault}")

    @property
    def num_joints(self) -> int:
        """The number of joints V."""
        return len(self.joints)

    @cached_property
    def root(self) -> int:
        """Index of the joint without a parent."""
        return self.parents.index(-1)

    @cached_property
    def bones(self) -> tuple[tuple[int, int], ...]:
        """The V - 1 pairs (child, parent), by child index."""
        return tuple((c, p) for c, p in enumerate(self.parents) if p >= 0)

    @cached_property
    def tree_order(self) -> tuple[int, ...]:
        """Joint indices in depth-first order from the root: neighbours in it share a limb."""
        children: dict[int, list[int]] = {j: [] for j in range(self.num_joints)}
        for child, parent in self.bones:
            children[parent].append(child)
        order: list[int] = []
        stack = [self.root]
        while stack:
            joint = stack.pop()
            order.append(joint)
            stack.extend(reversed(children[joint]))
        return tuple(order)

    @cached_property
    def mirrored(self) -> tuple[int, ...]:
        """For each joint the index of its mirror image (an involution)."""
        swap = list(range(self.num_joints))
        for left, right in self.mirror:
            swap[left], swap[right] = right, left
        return tuple(swap)

    @property
    def hip_indices(self) -> tuple[int, int] | None:
        """Indices of the (left, right) hips, or None where the layout names none."""
        if not self.hips:
            return None
        return self.index(self.hips[0]), self.index(self.hips[1])

    def index(self, joint: str) -> int:
        """Index of a joint by its name.

        Raises:
            DataError: No joint has that name.
        """
        if joint not in self.joints:
            raise DataError(
                f"layout {self.name!r}: no joint {joint!r}; {did_you_mean(joint, self.joints)}"
            )
        return self.joints.index(joint)

    def to_json(self) -> str:
        """The layout as one JSON object, as stored in files and checkpoints."""
        return json.dumps(
            {
                "name": self.name,
                "joints": list(self.joints),
                "parents": list(self.parents),
                "mirror": [list(pair) for pair in self.mirror],
                "parts": {part: list(joints) for part, joints in self.parts.items()},
                "source": self.source,
                "hips": list(self.hips),
            },
            sort_keys=True,
        )

    @classmethod
    def from_json(cls, text: str) -> SkeletonLayout:
        """The layout that `to_json` wrote.

        Raises:
            DataError: The text is not such a layout.
        """
        try:
            return _from_mapping(json.loads(text))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"layout: expected a JSON object of a layout, got {error}") from error


def layout_from_yaml(path: Path) -> SkeletonLayout:
    """A user's own layout from a short YAML file.

    The file names ``name``, ``joints`` (names), ``parents`` (names or indices; the root's is null
    or -1), and optionally ``mirror`` (pairs of names), ``parts`` (name: names), ``hips``,
    ``source``.

    Raises:
        DataError: The file breaks a law of layouts; the message names the file.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
        return _from_mapping(data)
    except (yaml.YAMLError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path}: expected a layout with name, joints and parents, got {error}"
        ) from error
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def _from_mapping(data: Mapping[str, Any]) -> SkeletonLayout:
    joints = tuple(str(joint) for joint in data["joints"])
    pairs = tuple(_pair(joints, pair) for pair in data.get("mirror") or ())
    parts = {
        str(part): tuple(_position(joints, joint) for joint in members)
        for part, members in (data.get("parts") or {}).items()
    }
    hips = tuple(str(joint) for joint in data.get("hips") or ())
    if len(hips) not in (0, 2):
        raise ValueError(f"hips {list(hips)}, which are not a left and a right one")
    return SkeletonLayout(
        name=str(data["name"]),
        joints=joints,
        parents=tuple(_position(joints, parent) for parent in data["parents"]),
        mirror=pairs,
        parts=parts,
        source=str(data.get("source", "")),
        hips=(hips[0], hips[1]) if len(hips) == 2 else (),
    )


def _pair(joints: Sequence[str], pair: Sequence[object]) -> tuple[int, int]:
    left, right = pair
    return _position(joints, left), _position(joints, right)


def _position(joints: Sequence[str], joint: object) -> int:
    if joint is None:
        return -1
    if isinstance(joint, int):
        return joint
    if str(joint) not in joints:
        raise ValueError(f"an unknown joint {joint!r}; {did_you_mean(str(joint), joints)}")
    return joints.index(str(joint))


def _fault(layout: SkeletonLayout) -> str:
    """The first broken law of a layout as half a sentence, or nothing."""
    v = len(layout.joints)
    if v == 0 or len(set(layout.joints)) != v:
        return "joint names must be unique and at least one"
    if len(layout.parents) != v:
        return f"expected {v} parents, got {len(layout.parents)}"
    if list(layout.parents).count(-1) != 1:
        return f"expected one root (parent -1), got {list(layout.parents).count(-1)}"
    if any(not -1 <= parent < v for parent in layout.parents):
        return "a parent index is out of range"
    lost = [j for j in range(v) if not _reaches_root(layout.parents, j)]
    if lost:
        return f"joint {layout.joints[lost[0]]!r} never reaches the root"
    paired = [joint for pair in layout.mirror for joint in pair]
    if len(set(paired)) != len(paired) or any(not 0 <= joint < v for joint in paired):
        return "a joint is in two mirror pairs, or a pair is out of range"
    members = sorted(joint for part in layout.parts.values() for joint in part)
    if members and members != list(range(v)):
        return "every joint must be in exactly one part"
    if any(hip not in layout.joints for hip in layout.hips):
        return f"hips {list(layout.hips)} are not joints of the layout"
    return ""


def _reaches_root(parents: Sequence[int], joint: int) -> bool:
    for _ in parents:
        if joint == -1:
            return True
        joint = parents[joint]
    return joint == -1
