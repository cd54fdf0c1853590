"""HDM05 and CMU: what names say, and which skeleton belongs to a motion."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from skelaug.data.hdm05 import ACTORS, CLASSES, CMUReader, HDM05Reader, class_name
from skelaug.data.reading import Clip, DamagedError


def fetch_from(files: dict[str, bytes]):  # type: ignore[no-untyped-def]
    def fetch(name: str) -> bytes:
        if name not in files:
            raise DamagedError(name, "no such file")
        return files[name]

    return fetch


@pytest.mark.parametrize(
    ("motion", "name"),
    [
        ("kickLFront1Reps", "kick forward"),
        ("squat1Reps", "squat once"),
        ("kickRSide2Reps", "kick r side 2 reps"),
        ("standUpKneelToStand", "stand up kneel to stand"),
    ],
)
def test_motions_are_named_in_words(motion: str, name: str) -> None:
    assert class_name(motion) == name


def test_the_subset_has_eleven_classes_and_five_actors() -> None:
    assert len(set(CLASSES)) == 11
    assert sorted(ACTORS.values()) == [101, 102, 103, 104, 105]


def test_files_are_told_by_their_names() -> None:
    paths = ["train/6/HDM_bd.asf", "train/6/HDM_bd_kickLFront1Reps_001_120.AMC", "02/02_01.amc"]
    assert HDM05Reader().claims(paths) == [paths[1]]
    assert CMUReader().claims(paths) == [paths[2]]


def test_an_unknown_actor_is_refused() -> None:
    with pytest.raises(DamagedError, match="actor of bd, bk"):
        list(HDM05Reader().read("HDM_xx_kick_001_120.amc", fetch_from({})))


def test_a_motion_without_its_skeleton_is_refused() -> None:
    with pytest.raises(DamagedError, match="no such file"):
        list(CMUReader().read("02/02_01.amc", fetch_from({"02/02_01.amc": b""})))


def sample(shared_data: Path, folder: str) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in (shared_data / "raw_samples" / folder).iterdir()}


@pytest.mark.data
def test_a_clip_of_hdm05_is_read_whole(shared_data: Path) -> None:
    files = sample(shared_data, "hdm05_asf_amc")
    (clip,) = HDM05Reader().read("HDM_bd_kickLFront1Reps_001_120.amc", fetch_from(files))
    assert isinstance(clip, Clip)
    sequence = clip.sequence
    assert clip.problems == ()
    assert (sequence.label, sequence.subject, sequence.fps) == ("kick forward", 101, 120)
    assert sequence.name == "HDM_bd_kickLFront1Reps_001_120"
    assert sequence.observed.all()
    height = sequence.positions[:, 0, sequence.layout.index("head"), 1]
    assert 1.4 < float(np.median(height)) < 2.0  # metres above the floor
    foot = sequence.positions[:, 0, sequence.layout.index("lfoot"), 1]
    assert float(np.ptp(foot)) > 0.4  # the left foot kicks


@pytest.mark.data
def test_capital_suffixes_are_found(shared_data: Path) -> None:
    files = sample(shared_data, "hdm05_asf_amc")
    name = "HDM_bd_kickLFront1Reps_001_120"
    shouting = {f"a/{name}.AMC": files[f"{name}.amc"], "a/HDM_bd.ASF": files["HDM_bd.asf"]}
    assert len(list(HDM05Reader().read(f"a/{name}.AMC", fetch_from(shouting)))) == 1


@pytest.mark.data
def test_a_motion_of_other_bones_than_its_skeleton_is_refused(shared_data: Path) -> None:
    files = sample(shared_data, "cmu_asf_amc")
    fewer = files["02.asf"].replace(b"lowerneck", b"lowerneck2")
    with pytest.raises(DamagedError, match="lowerneck"):
        list(CMUReader().read("02_01.amc", fetch_from({**files, "02.asf": fewer})))


@pytest.mark.data
def test_a_clip_of_cmu_has_a_subject_and_no_label(shared_data: Path) -> None:
    files = sample(shared_data, "cmu_asf_amc")
    (clip,) = CMUReader().read("02_01.amc", fetch_from(files))
    assert isinstance(clip, Clip)
    assert (clip.sequence.label, clip.sequence.subject, clip.sequence.fps) == ("", 2, 120)
    assert clip.sequence.num_frames == 343
