"""Converting: every file is accounted for, and the bytes depend on the sources alone."""

from __future__ import annotations

import json
import shutil
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy.io import savemat

from skelaug.data.reading import OnProblem
from skelaug.data.store import SequenceFile
from skelaug.errors import DataError, NotFoundError, SkelaugError, UsageError
from skelaug.workflows import conversion_plan
from skelaug.workflows.convert import ConvertConfig, ConvertReport, run


def make_mat(path: Path, *, frames: int = 5, seed: int = 0, zero: bool = False) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    skeleton = np.random.default_rng(seed).uniform(0.5, 3, (20, 3, frames))
    if zero:
        skeleton[4, :, 1] = 0
    savemat(path, {"d_skel": skeleton})
    return path


def make_utd(folder: Path, actions: int = 3, subjects: int = 2) -> Path:
    for action in range(1, actions + 1):
        for subject in range(1, subjects + 1):
            name = f"a{action}_s{subject}_t1_skeleton.mat"
            make_mat(folder / "Skeleton" / name, seed=100 * action + subject)
    return folder


def make_ntu(path: Path, *, frames: int = 14) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    numbers = np.random.default_rng(len(path.name)).uniform(0.5, 3, (frames, 25, 12))
    lines = [str(frames)]
    for frame in numbers:
        lines += ["1", "72057594037944738 0 1 1 1 1 0 0.1 0.2 2", "25"]
        lines += [" ".join(f"{value:.4f}" for value in joint[:11]) + " 2" for joint in frame]
    path.write_text("\n".join(lines) + "\n", encoding="ascii")
    return path


def convert(*sources: Path, out: Path, **options: object) -> ConvertReport:
    flags = {k: options.pop(k) for k in ("resume", "force", "dry_run") if k in options}
    config = ConvertConfig.model_validate({"sources": sources, "out": out, **options})
    return run(config, **flags)  # type: ignore[arg-type]


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversion_plan, "_SHARE_FILES", 2)


def test_a_folder_becomes_a_file(tmp_path: Path) -> None:
    source = make_utd(tmp_path / "utd")
    report = convert(source, out=tmp_path / "out.h5")
    assert (report.read, report.frames, report.exit_code) == (6, 30, 0)
    assert [(c.name, c.clips) for c in report.classes] == [
        ("swipe left", 2),
        ("swipe right", 2),
        ("wave", 2),
    ]
    with SequenceFile(tmp_path / "out.h5") as file:
        assert file.names == [f"a{a}_s{s}_t1" for a in (1, 2, 3) for s in (1, 2)]
        assert file.classes == ("swipe left", "swipe right", "wave")
        assert file.layout.name == "kinect_20"
        assert file.subjects.tolist() == [1, 2] * 3
    assert not (tmp_path / "out.h5.parts").exists()


