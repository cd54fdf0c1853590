from __future__ import annotations

import json

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skelaug.augment.mixup import draw_mixup, mixed, mixed_targets
from skelaug.seeds import numpy_generator


def batch(*shape):
    return torch.from_numpy(np.random.default_rng(0).normal(size=shape))


def drawn(count, *, alpha=0.4, seed=0):
    return draw_mixup(count, alpha=alpha, generator=numpy_generator(seed))


@settings(max_examples=20)
@given(st.integers(1, 9), st.floats(1e-3, 50), st.integers(0, 2**32))
def test_weights_are_shares_and_partners_a_permutation(count, alpha, seed):
    one = drawn(count, alpha=alpha, seed=seed)
    assert json.loads(json.dumps(one)) == one
    assert all(0 <= weight <= 1 for weight in one["weights"])
    assert sorted(one["partners"]) == list(range(count))


def test_weights_are_beta_distributed():
    weights = drawn(3000, alpha=0.4)["weights"]
    assert scipy.stats.kstest(weights, "beta", args=(0.4, 0.4)).pvalue > 1e-3


@settings(max_examples=20)
@given(st.integers(1, 9), st.integers(0, 2**32))
def test_a_blend_is_the_weighted_sum_of_a_clip_and_its_partner(count, seed):
    clips, one = batch(count, 3, 5, 4, 1), drawn(count, alpha=1.0, seed=seed)
    got = mixed(clips, one)
    for i, (partner, weight) in enumerate(zip(one["partners"], one["weights"], strict=True)):
        expected = weight * clips[i] + (1 - weight) * clips[partner]
        torch.testing.assert_close(got[i], expected)


@settings(max_examples=20)
@given(st.integers(1, 9), st.integers(0, 2**32))
def test_targets_are_probabilities_with_the_weights_of_the_clips(count, seed):
    labels, one = torch.arange(count) % 3, drawn(count, alpha=1.0, seed=seed)
    targets = mixed_targets(labels, one, num_classes=4)
    assert targets.shape == (count, 4)
    torch.testing.assert_close(targets.sum(1), torch.ones(count))
    assert (targets[:, 3] == 0).all()
    for i, (partner, weight) in enumerate(zip(one["partners"], one["weights"], strict=True)):
        same = labels[partner] == labels[i]
        assert float(targets[i, labels[i]]) == pytest.approx(1.0 if same else weight, abs=1e-6)


def test_the_loss_of_a_blend_is_the_blend_of_losses():
    """Cross-entropy is linear in the targets (Zhang et al. 2018)."""
    logits, labels, one = batch(6, 4), torch.tensor([0, 1, 2, 3, 0, 1]), drawn(6)
    cross_entropy = torch.nn.functional.cross_entropy
    got = cross_entropy(logits, mixed_targets(labels, one, num_classes=4).double())
    each = cross_entropy(logits, labels, reduction="none")
    of_partner = cross_entropy(logits, labels[one["partners"]], reduction="none")
    weights = torch.tensor(one["weights"], dtype=torch.float64)
    expected = (weights * each + (1 - weights) * of_partner).mean()
    torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-6)


def test_without_mixing_clips_stay_what_they_are():
    clips = batch(5, 3, 4).float()
    torch.testing.assert_close(mixed(clips, drawn(5, alpha=0.0)), clips, rtol=0, atol=0)
    labels = mixed_targets(torch.arange(5), drawn(5, alpha=0.0), num_classes=5)
    torch.testing.assert_close(labels, torch.eye(5), rtol=0, atol=0)


def test_motions_of_a_blend_are_the_blend_of_motions_and_inputs_stay():
    clips, one = batch(6, 3, 8, 4, 2), drawn(6)
    before = clips.clone()
    torch.testing.assert_close(mixed(clips, one).diff(dim=2), mixed(clips.diff(dim=2), one))
    torch.testing.assert_close(clips, before, rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_precision_follows_the_batch_and_gradients_pass(dtype):
    clips = batch(4, 3).to(dtype).requires_grad_()
    blend = mixed(clips, drawn(4))
    assert blend.dtype == dtype
    blend.sum().backward()
    assert torch.isfinite(clips.grad).all()


@pytest.mark.parametrize("alpha", [-0.1, float("nan"), float("inf")])
def test_a_senseless_alpha_is_refused(alpha):
    with pytest.raises(ValueError, match="expected a finite number from 0"):
        drawn(3, alpha=alpha)


def test_a_draw_of_another_batch_is_refused():
    with pytest.raises(ValueError, match="expected N = 4 clips as drawn, got 3"):
        mixed(batch(3, 2), drawn(4))
