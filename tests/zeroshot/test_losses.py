import numpy as np
import pytest
import scipy.fft
import torch

from skelaug.diffusion.parameterization import noised
from skelaug.diffusion.schedule import scaled_linear_schedule
from skelaug.zeroshot.losses import FDSMLoss, TDSMLoss

SCHEDULE = scaled_linear_schedule(50)


def lesson(n=6, length=4, size=8, words=3, text=5):
    numbers = torch.Generator().manual_seed(0)

    def randn(*shape):
        return torch.randn(shape, generator=numbers, dtype=torch.float64)

    z, noise, step = randn(n, length, size), randn(n, length, size), torch.arange(n) * 9
    mask = torch.ones(n, words, dtype=torch.bool)
    x = noised(z, noise, SCHEDULE.alpha_bars[step])
    texts = [(randn(n, words, text), mask, randn(n, text), torch.rand(n).double()) for _ in "ab"]
    return z, (x, step, noise, *texts[0]), texts[1]


def network(x, step, local, mask, pooled, gain):
    """Something that depends on all that it is told."""
    heard = (local * mask[..., None]).sum((1, 2)) + pooled.sum(1) + gain
    return 0.3 * x * torch.tanh(heard)[:, None, None] + 0.01 * step[:, None, None]


def test_without_a_spectrum_it_is_the_mean_square():
    _, tensors, _ = lesson()
    found = FDSMLoss(SCHEDULE, weight=0.0)(network, *tensors)
    x, step, noise, *text = tensors
    torch.testing.assert_close(found["loss"], (noise - network(x, step, *text)).square().mean())


def test_with_equal_weights_the_spectrum_is_the_noise_error_of_each_step():
    _, tensors, _ = lesson()
    x, step, noise, *text = tensors
    found = FDSMLoss(SCHEDULE, low=x.shape[2], reduction="sum")(network, *tensors)
    alpha_bar = SCHEDULE.alpha_bars[step]
    errors = (noise - network(x, step, *text)).square().sum((1, 2))
    torch.testing.assert_close(found["spectral"], ((1 - alpha_bar) / alpha_bar * errors).mean())


@pytest.mark.parametrize(("axis", "dim"), [("channel", 2), ("time", 1)])
def test_the_spectrum_is_that_of_scipy_weighted_by_step(axis, dim):
    z, tensors, _ = lesson()
    x, step, noise, *text = tensors
    found = FDSMLoss(SCHEDULE, weight=0.7, gamma=0.5, low=2, axis=axis)(network, *tensors)
    told = network(x, step, *text)
    alpha_bar = SCHEDULE.alpha_bars[step][:, None, None]
    guess = (x - (1 - alpha_bar).sqrt() * told) / alpha_bar.sqrt()
    squares = scipy.fft.dct((z - guess).numpy(), axis=dim, norm="ortho") ** 2
    k = np.arange(x.shape[dim])
    weights = np.where(k < 2, 1.0, 0.5 * (1 - step.numpy()[:, None] / 50))
    weights = weights[:, None, :] if dim == 2 else weights[:, :, None]
    expected = float((weights * squares).mean())
    assert float(found["spectral"]) == pytest.approx(expected)
    total = float((noise - told).square().mean()) + 0.7 * expected
    assert float(found["loss"]) == pytest.approx(total)


def test_the_triplet_is_that_of_a_loop_over_samples():
    _, tensors, false = lesson()
    differs = torch.tensor([True, True, False, True, False, True])
    found = TDSMLoss(0.4)(network, *tensors, *false, differs)
    x, step, noise, *text = tensors
    right = network(x, step, *text)
    wrong = network(x, step, *false)
    losses = []
    for n in range(len(x)):
        near = float((noise[n] - right[n]).square().mean())
        far = float((noise[n] - wrong[n]).square().mean())
        losses.append(near + (max(0.0, near - far + 0.4) if differs[n] else 0.0))
    assert float(found["loss"]) == pytest.approx(float(np.mean(losses)))
    assert float(found["triplet"]) > 0


def test_both_texts_are_asked_in_one_pass():
    _, tensors, false = lesson()
    sizes = []

    def counting(x, *rest):
        sizes.append(len(x))
        return network(x, *rest)

    TDSMLoss()(counting, *tensors, *false, torch.ones(6, dtype=torch.bool))
    assert sizes == [12]
