"""Guidance on a two-component Gaussian mixture, where estimate, classifier and Bayes are exact.

Components at +-0.5 with deviation 0.2, equally likely; the wanted class is the one at +0.5.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from skelaug.diffusion.guidance import (
    MODES,
    Mode,
    classifier_free,
    guided,
    label_log_likelihood,
    mean_shift_of,
    noisy_guided,
)
from skelaug.diffusion.parameterization import Denoiser, Estimate, eps_from
from skelaug.diffusion.sampling import (
    SAMPLERS,
    levels,
    sample_ddpm,
    sample_dpmpp_2m,
    sample_dpmpp_2m_sde,
)
from skelaug.diffusion.schedule import cosine_schedule

STD = 0.2
MEANS = torch.tensor([-0.5, 0.5], dtype=torch.float64)
LEVELS = torch.tensor([2.4e-9, 1e-3, 0.1, 0.4938, 0.9, 0.999], dtype=torch.float64)
SCHEDULE = cosine_schedule()


def by_component(x: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
    """log p(x_t | component) up to a constant, and E[x0 | x_t, component]; x N 1, a N 1."""
    variance = a * STD**2 + 1 - a
    offset = x - a.sqrt() * MEANS
    return -(offset**2) / (2 * variance), MEANS + a.sqrt() * STD**2 / variance * offset


def mixture(x: Tensor, alpha_bar: Tensor) -> Estimate:
    """E[x0 | x_t]."""
    log_p, mean = by_component(x, alpha_bar[:, None])
    return Estimate((log_p.softmax(1) * mean).sum(1, keepdim=True))


def covariance(x: Tensor, alpha_bar: Tensor) -> Tensor:
    """Var[x0 | x_t]: within the components plus between them."""
    a = alpha_bar[:, None]
    log_p, mean = by_component(x, a)
    share = log_p.softmax(1)
    centre = (share * mean).sum(1, keepdim=True)
    within = STD**2 * (1 - a) / (a * STD**2 + 1 - a)
    return within + (share * (mean - centre) ** 2).sum(1, keepdim=True)


def classifier(x0: Tensor) -> Tensor:
    """Logits whose softmax is p(component | x0)."""
    return -((x0 - MEANS) ** 2) / (2 * STD**2)


def slope(x0: Tensor) -> Tensor:
    """d/dx0 log p(component 1 | x0), by hand: the logits differ by x0 / STD^2."""
    return torch.sigmoid(-x0 / STD**2) / STD**2


WANTED = label_log_likelihood(classifier, torch.ones(6, dtype=torch.int64))


@pytest.fixture
def x() -> Tensor:
    """One sample at each of LEVELS."""
    g = torch.Generator().manual_seed(0)
    x0 = MEANS[0] + STD * torch.randn(6, 1, generator=g, dtype=torch.float64)
    noise = torch.randn(6, 1, generator=g, dtype=torch.float64)
    return LEVELS[:, None].sqrt() * x0 + (1 - LEVELS[:, None]).sqrt() * noise


def test_label_log_likelihood_is_the_log_probability_of_each_label() -> None:
    logits = torch.tensor([[1.0, 2.0, 0.5], [0.0, -1.0, 3.0]])
    log_likelihood = label_log_likelihood(nn.Identity(), torch.tensor([2, 0]))
    total = logits.exp().sum(1)
    expected = [math.log(math.exp(0.5) / total[0]), math.log(1 / total[1])]
    assert log_likelihood(logits).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("scale", [0.5, 10.0, -1.0])
def test_each_mode_shifts_by_its_derivative_of_the_estimate(x: Tensor, scale: float) -> None:
    a = LEVELS[:, None]
    plain = mixture(x, LEVELS).x0
    factor = {  # (1 - a) / sqrt(a) J
        "xhat": (1 - a) / a.sqrt(),  # J = 1
        "damped": 1 - a,  # J = sqrt(a)
        "exact": covariance(x, LEVELS),  # J = sqrt(a) / (1 - a) Cov[x0 | x_t] (Tweedie)
    }
    for mode in MODES:
        got = guided(mixture, WANTED, scale=scale, mode=mode)(x, LEVELS).x0
        torch.testing.assert_close(
            got - plain, scale * factor[mode] * slope(plain), rtol=1e-6, atol=1e-12
        )


def test_guidance_in_terms_of_noise_subtracts_sqrt_one_minus_alpha_bar_times_the_gradient(
    x: Tensor,
) -> None:
    estimate, level = mixture(x, LEVELS), LEVELS
    guided_x0 = guided(mixture, WANTED, scale=2.0)(x, level).x0
    change = eps_from(guided_x0, x, level) - eps_from(estimate.x0, x, level)
    expected = -(1 - level[:, None]).sqrt() * 2 * slope(estimate.x0)  # Dhariwal & Nichol, alg. 2
    torch.testing.assert_close(change, expected, rtol=1e-9, atol=1e-12)


def test_the_papers_mean_shift_is_a_shift_of_x0_by_the_level_after_the_step(x: Tensor) -> None:
    now, after = 0.1, 0.4
    pair = torch.tensor([now, after], dtype=torch.float64)

    def shifted(x: Tensor, alpha_bar: Tensor) -> Estimate:
        x0 = mixture(x, alpha_bar).x0
        return Estimate(x0 + 3 * (1 - after) / math.sqrt(after) * slope(x0))

    draw = partial(sample_ddpm, x=x, alpha_bars=pair, noise_like=torch.zeros_like)
    torch.testing.assert_close(
        draw(mixture, mean_shift=mean_shift_of(WANTED, scale=3.0)),
        draw(shifted),
        rtol=1e-12,
        atol=0,
    )


def test_a_perfect_noisy_classifier_gives_the_estimate_of_the_wanted_class(x: Tensor) -> None:
    """Bayes: the denoiser plus the gradient of log p(y | x_t) is E[x0 | x_t, y]."""

    def noisy(x: Tensor, step: Tensor) -> Tensor:
        levels_of = SCHEDULE.alpha_bars[step.long(), None]
        return by_component(x, levels_of)[0].log_softmax(1)[:, 1]

    level = SCHEDULE.alpha_bars[[1, 100, 300, 500, 800, 990]]
    estimate = noisy_guided(mixture, noisy, SCHEDULE, scale=1.0)(x, level)
    expected = by_component(x, level[:, None])[1][:, 1:]
    torch.testing.assert_close(estimate.x0, expected, rtol=0, atol=1e-10)


# --- the experiment: ancestral sampling in 1,000 steps, mean and deviation of 4,000 samples -------

GROUP = 1000
TABLE = {  # variant: share in the wanted class, mean, deviation; from an independent program
    "none": (0.496, -0.01, 0.54),
    "printed sign": (0.000, -5.13, 0.20),
    "scale 1": (0.997, 0.523, 0.201),
    "deviation instead of variance": (1.000, 0.558, 0.179),
    "exact": (1.000, 0.504, 0.189),
    "scale 0.1": (0.872, 0.401, 0.332),
    "scale 10": (1.000, 0.554, 0.187),
}
ROWS = {  # scale of the gradient, exponent by which the deviation divides the shift
    "none": (0.0, 0),
    "printed sign": (-1.0, 0),
    "scale 1": (1.0, 0),
    "deviation instead of variance": (1.0, 1),
    "scale 0.1": (0.1, 0),
    "scale 10": (10.0, 0),
}


def noise_of(seed: int) -> Callable[[Tensor], Tensor]:
    g = torch.Generator().manual_seed(seed)
    return lambda x: torch.randn(x.shape, generator=g, dtype=torch.float64)


def full_run(denoise: Denoiser, samples: int, seed: int = 0, **options: object) -> Tensor:
    noise = noise_of(seed)
    x = noise(torch.empty(samples, 1))
    return sample_ddpm(denoise, x, levels(SCHEDULE, 1000), noise_like=noise, **options)  # type: ignore[arg-type]


def sums_up(name: str, x: Tensor) -> None:
    """Compare with the table: five standard errors of both experiments, and its rounding."""
    share, mean, std = TABLE[name]
    error = math.sqrt(1 / len(x) + 1 / 4000)
    likely = min(max(share, 1 / 4000), 1 - 1 / 4000)
    assert x.mean().item() == pytest.approx(mean, abs=5 * std * error + 6e-3)
    assert x.std().item() == pytest.approx(std, abs=5 * std * error / math.sqrt(2) + 6e-3)
    assert (x > 0).double().mean().item() == pytest.approx(
        share, abs=5 * math.sqrt(likely * (1 - likely)) * error + 5e-4
    )


@pytest.fixture(scope="module")
def per_step() -> dict[str, Tensor]:
    """All variants of the paper's own per-step shift, as groups of rows of one run."""
    scale = torch.tensor([row[0] for row in ROWS.values()]).repeat_interleave(GROUP)
    power = torch.tensor([row[1] for row in ROWS.values()]).repeat_interleave(GROUP)[:, None]
    wanted = label_log_likelihood(classifier, torch.ones(len(scale), dtype=torch.int64))
    direction = mean_shift_of(lambda x0: scale * wanted(x0), scale=1.0)
    deviation = dict(
        zip(SCHEDULE.alpha_bars.tolist(), SCHEDULE.posterior.variance.sqrt(), strict=True)
    )

    def mean_shift(x0: Tensor, x: Tensor, alpha_bar: Tensor) -> Tensor:
        return direction(x0, x, alpha_bar) / deviation[alpha_bar[0].item()] ** power

    out = full_run(mixture, len(scale), mean_shift=mean_shift)
    return dict(zip(ROWS, out.split(GROUP), strict=True))


