"""Text encoders by name.

==========  =========================================================================  ============
minilm      all-MiniLM-L6-v2, E = 384; its weights come inside the package             [text-mini]
clip:PLACE  text tower of a CLIP model in a folder, or in the cache of transformers    [text]
FILE.npz    sentences that were encoded before; see `skelaug.text.precomputed`
hashed      words as fixed random vectors; knows no meaning, for tests
==========  =========================================================================  ============

The last column is the extra to install: ``pip install "skelaug[text-mini]"``.
"""

from __future__ import annotations

from pathlib import Path

from skelaug.errors import NotFoundError, UsageError, did_you_mean
from skelaug.text.encoded_texts import TOKENS, EncodedTexts, TextEncoder
from skelaug.text.hashed import HashedEncoder
from skelaug.text.precomputed import PrecomputedEncoder

__all__ = ["ENCODERS", "EncodedTexts", "TextEncoder", "open_encoder"]

ENCODERS = ("minilm", "clip:PLACE", "FILE.npz", "hashed")
"""What `open_encoder` takes."""


def open_encoder(name_or_path: str | Path, *, tokens: int = TOKENS) -> TextEncoder:
    """The text encoder of this name.

    Args:
        name_or_path: As in the table above.
        tokens: Local tokens S; a file has its own.

    Raises:
        UsageError: ``clip:`` lacks its place.
        NotFoundError: There is no such encoder, folder or file.
        DependencyError: A package is missing; the message has the line to type.
        DataError: A folder or a file is not what it should be.
    """
    name = str(name_or_path)
    if name == "minilm":
        from skelaug.text.pretrained import MiniLMEncoder

        return MiniLMEncoder(tokens=tokens)
    kind, colon, place = name.partition(":")
    if kind == "clip" and colon:
        from skelaug.text.pretrained import CLIPTextEncoder

        if not place:
            raise UsageError("text encoder clip: expected a folder or name, got none; clip:PLACE")
        return CLIPTextEncoder(place, tokens=tokens)
    if name == "hashed":
        return HashedEncoder(tokens=tokens)
    if name.endswith(".npz"):
        return PrecomputedEncoder(Path(name))
    raise NotFoundError(f"text encoder {name!r}: no such encoder; {did_you_mean(name, ENCODERS)}")
