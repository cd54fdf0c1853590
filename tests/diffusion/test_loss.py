"""Objectives against torch.distributions, numerical integration and independent derivations."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from skelaug.diffusion.loss import (
    LossSecondMoment,
    gaussian_kl,
    gaussian_nll,
    hybrid_loss,
    min_snr_weight,
    simple_loss,
    vb_loss,
)
from skelaug.diffusion.parameterization import KINDS, Kind, noised, prediction_from, target_from
from skelaug.diffusion.schedule import Schedule, cosine_schedule, respaced

SCHEDULE = respaced(cosine_schedule(), 250)
STEP = torch.tensor([0, 1, 2, 100, 200, 249])
ALPHA_BAR = SCHEDULE.alpha_bars[STEP]


@pytest.fixture
def batch() -> tuple[Tensor, Tensor, Tensor]:
    """x0, noise, and a network output of 2C channels."""
    g = torch.Generator().manual_seed(0)
    x0 = 0.5 * torch.randn(6, 3, 2, 4, generator=g, dtype=torch.float64)
    noise = torch.randn(6, 3, 2, 4, generator=g, dtype=torch.float64)
    return x0, noise, torch.randn(6, 6, 2, 4, generator=g, dtype=torch.float64)


def test_gaussian_kl_and_density_are_those_of_torch() -> None:
    g = torch.Generator().manual_seed(0)
    m1, v1, m2, v2 = torch.randn(4, 100, generator=g, dtype=torch.float64)
    one, two = Normal(m1, (v1 / 2).exp()), Normal(m2, (v2 / 2).exp())
    torch.testing.assert_close(gaussian_kl(m1, v1, m2, v2), kl_divergence(one, two))
    torch.testing.assert_close(gaussian_nll(m2, m1, v1), -one.log_prob(m2))
    assert torch.equal(gaussian_kl(m1, v1, m1, v1), torch.zeros(100, dtype=torch.float64))


def test_simple_loss_averages_over_the_elements_of_each_sample() -> None:
    target = torch.zeros(2, 3, 4, 5)
    prediction = target.clone()
    prediction[1, 0, 0, :2] = 3
    assert simple_loss(prediction, target).tolist() == pytest.approx([0, 2 * 9 / 60])


def model_and_posterior(x0: float, x: float, x0_hat: float, weight: float, t: int) -> list[Normal]:
    """q(x_{t-1} | x_t, x0) and p(x_{t-1} | x_t) of one number, by precision-weighted averaging."""
    beta = float(SCHEDULE.betas[t])
    before = float(SCHEDULE.alpha_bars[t - 1])

    def bayes(clean: float) -> tuple[float, float]:
        # prior N(sqrt(before) clean, 1 - before), likelihood x ~ N(sqrt(1 - beta) x_{t-1}, beta)
        precision = 1 / (1 - before) + (1 - beta) / beta
        mean = math.sqrt(before) * clean / (1 - before) + math.sqrt(1 - beta) * x / beta
        return mean / precision, 1 / precision

    mean, variance = bayes(x0)
    spread = math.exp(weight * math.log(beta) + (1 - weight) * math.log(variance))
    return [
        Normal(torch.tensor(m, dtype=torch.float64), math.sqrt(v))
        for m, v in ((mean, variance), (bayes(x0_hat)[0], spread))
    ]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("t", [1, 2, 100, 249])
def test_bound_is_the_integral_of_q_log_q_over_p_in_bits(kind: Kind, t: int) -> None:
    x0, noise, x0_hat, weight = 0.3, -1.1, 0.25, 0.35
    one = torch.ones(1, 1, dtype=torch.float64)
    level = SCHEDULE.alpha_bars[[t]]
    x = noised(x0 * one, noise * one, level)
    loss = vb_loss(
        prediction_from(x0_hat * one, x, level, kind=kind),
        weight * one,
        x0 * one,
        noise * one,
        step=torch.tensor([t]),
        schedule=SCHEDULE,
        kind=kind,
    )
    q, p = model_and_posterior(x0, float(x), x0_hat, weight, t)
    grid = q.mean + q.stddev * torch.linspace(-12, 12, 4001, dtype=torch.float64)
    integrand = q.log_prob(grid).exp() * (q.log_prob(grid) - p.log_prob(grid))
    bits = torch.trapezoid(integrand, grid) / math.log(2)
    assert loss.item() == pytest.approx(bits.item(), rel=1e-6)


def test_bound_of_step_zero_is_the_density_of_the_clean_sample_in_bits() -> None:
    x0, x0_hat, weight = 0.3, 0.31, 0.6
    one = torch.ones(1, 1, dtype=torch.float64)
    loss = vb_loss(
        x0_hat * one, weight * one, x0 * one, one,
        step=torch.tensor([0]), schedule=SCHEDULE, kind="x0",
    )  # fmt: skip
    lower, upper = SCHEDULE.posterior.variance[1], SCHEDULE.betas[0]  # step 1 lends its variance
    spread = (upper**weight * lower ** (1 - weight)).sqrt()
    exact = -Normal(x0_hat * one, spread).log_prob(x0 * one) / math.log(2)
    assert loss.item() == pytest.approx(exact.item(), rel=1e-9)


def test_bound_of_a_perfect_prediction_with_the_posterior_variance_is_zero(
    batch: tuple[Tensor, Tensor, Tensor],
) -> None:
    x0, noise, _ = batch
    loss = vb_loss(x0, torch.zeros_like(x0), x0, noise, step=STEP, schedule=SCHEDULE, kind="x0")
    assert loss[1:].abs().max() < 1e-12
    assert loss[0] != 0


@pytest.mark.parametrize("kind", KINDS)
def test_the_bound_teaches_the_variance_and_never_the_mean(
    kind: Kind, batch: tuple[Tensor, Tensor, Tensor]
) -> None:
    x0, noise, output = batch
    output.requires_grad_()
    total = hybrid_loss(
        output, x0, noise, step=STEP, schedule=SCHEDULE, kind=kind, vb_weight=7.0
    ).sum()
    (gradient,) = torch.autograd.grad(total, output)
    plain = simple_loss(output[:, :3], target_from(x0, noise, ALPHA_BAR, kind=kind)).sum()
    (alone,) = torch.autograd.grad(plain, output)
    assert torch.equal(gradient[:, :3], alone[:, :3])
    assert (gradient[:, 3:] != 0).all()


def test_hybrid_loss_adds_the_bound_of_all_steps_weighted(
    batch: tuple[Tensor, Tensor, Tensor],
) -> None:
    x0, noise, output = batch
    total = hybrid_loss(output, x0, noise, step=STEP, schedule=SCHEDULE, kind="eps")
    bound = vb_loss(
        output[:, :3], (output[:, 3:] + 1) / 2, x0, noise,
        step=STEP, schedule=SCHEDULE, kind="eps",
    )  # fmt: skip
    expected = simple_loss(output[:, :3], noise) + 250 / 1000 * bound
    torch.testing.assert_close(total, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_variance_half_the_hybrid_loss_is_the_simple_one(
    kind: Kind, batch: tuple[Tensor, Tensor, Tensor]
) -> None:
    x0, noise, output = batch
    loss = hybrid_loss(output[:, :3], x0, noise, step=STEP, schedule=SCHEDULE, kind=kind)
    target = target_from(x0, noise, ALPHA_BAR, kind=kind)
    assert torch.equal(loss, ((output[:, :3] - target) ** 2).mean((1, 2, 3)))


@pytest.mark.parametrize("kind", KINDS)
def test_the_hybrid_loss_is_finite_in_single_and_half_precision_at_every_step(kind: Kind) -> None:
    schedule = cosine_schedule()
    g = torch.Generator().manual_seed(0)
    x0, noise = torch.randn(2, 1000, 3, 2, 2, generator=g)
    output = torch.randn(1000, 6, 2, 2, generator=g).bfloat16()
    loss = hybrid_loss(output, x0, noise, step=torch.arange(1000), schedule=schedule, kind=kind)
    assert loss.dtype == torch.float32
    assert torch.isfinite(loss).all()


@pytest.mark.parametrize("kind", KINDS)
def test_min_snr_counts_the_error_of_x0_equally_for_every_kind(
    kind: Kind, batch: tuple[Tensor, Tensor, Tensor]
) -> None:
    x0, noise, output = batch
    alpha_bar = SCHEDULE.alpha_bars[[3, 50, 100, 150, 200, 240]]
    guess = x0 + output[:, :3]
    x = noised(x0, noise, alpha_bar)
    prediction = prediction_from(guess, x, alpha_bar, kind=kind)
    loss = simple_loss(prediction, target_from(x0, noise, alpha_bar, kind=kind))
    snr = alpha_bar / (1 - alpha_bar)
    weighted = min_snr_weight(alpha_bar, kind=kind, gamma=5.0) * loss
    expected = torch.minimum(snr, torch.tensor(5.0)) * simple_loss(guess, x0)
    torch.testing.assert_close(weighted, expected, rtol=1e-8, atol=0)


def filled(losses: list[list[float]]) -> LossSecondMoment:
    sampler = LossSecondMoment(len(losses), length=len(losses[0]), uniform=0.1)
    for step, values in enumerate(losses):
        sampler.update(torch.full((len(values),), step), torch.tensor(values))
    return sampler


def test_steps_are_drawn_uniformly_until_each_has_a_history() -> None:
    sampler = LossSecondMoment(4, length=2)
    sampler.update(torch.tensor([0, 0, 1, 1, 2, 2, 3]), torch.arange(7.0))
    step, weight = sampler.sample(50, torch.Generator().manual_seed(0))
    assert torch.equal(weight, torch.ones(50, dtype=torch.float64))
    assert set(step.tolist()) == {0, 1, 2, 3}


def test_then_in_proportion_to_the_root_of_the_second_moment_of_their_last_losses() -> None:
    sampler = filled([[3.0, 4.0], [0.0, 1.0]])
    sampler.update(torch.tensor([1, 1, 1]), torch.tensor([9.0, 2.0, 2.0]))
    roots = [math.sqrt((9 + 16) / 2), 2.0]
    expected = [0.9 * root / sum(roots) + 0.1 / 2 for root in roots]
    assert sampler.probabilities().tolist() == pytest.approx(expected)


def test_importance_weights_keep_the_average_over_steps() -> None:
    sampler = filled([[1.0, 2.0], [30.0, 10.0], [0.1, 0.1]])
    step, weight = sampler.sample(1000, torch.Generator().manual_seed(0))
    p = sampler.probabilities()
    torch.testing.assert_close(weight * p[step], torch.full((1000,), 1 / 3, dtype=torch.float64))
    counts = torch.bincount(step, minlength=3)
    assert (counts - 1000 * p).abs().max() < 5 * math.sqrt(1000 / 4)


def test_a_schedule_of_one_step_still_has_variance_bounds() -> None:
    one: Schedule = respaced(cosine_schedule(), 1)
    lower, upper = one.log_variance_bounds
    assert torch.equal(lower, upper)