def test_a_folder_a_zip_and_a_tar_give_the_same_clips(tmp_path: Path, small_shards: None) -> None:
    source = make_utd(tmp_path / "utd")
    with zipfile.ZipFile(tmp_path / "utd.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(source.rglob("*.mat"), reverse=True):
            archive.write(path, path.relative_to(source))
    with tarfile.open(tmp_path / "utd.tar.xz", "w:xz") as tar:
        tar.add(source, "utd")
    files = []
    for name in ("utd", "utd.zip", "utd.tar.xz"):
        convert(tmp_path / name, out=tmp_path / f"{name}.h5")
        files.append(SequenceFile(tmp_path / f"{name}.h5"))
    for other in files[1:]:
        assert other.names == files[0].names
        for a, b in zip(files[0], other, strict=True):
            np.testing.assert_array_equal(a.positions, b.positions)


def damaged(folder: Path) -> Path:
    """Six good files, and one of each kind of damage."""
    make_utd(folder)
    skeletons = folder / "Skeleton"
    whole = (skeletons / "a1_s1_t1_skeleton.mat").read_bytes()
    (skeletons / "a4_s1_t1_skeleton.mat").write_bytes(b"")
    (skeletons / "a4_s2_t1_skeleton.mat").write_bytes(whole[: len(whole) // 2])
    (skeletons / "a4_s3_t1_skeleton.mat").write_bytes(b"\x00\xffjunk" * 99)
    savemat(skeletons / "a4_s4_t1_skeleton.mat", {"d_skel": np.full((20, 3, 4), np.nan)})
    make_mat(skeletons / "a5_s1_t1_skeleton.mat", zero=True)
    make_mat(skeletons / "a99_s1_t1_skeleton.mat")
    (skeletons / "readme.txt").write_text("not a recording")
    return folder


@pytest.mark.parametrize(
    ("choice", "read", "repaired", "rejected"),
    [(OnProblem.REPAIR, 7, 1, 5), (OnProblem.KEEP, 7, 1, 5), (OnProblem.DROP, 6, 0, 6)],
)
def test_every_file_is_read_or_rejected(
    tmp_path: Path, choice: OnProblem, read: int, repaired: int, rejected: int
) -> None:
    source = damaged(tmp_path / "utd")
    report = convert(source, out=tmp_path / "out.h5", on_problem=choice)
    assert (report.read, len(report.repaired), len(report.rejected)) == (read, repaired, rejected)
    assert report.exit_code == 6
    (found,) = report.sources
    assert found.files == report.read + len(report.rejected) + len(report.skipped) == 12
    assert found.other_files == 1
    for fault in report.rejected:
        assert Path(fault.file).exists()
        assert "expected" in fault.reason or "zero" in fault.reason


def test_keep_and_repair_differ_in_what_was_not_measured_alone(tmp_path: Path) -> None:
    source = make_mat(tmp_path / "a5_s1_t1_skeleton.mat", zero=True)
    for choice, wanted in ((OnProblem.KEEP, 0.0), (OnProblem.REPAIR, np.nan)):
        convert(source, out=tmp_path / f"{choice}.h5", on_problem=choice)
        clip = SequenceFile(tmp_path / f"{choice}.h5")[0]
        gap = clip.positions[1, 0, clip.layout.index("left_shoulder")]
        np.testing.assert_array_equal(gap, [wanted] * 3)
        assert clip.observed.sum() == 5 * 20 - 1


def test_nothing_usable_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "a1_s1_t1_skeleton.mat").write_bytes(b"junk")
    report = convert(tmp_path / "a1_s1_t1_skeleton.mat", out=tmp_path / "out.h5")
    assert (report.read, len(report.rejected), report.exit_code) == (0, 1, 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a1_s1_t1_skeleton.mat"]


def test_listed_clips_are_skipped_and_counted(tmp_path: Path) -> None:
    make_ntu(tmp_path / "ntu" / "S001C002P005R002A008.skeleton")
    make_ntu(tmp_path / "ntu" / "S001C001P001R001A001.skeleton")
    report = convert(tmp_path / "ntu", out=tmp_path / "out.h5")
    assert (report.read, len(report.skipped), report.exit_code) == (1, 1, 0)
    assert report.sources[0].files == 2
    everything = convert(tmp_path / "ntu", out=tmp_path / "all.h5", skip_listed=False)
    assert everything.read == 2


def test_confidence_reaches_the_file(tmp_path: Path) -> None:
    make_ntu(tmp_path / "S001C001P001R001A001.skeleton")
    convert(tmp_path / "S001C001P001R001A001.skeleton", out=tmp_path / "out.h5")
    clip = SequenceFile(tmp_path / "out.h5")[0]
    assert clip.confidence is not None
    assert (clip.confidence == 1).all()
    assert (clip.setup, clip.camera, clip.label) == (1, 1, "drink water")


def test_the_rule_of_actors_is_a_setting(tmp_path: Path) -> None:
    make_ntu(tmp_path / "S001C001P001R001A001.skeleton")
    loose = ConvertConfig.model_validate(
        {"sources": [tmp_path], "out": tmp_path / "o.h5", "actors": {"min_frames": 3}}
    )
    assert loose.actors.min_frames == 3


def test_two_data_sets_merge_in_one_layout_and_keep_their_people_apart(tmp_path: Path) -> None:
    utd, ntu = make_utd(tmp_path / "utd"), tmp_path / "ntu"
    make_ntu(ntu / "S001C001P001R001A024.skeleton")
    with pytest.raises(UsageError, match="add --layout"):
        convert(utd, ntu, out=tmp_path / "out.h5")
    report = convert(utd, ntu, out=tmp_path / "out.h5", layout="kinect_20")
    assert [source.subject_offsets for source in report.sources] == [{"utd-mhad": 0}, {"ntu": 1000}]
    assert report.unavailable == []
    assert report.approximated
    with SequenceFile(tmp_path / "out.h5") as file:
        assert file.subjects.tolist() == [1, 2] * 3 + [1001]
        assert file.classes == ("swipe left", "swipe right", "wave", "kick something")
        assert file.provenance[0]["subject_offsets"] == {"ntu": 1000}
        assert file.cameras.tolist() == [-1] * 6 + [1]
    other = convert(ntu, utd, out=tmp_path / "other.h5", layout="kinect_20")
    assert [source.subject_offsets for source in other.sources] == [{"ntu": 0}, {"utd-mhad": 1000}]


def test_two_parts_of_one_data_set_share_their_people(tmp_path: Path) -> None:
    make_ntu(tmp_path / "a" / "S001C001P001R001A024.skeleton")
    make_ntu(tmp_path / "b" / "S001C001P001R002A024.skeleton")
    report = convert(tmp_path / "a", tmp_path / "b", out=tmp_path / "out.h5")
    assert [source.subject_offsets for source in report.sources] == [{"ntu": 0}, {"ntu": 0}]


def test_the_same_name_twice_is_rejected_and_said(tmp_path: Path) -> None:
    for folder in "ab":
        make_ntu(tmp_path / folder / "S001C001P001R001A024.skeleton")
    report = convert(tmp_path / "a", tmp_path / "b", out=tmp_path / "out.h5")
    assert report.read == 1
    assert "expected another name" in report.rejected[0].reason


def make_arrays(folder: Path, *, dataset: str = "", name: str = "poses") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    positions = np.random.default_rng(len(dataset)).uniform(0.5, 2, (3, 6, 20, 3))
    np.savez(folder / f"{name}.npz", data=positions, y=[1, 0, 1], s=[1, 2, 2])
    recipe = {"file": f"{name}.npz", "layout": "kinect_20", "fps": 20, "axes": "NTVC"}
    recipe |= {"key": "data", "labels": "y", "classes": ["sit", "jump"], "subjects": "s"}
    text = yaml.safe_dump({**recipe, "dataset": dataset} if dataset else recipe)
    (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return folder / f"{name}.yaml"


def test_a_users_arrays_keep_their_order_of_classes(tmp_path: Path) -> None:
    report = convert(make_arrays(tmp_path), out=tmp_path / "out.h5")
    assert (report.read, report.layout) == (3, "kinect_20")
    with SequenceFile(tmp_path / "out.h5") as file:
        assert file.classes == ("sit", "jump")
        assert file.labels.tolist() == [1, 0, 1]
        assert file.subjects.tolist() == [1, 2, 2]
        assert file.fps.tolist() == [20.0] * 3
        inputs = file.provenance[0]["inputs"]
    assert sorted(inputs) == ["poses.npz", "poses.yaml"]


def test_people_of_two_users_stay_apart(tmp_path: Path) -> None:
    one, two = make_arrays(tmp_path / "a", dataset="x"), make_arrays(tmp_path / "b", dataset="yy")
    report = convert(one, two, out=tmp_path / "out.h5")
    with SequenceFile(tmp_path / "out.h5") as file:
        assert file.names[0] == "x/x_00000"
        assert file.subjects.tolist() == [1, 2, 2, 1001, 1002, 1002]
    assert report.copies == 0


def test_a_mistake_in_a_recipe_is_a_rejected_file(tmp_path: Path) -> None:
    path = make_arrays(tmp_path)
    path.write_text(path.read_text() + "colour: red\n", encoding="utf-8")
    report = convert(path, out=tmp_path / "out.h5")
    assert report.exit_code == 3
    assert "key 'colour'" in report.rejected[0].reason


def test_copies_are_counted(tmp_path: Path) -> None:
    for take in (1, 2):
        make_mat(tmp_path / "utd" / f"a1_s1_t{take}_skeleton.mat", seed=5)
    report = convert(tmp_path / "utd", out=tmp_path / "out.h5")
    assert (report.read, report.copies) == (2, 1)
    record = json.loads((tmp_path / "out.h5.run.json").read_text())
    assert record["copies"] == {"a1_s1_t2": "a1_s1_t1"}


def test_the_record_inside_has_no_clock_and_no_folders(tmp_path: Path) -> None:
    outs = []
    source = make_utd(tmp_path / "utd")  # .mat files hold the second in which they were made
    for place in ("one", "two"):
        shutil.copytree(source, tmp_path / place / "utd")
        convert(tmp_path / place / "utd", out=tmp_path / place / "out.h5", workers=1)
        outs.append((tmp_path / place / "out.h5").read_bytes())
    assert outs[0] == outs[1]
    with SequenceFile(tmp_path / "one" / "out.h5") as file:
        (record,) = file.provenance
    assert record["config"]["sources"] == ["utd"]
    assert set(record["inputs"]) == {"utd"}
    beside = json.loads((tmp_path / "one" / "out.h5.run.json").read_text())
    assert beside["finished"]
    assert beside["config"]["out"] == str(tmp_path / "one" / "out.h5")


def test_an_existing_file_is_not_replaced_without_force(tmp_path: Path) -> None:
    source = make_utd(tmp_path / "utd")
    convert(source, out=tmp_path / "out.h5")
    with pytest.raises(UsageError, match="already exists"):
        convert(source, out=tmp_path / "out.h5")
    with pytest.raises(UsageError, match="already exists"):
        convert(source, out=tmp_path / "out.h5", dry_run=True)
    assert convert(source, out=tmp_path / "out.h5", force=True).read == 6


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    source = make_utd(tmp_path / "utd")
    report = convert(source, out=tmp_path / "out.h5", dry_run=True)
    assert (report.dry_run, report.read, report.exit_code) == (True, 0, 0)
    assert report.sources[0].files == 6
    assert sorted(path.name for path in tmp_path.iterdir()) == ["utd"]


def test_progress_counts_every_file(tmp_path: Path, small_shards: None) -> None:
    from collections.abc import Iterator
    from contextlib import contextmanager

    seen: list[int] = []

    @contextmanager
    def progress(description: str, *, total: int, done: int = 0) -> Iterator[object]:
        seen.append(-total)
        yield lambda count=1, /, *, note="": seen.append(count)

    config = ConvertConfig(sources=(make_utd(tmp_path / "utd"),), out=tmp_path / "out.h5")
    run(config, progress=progress)  # type: ignore[arg-type]
    assert seen == [-6, 2, 2, 2]


@pytest.mark.parametrize(
    ("sources", "options", "error"),
    [
        (["absent"], {}, NotFoundError),
        (["utd"], {"format": "ntu"}, DataError),
        (["utd"], {"layout": "nope"}, NotFoundError),
        (["empty"], {}, DataError),
        (["both"], {}, UsageError),
        (["broken.zip"], {}, DataError),
    ],
)
def test_mistakes_are_said_before_anything_is_written(
    tmp_path: Path, sources: list[str], options: dict[str, str], error: type[SkelaugError]
) -> None:
    make_utd(tmp_path / "utd")
    make_utd(tmp_path / "both")
    make_ntu(tmp_path / "both" / "S001C001P001R001A024.skeleton")
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04junk")
    with pytest.raises(error):
        convert(*[tmp_path / s for s in sources], out=tmp_path / "out.h5", **options)
    assert not (tmp_path / "out.h5").exists()
    assert not (tmp_path / "out.h5.parts").exists()
