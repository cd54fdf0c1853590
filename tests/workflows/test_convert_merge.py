"""Sequence files as sources: a round trip changes nothing, joining confuses nobody."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest

from skelaug.data.splits import split_clips
from skelaug.data.store import Schema, SequenceFile, write_sequences
from skelaug.errors import CheckFailedError, StorageError, UsageError
from skelaug.skeleton.layouts import get_layout
from skelaug.skeleton.mapping import map_sequence
from skelaug.skeleton.sequence import SkeletonSequence, Source
from skelaug.workflows import conversion_plan
from skelaug.workflows import convert as workflow
from skelaug.workflows.convert import ConvertConfig, ConvertReport, run
from skelaug.workflows.evaluation_data import check_leak
from skelaug.workflows.leaks import recorded_splits

MakeSequence = Callable[..., SkeletonSequence]
WriteFile = Callable[..., Path]


def convert(*sources: Path, out: Path, **options: object) -> ConvertReport:
    flags = {k: options.pop(k) for k in ("resume", "force", "dry_run") if k in options}
    config = ConvertConfig.model_validate({"sources": sources, "out": out, **options})
    return run(config, **flags)  # type: ignore[arg-type]


def write(path: Path, clips: Iterable[SkeletonSequence], **more: object) -> Path:
    """A sequence file with a record of its own."""
    clips = list(clips)
    classes = tuple(dict.fromkeys(clip.label for clip in clips if clip.label))
    schema = {"classes": classes, "persons": max(c.num_persons for c in clips)}
    record = {"command": "test", "file": path.name, **more.pop("record", {})}  # type: ignore[dict-item]
    for key in ("confidence", "uncertainty"):
        schema[f"has_{key}"] = any(getattr(c, key) is not None for c in clips)
    schema |= more  # type: ignore[arg-type]
    path.parent.mkdir(exist_ok=True)
    write_sequences(path, clips, Schema(clips[0].layout, **schema), provenance=[record])  # type: ignore[arg-type]
    return path


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversion_plan, "_SHARE_FILES", 5)


def assert_equal(one: SkeletonSequence, other: SkeletonSequence, *, but: str = "") -> None:
    for key in ("positions", "observed", "confidence", "uncertainty"):
        a, b = getattr(one, key), getattr(other, key)
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_array_equal(a, b)
    for key in ("name", "label", "subject", "camera", "setup", "fps", "source", "seed"):
        assert getattr(one, key) == getattr(other, key) or key == but


def varied(make: MakeSequence) -> list[SkeletonSequence]:
    """Clips of every source, with gaps, with confidence, with and without numbers."""
    clips = [
        make("walk", name="real", missing=0.2, subject=4).replaced(camera=2, setup=7),
        make("wave", name="drawn", source=Source.SYNTHETIC, seed=11, subject=-1, fps=25.0),
        make("", name="imputed", source=Source.IMPUTED, subject=0, frames=9),
    ]
    seen = np.arange(20) > np.zeros((9, 1, 1)) + 3
    off = np.where(seen, 0, 0.07).astype(np.float32)
    clips[2] = clips[2].replaced(observed=seen, uncertainty=off)
    sure = np.linspace(0, 1, 24 * 20, dtype=np.float32).reshape(24, 1, 20)
    return [clips[0].replaced(confidence=sure), *clips[1:]]


def test_a_round_trip_keeps_every_bit(
    tmp_path: Path, make_sequence: MakeSequence, small_pieces: None
) -> None:
    clips = varied(make_sequence)
    source = write(tmp_path / "a.h5", clips, classes=("sit", "walk", "wave"), persons=2)
    for options in ({}, {"layout": "kinect_20"}, {"on_problem": "drop", "format": "skelaug"}):
        report = convert(source, out=tmp_path / "b.h5", force=True, **options)
        assert (report.exit_code, report.read, report.repaired, report.rejected) == (0, 3, [], [])
        with SequenceFile(source) as before, SequenceFile(tmp_path / "b.h5") as after:
            assert after.classes == before.classes == ("sit", "walk", "wave")
            assert after.layout.to_json() == before.layout.to_json()
            assert after.persons == 2
            for one, other in zip(before, after, strict=True):
                assert_equal(one, other)


def test_gaps_that_were_kept_as_numbers_stay_numbers(
    tmp_path: Path, make_sequence: MakeSequence
) -> None:
    source = write(tmp_path / "a.h5", varied(make_sequence))
    convert(source, out=tmp_path / "b.h5", on_problem="repair")
    with SequenceFile(tmp_path / "b.h5") as file:
        assert np.isfinite(file[2].positions[~file[2].observed]).all()
        assert (~file[2].observed).sum() == 4 * 9


def test_classes_are_joined_by_name_and_confidence_where_a_file_has_it(
    tmp_path: Path, make_sequence: MakeSequence
) -> None:
    one = write(tmp_path / "a.h5", varied(make_sequence))
    clips = [make_sequence(label, name=label, persons=2) for label in ("kick", "walk", "jump")]
    two = write(tmp_path / "b.h5", clips)
    report = convert(one, two, out=tmp_path / "all.h5")
    assert [(c.name, c.clips) for c in report.classes] == [
        ("walk", 2),
        ("wave", 1),
        ("kick", 1),
        ("jump", 1),
        ("", 1),
    ]
    with SequenceFile(tmp_path / "all.h5") as file:
        assert file.classes == ("walk", "wave", "kick", "jump")
        assert [file.label_name(row) for row in range(6)] == [
            "walk",
            "wave",
            "",
            "kick",
            "walk",
            "jump",
        ]
        assert file.persons == 2
        np.testing.assert_array_equal(file[3].confidence, file[3].observed)
        np.testing.assert_array_equal(file[3].positions, clips[0].positions)


def test_performers_cameras_and_setups_of_two_files_stay_apart(
    tmp_path: Path, make_sequence: MakeSequence
) -> None:
    def clip(name: str, subject: int, camera: int, setup: int) -> SkeletonSequence:
        return make_sequence(name=name, subject=subject).replaced(camera=camera, setup=setup)

    one = write(tmp_path / "a.h5", [clip("a", 1, 2, -1), clip("b", 1500, -1, 3)])
    two = write(tmp_path / "b.h5", [clip("c", 1, 2, 3), clip("d", -1, -1, -1)])
    far = write(tmp_path / "c.h5", [clip("e", 9000, -1, -1)])
    none = write(tmp_path / "d.h5", [clip("f", -1, -1, -1)])
    report = convert(one, two, far, none, out=tmp_path / "all.h5")
    offsets = {"a": 0, "b": 2000, "c": 0, "d": 0}
    assert [s.subject_offsets for s in report.sources] == [{k: v} for k, v in offsets.items()]
    with SequenceFile(tmp_path / "all.h5") as file:
        assert file.subjects.tolist() == [1, 1500, 2001, -1, 9000, -1]
        assert file.cameras.tolist() == [2, -1, 2002, -1, -1, -1]
        assert file.setups.tolist() == [-1, 3, 2003, -1, -1, -1]
        assert file.provenance[-1]["subject_offsets"] == {"b": 2000}


def test_a_name_is_kept_unless_another_file_has_it(
    tmp_path: Path, make_sequence: MakeSequence, small_pieces: None
) -> None:
    def clips(*names: str, seed: int) -> list[SkeletonSequence]:
        return [make_sequence(name=name, seed=seed) for name in names]

    one = write(tmp_path / "a.h5", clips("x", "y", "only a", seed=1))
    two = write(tmp_path / "b.h5", clips("only b", "y", "x", seed=2))
    report = convert(one, two, out=tmp_path / "all.h5")
    assert [source.renamed for source in report.sources] == [2, 2]
    with SequenceFile(tmp_path / "all.h5") as file:
        assert file.names == ["a/x", "a/y", "only a", "only b", "b/y", "b/x"]


def test_two_files_of_one_name_are_two_data_sets(
    tmp_path: Path, make_sequence: MakeSequence
) -> None:
    sources = [
        write(tmp_path / folder / "data.h5", [make_sequence(name="x", seed=seed)])
        for seed, folder in enumerate("pq")
    ]
    report = convert(*sources, out=tmp_path / "all.h5")
    assert [source.subject_offsets for source in report.sources] == [
        {"data": 0},
        {"data (2)": 1000},
    ]
    with SequenceFile(tmp_path / "all.h5") as file:
        assert file.names == ["data/x", "data (2)/x"]
        assert file.subjects.tolist() == [1, 1001]
        assert sorted(file.provenance[-1]["inputs"]) == ["data.h5", "data.h5 (2)"]


def test_a_folder_of_files_and_recordings_beside_a_file_are_sources(
    tmp_path: Path, make_sequence: MakeSequence
) -> None:
    for name in "ab":
        write(tmp_path / "files" / f"{name}.h5", [make_sequence(name=name)])
    (tmp_path / "files" / "c.h5").write_bytes(b"junk")
    report = convert(tmp_path / "files", out=tmp_path / "all.h5")
    assert (report.read, report.exit_code) == (2, 6)
    assert (report.sources[0].files, report.sources[0].other_files) == (3, 0)
    assert "expected an HDF5 file" in report.rejected[0].reason
    with SequenceFile(tmp_path / "all.h5") as file:
        assert file.subjects.tolist() == [1, 1001]
        assert set(file.provenance[-1]["inputs"]) == {"files"}
    (tmp_path / "raw").mkdir()
    rng = np.random.default_rng(0)
    skeletons = json.dumps({"skeletons": rng.uniform(0.5, 3, (5, 20, 3)).tolist()})
    (tmp_path / "raw" / "a01_s01_e00_v01.json").write_text(skeletons)
    mine = write(
        tmp_path / "nw-ucla.h5", [make_sequence(name="a01_s01_e00_v01"), make_sequence(name="z")]
    )
    mixed = convert(mine, tmp_path / "raw", out=tmp_path / "mixed.h5")
    assert [source.subject_offsets for source in mixed.sources] == [
        {"nw-ucla (2)": 0},
        {"nw-ucla": 1000},
    ]
    with SequenceFile(tmp_path / "mixed.h5") as file:
        assert file.names == ["nw-ucla (2)/a01_s01_e00_v01", "z", "a01_s01_e00_v01"]
        assert file.subjects.tolist() == [1, 1, 1001]


def test_records_of_the_sources_come_along_each_once(
    tmp_path: Path, make_sequence: MakeSequence
) -> None:
    one = write(tmp_path / "a.h5", [make_sequence(name="a")])
    two = write(tmp_path / "b.h5", [make_sequence(name="b")])
    convert(one, two, out=tmp_path / "ab.h5")
    convert(tmp_path / "ab.h5", one, out=tmp_path / "aba.h5")
    with SequenceFile(tmp_path / "aba.h5") as file:
        commands = [(r["command"], r.get("file")) for r in file.provenance]
    assert commands == [("test", "a.h5"), ("test", "b.h5"), ("convert", None), ("convert", None)]


def test_a_leak_is_found_through_a_joined_file(
    tmp_path: Path, data_file: Path, make_sequence: MakeSequence
) -> None:
    with SequenceFile(data_file) as real:
        asked, all_clips = split_clips(real, "subject=1"), split_clips(real, "")
        record = {"model": {"split": {"rule": "", "hash": all_clips.hash}}}
        drawn = [make_sequence("walk", name="s", source=Source.SYNTHETIC, seed=1)]
        pool = write(tmp_path / "pool.h5", drawn, record=record)
        clean = write(tmp_path / "clean.h5", [make_sequence("walk", name="c")])
        convert(clean, pool, out=tmp_path / "joined.h5")
        with SequenceFile(tmp_path / "joined.h5") as joined:
            assert len(recorded_splits(joined)) == 1
            assert joined.sources.tolist() == [Source.REAL, Source.SYNTHETIC]
            assert joined.seeds.tolist() == [-1, 1]
            with pytest.raises(CheckFailedError, match="trained on 16 of them"):
                check_leak(real, joined, asked)


def test_layouts_are_mapped_as_of_other_sources(
    tmp_path: Path, make_sequence: MakeSequence
) -> None:
    clip = make_sequence(name="n", layout="ntu_25", missing=0.1)
    one = write(tmp_path / "a.h5", [make_sequence(name="k")])
    two = write(tmp_path / "b.h5", [clip])
    with pytest.raises(UsageError, match="layouts kinect_20 and ntu_25; add --layout"):
        convert(one, two, out=tmp_path / "all.h5")
    report = convert(one, two, out=tmp_path / "all.h5", layout="kinect_20")
    assert report.approximated
    with SequenceFile(tmp_path / "all.h5") as file:
        assert file.layout.name == "kinect_20"
        wanted = map_sequence(clip, get_layout("kinect_20"))
        assert_equal(file[1], wanted, but="subject")


def test_an_input_is_never_replaced(tmp_path: Path, data_file: Path) -> None:
    before = data_file.read_bytes()
    with pytest.raises(UsageError, match="is an input of this command"):
        convert(data_file, out=data_file, force=True)
    assert data_file.read_bytes() == before


def test_a_file_in_an_archive_is_refused(tmp_path: Path, data_file: Path) -> None:
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        archive.write(data_file, "data.h5")
    report = convert(tmp_path / "data.zip", out=tmp_path / "all.h5")
    assert report.exit_code == 3
    assert "unpack it" in report.rejected[0].reason


def test_a_resumed_joining_gives_the_same_bytes_in_any_number_of_pieces(
    tmp_path: Path,
    data_file: Path,
    labelled_clips: Callable[..., list[SkeletonSequence]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = write(tmp_path / "b.h5", labelled_clips(missing=0.1))
    convert(data_file, other, out=tmp_path / "whole" / "all.h5")
    monkeypatch.setattr(conversion_plan, "_SHARE_FILES", 5)
    config = ConvertConfig(sources=(data_file, other), out=tmp_path / "all.h5")
    plain, done = workflow.convert_shard, 0

    def full(task: workflow.ShardTask) -> int:
        nonlocal done
        done += 1
        if done > 7:
            raise StorageError("the disk is full")
        return plain(task)

    with monkeypatch.context() as patch:
        patch.setattr(workflow, "convert_shard", full)
        with pytest.raises(StorageError):
            run(config)
    report = run(config, resume=True)
    assert (report.resumed_shards, report.read) == (7, 48)
    assert report.copies == 0
    assert config.out.read_bytes() == (tmp_path / "whole" / "all.h5").read_bytes()


def test_another_file_under_the_same_name_is_no_resumption(
    tmp_path: Path, data_file: Path, make_sequence: MakeSequence, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = ConvertConfig(sources=(data_file,), out=tmp_path / "all.h5")
    with monkeypatch.context() as patch:
        patch.setattr(workflow, "_finish", lambda *_: None)
        run(config)
    content = bytearray(data_file.read_bytes())
    content[-1] ^= 1
    data_file.write_bytes(content)
    with pytest.raises(UsageError, match="other settings or inputs"):
        run(config, resume=True)
