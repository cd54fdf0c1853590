from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import nn

from skelaug.optimisation import Optimisation, autocast_dtype, batch_indices, mixed_indices, seeded
from skelaug.seeds import Stream

CPU = torch.device("cpu")


def test_the_rate_rises_linearly_stays_and_falls_linearly_to_zero():
    rates = Optimisation(steps=100, lr=2.0, warmup=10, decay_start=0.6)
    assert rates.lr_at(0) == pytest.approx(0.2)
    assert rates.lr_at(9) == pytest.approx(2.0)
    assert [rates.lr_at(step) for step in range(10, 61)] == [2.0] * 51
    falls = np.diff([rates.lr_at(step) for step in range(60, 100)])
    np.testing.assert_allclose(falls, -2.0 / 40)
    assert rates.lr_at(99) == pytest.approx(2.0 / 40)  # the update after the last would have 0


def test_without_warmup_and_decay_the_rate_is_constant():
    assert {Optimisation(steps=7, lr=0.3).lr_at(step) for step in range(7)} == {0.3}


@pytest.mark.parametrize("wrong", [{"ema_decay": 1.0}, {"lr": 0}, {"batch": 0}, {"precision": "x"}])
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(ValidationError):
        Optimisation(**wrong)


@given(
    batch=st.integers(1, 30),
    count=st.integers(1, 20),
    epochs=st.integers(1, 3),
    seed=st.integers(0),
)
def test_every_sample_comes_once_per_epoch_in_an_order_that_ignores_the_batch_size(
    batch, count, epochs, seed
):
    steps = -(-epochs * count // batch)
    stream = np.concatenate(
        [batch_indices(seed, step, batch=batch, count=count) for step in range(steps)]
    )[: epochs * count]
    for epoch in stream.reshape(epochs, count):
        assert sorted(epoch) == list(range(count))
    one_by_one = [batch_indices(seed, step, batch=1, count=count)[0] for step in range(len(stream))]
    assert stream.tolist() == one_by_one


def test_epochs_and_seeds_have_orders_of_their_own():
    first, second = (batch_indices(0, step, batch=50, count=50) for step in (0, 1))
    assert first.tolist() != second.tolist()
    assert first.tolist() != batch_indices(1, 0, batch=50, count=50).tolist()


@given(
    batch=st.integers(1, 12),
    sizes=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    share=st.floats(0.05, 0.95),
    seed=st.integers(0),
)
def test_a_favoured_part_has_its_share_and_each_part_passes_in_epochs_of_its_own(
    batch, sizes, share, seed
):
    favoured = np.arange(sizes[0])
    others = 100 + np.arange(sizes[1])
    steps = 40
    seen = [
        mixed_indices(seed, step, batch=batch, share=share, parts=(favoured, others))
        for step in range(steps)
    ]
    assert {len(one) for one in seen} == {batch}
    counts = np.cumsum([(one < 100).sum() for one in seen])
    wanted = share * batch * np.arange(1, steps + 1)
    assert np.abs(counts - wanted).max() <= 0.5 + 1e-9
    stream = np.concatenate(seen)
    for own, part in ((stream[stream < 100], favoured), (stream[stream >= 100], others)):
        whole = own[: len(own) // len(part) * len(part)].reshape(-1, len(part))
        for epoch in whole:
            assert sorted(epoch) == sorted(part)


def test_two_parts_of_one_size_have_orders_of_their_own():
    parts = (np.arange(40), np.arange(40))
    both = mixed_indices(0, 0, batch=80, share=0.5, parts=parts)
    assert both[:40].tolist() != both[40:].tolist()


def test_precision_is_what_was_asked_for_and_auto_is_one_of_the_two():
    assert autocast_dtype("bf16", CPU) is torch.bfloat16
    assert autocast_dtype("fp32", CPU) is None
    assert autocast_dtype("auto", CPU) in (torch.bfloat16, None)


def test_a_seeded_block_draws_by_its_address_and_leaves_the_global_stream_alone():
    before = torch.random.get_rng_state()
    with seeded(3, Stream.INITIAL_WEIGHTS):
        first = nn.Linear(4, 4).weight.detach().clone()
    assert torch.equal(torch.random.get_rng_state(), before)
    with seeded(3, Stream.INITIAL_WEIGHTS):
        torch.testing.assert_close(nn.Linear(4, 4).weight.detach(), first, rtol=0, atol=0)
    with seeded(4, Stream.INITIAL_WEIGHTS):
        assert not torch.equal(nn.Linear(4, 4).weight, first)


@pytest.mark.parametrize(
    ("clips", "steps"), [(100, 94), (431, 405), (10_000, 500), (1, 1)], ids=str
)
def test_epochs_bound_the_steps_of_small_sets(clips: int, steps: int) -> None:
    """120 passes over 100 clips in batches of 128: 12,000 / 128 = 93.75 updates."""
    bounded = Optimisation(steps=500, batch=128, max_epochs=120).for_clips(clips)
    assert bounded.steps == steps
    assert bounded.for_clips(clips) == bounded
    assert Optimisation(steps=500).for_clips(clips).steps == 500


def test_steps_divide_the_rate_by_ten_at_each_milestone():
    rates = Optimisation(steps=100, lr=2.0, warmup=4, decay="steps", milestones=(0.5, 0.9))
    assert rates.lr_at(1) == pytest.approx(1.0)
    assert {rates.lr_at(step) for step in range(4, 50)} == {2.0}
    assert [rates.lr_at(step) for step in (50, 89, 90, 99)] == pytest.approx([0.2, 0.2, 0.02, 0.02])


def test_a_cosine_falls_from_the_end_of_the_warmup_to_zero():
    rates = Optimisation(steps=110, lr=3.0, warmup=10, decay="cosine")
    assert rates.lr_at(9) == rates.lr_at(10) == pytest.approx(3.0)
    share = np.arange(100) / 100
    expected = 1.5 * (1 + np.cos(np.pi * share))  # Loshchilov and Hutter 2017, eq. 5
    np.testing.assert_allclose([rates.lr_at(step) for step in range(10, 110)], expected)


def test_epochs_become_steps_and_warmup_for_a_number_of_clips():
    rates = Optimisation(epochs=65, warmup_epochs=5, batch=64)
    some = rates.for_clips(1020)
    assert (some.steps, some.warmup) == (1036, 80)  # 65 and 5 times 1020 / 64, rounded up
    assert Optimisation(steps=7, warmup=3).for_clips(10**6).steps == 7
    bounded = Optimisation(steps=500, max_epochs=2, batch=10).for_clips(100)
    assert bounded.steps == 20
