"""Name the actions in clips: ``skelaug predict``.

Answers are written batch by batch and forgotten: memory does not grow with the number of clips.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, Field, NonNegativeFloat, PositiveInt
from scipy.special import softmax

from skelaug.data.splits import split_clips
from skelaug.data.store import SequenceFile
from skelaug.errors import DataError, UsageError
from skelaug.files import replacing, require_file, require_new
from skelaug.metrics.fusion import fuse
from skelaug.place import training_place
from skelaug.progress import Progress, silent
from skelaug.workflows.prediction_batches import Answers, Piece, Rejection, answers, spans
from skelaug.workflows.prediction_models import (
    class_order,
    load_recognizers,
    stream_weights,
    training_clips,
)
from skelaug.workflows.prediction_report import ModelRow, PredictReport, Tally
from skelaug.workflows.prediction_text import Prediction, csv_header, csv_row, json_line
from skelaug.workflows.provenance import file_hashes, write_run_record
from skelaug.workflows.recognizer import Recognizer

__all__ = ["Answering", "PredictConfig", "run"]

_DIGITS = 6

Write = Callable[[str], None]
Put = Callable[[list[Prediction]], object]


@dataclass(frozen=True)
class Answering:
    """Who answers.

    Attributes:
        command: What the record beside an output calls it.
        load: From the file and the device to those who answer.
    """

    command: str
    load: Callable[[SequenceFile, torch.device], Sequence[Recognizer]]


class PredictConfig(BaseModel, frozen=True, extra="forbid"):
    """Which clips are named by which models, and where the answers go.

    Attributes:
        data: Sequence file. Of more persons than a model has, its profile chooses.
        models: Packaged models, run directories or safetensors files; their logits are fused.
        weights: One per model; None takes 0.6 for the streams joint and bone and 0.4 for motions
            where each model has one stream and no two the same, else 1 for all.
        split: A protocol or rule; only clips outside its training part are named. Empty takes all.
        window: Frames of a sliding window; None takes whole clips.
        stride: Frames from one window to the next; None is half a window.
        out: File to write; None hands the lines to the caller.
        format: Of the answers; ``auto`` is CSV where `out` ends in .csv, else JSON lines.
        top: So many of the most probable classes per answer; None gives all.
        confusion: PNG of the confusion matrix to write.
        batch: Clips or windows that are computed together.
    """

    data: Path
    models: tuple[str, ...] = Field(default=("kinect20",), min_length=1)
    weights: tuple[NonNegativeFloat, ...] | None = None
    split: str = ""
    window: PositiveInt | None = None
    stride: PositiveInt | None = None
    out: Path | None = None
    format: Literal["auto", "jsonl", "csv"] = "auto"
    top: PositiveInt | None = None
    confusion: Path | None = None
    batch: PositiveInt = 32

    @property
    def is_csv(self) -> bool:
        """Whether answers are written as CSV."""
        by_name = self.out is not None and self.out.suffix.lower() == ".csv"
        return self.format == "csv" or (self.format == "auto" and by_name)


def run(
    config: PredictConfig,
    *,
    force: bool = False,
    dry_run: bool = False,
    device: str = "auto",
    write: Write | None = None,
    progress: Progress = silent,
    by: Answering | None = None,
) -> PredictReport:
    """Predict the class of every clip or window of a file.

    Args:
        config: What to do.
        force: Whether outputs may replace what is there.
        dry_run: Check files and models, and compute nothing.
        device: Where to compute.
        write: Takes the lines of each batch as soon as it is computed, where `config.out` is None;
            without it they are in the report.
        progress: Counts clips or windows.
        by: Who answers; None asks `config.models`.

    Raises:
        NotFoundError: A file or a model does not exist.
        UsageError: The settings contradict one another, or an output exists.
        DataError: A file is damaged, layouts or classes differ, or no clip can be used.
        StorageError: An output cannot be written.
    """
    started = time.monotonic()
    _check(config, force=force)
    with training_place(device) as place, SequenceFile(require_file(config.data)) as file:
        by = by or Answering("predict", partial(_named, config))
        job = _Job(config, file, by.load(file, place.device))
        if not dry_run:
            with _sink(job, write) as put:
                job.predict(put, progress)
            if config.confusion is not None:
                job.tally.draw(config.confusion, title=config.data.name)
        report = job.report(seconds=time.monotonic() - started, dry_run=dry_run)
        if config.out is not None and not dry_run:
            inputs = [config.data, *dict.fromkeys(one.path for one in job.recognizers)]
            write_run_record(
                config.out,
                config,
                command=by.command,
                seconds=report.seconds,
                details={"inputs": file_hashes(inputs)},
            )
    return report


def _check(config: PredictConfig, *, force: bool) -> None:
    """Refuse settings that contradict one another and outputs that exist."""
    if config.stride is not None and config.window is None:
        raise UsageError(f"--stride {config.stride}: expected a window too; add --window FRAMES")
    if config.stride and config.window and config.stride > config.window:
        raise UsageError(
            f"--stride {config.stride}: expected at most the window of {config.window} frames; "
            f"what lies between two windows would go unseen"
        )
    if config.weights is not None and len(config.weights) != len(config.models):
        raise UsageError(
            f"--weights: expected {len(config.models)} numbers, one for each --model, got "
            f"{len(config.weights)}"
        )
    if config.weights is not None and not sum(config.weights) > 0:
        raise UsageError(f"--weights: expected one above 0, got {list(config.weights)}")
    for path in (config.out, config.confusion):
        if path is not None:
            require_new(path, force=force, inputs=[config.data])


class _Job:
    """One command: its file, its models, and what is counted."""

    def __init__(
        self, config: PredictConfig, file: SequenceFile, recognizers: Sequence[Recognizer]
    ) -> None:
        self.config, self.file = config, file
        self.rows: list[int] = _rows(file, config.split)
        if not self.rows:
            raise DataError(f"{file.path}: expected clips, got none")
        if config.confusion is not None and (file.labels[self.rows] < 0).all():
            raise UsageError(f"--confusion: expected labels in {file.path}, got none; leave it out")
        self.recognizers = recognizers
        self.classes = self.recognizers[0].classes
        self.orders = [class_order(self.recognizers[0], one) for one in self.recognizers]
        self.weights = config.weights or stream_weights(self.recognizers)
        self.tally, self.unseen = (Tally(file.classes, self.classes) for _ in range(2))
        self.seen = training_clips(file, self.recognizers)
        self.rejected: list[Rejection] = []
        self.kept: list[dict[str, Any]] | None = None
        self.answered = self.clips = 0
        self._last = -1

    def predict(self, put: Put, progress: Progress) -> None:
        """Compute all answers and hand them on.

        Raises:
            DataError: There is none.
        """
        config = self.config
        found = answers(
            self.file,
            self.recognizers,
            rows=self.rows,
            batch=config.batch,
            window=config.window,
            stride=config.stride,
        )
        with progress("predicting", total=self._total()) as advance, contextlib.closing(found):
            for some in found:
                self.rejected += some.rejected
                if some.pieces:
                    put(list(self._predictions(some)))
                advance(len(some))
        if not self.answered:
            first = self.rejected[0]
            raise DataError(
                f"{self.file.path}: expected clips that can be used, got none of "
                f"{len(self.rows)}; the first, {first.name!r}: {first.reason}"
            )

    def keep(self, predictions: list[Prediction]) -> None:
        """Put answers into the report."""
        self.kept = self.kept or []
        self.kept += [one.model_dump(exclude_none=True) for one in predictions]

    def _total(self) -> int:
        window, stride = self.config.window, self.config.stride
        frames = self.file.lengths[self.rows]
        return sum(len(spans(int(own), window, stride)) for own in frames)

    def _predictions(self, some: Answers) -> Iterator[Prediction]:
        for piece, row in zip(some.pieces, self._probabilities(some), strict=True):
            order = np.argsort(-row, kind="stable")
            best = int(order[0])
            label = int(self.file.labels[piece.clip])
            self.tally.add(label, best)
            self.unseen.add(-1 if self.seen[piece.clip] else label, best)
            self.answered += 1
            self.clips += piece.clip != self._last
            self._last = piece.clip
            chosen = order[: self.config.top].tolist()
            yield Prediction(
                name=self.file.names[piece.clip],
                **self._times(piece),
                label=self.classes[best],
                probability=_rounded(row[best]),
                truth=self.file.label_name(piece.clip) or None,
                probabilities={self.classes[k]: _rounded(row[k]) for k in chosen},
            )

    def _probabilities(self, some: Answers) -> NDArray[np.float64]:
        """Of P pieces, P K."""
        names = [f"{self.file.names[piece.clip]} {piece.start}" for piece in some.pieces]
        scores = [
            dict(zip(names, logits[:, order], strict=True))
            for logits, order in zip(some.logits, self.orders, strict=True)
        ]
        fused = fuse(scores, self.weights)
        # the weighted mean, not the sum: a sum's scale would grow with the number of models
        mean = np.stack([fused[name] for name in names]) / sum(self.weights)
        return np.asarray(softmax(mean, axis=1))

    def _times(self, piece: Piece) -> dict[str, Any]:
        if self.config.window is None:
            return {}
        fps = float(self.file.fps[piece.clip])
        return {
            "start_frame": piece.start,
            "end_frame": piece.end,
            "start_seconds": _rounded(piece.start / fps),
            "end_seconds": _rounded(piece.end / fps),
        }

    def report(self, *, seconds: float, dry_run: bool) -> PredictReport:
        """What was found, or would be looked for."""
        clips = len(self.rows) if dry_run else self.clips
        pieces = self._total() if dry_run else self.answered
        rows = zip(self.recognizers, self.weights, strict=True)
        seen = int(self.seen[self.rows].sum())
        return PredictReport(
            data=str(self.file.path),
            output=_text(self.config.out),
            confusion=_text(self.config.confusion),
            models=[
                ModelRow(name=r.name, kind=r.checkpoint.kind, streams=list(r.streams), weight=w)
                for r, w in rows
            ],
            classes=list(self.classes),
            clips=clips,
            windows=pieces if self.config.window else None,
            rejected=self.rejected,
            **self.tally.fields(),
            training_clips=seen,
            unseen_accuracy=self.unseen.accuracy() if seen else None,
            warnings=self.tally.warnings(self.file.path.name),
            seconds=round(seconds, 3),
            clips_per_second=0.0 if dry_run else round(clips / seconds, 1),
            predictions=self.kept,
            dry_run=dry_run,
        )


def _named(config: PredictConfig, file: SequenceFile, device: torch.device) -> Sequence[Recognizer]:
    return load_recognizers(config.models, file, device=device)


def _rows(file: SequenceFile, split: str) -> list[int]:
    """All clips, or those that a split leaves for the test."""
    rows = split_clips(file, split).test if split else np.arange(len(file))
    return [int(row) for row in rows]


@contextlib.contextmanager
def _sink(job: _Job, write: Write | None) -> Iterator[Put]:
    """Where the answers of a batch go: into the file, to the caller, or into the report."""
    config, classes, windows = job.config, job.classes, job.config.window is not None
    header = csv_header(classes, windows=windows) if config.is_csv else ""

    def text(predictions: list[Prediction]) -> str:
        if config.is_csv:
            return "".join(csv_row(one, classes, windows=windows) for one in predictions)
        return "".join(map(json_line, predictions))

    if config.out is not None:
        with replacing(config.out) as part, part.open("w", encoding="utf-8", newline="") as file:
            file.write(header)
            yield lambda predictions: file.write(text(predictions))
    elif write is not None:
        write(header)
        yield lambda predictions: write(text(predictions))
    else:
        yield job.keep


def _rounded(value: float) -> float:
    return round(float(value), _DIGITS)


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
