"""Make noisy 3D poses more accurate: ``skelaug refine``.

The file is read once, shard by shard; memory does not grow with the number of clips, and a killed
run goes on where it stopped, bit for bit.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skelaug import __version__
from skelaug.data.shards import ShardFolder
from skelaug.data.store import Schema, SequenceFile, write_sequences
from skelaug.errors import DataError, NotFoundError, UsageError
from skelaug.files import require_file, require_new
from skelaug.place import Place, training_place
from skelaug.progress import Progress, silent
from skelaug.refinement.filters import FILTERS
from skelaug.skeleton.layout import SkeletonLayout
from skelaug.skeleton.sequence import SkeletonSequence
from skelaug.workflows.noise_file import load_noise
from skelaug.workflows.performers import performer_bones
from skelaug.workflows.prediction_batches import Rejection
from skelaug.workflows.provenance import file_hashes, provenance_record, write_run_record
from skelaug.workflows.refinement import (
    Corrector,
    Refined,
    compared,
    filtering,
    refine_clips,
    rigidly,
    smoothly,
)
from skelaug.workflows.refinement_picture import draw_refined
from skelaug.workflows.refinement_report import (
    RefineConfig,
    RefineReport,
    change_in,
    errors_in,
)
from skelaug.workflows.refiner import correcting, load_refiner, refining, sampling
from skelaug.workflows.tempo import tempo_warnings

__all__ = ["run"]

_PACKAGED, _ROLE = "kinect20", "refiner"
_SHARD = 256  # clips
_CLIPS_AT_ONCE = 32


def run(
    config: RefineConfig,
    *,
    resume: bool = False,
    force: bool = False,
    dry_run: bool = False,
    device: str = "auto",
    progress: Progress = silent,
) -> RefineReport:
    """Refine all clips and write them; what cannot be refined is written as it was.

    Raises:
        NotFoundError: A file or the model does not exist.
        UsageError: The settings contradict one another, or an output exists.
        DataError: A file is damaged, has no clips, or does not fit the model or the truth.
        StorageError: An output cannot be written.
    """
    started = time.monotonic()
    _check_outputs(config, resume=resume, force=force)
    with training_place(device) as place, SequenceFile(require_file(config.data)) as file:
        job = _Job(config, file, place)
        if dry_run:
            return job.report(seconds=time.monotonic() - started, dry_run=True)
        folder = ShardFolder(config.out, count=job.shards, plan=job.plan())
        if place.is_first:
            folder.open(resume=resume, force=force)
        place.wait()
        job.refine(folder, progress)
        place.wait()
        if place.is_first:
            job.count(folder)
        report = job.report(seconds=time.monotonic() - started, dry_run=False)
        if place.is_first:
            details = {"inputs": job.inputs, "report": report.model_dump(mode="json")}
            write_run_record(
                config.out, config, command="refine", seconds=report.seconds, details=details
            )
            record = provenance_record("refine", config, job.inputs)
            folder.join(classes=file.classes, provenance=[*file.provenance, record])
            job.draw()
        place.wait()
        return report


def _check_outputs(config: RefineConfig, *, resume: bool, force: bool) -> None:
    """That outputs are new and no inputs.

    Raises:
        UsageError: They are not.
    """
    inputs = [path for path in (config.data, config.truth) if path is not None]
    has_begun = resume and ShardFolder(config.out, count=0, plan={}).folder.exists()
    require_new(config.out, force=force or has_begun, inputs=inputs)
    if config.picture is not None:
        require_new(config.picture, force=force, inputs=inputs)
    if config.sample and config.method in FILTERS:
        raise UsageError(
            f"--sample: expected a model of the error to draw from, got --method {config.method}; "
            f"leave one of the two out"
        )


class _Job:
    """One command: its file, its method, and what is counted."""

    def __init__(self, config: RefineConfig, file: SequenceFile, place: Place) -> None:
        self.config, self.file, self.place = config, file, place
        if not len(file):
            raise DataError(f"{file.path}: expected clips, got none; convert some first")
        if file.channels != 3:
            raise DataError(
                f"{file.path}: expected 3 coordinates per joint, got {file.channels}; lift the "
                f"clips to 3D first"
            )
        self.warnings: list[str] = []
        self.model = config.model or _PACKAGED
        self.steps: int | None = None
        self.reads_keypoints = False
        self.weights: list[Path] = []
        self.root, self.bones = config.root, config.bones
        self.low_pass = config.low_pass or 0.0
        self._bones: Mapping[int, NDArray[np.float64]] | None = None
        self.correctors = self._methods()
        self.truth = self._true_clips()
        named = [path for path in (config.data, config.truth) if path is not None]
        self.inputs: Mapping[str, str] = file_hashes([*named, *self.weights])
        self.sums: dict[str, float] = defaultdict(float)
        self.rejected: list[Rejection] = []
        self.resumed, self.frames_done, self.refine_seconds = 0, 0, 0.0

    @property
    def needs_model(self) -> bool:
        return self.config.method not in FILTERS

    @property
    def root_filter(self) -> str | None:
        """The filter of the root's way, if any."""
        if self.root == "auto":
            return None if self.needs_model else self.config.method
        return None if self.root == "keep" else self.root

    def finished(self, corrector: Corrector, progress: Progress) -> Corrector:
        """A corrector with what comes after it: a low pass, rigid bones."""
        if self.low_pass:
            corrector = smoothly(corrector, self.low_pass)
        if self.bones in ("rigid", "performer"):
            corrector = rigidly(corrector, self.file.layout, self._known_bones(progress))
        return corrector

    def _known_bones(self, progress: Progress) -> Mapping[int, NDArray[np.float64]]:
        if self.bones != "performer":
            return {}
        if self._bones is None:
            self._bones = performer_bones(self.file, progress=progress)
        return self._bones

    def _methods(self) -> list[Corrector]:
        """One corrector, or one for each sample that is to be drawn."""
        config, file = self.config, self.file
        if not self.needs_model:
            given = {"--model": config.model, "--steps": config.steps}
            self.warnings += [
                f"{name} counts for nothing with --method {config.method}"
                for name, value in given.items()
                if value
            ]
            return [filtering(config.method)]
        try:
            return self._models()
        except (NotFoundError, DataError) as error:
            raise type(error)(
                f"{error}; or filter in time, without a model: --method butterworth"
            ) from error
        finally:
            if config.steps is not None and (config.sample or config.method != "diffusion"):
                self.warnings.append(f"{file.path.name}: --steps counts for diffusion only")

    def _models(self) -> list[Corrector]:
        config, file = self.config, self.file
        if config.method == "diffusion" and not config.sample:
            refiner = load_refiner(self.model, device=self.place.device)
            self._check(refiner.layout, reads_keypoints=refiner.form.keypoints)
            self.weights.append(refiner.path)
            self.steps = config.steps or refiner.form.steps
            self.root = refiner.form.root if config.root == "auto" else config.root
            self.bones = refiner.form.bones if config.bones == "auto" else config.bones
            self.low_pass = refiner.form.low_pass if config.low_pass is None else config.low_pass
            whose = f"model {self.model} knows"
            self.warnings += tempo_warnings(
                file.fps, refiner.form.fps, where=file.path.name, whose=whose
            )
            return [refining(refiner, steps=config.steps, flip=config.flip)]
        noise = load_noise(self.model, "corrector")
        self._check(noise.layout, reads_keypoints=noise.model.with_keypoints)
        self.weights.append(noise.path)
        if not config.sample:
            return [correcting(noise)]
        return [sampling(noise, seed=config.seed, number=n) for n in range(config.sample)]

    def _check(self, layout: SkeletonLayout, *, reads_keypoints: bool) -> None:
        """That the clips have the model's joints, and 2D poses where it reads them."""
        file, self.reads_keypoints = self.file, reads_keypoints
        if file.layout.joints != layout.joints:
            raise DataError(
                f"{file.path}: expected layout {layout.name} with {layout.num_joints} joints as "
                f"in model {self.model}, got {file.layout.name} with {file.layout.num_joints}"
            )
        if reads_keypoints and not file.has_keypoints:
            raise DataError(
                f"{file.path}: expected 2D poses, which model {self.model} reads, got none; train "
                f"a refiner without them with --set keypoints=false"
            )

    def _true_clips(self) -> tuple[SequenceFile, dict[str, int]] | None:
        """The file of true poses, and where in it each clip lies."""
        if self.config.truth is None:
            return None
        truth = SequenceFile(require_file(self.config.truth))
        if truth.layout.joints != self.file.layout.joints:
            raise DataError(
                f"{truth.path}: expected layout {self.file.layout.name} as in "
                f"{self.file.path.name}, got {truth.layout.name}"
            )
        rows = {name: row for row, name in enumerate(truth.names)}
        unknown = [name for name in self.file.names if name not in rows]
        if len(unknown) == len(self.file):
            raise DataError(
                f"{truth.path}: expected clips of the same names as in {self.file.path.name}, got "
                f"none, e.g. no {unknown[0]!r}"
            )
        if unknown:
            self.warnings.append(
                f"{truth.path.name}: has no true poses of {len(unknown)} clips, e.g. {unknown[0]!r}"
            )
        return truth, rows

    @property
    def shards(self) -> int:
        return -(-len(self.file) // _SHARD)

    def rows(self, shard: int) -> range:
        """The clips of a shard."""
        return range(shard * _SHARD, min((shard + 1) * _SHARD, len(self.file)))

    def plan(self) -> dict[str, Any]:
        """What decides the content of the shards."""
        settings = self.config.model_dump(
            mode="json", exclude={"out", "data", "model", "truth", "picture"}
        )
        return {**settings, "inputs": list(self.inputs.values()), "version": __version__}

    def refine(self, folder: ShardFolder, progress: Progress) -> None:
        """Write the shards that are missing."""
        file, started = self.file, time.monotonic()
        schema = Schema(
            layout=file.layout,
            classes=file.classes,
            persons=file.persons,
            has_confidence=file.has_confidence,
            has_uncertainty=file.has_uncertainty,
            has_keypoints=file.has_keypoints,
        )
        missing = folder.missing()
        self.place.wait()
        if missing:
            self.correctors = [self.finished(one, progress) for one in self.correctors]
        self.resumed = self.shards - len(missing)
        done = sum(len(self.rows(s)) for s in range(self.shards) if s not in missing)
        with progress("refining", total=len(file), done=done) as advance:
            for shard in missing[self.place.rank :: self.place.world]:
                rows, clips = self.rows(shard), []
                tally: dict[str, Any] = {"sums": defaultdict(float), "rejected": []}
                for first in range(rows.start, rows.stop, _CLIPS_AT_ONCE):
                    some = range(first, min(first + _CLIPS_AT_ONCE, rows.stop))
                    clips += self._refined(some, tally)
                    advance(len(some))
                self.frames_done += int(tally["sums"]["frames"])
                write_sequences(folder.path(shard), clips, schema, provenance=[tally])
        self.refine_seconds = time.monotonic() - started

    def _refined(self, rows: range, tally: dict[str, Any]) -> list[SkeletonSequence]:
        """What becomes of some clips, draws of one clip side by side."""
        read = {row: self.file[row] for row in rows}
        drawn = [
            refine_clips(
                read,
                corrector,
                root_filter=FILTERS[self.root_filter] if self.root_filter else None,
                reads_keypoints=self.reads_keypoints,
            )
            for corrector in self.correctors
        ]
        for row, one in zip(rows, drawn[0], strict=True):
            sums, clip = tally["sums"], read[row]
            sums["refined"] += bool(one.persons)
            sums["single"] += clip.num_frames == 1
            for key, value in compared(clip, one, self._true(clip)).items():
                sums[key] += value
            tally["rejected"] += [rejection.model_dump() for rejection in one.rejected]
        return [
            self._renamed(of_one_clip[number], number)
            for of_one_clip in zip(*drawn, strict=True)
            for number in range(len(self.correctors))
        ]

    def _renamed(self, one: Refined, number: int) -> SkeletonSequence:
        is_drawn = self.config.sample > 0
        name = f"{one.clip.name}, sample {number}" if is_drawn else one.clip.name
        return one.clip.replaced(name=name)

    def _true(self, clip: SkeletonSequence) -> SkeletonSequence | None:
        if self.truth is None or clip.name not in self.truth[1]:
            return None
        file, rows = self.truth
        true = file[rows[clip.name]]
        if true.positions.shape != clip.positions.shape:
            raise DataError(
                f"{file.path}: clip {clip.name!r}: expected frames, persons and joints "
                f"{clip.positions.shape[:3]} as in {self.file.path.name}, got "
                f"{true.positions.shape[:3]}"
            )
        return true

    def count(self, folder: ShardFolder) -> None:
        """Add up what all shards say of themselves."""
        for index in range(folder.count):
            with SequenceFile(folder.path(index)) as shard:
                tally = shard.provenance[-1]
            for key, value in tally["sums"].items():
                self.sums[key] += value
            self.rejected += [Rejection(**told) for told in tally["rejected"]]
        if self.sums["single"]:
            self.warnings.append(
                f"{self.sums['single']:.0f} clips of one frame are written as they were"
            )

    def draw(self) -> None:
        """Draw the picture, if one is wanted."""
        config, each = self.config, len(self.correctors)
        if config.picture is not None:
            title = f"{config.data.name}, and refined: {config.method}"
            draw_refined(config.picture, self.file, config.out, title=title, each=each)

    def report(self, *, seconds: float, dry_run: bool) -> RefineReport:
        """What was refined, or would be."""
        config, sums = self.config, self.sums
        frames = int(sums["frames"])
        return RefineReport(
            data=str(config.data),
            output=str(config.out),
            method=config.method,
            model=self.model if self.needs_model else None,
            steps=self.steps,
            root=self.root_filter or "keep",
            low_pass=self.low_pass,
            bones="keep" if self.bones == "auto" else self.bones,
            picture=str(config.picture) if config.picture else None,
            clips=len(self.file),
            written=len(self.file) * len(self.correctors),
            refined=int(sums["refined"]),
            frames=frames,
            jitter=change_in(sums, "jitter"),
            bone_length_variation=change_in(sums, "bones"),
            displacement_mm=round(1e3 * sums["displacement"] / frames, 3) if frames else None,
            errors=errors_in(sums),
            rejected=self.rejected,
            warnings=self.warnings,
            resumed_shards=self.resumed,
            seconds=round(seconds, 3),
            frames_per_second=round(self.frames_done / max(self.refine_seconds, 1e-9), 1),
            dry_run=dry_run,
        )
