"""Graphs of skeleton trees: hops, normalised adjacency, and the subsets that networks sum over.

All functions take the parents of a tree (-1 marks the root) and return float64; a network casts
once. Rows are the joints that receive and columns those that send: features y = A x. The direction
of a bone counts only where a function says so, and then the tree hangs on its `center`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "adjacency",
    "center",
    "column_normalized",
    "directed_subsets",
    "disentangled",
    "hop_subsets",
    "hops",
    "rerooted",
    "spatial_configuration",
    "symmetric_normalized",
]

Matrix = NDArray[np.float64]


def adjacency(parents: Sequence[int]) -> Matrix:
    """1 where two joints share a bone, V V, symmetric, without self loops."""
    v = len(parents)
    matrix = np.zeros((v, v))
    for child, parent in enumerate(parents):
        if parent >= 0:
            matrix[child, parent] = matrix[parent, child] = 1
    return matrix


def hops(parents: Sequence[int]) -> NDArray[np.int64]:
    """The number of bones between every two joints, V V."""
    v = len(parents)
    steps = adjacency(parents) + np.eye(v) > 0
    distance = np.where(np.eye(v, dtype=bool), 0, v)
    reached = np.eye(v, dtype=bool)
    for hop in range(1, v):
        reached = reached @ steps
        distance = np.minimum(distance, np.where(reached, hop, v))
    return distance.astype(np.int64)


def center(parents: Sequence[int]) -> int:
    """The joint with most neighbours: of several the one nearest the root, then the first.

    That is the joint between the shoulders on a whole body: `spine_shoulder` of ntu_25 and
    `shoulder_center` of kinect_20, the centres that ST-GCN and CTR-GCN name for these skeletons.
    """
    degree = adjacency(parents).sum(axis=1)
    depth = hops(parents)[list(parents).index(-1)]
    return min(range(len(parents)), key=lambda joint: (-degree[joint], depth[joint], joint))


def rerooted(parents: Sequence[int], root: int) -> tuple[int, ...]:
    """The same tree hanging on another joint."""
    turned = list(parents)
    joint, parent = root, -1
    while joint >= 0:
        above = parents[joint]
        turned[joint] = parent
        joint, parent = above, joint
    return tuple(turned)


def column_normalized(matrix: Matrix) -> Matrix:
    """A D^-1, D the sums of columns: what a joint sends adds up to one. Empty columns stay zero."""
    sums = matrix.sum(axis=-2, keepdims=True)
    return np.asarray(np.divide(matrix, sums, out=np.zeros_like(matrix), where=sums > 0))


def symmetric_normalized(matrix: Matrix) -> Matrix:
    """D^-1/2 A D^-1/2 of a symmetric matrix (Kipf and Welling 2017, eq. 2)."""
    sums = matrix.sum(axis=-1)
    scale = np.divide(1, np.sqrt(sums), out=np.zeros_like(sums), where=sums > 0)
    return np.asarray(scale[..., :, None] * matrix * scale[..., None, :])


def directed_subsets(parents: Sequence[int]) -> Matrix:
    """Self, inward and outward adjacency, 3 V V, as CTR-GCN and 2s-AGCN use them.

    Inward: a joint receives from its children (column: child, row: parent); outward the reverse.
    Column-normalised, self as it is. The tree hangs on its `center`.
    """
    tree = rerooted(parents, center(parents))
    v = len(tree)
    inward = np.zeros((v, v))
    for child, parent in enumerate(tree):
        if parent >= 0:
            inward[parent, child] = 1
    return np.stack([np.eye(v), column_normalized(inward), column_normalized(inward.T)])


def spatial_configuration(parents: Sequence[int]) -> Matrix:
    """ST-GCN's partition of the neighbours by their distance to the centre (Yan et al. 2018, eq 8).

    Returns:
        3 V V: senders as far from the `center` as the receiver (on a tree: itself), nearer,
        farther. Their sum D^-1 (A + I) is a mean: what a joint receives from its neighbours and
        itself has weights that add up to one. (The paper divides each subset by its own size; its
        authors' code, like here, by the size of all three.)
    """
    neighbours = adjacency(parents) + np.eye(len(parents))
    whole = column_normalized(neighbours).T
    depth = hops(parents)[center(parents)]
    receiver, sender = depth[:, None], depth[None, :]
    return np.stack(
        [whole * (sender == receiver), whole * (sender < receiver), whole * (sender > receiver)]
    )


def disentangled(parents: Sequence[int], scales: int) -> Matrix:
    """MS-G3D's k-adjacency for k = 0 to scales - 1 (Liu et al. 2020, eq. 3), normalised, K V V.

    Joints at distance exactly k, and each joint itself, so that orders do not overlap.
    """
    distance, v = hops(parents), len(parents)
    orders = [(distance == k) | np.eye(v, dtype=bool) for k in range(scales)]
    return np.stack([symmetric_normalized(order.astype(np.float64)) for order in orders])


def hop_subsets(parents: Sequence[int], max_hop: int = 2, normalize_hop: int = 10) -> Matrix:
    """EfficientGCN's subsets: joints at distance 0 to max_hop, (max_hop + 1) V V.

    As in its authors' code and weights, columns receive and rows send here, and columns are
    normalised over all joints within `normalize_hop` before the subsets are taken, so that the
    subsets together do not add up to one.
    """
    distance = hops(parents)
    whole = column_normalized((distance <= normalize_hop).astype(np.float64))
    return np.stack([whole * (distance == hop) for hop in range(max_hop + 1)])
