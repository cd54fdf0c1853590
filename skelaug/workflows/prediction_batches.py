"""The clips of a file, cut into windows, prepared and answered, some at a time.

Clips are read one after the other; so many batches as there are threads are prepared and computed
side by side. So memory depends on the batch, not on the number of clips, and the answers do not
depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel

from skelaug.data.store import SequenceFile
from skelaug.errors import DataError
from skelaug.place import side_by_side
from skelaug.skeleton.sequence import SkeletonSequence
from skelaug.workflows.recognizer import Preparation, Recognizer

__all__ = ["Answers", "Piece", "Rejection", "answers", "cut", "spans"]


class Rejection(BaseModel, frozen=True):
    """A clip, or a window of it, that no model can be asked about, and why."""

    name: str
    reason: str


class Piece(NamedTuple):
    """A clip or a window of it: the clip's place in the file, first frame, frame after the last."""

    clip: int
    start: int
    end: int


@dataclass(frozen=True, eq=False)
class Answers:
    """What recognizers say of some pieces.

    Attributes:
        pieces: P of them.
        logits: For each recognizer P K, in the order of its own classes.
        rejected: Pieces that could not be prepared.
    """

    pieces: Sequence[Piece]
    logits: Sequence[NDArray[np.float32]]
    rejected: Sequence[Rejection]

    def __len__(self) -> int:
        return len(self.pieces) + len(self.rejected)


def spans(frames: int, window: int | None, stride: int | None) -> list[tuple[int, int]]:
    """Windows over a clip as (first frame, frame after the last); the last one ends with the clip.

    Args:
        frames: Of the clip; one that is shorter than a window is a window itself.
        window: Frames of a window; None is the whole clip.
        stride: Frames between the beginnings of two windows; None is half a window.
    """
    if window is None or frames <= window:
        return [(0, frames)]
    last = frames - window
    starts = [*range(0, last, stride or max(1, window // 2)), last]
    return [(start, start + window) for start in starts]


def cut(sequence: SkeletonSequence, start: int, end: int) -> SkeletonSequence:
    """The frames `start` to `end - 1` of a clip, as a clip."""
    frames, confidence, uncertainty = slice(start, end), sequence.confidence, sequence.uncertainty
    keypoints = sequence.keypoints
    return sequence.replaced(
        positions=sequence.positions[frames],
        observed=sequence.observed[frames],
        confidence=None if confidence is None else confidence[frames],
        uncertainty=None if uncertainty is None else uncertainty[frames],
        keypoints=None if keypoints is None else keypoints[frames],
    )


def answers(
    file: SequenceFile,
    recognizers: Sequence[Recognizer],
    *,
    rows: Sequence[int] | None = None,
    batch: int = 32,
    window: int | None = None,
    stride: int | None = None,
) -> Generator[Answers]:
    """What recognizers say of the clips of a file, in their order, some pieces at a time.

    Args:
        file: The clips.
        recognizers: Those with equal preparations share the prepared clips.
        rows: Which of the clips; None takes all.
        batch: Pieces at a time.
        window: See `spans`.
        stride: See `spans`.
    """
    pieces = _pieces(file, range(len(file)) if rows is None else rows, window, stride)
    batches = iter(lambda: list(islice(pieces, batch)), [])
    on_cpu = all(one.device.type == "cpu" for one in recognizers)
    workers = torch.get_num_threads() if on_cpu else 1
    return side_by_side(partial(_answer, recognizers), batches, workers)


def _pieces(
    file: SequenceFile, rows: Sequence[int], window: int | None, stride: int | None
) -> Iterator[tuple[Piece, SkeletonSequence]]:
    for index in rows:
        clip = file[index]
        for start, end in spans(clip.num_frames, window, stride):
            yield Piece(index, start, end), cut(clip, start, end)


def _answer(
    recognizers: Sequence[Recognizer], batch: Sequence[tuple[Piece, SkeletonSequence]]
) -> Answers:
    by_preparation = {one.preparation: one for one in recognizers}
    prepared: dict[Preparation, list[NDArray[np.float32]]] = {key: [] for key in by_preparation}
    pieces, rejected = [], []
    for piece, sequence in batch:
        try:
            ready = [one.prepare(sequence) for one in by_preparation.values()]
        except DataError as error:
            reason = f"frames {piece.start} to {piece.end - 1}: {error}"
            rejected.append(Rejection(name=sequence.name, reason=reason))
            continue
        pieces.append(piece)
        for arrays, array in zip(prepared.values(), ready, strict=True):
            arrays.append(array)
    stacks = {key: np.stack(arrays) for key, arrays in prepared.items() if arrays}
    logits = [one.logits_of(stacks[one.preparation]) for one in recognizers] if pieces else []
    return Answers(pieces, logits, rejected)
