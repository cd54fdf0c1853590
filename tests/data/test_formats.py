"""The format of a source by the names of its files."""

from __future__ import annotations

import pytest

from skelaug.data.formats import READERS, choose_files
from skelaug.errors import DataError, NotFoundError, UsageError

EXAMPLES = {
    "ntu": "nturgb+d_skeletons/S001C001P001R001A001.skeleton",
    "nw-ucla": "all_sqe/a01_s01_e00_v01.json",
    "utd-mhad": "Skeleton/a1_s1_t1_skeleton.mat",
    "hdm05": "train/6/HDM_bd_kickLFront1Reps_001_120.amc",
    "cmu": "02/02_01.amc",
    "videopose3d": "data_2d_h36m_gt.npz",
    "arrays": "mine/poses.yaml",
    "skelaug": "mine/data.h5",
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_each_format_is_known_by_its_names(name: str) -> None:
    paths = sorted([EXAMPLES[name], "README.md", "notes.txt"])
    assert choose_files(paths, format_name="auto", source="src") == (name, [EXAMPLES[name]])


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_format_that_is_named_is_taken(name: str) -> None:
    both = sorted(EXAMPLES.values())
    chosen, files = choose_files(both, format_name=name, source="src")
    assert chosen == name
    assert EXAMPLES[name] in files


def test_files_of_two_formats_need_a_word() -> None:
    paths = [EXAMPLES["ntu"], EXAMPLES["utd-mhad"]]
    with pytest.raises(UsageError, match="1 of ntu, 1 of utd-mhad; add --format"):
        choose_files(paths, format_name="auto", source="src")


def test_what_was_made_of_recordings_may_lie_beside_them() -> None:
    paths = [EXAMPLES["utd-mhad"], "Skeleton/utd.h5"]
    chosen = choose_files(paths, format_name="auto", source="src")
    assert chosen == ("utd-mhad", [EXAMPLES["utd-mhad"]])


def test_no_known_file_is_said() -> None:
    with pytest.raises(DataError, match="got none of 1; known are ntu"):
        choose_files(["a.txt"], format_name="auto", source="src")
    with pytest.raises(DataError, match="expected ntu files"):
        choose_files(["a.mat"], format_name="ntu", source="src")
    with pytest.raises(NotFoundError, match="did you mean 'ntu'"):
        choose_files(["a.mat"], format_name="ntv", source="src")


def test_recipes_go_before_the_arrays_that_they_describe() -> None:
    paths = ["a.npz", "b.yaml"]
    assert choose_files(paths, format_name="auto", source="src") == ("arrays", ["b.yaml"])
    assert choose_files(["a.npz"], format_name="auto", source="src") == ("arrays", ["a.npz"])


def test_pairs_of_videopose3d_are_no_arrays_of_a_user() -> None:
    paths = ["data_2d_h36m_cpn.npz", "data_2d_h36m_gt.npz", "data_3d_h36m.npz"]
    assert choose_files(paths, format_name="auto", source="s") == ("videopose3d", paths[:1])


def test_every_reader_has_the_name_under_which_it_is_listed() -> None:
    assert {name: reader.name for name, reader in READERS.items()} == {n: n for n in READERS}
