"""Frequencies: an orthonormal transform, a gain above M only, and a loss that weights noise."""

from __future__ import annotations

import math

import pytest
import scipy.fft
import torch
from torch import Tensor

from skelaug.diffusion.parameterization import (
    KINDS,
    Kind,
    noised,
    prediction_from,
    x0_from,
)
from skelaug.diffusion.schedule import cosine_schedule
from skelaug.diffusion.spectral import (
    amplified,
    cosine_basis,
    dct,
    idct,
    low_band,
    spectral_loss,
    spectral_weights,
)
from skelaug.seeds import generator

N, C, L, V = 4, 3, 16, 5


def _draw(address: int, *shape: int) -> Tensor:
    return torch.randn(*(shape or (N, C, L, V)), generator=generator(7, address)).double()


def _beta(k: int, length: int) -> float:
    return math.sqrt((1 if k == 0 else 2) / length)


def _by_hand(x: Tensor, gains: Tensor) -> Tensor:
    """Eq. 1 to 3 along the axis L of N C L V, as printed, with sums; gains N L are 1 + alpha G."""
    length = x.shape[2]
    out = torch.zeros_like(x)
    for k in range(length):
        angles = [math.pi * (2 * place + 1) * k / (2 * length) for place in range(length)]
        wave = [_beta(k, length) * math.cos(angle) for angle in angles]
        coefficient = torch.zeros_like(x[:, :, 0])
        for place in range(length):
            coefficient += x[:, :, place] * wave[place]
        for place in range(length):
            out[:, :, place] += gains[:, k, None, None] * coefficient * wave[place]
    return out


@pytest.mark.parametrize("length", [1, 2, 7, 24, 50])
def test_the_basis_is_orthonormal(length: int) -> None:
    basis, identity = cosine_basis(length), torch.eye(length, dtype=torch.float64)
    torch.testing.assert_close(basis @ basis.mT, identity, rtol=0, atol=1e-13)
    torch.testing.assert_close(basis.mT @ basis, identity, rtol=0, atol=1e-13)


@pytest.mark.parametrize("dim", [1, 2, 3, -1, -2])
def test_the_transform_is_scipys_along_any_axis_and_its_inverse_inverts_it(dim: int) -> None:
    x = _draw(0)
    wanted = torch.from_numpy(scipy.fft.dct(x.numpy(), type=2, axis=dim, norm="ortho"))
    torch.testing.assert_close(dct(x, dim), wanted, rtol=0, atol=1e-13)
    torch.testing.assert_close(idct(dct(x, dim), dim), x, rtol=0, atol=1e-13)


def test_autocast_does_not_round_the_transform() -> None:
    x = _draw(0).float()
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(idct(dct(x, 2), 2), x, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("length", "low"), [(1, 1), (3, 1), (4, 1), (7, 1), (8, 2), (768, 192)])
def test_a_quarter_of_the_frequencies_is_low_and_the_mean_always_is(length: int, low: int) -> None:
    assert low_band(length) == low


def test_the_gain_is_the_printed_one() -> None:
    x, gain = _draw(1), torch.tensor([0.0, 0.3, 0.7, 1.0], dtype=torch.float64)
    gains = torch.ones(N, L, dtype=torch.float64)
    gains[:, 5:] += 0.8 * gain[:, None]
    found = amplified(x, gain, alpha=0.8, low=5, dim=2)
    torch.testing.assert_close(found, _by_hand(x, gains), rtol=0, atol=1e-12)


def test_the_gain_is_one_below_m() -> None:
    x = _draw(2)
    before = dct(x, 2)
    after = dct(amplified(x, torch.ones(N).double(), alpha=1.0, low=5, dim=2), 2)
    torch.testing.assert_close(after[:, :, :5], before[:, :, :5], rtol=0, atol=1e-13)
    torch.testing.assert_close(after[:, :, 5:], 2 * before[:, :, 5:], rtol=0, atol=1e-13)


def test_a_still_motion_or_one_without_high_frequencies_is_left_as_it_is() -> None:
    x = _draw(3).float()
    assert torch.equal(amplified(x, torch.zeros(N), alpha=1.0, low=4, dim=2), x)
    assert torch.equal(amplified(x, torch.ones(N), alpha=1.0, low=L, dim=2), x)


