"""From metres to a picture: a camera that stands in front of the person, and the limbs' colours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skelaug.skeleton.layout import SkeletonLayout
from skelaug.skeleton.sequence import SkeletonSequence

__all__ = [
    "COLOURS",
    "HEAD",
    "INK",
    "PAPER",
    "SECOND_PERSON",
    "View",
    "bone_colours",
    "front_view",
    "head_of",
    "on_the_spot",
    "sides",
    "tips",
    "visible",
]

INK = "#30343b"
PAPER = "#ffffff"
COLOURS = {"left": "#d1495b", "right": "#2474b5", "torso": "#4a4e57"}
SECOND_PERSON = {"left": "#e08a3c", "right": "#2a9d8f", "torso": "#8d8f98"}

HEAD = 0.085  # radius of a drawn head in metres

_YAW = np.radians(28.0)


def sides(layout: SkeletonLayout) -> tuple[str, ...]:
    """For each joint ``"left"``, ``"right"`` or ``"torso"``, from the layout's mirror pairs."""
    side = ["torso"] * layout.num_joints
    for left, right in layout.mirror:
        side[left], side[right] = "left", "right"
    return tuple(side)


def bone_colours(layout: SkeletonLayout, person: int) -> list[str]:
    """The colour of each bone of ``layout.bones``; a bone has the side of its child joint."""
    colours = COLOURS if person == 0 else SECOND_PERSON
    side = sides(layout)
    return [colours[side[child]] for child, _ in layout.bones]


def tips(layout: SkeletonLayout) -> list[int]:
    """The joints that no bone leaves and that have a mirror image: hands and feet."""
    inner = set(layout.parents)
    side = sides(layout)
    return [j for j in range(layout.num_joints) if j not in inner and side[j] != "torso"]


def head_of(layout: SkeletonLayout) -> int | None:
    """The joint that is drawn as a head, where the layout has one at the end of a bone."""
    heads = [j for j, name in enumerate(layout.joints) if name.lower() == "head"]
    return heads[0] if heads and heads[0] not in layout.parents else None


def on_the_spot(sequence: SkeletonSequence) -> NDArray[np.float64]:
    """Positions T M V C without the travel: the middle of all joints stays above the origin."""
    t = sequence.num_frames
    positions = sequence.positions.astype(np.float64)
    seen = visible(sequence)
    counts = seen.reshape(t, -1).sum(axis=1)
    known = np.flatnonzero(counts)
    if not len(known):
        return positions
    for axis in range(positions.shape[-1]):
        if axis != 1:
            sums = np.where(seen, positions[..., axis], 0.0).reshape(t, -1).sum(axis=1)
            middle = np.interp(np.arange(t), known, sums[known] / counts[known])
            positions[..., axis] -= middle[:, None, None]
    return positions


def visible(sequence: SkeletonSequence) -> NDArray[np.bool_]:
    """T M V, True where a joint has a position, measured or invented."""
    return np.asarray(np.isfinite(sequence.positions).all(axis=-1), dtype=np.bool_)


@dataclass(frozen=True)
class View:
    """A fixed camera at infinity; one metre has the same length along every axis of the picture.

    Attributes:
        right: Unit vector C that points to the right of the picture.
        up: Unit vector C that points to the top of the picture.
        floor: Height of the lowest joint of the clip in metres.
    """

    right: NDArray[np.float64]
    up: NDArray[np.float64]
    floor: float

    def project(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Positions ... C in metres to picture coordinates ... 2 in metres, y up."""
        axes = np.stack([self.right, self.up], axis=-1)
        return np.asarray(points.astype(np.float64) @ axes, dtype=np.float64)


def front_view(sequence: SkeletonSequence, *, pitch: float = 0.16) -> View:
    """The view of a clip from before the person, a little from the side and from above.

    The heading is that of the person's hips at the beginning; two persons are seen side by side,
    and without hips the camera stands where the sensor stood. Clips of two coordinates are seen
    as they are.

    Args:
        sequence: The clip.
        pitch: How far the camera looks down, in radians.
    """
    seen = visible(sequence)
    heights = sequence.positions[..., 1][seen]
    floor = float(heights.min()) if heights.size else 0.0
    if sequence.positions.shape[-1] == 2:
        return View(np.array([1.0, 0.0]), np.array([0.0, 1.0]), floor)
    hips = _left_to_right(sequence)
    forward = np.cross([0.0, 1.0, 0.0], hips)
    right = -np.cos(_YAW) * hips + np.sin(_YAW) * forward
    toward = np.cross(right, [0.0, 1.0, 0.0])
    up = np.cos(pitch) * np.array([0.0, 1.0, 0.0]) - np.sin(pitch) * toward
    return View(right, up, floor)


def _left_to_right(sequence: SkeletonSequence) -> NDArray[np.float64]:
    """Unit vector in the floor plane that runs to the left of the picture, before the yaw.

    Of one person it runs from the left to the right hip, of two from the second to the first, so
    that they stand side by side: the mean of the first third of the clip.
    """
    first = sequence.positions[: max(1, sequence.num_frames // 3)].astype(np.float64)
    hips = sequence.layout.hip_indices
    ways = [first[:, 0, hips[1]] - first[:, 0, hips[0]]] if hips else []
    if sequence.num_persons > 1:
        root = sequence.layout.root
        ways.insert(0, first[:, 0, root] - first[:, 1, root])
    for way in ways:
        known = way[np.isfinite(way).all(axis=-1)]
        if len(known):
            mean = known.mean(axis=0) * [1.0, 0.0, 1.0]
            length = float(np.linalg.norm(mean))
            if length > 1e-6:
                return np.asarray(mean / length, dtype=np.float64)
    # whoever faces the sensor has the right side at larger x
    return np.array([1.0, 0.0, 0.0])
