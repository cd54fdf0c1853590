"""The models that there are: packaged ones and the runs below a folder, with what they can do."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from skelaug.errors import DataError
from skelaug.zoo import find_model, local_models, packaged, weights_in

if TYPE_CHECKING:
    from skelaug.checkpoint import Checkpoint

__all__ = ["ModelList", "ModelPart", "ModelSummary", "ModelsConfig", "run", "summarise"]


class ModelsConfig(BaseModel, frozen=True, extra="forbid"):
    """What is listed.

    Attributes:
        name: A packaged model or a run directory; empty lists all.
        root: Run directories are looked for here and two folders below.
    """

    name: str = ""
    root: Path = Path()


class ModelPart(BaseModel, frozen=True):
    """One network of a model.

    Attributes:
        role: What it is for: the file's name without its ending.
        kind: Which network.
        parameters: How many numbers it has learnt.
        megabytes: Size of its file.
        scores: What was measured, as stored with it.
    """

    role: str
    kind: str
    parameters: int
    megabytes: float
    scores: dict[str, Any] = {}


class ModelSummary(BaseModel, frozen=True):
    """A model: one or more networks on one layout and one list of classes.

    Attributes:
        name: What `--model` takes.
        where: ``packaged`` or ``local``.
        path: Its folder or file.
        layout: Name of the layout of its clips.
        classes: The labels that it knows.
        licence: Under which its weights may be used; empty where none is stored.
        parts: Its networks.
        card: The text of its card; empty where it has none.
    """

    name: str
    where: str
    path: str
    layout: str
    classes: list[str]
    licence: str
    parts: list[ModelPart]
    card: str = ""


class ModelList(BaseModel, frozen=True):
    """All models that were found, or the one that was asked for."""

    models: list[ModelSummary]


def run(config: ModelsConfig) -> ModelList:
    """List the models, or describe one.

    Raises:
        NotFoundError: There is no model of that name.
    """
    if config.name:
        path = find_model(config.name)
        where = "packaged" if path in packaged().values() else "local"
        return ModelList(models=[summarise(config.name, path, where=where)])
    found = [summarise(name, path, where="packaged") for name, path in packaged().items()]
    for name, path in local_models(config.root).items():
        with contextlib.suppress(DataError):  # a model of another program
            found.append(summarise(name, path, where="local"))
    return ModelList(models=found)


def summarise(name: str, path: Path, *, where: str) -> ModelSummary:
    """What a model is, from its weights and its card.

    Raises:
        DataError: One of its files is no checkpoint.
    """
    from skelaug.checkpoint import load_checkpoint  # torch loads here, not to look at sequences

    files = weights_in(path)
    checkpoints = {role: load_checkpoint(file) for role, file in files.items()}
    first = next(iter(checkpoints.values()))
    card = path / "card.md"
    licences = {_text(checkpoint.meta, "licence") for checkpoint in checkpoints.values()}
    return ModelSummary(
        name=name,
        where=where,
        path=str(path),
        layout=first.layout.name,
        classes=list(first.classes),
        licence=", ".join(sorted(licences - {""})),
        parts=[_part(role, files[role], checkpoints[role]) for role in files],
        card=card.read_text(encoding="utf-8") if path.is_dir() and card.is_file() else "",
    )


def _part(role: str, file: Path, checkpoint: Checkpoint) -> ModelPart:
    scores = checkpoint.meta.get("scores")
    return ModelPart(
        role=role,
        kind=checkpoint.kind,
        parameters=sum(weight.numel() for weight in checkpoint.weights.values()),
        megabytes=round(file.stat().st_size / 1e6, 2),
        scores=dict(scores) if isinstance(scores, Mapping) else {},
    )


def _text(meta: Mapping[str, Any], key: str) -> str:
    value = meta.get(key, "")
    return value if isinstance(value, str) else str(value)
