"""Cameras: where a point of the world falls in an image, and the camera that explains such pairs.

A camera looks along its own z; its image has x to the right and y down, as in every image file. The
coordinates that clips of a camera have are turned by half a turn about z: x to the sensor's left, y
up, z away from it. Both frames are right-handed.

Sources: Hartley and Zisserman 2004, algorithm 7.1 (the linear transform, with its normalisation);
Brown 1966 for the distortion, in the terms of Bouguet's toolbox.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import rq
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from skelaug.errors import DataError
from skelaug.shapes import check_shape

__all__ = [
    "Calibration",
    "Camera",
    "calibrated",
    "camera_from_mapping",
    "check_normalised",
    "normalised_keypoints",
    "pixel_keypoints",
    "project",
    "to_camera",
]

_TURN = np.array([-1.0, -1.0, 1.0])  # between a camera's own axes and those of clips
_FEWEST = 6  # pairs that determine the eleven numbers of a linear camera
_MOST = 3000  # pairs that the refinement looks at
_FLAT = 1e-6  # singular value, relative to the largest, below which points lie in a plane
_OUTLIER_PX = 2.0
_FARTHEST = 2.0  # of a normalised keypoint; the image itself ends at 1


@dataclass(frozen=True, eq=False)
class Camera:
    """A pinhole with distortion; a world point X is at rotation X + translation in its own frame.

    Attributes:
        size: Width and height of the image in pixels.
        focal: Focal lengths along x and y in pixels.
        center: Principal point in pixels.
        rotation: 3 x 3, from the world's axes to the camera's own.
        translation: 3, in metres.
        radial: k1, k2, k3: a point at distance r from the axis moves by k1 r^2 + k2 r^4 + k3 r^6
            of it.
        tangential: p1, p2: by 2 p1 x y + p2 (r^2 + 2 x^2) along x, and likewise along y.
    """

    size: tuple[int, int]
    focal: tuple[float, float]
    center: tuple[float, float]
    rotation: NDArray[np.float64]
    translation: NDArray[np.float64]
    radial: tuple[float, float, float] = (0.0, 0.0, 0.0)
    tangential: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        check_shape(self.rotation, "I J", what="rotation", I=3, J=3)
        check_shape(self.translation, "I", what="translation", I=3)

    @property
    def own(self) -> Camera:
        """The same camera for points that `to_camera` gave: those of its clips."""
        return replace(self, rotation=np.diag(_TURN), translation=np.zeros(3))


@dataclass(frozen=True, eq=False)
class Calibration:
    """A camera that was found from pairs of points, and how well it explains them.

    Attributes:
        camera: The camera.
        rms_px: Root mean square distance of its projections from the given points, in pixels.
        worst_px: The largest of these distances; infinite where a point is behind the camera.
    """

    camera: Camera
    rms_px: float
    worst_px: float


def to_camera(points: NDArray[Any], camera: Camera) -> NDArray[np.float64]:
    """World points ... 3 in the frame of a camera's clips: x to its left, y up, z away from it."""
    return np.asarray(_in_own_frame(points, camera) * _TURN, dtype=np.float64)


def project(points: NDArray[Any], camera: Camera) -> NDArray[np.float64]:
    """Where world points ... 3 fall in the image, in pixels; NaN for points behind the camera."""
    inside = _in_own_frame(points, camera)
    depth = np.where(inside[..., 2:] > 0, inside[..., 2:], np.nan)
    return _distorted(inside[..., :2] / depth, camera) * camera.focal + camera.center


def _in_own_frame(points: NDArray[Any], camera: Camera) -> NDArray[np.float64]:
    moved = np.asarray(points, dtype=np.float64) @ camera.rotation.T + camera.translation
    return np.asarray(moved, dtype=np.float64)


def _distorted(rays: NDArray[np.float64], camera: Camera) -> NDArray[np.float64]:
    """Rays ... 2 at depth 1 as the lens bends them."""
    k1, k2, k3 = camera.radial
    p1, p2 = camera.tangential
    x, y = rays[..., 0], rays[..., 1]
    r2 = x * x + y * y
    stretch = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
    return np.stack(
        [
            x * stretch + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
            y * stretch + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
        ],
        axis=-1,
    )


