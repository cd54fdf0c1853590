"""The tool's own files as a source: nothing is decided anew, and a piece is a part of the whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from skelaug.data.reading import Clip, DamagedError, OnProblem, settle
from skelaug.data.sequences import SequencesReader, piece_name, sequence_facts
from skelaug.data.store import SequenceFile
from skelaug.errors import DataError
from skelaug.skeleton.sequence import SkeletonSequence, Source


def fetch(name: str) -> bytes:
    raise AssertionError(f"{name} is read in place")


def read(path: Path, inside: str = "") -> list[Clip | DamagedError]:
    return list(SequencesReader(path.parent).read(inside or path.name, fetch))


def test_clips_come_as_they_are(data_file: Path) -> None:
    with SequenceFile(data_file) as file:
        for found, clip in zip(read(data_file), file, strict=True):
            assert isinstance(found, Clip)
            np.testing.assert_array_equal(found.sequence.positions, clip.positions)
            assert found.sequence.name == clip.name
            assert found.classes == file.classes


@pytest.mark.parametrize("choice", OnProblem)
def test_positions_of_imputed_joints_outlive_every_choice(
    tmp_path: Path,
    choice: OnProblem,
    make_sequence: Callable[..., SkeletonSequence],
    write_file: Callable[..., Path],
) -> None:
    clip = make_sequence("walk", source=Source.IMPUTED)
    observed = clip.observed.copy()
    observed[:5, 0, 3] = False
    path = write_file(tmp_path / "imputed.h5", [clip.replaced(observed=observed)])
    (found,) = read(path)
    assert isinstance(found, Clip)
    settled = settle(found, choice, path="imputed.h5")
    np.testing.assert_array_equal(settled.positions, clip.positions)
    np.testing.assert_array_equal(settled.observed, observed)


def test_pieces_are_the_whole_in_order(data_file: Path) -> None:
    facts = sequence_facts(data_file, clips=7, size=1 << 30)
    assert facts.pieces == ((0, 7), (7, 14), (14, 21), (21, 24))
    names = [
        clip.sequence.name
        for piece in facts.pieces
        for clip in read(data_file, piece_name(data_file.name, *piece))
        if isinstance(clip, Clip)
    ]
    assert tuple(names) == facts.names


@pytest.mark.parametrize("size", [1, 20 * 3 * 4 * 60, 20 * 3 * 4 * 200])
def test_a_piece_is_no_larger_than_allowed_unless_it_is_one_clip(
    data_file: Path, size: int
) -> None:
    facts = sequence_facts(data_file, clips=1000, size=size)
    with SequenceFile(data_file) as file:
        for first, end in facts.pieces:
            frames = int(file.offsets[end] - file.offsets[first])
            assert frames * 20 * 3 * 4 <= size or end == first + 1
    assert [first for first, _ in facts.pieces[1:]] == [end for _, end in facts.pieces[:-1]]
    assert (facts.pieces[0][0], facts.pieces[-1][1]) == (0, 24)


def test_numbers_span_subjects_cameras_and_setups_and_may_be_unknown(
    tmp_path: Path,
    make_sequence: Callable[..., SkeletonSequence],
    write_file: Callable[..., Path],
) -> None:
    clips = [
        make_sequence(name="a", subject=3).replaced(camera=9),
        make_sequence(name="b", subject=-1).replaced(setup=2),
    ]
    path = write_file(tmp_path / "x.h5", clips)
    assert sequence_facts(path, clips=9, size=1 << 20).numbers == (2, 9)
    write_file(path, [make_sequence(subject=-1)])
    assert sequence_facts(path, clips=9, size=1 << 20).numbers is None


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    path.write_bytes(b"junk")
    with pytest.raises(DamagedError, match=r"x.h5: expected an HDF5 file"):
        read(path)
    with h5py.File(path, "w") as file:
        file.attrs["format"] = "skelaug.images"
    with pytest.raises(DataError, match=r"expected format skelaug.sequences, got 'skelaug.images'"):
        sequence_facts(path, clips=9, size=1 << 20)


def test_a_clip_that_is_damaged_is_named_and_the_others_are_read(data_file: Path) -> None:
    with h5py.File(data_file, "r+") as file:
        file["source"][3] = 77
    found = read(data_file)
    broken = [clip for clip in found if isinstance(clip, DamagedError)]
    assert len(found) == 24
    assert [clip.path for clip in broken] == ["data.h5[kick forward 2-1]"]


def test_files_are_told_by_their_suffix() -> None:
    paths = ["a.h5", "b/c.HDF5", "d.npz"]
    assert SequencesReader().claims(paths) == SequencesReader().admits(paths) == paths[:2]
