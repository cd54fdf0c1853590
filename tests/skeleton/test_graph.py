"""Laws of the graphs of skeleton trees, each against a brute force that walks the tree."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skelaug.skeleton.graph import (
    adjacency,
    center,
    column_normalized,
    directed_subsets,
    disentangled,
    hop_subsets,
    hops,
    rerooted,
    spatial_configuration,
    symmetric_normalized,
)
from skelaug.skeleton.layouts import LAYOUTS, get_layout

Tree = tuple[int, ...]


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    """Any labelled tree of 1 to 9 joints, its root anywhere."""
    v = draw(st.integers(1, 9))
    parents = [-1] + [draw(st.integers(0, joint - 1)) for joint in range(1, v)]
    names = draw(st.permutations(range(v)))
    renamed = {names[joint]: -1 if p < 0 else names[p] for joint, p in enumerate(parents)}
    return tuple(renamed[joint] for joint in range(v))


def bones(parents: Sequence[int]) -> set[frozenset[int]]:
    return {frozenset((joint, p)) for joint, p in enumerate(parents) if p >= 0}


def path_length(parents: Sequence[int], start: int, end: int) -> int:
    """Steps up to the first common ancestor, from both sides."""

    def ancestors(joint: int) -> list[int]:
        return [] if joint < 0 else [joint, *ancestors(parents[joint])]

    first, second = ancestors(start), ancestors(end)
    common = next(joint for joint in first if joint in second)
    return first.index(common) + second.index(common)


def neighbours(parents: Sequence[int], joint: int) -> list[int]:
    return [other for other in range(len(parents)) if frozenset((joint, other)) in bones(parents)]


@given(trees())
def test_adjacency_is_one_on_bones(parents: Tree) -> None:
    matrix = adjacency(parents)
    for i, j in itertools.product(range(len(parents)), repeat=2):
        assert matrix[i, j] == (i != j and frozenset((i, j)) in bones(parents))
    assert matrix.sum() == 2 * (len(parents) - 1)


@given(trees())
def test_hops_are_lengths_of_paths(parents: Tree) -> None:
    distance = hops(parents)
    assert distance.dtype == np.int64
    for i, j in itertools.product(range(len(parents)), repeat=2):
        assert distance[i, j] == path_length(parents, i, j)


@given(trees())
def test_the_center_has_most_neighbours_then_is_nearest_the_root(parents: Tree) -> None:
    chosen, root = center(parents), parents.index(-1)
    for other in range(len(parents)):
        more = len(neighbours(parents, chosen)) - len(neighbours(parents, other))
        nearer = path_length(parents, root, other) - path_length(parents, root, chosen)
        assert (more, nearer, other - chosen) >= (0, 0, 0)


@pytest.mark.parametrize(
    ("layout", "joint"), [("ntu_25", "spine_shoulder"), ("kinect_20", "shoulder_center")]
)
def test_the_center_is_between_the_shoulders(layout: str, joint: str) -> None:
    known = get_layout(layout)
    assert known.joints[center(known.parents)] == joint


@given(trees(), st.data())
def test_rerooting_keeps_the_bones_and_twice_is_the_identity(
    parents: Tree, data: st.DataObject
) -> None:
    root = data.draw(st.integers(0, len(parents) - 1))
    turned = rerooted(parents, root)
    assert turned[root] == -1
    assert turned.count(-1) == 1
    assert bones(turned) == bones(parents)
    assert rerooted(turned, parents.index(-1)) == parents


@given(trees())
def test_columns_are_shared_out(parents: Tree) -> None:
    matrix = np.triu(adjacency(parents) + 1)
    matrix[:, 0] = 0
    normalized = column_normalized(matrix)
    for i, j in itertools.product(range(len(parents)), repeat=2):
        total = sum(matrix[k, j] for k in range(len(parents)))
        assert normalized[i, j] == pytest.approx(matrix[i, j] / total if total else 0)


@given(trees())
def test_the_symmetric_norm_divides_by_both_degrees(parents: Tree) -> None:
    matrix = adjacency(parents)
    normalized = symmetric_normalized(matrix)
    for i, j in itertools.product(range(len(parents)), repeat=2):
        degrees = len(neighbours(parents, i)) * len(neighbours(parents, j))
        assert normalized[i, j] == pytest.approx(matrix[i, j] / degrees**0.5 if degrees else 0)


@given(trees())
def test_with_self_loops_the_symmetric_norm_keeps_lengths(parents: Tree) -> None:
    """Its largest eigenvalue is one, with the square roots of the degrees as its vector."""
    matrix = adjacency(parents) + np.eye(len(parents))
    normalized = symmetric_normalized(matrix)
    root_degrees = np.sqrt(matrix.sum(0))
    np.testing.assert_allclose(normalized @ root_degrees, root_degrees)
    assert np.abs(np.linalg.eigvalsh(normalized)).max() == pytest.approx(1)


@given(trees())
def test_directed_subsets_follow_the_bones_inward_and_outward(parents: Tree) -> None:
    itself, inward, outward = directed_subsets(parents)
    middle = center(parents)
    depth = [path_length(parents, middle, joint) for joint in range(len(parents))]
    for i, j in itertools.product(range(len(parents)), repeat=2):
        is_bone = frozenset((i, j)) in bones(parents) and i != j
        farther = sum(depth[k] > depth[j] for k in neighbours(parents, j))
        assert itself[i, j] == (i == j)
        assert inward[i, j] == (is_bone and depth[j] > depth[i])  # one parent: all goes there
        assert outward[i, j] == pytest.approx(1 / farther if is_bone and depth[j] < depth[i] else 0)


@given(trees())
def test_the_spatial_configuration_sorts_neighbours_by_distance(parents: Tree) -> None:
    subsets = spatial_configuration(parents)
    middle = center(parents)
    depth = [path_length(parents, middle, joint) for joint in range(len(parents))]
    for i, j in itertools.product(range(len(parents)), repeat=2):
        share = 1 / (1 + len(neighbours(parents, i)))
        near = i == j or frozenset((i, j)) in bones(parents)
        place = {0: 0, -1: 1, 1: 2}[int(np.sign(depth[j] - depth[i]))]
        expected = [share * near * (subset == place) for subset in range(3)]
        np.testing.assert_allclose(subsets[:, i, j], expected)
    np.testing.assert_allclose(subsets.sum((0, 2)), 1)


@given(trees(), st.integers(1, 6))
def test_disentangled_scales_hold_their_own_distance_alone(parents: Tree, scales: int) -> None:
    stack = disentangled(parents, scales)
    v = len(parents)
    assert stack.shape == (scales, v, v)
    for k, i, j in itertools.product(range(scales), range(v), range(v)):

        def degree(joint: int, k: int = k) -> int:
            return sum(
                joint == other or path_length(parents, joint, other) == k for other in range(v)
            )

        is_linked = i == j or path_length(parents, i, j) == k
        expected = (degree(i) * degree(j)) ** -0.5 if is_linked else 0
        assert stack[k, i, j] == pytest.approx(expected)


@given(trees(), st.integers(0, 3), st.integers(3, 10))
def test_hop_subsets_share_with_all_that_are_near(parents: Tree, hop: int, reach: int) -> None:
    stack = hop_subsets(parents, hop, reach)
    v = len(parents)
    assert stack.shape == (hop + 1, v, v)
    for k, i, j in itertools.product(range(hop + 1), range(v), range(v)):
        within = sum(path_length(parents, other, j) <= reach for other in range(v))
        expected = (path_length(parents, i, j) == k) / within
        assert stack[k, i, j] == pytest.approx(expected)


def test_hop_subsets_count_joints_that_they_do_not_hold() -> None:
    """A chain of four, two hops kept, normalised over all ten: columns add up to less than one."""
    chain = (-1, 0, 1, 2)
    np.testing.assert_allclose(hop_subsets(chain).sum((0, 1)), [3 / 4, 1, 1, 3 / 4])
    np.testing.assert_allclose(hop_subsets(chain, normalize_hop=2).sum((0, 1)), 1)


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_known_layout_has_its_graphs(name: str) -> None:
    parents = get_layout(name).parents
    v = len(parents)
    assert hops(parents).max() < v
    np.testing.assert_allclose(spatial_configuration(parents).sum((0, 2)), 1)
    inward, outward = directed_subsets(parents)[1:]
    assert np.array_equal(inward > 0, outward.T > 0)
    assert (inward > 0).sum() == v - 1
    # only the centre sends nothing inward; only ends of limbs send nothing outward
    assert np.flatnonzero(inward.sum(0) == 0).tolist() == [center(parents)]
