"""``skelaug convert``: what it prints and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from skelaug.cli.app import run


@pytest.fixture
def utd(tmp_path: Path) -> Path:
    folder = tmp_path / "utd"
    folder.mkdir()
    for subject in (1, 2):
        skeleton = np.random.default_rng(subject).uniform(0.5, 3, (20, 3, 5))
        savemat(folder / f"a1_s{subject}_t1_skeleton.mat", {"d_skel": skeleton})
    return folder


def test_a_conversion_says_what_it_read(
    utd: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["convert", str(utd), str(tmp_path / "out.h5"), "--workers", "1"]) == 0
    printed = capsys.readouterr().out
    assert "2 files of utd-mhad" in printed
    assert "wrote 2 clips (10 frames)" in printed
    assert "swipe left" in printed


def test_json_is_one_document(
    utd: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (utd / "a2_s1_t1_skeleton.mat").write_bytes(b"junk [kick]")
    code = run(["convert", str(utd), str(tmp_path / "out.h5"), "--workers", "1", "--json"])
    document = json.loads(capsys.readouterr().out)
    assert code == 6
    assert (document["schema"], document["command"], document["read"]) == (1, "convert", 2)
    (fault,) = document["rejected"]
    assert fault["file"].endswith("a2_s1_t1_skeleton.mat")
    assert fault["line"] == 0


def test_rejects_are_listed_for_people(
    utd: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (utd / "a2_s1_t1_skeleton.mat").write_bytes(b"")
    assert run(["convert", str(utd), str(tmp_path / "out.h5"), "--workers", "1"]) == 6
    assert "rejected: " in capsys.readouterr().out


def test_nothing_usable_ends_with_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a1_s1_t1_skeleton.mat").write_bytes(b"junk")
    source, out = tmp_path / "a1_s1_t1_skeleton.mat", tmp_path / "out.h5"
    assert run(["convert", str(source), str(out), "--workers", "1"]) == 3
    assert "nothing usable" in capsys.readouterr().out
    assert not out.exists()


def test_a_dry_run_says_what_it_would_write(
    utd: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["convert", str(utd), str(tmp_path / "out.h5"), "--dry-run"]) == 0
    assert "would write" in capsys.readouterr().out
    assert not (tmp_path / "out.h5").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["{utd}"], 2, "expected sources and an output"),
        (["{utd}/absent", "{out}"], 5, "no such file or folder"),
        (["{utd}", "{out}", "--layout", "kinect"], 5, "did you mean 'kinect_20'"),
        (["{utd}", "{out}", "--format", "mp3"], 2, "mp3"),
        (["{utd}", "{utd}/a1_s1_t1_skeleton.mat"], 2, "already exists"),
        (["{utd}", "{out}", "--set", "actors.min_frame=3"], 2, "min_frame"),
    ],
)
def test_a_mistake_is_one_line(
    utd: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    filled = [text.format(utd=utd, out=tmp_path / "out.h5") for text in arguments]
    assert run(["convert", *filled]) == code
    errors = capsys.readouterr().err.strip().splitlines()
    assert len(errors) == 1
    assert message in errors[0]
