"""Human3.6M and HumanEva in the form of VideoPose3D, from a made-up studio."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import yaml
from scipy.spatial.transform import Rotation

from skelaug.data.reading import Clip, DamagedError
from skelaug.data.store import SequenceFile
from skelaug.data.videopose3d import VideoPose3DReader, parse_videopose3d
from skelaug.errors import UsageError
from skelaug.skeleton.camera import normalised_keypoints, to_camera
from skelaug.workflows.convert import ConvertConfig, run

EXACT, FOUND, WORLD = (
    "data_2d_humaneva15_gt.npz",
    "data_2d_humaneva15_cnn.npz",
    "data_3d_humaneva15.npz",
)
ACTIONS = {"Train/S1": ("Walking 1 chunk0", "Jog 1"), "Validate/S1": ("Walking 1 chunk1",)}


@pytest.fixture
def motions(studio) -> dict[str, dict[str, np.ndarray]]:
    """30 frames of each action."""
    return {
        subject: {
            action: studio.body(30, seed=len(subject) + k).astype(np.float32)
            for k, action in enumerate(actions)
        }
        for subject, actions in ACTIONS.items()
    }


def poses(studio, motions: Any, spread: float = 0.0) -> dict[str, dict[str, list[np.ndarray]]]:
    """What the cameras see, with noise; the videos go on for two frames more."""
    noise = np.random.default_rng(0)

    def view(points: np.ndarray) -> np.ndarray:
        longer = np.concatenate([points, points[-2:]])
        return (longer + noise.normal(0, spread, longer.shape)).astype(np.float32)

    return {
        subject: {
            action: [view(points) for points in studio.seen(world)]
            for action, world in actions.items()
        }
        for subject, actions in motions.items()
    }


@pytest.fixture
def files(studio, motions) -> dict[str, bytes]:
    metadata = {"layout_name": "humaneva15", "keypoints_symmetry": [[2], [5]]}
    return {
        WORLD: studio.npz(positions_3d=motions),
        EXACT: studio.npz(positions_2d=poses(studio, motions), metadata=metadata),
        FOUND: studio.npz(positions_2d=poses(studio, motions, 3.0), metadata=metadata),
    }


def parsed(files: dict[str, bytes], path: str = EXACT) -> list[Any]:
    def fetch(name: str) -> bytes:
        if name not in files:
            raise DamagedError(name, "no such file")
        return files[name]

    return list(parse_videopose3d(path, fetch))


def test_a_clip_of_each_camera_lies_in_its_frame_with_what_it_saw(studio, motions, files) -> None:
    found = parsed(files)
    assert all(isinstance(clip, Clip) and not clip.problems for clip in found)
    clips = {clip.sequence.name: clip.sequence for clip in found}
    assert len(clips) == 9
    for subject, actions in motions.items():
        for action, world in actions.items():
            for number, camera in enumerate(studio.cameras, start=1):
                clip = clips[f"{subject}/{action}/C{number}"]
                facts = clip.label, clip.subject, clip.camera, clip.fps, clip.layout.name
                assert facts == (action.split()[0], 1, number, 60, "humaneva_15")
                np.testing.assert_allclose(
                    clip.positions[:, 0], to_camera(world, camera), atol=1e-4
                )
                pixels = studio.seen(world)[number - 1]
                expected = normalised_keypoints(pixels, (640, 480))
                np.testing.assert_allclose(clip.keypoints[:, 0], expected, atol=1e-5)


def test_detections_take_the_cameras_from_the_exact_poses(files) -> None:
    exact, detected = parsed(files), parsed(files, FOUND)
    for one, other in zip(exact, detected, strict=True):
        np.testing.assert_array_equal(one.sequence.positions, other.sequence.positions)
        off = 320 * (one.sequence.keypoints - other.sequence.keypoints)
        assert 2 < off.std() < 4
    del files[EXACT]
    with pytest.raises(DamagedError, match=r"_gt\.npz: expected it beside the detections"):
        parsed(files, FOUND)


def test_a_camera_table_goes_before_a_calibration(studio, files) -> None:
    del files[EXACT]
    x, y, z, w = Rotation.from_matrix(studio.cameras[0].rotation.T).as_quat()
    one = {"size": [640, 480], "focal": [700, 700], "center": [320, 240], "position": [1, 2, 3]}
    table = {"S1": [{**one, "orientation": [float(w), float(x), float(y), float(z)]}] * 3}
    files["cameras_humaneva15.yaml"] = yaml.safe_dump(table).encode()
    first = parsed(files, FOUND)[0].sequence
    turned = replace(studio.cameras[0], translation=-studio.cameras[0].rotation @ [1, 2, 3])
    world = studio.body(30, seed=len("Train/S1"))
    np.testing.assert_allclose(first.positions[:, 0], to_camera(world, turned), atol=1e-5)
    files["cameras_humaneva15.yaml"] = yaml.safe_dump({"S2": table["S1"]}).encode()
    assert "expected 3 cameras of subject 1, got 0" in str(parsed(files, FOUND)[0])
    files["cameras_humaneva15.yaml"] = b"S1: [{size: [1, 2]}]"
    with pytest.raises(DamagedError, match=r"cameras_humaneva15\.yaml: expected a list of cameras"):
        parsed(files, FOUND)


def test_the_seventeen_joints_of_human36m_are_taken_from_its_thirty_two(studio) -> None:
    sizes = ((1000, 1002), (1000, 1000), (1000, 1000), (1000, 1002))
    wide = replace(studio, azimuths=(20.0, 110.0, 200.0, 290.0), sizes=sizes)
    world = wide.body(40, joints=32)
    kept = [0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27]
    views = list(wide.seen(world[:, kept]))
    found = parsed(
        {
            "data_3d_h36m.npz": wide.npz(positions_3d={"S9": {"WalkDog 1": world}}),
            "data_2d_h36m_gt.npz": wide.npz(positions_2d={"S9": {"WalkDog 1": views}}),
        },
        "data_2d_h36m_gt.npz",
    )
    assert [clip.sequence.name for clip in found] == [f"S9/WalkDog 1/C{k}" for k in (1, 2, 3, 4)]
    clip = found[3].sequence
    assert (clip.layout.name, clip.fps, clip.subject, clip.label) == ("h36m_17", 50, 9, "WalkDog")
    expected = to_camera(world[:, kept], wide.cameras[3])
    np.testing.assert_allclose(clip.positions[:, 0], expected, atol=1e-5)


def test_a_damaged_action_does_not_take_the_others_with_it(studio, motions, files) -> None:
    image = poses(studio, motions)
    image["Train/S1"]["Jog 1"] = [view[:9] for view in image["Train/S1"]["Jog 1"]]
    image["Train/S1"]["Box 1"] = image["Train/S1"]["Jog 1"]
    image["Validate/S1"]["Walking 1 chunk1"].pop()
    files[EXACT] = studio.npz(positions_2d=image)
    found = parsed(files)
    reasons = sorted(str(item) for item in found if isinstance(item, DamagedError))
    assert len(found) == 3 + 3
    assert "Jog 1]: camera 1: expected 2D poses 30 x 15 x 2, got 9 x 15 x 2" in reasons[1]
    assert "Box 1]: there are no 3D poses" in reasons[0]
    assert "expected 2D poses of 3 cameras, got 2" in reasons[2]


def test_poses_of_another_motion_are_noticed(studio, motions, files) -> None:
    image = poses(studio, motions)
    for views in image["Train/S1"].values():
        views[1] = views[1][:, ::-1]  # the joints in another order
    files[EXACT] = studio.npz(positions_2d=image)
    with pytest.raises(DamagedError, match=r"camera 2 of subject 1: expected 2D poses of the same"):
        parsed(files)


def test_files_are_told_by_their_names_and_detections_go_before_exact_poses() -> None:
    reader = VideoPose3DReader()
    assert reader.claims(["a/" + WORLD, "a/" + EXACT, "a/data_2d_mine_gt.npz"]) == ["a/" + EXACT]
    assert reader.claims([WORLD, EXACT, FOUND]) == [FOUND]
    with pytest.raises(UsageError, match="expected one file of 2D poses of humaneva15, got"):
        reader.claims([FOUND, "data_2d_humaneva15_other.npz"])


def test_a_folder_is_converted(tmp_path, files) -> None:
    folder = tmp_path / "studio"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    report = run(ConvertConfig(sources=(folder,), out=tmp_path / "out.h5"))
    assert (report.read, report.rejected, report.layout) == (9, [], "humaneva_15")
    assert report.sources[0].format == "videopose3d"
    assert report.decisions == 3
    with SequenceFile(tmp_path / "out.h5") as file:
        assert file.has_keypoints
        assert file.classes == ("Jog", "Walking")
