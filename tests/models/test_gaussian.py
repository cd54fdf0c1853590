"""Divergence, density and draws of Gaussians against torch's own and against sampling."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Normal
from torch.distributions import kl_divergence as oracle

from skelaug.models.gaussian import Gaussian, kl_divergence, log_density
from skelaug.seeds import generator


def _gaussian(stream: int) -> Gaussian:
    mean, logvar = torch.randn(2, 7, 5, generator=generator(0, stream), dtype=torch.float64)
    return Gaussian(mean, logvar)


def _normal(g: Gaussian) -> Normal:
    return Normal(g.mean, (0.5 * g.logvar).exp())


def test_divergence_is_that_of_torch_distributions() -> None:
    q, p = _gaussian(1), _gaussian(2)
    torch.testing.assert_close(
        kl_divergence(q, p), oracle(_normal(q), _normal(p)), rtol=1e-12, atol=1e-14
    )
    assert not torch.allclose(kl_divergence(q, p), kl_divergence(p, q))


def test_without_a_second_gaussian_it_is_the_divergence_from_the_standard_normal() -> None:
    q = _gaussian(1)
    standard = Gaussian(torch.zeros_like(q.mean), torch.zeros_like(q.mean))
    torch.testing.assert_close(kl_divergence(q), kl_divergence(q, standard), rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(
        kl_divergence(q), oracle(_normal(q), Normal(0.0, 1.0)), rtol=1e-12, atol=1e-14
    )


def test_it_is_zero_for_equal_gaussians_and_finite_for_tiny_variances() -> None:
    q = _gaussian(1)
    assert float(kl_divergence(q, q).abs().max()) < 1e-15
    tiny = Gaussian(torch.zeros(1), torch.full((1,), -150.0))  # the variance underflows to zero
    assert float(kl_divergence(tiny, tiny)) == 0.0


def test_density_is_that_of_torch_distributions() -> None:
    x, g = _gaussian(3).mean, _gaussian(1)
    torch.testing.assert_close(log_density(x, g), _normal(g).log_prob(x), rtol=1e-12, atol=1e-14)


def test_density_at_the_mean_stays_finite_for_tiny_variances() -> None:
    tiny = Gaussian(torch.zeros(1), torch.full((1,), -150.0))  # the variance underflows to zero
    assert float(log_density(torch.zeros(1), tiny)) == pytest.approx(
        75 - 0.5 * math.log(2 * math.pi)
    )


def test_draws_have_the_mean_and_the_variance() -> None:
    g = Gaussian(torch.tensor(1.5, dtype=torch.float64), torch.tensor(-1.0, dtype=torch.float64))
    n = 100_000
    drawn = g.at(torch.randn(n, generator=generator(0, 3), dtype=torch.float64))
    variance = float(g.logvar.exp())
    assert float(drawn.mean()) == pytest.approx(1.5, abs=5 * (variance / n) ** 0.5)
    # the variance of a sample variance is 2 s^4 / n
    assert float(drawn.var()) == pytest.approx(variance, abs=5 * variance * (2 / n) ** 0.5)
