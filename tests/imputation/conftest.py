"""A small body, and a linear Gaussian prior of which everything is known in closed form."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from skelaug.imputation.tracks import Track
from skelaug.imputation.windows import WindowForm
from skelaug.skeleton.layout import SkeletonLayout

FRAMES = 12

STICK = SkeletonLayout(
    name="stick",
    joints=("pelvis", "left hip", "right hip", "chest", "head"),
    parents=(-1, 0, 0, 0, 3),
    mirror=((1, 2),),
    parts={"legs": (1, 2), "torso": (0, 3, 4)},
    hips=("left hip", "right hip"),
)
POSE = np.array([[0, 0, 0], [-0.2, -0.1, 0.02], [0.2, -0.1, 0.02], [0, 0.4, 0], [0.02, 0.7, -0.05]])


class LinearPrior:
    """x ~ N(0, I x Q^-1): nodes independent, Q the precision T T along time.

    Its only latent variable is x itself, so the density of the posterior means is that of x, and a
    window of which a part was seen is rebuilt by conditioning.
    """

    reads_mask = True

    def __init__(self, precision: np.ndarray, *, logvar: float = -20.0) -> None:
        self.precision = torch.from_numpy(precision)
        self.logvar = logvar
        self.training = False
        self.noise_shape = (15 * FRAMES,)
        self.sizes: list[int] = []  # of the batches that it was given

    def log_densities(self, x, labels=None):
        self.sizes.append(len(x))
        density = -0.5 * torch.einsum("nvt,ts,nvs->n", x, self.precision.to(x), x)
        return SimpleNamespace(joint=density, posterior=density)

    def reconstruct(self, x, *, seen=None, labels=None, noise=None):
        self.sizes.append(len(x))
        rebuilt = x.clone()
        for n, v in np.ndindex(*x.shape[:2]):
            lost = torch.zeros(x.shape[2], dtype=torch.bool) if seen is None else ~seen[n, v]
            if lost.any():
                q = self.precision.to(x)
                inverse = torch.linalg.inv(q[lost][:, lost])
                rebuilt[n, v, lost] = -inverse @ q[lost][:, ~lost] @ x[n, v, ~lost]
                if noise is not None:
                    own = noise.view(x.shape)[n, v, lost]
                    rebuilt[n, v, lost] += torch.linalg.cholesky(inverse) @ own
        return SimpleNamespace(mean=rebuilt, logvar=torch.full_like(rebuilt, self.logvar))


def slow_precision(frames: int = FRAMES, ridge: float = 0.1) -> np.ndarray:
    """Motion without much speed, loosely held to the mean."""
    step = np.diff(np.eye(frames), axis=0)
    return step.T @ step + ridge * np.eye(frames)


def moving(frames: int, *, seed: int = 0, dtype: type = np.float64) -> np.ndarray:
    """A body that walks, turns a little and swings, T V 3."""
    numbers = np.random.default_rng(seed)
    time = np.arange(frames)[:, None] / 10
    swing = 0.1 * np.sin(
        time[..., None] * numbers.uniform(0.5, 1.5, (5, 3)) + 6 * numbers.random(3)
    )
    yaw = 0.7 + 0.05 * time
    x, y, z = np.moveaxis(POSE + swing, -1, 0)
    turned = np.stack(
        [np.cos(yaw) * x + np.sin(yaw) * z, y, np.cos(yaw) * z - np.sin(yaw) * x], axis=-1
    )
    walk = np.stack([0.1 * time, 0.9 + 0 * time, 2 - 0.05 * time], axis=-1)
    return (turned + walk).astype(dtype)


def track(
    frames: int,
    *gaps: tuple[object, object],
    seed: int = 0,
    fps: float = 30.0,
    dtype: type = np.float64,
) -> Track:
    """A moving body with gaps (frames, joints), each an index or a slice; NaN in them."""
    positions = moving(frames, seed=seed, dtype=dtype)
    observed = np.ones(positions.shape[:2], dtype=np.bool_)
    for where in gaps:
        observed[where] = False
    positions[~observed] = np.nan
    return Track(positions, observed, fps)


@pytest.fixture(scope="session")
def form() -> WindowForm:
    offsets = POSE.copy()
    std = np.array([0.2, 0.1, 0.2] + [0.05, 0.1, 0.15, 0.08] * 3)
    return WindowForm(
        layout=STICK, frames=FRAMES, fps=30.0, reference=POSE, mean=offsets.ravel(), std=std
    )


@pytest.fixture
def linear_prior():
    return LinearPrior(slow_precision())


@pytest.fixture(scope="session")
def make_prior():
    return LinearPrior


@pytest.fixture(scope="session")
def make_track():
    return track


@pytest.fixture(scope="session")
def make_motion():
    return moving
