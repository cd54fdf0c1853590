import numpy as np
import pytest
import torch

from skelaug.diffusion.schedule import scaled_linear_schedule
from skelaug.zeroshot.noise_error import Texts, noise_errors
from skelaug.zeroshot.text_prior import TextPrior, around, fit_prior

SCHEDULE = scaled_linear_schedule(50)


def prior_of(*, text=5, length=2, size=3, variance=0.7, seed=0):
    numbers = torch.Generator().manual_seed(seed)

    def randn(*shape):
        return torch.randn(shape, generator=numbers, dtype=torch.float64)

    variance = torch.tensor(variance, dtype=torch.float64)
    return TextPrior(randn(text, length * size), randn(text), randn(length, size), variance)


def silent(x, *_):
    return torch.zeros_like(x)


def asked(prior, network, *, n=7, seed=1):
    numbers = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 2, 3, generator=numbers, dtype=torch.float64)
    pooled = torch.randn(n, 5, generator=numbers, dtype=torch.float64)
    step, mask = torch.arange(n) * 7, torch.ones(n, 1, dtype=torch.bool)
    told = around(network, prior, SCHEDULE)(x, step, pooled[:, None], mask, pooled, None)
    return x, step, pooled, told


def test_untrained_it_is_the_conditional_mean_of_the_joint_normal_of_noise_and_sample():
    prior = prior_of()
    x, step, pooled, told = asked(prior, silent)
    for n in range(len(x)):
        alpha_bar = float(SCHEDULE.alpha_bars[step[n]])
        mu = prior.feature_mean.flatten() + prior.weights.T @ (pooled[n] - prior.text_mean)
        # (z, eps) has covariance diag(s^2, 1), x is a linear map of it
        to_x = torch.cat([np.sqrt(alpha_bar) * torch.eye(6), np.sqrt(1 - alpha_bar) * torch.eye(6)])
        to_x = to_x.double()
        covariance = torch.diag(torch.cat([prior.variance.expand(6), torch.ones(6)]).double())
        gain = covariance @ to_x @ torch.linalg.inv(to_x.T @ covariance @ to_x)
        mean = gain @ (x[n].flatten() - np.sqrt(alpha_bar) * mu)
        torch.testing.assert_close(told[n].flatten(), mean[6:])


def test_what_a_network_is_told_and_has_to_tell_varies_by_one():
    numbers, prior = torch.Generator().manual_seed(0), prior_of()
    pooled = torch.randn(1, 5, generator=numbers, dtype=torch.float64).expand(20_000, 5)
    z = prior.expected(pooled)
    z = z + prior.variance.sqrt() * torch.randn(z.shape, generator=numbers, dtype=torch.float64)
    noise = torch.randn(z.shape, generator=numbers, dtype=torch.float64)
    mask, step = torch.ones(len(z), 1, dtype=torch.bool), torch.full((len(z),), 30)
    alpha_bar = SCHEDULE.alpha_bars[30]
    x, heard = alpha_bar.sqrt() * z + (1 - alpha_bar).sqrt() * noise, []

    def listening(x, *_):
        heard.append(x)
        return torch.ones_like(x)

    one = around(listening, prior, SCHEDULE)(x, step, pooled[:, None], mask, pooled)
    zero = around(silent, prior, SCHEDULE)(x, step, pooled[:, None], mask, pooled)
    assert heard[0].var().item() == pytest.approx(1, abs=0.02)
    assert ((noise - zero) / (one - zero)).var().item() == pytest.approx(1, abs=0.02)


def test_untrained_the_nearest_expectation_wins():
    prior, numbers = prior_of(), torch.Generator().manual_seed(2)
    pooled = torch.randn(4, 5, generator=numbers, dtype=torch.float64)
    texts = Texts(pooled[:, None], torch.ones(4, 1, dtype=torch.bool), pooled)
    expected = prior.expected(pooled)
    z = expected[torch.arange(40) % 4]
    z = z + 3 * torch.randn(z.shape, generator=numbers, dtype=torch.float64)
    noises = torch.randn(3, 2, 3, generator=numbers, dtype=torch.float64)
    network = around(silent, prior, SCHEDULE)
    errors = noise_errors(
        network,
        z,
        texts,
        torch.cat([noises, -noises]),
        step=45,
        schedule=SCHEDULE,
    )
    nearest = (z[:, None] - expected).square().sum((2, 3)).argmin(dim=1)
    assert len(nearest.unique()) > 1
    assert torch.equal(errors.argmin(dim=1), nearest)


def test_without_a_prior_the_network_is_left_alone():
    assert around(silent, None, SCHEDULE) is silent


def linear_world(*, noise, classes=30, per_class=40, seed=0):
    numbers = np.random.default_rng(seed)
    texts = numbers.standard_normal((classes, 4))
    labels = np.repeat(np.arange(classes), per_class)
    z = 2 + (texts @ numbers.standard_normal((4, 6)))[labels]
    z = z + noise * numbers.standard_normal(z.shape)
    return torch.from_numpy(z).view(-1, 2, 3), labels, torch.from_numpy(texts)


def test_a_linear_world_is_recovered_with_its_noise():
    z, labels, texts = linear_world(noise=0.5)
    seen = labels < 24
    prior = fit_prior(z[seen], labels[seen], texts)
    assert prior.variance.item() == pytest.approx(0.25, rel=0.1)
    away = prior.expected(texts.float())[labels[~seen]] - z[~seen]
    assert away.square().mean().item() == pytest.approx(0.25, rel=0.1)


def test_the_strength_and_the_variance_come_from_classes_left_out():
    z, labels, texts = linear_world(noise=0.5, classes=5, seed=4)
    strengths = (1e-3, 0.3, 1e3)
    found = {}
    for strength in strengths:
        squares = []
        for out in range(5):
            kept = labels != out
            own = fit_prior(z[kept], labels[kept], texts, strengths=[strength])
            away = own.expected(texts.float())[labels[~kept]] - z[~kept]
            squares.append(away.square().mean().item())
        found[strength] = np.mean(squares)
    best = min(found, key=found.get)
    prior = fit_prior(z, labels, texts, strengths=strengths)
    assert prior.variance.item() == pytest.approx(found[best], rel=1e-4)
    only = fit_prior(z, labels, texts, strengths=[best])
    torch.testing.assert_close(prior.weights, only.weights)


def test_texts_without_clips_are_not_looked_at():
    z, labels, texts = linear_world(noise=0.5)
    seen, other = labels < 24, texts.clone()
    other[24:] = torch.nan
    one, two = (fit_prior(z[seen], labels[seen], own) for own in (texts, other))
    torch.testing.assert_close(one.weights, two.weights)
