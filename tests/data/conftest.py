"""A made-up studio: bodies that move, the cameras around them, and what the cameras see."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from skelaug.skeleton.camera import Camera, project


@dataclass(frozen=True)
class Studio:
    """Cameras 4 m from the middle of a world whose z points up."""

    azimuths: tuple[float, ...] = (10.0, 130.0, 250.0)
    sizes: tuple[tuple[int, int], ...] = ((640, 480),) * 3

    @property
    def cameras(self) -> tuple[Camera, ...]:
        return tuple(_camera(*facts) for facts in zip(self.azimuths, self.sizes, strict=True))

    def body(self, frames: int, joints: int = 15, seed: int = 0) -> np.ndarray:
        """T V 3 in metres: a random pose that turns and walks."""
        pose = np.random.default_rng(seed).uniform([-0.4, -0.3, 0.1], [0.4, 0.3, 1.7], (joints, 3))
        time = np.arange(frames)
        turned = Rotation.from_euler("z", 0.1 * time[:, None]).as_matrix() @ pose.T
        path = np.stack([0.02 * time - 0.4, 0.3 * np.sin(0.2 * time), 0 * time], axis=-1)
        return np.asarray(turned.transpose(0, 2, 1) + path[:, None])

    def seen(self, positions: np.ndarray) -> np.ndarray:
        """K T V 2 in pixels."""
        return np.stack([project(positions, camera) for camera in self.cameras])

    def npz(self, **arrays: Any) -> bytes:
        """An .npz; a dictionary in it becomes an array of one object, as numpy does."""
        file = io.BytesIO()
        np.savez(file, **arrays)
        return file.getvalue()


def _camera(azimuth: float, size: tuple[int, int]) -> Camera:
    turn = Rotation.from_euler("XZ", [95, azimuth], degrees=True).as_matrix()
    return Camera(
        size=size,
        focal=(1.1 * size[0], 1.1 * size[0]),
        center=(size[0] / 2 - 9, size[1] / 2 + 5),
        rotation=turn,
        translation=np.array([0, 0, 4.0]) - turn @ [0, 0, 0.9],
        radial=(-0.25, 0.1, 0.0),
        tangential=(-0.001, 0.002),
    )


@pytest.fixture
def studio() -> Studio:
    """Three cameras of 640 x 480 pixels."""
    return Studio()
