"""Long tables: joints by name or number, gaps, and lines that make no sense."""

from __future__ import annotations

import numpy as np
import pytest
import yaml

from skelaug.data.arrays import parse_arrays
from skelaug.data.raw_clips import in_natural_order
from skelaug.data.reading import Clip, DamagedError

JOINTS = ["hip", "head"]
RECIPE = {
    "file": "t.csv",
    "layout": {"name": "two", "joints": JOINTS, "parents": [-1, 0]},
    "fps": 30,
}
HEADER = "clip,frame,person,joint,x,y,z,conf,label,subject"


def parsed(text: str, **recipe: object) -> list[Clip | DamagedError]:
    files = {"r.yaml": yaml.safe_dump({**RECIPE, **recipe}).encode(), "t.csv": text.encode()}
    return list(parse_arrays("r.yaml", files.__getitem__))


def only(text: str, **recipe: object) -> Clip:
    (clip,) = parsed(text, **recipe)
    assert isinstance(clip, Clip)
    return clip


def test_lines_become_positions_wherever_they_stand() -> None:
    lines = [
        "walk 1,12,0,head,0.1,1.7,2.5,0.5,walk,3",
        "walk 1,10,0,hip,0.0,0.9,2.5,1,walk,3",
        "walk 1,10,0,1,0.1,1.6,2.5,1,walk,3",
        "walk 1,12,0,0,0.0,1.0,2.5,1,walk,3",
    ]
    clip = only("\n".join([HEADER, *lines]))
    sequence = clip.sequence
    assert (sequence.name, sequence.label, sequence.subject) == ("walk 1", "walk", 3)
    assert sequence.positions.shape == (3, 1, 2, 3)
    np.testing.assert_allclose(sequence.positions[0, 0], [[0, 0.9, 2.5], [0.1, 1.6, 2.5]])
    np.testing.assert_allclose(sequence.positions[2, 0], [[0, 1.0, 2.5], [0.1, 1.7, 2.5]])
    assert sequence.observed.any(axis=(1, 2)).tolist() == [True, False, True]
    assert sequence.confidence is not None
    assert sequence.confidence[2, 0].tolist() == [1.0, 0.5]
    assert [p.reason for p in clip.problems] == ["1 frames without anybody, the first is 1"]


def test_two_coordinates_and_no_person_are_enough() -> None:
    text = "clip,frame,joint,x,y\na,0,hip,10,20\na,0,head,11,40\nb,0,hip,1,2\n"
    first, second = parsed(text, units="px")
    assert isinstance(first, Clip)
    assert isinstance(second, Clip)
    assert first.sequence.positions.tolist() == [[[[10, 20], [11, 40]]]]
    assert second.sequence.observed.tolist() == [[[True, False]]]
    assert second.sequence.label == ""


def test_persons_become_slots_in_order() -> None:
    text = "clip,frame,person,joint,x,y,z\na,0,7,hip,1,1,1\na,0,2,hip,2,2,2\n"
    assert only(text).sequence.positions[0, :, 0, 0].tolist() == [2, 1]


def test_an_empty_cell_is_a_gap() -> None:
    clip = only("clip,frame,joint,x,y,z\na,0,hip,1,1,1\na,0,head,,1,1\n")
    assert clip.sequence.observed.tolist() == [[[True, False]]]


def test_columns_may_have_other_names() -> None:
    text = "take,t,marker,X,Y,Z,what\na,0,hip,1,2,3,wave\n"
    columns = {"clip": "take", "frame": "t", "joint": "marker", "label": "what"}
    clip = only(text, columns={**columns, "x": "X", "y": "Y", "z": "Z"})
    assert (clip.sequence.label, clip.sequence.positions[0, 0, 0].tolist()) == ("wave", [1, 2, 3])


def test_numbers_as_labels_take_names() -> None:
    text = "clip,frame,joint,x,y,label\na,0,hip,1,1,1\nb,0,hip,1,1,0\nc,0,hip,1,1,\n"
    found = parsed(text, classes=["wave", "kick"])
    labels = [item.sequence.label for item in found if isinstance(item, Clip)]
    assert labels == ["kick", "wave", ""]


def test_a_byte_order_mark_and_windows_line_ends_change_nothing() -> None:
    files = {
        "r.yaml": yaml.safe_dump(RECIPE).encode(),
        "t.csv": "clip,frame,joint,x,y\r\na,0,hip,1,1\r\n".encode("utf-8-sig"),
    }
    (clip,) = parse_arrays("r.yaml", files.__getitem__)
    assert isinstance(clip, Clip)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a column 'clip', got none"),
        ("clip,frame,joint,x,y\n", "expected lines below"),
        ("clip,frame,joint,x\na,0,hip,1\n", "t.csv:1: expected a column 'y'"),
        ("clip,frame,joint,x,y\na,0,hp,1,1\n", "t.csv:2: no joint 'hp'; did you mean 'hip'"),
        ("clip,frame,joint,x,y\na,0,2,1,1\n", "t.csv:2: no joint '2'"),
        ("clip,frame,joint,x,y\na,0,hip,1,1\na,0.5,hip,1,1\n", "t.csv:3: expected numbers"),
        ("clip,frame,joint,x,y\na,0,hip,1,one\n", "t.csv:2: expected numbers"),
        ("clip,frame,joint,x,y\na,0,hip,1\n", "t.csv:2: expected 5 cells, got 4"),
        ("clip,frame,joint,x,y,label\na,0,hip,1,1,b\na,1,hip,1,1,c\n", "t.csv:3: label 'c'"),
        ('clip,frame,joint,x,y\na,0,"hip,1,1\n', "t.csv:2"),
    ],
)
def test_a_line_that_makes_no_sense_is_named(text: str, message: str) -> None:
    with pytest.raises(DamagedError) as caught:
        parsed(text)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("a,0,hip,1,1\na,0,hip,2,2\n", "a joint is listed twice in one frame"),
        ("a,0,hip,1,1\na,9999999999,hip,2,2\n", "expected frame numbers"),
    ],
)
def test_a_clip_that_makes_no_sense_is_refused_alone(lines: str, message: str) -> None:
    bad, good = parsed("clip,frame,joint,x,y\n" + lines + "b,0,hip,1,1\n")
    assert isinstance(bad, DamagedError)
    assert message in str(bad)
    assert isinstance(good, Clip)


def test_a_table_needs_layout_and_rate() -> None:
    text = "clip,frame,joint,x,y\na,0,hip,1,1\n"
    with pytest.raises(DamagedError, match="key 'layout'"):
        parsed(text, layout="")
    with pytest.raises(DamagedError, match="key 'columns': 'jnt'"):
        parsed(text, columns={"jnt": "x"})


def test_names_are_sorted_as_people_do() -> None:
    assert in_natural_order(["10", "9", "a10", "a9", "b", "9"]) == ("9", "10", "a9", "a10", "b")
