"""Acclaim files: forward kinematics against a slow derivation, and files that are not whole."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from skelaug.data.acclaim import AcclaimSkeleton, Motion, forward_kinematics, parse_amc, parse_asf
from skelaug.data.reading import DamagedError

ASF = """# a comment
:version 1.10
:name TEST
:units
  mass 1.0
  length 0.45
  angle deg
:documentation
   free text
:root
   order TX TY TZ RX RY RZ
   axis XYZ
   position 0 0 0
   orientation 0 0 0
:bonedata
  begin
     id 1
     name thigh
     direction 0 -1 0
     length 7.0
     axis 0 0 20 XYZ
    dof rx ry rz
    limits (-160.0 20.0)
           (-70.0 70.0)
           (-60.0 70.0)
  end
  begin
     id 2
     name shin
     direction 0.34202 -0.939693 0
     length 6.0
     axis -90 10 20 XYZ
    dof rx rz
  end
  begin
     id 3
     name stub
     direction 0 0 1
     length 1.0
     axis 0 0 0 XYZ
  end
  begin
     id 4
     name back
     direction 0 1 0
     length 5.0
     axis 30 -20 10 ZXY
    dof rz rx
  end
:hierarchy
  begin
    root thigh back
    thigh shin
    shin stub
  end
"""

ANGLES = np.random.default_rng(1).uniform(-180, 180, (6, 13))


def amc(frames: int = 6) -> str:
    lines = ["#!OML:ASF somewhere", ":FULLY-SPECIFIED", ":DEGREES"]
    for t in range(frames):
        a = [f"{value:.9f}" for value in ANGLES[t]]
        lines += [str(t + 1), "root " + " ".join(a[:6]), "thigh " + " ".join(a[6:9])]
        lines += ["shin " + " ".join(a[9:11]), "back " + " ".join(a[11:13])]
    return "\n".join(lines) + "\n"


def turn(axes: str, angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """scipy's extrinsic rotations (lower case) are applied in the order in which they stand."""
    matrix: NDArray[np.float64] = Rotation.from_euler(axes, angles, degrees=True).as_matrix()
    return matrix


