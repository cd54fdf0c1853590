"""Words as fixed random vectors: an encoder without any weights, for tests."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from skelaug.text.encoded_texts import TOKENS, EncodedTexts, checked_sentences

__all__ = ["HashedEncoder"]


class HashedEncoder:
    """Gives each word a normal vector that is drawn from the word's checksum. For tests only.

    Equal words have equal vectors, different words nearly orthogonal ones; it knows nothing of
    meaning, so "jump" is as far from "hop" as from "sit". The pooled vector is the mean of the
    words' vectors, of length 1.
    """

    name = "hashed"

    def __init__(self, *, size: int = 64, tokens: int = TOKENS) -> None:
        self.size = size
        self.tokens = tokens

    def encode(self, sentences: Sequence[str]) -> EncodedTexts:
        """The sentences in their order; see `TextEncoder`."""
        texts = checked_sentences(sentences)
        local = np.zeros((len(texts), self.tokens, self.size), dtype=np.float32)
        mask = np.zeros((len(texts), self.tokens), dtype=np.bool_)
        pooled = np.zeros((len(texts), self.size), dtype=np.float32)
        for row, text in enumerate(texts):
            words = re.findall(r"\w+", text.lower()) or [text]
            vectors = np.stack([self._vector(word) for word in words])
            kept = vectors[: self.tokens]
            local[row, : len(kept)] = kept
            mask[row, : len(kept)] = True
            mean = vectors.mean(axis=0)
            pooled[row] = mean / np.linalg.norm(mean)
        return EncodedTexts(local, mask, pooled)

    def _vector(self, word: str) -> NDArray[np.float64]:
        return np.random.default_rng(zlib.crc32(word.encode())).standard_normal(self.size)