def test_a_kept_basis_changes_nothing_but_the_time() -> None:
    x, gain = _draw(4), torch.rand(N, generator=generator(7, 5)).double()
    kept = amplified(x, gain, alpha=1.0, low=4, dim=2, basis=cosine_basis(L))
    assert torch.equal(kept, amplified(x, gain, alpha=1.0, low=4, dim=2))


def test_features_keep_their_type_and_a_gain_learns() -> None:
    x, gain = _draw(4).bfloat16(), torch.full((N,), 0.5, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        found = amplified(x, gain, alpha=1.0, low=4, dim=2)
    assert found.dtype == torch.bfloat16
    found.float().square().sum().backward()
    assert gain.grad is not None
    assert bool((gain.grad > 0).all())


def test_details_count_less_the_louder_the_noise() -> None:
    step = torch.tensor([0, 25, 49])
    weights = spectral_weights(8, step, steps=50, gamma=0.5)
    assert weights.shape == (3, 8)
    assert bool((weights[:, :2] == 1).all())
    wanted = torch.tensor([0.5, 0.25, 0.01], dtype=torch.float64)[:, None].expand(3, 6)
    torch.testing.assert_close(weights[:, 2:], wanted)


@pytest.mark.parametrize("kind", KINDS)
def test_without_weights_the_sum_is_the_error_of_the_noise_in_units_of_the_signal(
    kind: Kind,
) -> None:
    """``(1 - abar) / abar |eps - eps_hat|^2``, whatever the network predicts."""
    z0, eps, error = _draw(8), _draw(9), _draw(10)
    alpha_bar = cosine_schedule(50).alpha_bars[torch.tensor([0, 10, 25, 45])]
    z = noised(z0, eps, alpha_bar)
    ratio = ((1 - alpha_bar) / alpha_bar).view(N, 1, 1, 1)
    exact = z0 - ratio.sqrt() * error  # eq. 5 at eps + error
    z0_hat = x0_from(prediction_from(exact, z, alpha_bar, kind=kind), z, alpha_bar, kind=kind)
    weights = torch.ones(N, L, dtype=torch.float64)
    found = spectral_loss(z0, z0_hat, weights, dim=2, reduction="sum")
    wanted = (ratio * error**2).flatten(1).sum(dim=1)
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=0)


def test_the_loss_is_the_printed_sum() -> None:
    z0, z0_hat, step = _draw(11), _draw(12), torch.tensor([0, 3, 30, 49])
    weights = spectral_weights(L, step, steps=50)
    spectra = [scipy.fft.dct(z.numpy(), axis=2, norm="ortho") for z in (z0, z0_hat)]
    for n in range(N):
        wanted = 0.0
        for k in range(L):
            weight = 1.0 if k < L // 4 else 1 - int(step[n]) / 50
            wanted += weight * float(((spectra[0] - spectra[1])[n, :, k] ** 2).sum())
        found = spectral_loss(z0, z0_hat, weights, dim=2, reduction="sum")[n]
        assert float(found) == pytest.approx(wanted)


def test_the_mean_is_the_sum_over_the_number_of_elements_and_the_axis_may_be_any() -> None:
    z0, z0_hat, step = _draw(13), _draw(14), torch.tensor([0, 3, 30, 49])
    weights = spectral_weights(L, step, steps=50)
    total = spectral_loss(z0, z0_hat, weights, dim=2, reduction="sum")
    torch.testing.assert_close(spectral_loss(z0, z0_hat, weights, dim=2), total / (C * L * V))
    moved = spectral_loss(z0.transpose(1, 2), z0_hat.transpose(1, 2), weights, dim=1)
    torch.testing.assert_close(moved, total / (C * L * V))
    flat = spectral_loss(z0[:, 0, :, 0], z0_hat[:, 0, :, 0], weights, dim=-1)
    assert flat.shape == (N,)


def test_an_unknown_reduction_is_named() -> None:
    weights = torch.ones(N, L, dtype=torch.float64)
    with pytest.raises(ValueError, match="'median'"):
        spectral_loss(_draw(0), _draw(1), weights, dim=2, reduction="median")  # type: ignore[arg-type]
