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

from skelaug.data.splits import split_clips
from skelaug.data.store import SequenceFile
from skelaug.errors import DataError
from skelaug.files import replacing, require_file, require_new
from skelaug.imputation.tracks import Track
from skelaug.imputation.typicality import log_densities
from skelaug.metrics.detection import below_band
from skelaug.place import training_place
from skelaug.progress import Progress, silent
from skelaug.skeleton.sequence import SkeletonSequence
from skelaug.workflows.file_gaps import tracks_of
from skelaug.workflows.motion_prior import TrainedPrior, load_prior
from skelaug.workflows.prediction_batches import Rejection
from skelaug.workflows.provenance import file_hashes, write_run_record
from skelaug.workflows.score_report import (
    ClipScore,
    ScoreConfig,
    ScoreReport,
    Tally,
    as_csv,
    as_lines,
)

__all__ = ["ScoreConfig", "run"]

_TEMPO = 0.1  # how far the rate of a clip may be from that of the model without a word
_TOGETHER = 4096  # frames of clips that go through the network together
_DIGITS = 3  # a thousandth of a nat; beyond, scores differ with the clips around
_EMPTY = "expected a measured joint, got none"

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
    for path in (config.out, config.picture):
        if path is not None:
            require_new(path, force=force, inputs=[config.data])
    with training_place(device) as place, SequenceFile(require_file(config.data)) as file:
        job = _Job(config, file, place.device)
        if not dry_run:
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
                details={"inputs": file_hashes([config.data, job.prior.path])},
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
        self.prior.check_clips(file.layout, file.channels, where=str(file.path))
        self.usual = self.prior.usual(config.by)
        self.tally = Tally()
        self.rejected: list[Rejection] = []
        self.kept: list[ClipScore] | None = None

    def score(self, put: Put, progress: Progress) -> None:
        """Compute all scores and hand them on, in the order of the clips.

        Raises:
            DataError: There is none.
        """
        with progress("scoring", total=len(self.rows)) as advance:
            for clips in self._groups():
                self._score_clips(clips, put)
                advance(len(clips))
        if not self.tally.clips:
            raise DataError(
                f"{self.file.path}: expected clips with measured joints, got none of "
                f"{len(self.rows)}; look at it with `skelaug info`"
            )

    def keep(self, scores: list[ClipScore]) -> None:
        """Put scores into the report."""
        self.kept = self.kept or []
        self.kept += scores

    def _groups(self) -> Iterator[list[SkeletonSequence]]:
        """The clips in their order, as many at a time as the network takes at once."""
        clips: list[SkeletonSequence] = []
        frames = 0
        for row in self.rows.tolist():
            clips.append(self.file[row])
            frames += clips[-1].num_frames
            if frames >= _TOGETHER:
                yield clips
                clips, frames = [], 0
        if clips:
            yield clips

    def _score_clips(self, clips: list[SkeletonSequence], put: Put) -> None:
        prior, by = self.prior, self.config.by
        tracks = [tracks_of(clip, self.config.min_confidence) for clip in clips]
        people = [track for own in tracks for track in own.values()]
        found = log_densities(prior.network, prior.form, people, device=prior.device)
        values = iter(getattr(found, by).tolist())
        for clip, own in zip(clips, tracks, strict=True):
            if not own:
                self.rejected.append(Rejection(name=clip.name, reason=_EMPTY))
                continue
            scores = [self._told(clip, *one, next(values)) for one in own.items()]
            self.tally.add(scores)
            put(scores)

    def _told(self, clip: SkeletonSequence, slot: int, track: Track, score: float) -> ClipScore:
        usual = self.usual
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

    def _warnings(self) -> list[str]:
        form = self.prior.form
        rates = self.file.fps[self.rows]
        read = np.array([rate / form.stride(float(rate)) for rate in rates])
        odd = np.abs(np.log(read / form.fps)) > _TEMPO
        if not odd.any():
            return []
        return [
            f"{self.file.path.name}: {int(odd.sum())} clips are read at {read[odd][0]:.4g} frames "
            f"per second, model {self.prior.name} knows {form.fps:g}: their motions look faster or "
            f"slower than they are"
        ]

    def report(self, *, seconds: float, dry_run: bool) -> ScoreReport:
        """What was found, or would be looked for."""
        clips = len(self.rows) if dry_run else self.tally.clips
        return ScoreReport(
            data=str(self.file.path),
            output=_text(self.config.out),
            picture=_text(self.config.picture),
            model=self.prior.name,
            kind=self.prior.checkpoint.kind,
            by=self.config.by,
            training_mean=self.usual.mean,
            training_std=self.usual.std,
            training_clips=self.usual.clips,
            threshold=self.usual.threshold,
            clips=clips,
            persons=len(self.tally.standardised),
            out_of_distribution=self.tally.flagged,
            labels=self.tally.labels(),
            missing=self.tally.missing,
            rejected=self.rejected,
            warnings=self._warnings(),
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

    title = f"{job.file.path.name}, {job.prior.name}, log-{job.config.by}"
    draw_scores(path, job.tally.standardised, title=title)


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
