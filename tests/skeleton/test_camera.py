"""Cameras against a second derivation, calibration against the camera that made the pairs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from skelaug.errors import DataError
from skelaug.skeleton.camera import (
    Camera,
    calibrated,
    camera_from_mapping,
    check_normalised,
    normalised_keypoints,
    pixel_keypoints,
    project,
    to_camera,
)

SIZE = (640, 480)
# looks along the world's +y from 4 m behind the origin, in a world whose z points up
LEVEL = Camera(
    size=SIZE,
    focal=(700.0, 690.0),
    center=(310.0, 225.0),
    rotation=np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]),
    translation=np.array([0.0, 1.0, 4.0]),
)
BENT = replace(
    LEVEL,
    rotation=Rotation.from_euler("xyz", [-80, 7, 3], degrees=True).as_matrix(),
    radial=(-0.3, 0.12, 0.02),
    tangential=(-0.001, 0.002),
)


def cloud(n: int = 400, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform([-1, -1, 0], [1, 1, 1.8], (n, 3))


def test_a_level_camera_sees_left_to_the_left_and_up_above() -> None:
    middle, (x, y, z) = np.array([0.0, 0.0, 1.0]), np.eye(3)
    seen = to_camera(middle, LEVEL)
    np.testing.assert_allclose(seen, [0, 0, 4])
    np.testing.assert_allclose(to_camera(middle + x, LEVEL) - seen, [-1, 0, 0])
    np.testing.assert_allclose(to_camera(middle + z, LEVEL) - seen, [0, 1, 0])
    np.testing.assert_allclose(to_camera(middle + y, LEVEL) - seen, [0, 0, 1])
    np.testing.assert_allclose(project(middle, LEVEL), LEVEL.center)
    np.testing.assert_allclose(project(middle + x + z, LEVEL), [310 + 175, 225 - 172.5])


def test_the_lens_bends_rays_as_the_written_polynomial() -> None:
    point = np.array([0.4, 0.3, 1.5])
    x, y, z = BENT.rotation @ point + BENT.translation
    x, y = x / z, y / z
    r = np.hypot(x, y)
    stretch = 1 - 0.3 * r**2 + 0.12 * r**4 + 0.02 * r**6
    bent_x = x * stretch + 2 * -0.001 * x * y + 0.002 * (r**2 + 2 * x**2)
    bent_y = y * stretch + -0.001 * (r**2 + 2 * y**2) + 2 * 0.002 * x * y
    expected = [700 * bent_x + 310, 690 * bent_y + 225]
    np.testing.assert_allclose(project(point, BENT), expected, rtol=1e-12)


def test_a_point_behind_the_camera_is_nowhere() -> None:
    assert np.isnan(project(np.array([0.0, -9.0, 1.0]), LEVEL)).all()


def test_a_clip_projects_by_the_camera_in_its_own_frame() -> None:
    points = cloud(20)
    own = project(to_camera(points, BENT), BENT.own)
    np.testing.assert_allclose(own, project(points, BENT), rtol=1e-12)


def test_distances_do_not_change_in_the_camera_frame() -> None:
    points, seen = cloud(9), to_camera(cloud(9), BENT)
    between = [np.linalg.norm(a[:, None] - a, axis=-1) for a in (points, seen)]
    np.testing.assert_allclose(between[0], between[1], atol=1e-12)
    axes = to_camera(np.eye(3), BENT) - to_camera(np.zeros(3), BENT)
    assert np.linalg.det(axes) == pytest.approx(1)  # a rotation: nobody becomes left-handed


def test_normalised_keypoints_keep_the_aspect_and_come_back() -> None:
    corners = np.array([[0, 0], [640, 480], [320, 240], [640, 0]])
    expected = [[-1, -0.75], [1, 0.75], [0, 0], [1, -0.75]]
    np.testing.assert_allclose(normalised_keypoints(corners, SIZE), expected, atol=1e-15)
    np.testing.assert_allclose(pixel_keypoints(np.array(expected), SIZE), corners, atol=1e-12)


def test_pixels_are_refused_and_gaps_are_not() -> None:
    check_normalised(np.array([[0.3, np.nan], [-1.9, 1]]), where="a")
    with pytest.raises(DataError, match=r"^a\.h5: expected 2D poses normalised.*got a coord.* 300"):
        check_normalised(np.array([[0.3, np.nan], [300, 1]]), where="a.h5")


def test_calibration_finds_the_camera_that_made_the_pairs() -> None:
    points = cloud()
    found = calibrated(points, project(points, BENT), size=SIZE)
    assert found.rms_px < 1e-6
    assert found.worst_px < 1e-5
    others = cloud(50, seed=1)
    np.testing.assert_allclose(to_camera(others, found.camera), to_camera(others, BENT), atol=1e-6)
    np.testing.assert_allclose(found.camera.radial, BENT.radial, atol=1e-4)
    np.testing.assert_allclose(found.camera.tangential, BENT.tangential, atol=1e-6)


def test_calibration_averages_noise_and_is_not_led_by_outliers() -> None:
    points, noise = cloud(2000), np.random.default_rng(3)
    pixels = project(points, LEVEL) + noise.normal(0, 2, (2000, 2))
    pixels[::50] = noise.uniform(0, 480, (40, 2))
    pixels[7] = np.nan
    found = calibrated(points, pixels, size=SIZE)
    off = np.linalg.norm(to_camera(points, found.camera) - to_camera(points, LEVEL), axis=1)
    assert off.max() < 0.1  # 4 m away, 2 px noise
    assert found.rms_px > 2


def test_pairs_that_do_not_determine_a_camera_are_refused() -> None:
    flat = cloud() * [1, 1, 0]
    with pytest.raises(DataError, match="got points of one plane"):
        calibrated(flat, project(flat, LEVEL), size=SIZE)
    few = cloud(5)
    with pytest.raises(DataError, match="at least 6 pairs, got 5"):
        calibrated(few, project(few, LEVEL), size=SIZE)


def test_a_camera_table_says_where_a_camera_stands_and_how_it_is_turned() -> None:
    x, y, z, w = Rotation.from_matrix(BENT.rotation.T).as_quat()
    table = {
        "size": SIZE,
        "focal": BENT.focal,
        "center": BENT.center,
        "orientation": [w, x, y, z],
        "position": (-BENT.rotation.T @ BENT.translation).tolist(),
        "radial": BENT.radial,
        "tangential": BENT.tangential,
    }
    found = camera_from_mapping(table)
    np.testing.assert_allclose(project(cloud(), found), project(cloud(), BENT), rtol=1e-10)
    with pytest.raises(DataError, match="key 'focal' is missing"):
        camera_from_mapping({key: value for key, value in table.items() if key != "focal"})
    with pytest.raises(DataError, match="key 'skew' is unknown"):
        camera_from_mapping({**table, "skew": 0})
    with pytest.raises(DataError, match="key 'orientation': expected a quaternion"):
        camera_from_mapping({**table, "orientation": [0, 0, 0, 0]})
    for wrong in (["a", 1], [1, 2, 3], None):
        with pytest.raises(DataError, match="key 'center': expected"):
            camera_from_mapping({**table, "center": wrong})


@pytest.mark.data
@pytest.mark.slow
def test_the_cameras_of_humaneva_are_found_to_a_fiftieth_of_a_pixel(shared_data: Path) -> None:
    with np.load(shared_data / "humaneva15" / "humaneva15.npz", allow_pickle=False) as file:
        joints, image = file["joints"], file["joints_2d"]
        subjects = np.repeat(file["subject"], np.diff(file["offsets"]))
        size = tuple(file["image_size"].tolist())
    for subject in (1, 2, 3):
        for camera in range(3):
            own = subjects == subject
            points, pixels = joints[own].reshape(-1, 3), image[own, camera].reshape(-1, 2)
            found = calibrated(points, pixels, size=size)
            assert found.rms_px < 0.02
            assert found.worst_px < 0.3
            up = to_camera(np.array([[0, 0, 1.0], [0, 0, 0]]), found.camera)
            assert (up[0] - up[1])[1] > 0.9  # the cameras stand nearly level
