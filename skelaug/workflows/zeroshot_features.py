"""Features of clips as a recognizer sees them: one vector, or one per moment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skelaug.data.store import SequenceFile
from skelaug.errors import DataError, UsageError
from skelaug.files import replacing
from skelaug.models.recognizers.streams import as_streams
from skelaug.progress import Progress, silent
from skelaug.workflows.recognizer import Recognizer, StreamedNetwork
from skelaug.workflows.run_directory import RunDirectory

__all__ = ["Mode", "cached_features", "feature_sizes", "features_of", "positions_to_features"]

Mode = Literal["channel", "temporal"]

_BATCH = 32


def positions_to_features(recognizer: Recognizer, positions: Tensor, mode: Mode) -> Tensor:
    """Prepared positions N C T V M to features N L D; L is 1 in mode ``channel``.

    Raises:
        UsageError: The network does not tell features over time.
    """
    streamed = recognizer.network
    assert isinstance(streamed, StreamedNetwork)
    network: Any = streamed.network
    x = as_streams(positions, recognizer.streams, recognizer.layout.parents)
    if mode == "channel":
        pooled: Tensor = network.features(x)[:, None]
        return pooled
    if not hasattr(network, "feature_sequence"):
        raise UsageError(
            f"mode=temporal: expected an encoder with features over time (kinematics, shift-gcn, "
            f"st-gcn), got {recognizer.checkpoint.kind}; add --set recognizer.model.name=kinematics"
        )
    sequence: Tensor = network.feature_sequence(x)
    return sequence


def feature_sizes(recognizer: Recognizer, mode: Mode) -> tuple[int, int]:
    """Tokens L and numbers D of the features of a clip."""
    frames, persons, joints, channels = recognizer.shape
    blank = torch.ones(1, channels, frames, joints, persons, device=recognizer.device)
    with torch.inference_mode():
        _, length, size = positions_to_features(recognizer, blank, mode).shape
    return length, size


def features_of(
    recognizer: Recognizer,
    file: SequenceFile,
    rows: Sequence[int],
    mode: Mode,
    progress: Progress = silent,
) -> NDArray[np.float32]:
    """Features of clips of a file, float32 N L D.

    Raises:
        DataError: A clip cannot be prepared.
    """
    recognizer.check_clips(file.layout, file.channels, where=str(file.path))
    found = []
    with progress("looking at clips", total=len(rows)) as advance:
        for start in range(0, len(rows), _BATCH):
            some = rows[start : start + _BATCH]
            try:
                prepared = np.stack([recognizer.prepare(file[int(row)]) for row in some])
            except DataError as error:
                raise DataError(f"{file.path}: {error}") from error
            x = torch.from_numpy(recognizer.arranged(prepared)).to(recognizer.device)
            with torch.inference_mode():
                found.append(positions_to_features(recognizer, x, mode).float().cpu().numpy())
            advance(len(some))
    return np.concatenate(found) if found else np.empty((0, 1, 0), dtype=np.float32)


def cached_features(
    recognizer: Recognizer,
    file: SequenceFile,
    rows: Sequence[int],
    mode: Mode,
    directory: RunDirectory,
    progress: Progress = silent,
) -> NDArray[np.float32]:
    """The same, kept in the run directory, so that a resumed run starts from the same numbers."""
    if directory.features.exists():
        kept = np.load(directory.features, allow_pickle=False)
        if len(kept) == len(rows):
            return np.asarray(kept, dtype=np.float32)
    found = features_of(recognizer, file, rows, mode, progress)
    with replacing(directory.features) as part, part.open("wb") as out:
        np.save(out, found, allow_pickle=False)
    return found
