"""What becomes of features: against a second derivation, and what must not change it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import Tensor

from skelaug.errors import DataError
from skelaug.zeroshot.feature_scale import fit_scale


def drawn(*, count: int = 400, length: int = 1, size: int = 6, seed: int = 0) -> tuple[Tensor, ...]:
    """Clips of 5 classes whose features are correlated, and of very different sizes."""
    numbers = np.random.default_rng(seed)
    labels = np.arange(count) % 5
    mixing = numbers.normal(size=(size, size)) * np.logspace(-2, 2, size)
    means = 3 * numbers.normal(size=(5, length, size))
    x = (means[labels] + numbers.normal(size=(count, length, size))) @ mixing
    return torch.from_numpy(x), torch.from_numpy(labels)


def test_one_number_leaves_proportions() -> None:
    features = torch.from_numpy(np.random.default_rng(0).normal(3, 1, (500, 2, 4)))
    features *= torch.tensor([0.1, 1, 5, 1e-9])
    z = fit_scale(features, torch.zeros(500, dtype=torch.int64), "scale").applied(features.float())
    torch.testing.assert_close(z.mean(dim=(0, 1)), torch.zeros(4), rtol=0, atol=1e-5)
    assert z.square().mean().item() == pytest.approx(1, rel=1e-4)
    deviations = z.square().mean(dim=(0, 1)).sqrt()
    assert (deviations[2] / deviations[1]).item() == pytest.approx(5, rel=0.1)


def test_none_leaves_features_as_they_are() -> None:
    x, labels = drawn(length=3)
    assert torch.equal(fit_scale(x, labels, "none").applied(x.float()), x.float())


def test_whitening_is_its_formula() -> None:
    x, labels = drawn()
    flat, known = x[:, 0].numpy(), labels.numpy()
    away = np.concatenate([flat[known == y] - flat[known == y].mean(axis=0) for y in range(5)])
    covariance = away.T @ away / len(away)
    deviation = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(deviation, deviation)
    root = np.linalg.inv(sqrtm(correlation + 0.1 * np.eye(6)).real)
    expected = (flat - flat.mean(axis=0)) / deviation @ root.T
    expected /= np.sqrt((expected**2).mean())
    found = fit_scale(x, labels, "whiten").applied(x.float())
    np.testing.assert_allclose(found[:, 0].numpy(), expected, rtol=0, atol=2e-4)


def test_without_noise_features_of_a_class_are_white() -> None:
    x, labels = drawn(count=4000, length=2)
    z = fit_scale(x, labels, "whiten", noise=0.0).applied(x.float()).double()
    known = torch.stack([z[labels == y].mean(dim=0) for y in range(5)])
    away = (z - known[labels]).flatten(0, 1)
    covariance = away.T @ away / len(away)
    torch.testing.assert_close(
        covariance, covariance.trace() / 6 * torch.eye(6).double(), rtol=0, atol=1e-4
    )
    assert z.square().mean().item() == pytest.approx(1, rel=1e-4)


def test_units_of_features_do_not_count() -> None:
    x, labels = drawn()
    other = x * torch.tensor([0.5, 1, 7, 40, 0.2, 3])
    z, again = (fit_scale(one, labels, "whiten").applied(one.float()) for one in (x, other))
    torch.testing.assert_close(z, again, rtol=0, atol=1e-3)


def test_a_feature_that_never_varies_says_nothing() -> None:
    x, labels = drawn()
    x[..., 2] = 4.0
    scale = fit_scale(x, labels, "whiten")
    assert torch.isfinite(scale.weights).all()
    assert not scale.weights[2].any()


def test_noise_of_rounding_is_not_blown_up() -> None:
    x, labels = drawn()
    x[..., 2] = 1e-12 * x[..., 0]
    assert not fit_scale(x, labels, "whiten").weights[2].any()


def test_one_clip_of_each_class_is_nothing_to_whiten_by() -> None:
    x, _ = drawn(count=5)
    with pytest.raises(DataError, match="two clips"):
        fit_scale(x, torch.arange(5), "whiten")
