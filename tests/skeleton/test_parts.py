"""Parts of equal size: the published setting, and what holds for any tree."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from skelaug.skeleton.graph import rerooted
from skelaug.skeleton.layout import SkeletonLayout
from skelaug.skeleton.layouts import LAYOUTS, get_layout
from skelaug.skeleton.parts import body_groups, equal_parts

trees = st.integers(1, 14).flatmap(
    lambda v: st.tuples(*(st.integers(0, max(joint - 1, 0)) for joint in range(1, v)))
)


def names(layout: str, parts: tuple[tuple[int, ...], ...]) -> list[str]:
    joints = get_layout(layout).joints
    return [" ".join(joints[joint] for joint in part) for part in parts]


def test_the_ten_parts_of_ntu() -> None:
    one_based = [tuple(joint + 1 for joint in part) for part in equal_parts(_parents("ntu_25"))]
    assert one_based == [
        (4, 3, 21),
        (21, 2, 1),
        (5, 6, 7),
        (8, 22, 23),
        (9, 10, 11),
        (12, 24, 25),
        (13, 14, 15),
        (14, 15, 16),
        (17, 18, 19),
        (18, 19, 20),
    ]


def _parents(layout: str) -> tuple[int, ...]:
    return get_layout(layout).parents


def test_the_ten_parts_of_kinect() -> None:
    assert names("kinect_20", equal_parts(_parents("kinect_20"))) == [
        "head shoulder_center spine",
        "shoulder_center spine hip_center",
        "left_shoulder left_elbow left_wrist",
        "left_elbow left_wrist left_hand",
        "right_shoulder right_elbow right_wrist",
        "right_elbow right_wrist right_hand",
        "left_hip left_knee left_ankle",
        "left_knee left_ankle left_foot",
        "right_hip right_knee right_ankle",
        "right_knee right_ankle right_foot",
    ]


@pytest.mark.parametrize("layout", ["ntu_24", "smpl_24", "smpl_22", "bandai_21"])
def test_ten_parts_wherever_limbs_have_four_to_six_joints(layout: str) -> None:
    assert len(equal_parts(_parents(layout))) == 10


@pytest.mark.parametrize("layout", ["ntu_25", "kinect_20", "smpl_24", "h36m_17", "hdm05_31"])
def test_mirrored_parts_are_parts(layout: str) -> None:
    body = get_layout(layout)
    parts = {frozenset(part) for part in equal_parts(body.parents)}
    assert {frozenset(body.mirrored[joint] for joint in part) for part in parts} == parts


def test_a_short_limb_takes_the_joints_nearest_to_it() -> None:
    # nose > eye > ear on both sides: the trunk is the nose alone, a limb has two joints
    parts = names("coco_17", equal_parts(_parents("coco_17")))
    assert parts[:3] == [
        "left_eye right_eye nose",
        "nose left_eye left_ear",
        "nose right_eye right_ear",
    ]


@given(trees, st.integers(1, 6))
def test_equal_sizes_and_no_joint_left_out(above: tuple[int, ...], size: int) -> None:
    parents = (-1, *above)
    parts = equal_parts(parents, size)
    assert {len(part) for part in parts} == {min(size, len(parents))}
    assert all(len(set(part)) == len(part) for part in parts)
    assert {joint for part in parts for joint in part} == set(range(len(parents)))


@given(trees)
def test_parts_of_one_joint_are_the_joints(above: tuple[int, ...]) -> None:
    assert sorted(equal_parts((-1, *above), 1)) == [(joint,) for joint in range(len(above) + 1)]


def test_a_chain_is_cut_from_its_far_end() -> None:
    assert equal_parts((-1, 0, 1, 2, 3, 4, 5)) == ((6, 5, 4), (3, 2, 1), (2, 1, 0))


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_every_layout_has_parts_of_three(layout: str) -> None:
    parents = _parents(layout)
    parts = equal_parts(parents)
    assert all(len(part) == 3 for part in parts)
    assert {joint for part in parts for joint in part} == set(range(len(parents)))
    # a tree that hangs on another joint is cut too
    equal_parts(rerooted(parents, len(parents) - 1))


@pytest.mark.parametrize("name", LAYOUTS)
def test_groups_of_a_body_are_six_and_share_no_joint(name: str) -> None:
    layout = get_layout(name)
    groups = body_groups(layout)
    assert len(groups) == 6
    assert sorted(joint for group in groups for joint in group) == list(range(layout.num_joints))
    sides = [group for group in groups if group in set(layout.parts.values())]
    assert len(sides) == 4  # arms and legs as they are, the trunk in two


def test_the_six_groups_of_kinect() -> None:
    assert names("kinect_20", body_groups(get_layout("kinect_20")))[:2] == [
        "hip_center spine",
        "shoulder_center head",
    ]


@pytest.mark.parametrize(("joints", "expected"), [(1, 1), (4, 4), (9, 6)])
def test_groups_of_a_layout_without_parts(joints: int, expected: int) -> None:
    names = tuple(f"j{i}" for i in range(joints))
    layout = SkeletonLayout(name="chain", joints=names, parents=tuple(range(-1, joints - 1)))
    groups = body_groups(layout)
    assert len(groups) == expected
    assert sorted(joint for group in groups for joint in group) == list(range(joints))
