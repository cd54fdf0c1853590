"""Schedules against closed forms, posteriors against conditioning a joint Gaussian."""

from __future__ import annotations

import math

import pytest
import torch

from skelaug.diffusion.schedule import (
    SCHEDULES,
    cosine_schedule,
    like,
    linear_schedule,
    log_snr,
    posterior,
    respaced,
    scaled_linear_schedule,
    schedule_from_betas,
    spaced_steps,
)


def condition(now: float, after: float) -> tuple[float, float, float]:
    """c1, c2 and the variance of x_after given x_now, from the covariance of the two given x0."""
    # x_now = r x_after + ..., so given x0: cov(after, now) = r (1 - after), var(now) = 1 - now
    r = math.sqrt(now / after)
    gain = r * (1 - after) / (1 - now)
    return math.sqrt(after) - gain * math.sqrt(now), gain, (1 - after) - gain * r * (1 - after)


@pytest.mark.parametrize(("now", "after"), [(0.1, 0.3), (1e-6, 0.5), (0.7, 0.71), (0.4, 1.0)])
def test_posterior_equals_conditioning_of_the_joint_gaussian(now: float, after: float) -> None:
    q = posterior(torch.tensor(now).double(), torch.tensor(after).double())
    exact = condition(float(torch.tensor(now).double()), float(torch.tensor(after).double()))
    assert [float(part) for part in q] == pytest.approx(exact, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", SCHEDULES)
def test_posterior_tables_follow_from_the_betas_one_step_at_a_time(name: str) -> None:
    schedule = SCHEDULES[name](200)
    before = 1.0
    for t, beta in enumerate(schedule.betas.tolist()):
        now = before * (1 - beta)
        assert float(schedule.alpha_bars[t]) == pytest.approx(now, rel=1e-12)
        got = [float(part[t]) for part in schedule.posterior]
        assert got == pytest.approx(condition(now, before), rel=1e-8, abs=1e-12)
        before = now


def test_step_zero_leads_to_the_clean_sample() -> None:
    q = cosine_schedule().posterior
    assert (float(q.c1[0]), float(q.c2[0]), float(q.variance[0])) == (1, 0, 0)


def test_variance_bounds_are_beta_tilde_and_beta_with_step_one_lent_to_step_zero() -> None:
    schedule = cosine_schedule()
    lower, upper = schedule.log_variance_bounds
    assert torch.equal(upper, schedule.betas.log())
    assert torch.equal(lower[1:], schedule.posterior.variance[1:].log())
    assert lower[0] == lower[1]
    assert bool((lower[1:] < upper[1:]).all())


def test_cosine_schedule_is_the_squared_cosine_until_its_clipped_last_step() -> None:
    schedule = cosine_schedule()
    angle = (torch.arange(1000, dtype=torch.float64) / 1000 + 0.001 + 0.008) / 1.008 * math.pi / 2
    closed = angle.cos() ** 2 / math.cos(0.008 / 1.008 * math.pi / 2) ** 2
    torch.testing.assert_close(schedule.alpha_bars[:-1], closed[:-1], rtol=1e-9, atol=0)
    assert (schedule.betas == 0.999).nonzero().flatten().tolist() == [999]
    assert float(schedule.betas[0]) == pytest.approx(4.13e-5, rel=1e-3)
    assert float(schedule.betas[998]) == pytest.approx(0.75, rel=1e-3)
    assert float(schedule.alpha_bars[0]) == pytest.approx(0.999959, abs=5e-7)
    assert float(schedule.alpha_bars[499]) == pytest.approx(0.4938, abs=5e-5)
    assert float(schedule.alpha_bars[999]) == pytest.approx(2.4e-9, rel=0.02)


def test_linear_schedule_ends_in_about_equal_noise_for_any_length() -> None:
    assert float(linear_schedule().alpha_bars[-1]) == pytest.approx(4.0e-5, rel=0.02)
    assert float(linear_schedule().betas[0]) == pytest.approx(1e-4)
    assert float(linear_schedule().betas[-1]) == pytest.approx(0.02)
    # sum of -log(1 - beta) is the integral of beta to first order, whatever T
    decay = [-float(linear_schedule(t).alpha_bars[-1].log()) for t in (1000, 2000, 4000)]
    assert decay[1] - decay[2] == pytest.approx((decay[0] - decay[1]) / 2, rel=0.05)


def test_scaled_linear_schedule_has_evenly_spread_roots_and_stops_far_from_pure_noise() -> None:
    schedule = scaled_linear_schedule()
    left = 1.0
    for t in range(50):
        share = t / 49
        left *= 1 - ((1 - share) * math.sqrt(0.00085) + share * math.sqrt(0.012)) ** 2
        assert float(schedule.alpha_bars[t]) == pytest.approx(left, rel=1e-12)
    told = [float(schedule.alpha_bars[t]) for t in (0, 25, 40, 49)]
    assert [round(told[0], 5), *(round(value, 3) for value in told[1:])] == [
        *(0.99915, 0.934, 0.841, 0.764)
    ]
    noise = [math.sqrt(1 - told[1]), math.sqrt(1 - told[3])]
    assert [round(value, 3) for value in noise] == [0.257, 0.486]
    full = scaled_linear_schedule(1000, start=0.00085, end=0.012)
    assert float(full.alpha_bars[-1]) == pytest.approx(0.00466, abs=5e-6)


@pytest.mark.parametrize("betas", [[], [0.0, 0.1], [0.5, 1.0], [float("nan")], [[0.1]]])
def test_betas_outside_the_open_unit_interval_are_refused(betas: list[float]) -> None:
    with pytest.raises(ValueError, match="strictly between 0 and 1"):
        schedule_from_betas(torch.tensor(betas))


def test_a_linear_schedule_too_short_for_its_last_beta_is_refused() -> None:
    linear_schedule(21)
    with pytest.raises(ValueError, match="strictly between"):
        linear_schedule(20)


@pytest.mark.parametrize("count", [1, 2, 7, 50, 250, 999, 1000])
def test_respacing_keeps_noise_levels_exactly_and_steps_by_their_original_index(count: int) -> None:
    schedule = cosine_schedule()
    short = respaced(schedule, count)
    assert len(short) == count
    assert torch.equal(short.alpha_bars, schedule.alpha_bars[short.original])
    product = (1 - short.betas).cumprod(0)
    torch.testing.assert_close(product, short.alpha_bars, rtol=1e-6, atol=0)


def test_respacing_to_all_steps_changes_nothing_and_twice_is_by_original_index_too() -> None:
    schedule = linear_schedule()
    same = respaced(schedule, 1000)
    torch.testing.assert_close(same.betas, schedule.betas, rtol=1e-9, atol=0)
    twice = respaced(respaced(schedule, 334), 112)  # strides of 3 and 3
    assert twice.original.tolist() == list(range(0, 1000, 9))


@pytest.mark.parametrize("total", [1, 2, 37, 1000])
def test_spaced_steps_are_distinct_and_keep_the_noisiest_step(total: int) -> None:
    for count in range(1, total + 1):
        steps = spaced_steps(total, count)
        assert len(steps.unique()) == count
        assert steps[-1] == total - 1
        assert count == 1 or steps[0] == 0


@pytest.mark.parametrize("count", [0, 101])
def test_more_steps_than_there_are_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match="1 to 100"):
        respaced(cosine_schedule(100), count)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("count", [1, 50, 1000])
def test_a_step_is_recovered_exactly_from_its_noise_level(name: str, count: int) -> None:
    schedule = respaced(SCHEDULES[name](1000), count)
    assert torch.equal(schedule.step_of(schedule.alpha_bars), schedule.original.double())


def test_between_two_steps_the_step_is_linear_in_log_snr_and_constant_outside() -> None:
    schedule = cosine_schedule()
    lam = log_snr(schedule.alpha_bars)
    between = torch.lerp(lam[400], lam[401], 0.25).sigmoid()
    ends = torch.tensor([1.0, 1e-12], dtype=torch.float64)
    assert float(schedule.step_of(between[None])) == pytest.approx(400.25, abs=1e-9)
    assert schedule.step_of(ends).tolist() == [0, 999]


def test_coefficients_are_cast_last_and_shaped_to_multiply_samples() -> None:
    x = torch.zeros(2, 3, 4, 5)
    column = like(torch.tensor([0.1, 0.2], dtype=torch.float64), x)
    assert column.shape == (2, 1, 1, 1)
    assert column.dtype == torch.float32
    assert like(torch.tensor(0.5), x).shape == (1, 1, 1, 1)
