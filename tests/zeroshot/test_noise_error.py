import numpy as np
import pytest
import torch
from scipy.special import softmax

from skelaug.diffusion.schedule import scaled_linear_schedule
from skelaug.zeroshot.noise_error import (
    Texts,
    fit_temperature,
    noise_errors,
)

SCHEDULE = scaled_linear_schedule(50)
STEP = 25


def probabilities(errors, temperature=1.0):
    return softmax(-errors / temperature, axis=1)


def texts_of(means, *, tokens=3):
    """Texts whose pooled vector is the mean of their class, with one token more each."""
    count, size = means.shape
    mask = torch.arange(tokens) < (1 + torch.arange(count) % tokens)[:, None]
    local = means[:, None].expand(count, tokens, size) * mask[..., None]
    return Texts(local, mask, means, torch.linspace(0, 1, count))


def ideal(spread):
    """E[eps | x_t, y] where the features of class y are normal about its text."""

    def denoise(x, step, texts):
        alpha_bar = SCHEDULE.alpha_bars[step[0]]
        away = x - alpha_bar.sqrt() * texts.pooled[:, None]
        return (1 - alpha_bar).sqrt() * away / (alpha_bar * spread**2 + 1 - alpha_bar)

    return denoise


def toy(*, spread, seed=0, classes=5, clips=200, length=2, size=6):
    numbers = torch.Generator().manual_seed(seed)
    means = torch.randn(classes, size, generator=numbers).double()
    labels = torch.randint(classes, (clips,), generator=numbers)
    drawn = torch.randn(clips, length, size, generator=numbers).double()
    z = means[labels][:, None] + spread * drawn
    noises = torch.randn(4, length, size, generator=numbers).double()
    return means, labels, z, noises


def as_network(denoise):
    return lambda x, step, *text: denoise(x, step, Texts(*text))


def asked(denoise, z, texts, noises):
    return noise_errors(as_network(denoise), z, texts, noises, step=STEP, schedule=SCHEDULE)


def test_the_ideal_denoiser_names_the_true_class():
    means, labels, z, noises = toy(spread=0.2)
    errors = asked(ideal(0.2), z, texts_of(means), noises)
    assert (errors.argmin(dim=1) == labels).double().mean() > 0.99


def test_with_noises_and_their_opposites_the_answer_is_the_nearest_class_however_they_overlap():
    means, labels, z, noises = toy(spread=1.5)
    errors = asked(ideal(1.5), z, texts_of(means), torch.cat([noises, -noises]))
    nearest = (z[:, None] - means[:, None]).square().sum((2, 3)).argmin(dim=1)
    assert (nearest != labels).any()
    assert torch.equal(errors.argmin(dim=1), nearest)


def test_the_errors_are_means_of_squares_noise_by_noise():
    means, _, z, noises = toy(spread=0.5, clips=3)
    denoise, texts = ideal(0.5), texts_of(means)
    errors = asked(denoise, z, texts, noises)
    alpha_bar = SCHEDULE.alpha_bars[STEP]
    for n in range(3):
        for y in range(len(means)):
            squares = []
            for noise in noises:
                x = alpha_bar.sqrt() * z[n] + (1 - alpha_bar).sqrt() * noise
                told = denoise(x[None], torch.tensor([STEP]), texts[y : y + 1])[0]
                squares.append((noise - told).square().mean())
            torch.testing.assert_close(errors[n, y], torch.stack(squares).mean())


def test_an_answer_depends_neither_on_other_labels_nor_on_other_clips():
    means, _, z, noises = toy(spread=0.5)
    texts, order = texts_of(means), [3, 0, 4]
    whole = asked(ideal(0.5), z, texts, noises)
    assert torch.equal(asked(ideal(0.5), z, texts[order], noises), whole[:, order])
    torch.testing.assert_close(asked(ideal(0.5), z[7:9], texts, noises), whole[7:9])


def test_a_class_is_asked_without_the_padding_of_longer_texts():
    means, _, z, noises = toy(spread=0.5, clips=1)
    seen = []

    def denoise(x, step, texts):
        seen.append(texts.local.shape[1])
        assert texts.mask.shape[1] == texts.local.shape[1]
        return torch.zeros_like(x)

    asked(denoise, z, texts_of(means), noises)
    assert seen == [1, 2, 3, 1, 2]


def test_probabilities_are_a_softmax_of_minus_the_errors():
    errors = np.random.default_rng(0).random((4, 3))
    found = probabilities(errors, 0.1)
    weights = np.exp(-errors / 0.1)
    np.testing.assert_allclose(found, weights / weights.sum(axis=1, keepdims=True))
    np.testing.assert_allclose(probabilities(errors + 5, 0.1), found)


@pytest.mark.parametrize("true", [0.003, 0.2, 5.0])
def test_the_temperature_that_drew_the_labels_is_found(true):
    numbers = np.random.default_rng(1)
    errors = true * numbers.normal(0, 2, (4000, 4))
    cumulated = probabilities(errors, true).cumsum(axis=1)
    labels = (numbers.random((4000, 1)) > cumulated).sum(axis=1)
    assert fit_temperature(errors, labels) == pytest.approx(true, rel=0.1)


def test_no_clip_has_no_temperature():
    with pytest.raises(ValueError, match="at least one clip"):
        fit_temperature(np.empty((0, 3)), np.empty(0, dtype=np.int64))


def test_a_few_clips_that_are_all_right_do_not_make_it_sure_of_everything():
    errors, labels = np.tile([0.0, 1.0, 1.0], (9, 1)), np.zeros(9, dtype=int)
    sure = probabilities(errors, fit_temperature(errors, labels))
    np.testing.assert_allclose(sure[:, 0], 10 / 12, atol=1e-4)
