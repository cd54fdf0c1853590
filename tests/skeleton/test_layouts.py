import json

import numpy as np
import pytest

from skelaug.errors import DataError, NotFoundError
from skelaug.skeleton.layout import SkeletonLayout
from skelaug.skeleton.layouts import LAYOUTS, get_layout

PARTS = {"left_arm", "right_arm", "left_leg", "right_leg", "torso"}
EVERY = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)


def test_the_fourteen_layouts_are_there():
    assert sorted(LAYOUTS) == [
        "bandai_21", "coco_17", "h36m_17", "hdm05_31", "humaneva_15", "kinect_20", "mediapipe_33",
        "ntu_24", "ntu_25", "openpose_18", "openpose_25", "sbu_15", "smpl_22", "smpl_24",
    ]  # fmt: skip


@EVERY
def test_the_name_says_the_number_of_joints(layout):
    assert layout.name in LAYOUTS
    assert layout.num_joints == int(layout.name.split("_")[1]) == len(set(layout.joints))


@EVERY
def test_bones_form_a_tree_that_reaches_the_root(layout):
    v = layout.num_joints
    assert len(layout.bones) == v - 1
    adjacency = np.zeros((v, v))
    for child, parent in layout.bones:
        adjacency[child, parent] = 1
    reached = np.linalg.matrix_power(np.eye(v) + adjacency, v)[:, layout.root]
    assert (reached > 0).all()


@EVERY
def test_the_mirror_is_an_involution_that_maps_bones_to_bones(layout):
    mirrored = np.array(layout.mirrored)
    np.testing.assert_array_equal(mirrored[mirrored], np.arange(layout.num_joints))
    assert {(mirrored[c], mirrored[p]) for c, p in layout.bones} == set(layout.bones)
    assert mirrored[layout.root] == layout.root


@EVERY
def test_every_sided_name_is_in_a_mirror_pair(layout):
    paired = {layout.joints[joint] for pair in layout.mirror for joint in pair}
    sided = {j for j in layout.joints if "left" in j or "right" in j or j.endswith(("_L", "_R"))}
    assert sided <= paired


@EVERY
def test_parts_divide_the_joints_and_mirror_each_other(layout):
    assert set(layout.parts) == PARTS
    assert sorted(j for part in layout.parts.values() for j in part) == [*range(layout.num_joints)]
    for limb in ("arm", "leg"):
        left, right = layout.parts[f"left_{limb}"], layout.parts[f"right_{limb}"]
        assert {layout.mirrored[joint] for joint in left} == set(right)
    assert layout.root in layout.parts["torso"]


@EVERY
def test_hips_are_a_left_and_a_right_leg_joint_that_mirror_each_other(layout):
    left, right = layout.hip_indices
    assert layout.mirrored[left] == right
    assert left in layout.parts["left_leg"]
    assert right in layout.parts["right_leg"]


@EVERY
def test_tree_order_visits_each_joint_once_and_parents_first(layout):
    order = layout.tree_order
    assert sorted(order) == [*range(layout.num_joints)]
    assert order[0] == layout.root
    assert all(order.index(p) < order.index(c) for c, p in layout.bones)


@EVERY
def test_tree_order_keeps_each_branch_together(layout):
    order = layout.tree_order
    for joint in range(layout.num_joints):
        branch = {joint}
        for other in order:
            if layout.parents[other] in branch:
                branch.add(other)
        rows = sorted(order.index(member) for member in branch)
        assert rows == [*range(rows[0], rows[0] + len(rows))]


@EVERY
def test_a_layout_survives_json(layout):
    assert SkeletonLayout.from_json(layout.to_json()) == layout


@EVERY
def test_every_layout_names_its_source(layout):
    assert len(layout.source) > 20


def edges(layout):
    return {frozenset(bone) for bone in layout.bones}


def test_kinect_20_has_the_bones_that_the_field_uses_for_northwestern_ucla():
    table = [
        (1, 2), (2, 3), (4, 3), (5, 3), (6, 5), (7, 6), (8, 7), (9, 3), (10, 9), (11, 10),
        (12, 11), (13, 1), (14, 13), (15, 14), (16, 15), (17, 1), (18, 17), (19, 18), (20, 19),
    ]  # fmt: skip
    assert edges(LAYOUTS["kinect_20"]) == {frozenset((a - 1, b - 1)) for a, b in table}


