"""Encoded texts as the matching network reads them."""

from __future__ import annotations

import torch

from skelaug.text.descriptions import ClassTexts
from skelaug.text.hashed import HashedEncoder
from skelaug.workflows.zeroshot_texts import ClassBank, TextScale, all_sentences, encoded

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
    bank = ClassBank.of(ENCODER, TEXTS, None, scale, paired=False)
    sparse = scale.applied(encoded(ENCODER, [one.sparse for one in TEXTS]))
    torch.testing.assert_close(bank.sparse.pooled, sparse.pooled)
    drawn = bank.drawn(
        torch.tensor([2, 1, 0]), torch.ones(3).bool(), generator=torch.Generator().manual_seed(0)
    )
    rich = scale.applied(encoded(ENCODER, [TEXTS[2].sparse, TEXTS[1].rich[0]]))
    torch.testing.assert_close(drawn.pooled[:2], rich.pooled)
    pairs = ClassBank.of(ENCODER, TEXTS, None, scale, paired=True)
    first = scale.applied(encoded(ENCODER, [TEXTS[0].rich[0], TEXTS[1].rich[0], TEXTS[2].sparse]))
    torch.testing.assert_close(pairs.sparse.pooled, torch.cat([sparse.pooled, first.pooled], dim=1))
