"""The sums over levels against torch.distributions, and how noise and classes are cut up."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal
from torch.distributions import kl_divergence as oracle

from skelaug.models.gaussian import Gaussian
from skelaug.models.latent_levels import (
    Inference,
    Level,
    at_least_float32,
    log_densities,
    one_hot,
    split_noise,
    standard_normal,
    training_terms,
)
from skelaug.seeds import generator


def _gaussian(stream: int, *shape: int) -> Gaussian:
    mean, logvar = torch.randn(2, 4, *shape, generator=generator(0, stream), dtype=torch.float64)
    return Gaussian(mean, logvar)


def _normal(g: Gaussian) -> Normal:
    return Normal(g.mean, (0.5 * g.logvar).exp())


def _inference(*, off: int = 3) -> Inference:
    """Three levels, of which those from number `off` are switched off."""
    shapes = ((1, 5), (2, 3), (6, 2))
    levels = [
        Level(
            _gaussian(10 + i, *shape),
            _gaussian(20 + i, *shape),
            _gaussian(10 + i, *shape).mean,
            is_stochastic=i < off,
        )
        for i, shape in enumerate(shapes)
    ]
    return Inference(tuple(levels), _gaussian(1, 6, 7))


def _truth() -> tuple[Tensor, Tensor]:
    x = _gaussian(2, 6, 7).mean
    return x, torch.rand(x.shape, generator=generator(0, 3)) < 0.6


def test_terms_are_likelihood_and_divergences_of_torch_distributions() -> None:
    x, known = _truth()
    made = _inference()
    terms = training_terms(made, x, known)
    likelihood = (_normal(made.output).log_prob(x) * known).sum(dim=(1, 2))
    divergences = [
        oracle(_normal(level.posterior), _normal(level.prior)).sum(dim=(1, 2))
        for level in made.levels
    ]
    expected = torch.stack([likelihood, *divergences], dim=1)
    torch.testing.assert_close(terms, expected, rtol=1e-12, atol=1e-12)


def test_unknown_entries_do_not_count_whatever_they_hold() -> None:
    x, known = _truth()
    made = _inference()
    made.output.mean.requires_grad_()
    made.output.logvar.requires_grad_()
    terms = training_terms(made, torch.where(known, x, torch.nan), known)
    assert torch.equal(terms, training_terms(made, x, known))
    terms[:, 0].sum().backward()
    for part in made.output:
        assert part.grad is not None
        assert torch.equal(part.grad != 0, known)  # no NaN, nothing from the unknown


def test_levels_that_are_switched_off_carry_no_divergence() -> None:
    x, known = _truth()
    whole = training_terms(_inference(), x, known)
    for off in range(4):
        terms = training_terms(_inference(off=off), x, known)
        assert torch.equal(terms[:, : 1 + off], whole[:, : 1 + off])
        assert not terms[:, 1 + off :].any()


def test_the_log_posterior_is_the_prior_density_of_the_posterior_means() -> None:
    levels = _inference().levels
    expected = torch.stack(
        [_normal(level.prior).log_prob(level.posterior.mean).sum(dim=(1, 2)) for level in levels]
    )
    x, _ = _truth()
    for off in range(4):
        found = log_densities(_inference(off=off), x).posterior
        torch.testing.assert_close(found, expected[:off].sum(0), rtol=1e-12, atol=1e-12)


def test_the_joint_density_is_that_of_the_window_and_of_the_posterior_means() -> None:
    x, _ = _truth()
    made = _inference()
    likelihood = _normal(made.output).log_prob(x).flatten(1).sum(1)
    found = log_densities(made, x)
    torch.testing.assert_close(found.joint, likelihood + found.posterior, rtol=1e-12, atol=1e-12)


def test_noise_is_cut_into_levels_without_loss_the_top_first() -> None:
    noise = torch.randn(4, 5 + 6 + 12, generator=generator(0, 4))
    parts = split_noise(noise, ((1, 5), (2, 3), (6, 2)))
    assert [tuple(part.shape) for part in parts] == [(4, 1, 5), (4, 2, 3), (4, 6, 2)]
    assert torch.equal(torch.cat([part.flatten(1) for part in parts], dim=1), noise)
    with pytest.raises(ValueError, match="expected N S with S = 23, got 4 x 22"):
        split_noise(noise[:, 1:], ((1, 5), (2, 3), (6, 2)))


def test_classes_are_one_hot_and_an_unknown_one_is_no_class() -> None:
    like = torch.zeros(3, 2, dtype=torch.float64)
    rows = one_hot(torch.tensor([1, -1, 0]), 2, like=like)
    assert torch.equal(rows, torch.tensor([[0, 1], [0, 0], [1, 0]], dtype=torch.float64))
    assert one_hot(None, 0, like=like).shape == (3, 0)
    assert one_hot(torch.tensor([7, 7, 7]), 0, like=like).shape == (3, 0)
    with pytest.raises(ValueError, match="expected one of 2 classes per sample, got None"):
        one_hot(None, 2, like=like)


def test_small_helpers_of_precision_and_of_the_standard_normal() -> None:
    assert at_least_float32(torch.ones(1, dtype=torch.bfloat16)).dtype == torch.float32
    assert at_least_float32(torch.ones(1, dtype=torch.float64)).dtype == torch.float64
    standard = standard_normal(_gaussian(1, 2, 3))
    assert not standard.mean.any()
    assert not standard.logvar.any()
    assert standard.mean.shape == (4, 2, 3)
