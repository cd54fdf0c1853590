"""Name actions nobody labelled: ``skelaug zeroshot predict``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from pydantic import PositiveInt

from skelaug.data.store import SequenceFile
from skelaug.errors import UsageError
from skelaug.files import require_file
from skelaug.progress import Progress, silent
from skelaug.text.descriptions import ClassTexts, load_descriptions
from skelaug.workflows import predict
from skelaug.workflows.predict import Answering, PredictConfig
from skelaug.workflows.prediction_report import PredictReport
from skelaug.workflows.recognizer import Recognizer
from skelaug.workflows.zeroshot import ClipMatcher, ZeroShotModel, load_zeroshot

__all__ = ["ZeroshotPredictConfig", "label_texts", "read_labels", "run"]


class ZeroshotPredictConfig(PredictConfig, frozen=True, extra="forbid"):
    """Which clips are named, by which of the user's labels.

    Attributes:
        models: One run of `skelaug train zeroshot`.
        labels: What clips may be called, in the user's words; empty takes the classes that the
            model was told of, seen and unseen.
        descriptions: YAML file or data set whose texts stand for labels of the same name.
        text: Encoder of sentences in place of the model's own.
        noises: Over which errors are averaged; None takes the model's own number.
    """

    labels: tuple[str, ...] = ()
    descriptions: str = ""
    text: str = ""
    noises: PositiveInt | None = None


def run(
    config: ZeroshotPredictConfig,
    *,
    force: bool = False,
    dry_run: bool = False,
    device: str = "auto",
    write: Callable[[str], None] | None = None,
    progress: Progress = silent,
) -> PredictReport:
    """Name every clip or window of a file by one of the labels.

    Args:
        config: What to do.
        force: Whether outputs may replace what is there.
        dry_run: Check files, model and labels, and compute nothing.
        device: Where to compute.
        write: See `skelaug.workflows.predict.run`.
        progress: Counts clips or windows.

    Raises:
        NotFoundError: A file, the model or the text encoder does not exist.
        UsageError: A label is empty or there twice, or the settings contradict one another.
        DataError: A file is damaged, its layout is another, or no clip can be used.
        DependencyError: The package of the text encoder is missing.
    """
    _checked(config.labels)
    return predict.run(
        config,
        force=force,
        dry_run=dry_run,
        device=device,
        write=write,
        progress=progress,
        by=Answering("zeroshot predict", partial(_load, config)),
    )


def _load(
    config: ZeroshotPredictConfig, file: SequenceFile, device: torch.device
) -> Sequence[Recognizer]:
    if len(config.models) != 1:
        raise UsageError(f"--model: expected one model, got {len(config.models)}")
    model = load_zeroshot(config.models[0], text=config.text, device=device)
    model.encoder.check_clips(file.layout, file.channels, where=str(file.path))
    classes = label_texts(config.labels, model, config.descriptions)
    return [_as_recognizer(model, classes, config.noises or int(model.told["noises"]))]


def _as_recognizer(model: ZeroShotModel, classes: Sequence[ClassTexts], noises: int) -> Recognizer:
    checkpoint = replace(model.checkpoint, classes=tuple(one.name for one in classes))
    return replace(
        model.encoder,
        name=model.name,
        checkpoint=checkpoint,
        network=ClipMatcher(model, classes, noises).eval(),
    )


def label_texts(
    labels: Sequence[str], model: ZeroShotModel, descriptions: str = ""
) -> list[ClassTexts]:
    """What labels are asked with: a description of that name, else their own words.

    Args:
        labels: In the user's words; empty = the classes that the model was told of.
        model: The model.
        descriptions: YAML file or data set; without one, labels are taken at their word.

    Raises:
        UsageError: A label is empty or there twice.
    """
    if not labels and not descriptions:
        return model.descriptions
    book = load_descriptions(descriptions) if descriptions else {}
    by_name = {name.casefold(): one for name, one in book.items()}
    found = []
    for label in _checked(labels) or list(book):
        own = by_name.get(label.casefold())
        plain = ClassTexts(name=label, sparse=label, rich=(), intensity=0)
        found.append(replace(own, name=label) if own else plain)
    return found


def read_labels(path: Path) -> list[str]:
    """The labels of a text file, one per line; lines of blanks alone do not count."""
    lines = require_file(path).read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip()]


def _checked(labels: Sequence[str]) -> list[str]:
    """The labels without blanks at their ends.

    Raises:
        UsageError: One is empty, or two are equal but for case and blanks.
    """
    plain = [" ".join(label.split()) for label in labels]
    if "" in plain:
        place = plain.index("") + 1
        raise UsageError(f"--labels: expected words, got nothing as label {place} of {len(plain)}")
    folded = [label.casefold() for label in plain]
    twice = [label for label, own in zip(plain, folded, strict=True) if folded.count(own) > 1]
    if twice:
        raise UsageError(f"--labels: expected different labels, got {twice[0]!r} twice")
    if len(plain) == 1:
        raise UsageError(f"--labels: expected two labels or more to choose from, got {plain[0]!r}")
    return plain