@pytest.mark.parametrize("name", ROWS)
def test_per_step_guidance_gives_the_known_result_with_and_without_each_erratum(
    per_step: dict[str, Tensor], name: str
) -> None:
    sums_up(name, per_step[name])


@pytest.mark.parametrize("mode", ["xhat", "exact"])
def test_guided_denoiser_gives_the_known_result(mode: Mode) -> None:
    wanted = label_log_likelihood(classifier, torch.ones(GROUP, dtype=torch.int64))
    out = full_run(guided(mixture, wanted, scale=1.0, mode=mode), GROUP, seed=1)
    sums_up({"xhat": "scale 1", "exact": "exact"}[mode], out)


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("mode", MODES)
def test_a_bounded_shift_keeps_few_strongly_guided_steps_on_the_data(name: str, mode: Mode) -> None:
    """Unbounded, the leaf gradient throws samples up to thousands of deviations away."""
    wanted = label_log_likelihood(classifier, torch.ones(500, dtype=torch.int64))
    noise = noise_of(2)
    start, ladder = noise(torch.empty(500, 1)), levels(SCHEDULE, 20, spacing="logsnr")
    denoise = guided(mixture, wanted, scale=10.0, mode=mode, max_shift=1.0)
    out = SAMPLERS[name](denoise, start, ladder, noise_like=noise)
    assert (out > 0).double().mean() > 0.9
    assert out.mean().item() == pytest.approx(0.5, abs=STD)
    assert out.std().item() < 2 * STD


