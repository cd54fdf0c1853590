"""Conversions against geometry and round trips; the adapter from a network to a denoiser."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor

from skelaug.diffusion.parameterization import (
    KINDS,
    Kind,
    as_denoiser,
    eps_from,
    noised,
    prediction_from,
    split_output,
    target_from,
    x0_from,
)
from skelaug.diffusion.schedule import cosine_schedule, respaced

LEVELS = torch.tensor([2.4e-9, 1e-3, 0.4938, 0.9, 0.99996], dtype=torch.float64)


@pytest.fixture
def pair() -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(0)
    x0 = torch.randn(5, 3, 4, 6, generator=g, dtype=torch.float64)
    return x0, torch.randn(5, 3, 4, 6, generator=g, dtype=torch.float64)


@pytest.mark.parametrize("kind", KINDS)
def test_the_target_at_a_noisy_sample_stands_for_the_clean_one(
    kind: Kind, pair: tuple[Tensor, Tensor]
) -> None:
    x0, noise = pair
    x, target = noised(x0, noise, LEVELS), target_from(x0, noise, LEVELS, kind=kind)
    # an eps error of one rounding, 2e-16, grows by sqrt(1 / alpha_bar) = 2e4
    torch.testing.assert_close(x0_from(target, x, LEVELS, kind=kind), x0, rtol=0, atol=2e-11)
    torch.testing.assert_close(
        prediction_from(x0, x, LEVELS, kind=kind), target, rtol=0, atol=1e-12
    )
    torch.testing.assert_close(eps_from(x0, x, LEVELS), noise, rtol=0, atol=1e-12)


def test_velocity_is_the_derivative_along_the_circle_from_signal_to_noise(
    pair: tuple[Tensor, Tensor],
) -> None:
    x0, noise = pair

    def position(angle: Tensor) -> Tensor:
        return angle.cos() * x0 + angle.sin() * noise

    angle = torch.tensor(0.7, dtype=torch.float64)
    velocity = torch.autograd.functional.jacobian(position, angle)
    alpha_bar = (angle.cos() ** 2).expand(5)
    torch.testing.assert_close(noised(x0, noise, alpha_bar), position(angle))
    torch.testing.assert_close(target_from(x0, noise, alpha_bar, kind="v"), velocity)


def test_single_precision_data_meet_coefficients_that_were_computed_in_double() -> None:
    # 1 - 0.999959 in float32 is wrong in its fourth digit
    alpha_bar = cosine_schedule().alpha_bars[:1]
    x0, noise = torch.zeros(1, 1), torch.ones(1, 1)
    exact = float((1 - alpha_bar).sqrt())
    assert float(noised(x0, noise, alpha_bar)) == pytest.approx(exact, rel=1e-7)


class Oracle:
    """A network that knows the clean sample, and notes what it is asked."""

    def __init__(self, x0: Tensor, kind: Kind, alpha_bar: Tensor) -> None:
        self.x0, self.kind, self.alpha_bar = x0, kind, alpha_bar
        self.step = self.dtype = self.labels = None

    def __call__(self, x: Tensor, step: Tensor, labels: Tensor | None) -> Tensor:
        self.step, self.dtype, self.labels = step, x.dtype, labels
        return prediction_from(self.x0.float(), x, self.alpha_bar, kind=self.kind)


@pytest.mark.parametrize("kind", KINDS)
def test_a_perfect_network_of_any_kind_is_a_perfect_denoiser(
    kind: Kind, pair: tuple[Tensor, Tensor]
) -> None:
    schedule = respaced(cosine_schedule(), 100)
    alpha_bar = schedule.alpha_bars[[3, 20, 40, 60, 80]]
    x0, noise = pair
    labels = torch.arange(5)
    network = Oracle(x0, kind, alpha_bar)
    denoise = as_denoiser(network, schedule, kind=kind, labels=labels)
    estimate = denoise(noised(x0, noise, alpha_bar), alpha_bar)
    # rounding of x to float32, 6e-8, over sqrt(alpha_bar) = 0.3
    torch.testing.assert_close(estimate.x0, x0, rtol=0, atol=2e-6)
    assert estimate.log_variance_weight is None
    assert network.step is not None
    assert network.step.tolist() == schedule.original[[3, 20, 40, 60, 80]].tolist()
    assert network.step.dtype == network.dtype == torch.float32
    assert network.labels is labels


def test_the_second_half_of_the_channels_is_the_variance_weight() -> None:
    output = torch.cat([torch.full((2, 3, 4, 4), 0.5), torch.full((2, 3, 4, 4), -0.5)], dim=1)
    prediction, weight = split_output(output)
    assert torch.equal(prediction, torch.full((2, 3, 4, 4), 0.5))
    assert torch.equal(weight, torch.full((2, 3, 4, 4), 0.25))  # (v + 1) / 2

    schedule = cosine_schedule()
    denoise = as_denoiser(
        lambda x, step, labels: output, schedule, kind="x0", learned_variance=True
    )
    estimate = denoise(torch.zeros(2, 3, 4, 4), schedule.alpha_bars[:2])
    assert torch.equal(estimate.x0, prediction)
    assert estimate.log_variance_weight is not None
    assert torch.equal(estimate.log_variance_weight, weight)


def test_the_clamp_acts_on_the_clean_estimate() -> None:
    schedule = cosine_schedule()
    denoise = as_denoiser(
        lambda x, step, labels: torch.zeros_like(x),
        schedule,
        kind="eps",
        clamp=partial(torch.clamp, min=-1, max=1),
    )
    estimate = denoise(torch.ones(1, 3, 4, 4), schedule.alpha_bars[-1:])  # 1 / sqrt(2.4e-9)
    assert torch.equal(estimate.x0, torch.ones(1, 3, 4, 4))


def test_an_unknown_kind_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'score'"):
        as_denoiser(lambda x, step, labels: x, cosine_schedule(), kind="score")  # type: ignore[arg-type]
