"""UTD-MHAD .mat files: joints by name, and files that are not whole."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.io import loadmat, savemat

from skelaug.data.labels import match_label
from skelaug.data.reading import DamagedError
from skelaug.data.utd_mhad import CLASSES, JOINTS, UTDMHADReader, parse_utd_mhad

NAME = "a22_s3_t2_skeleton.mat"
RNG = np.random.default_rng(0)


def mat(skeleton: object, key: str = "d_skel", *, compress: bool = True) -> bytes:
    file = io.BytesIO()
    savemat(file, {key: skeleton}, do_compression=compress)
    return file.getvalue()


def whole(frames: int = 6) -> NDArray[np.float64]:
    return RNG.uniform(0.1, 3, (20, 3, frames))


@pytest.mark.parametrize("compress", [True, False])
def test_joints_go_where_their_names_say(compress: bool) -> None:
    skeleton = whole()
    clip = parse_utd_mhad(mat(skeleton, compress=compress), path=f"Skeleton/{NAME}")
    sequence = clip.sequence
    for row, joint in enumerate(JOINTS):
        np.testing.assert_allclose(
            sequence.positions[:, 0, sequence.layout.index(joint)], skeleton[row].T, rtol=1e-6
        )
    assert sorted(JOINTS) == sorted(sequence.layout.joints)
    assert (sequence.name, sequence.label, sequence.subject) == ("a22_s3_t2", "jog", 3)
    assert clip.problems == ()


def test_the_classes_are_27_and_different() -> None:
    assert len(set(CLASSES)) == 27


def test_only_one_class_of_the_two_packaged_sets_has_a_kick() -> None:
    from skelaug.data.hdm05 import CLASSES as HDM05

    assert len({*CLASSES, *HDM05}) == 38
    assert match_label("kick", [*CLASSES, *HDM05]) == "kick forward"


def test_a_single_frame_is_a_clip() -> None:
    clip = parse_utd_mhad(mat(whole(1)[:, :, 0]), path=NAME)
    assert clip.sequence.num_frames == 1


def test_joints_at_zero_and_numbers_that_are_none_are_unobserved() -> None:
    skeleton = whole()
    skeleton[0, :, 2] = 0  # head
    skeleton[3, 1, 4] = np.nan  # hip_center
    clip = parse_utd_mhad(mat(skeleton), path=NAME)
    layout = clip.sequence.layout
    assert not clip.sequence.observed[2, 0, layout.index("head")]
    assert not clip.sequence.observed[4, 0, layout.index("hip_center")]
    assert clip.sequence.observed.sum() == 6 * 20 - 2
    assert len(clip.problems) == 2


BROKEN = {
    "empty": b"",
    "junk": b"\x00\x01\xfe" * 99,
    "cut": mat(whole())[:600],
    "cut header": mat(whole())[:100],
    "other variable": mat(whole(), "d_depth"),
    "other joints": mat(RNG.uniform(size=(25, 3, 9))),
    "no frames": mat(np.zeros((20, 3, 0))),
    "text": mat("not a skeleton"),
    "cell": mat(np.array([[1, "a"]], dtype=object)),
    "complex": mat(whole() * 1j),
    "hdf5": b"\x89HDF\r\n\x1a\n" + b"\0" * 600,
}


@pytest.mark.parametrize("fault", BROKEN)
def test_anything_else_is_refused(fault: str) -> None:
    with pytest.raises(DamagedError, match=NAME):
        parse_utd_mhad(BROKEN[fault], path=NAME)


@pytest.mark.parametrize("name", ["a28_s1_t1_skeleton.mat", "a0_s1_t1_skeleton.mat", "x.mat"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(DamagedError, match="X from 1 to 27"):
        parse_utd_mhad(mat(whole()), path=name)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_damage_is_anything_but_an_error_or_a_clip(draw: st.DataObject) -> None:
    good = mat(np.ones((20, 3, 2)), compress=draw.draw(st.booleans()))
    start = draw.draw(st.integers(0, len(good)))
    junk = draw.draw(st.binary(max_size=20))
    cut = draw.draw(st.integers(0, 30))
    try:
        parse_utd_mhad(good[:start] + junk + good[start + cut :], path=NAME)
    except DamagedError:
        return


def test_files_are_told_by_their_names() -> None:
    paths = [f"Skeleton/{NAME}", "Skeleton/Skeleton_joint_order.txt", "a1_s1_t1_depth.mat"]
    assert UTDMHADReader().claims(paths) == [f"Skeleton/{NAME}"]


@pytest.mark.data
def test_the_order_of_joints_is_the_published_one(shared_data: Path) -> None:
    text = (shared_data / "raw_samples" / "utd_mhad" / "Skeleton_joint_order.txt").read_text()
    listed = [line.split(".")[1].strip(" ;\r") for line in text.splitlines() if line[:1].isdigit()]
    assert tuple(listed) == JOINTS


@pytest.mark.data
def test_limbs_have_the_lengths_of_limbs(shared_data: Path) -> None:
    """In a wrong order of joints, bones would be long and the sides unequal."""
    for path in sorted((shared_data / "raw_samples" / "utd_mhad").glob("*.mat")):
        sequence = parse_utd_mhad(path.read_bytes(), path=path.name).sequence
        positions = sequence.positions[:, 0]
        lengths = {
            sequence.layout.joints[child]: float(
                np.median(np.linalg.norm(positions[:, child] - positions[:, parent], axis=-1))
            )
            for child, parent in sequence.layout.bones
        }
        assert max(lengths.values()) < 0.55
        for joint in ("elbow", "wrist", "knee", "ankle", "hip"):
            assert lengths[f"left_{joint}"] == pytest.approx(lengths[f"right_{joint}"], rel=0.35)
        raw = np.asarray(loadmat(path)["d_skel"])
        assert positions[:, sequence.layout.index("head"), 1] == pytest.approx(raw[0, 1], rel=1e-6)