def test_an_unbounded_leaf_gradient_leaves_the_data_in_few_steps() -> None:
    wanted = label_log_likelihood(classifier, torch.ones(100, dtype=torch.int64))
    noise = noise_of(2)
    start, ladder = noise(torch.empty(100, 1)), levels(SCHEDULE, 15)
    out = sample_dpmpp_2m(guided(mixture, wanted, scale=1.0), start, ladder)
    assert out.mean() > 100
    # confined to the levels where the estimate is sharp, it stays
    confined = guided(mixture, wanted, scale=1.0, interval=(0.3, 1.0))
    assert sample_dpmpp_2m_sde(confined, start, ladder, noise_like=noise).mean() < 1


# --- contracts ---------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_strength_does_not_depend_on_the_batch_size(x: Tensor, mode: Mode) -> None:
    together = guided(mixture, WANTED, scale=3.0, mode=mode)(x, LEVELS).x0
    one = label_log_likelihood(classifier, torch.ones(1, dtype=torch.int64))
    for row in range(6):
        alone = guided(mixture, one, scale=3.0, mode=mode)(x[row : row + 1], LEVELS[row : row + 1])
        torch.testing.assert_close(alone.x0, together[row : row + 1], rtol=1e-12, atol=0)


@pytest.mark.parametrize("mode", MODES)
def test_outside_the_interval_nothing_moves_and_the_guide_is_not_run(x: Tensor, mode: Mode) -> None:
    plain = mixture(x, LEVELS).x0
    inner = guided(mixture, WANTED, scale=3.0, mode=mode, interval=(0.1, 0.9))(x, LEVELS).x0
    assert (inner != plain).flatten().tolist() == [False, False, True, True, True, False]

    def refuse(x0: Tensor) -> Tensor:
        pytest.fail("the guide ran")

    never = guided(mixture, refuse, scale=3.0, mode=mode, interval=(0.9995, 1.0))
    assert torch.equal(never(x, LEVELS).x0, plain)
    off = guided(mixture, refuse, scale=0.0, mode=mode)
    assert torch.equal(off(x, LEVELS).x0, plain)


