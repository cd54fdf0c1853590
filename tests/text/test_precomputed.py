"""Files of encoded sentences: there and back, and what is no such file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from skelaug.errors import DataError, NotFoundError
from skelaug.text.hashed import HashedEncoder
from skelaug.text.precomputed import PrecomputedEncoder, write_encoded

SENTENCES = ["wave", "sit down", "kick a ball, then walk away"]


def saved(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def sound() -> dict[str, Any]:
    return {
        "sentences": np.array(SENTENCES),
        "pooled": np.ones((3, 4), dtype=np.float32),
        "local": np.ones((3, 2, 4), dtype=np.float16),
        "mask": np.array([[1, 0], [1, 1], [1, 0]], dtype=bool),
    }


def test_what_is_written_is_read_again_in_any_order(tmp_path: Path) -> None:
    texts = HashedEncoder(size=8, tokens=5).encode(SENTENCES)
    write_encoded(tmp_path / "a.npz", SENTENCES, texts, name="hashed")
    again = PrecomputedEncoder(tmp_path / "a.npz")
    assert (again.size, again.tokens, again.name) == (8, 5, str(tmp_path / "a.npz"))
    turned = again.encode([SENTENCES[2], " sit  down "])
    np.testing.assert_array_equal(turned.local, texts.local[[2, 1]])
    np.testing.assert_array_equal(turned.mask, texts.mask[[2, 1]])
    np.testing.assert_array_equal(turned.pooled, texts.pooled[[2, 1]])


def test_pooled_vectors_alone_are_one_token_each(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.npz", sentences=np.array(SENTENCES), pooled=np.eye(3))
    texts = PrecomputedEncoder(path).encode(SENTENCES)
    np.testing.assert_array_equal(texts.local[:, 0], np.eye(3))
    assert texts.mask.shape == (3, 1)
    assert texts.mask.all()


def test_what_the_mask_hides_reads_as_zero(tmp_path: Path) -> None:
    texts = PrecomputedEncoder(saved(tmp_path / "a.npz", **sound())).encode(SENTENCES)
    assert (texts.local[:, 0] == 1).all()
    assert (texts.local[[0, 2], 1] == 0).all()
    assert texts.local.dtype == np.float32


def test_an_absent_sentence_is_named(tmp_path: Path) -> None:
    encoder = PrecomputedEncoder(saved(tmp_path / "a.npz", **sound()))
    with pytest.raises(NotFoundError, match=r"no sentence 'jump' \(2 such sentences\)"):
        encoder.encode(["wave", "jump", "run"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sentences": None}, "expected an array 'sentences'"),
        ({"pooled": None}, "expected an array 'pooled'"),
        ({"sentences": np.arange(3)}, "expected sentences N of text"),
        ({"sentences": np.array(["wave", "wave ", "run"])}, "'wave' again"),
        ({"pooled": np.ones((2, 4))}, "expected N E = 3 any numbers, got 2 x 4"),
        ({"pooled": np.full((3, 4), np.nan)}, "finite"),
        ({"local": np.ones((3, 2, 5))}, "expected N S E = 3 any 4 numbers"),
        ({"local": np.ones((3, 2, 4), dtype=int)}, "got 3 x 2 x 4 int64"),
        ({"mask": np.ones((3, 2))}, "truth values"),
        ({"mask": np.zeros((3, 2), dtype=bool)}, "at least one token"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    arrays = {key: value for key, value in {**sound(), **change}.items() if value is not None}
    with pytest.raises(DataError, match=message):
        PrecomputedEncoder(saved(tmp_path / "a.npz", **arrays))


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"PK nothing of the kind")
    with pytest.raises(DataError, match=r"expected an \.npz file of arrays"):
        PrecomputedEncoder(tmp_path / "a.npz")
    np.save(tmp_path / "b.npy", np.eye(2))
    with pytest.raises(DataError, match="expected an array 'sentences', got none"):
        PrecomputedEncoder(tmp_path / "b.npy")
    with pytest.raises(ValueError, match="expected 2 sentences, got 3"):
        texts = HashedEncoder().encode(SENTENCES[:2])
        write_encoded(tmp_path / "c.npz", SENTENCES, texts)
