"""The texts of classes as the matching network reads them: encoded, with how lively they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from skelaug.text.descriptions import ClassTexts
from skelaug.text.encoder import EncodedTexts, TextEncoder
from skelaug.zeroshot.noise_error import Texts

__all__ = [
    "Ask",
    "ClassBank",
    "TextScale",
    "all_sentences",
    "as_json",
    "centre_and_scale",
    "encoded",
    "from_json",
    "pooled_texts",
    "side_by_side_texts",
    "teach_head",
]

Ask = Literal["sparse", "mean"]
"""With what a class is asked: its sparse description, or the mean of that and its rich ones."""

_HEAD_RATE = 1e-3  # FDSM, sec. 4.1


def as_json(texts: Sequence[ClassTexts]) -> list[dict[str, Any]]:
    """Descriptions as plain JSON values."""
    return [
        {"name": t.name, "sparse": t.sparse, "rich": list(t.rich), "intensity": t.intensity}
        for t in texts
    ]


def from_json(told: Sequence[Mapping[str, Any]]) -> list[ClassTexts]:
    """The inverse of `as_json`."""
    return [
        ClassTexts(
            name=str(t["name"]),
            sparse=str(t["sparse"]),
            rich=tuple(t["rich"]),
            intensity=int(t["intensity"]),
        )
        for t in told
    ]


class TextScale(NamedTuple):
    """Means that are taken off encoded texts, and what they are divided by then.

    Sentence encoders answer vectors of length 1 that are much alike. A network whose other inputs
    vary by about 1 hardly hears them.

    Attributes:
        pooled_mean: E.
        pooled_scale: One number.
        local_mean: Of tokens, E.
        local_scale: One number.
    """

    pooled_mean: Tensor
    pooled_scale: Tensor
    local_mean: Tensor
    local_scale: Tensor

    @classmethod
    def none(cls, size: int) -> TextScale:
        """What leaves texts of E numbers as they are."""
        return cls(torch.zeros(size), torch.ones(()), torch.zeros(size), torch.ones(()))

    @classmethod
    def of(cls, texts: Texts) -> TextScale:
        """What gives these texts, and their tokens, mean 0 and mean square 1."""
        pooled_mean, pooled_scale = centre_and_scale(texts.pooled)
        return cls(pooled_mean, pooled_scale, *centre_and_scale(texts.local[texts.mask]))

    def applied(self, texts: Texts) -> Texts:
        """The texts, scaled; tokens that are not there stay 0."""
        local = (texts.local - self.local_mean) / self.local_scale
        return replace(
            texts,
            local=torch.where(texts.mask[..., None], local, 0),
            pooled=(texts.pooled - self.pooled_mean) / self.pooled_scale,
        )


def centre_and_scale(rows: Tensor) -> tuple[Tensor, Tensor]:
    """The mean of rows N E, and the root mean square of what it leaves, one number."""
    mean = rows.double().mean(dim=0)
    scale = (rows - mean).square().mean().sqrt().clamp(min=1e-6)
    return mean.float(), scale.float()


def encoded(encoder: TextEncoder, sentences: Sequence[str], head: nn.Module | None = None) -> Texts:
    """Sentences as tokens, with the gain that a kinematic head gives them.

    Args:
        encoder: Of texts.
        sentences: N of them.
        head: From pooled texts to logits; None leaves the gains out.
    """
    return _with_gain(_tensors(encoder.encode(list(sentences))), head)


def _tensors(texts: EncodedTexts) -> Texts:
    return Texts(
        torch.from_numpy(texts.local),
        torch.from_numpy(texts.mask),
        torch.from_numpy(texts.pooled),
    )


@torch.no_grad()
def _with_gain(texts: Texts, head: nn.Module | None) -> Texts:
    gain = None if head is None else head(texts.pooled).sigmoid()
    return Texts(texts.local, texts.mask, texts.pooled, gain)


def side_by_side_texts(one: Texts, other: Texts) -> Texts:
    """Two texts of each class on one axis of features, as in TDSM: E becomes 2 E.

    A token is there if either text has it; the gain is that of the first.
    """
    return Texts(
        torch.cat([one.local, other.local], dim=2),
        one.mask | other.mask,
        torch.cat([one.pooled, other.pooled], dim=1),
        one.gain,
    )


def all_sentences(texts: Sequence[ClassTexts]) -> list[str]:
    """Sparse and rich descriptions, class by class."""
    return [sentence for one in texts for sentence in (one.sparse, *one.rich)]


def pooled_texts(
    encoder: TextEncoder, texts: Sequence[ClassTexts], ask: Ask
) -> NDArray[np.float32]:
    """One vector per class, Y E: of its sparse description, or the mean of all of them."""
    told = [[one.sparse, *(one.rich if ask == "mean" else ())] for one in texts]
    pooled = encoder.encode([sentence for own in told for sentence in own]).pooled
    ends = np.cumsum([len(own) for own in told])[:-1]
    return np.stack([own.mean(axis=0) for own in np.split(pooled, ends)])


def teach_head(
    head: nn.Module, encoder: TextEncoder, texts: Sequence[ClassTexts], *, epochs: int
) -> None:
    """Stage 1 (FDSM, sec. 3.4): binary cross-entropy of how lively each description is.

    All classes that are described take part: the labels are read off texts, not off clips. Adam
    with all texts in one batch, sparse and rich ones.

    Args:
        head: From pooled texts N E to logits N; trained in place and frozen.
        encoder: Of texts.
        texts: Of the classes.
        epochs: Updates.
    """
    sentences = all_sentences(texts)
    lively = [float(one.intensity) for one in texts for _ in (one.sparse, *one.rich)]
    x = torch.from_numpy(encoder.encode(sentences).pooled)
    target = torch.tensor(lively)
    optimizer = torch.optim.Adam(head.parameters(), lr=_HEAD_RATE)
    for _ in range(epochs):
        loss = functional.binary_cross_entropy_with_logits(head(x), target)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    head.eval().requires_grad_(False)


@dataclass(frozen=True, eq=False)
class ClassBank:
    """The encoded texts of Y classes.

    Attributes:
        sparse: One per class.
        rich: All rich ones, one class after the other; empty where texts lie side by side.
        first: Where those of each class begin, Y + 1.
    """

    sparse: Texts
    rich: Texts | None
    first: Tensor

    @classmethod
    def of(
        cls,
        encoder: TextEncoder,
        texts: Sequence[ClassTexts],
        head: nn.Module | None,
        scale: TextScale,
        *,
        words: bool,
        paired: bool,
    ) -> ClassBank:
        """The texts of classes.

        Args:
            encoder: Of texts.
            texts: Of the classes; a class without rich ones lends its sparse one.
            head: Of the gains; None leaves them out.
            scale: Of the texts.
            words: Whether a text's tokens are its words; else it is one token, the text as a whole.
            paired: Whether the sparse and the first rich one lie side by side, as in TDSM.
        """
        many = [one.rich or (one.sparse,) for one in texts]
        first = torch.tensor([0, *(len(own) for own in many)]).cumsum(0)
        sparse = encoded(encoder, [one.sparse for one in texts], head)
        rich = encoded(encoder, [sentence for own in many for sentence in own], head)
        sparse, rich = scale.applied(sparse), scale.applied(rich)
        if not words:
            sparse, rich = _as_one_token(sparse), _as_one_token(rich)
        if not paired:
            return cls(sparse, rich, first)
        return cls(side_by_side_texts(sparse, rich[first[:-1]]), None, torch.zeros_like(first))

    def asked(self, ask: Ask) -> Texts:
        """What classes are asked with: their sparse texts, or means of all, which are one token."""
        if ask == "sparse" or self.rich is None:
            return self.sparse
        return self._means(self._owners() == torch.arange(len(self.sparse))[:, None])

    def drawn(self, labels: Tensor, is_rich: Tensor, *, generator: torch.Generator) -> Texts:
        """A text for each sample, a rich one of its class where that is wanted.

        Args:
            labels: Classes, N.
            is_rich: N, bool.
            generator: Draws which of the rich ones.
        """
        if self.rich is None:
            return self.sparse[labels]
        choice = torch.rand(len(labels), generator=generator)
        low, high = self.first[labels], self.first[labels + 1]
        row = low + (choice * (high - low)).long().clamp(max=high - low - 1)
        return self._every[torch.where(is_rich, len(self.sparse) + row, labels)]

    def blended(self, labels: Tensor, *, generator: torch.Generator) -> Texts:
        """For each sample a random mean of all texts of its class, uniform among such means.

        Texts must be one token each.

        Args:
            labels: Classes, N.
            generator: Draws the weights.
        """
        owners = self._owners()
        drawn = torch.empty(len(labels), len(owners)).exponential_(generator=generator)
        return self._means(drawn * (owners == labels[:, None]))

    @cached_property
    def _every(self) -> Texts:
        """Sparse ones first."""
        return self.sparse if self.rich is None else _joined(self.sparse, self.rich)

    def _owners(self) -> Tensor:
        """The class of each text, sparse ones first."""
        own = torch.arange(len(self.sparse))
        if self.rich is None:
            return own
        return torch.cat([own, own.repeat_interleave(self.first.diff())])

    def _means(self, weights: Tensor) -> Texts:
        """Means of the texts, sparse ones first, with weights N S."""
        every = self._every
        weights = weights / weights.sum(dim=1, keepdim=True)
        gain = None if every.gain is None else weights @ every.gain
        pooled = weights @ every.pooled
        mask = torch.ones(len(weights), 1, dtype=torch.bool)
        return Texts(pooled[:, None], mask, pooled, gain)


def _as_one_token(texts: Texts) -> Texts:
    present = torch.ones(len(texts), 1, dtype=torch.bool)
    return replace(texts, local=texts.pooled[:, None], mask=present)


def _joined(one: Texts, other: Texts) -> Texts:
    gain = None
    if one.gain is not None and other.gain is not None:
        gain = torch.cat([one.gain, other.gain])
    return Texts(
        torch.cat([one.local, other.local]),
        torch.cat([one.mask, other.mask]),
        torch.cat([one.pooled, other.pooled]),
        gain,
    )
