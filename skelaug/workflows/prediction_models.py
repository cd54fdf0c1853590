"""The recognizers of a prediction: do they fit the file and one another, what do they weigh."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from skelaug.data.splits import split_clips, split_hash
from skelaug.data.store import SequenceFile
from skelaug.errors import DataError, SkelaugError
from skelaug.models.recognizers.streams import FUSION_WEIGHTS
from skelaug.workflows.recognizer import Recognizer, load_recognizer

__all__ = ["class_order", "load_recognizers", "stream_weights", "training_clips"]


def load_recognizers(
    names: Sequence[str], file: SequenceFile, *, device: torch.device
) -> list[Recognizer]:
    """The named recognizers, each of which knows the joints of a file.

    Raises:
        NotFoundError: There is no such model, or it has no recognizer.
        DataError: A model is damaged or knows other joints.
    """
    recognizers = [load_recognizer(name, device=device) for name in names]
    for recognizer in recognizers:
        recognizer.check_clips(file.layout, file.channels, where=str(file.path))
    return recognizers


def class_order(first: Recognizer, other: Recognizer) -> list[int]:
    """Where the classes of one model are among those of another, by name.

    Raises:
        DataError: The other has a class less or more.
    """
    lacking = [name for name in first.classes if name not in other.classes]
    extra = [name for name in other.classes if name not in first.classes]
    if lacking or extra:
        fault = f"no class {lacking[0]!r}" if lacking else f"a class {extra[0]!r} more"
        raise DataError(
            f"{other.name}: expected the {len(first.classes)} classes of {first.name}, got "
            f"{len(other.classes)} with {fault}; fuse models of the same classes"
        )
    return [other.classes.index(name) for name in first.classes]


def stream_weights(recognizers: Sequence[Recognizer]) -> tuple[float, ...]:
    """The published weights of streams where each model has another one, else 1 for all."""
    streams = [one.streams[0] for one in recognizers if len(one.streams) == 1]
    if len(recognizers) > 1 and len(set(streams)) == len(recognizers):
        return tuple(FUSION_WEIGHTS[stream] for stream in streams)
    return (1.0,) * len(recognizers)


def training_clips(file: SequenceFile, recognizers: Sequence[Recognizer]) -> NDArray[np.bool_]:
    """Which clips of a file a model was trained on, as far as the models tell, N."""
    seen = np.zeros(len(file), dtype=np.bool_)
    for recognizer in recognizers:
        told = recognizer.checkpoint.meta.get("split")
        if not isinstance(told, Mapping):
            continue
        try:
            split = split_clips(file, str(told.get("rule", "")))
        except SkelaugError:  # trained on a file of another kind
            continue
        only = told.get("classes")
        known = [i for i, name in enumerate(file.classes) if only is None or name in only]
        rows = (
            split.train if only is None else split.train[np.isin(file.labels[split.train], known)]
        )
        if told.get("hash") == (
            split.hash if only is None else split_hash([file.names[row] for row in rows])
        ):
            seen[rows] = True
    return seen
