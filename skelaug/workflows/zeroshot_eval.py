"""What a zero-shot model is worth on the test part of a file: ``skelaug zeroshot eval``."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, PositiveInt

from skelaug.data.splits import split_clips, split_hash
from skelaug.data.store import SequenceFile
from skelaug.errors import DataError, SkelaugError
from skelaug.files import require_file, require_new
from skelaug.metrics.accuracy import class_accuracy
from skelaug.metrics.intervals import interval_of
from skelaug.place import training_place
from skelaug.progress import Progress, silent
from skelaug.workflows.zeroshot import ZeroShotModel, load_zeroshot
from skelaug.workflows.zeroshot_classes import TeachingParts, teaching_parts
from skelaug.workflows.zeroshot_scores import (
    Asked,
    gathered,
    rival_scores,
    scored,
    tested_rows,
    unseen_table,
)

__all__ = ["ClassScore", "Measure", "ZeroshotEvalConfig", "ZeroshotEvalReport", "run"]

_BATCH = 128


class ZeroshotEvalConfig(BaseModel, frozen=True, extra="forbid"):
    """Which model is tested on which clips.

    Attributes:
        data: Sequence file; of the one that the model was trained on, the test part.
        model: A run of `skelaug train zeroshot`.
        split: The rule whose test part is taken; empty = that of the model.
        text: Encoder of sentences in place of the model's own.
        draws: Sets of noises, each of which gives one result.
        seed: Root of the noises and of the rivals.
        picture: PNG of the confusion matrix to write.
    """

    data: Path
    model: str
    split: str = ""
    text: str = ""
    draws: PositiveInt = 5
    seed: int = 0
    picture: Path | None = None


class Measure(BaseModel, frozen=True):
    """One score of one method.

    Attributes:
        method: ``fdsm``, ``tdsm``, or a rival: ``ridge``, ``alignment``.
        measure: ``unseen_accuracy`` (among unseen classes alone), or of clips of all test classes
            among all classes, with calibration or ``uncalibrated``: accuracy of seen and of unseen
            classes and their harmonic mean.
        mean: Over draws of the noises.
        half_width: Of the 95 % interval; 0 where nothing is drawn.
        draws: How many.
    """

    method: str
    measure: str
    mean: float
    half_width: float
    draws: int


class ClassScore(BaseModel, frozen=True):
    """An unseen class: its clips, and the share named rightly among unseen classes."""

    label: str
    clips: int
    accuracy: float


class ZeroshotEvalReport(BaseModel, frozen=True):
    """How a zero-shot model did.

    Attributes:
        data: The sequence file.
        model: The model.
        method: ``fdsm`` or ``tdsm``.
        mode: ``channel`` or ``temporal``.
        split: The split of the classes.
        clips: Test clips of the model's classes.
        unseen_clips: Those of unseen classes.
        seen: Seen classes.
        unseen: Unseen classes.
        chance: Of guessing among the unseen classes.
        scores: Of the model and its rivals.
        class_accuracy: Of the unseen classes, mean over draws.
        picture: What was drawn.
        warnings: What should be known beside the numbers.
        seconds: From the start of the workflow.
        dry_run: Whether nothing was computed.
    """

    data: str
    model: str
    method: str
    mode: str
    split: str
    clips: int
    unseen_clips: int
    seen: list[str]
    unseen: list[str]
    chance: float
    scores: list[Measure]
    class_accuracy: list[ClassScore]
    picture: str | None
    warnings: list[str]
    seconds: float
    dry_run: bool


def run(
    config: ZeroshotEvalConfig,
    *,
    force: bool = False,
    dry_run: bool = False,
    device: str = "auto",
    progress: Progress = silent,
) -> ZeroshotEvalReport:
    """Test a zero-shot model on unseen classes, and on all of them together.

    Args:
        config: What to do.
        force: Whether the picture may replace what is there.
        dry_run: Check file and model, and compute nothing.
        device: Where to compute.
        progress: Counts clips and draws.

    Raises:
        NotFoundError: A file or the model does not exist.
        UsageError: The picture exists.
        DataError: The file is damaged, has another layout, or no clip of an unseen class.
        DependencyError: The package of the text encoder is missing.
    """
    started = time.monotonic()
    if config.picture is not None:
        require_new(config.picture, force=force, inputs=[config.data])
    with training_place(device) as place, SequenceFile(require_file(config.data)) as file:
        model = load_zeroshot(config.model, text=config.text, device=place.device)
        test = _Test(config, model, file)
        if not dry_run:
            test.ask(progress)
        return test.report(seconds=time.monotonic() - started, dry_run=dry_run)


class _Test:
    """One command: its clips, and the scores of the draws."""

    def __init__(self, config: ZeroshotEvalConfig, model: ZeroShotModel, file: SequenceFile):
        self.config, self.model, self.file = config, model, file
        model.encoder.check_clips(file.layout, file.channels, where=str(file.path))
        rule = config.split or str(model.checkpoint.meta["split"]["rule"])
        test = split_clips(file, rule).test if rule else np.empty(0, dtype=np.int64)
        rows = tested_rows(file, test, model.told["unseen"])
        names = [file.classes[label] if label >= 0 else "" for label in file.labels[rows]]
        self.rows: NDArray[np.int64] = np.array(
            [r for r, n in zip(rows, names, strict=True) if n in self._known], dtype=np.int64
        )
        self.unseen_clips = sum(name in model.told["unseen"] for name in names)
        if not self.unseen_clips:
            raise DataError(
                f"{file.path}: expected test clips of the unseen classes "
                f"{', '.join(map(repr, model.told['unseen']))}, got none; check --split"
            )
        self.warnings: list[str] = []
        if not len(test):
            self.warnings.append("without a test part only clips of unseen classes are tested")
        self.scores: list[Measure] = []
        self.classes: list[ClassScore] = []

    @property
    def _known(self) -> list[str]:
        return [one.name for one in self.model.descriptions]

    def ask(self, progress: Progress) -> None:
        """Score the model for each draw of the noises, then the rivals."""
        config, model = self.config, self.model
        asked = gathered(model, self.file, self.rows, progress)
        training = self._training(progress)
        texts, results, tables = model.texts(model.descriptions), [], []
        with progress("matching", total=config.draws * len(asked.labels)) as advance:
            for draw in range(config.draws):
                found = []
                for start in range(0, len(asked.labels), _BATCH):
                    some = asked.features[start : start + _BATCH]
                    found.append(model.errors_of(some, texts, draw=draw, seed=config.seed))
                    advance(len(some))
                scores = -np.concatenate(found)
                results.append(scored(scores, asked, model.is_learnt, model.constant))
                tables.append(unseen_table(scores, asked))
        own = str(model.told["method"])
        for measure in results[0]:
            told = interval_of([one[measure] for one in results])
            self.scores.append(
                Measure(
                    method=own,
                    measure=measure,
                    mean=told.mean,
                    half_width=told.half_width,
                    draws=told.count,
                )
            )
        if training is not None:
            self._rivals(asked, *training)
        self._tell(np.sum(tables, axis=0))

    def _rivals(
        self,
        asked: Asked,
        features: NDArray[np.float32],
        labels: NDArray[np.int64],
        parts: TeachingParts,
    ) -> None:
        seed = self.config.seed
        found = rival_scores(self.model, asked, features, labels, parts, seed=seed)
        self.scores += [
            Measure(method=method, measure=measure, mean=value, half_width=0.0, draws=1)
            for method, own in found.items()
            for measure, value in own.items()
        ]

    def _training(
        self, progress: Progress
    ) -> tuple[NDArray[np.float32], NDArray[np.int64], TeachingParts] | None:
        """The features of the clips that the model was trained on, if the file has them."""
        told, seen = self.model.checkpoint.meta["split"], list(self.model.told["seen"])
        try:
            rows = split_clips(self.file, str(told["rule"])).train
        except SkelaugError:
            rows = np.empty(0, dtype=np.int64)
        place = {self.file.classes.index(n): i for i, n in enumerate(seen) if n in self._in_file}
        rows = np.array([r for r in rows if int(self.file.labels[r]) in place], dtype=np.int64)
        if split_hash([self.file.names[row] for row in rows]) != told["hash"]:
            self.warnings.append(
                f"the clips that the model was trained on are not the training part of "
                f"{self.file.path.name}, so the rivals, which learn from them, are left out"
            )
            return None
        asked = gathered(self.model, self.file, rows, progress)
        validation: dict[str, Any] = self.model.told["validation"]
        return asked.features, asked.labels, teaching_parts(asked.labels, **validation)

    @property
    def _in_file(self) -> Sequence[str]:
        return self.file.classes

    def _tell(self, table: NDArray[np.int64]) -> None:
        """Accuracy by class, and the picture."""
        names, draws = list(self.model.told["unseen"]), self.config.draws
        self.classes = [
            ClassScore(label=name, clips=int(count) // draws, accuracy=float(share))
            for name, count, share in zip(
                names, table.sum(axis=1), class_accuracy(table), strict=True
            )
            if count
        ]
        if self.config.picture is not None:
            from skelaug.plots.confusion import draw_confusion  # matplotlib loads here

            title = f"{self.file.path.name}, unseen classes"
            draw_confusion(self.config.picture, {title: table}, rows=names, columns=names)

    def report(self, *, seconds: float, dry_run: bool) -> ZeroshotEvalReport:
        """What was found, or would be looked for."""
        told = self.model.told
        return ZeroshotEvalReport(
            data=str(self.config.data),
            model=self.model.name,
            method=told["method"],
            mode=told["mode"],
            split=told["split"],
            clips=len(self.rows),
            unseen_clips=self.unseen_clips,
            seen=list(told["seen"]),
            unseen=list(told["unseen"]),
            chance=1 / len(told["unseen"]),
            scores=self.scores,
            class_accuracy=self.classes,
            picture=None if self.config.picture is None else str(self.config.picture),
            warnings=self.warnings,
            seconds=round(seconds, 3),
            dry_run=dry_run,
        )
