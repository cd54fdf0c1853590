from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.fft
import torch

from skelaug.image.codec import ImageCodec
from skelaug.image.perturb import cosine_transform, low_passed, resized, temporal_power, turned
from skelaug.skeleton.geometry import rotate_about_y
from skelaug.skeleton.layouts import get_layout


@pytest.fixture
def pixels() -> torch.Tensor:
    return torch.randn(4, 3, 5, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_a_turned_image_is_the_image_of_the_turned_clip(make_sequence):
    clip = make_sequence(frames=24)
    codec = ImageCodec(get_layout("kinect_20"), scale=3.0)
    image = codec.encode(clip)
    turned_image = turned(torch.from_numpy(image.pixels)[None], torch.tensor([0.7]))[0].numpy()
    start = codec.decode(image.pixels, codec.record(length=24, fps=30)).positions
    got = codec.decode(turned_image, codec.record(length=24, fps=30)).positions
    np.testing.assert_allclose(got, rotate_about_y(start, 0.7), atol=1e-5)


def test_turning_is_a_group_that_keeps_lengths_and_the_vertical(pixels):
    angles = torch.tensor([0.3, -1.0, 2.0, 0.0], dtype=torch.float64)
    once = turned(pixels, angles)
    torch.testing.assert_close(turned(once, -angles), pixels)
    torch.testing.assert_close(turned(once, angles), turned(pixels, 2 * angles))
    torch.testing.assert_close(once.norm(dim=1), pixels.norm(dim=1))
    torch.testing.assert_close(once[:, 1], pixels[:, 1])
    torch.testing.assert_close(once[3], pixels[3])


def test_resizing_multiplies_each_image_by_its_own_factor(pixels):
    factors = torch.tensor([1.0, 2.0, 0.5, 1.1], dtype=torch.float64)
    for image, factor, got in zip(pixels, factors, resized(pixels, factors), strict=True):
        torch.testing.assert_close(got, image * factor)


@pytest.mark.parametrize("frames", [1, 2, 7, 24])
def test_the_cosine_transform_is_orthonormal_and_scipys(frames):
    matrix = cosine_transform(frames).numpy().astype(float)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(frames), atol=1e-6)
    expected = scipy.fft.dct(np.eye(frames), norm="ortho", axis=0)
    np.testing.assert_allclose(matrix, expected, atol=1e-6)


def test_power_is_that_of_the_signal(pixels):
    power = temporal_power(pixels)
    assert power.shape == (8,)
    assert float(power.sum()) == pytest.approx(8 * float(pixels.square().mean()), rel=1e-5)
    steady = torch.ones(2, 3, 5, 8)
    np.testing.assert_allclose(temporal_power(steady).numpy(), [8, *[0] * 7], atol=1e-5)


def test_low_pass_is_the_posterior_mean_of_a_gaussian_process_at_its_own_mean():
    """Conditioning a joint Gaussian in float64: E[x0 | x_t = sqrt(a) x0] by solving with its
    covariance, for a process whose covariance is diagonal in the cosine basis."""
    frames, alpha_bar = 8, 0.3
    numbers = np.random.default_rng(0)
    power = numbers.uniform(0.05, 2.0, frames)
    basis = scipy.fft.dct(np.eye(frames), norm="ortho", axis=0)
    covariance = basis.T @ np.diag(power) @ basis
    x0 = numbers.normal(size=frames)
    joint = alpha_bar * covariance + (1 - alpha_bar) * np.eye(frames)
    expected = math.sqrt(alpha_bar) * covariance @ np.linalg.solve(joint, math.sqrt(alpha_bar) * x0)
    got = low_passed(
        torch.from_numpy(x0)[None, None, None],
        torch.from_numpy(power),
        torch.tensor([(1 - alpha_bar) / alpha_bar]),
    )
    np.testing.assert_allclose(got[0, 0, 0].numpy(), expected, atol=1e-6)


def test_without_noise_nothing_changes_and_with_much_everything_fades(pixels):
    power = temporal_power(pixels)
    same = low_passed(pixels, power, torch.zeros(4))
    torch.testing.assert_close(same, pixels, rtol=1e-5, atol=1e-5)
    gone = low_passed(pixels, power, torch.full((4,), 1e9))
    assert float(gone.abs().max()) < 1e-6
    still = torch.zeros(1, 3, 5, 8)
    assert torch.isfinite(low_passed(still, temporal_power(still), torch.ones(1))).all()
