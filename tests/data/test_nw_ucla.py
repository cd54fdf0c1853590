"""NW-UCLA JSON: names, joints, gaps, and files that are not whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skelaug.data.nw_ucla import CLASSES, NWUCLAReader, parse_nw_ucla
from skelaug.data.reading import DamagedError

NAME = "a08_s03_e01_v02.json"
RNG = np.random.default_rng(0)


def data(skeletons: Any) -> bytes:
    return json.dumps({"file_name": "x", "skeletons": skeletons, "label": 8}).encode()


def whole(frames: int = 5) -> list[Any]:
    skeletons: list[Any] = RNG.uniform(0.1, 3, (frames, 20, 3)).tolist()
    return skeletons


def test_positions_and_name_are_read() -> None:
    skeletons = whole()
    clip = parse_nw_ucla(data(skeletons), path=f"all_sqe/{NAME}")
    sequence = clip.sequence
    np.testing.assert_allclose(sequence.positions[:, 0], skeletons, rtol=1e-6)
    assert (sequence.name, sequence.label) == ("a08_s03_e01_v02", "donning")
    assert (sequence.subject, sequence.camera) == (3, 2)
    assert sequence.layout.name == "kinect_20"
    assert clip.problems == ()


def test_the_ten_codes_name_the_ten_classes() -> None:
    codes = [1, 2, 3, 4, 5, 6, 8, 9, 11, 12]
    labels = [
        parse_nw_ucla(data(whole(1)), path=f"a{code:02d}_s01_e00_v01.json").sequence.label
        for code in codes
    ]
    assert tuple(labels) == CLASSES


@pytest.mark.parametrize("name", ["a07_s01_e00_v01.json", "a10_s01_e00_v01.json", "x.json"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(DamagedError, match="ten actions"):
        parse_nw_ucla(data(whole()), path=name)


def test_joints_at_zero_are_unobserved() -> None:
    skeletons = whole()
    skeletons[2][0] = skeletons[2][1] = [0, 0, 0]
    clip = parse_nw_ucla(data(skeletons), path=NAME)
    assert np.argwhere(~clip.sequence.observed).tolist() == [[2, 0, 0], [2, 0, 1]]
    assert [p.reason for p in clip.problems] == ["2 joints are at zero, the first in frame 2"]


def test_numbers_that_are_none_are_unobserved() -> None:
    skeletons = whole()
    skeletons[1][7][0], skeletons[1][8][2], skeletons[1][9][1] = float("nan"), None, 1e300
    clip = parse_nw_ucla(data(skeletons), path=NAME)
    assert np.argwhere(~clip.sequence.observed).tolist() == [[1, 0, 7], [1, 0, 8], [1, 0, 9]]


def test_a_clip_of_one_frame_is_a_clip() -> None:
    assert parse_nw_ucla(data(whole(1)), path=NAME).sequence.num_frames == 1


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"\x00\xff\x80",
        data(whole())[:500],
        b"[1, 2]",
        b"{}",
        b"null",
        b"[" * 100_000,
        data([]),
        data([[1, 2, 3]]),
        data(np.ones((4, 25, 3)).tolist()),
        data([*whole(2), [[1, 2, 3]] * 19]),
        data([[["a", "b", "c"]] * 20]),
        data({"frames": 3}),
    ],
)
def test_anything_else_is_refused(broken: bytes) -> None:
    with pytest.raises(DamagedError, match=NAME):
        parse_nw_ucla(broken, path=NAME)


def test_the_line_of_a_break_is_named() -> None:
    text = json.dumps({"skeletons": whole()}, indent=1)
    with pytest.raises(DamagedError) as caught:
        parse_nw_ucla("\n".join(text.splitlines()[:40]).encode(), path=NAME)
    assert caught.value.line in (40, 41)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_no_damage_is_anything_but_an_error_or_a_clip(draw: st.DataObject) -> None:
    good = data(np.ones((2, 20, 3)).tolist())
    start = draw.draw(st.integers(0, len(good)))
    junk = draw.draw(st.binary(max_size=20))
    try:
        parse_nw_ucla(good[:start] + junk + good[start + 15 :], path=NAME)
    except DamagedError:
        return


def test_files_are_told_by_their_names() -> None:
    paths = ["all_sqe/" + NAME, "package.json", "a1.mat"]
    assert NWUCLAReader().claims(paths) == ["all_sqe/" + NAME]
    assert NWUCLAReader().admits(paths) == ["all_sqe/" + NAME, "package.json"]


@pytest.mark.data
def test_the_persons_left_is_left(shared_data: Path) -> None:
    """Who faces the sensor has the left shoulder at the sensor's right, which is negative x."""
    path = shared_data / "raw_samples" / "nw_ucla" / "a01_s01_e00_v01.json"
    sequence = parse_nw_ucla(path.read_bytes(), path=path.name).sequence
    left, right = (sequence.layout.index(f"{side}_shoulder") for side in ("left", "right"))
    head, hip = sequence.layout.index("head"), sequence.layout.index("hip_center")
    first = sequence.positions[0, 0]
    assert first[left, 0] < first[right, 0]
    assert first[head, 1] > first[hip, 1]
