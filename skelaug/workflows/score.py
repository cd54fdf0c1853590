"""Say which clips look like nothing that a model has seen: ``skelaug score``.

Clips go through the network some at a time, their scores are written and forgotten: memory does not
grow with the number of clips, but for one number each.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from skelaug.data.splits import split_clips
from skelaug.data.store import SequenceFile
from skelaug.errors import DataError
from skelaug.files import replacing, require_file, require_new
from skelaug.imputation.tracks import Track
from skelaug.metrics.detection import below_band
from skelaug.place import training_place
from skelaug.progress import Progress, silent
from skelaug.skeleton.sequence import SkeletonSequence
from skelaug.workflows.clip_scores import score_clips, usual_of_file
from skelaug.workflows.file_gaps import unknown_persons
from skelaug.workflows.motion_prior import TrainedPrior, UsualDensity, load_prior
from skelaug.workflows.prediction_batches import Rejection
from skelaug.workflows.provenance import file_hashes, write_run_record
from skelaug.workflows.score_report import (
    ClipScore,
    ScoreConfig,
    ScoreReport,
    Tally,
    UsualScore,
    as_csv,
    as_lines,
)

__all__ = ["ScoreConfig", "run"]

_DIGITS = 3  # a thousandth of a nat; beyond, scores differ with the clips around

Write = Callable[[str], None]
Put = Callable[[list[ClipScore]], object]


def run(
    config: ScoreConfig,
    *,
    force: bool = False,
    dry_run: bool = False,
    device: str = "auto",
    write: Write | None = None,
    progress: Progress = silent,
) -> ScoreReport:
    """Score every person of every clip of a file.

    Args:
        config: What to do.
        force: Whether outputs may replace what is there.
        dry_run: Check file and model, and compute nothing.
        device: Where to compute.
        write: Takes the lines as soon as they are computed, where `config.out` is None; without it
            the scores are in the report.
        progress: Counts clips.

    Raises:
        NotFoundError: The file or the model does not exist.
        UsageError: An output exists, or the model knows no windows.
        DataError: The file is damaged, has other joints, or no clip of it can be scored.
        StorageError: An output cannot be written.
    """
    started = time.monotonic()
    inputs = [config.data, *([config.like] if config.like else [])]
    for path in (config.out, config.picture):
        if path is not None:
            require_new(path, force=force, inputs=inputs)
    with training_place(device) as place, SequenceFile(require_file(config.data)) as file:
        job = _Job(config, file, place.device)
        if not dry_run:
            job.look(progress)
            with _sink(job, write) as put:
                job.score(put, progress)
            if config.picture is not None:
                _draw(job, config.picture)
        report = job.report(seconds=time.monotonic() - started, dry_run=dry_run)
        if config.out is not None and not dry_run:
            write_run_record(
                config.out,
                config,
                command="score",
                seconds=report.seconds,
                details={"inputs": file_hashes([*inputs, job.prior.path])},
            )
    return report


class _Job:
    """One command: its file, its prior, and what is counted."""

    def __init__(self, config: ScoreConfig, file: SequenceFile, device: torch.device) -> None:
        self.config, self.file = config, file
        self.rows = split_clips(file, config.split).test if config.split else np.arange(len(file))
        if not len(self.rows):
            raise DataError(f"{file.path}: expected clips, got none")
        self.prior: TrainedPrior = load_prior(config.model, device=device)
        self.warnings = self._checked(file, self.rows)
        if config.like is None:
            self.usual: UsualDensity | None = self.prior.usual(config.by)
        else:
            self.usual = None
            with SequenceFile(require_file(config.like)) as good:
                self.warnings += self._checked(good, np.arange(len(good)))
        self.tally = Tally()
        self.rejected: list[Rejection] = []
        self.kept: list[ClipScore] | None = None

    def _checked(self, file: SequenceFile, rows: NDArray[np.int64]) -> list[str]:
        self.prior.check_clips(file.layout, file.channels, where=str(file.path))
        return self.prior.tempo_warnings(file.fps[rows], where=file.path.name)

    def look(self, progress: Progress) -> None:
        """See what is usual, where another file says it."""
        config = self.config
        if config.like is None:
            return
        with (
            SequenceFile(config.like) as file,
            progress("looking at what is usual", total=len(file)) as advance,
        ):
            self.usual = usual_of_file(
                self.prior,
                file,
                by=config.by,
                min_confidence=config.min_confidence,
                advance=advance,
            )

    def score(self, put: Put, progress: Progress) -> None:
        """Compute all scores and hand them on, in the order of the clips.

        Raises:
            DataError: There is none.
        """
        by, sure = self.config.by, self.config.min_confidence
        groups = score_clips(self.prior, self.file, self.rows.tolist(), by=by, min_confidence=sure)
        with progress("scoring", total=len(self.rows)) as advance:
            for group in groups:
                for one in group:
                    self.rejected += unknown_persons(one.clip, sure)
                    if scores := [self._told(one.clip, *person) for person in one.persons.items()]:
                        self.tally.add(scores)
                        put(scores)
                advance(len(group))
        if not self.tally.clips:
            raise DataError(
                f"{self.file.path}: expected clips with measured joints, got none of "
                f"{len(self.rows)}; look at it with `skelaug info`"
            )

    def keep(self, scores: list[ClipScore]) -> None:
        """Put scores into the report."""
        self.kept = self.kept or []
        self.kept += scores

    def _told(self, clip: SkeletonSequence, slot: int, person: tuple[Track, float]) -> ClipScore:
        (track, score), usual = person, self.usual
        assert usual is not None
        return ClipScore(
            name=clip.name,
            person=slot,
            label=clip.label or None,
            score=round(score, _DIGITS),
            standardised=round((score - usual.mean) / usual.std, _DIGITS),
            out_of_distribution=bool(below_band([score], mean=usual.mean, std=usual.std)[0]),
            frames=clip.num_frames,
            missing=int((~track.observed).sum()),
        )

    def report(self, *, seconds: float, dry_run: bool) -> ScoreReport:
        """What was found, or would be looked for."""
        clips, usual = len(self.rows) if dry_run else self.tally.clips, self.usual
        return ScoreReport(
            data=str(self.file.path),
            output=_text(self.config.out),
            picture=_text(self.config.picture),
            model=self.prior.name,
            kind=self.prior.kind,
            by=self.config.by,
            like=_text(self.config.like),
            usual=None if usual is None else _as_row(usual),
            clips=clips,
            persons=len(self.tally.standardised),
            out_of_distribution=self.tally.flagged,
            labels=self.tally.labels(),
            missing=self.tally.missing,
            rejected=self.rejected,
            warnings=self.warnings,
            seconds=round(seconds, 3),
            clips_per_second=0.0 if dry_run else round(clips / seconds, 1),
            scores=self.kept,
            dry_run=dry_run,
        )


@contextlib.contextmanager
def _sink(job: _Job, write: Write | None) -> Iterator[Put]:
    """Where the scores of a clip go: into the file, to the caller, or into the report."""
    config = job.config
    header = as_csv([], header=True) if config.is_csv else ""
    text = as_csv if config.is_csv else as_lines
    if config.out is not None:
        with replacing(config.out) as part, part.open("w", encoding="utf-8", newline="") as file:
            file.write(header)
            yield lambda scores: file.write(text(scores))
    elif write is not None:
        write(header)
        yield lambda scores: write(text(scores))
    else:
        yield job.keep


def _draw(job: _Job, path: Path) -> None:
    from skelaug.plots.score_histogram import draw_scores  # matplotlib loads here

    like, name = job.config.like, Path(job.prior.name).name
    title = f"{job.file.path.name}, {name}, log-{job.config.by}"
    usual = "the training clips" if like is None else f"the clips of {like.name}"
    draw_scores(path, job.tally.standardised, usual=usual, title=title)


def _as_row(usual: UsualDensity) -> UsualScore:
    return UsualScore(mean=usual.mean, std=usual.std, clips=usual.clips, threshold=usual.threshold)


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