def test_ntu_25_has_the_bones_that_the_field_uses_but_for_the_hand_tips():
    table = [
        (1, 2), (2, 21), (3, 21), (4, 3), (5, 21), (6, 5), (7, 6), (8, 7), (9, 21), (10, 9),
        (11, 10), (12, 11), (13, 1), (14, 13), (15, 14), (16, 15), (17, 1), (18, 17), (19, 18),
        (20, 19), (22, 8), (23, 8), (24, 12), (25, 12),
    ]  # fmt: skip
    assert edges(LAYOUTS["ntu_25"]) == {frozenset((a - 1, b - 1)) for a, b in table}


def test_ntu_25_mirrors_as_the_field_swaps_left_and_right():
    swap = "0 1 2 3 8 9 10 11 4 5 6 7 16 17 18 19 12 13 14 15 20 23 24 21 22"
    assert LAYOUTS["ntu_25"].mirrored == tuple(map(int, swap.split()))


def test_ntu_24_is_ntu_25_without_joint_21():
    joints = list(LAYOUTS["ntu_25"].joints)
    assert joints.pop(20) == "spine_shoulder"
    assert LAYOUTS["ntu_24"].joints == tuple(joints)


def test_smpl_22_is_the_start_of_smpl_24():
    small, large = LAYOUTS["smpl_22"], LAYOUTS["smpl_24"]
    assert (small.joints, small.parents) == (large.joints[:22], large.parents[:22])
    assert large.parents == (
        -1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21,
    )  # fmt: skip


def test_h36m_17_has_the_parents_of_the_lifting_papers():
    parents = (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 9, 8, 11, 12, 8, 14, 15)
    assert LAYOUTS["h36m_17"].parents == parents


def test_openpose_25_has_the_limb_pairs_of_body_25():
    pairs = "1 8 1 2 1 5 2 3 3 4 5 6 6 7 8 9 9 10 10 11 8 12 12 13 13 14 1 0 0 15 15 17 0 16 16 18"
    pairs += " 14 19 19 20 14 21 11 22 22 23 11 24"
    numbers = [*map(int, pairs.split())]
    expected = {frozenset(pair) for pair in zip(numbers[::2], numbers[1::2], strict=True)}
    assert edges(LAYOUTS["openpose_25"]) == expected


def test_an_unknown_layout_names_the_near_ones():
    with pytest.raises(NotFoundError, match=r"'kinect20'.*did you mean 'kinect_20'\?") as caught:
        get_layout("kinect20")
    assert "\n" not in str(caught.value)


def test_a_layout_comes_by_name_or_from_a_yaml_file(tmp_path):
    assert get_layout("ntu_25") is LAYOUTS["ntu_25"]
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\njoints: [hip, head]\nparents: [null, hip]\n", encoding="utf-8")
    assert get_layout(str(path)).parents == (-1, 0)


def test_a_missing_or_broken_yaml_file_is_named(tmp_path):
    with pytest.raises(NotFoundError, match=r"gone\.yaml"):
        get_layout(str(tmp_path / "gone.yaml"))
    path = tmp_path / "broken.yml"
    path.write_text("name: mine\njoints: [hip, head]\nparents: [hip, head]\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"broken\.yml.*expected one root"):
        get_layout(str(path))


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("bandai_21", "bandai_namco_2/bandai_namco_2.npz"),
        ("humaneva_15", "humaneva15/humaneva15.npz"),
        ("sbu_15", "sbu_kinect_interaction/sbu_kinect_interaction.npz"),
    ],
)
def test_layouts_are_those_of_the_real_files(shared_data, name, path):
    with np.load(shared_data / path, allow_pickle=False) as file:
        assert LAYOUTS[name].joints == tuple(file["joint_names"])
        assert LAYOUTS[name].parents == tuple(file["parents"])


@pytest.mark.data
def test_hdm05_31_is_the_hierarchy_of_its_asf_file(shared_data):
    text = (shared_data / "raw_samples/hdm05_asf_amc/HDM_bd.asf").read_text(errors="replace")
    lines = text.split(":hierarchy")[1].split("begin")[1].split("end")[0].splitlines()
    words = [line.split() for line in lines if line.split()]
    expected = {(child, parent) for parent, *children in words for child in children}
    layout = LAYOUTS["hdm05_31"]
    assert {(layout.joints[c], layout.joints[p]) for c, p in layout.bones} == expected
    named = [line.split()[1] for line in text.splitlines() if line.strip().startswith("name ")]
    assert layout.joints[1:] == tuple(named)


def test_json_of_a_layout_is_sorted_so_that_equal_layouts_have_equal_text():
    text = LAYOUTS["kinect_20"].to_json()
    assert text == json.dumps(json.loads(text), sort_keys=True)
