import json

import pytest

from skelaug.errors import DataError
from skelaug.skeleton.layout import SkeletonLayout, layout_from_yaml

MINE = """
name: mine
joints: [hip, chest, left_hand, right_hand, left_hip, right_hip]
parents: [null, hip, chest, chest, hip, hip]
mirror: [[left_hand, right_hand], [left_hip, right_hip]]
parts: {torso: [hip, chest], arms: [left_hand, right_hand], legs: [left_hip, right_hip]}
hips: [left_hip, right_hip]
source: our own suit
"""


def test_a_users_layout_is_ten_lines_of_yaml(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(MINE, encoding="utf-8")
    layout = layout_from_yaml(path)
    assert layout.parents == (-1, 0, 1, 1, 0, 0)
    assert layout.mirror == ((2, 3), (4, 5))
    assert layout.parts == {"torso": (0, 1), "arms": (2, 3), "legs": (4, 5)}
    assert layout.hip_indices == (4, 5)
    assert layout.mirrored == (0, 1, 3, 2, 5, 4)
    assert layout.source == "our own suit"


def test_parents_may_be_indices(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("{name: m, joints: [a, b, c], parents: [-1, 0, 1]}", encoding="utf-8")
    assert layout_from_yaml(path).bones == ((1, 0), (2, 1))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name: m\njoints: [a, b]\nparents: [null, c]", "unknown joint 'c'"),
        ("name: m\njoints: [a, b]", "parents"),
        ("name: m\njoints: 3\nparents: [null]", "expected a layout"),
        ("just text", "expected a layout"),
        ("", "expected a layout"),
        ("- a\n- b", "expected a layout"),
        ("a: [", "expected a layout"),
        ("name: m\njoints: [a, b]\nparents: [null, 5]", "out of range"),
        ("name: m\njoints: [a, b]\nparents: [null]", "expected 2 parents, got 1"),
        ("name: m\njoints: [a, a]\nparents: [null, 0]", "unique"),
        ("name: m\njoints: [a, b, c]\nparents: [null, 2, 1]", "'b' never reaches the root"),
        ("name: m\njoints: [a, b]\nparents: [null, a]\nmirror: [[a, b], [b, a]]", "mirror"),
        ("name: m\njoints: [a, b]\nparents: [null, a]\nmirror: [[a]]", "expected a layout"),
        ("name: m\njoints: [a, b]\nparents: [null, a]\nparts: {x: [a]}", "exactly one part"),
        ("name: m\njoints: [a, b]\nparents: [null, a]\nparts: [a, b]", "expected a layout"),
        ("name: m\njoints: [a, b]\nparents: [null, a]\nhips: [a, z]", "hips"),
        ("name: m\njoints: [a, b]\nparents: [null, a]\nhips: [a]", "hips"),
    ],
)
def test_a_broken_layout_file_is_one_line_that_names_it(tmp_path, text, says):
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        layout_from_yaml(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert says in str(caught.value)


def test_binary_junk_is_no_layout(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_bytes(bytes(range(128, 256)))
    with pytest.raises(DataError, match=r"mine\.yaml"):
        layout_from_yaml(path)


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"name": "m", "joints": ["a"]}', "{"])
def test_json_that_is_no_layout_is_a_data_error(text):
    with pytest.raises(DataError, match="layout"):
        SkeletonLayout.from_json(text)


def test_an_unknown_joint_names_the_near_ones():
    layout = SkeletonLayout(name="m", joints=("left_hip", "head"), parents=(-1, 0))
    assert layout.index("head") == 1
    with pytest.raises(DataError, match="did you mean 'left_hip'"):
        layout.index("lefthip")


def test_a_layout_without_hips_has_no_hip_indices():
    layout = SkeletonLayout(name="m", joints=("a",), parents=(-1,))
    assert layout.hip_indices is None
    assert layout.tree_order == (0,)
    assert json.loads(layout.to_json())["hips"] == []