def normalised_keypoints(pixels: NDArray[Any], size: tuple[int, int]) -> NDArray[np.float64]:
    """Pixels ... 2 as x / w * 2 - 1, y / w * 2 - h / w: the width is 2, y points down.

    Pavllo et al. 2019: the aspect ratio is kept, the image's middle is the origin.
    """
    width, height = size
    values = np.asarray(pixels, dtype=np.float64)
    return np.asarray(values * (2 / width) - np.array([1, height / width]), dtype=np.float64)


def pixel_keypoints(keypoints: NDArray[Any], size: tuple[int, int]) -> NDArray[np.float64]:
    """Normalised keypoints ... 2 as pixels: the inverse of `normalised_keypoints`."""
    width, height = size
    values = np.asarray(keypoints, dtype=np.float64)
    return np.asarray((values + np.array([1, height / width])) * (width / 2), dtype=np.float64)


def check_normalised(keypoints: NDArray[Any], *, where: str) -> None:
    """Refuse 2D poses in pixels; NaN (not detected) is allowed.

    Args:
        keypoints: Any shape.
        where: The file or clip, for the message.

    Raises:
        DataError: A coordinate is further than 2 from the image's middle, whose edge is at 1.
    """
    farthest = float(np.nanmax(np.abs(keypoints), initial=0.0))
    if farthest > _FARTHEST:
        raise DataError(
            f"{where}: expected 2D poses normalised by the image width (x / w * 2 - 1, "
            f"y / w * 2 - h / w), got a coordinate of {farthest:.4g}; divide pixels by the size"
        )


def camera_from_mapping(values: Mapping[str, Any]) -> Camera:
    """A camera of a camera table.

    Args:
        values: ``size``, ``focal``, ``center``, ``orientation`` (quaternion w x y z that turns the
            camera's own axes to the world's), ``position`` in the world in metres, and optionally
            ``radial`` and ``tangential``.

    Raises:
        DataError: A key is missing or unknown, or its value is no such list of numbers.
    """
    lengths = {"size": 2, "focal": 2, "center": 2, "orientation": 4, "position": 3}
    optional = {"radial": 3, "tangential": 2}
    known = {**lengths, **optional}
    wrong = sorted((lengths.keys() - values.keys()) | (values.keys() - known.keys()))
    if wrong:
        what = "unknown" if wrong[0] in values else "missing"
        raise DataError(f"camera: key {wrong[0]!r} is {what}; a camera has {', '.join(known)}")
    numbers: dict[str, list[float]] = {key: [0.0] * length for key, length in optional.items()}
    for key, value in values.items():
        try:
            numbers[key] = [float(number) for number in value]
        except (TypeError, ValueError) as error:
            raise DataError(f"camera: key {key!r}: expected numbers, got {value!r}") from error
        if len(numbers[key]) != known[key]:
            raise DataError(f"camera: key {key!r}: expected {known[key]} numbers, got {value!r}")
    w, x, y, z = numbers["orientation"]
    if not np.any(numbers["orientation"]):
        raise DataError("camera: key 'orientation': expected a quaternion w x y z, got zeros")
    rotation = Rotation.from_quat([x, y, z, w]).inv().as_matrix()
    return Camera(
        size=(round(numbers["size"][0]), round(numbers["size"][1])),
        focal=(numbers["focal"][0], numbers["focal"][1]),
        center=(numbers["center"][0], numbers["center"][1]),
        rotation=rotation,
        translation=-rotation @ np.array(numbers["position"]),
        radial=(numbers["radial"][0], numbers["radial"][1], numbers["radial"][2]),
        tangential=(numbers["tangential"][0], numbers["tangential"][1]),
    )


