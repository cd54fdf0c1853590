"""Samplers on a Gaussian whose best denoiser is known: exact laws, no network, no sampling error.

The denoiser is linear, so a sampler is a linear map of its start and of the noise it draws. Feeding
unit impulses gives the mean and the variance of its output exactly (`law_of`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

from skelaug.diffusion.parameterization import Denoiser, Estimate
from skelaug.diffusion.sampling import (
    SAMPLERS,
    PerSampleNoise,
    Sampler,
    levels,
    sample_ddim,
    sample_ddpm,
    sample_dpmpp_2m,
    sample_dpmpp_2m_sde,
)
from skelaug.diffusion.schedule import cosine_schedule, linear_schedule, posterior, respaced

MU, STD = 0.7, 0.4
FIRST, LAST = 1e-3, 0.999
EVERY: dict[str, Sampler] = {
    **SAMPLERS,
    "ddim eta 1": partial(sample_ddim, eta=1.0),
    "ddim eta 0.5": partial(sample_ddim, eta=0.5),
    "dpm++sde eta 0.5": partial(sample_dpmpp_2m_sde, eta=0.5),
}
EXACT_MEAN = 1e-12


def gaussian_denoiser(x: Tensor, alpha_bar: Tensor) -> Estimate:
    """E[x0 | x_t] for x0 ~ N(MU, STD^2), from conditioning the joint Gaussian."""
    a = alpha_bar.reshape(-1, *[1] * (x.ndim - 1))
    gain = a.sqrt() * STD**2 / (a * STD**2 + 1 - a)
    return Estimate(MU + gain * (x - a.sqrt() * MU))


def law_of(
    sampler: Sampler, alpha_bars: Tensor, denoise: Denoiser = gaussian_denoiser
) -> tuple[float, float]:
    """Exact mean and standard deviation of what a sampler makes of x ~ N(0, 1)."""
    x = torch.zeros(len(alpha_bars) + 1, 1, dtype=torch.float64)
    x[1] = 1  # row 0: all zero; row 1: the start; row 2 + k: the k-th noise
    rows = iter(range(2, len(x)))

    def impulse(like: Tensor) -> Tensor:
        noise = torch.zeros_like(like)
        noise[next(rows)] = 1
        return noise

    out = sampler(denoise, x, alpha_bars, noise_like=impulse)[:, 0]
    return float(out[0]), float((out[1:] - out[0]).norm())


def circle(steps: int) -> Tensor:
    """Levels from FIRST to LAST, uniform in the angle of the cosine schedule."""
    ends = [math.acos(math.sqrt(a)) for a in (FIRST, LAST)]
    return torch.linspace(*ends, steps + 1, dtype=torch.float64).cos() ** 2


def marginal(alpha_bar: float) -> tuple[float, float]:
    return math.sqrt(alpha_bar) * MU, math.sqrt(alpha_bar * STD**2 + 1 - alpha_bar)


def probability_flow() -> tuple[float, float]:
    """The exact end of the ODE: standardised x is constant along it."""
    (mean, std), (end_mean, end_std) = marginal(FIRST), marginal(LAST)
    return end_mean - end_std / std * mean, end_std / std


def reverse_sde() -> tuple[float, float]:
    """The exact end of the SDE: x_LAST given x_FIRST, from their joint Gaussian, averaged."""
    (mean, std), (end_mean, end_std) = marginal(FIRST), marginal(LAST)
    gain = math.sqrt(FIRST / LAST) * end_std**2 / std**2
    return end_mean - gain * mean, math.sqrt(end_std**2 - (gain * std) ** 2 + gain**2)


@pytest.mark.parametrize(
    ("name", "exact", "order"),
    [
        ("ddim", probability_flow, 1),
        ("dpm++", probability_flow, 2),
        ("ddpm", reverse_sde, 1),
        ("ddim eta 1", reverse_sde, 1),
        ("dpm++sde", reverse_sde, 2),
    ],
)
def test_sampler_converges_to_the_exact_law_at_its_order(
    name: str, exact: Callable[[], tuple[float, float]], order: int
) -> None:
    mean, std = exact()
    counts, errors = (64, 128, 256, 512), []
    for count in counts:
        law = law_of(EVERY[name], circle(count))
        errors.append(abs(law[1] - std))
        bound = EXACT_MEAN if exact is reverse_sde else errors[-1]
        assert abs(law[0] - mean) <= bound  # the SDE solvers have no error in the mean
    slope = math.log2(errors[-1] / errors[0]) / math.log2(counts[-1] / counts[0])
    assert slope == pytest.approx(-order, abs=0.1)


def test_the_upper_variance_converges_at_first_order_from_above() -> None:
    upper = partial(sample_ddpm, variance="upper")
    errors = [law_of(upper, circle(count))[1] - reverse_sde()[1] for count in (256, 512)]
    assert errors[0] / errors[1] == pytest.approx(2, abs=0.05)
    assert errors[1] > 0
    assert law_of(sample_ddpm, circle(256))[1] < reverse_sde()[1]


@pytest.mark.parametrize("steps", [50, 200])
def test_ancestral_sampling_has_the_spread_that_its_linear_chain_predicts(steps: int) -> None:
    schedule = respaced(cosine_schedule(), steps)
    mean, variance, now = 0.0, 1.0, float(schedule.alpha_bars[-1])
    for beta in schedule.betas.flip(0).tolist():
        before = now / (1 - beta) if now < float(schedule.alpha_bars[0]) else 1.0
        gain = math.sqrt(now) * STD**2 / (now * STD**2 + 1 - now)
        c1 = math.sqrt(before) * beta / (1 - now)
        c2 = (1 - before) * math.sqrt(1 - beta) / (1 - now)
        slope = c1 * gain + c2
        mean = slope * mean + c1 * (1 - gain * math.sqrt(now)) * MU
        variance = slope**2 * variance + beta * (1 - before) / (1 - now)
        now = before
    law = law_of(sample_ddpm, levels(schedule, steps))
    assert law == pytest.approx((mean, math.sqrt(variance)), rel=1e-8)


@pytest.mark.parametrize("name", EVERY)
def test_every_sampler_keeps_the_marginals_of_a_known_clean_sample(name: str) -> None:
    """If x0 is known, x_t ~ N(sqrt(a) x0, 1 - a) at every level, for any steps and any eta."""

    def known(x: Tensor, alpha_bar: Tensor) -> Estimate:
        return Estimate(torch.full_like(x, MU))

    ends = torch.tensor([1e-3, 0.02, 0.3, 0.31, 0.8, 0.97], dtype=torch.float64)
    for count in range(2, len(ends) + 1):
        first, last = float(ends[0]), float(ends[count - 1])
        mean, std = law_of(EVERY[name], ends[:count], known)
        # x starts as N(0, 1) instead of N(sqrt(first) x0, 1 - first): take that out
        share = _response_to_start(EVERY[name], ends[:count], known)
        corrected = mean + share * math.sqrt(first) * MU, std**2 - share**2 * first
        assert corrected == pytest.approx((math.sqrt(last) * MU, 1 - last), rel=1e-12)


def _response_to_start(sampler: Sampler, alpha_bars: Tensor, denoise: Denoiser) -> float:
    x = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    out = sampler(denoise, x, alpha_bars, noise_like=torch.zeros_like)
    return float(out[1] - out[0])


def drawn(sampler: Sampler, alpha_bars: Tensor, denoise: Denoiser = gaussian_denoiser) -> Tensor:
    g = torch.Generator().manual_seed(0)

    def noise_like(x: Tensor) -> Tensor:
        return torch.randn(x.shape, generator=g, dtype=x.dtype)

    x = noise_like(torch.empty(16, 2, 3, dtype=torch.float64))
    return sampler(denoise, x, alpha_bars, noise_like=noise_like)


def test_ddim_with_eta_one_is_ancestral_sampling_with_the_posterior_variance() -> None:
    ladder = levels(cosine_schedule(), 100)
    torch.testing.assert_close(
        drawn(partial(sample_ddim, eta=1.0), ladder),
        drawn(sample_ddpm, ladder),
        rtol=1e-9,
        atol=1e-12,
    )


def test_the_first_sde_solver_step_is_an_ancestral_step() -> None:
    ladder = torch.tensor([0.01, 0.3], dtype=torch.float64)
    torch.testing.assert_close(drawn(sample_dpmpp_2m_sde, ladder), drawn(sample_ddpm, ladder))


def test_a_learned_variance_runs_geometrically_from_lower_to_upper() -> None:
    now, after = torch.tensor([0.2, 0.6], dtype=torch.float64)
    lower, upper = posterior(now, after).variance, 1 - now / after
    for weight in (-0.1, 0.0, 0.3, 1.0):

        def learned(x: Tensor, alpha_bar: Tensor, w: float = weight) -> Estimate:
            return Estimate(gaussian_denoiser(x, alpha_bar).x0, torch.full_like(x, w))

        x = torch.zeros(1, 1, dtype=torch.float64)
        pair = torch.stack([now, after])
        still = sample_ddpm(learned, x, pair, noise_like=torch.zeros_like)
        moved = sample_ddpm(learned, x, pair, noise_like=torch.ones_like)
        expected = (upper**weight * lower ** (1 - weight)).sqrt()
        assert float(moved - still) == pytest.approx(float(expected), rel=1e-12)


def test_the_mean_moves_by_variance_times_the_given_direction() -> None:
    pair = torch.tensor([0.2, 0.6], dtype=torch.float64)
    x = torch.tensor([[0.5], [-1.0]], dtype=torch.float64)
    seen: list[Tensor] = []

    def direction(x0: Tensor, x: Tensor, alpha_bar: Tensor) -> Tensor:
        seen.extend([x0, x, alpha_bar])
        return torch.tensor([[3.0], [0.0]], dtype=torch.float64)

    sampler = partial(sample_ddpm, gaussian_denoiser, x, pair, noise_like=torch.zeros_like)
    moved = sampler(mean_shift=direction) - sampler()
    assert moved[0].item() == pytest.approx(3 * float(posterior(*pair).variance), rel=1e-12)
    assert moved[1].item() == 0
    assert torch.equal(seen[0], gaussian_denoiser(x, pair[:1].expand(2)).x0)
    assert torch.equal(seen[1], x)
    assert torch.equal(seen[2], pair[:1].expand(2))


@pytest.mark.parametrize("name", EVERY)
def test_the_last_step_returns_the_estimate_without_noise(name: str) -> None:
    pair = torch.tensor([0.5, 1.0], dtype=torch.float64)
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    out = EVERY[name](gaussian_denoiser, x, pair, noise_like=lambda _: pytest.fail("noise"))
    torch.testing.assert_close(out, gaussian_denoiser(x, pair[:1].expand(4)).x0, rtol=0, atol=1e-15)


@pytest.mark.parametrize("name", EVERY)
def test_one_evaluation_per_level_in_the_data_type_of_the_start(name: str) -> None:
    asked: list[float] = []

    def noting(x: Tensor, alpha_bar: Tensor) -> Estimate:
        assert x.dtype == torch.float32
        assert alpha_bar.dtype == torch.float64
        asked.append(float(alpha_bar[0]))
        return Estimate(x / 2)

    ladder = levels(cosine_schedule(), 10)
    start = torch.ones(2, 3, 4, 5)
    out = EVERY[name](noting, start, ladder, noise_like=torch.zeros_like)
    assert asked == ladder[:-1].tolist()
    assert out.dtype == torch.float32
    assert torch.isfinite(out).all()
    assert torch.equal(start, torch.ones(2, 3, 4, 5))


def test_the_ode_solver_is_the_sde_solver_without_noise() -> None:
    ladder = levels(cosine_schedule(), 12, spacing="logsnr")
    x = torch.ones(3, 2, dtype=torch.float64)
    out = sample_dpmpp_2m(gaussian_denoiser, x, ladder, noise_like=lambda _: pytest.fail("noise"))
    assert torch.equal(out, sample_dpmpp_2m_sde(gaussian_denoiser, x, ladder, eta=0.0))


@pytest.mark.parametrize("steps", [1, 2, 20, 1000])
def test_uniform_levels_are_those_of_the_respaced_schedule(steps: int) -> None:
    schedule = linear_schedule()
    ladder = levels(schedule, steps)
    assert torch.equal(ladder[:-1].flip(0), respaced(schedule, steps).alpha_bars)
    assert ladder[-1] == 1


def test_few_step_levels_rise_evenly_in_log_snr_or_by_karras_rule() -> None:
    schedule = cosine_schedule()
    even = levels(schedule, 9, spacing="logsnr", noisiest=1e-3)
    gaps = even[:-1].logit().diff()
    torch.testing.assert_close(gaps, gaps[:1].expand(8), rtol=1e-9, atol=0)
    karras = levels(schedule, 9, spacing="karras", noisiest=1e-3)
    sigmas = ((1 - karras[:-1]) / karras[:-1]).sqrt().tolist()
    high, low = sigmas[0] ** (1 / 7), sigmas[-1] ** (1 / 7)
    assert sigmas == pytest.approx([(high + i / 8 * (low - high)) ** 7 for i in range(9)])
    for ladder in (even, karras):
        assert len(ladder) == 10
        assert ladder.diff().min() > 0
        assert float(ladder[0]) == pytest.approx(1e-3)
        assert float(ladder[-2]) == pytest.approx(float(schedule.alpha_bars[0]))
        assert ladder[-1] == 1


def test_levels_never_go_below_the_schedule() -> None:
    schedule = linear_schedule()
    ladder = levels(schedule, 4, spacing="logsnr", noisiest=0.0)
    assert float(ladder[0]) == pytest.approx(float(schedule.alpha_bars[-1]))


def test_unknown_spacings_and_impossible_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="'even'"):
        levels(cosine_schedule(), 4, spacing="even")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="got 0"):
        levels(cosine_schedule(), 0, spacing="karras")


def generators(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def test_a_sample_does_not_depend_on_the_batch_it_is_drawn_in() -> None:
    ladder = levels(cosine_schedule(), 20)

    def draw(*seeds: int) -> Tensor:
        noise = PerSampleNoise(generators(*seeds))
        return sample_ddpm(
            gaussian_denoiser, noise(torch.empty(len(seeds), 3, 4, 6)), ladder, noise_like=noise
        )

    together = draw(5, 6, 7, 8)
    torch.testing.assert_close(draw(7), together[2:3], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(draw(8, 5), together[[3, 0]], rtol=1e-6, atol=1e-6)


def test_per_sample_noise_is_standard_normal_row_by_row_and_exactly_reproducible() -> None:
    noise = PerSampleNoise(generators(1, 2))
    first, second = noise(torch.empty(2, 50_000)), noise(torch.empty(2, 50_000))
    alone = PerSampleNoise(generators(2))
    assert torch.equal(alone(torch.empty(1, 50_000))[0], first[1])
    assert torch.equal(alone(torch.empty(1, 50_000))[0], second[1])
    stacked = torch.cat([first, second]).double()
    assert stacked.mean(dim=1).abs().max() < 5 / math.sqrt(50_000)
    assert (stacked.var(dim=1) - 1).abs().max() < 5 * math.sqrt(2 / 50_000)
    assert torch.corrcoef(stacked).triu(1).abs().max() < 5 / math.sqrt(50_000)


def test_per_sample_noise_follows_type_and_refuses_another_batch_size() -> None:
    noise = PerSampleNoise(generators(1, 2))
    assert noise(torch.empty(2, 3, dtype=torch.float64)).dtype == torch.float64
    with pytest.raises(ValueError, match="expected 2 rows, got 3"):
        noise(torch.empty(3, 3))