def test_the_bound_shortens_long_shifts_and_leaves_short_ones_alone() -> None:
    g = torch.Generator().manual_seed(0)
    direction = torch.randn(4, 3, 5, generator=g, dtype=torch.float64)
    level = torch.tensor([0.2, 0.5, 0.9, 0.99], dtype=torch.float64)
    x = torch.zeros_like(direction)

    def zero(x: Tensor, alpha_bar: Tensor) -> Estimate:
        return Estimate(torch.zeros_like(x))

    def linear(x0: Tensor) -> Tensor:  # its gradient is `direction`
        return (direction * x0).flatten(1).sum(1)

    free = guided(zero, linear, scale=1.0)(x, level).x0
    bound = guided(zero, linear, scale=1.0, max_shift=0.7)(x, level).x0
    size = free.square().mean((1, 2)).sqrt()
    limit = 0.7 * (1 - level).sqrt()
    assert (size > limit).tolist() == [True, True, False, False]
    torch.testing.assert_close(bound.square().mean((1, 2)).sqrt(), torch.minimum(size, limit))
    ratio = bound / free  # one factor per sample: the direction is kept
    torch.testing.assert_close(ratio, ratio[:, :1, :1].expand_as(ratio))
    torch.testing.assert_close(bound[2:], free[2:])


@pytest.mark.parametrize("mode", MODES)
def test_guidance_leaves_no_graph_and_no_weight_gradients_and_works_without_grad(
    mode: Mode,
) -> None:
    network, guide = nn.Linear(3, 3), nn.Linear(3, 4)

    def denoise(x: Tensor, alpha_bar: Tensor) -> Estimate:
        return Estimate(network(x), torch.ones_like(x) * network.bias)

    wanted = label_log_likelihood(guide, torch.tensor([1, 2]))
    level = torch.tensor([0.3, 0.6], dtype=torch.float64)
    x = torch.ones(2, 3)
    with torch.no_grad():
        estimate = guided(denoise, wanted, scale=1.0, mode=mode)(x, level)
    assert not estimate.x0.requires_grad
    assert estimate.log_variance_weight is not None
    assert not estimate.log_variance_weight.requires_grad
    assert estimate.x0.dtype == torch.float32
    assert network.weight.grad is None
    assert guide.weight.grad is None
    assert not x.requires_grad


def test_classifier_free_guidance_is_the_same_line_in_x0_eps_and_log_density(x: Tensor) -> None:
    def one(x: Tensor, alpha_bar: Tensor) -> Estimate:
        return Estimate(by_component(x, alpha_bar[:, None])[1][:, 1:], torch.ones_like(x))

    for weight in (0.0, 1.0, 1.5, 4.0):
        estimate = classifier_free(one, mixture, weight)(x, LEVELS)
        eps = [eps_from(d(x, LEVELS).x0, x, LEVELS) for d in (mixture, one)]
        expected = eps[0] + weight * (eps[1] - eps[0])
        torch.testing.assert_close(
            eps_from(estimate.x0, x, LEVELS), expected, rtol=1e-9, atol=1e-12
        )
        assert estimate.log_variance_weight is not None  # of the labelled network
    assert classifier_free(one, mixture, 1.0) is one
    # Bayes: weight w of the labelled score is scale w of a perfect noisy classifier
    a = LEVELS[:, None]
    leaf = x.clone().requires_grad_()
    score = torch.autograd.grad(by_component(leaf, a)[0].log_softmax(1)[:, 1].sum(), leaf)[0]
    moved = mixture(x, LEVELS).x0 + 4 * (1 - a) / a.sqrt() * score
    got = classifier_free(one, mixture, 4.0)(x, LEVELS).x0
    torch.testing.assert_close(got, moved, rtol=1e-6, atol=1e-9)


def test_noisy_guidance_asks_only_inside_its_interval_for_the_original_step(x: Tensor) -> None:
    steps: list[float] = []

    def noisy(x: Tensor, step: Tensor) -> Tensor:
        steps.extend(step.tolist())
        return -(x**2).flatten(1).sum(1)

    denoise = noisy_guided(mixture, noisy, SCHEDULE, scale=1.0, interval=(0.4, 0.6))
    level = SCHEDULE.alpha_bars[[499] * 6]
    plain = mixture(x, level).x0
    shift = denoise(x, level).x0 - plain
    assert steps == [499.0] * 6
    a = level[:, None]
    torch.testing.assert_close(shift, -2 * (1 - a) / a.sqrt() * x)
    far = SCHEDULE.alpha_bars[[10] * 6]
    assert torch.equal(denoise(x, far).x0, mixture(x, far).x0)
    assert len(steps) == 6
    bounded = noisy_guided(mixture, noisy, SCHEDULE, scale=9.0, max_shift=0.1)
    size = (bounded(x, level).x0 - plain).abs()
    assert (size <= 0.1 * (1 - a).sqrt() * (1 + 1e-9)).all()


def test_an_unknown_mode_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'xt'"):
        guided(mixture, WANTED, scale=1.0, mode="xt")  # type: ignore[arg-type]