def calibrated(points: NDArray[Any], pixels: NDArray[Any], *, size: tuple[int, int]) -> Calibration:
    """The camera that sees given world points at given pixels.

    The direct linear transform gives a camera without distortion; least squares over all of its
    numbers, in which pairs more than 2 px off count less, refines it. Pairs that hold a number that
    is not finite are left out; the refinement looks at 3000 evenly spaced ones.

    Args:
        points: N 3 in metres.
        pixels: N 2.
        size: Width and height of the image.

    Raises:
        DataError: The pairs do not determine a camera: fewer than 6, or all in one plane.
    """
    n = len(points)
    check_shape(points, "N C", what="points", C=3)
    check_shape(pixels, "N C", what="pixels", N=n, C=2)
    known = np.isfinite(points).all(axis=1) & np.isfinite(pixels).all(axis=1)
    world, image = points[known].astype(np.float64), pixels[known].astype(np.float64)
    if len(world) < _FEWEST:
        raise DataError(f"calibration: expected at least {_FEWEST} pairs, got {len(world)}")
    chosen = np.unique(np.linspace(0, len(world) - 1, _MOST).astype(np.intp))
    start = _numbers(_linear_camera(world[chosen], image[chosen], size))

    def residuals(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
        # a point that a trial puts behind the camera must not stop the search
        off = project(world[chosen], _camera(numbers, size)) - image[chosen]
        return np.asarray(np.nan_to_num(off, nan=1e3), dtype=np.float64).ravel()

    found = least_squares(
        residuals, start, x_scale="jac", loss="soft_l1", f_scale=_OUTLIER_PX, max_nfev=100
    )
    camera = _camera(found.x, size)
    off = np.linalg.norm(project(world, camera) - image, axis=-1)
    off = np.nan_to_num(off, nan=np.inf)  # behind the camera: it explains nothing
    return Calibration(camera, float(np.sqrt(np.mean(off**2))), float(off.max()))


def _linear_camera(
    world: NDArray[np.float64], image: NDArray[np.float64], size: tuple[int, int]
) -> Camera:
    """The camera without distortion of algorithm 7.1 (its algebraic error), skew dropped."""
    to_unit, to_unit_image = _normalising(world), _normalising(image)
    x = _homogeneous(world) @ to_unit.T
    u = _homogeneous(image) @ to_unit_image.T
    zero = np.zeros_like(x)
    rows = np.concatenate(
        [np.hstack([x, zero, -u[:, :1] * x]), np.hstack([zero, x, -u[:, 1:2] * x])]
    )
    _, values, vectors = np.linalg.svd(rows, full_matrices=False)
    if values[-2] < _FLAT * values[0]:
        raise DataError("calibration: expected points in space, got points of one plane or line")
    matrix = np.linalg.inv(to_unit_image) @ vectors[-1].reshape(3, 4) @ to_unit
    if np.linalg.det(matrix[:, :3]) < 0:
        matrix = -matrix
    inner, rotation = rq(matrix[:, :3])
    signs = np.sign(np.diag(inner))
    inner, rotation = inner * signs, signs[:, None] * rotation
    translation = np.linalg.solve(inner, matrix[:, 3])
    inner = inner / inner[2, 2]
    return Camera(
        size=size,
        focal=(float(inner[0, 0]), float(inner[1, 1])),
        center=(float(inner[0, 2]), float(inner[1, 2])),
        rotation=rotation,
        translation=translation,
    )


def _normalising(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Moves the mean to the origin and makes the mean distance from it sqrt(dimensions)."""
    mean, dimensions = points.mean(axis=0), points.shape[1]
    distance = np.linalg.norm(points - mean, axis=1).mean()
    scale = np.sqrt(dimensions) / max(distance, np.finfo(np.float64).tiny)
    matrix = np.diag([scale] * dimensions + [1.0])
    matrix[:-1, -1] = -scale * mean
    return matrix


def _homogeneous(points: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.hstack([points, np.ones((len(points), 1))])


def _numbers(camera: Camera) -> NDArray[np.float64]:
    """The fifteen numbers of a camera, its rotation as a rotation vector."""
    turn = Rotation.from_matrix(camera.rotation).as_rotvec()
    inner = (*camera.focal, *camera.center, *camera.radial, *camera.tangential)
    return np.array([*inner, *turn, *camera.translation])


def _camera(numbers: NDArray[np.float64], size: tuple[int, int]) -> Camera:
    fx, fy, cx, cy, k1, k2, k3, p1, p2 = (float(number) for number in numbers[:9])
    return Camera(
        size=size,
        focal=(fx, fy),
        center=(cx, cy),
        rotation=Rotation.from_rotvec(numbers[9:12]).as_matrix(),
        translation=numbers[12:],
        radial=(k1, k2, k3),
        tangential=(p1, p2),
    )
