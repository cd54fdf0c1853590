"""Errors of a known linear Gaussian model: what was fitted to them must come out again."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

JOINTS, ROOT = 4, 1


class Known(NamedTuple):
    """e = mean + gain (b - centre) + factor z, z an AR(1) of that persistence; b = [y, x]."""

    mean: np.ndarray
    gain: np.ndarray
    centre: np.ndarray
    factor: np.ndarray
    persistence: float
    errors: Tensor
    poses: Tensor
    keypoints: Tensor


def as_joints(rows: np.ndarray) -> Tensor:
    """Rows N T 3(V - 1) as joints N T V 3 with the root at the origin."""
    joints = rows.reshape(*rows.shape[:2], JOINTS - 1, 3)
    return torch.from_numpy(np.insert(joints, ROOT, 0.0, axis=2))


@pytest.fixture(scope="package")
def known() -> Known:
    n, t, a, rho = 400, 50, 3 * (JOINTS - 1), 0.6
    numbers = np.random.default_rng(7)
    b = a + 2 * JOINTS
    mean, centre = numbers.normal(size=a) * 0.02, numbers.normal(size=b)
    gain, factor = numbers.normal(size=(a, b)) * 0.1, np.tril(numbers.normal(size=(a, a))) * 0.03
    condition = centre + numbers.normal(size=(n, t, b)) @ numbers.normal(size=(b, b)) * 0.3
    z = numbers.normal(size=(n, t, a))
    for frame in range(1, t):
        z[:, frame] = rho * z[:, frame - 1] + np.sqrt(1 - rho**2) * z[:, frame]
    errors = mean + (condition - centre) @ gain.T + z @ factor.T
    keypoints = torch.from_numpy(condition[..., : 2 * JOINTS].reshape(n, t, JOINTS, 2))
    poses = as_joints(condition[..., 2 * JOINTS :])
    return Known(mean, gain, centre, factor, rho, as_joints(errors), poses, keypoints)
