"""Splits: published counts, rules on numbers and names, and what is refused."""

from __future__ import annotations

import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from skelaug.data.splits import NTU_TRAINING_PERFORMERS, split_clips, split_hash
from skelaug.errors import DataError, NotFoundError, UsageError


@dataclass
class Clips:
    names: list[str]
    subjects: NDArray[np.int32]
    cameras: NDArray[np.int32]
    setups: NDArray[np.int32]


def clips(names: list[str], *, subjects: list[int] | None = None) -> Clips:
    unknown = np.full(len(names), -1, dtype=np.int32)
    numbers = unknown if subjects is None else np.array(subjects, dtype=np.int32)
    return Clips(names, numbers, unknown, unknown)


def ntu(setup: int, camera: int, performer: int, action: int = 1) -> str:
    return f"S{setup:03d}C{camera:03d}P{performer:03d}R001A{action:03d}"


@pytest.mark.data
@pytest.mark.parametrize(
    ("folder", "rule", "counts"),
    [
        ("ntu", "xsub", (40091, 16487)),
        ("ntu", "xview", (37646, 18932)),
        ("ntu120", "xsub", (63026, 50919)),
        ("ntu120", "xset", (54468, 59477)),
    ],
)
def test_ntu_protocols_have_the_published_counts(
    shared_data: Path, folder: str, rule: str, counts: tuple[int, int]
) -> None:
    with tarfile.open(shared_data / "ntu_lists" / "statistics.tar.xz") as archive:
        file = archive.extractfile(f"{folder}/statistics/skes_available_name.txt")
        assert file is not None
        names = file.read().decode().split()
    split = split_clips(clips(names), rule)
    assert (len(split.train), len(split.test)) == counts
    assert split.notes == ()


def test_twenty_and_fifty_three_performers_train() -> None:
    text = "1-2 4-5 8-9 13-19 25 27-28 31 34-35 38 45-47 49-50 52-59 70 74 78 80-86 89 91-95 97-98"
    listed = set()
    for part in f"{text} 100 103".split():
        first, _, last = part.partition("-")
        listed |= set(range(int(first), int(last or first) + 1))
    assert listed == NTU_TRAINING_PERFORMERS
    assert len(NTU_TRAINING_PERFORMERS) == 53
    assert sum(performer <= 40 for performer in NTU_TRAINING_PERFORMERS) == 20


def test_train_and_test_are_a_partition_in_ascending_order() -> None:
    file = clips([f"c{i}" for i in range(9)], subjects=[3, 1, 2, 3, 1, 2, 3, 1, 2])
    split = split_clips(file, "subject=1,3")
    assert split.train.tolist() == [0, 1, 3, 4, 6, 7]
    assert split.test.tolist() == [2, 5, 8]


def test_an_empty_rule_takes_all_clips_for_training() -> None:
    split = split_clips(clips(["a", "b"]), "")
    assert split.train.tolist() == [0, 1]
    assert split.test.tolist() == []


def test_ranges_equal_their_numbers() -> None:
    file = clips([f"c{i}" for i in range(6)], subjects=[1, 2, 3, 4, 5, 6])
    assert split_clips(file, "subject=2-4,6").train.tolist() == [1, 2, 3, 5]


def test_official_follows_each_data_set_by_the_names_of_its_clips() -> None:
    names = {
        "a1_s1_t1": True,
        "a27_s8_t4": False,
        "a01_s02_e00_v02": True,
        "a01_s02_e00_v03": False,
        "HDM_bd_squat1Reps_001_120": True,
        "HDM_tr_squat1Reps_001_120": False,
        "Train/S2/Box 1 chunk4/C1": True,
        "Validate/S2/Box 1 chunk4/C1": False,
        "S1/WalkDog 1/C4": True,
        "S8/Sitting/C1": True,
        "S9/SittingDown/C1": False,
        "S11/Photo 1/C2": False,
        ntu(1, 1, 1): True,
        ntu(1, 1, 3): False,
    }
    split = split_clips(clips(list(names)), "official")
    assert [list(names)[i] for i in split.train] == [name for name, train in names.items() if train]


def test_the_cross_view_test_camera_is_the_first() -> None:
    split = split_clips(clips([ntu(1, camera, 1) for camera in (1, 2, 3)]), "xview")
    assert split.train.tolist() == [1, 2]


def test_cross_setup_trains_on_even_setups() -> None:
    split = split_clips(clips([ntu(setup, 1, 1) for setup in (1, 2, 31, 32)]), "xset")
    assert split.train.tolist() == [1, 3]


def test_other_counts_than_the_published_ones_are_noted() -> None:
    split = split_clips(clips([ntu(1, 1, 1), ntu(1, 1, 3)]), "xsub")
    assert "40091" in split.notes[0]


def test_the_leak_of_nw_ucla_is_noted() -> None:
    split = split_clips(clips(["a01_s01_e00_v01", "a01_s01_e00_v03"]), "official")
    assert "95 of the 464" in split.notes[0]


def test_the_hash_depends_on_the_training_names_alone() -> None:
    one = split_clips(clips(["a", "b", "c"], subjects=[1, 1, 2]), "subject=1")
    other = split_clips(clips(["d", "b", "a"], subjects=[7, 1, 1]), "subject=1")
    more = split_clips(clips(["a", "b", "c"], subjects=[1, 1, 2]), "subject=2")
    assert one.hash == other.hash == split_hash(["b", "a"])
    assert more.hash != one.hash


def test_names_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    path.write_text("b\n\n  c \n", encoding="utf-8")
    assert split_clips(clips(["a", "b", "c"]), f"name={path}").train.tolist() == [1, 2]


def test_joined_rules_name_what_all_of_them_name(tmp_path: Path) -> None:
    names = [f"a1_s{subject}_t1" for subject in range(1, 9)]
    file = clips(names, subjects=list(range(1, 9)))
    split = split_clips(file, "official and subject=1-4")
    assert split.train.tolist() == [0, 2]
    assert split.test.tolist() == [1, 3, 4, 5, 6, 7]
    (tmp_path / "these and those.txt").write_text("a1_s3_t1\na1_s4_t1\n")
    split = split_clips(file, f"official and name={tmp_path / 'these and those.txt'} and subject=3")
    assert split.train.tolist() == [2]


def test_a_name_that_is_not_in_the_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    path.write_text("b\nz\n", encoding="utf-8")
    with pytest.raises(DataError, match="'z'"):
        split_clips(clips(["a", "b"]), f"name={path}")
    with pytest.raises(NotFoundError, match="no such file"):
        split_clips(clips(["a", "b"]), f"name={tmp_path / 'absent.txt'}")


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("xsbu", "'xsub'"),
        ("subject=", "expected numbers"),
        ("subject=1;2", "expected numbers"),
        ("subject=9", "there are 1, 2"),
        ("camera=1", "there are none"),
        ("xsub", "use subject="),
    ],
)
def test_rules_that_make_no_sense_are_refused(rule: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        split_clips(clips(["a", "b"], subjects=[1, 2]), rule)


def test_a_part_without_clips_is_refused() -> None:
    with pytest.raises(DataError, match="no test clip"):
        split_clips(clips(["a", "b"], subjects=[1, 1]), "subject=1")


def test_clips_of_unknown_performers_can_be_named() -> None:
    file = clips([f"c{i}" for i in range(4)], subjects=[1, -1, 2, -1])
    assert split_clips(file, "subject=1,unknown").train.tolist() == [0, 1, 3]
    assert split_clips(file, "subject=unknown").test.tolist() == [0, 2]
