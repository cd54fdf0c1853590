"""The .skeleton text: what is read, what is repaired, and what is refused with its line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skelaug.data.ntu import CLASSES, NTUName, NTUReader, missing_skeletons, parse_ntu
from skelaug.data.reading import DamagedError, OnProblem, settle

ONE, TWO = "S001C002P003R002A024.skeleton", "S018C003P042R001A106.skeleton"
BIG = "72057594037944738"  # above 2 ** 53: a float would lose its last digits
FRAMES = 20
JOINTS = 4  # index of the line of the first joint


def joint(t: int, v: int, person: int, *, state: int = 2) -> str:
    x, y, z = person + 0.01 * v + 0.02 * np.sin(t + v), 0.07 * v - 0.8, 2.5 + 0.001 * t
    return f"{x:.6f} {y:.6f} {z:.6f} 277.4 191.8 1036.2 519.1 -0.2 0.05 0.96 -0.12 {state}"


def body(t: int, number: str, person: int = 0) -> list[str]:
    head = f"{number} 0 1 1 1 1 0 0.02764709 0.05745083 2"
    return [head, "25", *(joint(t, v, person) for v in range(25))]


def text(frames: Sequence[Sequence[tuple[str, int]]]) -> list[str]:
    lines = [str(len(frames))]
    for t, bodies in enumerate(frames):
        lines.append(str(len(bodies)))
        for number, person in bodies:
            lines += body(t, number, person)
    return lines


def encoded(lines: Sequence[str]) -> bytes:
    return ("\n".join(lines) + "\n").encode()


def simple(frames: int = FRAMES) -> list[str]:
    return text([[(BIG, 0)]] * frames)


def test_positions_confidence_and_name_are_read() -> None:
    lines = simple()
    lines[JOINTS + 4] = joint(0, 4, 0, state=1)
    clip = parse_ntu(encoded(lines), path=f"nturgb+d_skeletons/{ONE}")
    sequence = clip.sequence
    assert sequence.positions.shape == (FRAMES, 1, 25, 3)
    for t in range(FRAMES):
        for v in range(25):
            wanted = [float(word) for word in joint(t, v, 0).split()[:3]]
            np.testing.assert_allclose(sequence.positions[t, 0, v], wanted, atol=1e-6)
    assert sequence.confidence is not None
    assert sequence.confidence[0, 0, 4] == 0.5
    assert sequence.confidence.sum() == FRAMES * 25 - 0.5
    assert sequence.observed.all()
    assert (sequence.name, sequence.label) == ("S001C002P003R002A024", "kick something")
    assert (sequence.setup, sequence.camera, sequence.subject) == (1, 2, 3)
    assert sequence.layout.name == "ntu_25"
    assert sequence.fps == 30
    assert clip.problems == ()


def test_line_ends_of_windows_and_blank_ends_change_nothing() -> None:
    unix = parse_ntu(encoded(simple()), path=ONE)
    windows = parse_ntu("\r\n".join([*simple(), "", ""]).encode(), path=ONE)
    np.testing.assert_array_equal(unix.sequence.positions, windows.sequence.positions)
    assert windows.problems == ()


def test_bodies_are_told_apart_by_all_digits_of_their_numbers() -> None:
    near = str(int(BIG) + 1)
    assert float(near) == float(BIG)
    swapped = [[(BIG, 0), (near, 2)] if t % 2 else [(near, 2), (BIG, 0)] for t in range(FRAMES)]
    sequence = parse_ntu(encoded(text(swapped)), path=TWO).sequence
    assert sequence.positions.shape[1] == 2
    x = sequence.positions[:, :, 0, 0]
    assert (np.ptp(x, axis=0) < 0.1).all()
    assert abs(float(x[:, 0].mean() - x[:, 1].mean())) == pytest.approx(2, abs=0.1)


def test_frames_without_a_body_keep_their_time() -> None:
    frames = [[]] * 3 + [[(BIG, 0)]] * FRAMES + [[]] * 2
    clip = parse_ntu(encoded(text(frames)), path=ONE)
    assert clip.sequence.num_frames == FRAMES + 5
    there = clip.sequence.observed.any(axis=(1, 2)).tolist()
    assert there == [False] * 3 + [True] * FRAMES + [False] * 2
    assert [p.reason for p in clip.problems] == ["5 frames without a body, the first is 0"]


def test_of_three_bodies_two_are_kept_and_the_choice_is_noted() -> None:
    frames = [[("1", 0), ("2", 2), ("3", 4)] for _ in range(FRAMES)]
    clip = parse_ntu(encoded(text(frames)), path=TWO)
    assert clip.sequence.num_persons == 2
    assert any("dropped" in decision for decision in clip.decisions)


def test_a_class_of_one_person_has_one() -> None:
    frames = [[("1", 0), ("2", 2)] for _ in range(FRAMES)]
    assert parse_ntu(encoded(text(frames)), path=ONE).sequence.num_persons == 1


def test_a_body_that_comes_back_keeps_its_slot() -> None:
    frames = [[("1", 0)]] * 15 + [[]] * 4 + [[("5", 0)]] * 15
    sequence = parse_ntu(encoded(text(frames)), path=ONE).sequence
    assert sequence.num_persons == 1
    assert sequence.observed.any(axis=(1, 2)).sum() == 30


def test_a_mutual_action_with_one_body_is_a_problem() -> None:
    clip = parse_ntu(encoded(simple()), path=TWO)
    assert [p.reason for p in clip.problems] == ["expected two persons, got one"]


@pytest.mark.parametrize("word", ["nan", "NaN", "-1.#IND", "1.#QNAN", "inf"])
def test_numbers_that_are_none_are_unobserved(word: str) -> None:
    lines = simple()
    lines[JOINTS] = word + lines[JOINTS][lines[JOINTS].index(" ") :]
    clip = parse_ntu(encoded(lines), path=ONE)
    assert not clip.sequence.observed[0, 0, 0]
    assert clip.sequence.observed.sum() == FRAMES * 25 - 1
    assert clip.problems[0].reason == "1 joints are not finite, the first in frame 0"
    assert not clip.problems[0].structural


def test_joints_at_zero_or_not_tracked_are_unobserved() -> None:
    lines = simple()
    lines[JOINTS] = "0 0 0 0 0 0 0 0 0 0 0 0"
    lines[JOINTS + 1] = joint(0, 1, 0, state=0)
    clip = parse_ntu(encoded(lines), path=ONE)
    assert clip.sequence.observed[0, 0, :3].tolist() == [False, False, True]


# A fault in the text, the 1-based line that is named, and how many frames are usable (0: refused).
PER_FRAME = 28


def cut(lines: list[str], count: int) -> list[str]:
    return lines[:count]


def changed(lines: list[str], index: int, value: str) -> list[str]:
    return [*lines[:index], value, *lines[index + 1 :]]


STRUCTURE: dict[str, tuple[Callable[[list[str]], list[str]], int, int]] = {
    "ends within a frame": (lambda s: cut(s, 1 + 5 * PER_FRAME + 9), 1 + 5 * PER_FRAME + 10, 5),
    "ends between frames": (lambda s: cut(s, 1 + 5 * PER_FRAME), 2 + 5 * PER_FRAME, 5),
    "ends in the first frame": (lambda s: cut(s, 9), 10, 0),
    "has only the count": (lambda s: cut(s, 1), 2, 0),
    "says more frames": (lambda s: changed(s, 0, "21"), 2 + 20 * PER_FRAME, 20),
    "says fewer frames": (lambda s: changed(s, 0, "19"), 2 + 19 * PER_FRAME, 19),
    "says no frames": (lambda s: changed(s, 0, "0"), 1, 0),
    "says a negative count": (lambda s: changed(s, 0, "-3"), 1, 0),
    "says a word": (lambda s: changed(s, 0, "many"), 1, 0),
    "body count lies": (lambda s: changed(s, 1 + 2 * PER_FRAME, "2"), 2 + 3 * PER_FRAME, 2),
    "body count is a word": (lambda s: changed(s, 1 + 2 * PER_FRAME, "x"), 2 + 2 * PER_FRAME, 2),
    "joint count lies": (lambda s: changed(s, 3 + 2 * PER_FRAME, "24"), 4 + 2 * PER_FRAME, 2),
    "line is cut": (lambda s: changed(s, 9 + 2 * PER_FRAME, "0.1 0.2"), 10 + 2 * PER_FRAME, 2),
    "number is junk": (
        lambda s: changed(s, 9 + 2 * PER_FRAME, "0.1 zz" + " 1" * 10),
        10 + 2 * PER_FRAME,
        2,
    ),
}


@pytest.mark.parametrize("fault", STRUCTURE)
def test_a_fault_is_named_with_its_line_and_whole_frames_survive(fault: str) -> None:
    change, line, frames = STRUCTURE[fault]
    data = encoded(change(simple()))
    if frames == 0:
        with pytest.raises(DamagedError) as caught:
            parse_ntu(data, path=ONE)
        assert caught.value.line == line
        assert caught.value.path == ONE
        return
    clip = parse_ntu(data, path=ONE)
    assert clip.sequence.num_frames == frames
    assert clip.problems[0].structural
    assert clip.problems[0].line == line
    whole = parse_ntu(encoded(simple()), path=ONE).sequence.positions[:frames]
    np.testing.assert_array_equal(clip.sequence.positions, whole)
    with pytest.raises(DamagedError, match="frames"):
        settle(clip, OnProblem.KEEP, path=ONE)


@pytest.mark.parametrize("data", [b"", b"\n\n", b"\x00\xff\x80junk\n\x01", b"PK\x03\x04" * 99])
def test_junk_is_refused(data: bytes) -> None:
    with pytest.raises(DamagedError):
        parse_ntu(data, path=ONE)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_damage_is_anything_but_an_error_or_a_clip(data: st.DataObject) -> None:
    good = encoded(simple(4))
    start = data.draw(st.integers(0, len(good)))
    length = data.draw(st.integers(0, 400))
    junk = data.draw(st.binary(max_size=40))
    try:
        clip = parse_ntu(good[:start] + junk + good[start + length :], path=ONE)
    except DamagedError:
        return
    assert clip.sequence.num_frames >= 1


def test_a_clip_of_empty_frames_alone_is_rejected() -> None:
    clip = parse_ntu(encoded(text([[]] * 5)), path=ONE)
    with pytest.raises(DamagedError, match="got none"):
        settle(clip, OnProblem.REPAIR, path=ONE)


def test_another_name_gives_a_clip_without_label() -> None:
    clip = parse_ntu(encoded(simple()), path="take one.skeleton")
    sequence = clip.sequence
    assert (sequence.label, sequence.subject, sequence.name) == ("", -1, "take one")
    assert "no label" in clip.decisions[-1]


def test_an_unknown_action_is_refused() -> None:
    with pytest.raises(DamagedError, match="A001 to A120"):
        parse_ntu(encoded(simple()), path="S001C001P001R001A121.skeleton")


def test_names_are_taken_apart() -> None:
    assert NTUName.parse("S017C003P106R002A060") == NTUName(17, 3, 106, 2, 60)
    assert NTUName.parse("S017C003P106R002A60") is None
    mutual = [a for a in range(1, 121) if NTUName(1, 1, 1, 1, a).persons == 2]
    assert mutual == [*range(50, 61), *range(106, 121)]


def test_the_class_list_has_120_different_names() -> None:
    assert len(CLASSES) == len(set(CLASSES)) == 120
    assert (CLASSES[0], CLASSES[23], CLASSES[59]) == ("drink water", "kick something", "walk apart")
    assert all(name == " ".join(name.split()) for name in CLASSES)


def test_listed_clips_are_skipped() -> None:
    listed = sorted(missing_skeletons())[0]
    assert NTUReader().skips(f"a/{listed}.skeleton")
    assert not NTUReader().skips(f"a/{ONE}")


@pytest.mark.data
def test_the_lists_of_unusable_clips_are_the_published_ones(shared_data: Path) -> None:
    for name, count in (("NTU_RGBD", 302), ("NTU_RGBD120", 535)):
        path = shared_data / "ntu_lists" / f"{name}_samples_with_missing_skeletons.txt"
        names = {line.strip() for line in path.read_text().splitlines() if line.startswith("S")}
        ours = {n for n in missing_skeletons() if count == 535 or NTUName.parse(n).setup <= 17}  # type: ignore[union-attr]
        assert ours == names
        assert len(ours) == count


@pytest.mark.data
def test_the_raw_samples_are_whole(shared_data: Path) -> None:
    found = {}
    for path in sorted((shared_data / "raw_samples" / "ntu_skeleton").glob("*.skeleton")):
        clip = parse_ntu(path.read_bytes(), path=path.name)
        assert clip.problems == ()
        assert clip.sequence.observed.all()
        found[clip.sequence.label] = clip.sequence.positions.shape[:2]
    assert found == {
        "drink water": (103, 1),
        "brush teeth": (100, 1),
        "handshake": (70, 2),
        "take off shoe": (124, 1),
    }


@pytest.mark.data
def test_the_fast_way_equals_a_plain_loop(shared_data: Path) -> None:
    path = shared_data / "raw_samples" / "ntu_skeleton" / "S001C003P008R002A058.skeleton"
    lines = iter(path.read_text().splitlines())
    bodies: dict[str, dict[int, list[list[float]]]] = {}
    for t in range(int(next(lines))):
        for _ in range(int(next(lines))):
            number = next(lines).split()[0]
            joints = [[float(w) for w in next(lines).split()] for _ in range(int(next(lines)))]
            bodies.setdefault(number, {})[t] = joints
    sequence = parse_ntu(path.read_bytes(), path=path.name).sequence
    assert sequence.confidence is not None
    for person, number in enumerate(["72057594037944738", "72057594037944734"]):
        for t, joints in bodies[number].items():
            plain = np.array(joints, dtype=np.float32)
            np.testing.assert_array_equal(sequence.positions[t, person], plain[:, :3])
            np.testing.assert_array_equal(sequence.confidence[t, person], plain[:, 11] / 2)
