"""A trained network on disk: safetensors weights with a JSON header, and the training state.

``model.safetensors`` carries in its metadata everything needed to build and use the network: kind,
constructor arguments, layout, classes, normalisation, split hash, licence, scores. ``state.pt``
holds what only a resumed training needs. Both appear whole or not at all; nothing is unpickled.
"""

from __future__ import annotations

import json
import pickle
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from skelaug.errors import DataError, NotFoundError
from skelaug.files import replacing
from skelaug.skeleton.layout import SkeletonLayout

__all__ = ["Checkpoint", "load_checkpoint", "load_state", "save_checkpoint", "save_state"]

FORMAT = "skelaug.checkpoint"
VERSION = 1


@dataclass(frozen=True)
class Checkpoint:
    """A network's weights and what is needed to use them.

    Attributes:
        kind: Which network: a key of the registries in ``skelaug.models``.
        arguments: Keyword arguments of its constructor (plain JSON values).
        weights: Its state dict, float32 once loaded.
        layout: The joints that it was trained on.
        classes: Class names in the order of its logits or embeddings.
        meta: What it was trained for (``what``: diffusion, guide ...), normalisation, codec, split
            hash, step, licence, scores; plain JSON values.
    """

    kind: str
    arguments: Mapping[str, Any]
    weights: Mapping[str, Tensor]
    layout: SkeletonLayout
    classes: tuple[str, ...]
    meta: Mapping[str, Any] = field(default_factory=dict)


def save_checkpoint(path: Path, checkpoint: Checkpoint, *, half: bool = False) -> None:
    """Write a checkpoint whole or not at all; `half` stores floating-point weights as float16."""
    header = {
        "format": FORMAT,
        "format_version": str(VERSION),
        "kind": checkpoint.kind,
        "arguments": json.dumps(dict(checkpoint.arguments), sort_keys=True),
        "layout": checkpoint.layout.to_json(),
        "classes": json.dumps(list(checkpoint.classes), ensure_ascii=False),
        "meta": json.dumps(dict(checkpoint.meta), sort_keys=True),
    }
    tensors = {
        name: (tensor.half() if half and tensor.is_floating_point() else tensor)
        .detach()
        .cpu()
        .contiguous()
        for name, tensor in checkpoint.weights.items()
    }
    with replacing(path) as part:
        part.write_bytes(_ordered(save(tensors, metadata=header)))


def _ordered(content: bytes) -> bytes:
    """The same safetensors file with its header in alphabetical order.

    The library writes the metadata in an order of its own each time; equal models must be equal
    files.
    """
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    text = json.dumps(header, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors start at a multiple of eight bytes
    return len(text).to_bytes(8, "little") + text + content[start:]


def load_checkpoint(path: Path, *, expect: str = "") -> Checkpoint:
    """Read a checkpoint.

    Args:
        path: The safetensors file.
        expect: What it must have been trained for, e.g. ``"diffusion"``: the beginning of
            ``meta["what"]``, or of `kind` where that is not said; empty accepts all.

    Raises:
        NotFoundError: There is no such file.
        DataError: It is not a checkpoint of this program, or of another version or purpose.
    """
    if not path.is_file():
        raise NotFoundError(f"{path}: no such checkpoint; train one with `skelaug train`")
    try:
        with safe_open(path, framework="pt") as file:
            header: dict[str, str] = file.metadata() or {}
            weights = {key: _full(file.get_tensor(key)) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise DataError(f"{path}: expected a safetensors file, got {error}") from error
    if header.get("format") != FORMAT:
        raise DataError(f"{path}: expected format {FORMAT}, got {header.get('format')!r}")
    if header.get("format_version") != str(VERSION):
        raise DataError(
            f"{path}: format_version is {header.get('format_version')}, "
            f"this program reads {VERSION}; update skelaug"
        )
    try:
        checkpoint = Checkpoint(
            kind=header["kind"],
            arguments=json.loads(header["arguments"]),
            weights=weights,
            layout=SkeletonLayout.from_json(header["layout"]),
            classes=tuple(json.loads(header["classes"])),
            meta=json.loads(header["meta"]),
        )
        purpose = str(checkpoint.meta.get("what", checkpoint.kind))
    except (KeyError, ValueError, TypeError, AttributeError, DataError) as error:
        raise DataError(f"{path}: the header of the checkpoint is damaged: {error}") from error
    if not purpose.startswith(expect):
        raise DataError(f"{path}: expected a {expect} model, got one for {purpose}")
    return checkpoint


def _full(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write a training state (tensors and plain values) whole or not at all.

    Equal states are equal files: given a path, torch would store the temporary name inside, and a
    pickle tells apart two equal texts that are not one object.
    """
    with replacing(path) as part, part.open("wb") as file:
        torch.save(_interned(state), file)


def _interned(value: Any) -> Any:
    """The value with plain dicts, and one object for equal texts."""
    if isinstance(value, Mapping):
        return {_interned(key): _interned(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_interned(item) for item in value)
    return sys.intern(value) if isinstance(value, str) else value


def load_state(path: Path) -> dict[str, Any]:
    """Read a training state; only tensors and plain values are admitted.

    Raises:
        NotFoundError: There is no such file.
        DataError: The file is damaged or holds anything else.
    """
    if not path.is_file():
        raise NotFoundError(f"{path}: no training state to resume from")
    if not zipfile.is_zipfile(path):  # torch would read a bare pickle too
        raise DataError(f"{path}: the training state cannot be read: not a whole archive")
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise DataError(f"{path}: the training state cannot be read: {error}") from error
    return state
