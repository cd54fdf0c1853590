"""Lift 2D poses to 3D: ``skelaug lift``.

Clips are read, lifted and written shard by shard, so that memory does not grow with their number,
and a killed run goes on where it stopped, bit for bit.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from skelaug import __version__
from skelaug.data.shards import ShardFolder
from skelaug.data.splits import split_clips
from skelaug.data.store import Schema, SequenceFile, write_sequences
from skelaug.errors import DataError, UsageError
from skelaug.files import require_file, require_new
from skelaug.place import Place, training_place
from skelaug.progress import Progress, silent
from skelaug.seeds import Stream, numpy_generator
from skelaug.skeleton.camera import check_normalised
from skelaug.skeleton.sequence import SkeletonSequence
from skelaug.workflows.keypoint_source import KeypointSource, open_keypoints
from skelaug.workflows.lift_report import LiftConfig, LiftReport
from skelaug.workflows.lifter import TrainedLifter, load_lifter
from skelaug.workflows.lifter_folds import lifter_folds
from skelaug.workflows.lifter_input import filled_keypoints
from skelaug.workflows.prediction_batches import Rejection
from skelaug.workflows.provenance import file_hashes, provenance_record, write_run_record
from skelaug.workflows.tempo import tempo_warnings

__all__ = ["lifted_clip", "run"]

_SHARD = 64  # clips


def run(
    config: LiftConfig,
    *,
    resume: bool = False,
    force: bool = False,
    dry_run: bool = False,
    device: str = "auto",
    progress: Progress = silent,
) -> LiftReport:
    """Lift the 2D poses of all clips and write them as 3D clips about their root.

    Raises:
        NotFoundError: The file or the model does not exist.
        UsageError: The settings contradict one another, or an output exists.
        DataError: A file is damaged, does not fit the model, or no clip can be lifted.
        StorageError: The output cannot be written.
    """
    started = time.monotonic()
    is_half_done = resume and ShardFolder(config.out, count=0, plan={}).folder.exists()
    require_new(config.out, force=force or is_half_done, inputs=[config.data])
    require_file(config.data)
    with training_place(device) as place:
        lifters = [load_lifter(name, device=place.device) for name in (config.model, *config.folds)]
        if config.flip is not None:
            lifters = [replace(lifter, flip=config.flip) for lifter in lifters]
        with open_keypoints(
            config.data, layout=lifters[0].layout, size=config.size, fps=config.fps
        ) as source:
            job = _Job(config, source, lifters, place)
            if dry_run:
                return job.report(seconds=time.monotonic() - started, dry_run=True)
            folder = ShardFolder(config.out, count=job.shards, plan=job.plan())
            if place.is_first:
                folder.open(resume=resume, force=force)
            place.wait()
            job.fill(folder, progress)
            place.wait()
            job.count(folder)
            report = job.report(seconds=time.monotonic() - started, dry_run=False)
            if place.is_first:
                details = {"inputs": job.inputs, "report": report.model_dump(mode="json")}
                write_run_record(
                    config.out, config, command="lift", seconds=report.seconds, details=details
                )
                job.join(folder)
            place.wait()
            return report


def lifted_clip(
    clip: SkeletonSequence, lifter: TrainedLifter, config: LiftConfig, *, row: int
) -> SkeletonSequence:
    """A clip with the 3D poses that a lifter sees in its keypoints.

    Positions are about the root; of persons who were detected at all, every joint counts as
    observed. The keypoints stay, gaps included, with the noise that was drawn onto them.

    Args:
        clip: With keypoints.
        lifter: Which lifter.
        config: Noise, and gaps that are closed.
        row: The clip's place in its file, the address of the noise.

    Raises:
        DataError: The keypoints are in pixels, or missing for too long.
    """
    assert clip.keypoints is not None
    where = f"clip {clip.name!r}"
    check_normalised(clip.keypoints, where=where)
    keypoints = np.array(clip.keypoints, dtype=np.float32)
    t, m, v, _ = keypoints.shape
    positions = np.full((t, m, v, 3), np.nan, dtype=np.float32)
    observed = np.zeros((t, m, v), dtype=np.bool_)
    persons = np.flatnonzero(np.isfinite(keypoints).any(axis=(0, 2, 3)))
    if not persons.size:
        raise DataError(f"{where}: expected 2D poses, got no detection; leave the clip out")
    for person in persons.tolist():
        numbers = numpy_generator(config.seed, Stream.AUGMENT, row, person)
        seen = config.keypoint_noise.drawn(
            keypoints[:, person], clip.layout, fps=clip.fps, numbers=numbers
        )
        keypoints[:, person] = seen
        most = round(config.longest_gap * clip.fps)
        positions[:, person] = lifter.lift(filled_keypoints(seen, most=most, where=where), clip.fps)
        observed[:, person] = True
    return clip.replaced(
        positions=positions, observed=observed, keypoints=keypoints, uncertainty=None
    )


class _Job:
    """One command: its file, its model, and what is counted."""

    def __init__(
        self,
        config: LiftConfig,
        source: KeypointSource,
        lifters: Sequence[TrainedLifter],
        place: Place,
    ) -> None:
        self.config, self.source, self.place = config, source, place
        self.lifter = lifter = lifters[0]
        lifter.check_clips(source.layout, where=str(source.path))
        self.folds = lifter_folds(source, lifter, lifters[1:], where=str(source.path))
        self.rows = self._chosen()
        self.warnings = tempo_warnings(
            source.fps[self.rows],
            lifter.fps,
            where=source.path.name,
            whose=f"model {lifter.name} knows",
        )
        self.inputs: Mapping[str, str] = file_hashes([config.data, *(one.path for one in lifters)])
        self.rejected: list[Rejection] = []
        self.lifted = self.frames = self.resumed = self.own_frames = 0
        self.lift_seconds = 0.0

    def _chosen(self) -> list[int]:
        """The clips of the part that is asked for."""
        config = self.config
        if config.part == "all":
            if config.split:
                raise UsageError(
                    f"--split {config.split}: expected with --part train or --part test; add one"
                )
            return list(range(len(self.source)))
        rule = config.split or self.lifter.checkpoint.meta.get("split", {}).get("rule", "")
        if not rule:
            raise UsageError(
                f"--part {config.part}: the model was trained on all clips of its file; say which "
                f"part is meant with --split RULE"
            )
        parts = split_clips(self.source, rule)
        return [int(row) for row in (parts.train if config.part == "train" else parts.test)]

    @property
    def shards(self) -> int:
        return -(-len(self.rows) // _SHARD)

    def some(self, shard: int) -> list[int]:
        """The clips of a shard, as places in the file."""
        return self.rows[shard * _SHARD : (shard + 1) * _SHARD]

    def plan(self) -> dict[str, Any]:
        """What decides the content of the shards."""
        settings = self.config.model_dump(mode="json", exclude={"out", "data", "model", "folds"})
        hashes = list(self.inputs.values())
        return {**settings, "inputs": hashes, "version": __version__}

    def fill(self, folder: ShardFolder, progress: Progress) -> None:
        """Write the shards that are missing."""
        started, missing = time.monotonic(), folder.missing()
        self.place.wait()
        self.resumed = self.shards - len(missing)
        done = sum(len(self.some(s)) for s in range(self.shards) if s not in missing)
        schema = Schema(
            layout=self.source.layout,
            classes=self.source.classes,
            persons=self.source.persons,
            has_confidence=self.source.has_confidence,
            has_keypoints=True,
        )
        with progress("lifting", total=len(self.rows), done=done) as advance:
            for shard in missing[self.place.rank :: self.place.world]:
                clips, rejected = [], []
                for row in self.some(shard):
                    try:
                        clips.append(
                            lifted_clip(
                                self.source.load(row), self.folds.of(row), self.config, row=row
                            )
                        )
                        self.own_frames += clips[-1].num_frames
                    except DataError as error:
                        rejected.append({"name": self.source.names[row], "reason": str(error)})
                    advance(1)
                told = [{"rejected": rejected}]
                write_sequences(folder.path(shard), clips, schema, provenance=told)
        self.lift_seconds = time.monotonic() - started

    def count(self, folder: ShardFolder) -> None:
        """Add up what all shards say of themselves.

        Raises:
            DataError: No clip could be lifted; the first reason is given.
        """
        for index in range(folder.count):
            with SequenceFile(folder.path(index)) as shard:
                self.rejected += [Rejection(**one) for one in shard.provenance[-1]["rejected"]]
                self.lifted += len(shard)
                self.frames += int(shard.lengths.sum())
        if not self.lifted:
            if self.place.is_first:
                folder.remove()
            raise DataError(f"{self.source.path}: {self.rejected[0].reason}")

    def join(self, folder: ShardFolder) -> None:
        """Make the output of the shards."""
        meta = self.lifter.checkpoint.meta
        record = {
            **provenance_record("lift", self.config, self.inputs),
            "lifter": {key: meta.get(key) for key in ("split", "data", "keypoint_noise")},
            "folds": [one.checkpoint.meta.get("split") for one in self.folds.lifters[1:]],
        }
        provenance = [*self.source.provenance, record]
        folder.join(classes=self.source.classes, provenance=provenance)

    def report(self, *, seconds: float, dry_run: bool) -> LiftReport:
        """What was lifted, or would be."""
        config = self.config
        return LiftReport(
            data=str(config.data),
            output=str(config.out),
            model=self.lifter.name,
            kind=self.lifter.checkpoint.kind,
            part=config.part,
            clips=len(self.rows),
            lifted=self.lifted,
            by_folds=sum(self.folds.chosen[row] > 0 for row in self.rows),
            frames=self.frames,
            rejected=self.rejected,
            warnings=self.warnings,
            resumed_shards=self.resumed,
            seconds=round(seconds, 3),
            frames_per_second=round(self.own_frames / max(self.lift_seconds, 1e-9), 1),
            dry_run=dry_run,
        )
