"""Sentences that were encoded elsewhere: ``FILE.npz`` with these arrays.

=========  ==========  ============================================================================
sentences  N           text; a sentence is found by its words, blanks at its ends do not matter
pooled     N E         one vector per sentence
local      N S E       rows of tokens; may be left out: the pooled vector is then the one token
mask       N S         True = a token of the sentence; may be left out where all of them are
name       one text    of the encoder; may be left out
=========  ==========  ============================================================================
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from skelaug.errors import DataError, NotFoundError
from skelaug.files import replacing, require_file
from skelaug.text.encoded_texts import EncodedTexts, checked_sentences

__all__ = ["PrecomputedEncoder", "write_encoded"]


class PrecomputedEncoder:
    """Looks sentences up in a file.

    Raises:
        NotFoundError: The file does not exist.
        DataError: It has not the arrays above.
    """

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        arrays = _read(require_file(path))
        self._texts = _encoded(arrays, path)
        sentences = [" ".join(str(text).split()) for text in arrays["sentences"].tolist()]
        self._row = {sentence: row for row, sentence in enumerate(sentences)}
        if len(self._row) < len(sentences):
            twice = next(text for text in sentences if sentences.count(text) > 1)
            raise DataError(f"{path}: expected each sentence once, got {twice!r} again")
        _, self.tokens, self.size = self._texts.local.shape

    def encode(self, sentences: Sequence[str]) -> EncodedTexts:
        """The sentences in their order; see `TextEncoder`.

        Raises:
            NotFoundError: The file does not have a sentence.
        """
        wanted = checked_sentences(sentences)
        absent = [sentence for sentence in wanted if sentence not in self._row]
        if absent:
            raise NotFoundError(
                f"{self.name}: no sentence {absent[0]!r} ({len(absent)} such sentences); encode "
                "them too and write the file anew"
            )
        return self._texts.take([self._row[sentence] for sentence in wanted])


def write_encoded(
    path: Path, sentences: Sequence[str], texts: EncodedTexts, *, name: str = ""
) -> None:
    """Write encoded sentences as a file that `PrecomputedEncoder` reads; whole or not at all.

    Args:
        path: Ends in ``.npz``.
        sentences: N texts.
        texts: What they were encoded to.
        name: Of the encoder.
    """
    if len(sentences) != len(texts):
        raise ValueError(f"expected {len(texts)} sentences, got {len(sentences)}")
    with replacing(path) as part, part.open("wb") as file:
        np.savez_compressed(
            file,
            sentences=np.array(checked_sentences(sentences), dtype=np.str_),
            local=texts.local,
            mask=texts.mask,
            pooled=texts.pooled,
            name=np.array(name),
        )


def _read(path: Path) -> dict[str, NDArray[np.generic]]:
    try:
        loaded = np.load(path, allow_pickle=False)
        arrays = {} if isinstance(loaded, np.ndarray) else dict(loaded)
    except (ValueError, EOFError, OSError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path}: expected an .npz file of arrays, got {error}") from error
    for key in ("sentences", "pooled"):
        if key not in arrays:
            there = ", ".join(arrays) or "none"
            raise DataError(f"{path}: expected an array {key!r}, got {there}")
    if arrays["sentences"].dtype.kind != "U" or arrays["sentences"].ndim != 1:
        raise DataError(f"{path}: expected sentences N of text, got {_what(arrays['sentences'])}")
    return arrays


def _encoded(arrays: Mapping[str, NDArray[np.generic]], path: Path) -> EncodedTexts:
    n = len(arrays["sentences"])
    pooled = _numbers(arrays["pooled"], "N E", (n, None), path)
    e = pooled.shape[1]
    if "local" not in arrays:
        return EncodedTexts(pooled[:, None], np.ones((n, 1), dtype=np.bool_), pooled)
    local = _numbers(arrays["local"], "N S E", (n, None, e), path)
    mask = arrays.get("mask", np.ones(local.shape[:2], dtype=np.bool_))
    if mask.dtype != np.bool_ or mask.shape != local.shape[:2] or not mask.any(axis=1).all():
        raise DataError(
            f"{path}: expected mask {n} {local.shape[1]} of truth values, at least one token of "
            f"each sentence, got {_what(mask)}"
        )
    shown = np.asarray(mask, dtype=np.bool_)
    return EncodedTexts(np.where(shown[..., None], local, np.float32(0)), shown, pooled)


def _numbers(
    array: NDArray[np.generic], letters: str, shape: tuple[int | None, ...], path: Path
) -> NDArray[np.float32]:
    fits = array.ndim == len(shape) and all(
        wanted in (None, got) for wanted, got in zip(shape, array.shape, strict=True)
    )
    if not fits or array.dtype.kind != "f" or 0 in array.shape[1:]:
        sizes = " ".join("any" if size is None else str(size) for size in shape)
        raise DataError(f"{path}: expected {letters} = {sizes} numbers, got {_what(array)}")
    if not np.isfinite(array).all():
        raise DataError(f"{path}: expected finite numbers {letters}, got some that are not")
    return array.astype(np.float32)


def _what(array: NDArray[np.generic]) -> str:
    return f"{' x '.join(str(size) for size in array.shape) or 'one'} {array.dtype}"
