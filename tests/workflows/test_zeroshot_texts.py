"""Encoded texts as the matching network reads them."""

from __future__ import annotations

import numpy as np
import torch

from skelaug.text.descriptions import ClassTexts
from skelaug.text.hashed import HashedEncoder
from skelaug.workflows.zeroshot_texts import (
    ClassBank,
    TextScale,
    all_sentences,
    encoded,
    pooled_texts,
)

TEXTS = [
    ClassTexts("kick", "kick a ball", ("The leg swings.", "A foot goes far forward."), 1),
    ClassTexts("sit", "sit down", ("The hips sink slowly onto a chair.",), 0),
    ClassTexts("wave", "wave one hand", (), 1),
]
ENCODER = HashedEncoder(tokens=7)


def test_scaled_texts_vary_by_one_about_zero() -> None:
    texts = encoded(ENCODER, all_sentences(TEXTS))
    scaled = TextScale.of(texts).applied(texts)
    assert float(texts.pooled.square().mean()) < 0.1  # what it is for
    for rows, raw in (
        (scaled.pooled, texts.pooled),
        (scaled.local[texts.mask], texts.local[texts.mask]),
    ):
        torch.testing.assert_close(rows.mean(dim=0), torch.zeros(ENCODER.size), rtol=0, atol=1e-6)
        torch.testing.assert_close(rows.square().mean(), torch.tensor(1.0), rtol=1e-5, atol=0)
        shares = (raw - raw.mean(dim=0)) / rows  # one number for all
        assert float(shares.std() / shares.mean()) < 1e-3


def test_words_that_are_not_there_stay_nothing() -> None:
    texts = encoded(ENCODER, all_sentences(TEXTS))
    scaled = TextScale.of(texts).applied(texts)
    assert not scaled.local[~texts.mask].any()
    torch.testing.assert_close(scaled.mask, texts.mask)


def test_no_scale_changes_nothing() -> None:
    texts = encoded(ENCODER, all_sentences(TEXTS))
    same = TextScale.none(ENCODER.size).applied(texts)
    torch.testing.assert_close(same.pooled, texts.pooled, rtol=0, atol=0)
    torch.testing.assert_close(same.local[texts.mask], texts.local[texts.mask], rtol=0, atol=0)


def test_a_bank_scales_what_it_lends_and_lays_side_by_side() -> None:
    scale = TextScale.of(encoded(ENCODER, all_sentences(TEXTS)))
    bank = ClassBank.of(ENCODER, TEXTS, None, scale, words=True, paired=False)
    sparse = scale.applied(encoded(ENCODER, [one.sparse for one in TEXTS]))
    torch.testing.assert_close(bank.sparse.pooled, sparse.pooled)
    drawn = bank.drawn(
        torch.tensor([2, 1, 0]), torch.ones(3).bool(), generator=torch.Generator().manual_seed(0)
    )
    rich = scale.applied(encoded(ENCODER, [TEXTS[2].sparse, TEXTS[1].rich[0]]))
    torch.testing.assert_close(drawn.pooled[:2], rich.pooled)
    pairs = ClassBank.of(ENCODER, TEXTS, None, scale, words=True, paired=True)
    first = scale.applied(encoded(ENCODER, [TEXTS[0].rich[0], TEXTS[1].rich[0], TEXTS[2].sparse]))
    torch.testing.assert_close(pairs.sparse.pooled, torch.cat([sparse.pooled, first.pooled], dim=1))


def test_a_text_can_be_one_token() -> None:
    scale = TextScale.of(encoded(ENCODER, all_sentences(TEXTS)))
    words = ClassBank.of(ENCODER, TEXTS, None, scale, words=True, paired=False)
    bank = ClassBank.of(ENCODER, TEXTS, None, scale, words=False, paired=False)
    torch.testing.assert_close(bank.sparse.local[:, 0], words.sparse.pooled, rtol=0, atol=0)
    assert bank.sparse.mask.shape == (3, 1)
    assert bank.sparse.mask.all()


def test_a_class_is_asked_with_its_sparse_text_or_with_the_mean_of_all() -> None:
    scale = TextScale.none(ENCODER.size)
    bank = ClassBank.of(ENCODER, TEXTS, None, scale, words=False, paired=False)
    torch.testing.assert_close(bank.asked("sparse").pooled, bank.sparse.pooled, rtol=0, atol=0)
    mean = bank.asked("mean")
    told = ENCODER.encode([TEXTS[0].sparse, *TEXTS[0].rich]).pooled.mean(axis=0)
    torch.testing.assert_close(mean.pooled[0], torch.from_numpy(told))
    torch.testing.assert_close(mean.pooled[2], bank.sparse.pooled[2])  # it has no other
    torch.testing.assert_close(mean.local[:, 0], mean.pooled, rtol=0, atol=0)
    np.testing.assert_allclose(pooled_texts(ENCODER, TEXTS, "mean"), mean.pooled, rtol=1e-5)
    sparse = ENCODER.encode([one.sparse for one in TEXTS]).pooled
    np.testing.assert_array_equal(pooled_texts(ENCODER, TEXTS, "sparse"), sparse)


def test_blended_texts_are_means_of_those_of_their_class() -> None:
    bank = ClassBank.of(
        ENCODER, TEXTS, None, TextScale.none(ENCODER.size), words=False, paired=False
    )
    labels = torch.tensor([0, 1, 2]).repeat(500)
    blended = bank.blended(labels, generator=torch.Generator().manual_seed(0))
    assert blended.local.shape == (1500, 1, ENCODER.size)
    told = torch.from_numpy(ENCODER.encode([TEXTS[0].sparse, *TEXTS[0].rich]).pooled)
    kicks = blended.pooled[labels == 0]
    weights = torch.linalg.lstsq(told.T.double(), kicks.T.double()).solution.T
    torch.testing.assert_close((weights @ told.double()).float(), kicks, rtol=0, atol=1e-5)
    assert bool((weights > -1e-5).all())
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(500).double(), rtol=0, atol=1e-5)
    # uniform on the triangle: mean 1/3, variance 1/18
    torch.testing.assert_close(
        weights.mean(dim=0), torch.full((3,), 1 / 3).double(), atol=0.04, rtol=0
    )
    assert abs(float(weights.var(dim=0).mean()) - 1 / 18) < 0.008