def by_hand(frame: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Root and ends of thigh, back, shin, stub, written out bone by bone."""
    unit = 0.0254 / 0.45
    root = frame[:3] * unit
    whole = turn("xyz", frame[3:6])
    c = turn("xyz", np.array([0, 0, 20]))
    thigh = whole @ c @ turn("xyz", frame[6:9]) @ np.linalg.inv(c)
    knee = root + thigh @ np.array([0, -7.0, 0]) * unit
    c = turn("xyz", np.array([-90, 10, 20]))
    shin = thigh @ c @ turn("xz", frame[9:11]) @ np.linalg.inv(c)
    ankle = knee + shin @ (np.array([0.34202, -0.939693, 0]) * 6 * unit)
    stub = ankle + shin @ np.array([0, 0, 1.0]) * unit
    c = turn("zxy", np.array([10, 30, -20]))  # axis gives x y z; ZXY is the order
    back = whole @ c @ turn("zx", frame[11:13]) @ np.linalg.inv(c)
    return [root, knee, root + back @ np.array([0, 5.0, 0]) * unit, ankle, stub]


def skeleton() -> AcclaimSkeleton:
    return parse_asf(ASF, path="t.asf")


def test_forward_kinematics_equals_the_derivation_by_hand() -> None:
    positions = forward_kinematics(skeleton(), parse_amc(amc(), path="t.amc"))
    assert skeleton().joints == ("root", "thigh", "back", "shin", "stub")
    for t in range(6):
        np.testing.assert_allclose(positions[t], by_hand(ANGLES[t]), atol=1e-7)


def test_bones_keep_their_length_whatever_the_angles() -> None:
    positions = forward_kinematics(skeleton(), parse_amc(amc(), path="t.amc"))
    unit = 0.0254 / 0.45
    np.testing.assert_allclose(
        np.linalg.norm(positions[:, 1] - positions[:, 0], axis=-1), 7 * unit, rtol=1e-9
    )
    np.testing.assert_allclose(
        np.linalg.norm(positions[:, 4] - positions[:, 3], axis=-1), unit, rtol=1e-9
    )


def test_a_quarter_turn_of_the_root_about_z_lays_the_back_down() -> None:
    values = {"root": np.array([[0.0, 0, 0, 0, 0, 90]])}
    positions = forward_kinematics(skeleton(), Motion(values, num_frames=1))
    np.testing.assert_allclose(positions[0, 2], [-5 * 0.0254 / 0.45, 0, 0], atol=1e-12)


def test_radians_equal_degrees() -> None:
    radians = ASF.replace("angle deg", "angle rad")
    for old, new in (
        ("axis 0 0 20 XYZ", f"axis 0 0 {np.deg2rad(20)!r} XYZ"),
        ("axis -90 10 20 XYZ", "axis {!r} {!r} {!r} XYZ".format(*np.deg2rad([-90, 10, 20]))),
        ("axis 30 -20 10 ZXY", "axis {!r} {!r} {!r} ZXY".format(*np.deg2rad([30, -20, 10]))),
    ):
        radians = radians.replace(old, new.replace("np.float64(", "").replace(")", ""))
    motion = parse_amc(amc(), path="t.amc")
    turned = {
        key: np.concatenate([value[:, :3], np.deg2rad(value[:, 3:])], axis=1)
        if key == "root"
        else np.deg2rad(value)
        for key, value in motion.values.items()
    }
    there = forward_kinematics(parse_asf(radians, path="r.asf"), Motion(turned, 6))
    np.testing.assert_allclose(there, forward_kinematics(skeleton(), motion), atol=1e-9)


def test_the_motion_may_leave_a_bone_out() -> None:
    motion = parse_amc(amc(), path="t.amc")
    without = {key: value for key, value in motion.values.items() if key != "shin"}
    still = {**without, "shin": np.zeros((6, 2))}
    np.testing.assert_array_equal(
        forward_kinematics(skeleton(), Motion(without, 6)),
        forward_kinematics(skeleton(), Motion(still, 6)),
    )


@pytest.mark.parametrize(("bone", "count"), [("root", 5), ("thigh", 2)])
def test_a_wrong_number_of_values_is_refused(bone: str, count: int) -> None:
    motion = parse_amc(amc(), path="t.amc")
    values = {**motion.values, bone: motion.values[bone][:, :count]}
    with pytest.raises(ValueError, match=f"values of {bone}, got {count}"):
        forward_kinematics(skeleton(), Motion(values, 6))


BROKEN_ASF: dict[str, Callable[[str], str]] = {
    "empty": lambda text: "",
    "without hierarchy": lambda text: text[: text.index(":hierarchy")],
    "without root": lambda text: text.replace(":root", ":rot"),
    "bone without length": lambda text: text.replace("     length 7.0\n", ""),
    "bone with a word as length": lambda text: text.replace("length 7.0", "length long"),
    "bone with two numbers": lambda text: text.replace("direction 0 -1 0", "direction 0 -1"),
    "bone that stretches": lambda text: text.replace("dof rx rz", "dof l"),
    "unknown bone": lambda text: text.replace("thigh shin\n", "thigh shn\n"),
    "orphan": lambda text: text.replace("root thigh back", "root back"),
    "axis of four": lambda text: text.replace("axis XYZ\n", "axis XYQ\n"),
    "unit of zero": lambda text: text.replace("length 0.45", "length 0"),
    "cut": lambda text: text[:400],
    "junk": lambda text: "\x00\x01\ufffd" * 40,
}


@pytest.mark.parametrize("fault", BROKEN_ASF)
def test_a_broken_skeleton_is_refused_by_name(fault: str) -> None:
    with pytest.raises(DamagedError, match=r"^t\.asf"):
        parse_asf(BROKEN_ASF[fault](ASF), path="t.asf")


def test_whole_motions_have_no_problem() -> None:
    motion = parse_amc(amc(), path="t.amc")
    assert motion.problems == ()
    assert motion.num_frames == 6
    np.testing.assert_allclose(motion.values["shin"], ANGLES[:, 9:11], atol=1e-9)


# header 3 lines, 5 lines per frame; frame t (from 0) starts at line 4 + 5 t
@pytest.mark.parametrize("kept", [4, 3, 2, 1])
def test_of_a_motion_that_breaks_off_the_whole_frames_are_used(kept: int) -> None:
    lines = amc().splitlines()[: 3 + 5 * 4 + kept]
    motion = parse_amc("\n".join(lines), path="t.amc")
    assert motion.num_frames == 4
    (problem,) = motion.problems
    assert problem.structural
    assert "4 frames are complete" in problem.reason


def test_a_line_that_is_cut_at_the_end_costs_its_frame() -> None:
    text = amc()[: amc().rindex(" ")]
    motion = parse_amc(text, path="t.amc")
    assert motion.num_frames == 5
    assert motion.problems[0].line == 3 + 5 * 6


def test_missing_frames_are_a_problem() -> None:
    lines = amc().splitlines()
    motion = parse_amc("\n".join(lines[:8] + lines[13:]), path="t.amc")
    assert motion.num_frames == 5
    assert motion.problems[0].reason == "frame 3 follows frame 1"
    assert motion.problems[0].structural


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda lines: [*lines[:10], "thig 1 2 3", *lines[11:]], 11),
        (lambda lines: [*lines[:10], "thigh 1 2", *lines[11:]], 11),
        (lambda lines: [*lines[:10], "thigh 1 zz 3", *lines[11:]], 11),
    ],
)
def test_a_line_in_the_middle_that_differs_is_named(
    change: Callable[[list[str]], list[str]], line: int
) -> None:
    with pytest.raises(DamagedError) as caught:
        parse_amc("\n".join(change(amc().splitlines())), path="t.amc")
    assert caught.value.line == line


@pytest.mark.parametrize("text", ["", ":DEGREES\n", "\x00junk", "# only\n# comments", "1\n"])
def test_a_motion_without_a_frame_is_refused(text: str) -> None:
    with pytest.raises(DamagedError):
        parse_amc(text, path="t.amc")


def raw(shared_data: Path, folder: str, name: str) -> str:
    return (shared_data / "raw_samples" / folder / name).read_text(errors="replace")


@pytest.mark.data
def test_cmu_agrees_with_another_forward_kinematics(shared_data: Path) -> None:
    """That set has clip 02_01 at every fourth frame, begins bones where we end them, lacks two
    bones above the thorax, and turns the root in the opposite order, so distances within the legs
    and the root's path are compared."""
    asf = parse_asf(raw(shared_data, "cmu_asf_amc", "02.asf"), path="02.asf")
    motion = parse_amc(raw(shared_data, "cmu_asf_amc", "02_01.amc"), path="02_01.amc")
    ours = forward_kinematics(asf, motion)[3::4]
    with np.load(shared_data / "cmu_mocap8" / "cmu_mocap8.npz") as file:
        start, end = file["offsets"][51:53]
        theirs = file["joints"][start + 1 : end]
        names = [str(name) for name in file["joint_names"]]
    np.testing.assert_allclose(ours[:, 0], theirs[:, 0], atol=2e-5)
    legs = {"lhipjoint": "lfemur", "lfemur": "ltibia", "ltibia": "lfoot", "rtibia": "rfoot"}
    mine = ours[:, [asf.joints.index(joint) for joint in legs]]
    other = theirs[:, [names.index(joint) for joint in legs.values()]]
    for a in range(len(legs)):
        distance = np.linalg.norm(mine - mine[:, [a]], axis=-1)
        wanted = np.linalg.norm(other - other[:, [a]], axis=-1)
        np.testing.assert_allclose(distance, wanted, atol=2e-5)


@pytest.mark.data
def test_planted_feet_stand_still_only_in_the_right_order_of_rotations(shared_data: Path) -> None:
    with tarfile.open(shared_data / "hdm05_subset11_asf_amc.tar.xz") as archive:
        member = next(m for m in archive if m.name.endswith("HDM_bd_sneak2StepsLStart_001_120.amc"))
        file = archive.extractfile(member)
        assert file is not None
        motion = parse_amc(file.read().decode(errors="replace"), path=member.name)
    asf = parse_asf(raw(shared_data, "hdm05_asf_amc", "HDM_bd.asf"), path="HDM_bd.asf")
    reversed_root = {**motion.values}
    root = reversed_root["root"]
    whole = turn("zyx", root[:, [5, 4, 3]])
    xyz = Rotation.from_matrix(whole).as_euler("xyz", degrees=True)
    reversed_root["root"] = np.concatenate([root[:, :3], xyz], axis=1)

    def slip(motion: Motion) -> float:
        foot = forward_kinematics(asf, motion)[:, asf.joints.index("ltoes")]
        low = foot[:, 1] < np.percentile(foot[:, 1], 25)
        speed = np.linalg.norm(np.diff(foot, axis=0), axis=-1) * 120
        return float(np.median(speed[low[1:] & low[:-1]]))

    assert slip(motion) < 0.1
    assert slip(Motion(reversed_root, motion.num_frames)) > 2 * slip(motion)
