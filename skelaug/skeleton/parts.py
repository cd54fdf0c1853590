"""Body parts of a skeleton: equally large ones from its tree alone, and groups of its joints."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from skelaug.skeleton.graph import hops
from skelaug.skeleton.layout import SkeletonLayout

__all__ = ["body_groups", "equal_parts"]


def equal_parts(parents: Sequence[int], size: int = 3) -> tuple[tuple[int, ...], ...]:
    """Body parts of equal size for any tree, so that one linear layer can read them all.

    FG-STFormer (Gao et al. 2022, sec. 3.3 and 4.2) has 10 parts of NTU's 25 joints and does not
    list them. We cut each limb from its start into ceil(length / size) parts, the last one aligned
    to the limb's end, so that parts may overlap. The first limb is the trunk: from the root along
    every child whose subtree has a shape of its own (arms and legs have twins), walked from its
    far end to the root. The others are the subtrees that hang on the trunk, each depth first. A
    limb shorter than a part is filled with the joints nearest to it. On ntu_25, kinect_20 and
    smpl_24 that makes 10 parts of 3.

    Args:
        parents: The tree, -1 = root.
        size: Joints of a part; a tree with fewer makes one part of all.

    Returns:
        The joints of each part; every joint is in at least one.
    """
    children: dict[int, list[int]] = {joint: [] for joint in range(-1, len(parents))}
    for child, parent in enumerate(parents):
        children[parent].append(child)
    trunk = _trunk(children)
    hanging = [child for joint in trunk for child in children[joint] if child not in trunk]
    limbs = [trunk, *(_subtree(children, joint) for joint in hanging)]
    size = min(size, len(parents))
    distance = hops(parents)
    parts: list[tuple[int, ...]] = []
    for limb in limbs:
        others = [joint for joint in range(len(parents)) if joint not in limb]
        others.sort(key=lambda joint: (distance[joint, limb].min(), joint))
        filled = [*others[: max(size - len(limb), 0)], *limb]
        cuts = math.ceil(len(filled) / size)
        starts = [*range(0, (cuts - 1) * size, size), len(filled) - size]
        parts.extend(tuple(filled[start : start + size]) for start in starts)
    return tuple(parts)


def _subtree(children: Mapping[int, Sequence[int]], joint: int) -> list[int]:
    """A joint and all that hangs on it, depth first."""
    order = [joint]
    for child in children[joint]:
        order.extend(_subtree(children, child))
    return order


def _shape(children: Mapping[int, Sequence[int]], joint: int) -> str:
    """A word that two joints share exactly if their subtrees look alike."""
    return "(" + "".join(sorted(_shape(children, child) for child in children[joint])) + ")"


def _trunk(children: Mapping[int, Sequence[int]]) -> list[int]:
    """From the far end to the root; of several children without twin, the largest subtree's."""
    joint: int | None = children[-1][0]
    trunk: list[int] = []
    while joint is not None:
        trunk.insert(0, joint)
        shapes = {child: _shape(children, child) for child in children[joint]}
        alone = [child for child in shapes if [*shapes.values()].count(shapes[child]) == 1]
        joint = max(alone, key=lambda child: len(shapes[child]), default=None)
    return trunk


def body_groups(layout: SkeletonLayout, count: int = 6) -> tuple[tuple[int, ...], ...]:
    """Disjoint groups of joints that cover a body: its parts, the trunk cut into two.

    The body parts of a layout (trunk, arms, legs), of which the one that holds the root is cut into
    the half near the root and the half far from it; then, while there are fewer than `count`, the
    largest group is cut in the same way. A layout without parts starts as one group.

    Args:
        layout: The skeleton.
        count: Groups at least, where it has the joints.

    Returns:
        The joints of each group, ascending; every joint is in exactly one.
    """
    from_root = hops(layout.parents)[layout.root]
    rest = set(range(layout.num_joints)) - {j for part in layout.parts.values() for j in part}
    groups = [sorted(part) for part in (*layout.parts.values(), rest) if part]
    while len(groups) < min(count, layout.num_joints):
        trunk = next(group for group in groups if layout.root in group)
        first_cut = len(groups) == len(layout.parts) and len(trunk) > 1
        cut = trunk if first_cut else max(groups, key=len)
        outwards = sorted(cut, key=lambda joint: (from_root[joint], joint))
        middle = (len(cut) + 1) // 2
        where = groups.index(cut)
        groups[where : where + 1] = [sorted(outwards[:middle]), sorted(outwards[middle:])]
    return tuple(tuple(group) for group in groups)
