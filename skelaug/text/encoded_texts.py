"""What an encoder makes of sentences: tokens in their order, and one vector for the whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from skelaug.errors import UsageError
from skelaug.shapes import check_shape

__all__ = ["TOKENS", "EncodedTexts", "TextEncoder", "checked_sentences"]

TOKENS = 35
"""Local tokens of a text, as many as TDSM and FDSM give their network."""


@dataclass(frozen=True, eq=False)
class EncodedTexts:
    """N sentences as numbers.

    Attributes:
        local: float32 N S E, one row per token; zero where `mask` is False.
        mask: bool N S, True = a token of the sentence; each sentence has at least one, the
            first ones, and the rest is padding.
        pooled: float32 N E, one vector per sentence.
    """

    local: NDArray[np.float32]
    mask: NDArray[np.bool_]
    pooled: NDArray[np.float32]

    def __post_init__(self) -> None:
        check_shape(self.local, "N S E", what="local")
        n, s, e = self.local.shape
        check_shape(self.mask, "N S", what="mask", N=n, S=s)
        check_shape(self.pooled, "N E", what="pooled", N=n, E=e)

    def __len__(self) -> int:
        return len(self.local)

    def take(self, rows: Sequence[int] | NDArray[np.integer]) -> EncodedTexts:
        """The sentences at these places, in this order."""
        index = np.asarray(rows, dtype=np.int64)
        return EncodedTexts(self.local[index], self.mask[index], self.pooled[index])

    @classmethod
    def joined(cls, parts: Sequence[EncodedTexts]) -> EncodedTexts:
        """The sentences of all parts, one after another; the parts have equal S and E."""
        return cls(
            np.concatenate([part.local for part in parts]),
            np.concatenate([part.mask for part in parts]),
            np.concatenate([part.pooled for part in parts]),
        )


class TextEncoder(Protocol):
    """Turns sentences into numbers, each by itself: other sentences of the call do not matter."""

    @property
    def name(self) -> str:
        """What `skelaug.text.encoder.open_encoder` takes to open it again."""
        ...

    @property
    def size(self) -> int:
        """Features E of a token and of the pooled vector."""
        ...

    @property
    def tokens(self) -> int:
        """Local tokens S; the rows of a longer text end there."""
        ...

    def encode(self, sentences: Sequence[str]) -> EncodedTexts:
        """The sentences in their order.

        Raises:
            UsageError: A sentence is empty.
        """
        ...


def checked_sentences(sentences: Sequence[str]) -> list[str]:
    """The sentences without blanks at their ends.

    Raises:
        UsageError: A sentence is empty.
    """
    stripped = [" ".join(sentence.split()) for sentence in sentences]
    if "" in stripped:
        raise UsageError(f"text {stripped.index('') + 1}: expected words, got an empty text")
    return stripped
