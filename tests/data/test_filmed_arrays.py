"""An .npz with 2D poses beside the 3D ones is read as its cameras saw it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from skelaug.data.arrays import parse_arrays
from skelaug.data.reading import Clip, DamagedError
from skelaug.data.splits import split_clips
from skelaug.data.store import SequenceFile
from skelaug.skeleton.camera import calibrated, normalised_keypoints, pixel_keypoints, to_camera
from skelaug.skeleton.layouts import LAYOUTS
from skelaug.workflows.convert import ConvertConfig, run

LENGTHS = (20, 1, 30)


@pytest.fixture
def world(studio) -> list[np.ndarray]:
    return [studio.body(length, seed=k) for k, length in enumerate(LENGTHS)]


@pytest.fixture
def arrays(studio, world) -> dict[str, Any]:
    layout = LAYOUTS["humaneva_15"]
    return {
        "joints": 1e3 * np.concatenate(world),
        "offsets": np.cumsum([0, *LENGTHS]),
        "fps": 60.0,
        "units": "millimetres (3D, world frame z-up); pixel (2D)",
        "joint_names": np.array(layout.joints),
        "parents": np.array(layout.parents),
        "label": [0, 1, 0],
        "class_names": np.array(["Box", "Jog"]),
        "subject": [1, 1, 1],
        "name": np.array(["a", "b", "c"]),
        "joints_2d": np.concatenate([studio.seen(one).swapaxes(0, 1) for one in world]),
        "image_size": np.array([640, 480]),
    }


def parsed(studio, arrays: dict[str, Any], recipe: dict[str, Any] | None = None) -> list[Clip]:
    files = {"a.npz": studio.npz(**arrays), "a.yaml": yaml.safe_dump(recipe).encode()}
    path = "a.npz" if recipe is None else "a.yaml"
    found = list(parse_arrays(path, files.__getitem__))
    errors = [item for item in found if isinstance(item, DamagedError)]
    if errors:
        raise errors[0]
    return [item for item in found if isinstance(item, Clip)]


def test_every_camera_has_its_clip_in_its_frame(studio, world, arrays) -> None:
    clips = [clip.sequence for clip in parsed(studio, arrays)]
    names = [f"{name}/C{number}" for name in "abc" for number in (1, 2, 3)]
    assert [clip.name for clip in clips] == names
    for place, clip in enumerate(clips):
        take, number = divmod(place, 3)
        expected = to_camera(world[take], studio.cameras[number])
        np.testing.assert_allclose(clip.positions[:, 0], expected, atol=1e-5)
        pixels = studio.seen(world[take])[number]
        expected = normalised_keypoints(pixels, (640, 480))
        np.testing.assert_allclose(clip.keypoints[:, 0], expected, atol=1e-6)
        assert (clip.camera, clip.subject, clip.label) == (
            number + 1,
            1,
            ["Box", "Jog", "Box"][take],
        )


def test_what_was_calibrated_is_said_once(studio, arrays) -> None:
    decisions = [clip.decisions for clip in parsed(studio, arrays)]
    assert [len(one) for one in decisions] == [1, 1, 1, 0, 0, 0, 0, 0, 0]
    assert decisions[2][0].startswith("camera 3 of subject 1 was calibrated from its 2D poses: 0.0")


def test_joints_that_were_not_detected_are_gaps_in_2d_alone(studio, arrays) -> None:
    arrays["joints_2d"][4, 1, 6] = 0
    arrays["joints_2d"][5, 1, 6] = np.nan
    clip = parsed(studio, arrays)[1].sequence
    assert np.argwhere(np.isnan(clip.keypoints).any(axis=-1)).tolist() == [[4, 0, 6], [5, 0, 6]]
    assert clip.observed.all()


def test_a_recipe_names_the_arrays_and_one_camera_needs_no_axis(studio, world, arrays) -> None:
    own = {"p": arrays["joints"], "o": arrays["offsets"], "k": arrays["joints_2d"][:, 0]}
    recipe = {
        "file": "a.npz", "layout": "humaneva_15", "fps": 60, "units": "mm", "key": "p",
        "offsets": "o", "keypoints": "k", "image_size": [640, 480], "dataset": "mine",
    }  # fmt: skip
    clips = [clip.sequence for clip in parsed(studio, own, recipe)]
    assert [clip.name for clip in clips] == ["mine_00000/C1", "mine_00001/C1", "mine_00002/C1"]
    expected = to_camera(world[2], studio.cameras[0])
    np.testing.assert_allclose(clips[2].positions[:, 0], expected, atol=1e-5)


MISTAKES = {
    "key 'keypoints': expected 51 \\[x cameras\\] x 15 x 2": {"joints_2d": np.ones((50, 3, 15, 2))},
    "key 'image_size': expected width and height, of all": {"image_size": [640, 480, 1]},
    "key 'image_size': no array": {"image_size": None},
    "camera 1 of subject 1: calibration: expected at least 6": {
        "joints_2d": np.zeros((51, 3, 15, 2))
    },
    "camera 1 of subject 1: expected 2D poses of the same frames": {
        "joints_2d": np.random.default_rng(0).uniform(0, 480, (51, 3, 15, 2))
    },
}


@pytest.mark.parametrize("message", MISTAKES)
def test_a_mistake_is_named(studio, arrays, message: str) -> None:
    changed = {**arrays, **MISTAKES[message]}
    changed = {key: value for key, value in changed.items() if value is not None}
    with pytest.raises(DamagedError, match=message):
        parsed(studio, changed)


@pytest.mark.data
@pytest.mark.slow
def test_humaneva_becomes_clips_of_its_cameras(shared_data: Path, tmp_path: Path) -> None:
    out = tmp_path / "humaneva.h5"
    report = run(ConvertConfig(sources=(shared_data / "humaneva15" / "humaneva15.npz",), out=out))
    assert (report.read, report.rejected, report.repaired) == (231, [], [])
    with SequenceFile(out) as file:
        split = split_clips(file, "official")
        assert (len(split.train), len(split.test), split.notes) == (105, 126, ())
        assert sorted({*file.subjects.tolist()}) == [1, 2, 3]
        head, pelvis = (file.layout.index(joint) for joint in ("head", "pelvis"))
        for clip in file:
            upright = clip.positions[:, 0, head, 1] - clip.positions[:, 0, pelvis, 1]
            # the head of subject 3 walking lies between pelvis and thorax in these data
            broken = clip.subject == 3 and clip.label == "Walking"
            assert np.median(upright) > (0.2 if broken else 0.6)
        clips = [clip for clip in file if clip.subject == 2 and clip.camera == 3]
        points = np.concatenate([clip.positions[:, 0].reshape(-1, 3) for clip in clips])
        seen = np.concatenate([clip.keypoints[:, 0].reshape(-1, 2) for clip in clips])
    # clips lie in the frame of a camera at the origin, which sees them where it says
    found = calibrated(points, pixel_keypoints(seen, (640, 480)), size=(640, 480))
    assert found.worst_px < 1
    np.testing.assert_allclose(found.camera.rotation, np.diag([-1, -1, 1]), atol=1e-3)
    np.testing.assert_allclose(found.camera.translation, 0, atol=0.02)
