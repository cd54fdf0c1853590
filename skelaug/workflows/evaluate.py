"""Compare synthetic with real clips: ``skelaug eval``."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, Field, NonNegativeInt, PositiveInt

from skelaug.data.splits import Split, split_hash
from skelaug.data.store import SequenceFile
from skelaug.errors import DataError
from skelaug.files import require_file, require_new, sha256, write_text
from skelaug.metrics.protocol import DRAWS
from skelaug.progress import Progress, silent
from skelaug.workflows.evaluation_clips import PreparedClips
from skelaug.workflows.evaluation_data import (
    EvaluationData,
    check_leak,
    choose_clips,
    choose_split,
    prepared,
)
from skelaug.workflows.evaluation_network import RecognizerTraining
from skelaug.workflows.evaluation_panel import Panel, load_panel, save_panel, train_panel
from skelaug.workflows.evaluation_report import (
    ClipCounts,
    CopyReport,
    EvaluationReport,
    RecognizerReport,
    SpectrumReport,
    class_rows,
    confusions,
    score_fields,
    spectrum_report,
)
from skelaug.workflows.evaluation_scores import ArrayScores, evaluate_arrays
from skelaug.zoo import find_model, find_weights

__all__ = ["EvaluateConfig", "run"]

_LEAST = 4


class EvaluateConfig(BaseModel, frozen=True, extra="forbid"):
    """What is compared, and how.

    Attributes:
        real: Sequence file of real clips.
        synthetic: Sequence file of synthetic clips.
        split: Which real clips are the training part; None takes the generator's own split, else
            the official one of the data set, else all clips.
        network: Recognizers from an earlier `save_network`, or a packaged model's; None trains.
        save_network: Where to keep the recognizers.
        frames: Frames of the grid that all clips are resampled to.
        draws: Matched draws behind every interval.
        steps: Updates of each recognizer; more if they would not make ten epochs.
        seed: Decides recognizers and draws.
        limit: Most clips per side.
        out: JSON report to write.
        picture: PNG of the confusion matrices to write.
        spectrum: PNG of the energy by frequency to write.
    """

    real: Path
    synthetic: Path
    split: str | None = None
    network: str | None = None
    save_network: Path | None = None
    frames: int = Field(default=24, ge=4)
    draws: int = Field(default=DRAWS, ge=2)
    steps: PositiveInt = RecognizerTraining.steps
    seed: NonNegativeInt = 0
    limit: PositiveInt = 10_000
    out: Path | None = None
    picture: Path | None = None
    spectrum: Path | None = None


def run(
    config: EvaluateConfig, *, force: bool = False, progress: Progress = silent
) -> EvaluationReport:
    """Score synthetic clips against real ones.

    Raises:
        NotFoundError: A file does not exist.
        DataError: A file is damaged, layouts or classes do not fit, or there are too few clips.
        UsageError: The split does not fit the real file, or an output exists.
        CheckFailedError: The generator was trained on clips of the test part.
        StorageError: An output cannot be written.
    """
    started = time.monotonic()
    for path in (config.out, config.picture, config.spectrum, config.save_network):
        if path is not None:
            require_new(path, force=force)
    with (
        SequenceFile(require_file(config.real)) as real,
        SequenceFile(require_file(config.synthetic)) as synthetic,
    ):
        job = _Job(config, real, synthetic)
        result = job.evaluate(progress)
        report = job.report(result, seconds=time.monotonic() - started)
    _write(config, report, job.data.classes, result)
    return report


class _Job:
    """One command: its clips, its recognizers, its scores."""

    def __init__(self, config: EvaluateConfig, real: SequenceFile, synthetic: SequenceFile) -> None:
        self.config, self.layout = config, real.layout
        self.split: Split = choose_split(real, synthetic, config.split)
        self.notes = check_leak(real, synthetic, self.split)
        self.loaded = _load(config.network) if config.network is not None else None
        classes = self.loaded[1].classes if self.loaded else None
        self.data: EvaluationData = choose_clips(
            real, synthetic, self.split, classes=classes, limit=config.limit
        )
        self.notes = [*self.data.notes, *self.notes]
        self.training_seconds = 0.0

    def evaluate(self, progress: Progress) -> ArrayScores:
        """Prepare the clips, get the recognizers, score."""
        train, synthetic, held_out = self._prepare(progress)
        panel = self._panel(train, progress)
        self.held_out_accuracy = panel.accuracy(held_out) if held_out else None
        if self.config.save_network is not None:
            self._save(self.config.save_network, panel, train)
        try:
            return evaluate_arrays(
                train,
                synthetic,
                held_out,
                layout=self.layout,
                panel=panel,
                draws=self.config.draws,
                seed=self.config.seed,
            )
        except ValueError as error:
            raise DataError(
                f"{self.config.real}: expected a class with {_LEAST} real training clips and one "
                f"synthetic clip or more, got {_largest(train, synthetic, self.data.classes)}; "
                f"add clips"
            ) from error

    def _prepare(
        self, progress: Progress
    ) -> tuple[PreparedClips, PreparedClips, PreparedClips | None]:
        clips: list[PreparedClips | None] = []
        for side in (self.data.train, self.data.synthetic, self.data.held_out):
            if side is None or not len(side):
                clips.append(None)
                continue
            some, lost = prepared(
                side, frames=self.config.frames, persons=self.data.persons, progress=progress
            )
            if lost:
                self.notes.append(
                    f"{side.file.path.name}: {lost} clips of one frame or without a measured "
                    f"joint are left out"
                )
            clips.append(some)
        train, synthetic, held_out = clips
        assert train is not None
        assert synthetic is not None
        self._note_small_classes(train, synthetic)
        return train, synthetic, held_out

    def _note_small_classes(self, train: PreparedClips, synthetic: PreparedClips) -> None:
        counts = Counter(train.labels.tolist())
        small = [c for c in np.unique(synthetic.labels).tolist() if counts[c] < _LEAST]
        if small:
            names = ", ".join(repr(self.data.classes[c]) for c in small[:6])
            self.notes.append(
                f"{len(small)} classes with fewer than {_LEAST} real training clips take no part "
                f"in the draws, at least of some recognizers: {names}"
            )

    def _panel(self, train: PreparedClips, progress: Progress) -> Panel:
        if self.loaded is None:
            begun = time.monotonic()
            panel = train_panel(
                train,
                layout=self.layout,
                num_classes=len(self.data.classes),
                training=RecognizerTraining(steps=self.config.steps),
                seed=self.config.seed,
                progress=progress,
            )
            self.training_seconds = time.monotonic() - begun
            return panel
        panel, checkpoint = self.loaded
        where = f"--network {self.config.network}"
        found = (checkpoint.layout.joints, checkpoint.meta["frames"], checkpoint.meta["persons"])
        if found != (self.layout.joints, self.config.frames, self.data.persons):
            raise DataError(
                f"{where}: expected recognizers of layout {self.layout.name}, "
                f"{self.config.frames} frames and {self.data.persons} persons, got "
                f"{checkpoint.layout.name}, {found[1]} and {found[2]}; train others without it"
            )
        for name, fingerprint in _fingerprints(train, self.data.classes).items():
            if checkpoint.meta["clips"].get(name) != fingerprint:
                raise DataError(
                    f"{where}: expected recognizers trained on the training clips of "
                    f"{self.config.real}, got others for class {name!r}; choose the --split that "
                    f"they were trained with ({checkpoint.meta['split']['rule']!r}), or train "
                    f"others without --network"
                )
        return panel

    def _save(self, path: Path, panel: Panel, train: PreparedClips) -> None:
        meta = {
            "split": {"rule": self.split.rule, "hash": self.split.hash},
            "data": {"name": self.config.real.name, "sha256": sha256(self.config.real)},
            "clips": _fingerprints(train, self.data.classes),
            "persons": self.data.persons,
            "scores": {"held_out_accuracy": self.held_out_accuracy},
        }
        save_panel(path, panel, self.layout, classes=self.data.classes, meta=meta)

    def report(self, result: ArrayScores, *, seconds: float) -> EvaluationReport:
        """The scores as plain values."""
        unseen = [view.real.predictions == view.real.labels for view in result.views]
        held_out = self.data.held_out
        return EvaluationReport(
            real=str(self.config.real),
            synthetic=str(self.config.synthetic),
            split=self.split.rule,
            split_hash=self.split.hash,
            draws=self.config.draws,
            clips=ClipCounts(
                train=len(self.data.train),
                synthetic=len(self.data.synthetic),
                held_out=len(held_out) if held_out else 0,
                per_draw=min(view.plan().size for view in result.views),
            ),
            **score_fields(result.scores),
            spectrum=spectrum_report(result.scores, self.config.frames),
            copies=CopyReport(**vars(result.copies)),
            recognizer=RecognizerReport(
                source="trained" if self.loaded is None else str(self.config.network),
                held_out_accuracy=self.held_out_accuracy,
                unseen_accuracy=float(np.concatenate(unseen).mean()),
                seconds=round(self.training_seconds, 3),
            ),
            classes=class_rows(self.data, result),
            notes=self.notes,
            seconds=round(seconds, 3),
        )


def _load(name: str) -> tuple[Panel, Any]:
    return load_panel(find_weights(find_model(name), "evaluator"))


def _fingerprints(train: PreparedClips, classes: tuple[str, ...]) -> dict[str, str]:
    """Of each class that has clips a hash of their names: equal folds only for equal clips."""
    names: dict[str, list[str]] = {}
    for name, label in zip(train.names, train.labels.tolist(), strict=True):
        names.setdefault(classes[label], []).append(name)
    return {label: split_hash(own) for label, own in names.items()}


def _largest(train: PreparedClips, synthetic: PreparedClips, classes: tuple[str, ...]) -> str:
    shared = [c for c in train.labels.tolist() if c in set(synthetic.labels.tolist())]
    if not shared:
        return "no class in common"
    label, count = Counter(shared).most_common(1)[0]
    return f"{count} real clips of {classes[label]!r} at most"


def _write(
    config: EvaluateConfig,
    report: EvaluationReport,
    classes: tuple[str, ...],
    result: ArrayScores,
) -> None:
    if config.out is not None:
        document = {"schema": 1, "command": "eval", **json.loads(report.model_dump_json())}
        write_text(config.out, json.dumps(document, ensure_ascii=False, indent=2) + "\n")
    if config.picture is not None:
        from skelaug.plots.confusion import draw_confusion  # matplotlib loads here

        shown = [classes.index(row.label) for row in report.classes]
        matrices = confusions(result, len(classes))
        draw_confusion(
            config.picture,
            {name: matrix[np.ix_(shown, range(len(classes)))] for name, matrix in matrices.items()},
            rows=[classes[label] for label in shown],
            columns=classes,
        )
    if config.spectrum is not None:
        _draw_spectrum(config.spectrum, report.spectrum, title=config.synthetic.name)


def _draw_spectrum(path: Path, found: SpectrumReport, *, title: str) -> None:
    from skelaug.plots.spectrum import SpectrumLine, draw_spectrum  # matplotlib loads here

    sides = {"real": found.real, "synthetic": found.synthetic, "held-out": found.held_out}
    lines = {
        name: SpectrumLine(
            np.array([one.mean for one in side]), np.array([one.half_width for one in side])
        )
        for name, side in sides.items()
        if side is not None
    }
    ratio = found.high_band.ratio
    told = "" if ratio is None else f": {ratio:.2f} of the real high-band energy"
    draw_spectrum(path, lines, low=found.low, unit=found.unit, title=title + told)
