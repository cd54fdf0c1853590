"""What a noise model adds to poses of others."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from skelaug.errors import DataError
from skelaug.refinement.noise_model import NoiseModel
from skelaug.skeleton.geometry import rotate_about_y
from skelaug.skeleton.layouts import get_layout
from skelaug.workflows.drawn_errors import DrawnErrors, corrupted, load_errors, turned
from skelaug.workflows.noise_file import save_noise

KINECT = get_layout("kinect_20")
SIZE = 3 * (KINECT.num_joints - 1)


def noise_model(*, regression: float = 0.0) -> NoiseModel:
    """Errors of 1 cm along z, of the sensor, and a share of the pose."""
    mean, at = torch.zeros(2, SIZE, dtype=torch.float64).clone()
    depth = torch.tensor([1e-6, 1e-6, 1e-2]).repeat(SIZE // 3).double()
    slope = regression * torch.diag(depth > 1e-3).double()
    return NoiseModel(
        KINECT.num_joints, KINECT.root, False, mean, at.clone(), slope, torch.diag(depth)
    )


def errors(**options) -> DrawnErrors:
    model = noise_model(regression=options.pop("regression", 0.0))
    return DrawnErrors(model, Path("noise.safetensors"), **options)


def numbers(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def poses(make_sequence) -> torch.Tensor:
    clips = [make_sequence(label).positions[:, 0] for label in ("walk", "wave")]
    found = torch.from_numpy(np.stack(clips)).double()
    return found - found[:, :, [KINECT.root]]


def test_turning_is_that_of_the_geometry(poses) -> None:
    angles = torch.tensor([[0.3], [-2.0]]).double()
    for clip, angle, found in zip(poses, angles, turned(poses, angles), strict=True):
        np.testing.assert_allclose(found, rotate_about_y(clip.numpy(), float(angle)), atol=1e-12)


@pytest.mark.parametrize("regression", [0.0, 0.2])
def test_errors_turn_with_the_body_or_stay_with_the_sensor(poses, regression) -> None:
    facing = errors(hips=KINECT.hip_indices, regression=regression)
    angle = torch.full((2, 1), 1.1).double()
    here, there = (facing.of(x, numbers()) for x in (poses, turned(poses, angle)))
    torch.testing.assert_close(there, turned(here, angle))
    sensor = errors(regression=regression)
    here, there = (sensor.of(x, numbers()) for x in (poses, turned(poses, angle)))
    assert float(there[..., :2].abs().max()) < 1e-5
    assert torch.equal(here, there) == (regression == 0)


def test_the_logarithm_of_the_strength_is_uniform(poses) -> None:
    many = poses[:1, :1].expand(4000, -1, -1, -1)
    found = errors(strength=(0.5, 4.0)).of(many, numbers())[..., 2].square().mean((1, 2)).sqrt()
    plain = errors().of(many, numbers())[..., 2].square().mean((1, 2)).sqrt()
    strength = (found / plain).log()
    assert float(strength.min()) >= math.log(0.5) - 1e-9
    assert float(strength.max()) <= math.log(4) + 1e-9
    tenths = torch.histc(strength, 6, math.log(0.5), math.log(4)) / 4000
    assert float((tenths - 1 / 6).abs().max()) < 0.03


def test_a_clip_has_its_own_errors_and_keeps_its_root(make_sequence) -> None:
    clip = make_sequence(persons=2)
    one, same, other = (corrupted(clip, errors(), seed=0, address=a) for a in (1, 1, 2))
    np.testing.assert_array_equal(one.positions, same.positions)
    moved = one.positions - clip.positions
    assert np.abs(moved - (other.positions - clip.positions)).max() > 1e-3
    assert not moved[:, :, KINECT.root].any()
    assert np.abs(moved[:, 0] - moved[:, 1]).max() > 1e-3


def test_other_joints_and_bodies_without_hips_are_refused(tmp_path) -> None:
    path = tmp_path / "noise.safetensors"
    save_noise(path, noise_model(), KINECT, 30.0)
    assert load_errors(path, KINECT, turn=True).hips == KINECT.hip_indices
    with pytest.raises(DataError, match="of layout ntu_25 like the poses, got kinect_20"):
        load_errors(path, get_layout("ntu_25"))
    loose = get_layout("kinect_20").__class__(
        KINECT.name, KINECT.joints, KINECT.parents, source=KINECT.source
    )
    with pytest.raises(DataError, match="layout with hips"):
        load_errors(path, loose, turn=True)
