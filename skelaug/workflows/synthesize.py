"""Draw labelled clips from a trained model into a sequence file: ``skelaug synth``."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skelaug.checkpoint import load_checkpoint
from skelaug.data.shards import ShardFolder
from skelaug.data.store import Schema, SequenceFile, write_sequences
from skelaug.errors import CheckFailedError
from skelaug.files import require_file, require_new, sha256
from skelaug.place import Place, training_place
from skelaug.progress import Advance, Progress, silent
from skelaug.seeds import Stream, numpy_generator
from skelaug.skeleton.sequence import SkeletonSequence, Source
from skelaug.workflows.candidates import draw_best
from skelaug.workflows.generator import Recipe
from skelaug.workflows.image_source import GROUP
from skelaug.workflows.open_model import open_model
from skelaug.workflows.provenance import provenance_record, write_run_record
from skelaug.workflows.run_directory import SCORES
from skelaug.workflows.synthesis_jury import most_candidates, open_jury
from skelaug.workflows.synthesis_labels import real_durations, wanted_labels, weak_of
from skelaug.workflows.synthesis_report import (
    ChoiceReport,
    LabelCount,
    SynthesizeConfig,
    SynthReport,
)
from skelaug.workflows.variation import tempo_factor, with_other_bones
from skelaug.workflows.weak_classes import FLATTERY
from skelaug.zoo import find_model

__all__ = ["ChoiceReport", "LabelCount", "SynthReport", "SynthesizeConfig", "run"]

_SHARD = 8 * GROUP
_SEEN = ("split", "subjects", "data")  # what a checkpoint says about its training clips


def run(
    config: SynthesizeConfig,
    *,
    resume: bool = False,
    force: bool = False,
    dry_run: bool = False,
    device: str = "auto",
    progress: Progress = silent,
) -> SynthReport:
    """Draw clips, shard by shard, and join them into one sequence file.

    Clip i depends on the model, the recipe, its label and (seed, i): not on how many are drawn,
    by how many processes, or whether the run was interrupted.

    Raises:
        NotFoundError: The model, a label or a file does not exist.
        UsageError: The settings contradict one another, or the output exists.
        DataError: The model, the judge or the ``like`` file is damaged or does not fit.
        CheckFailedError: No clip met the criteria, and those that do not are left out.
        StorageError: The disk is full or the folder cannot be written.
    """
    started = time.monotonic()
    # killed between joining the shards and removing them: the output is there, and made again
    is_half_joined = resume and ShardFolder(config.out, count=0, plan={}).folder.exists()
    inputs = [config.like] if config.like else []
    require_new(config.out, force=force or is_half_joined, inputs=inputs)
    with training_place(device) as place:
        job = _Job(config, place)
        folder = ShardFolder(config.out, count=job.shards, plan=job.plan())
        if dry_run:
            return job.report(seconds=time.monotonic() - started, dry_run=True)
        if place.is_first:
            folder.open(resume=resume, force=force)
        place.wait()
        missing = folder.missing()
        job.resumed = job.shards - len(missing)
        done = sum(len(job.indices(shard)) for shard in range(job.shards) if shard not in missing)
        with progress("drawing", total=len(job.labels), done=done) as advance:
            for shard in missing[place.rank :: place.world]:
                clips, counts = job.draw(shard, advance)
                schema = Schema(job.images.codec.layout, job.classes, job.images.codec.persons)
                write_sequences(folder.path(shard), clips, schema, provenance=[counts])
        place.wait()
        if place.is_first:
            job.counts = _counted(folder)
            job.check_kept(folder)
            folder.join(classes=job.classes, provenance=[job.provenance()])
        report = job.report(seconds=time.monotonic() - started, dry_run=False)
        if place.is_first:
            details = {"report": report.model_dump(mode="json")}
            write_run_record(config.out, config, command="synth", details=details)
        return report


class _Job:
    """One command: the labels of all samples, the generator, and what is counted."""

    def __init__(self, config: SynthesizeConfig, place: Place) -> None:
        self.config = config
        self.model = find_model(config.model)
        asked = (*Recipe.model_fields, "drawn_levels")
        settings = {name: getattr(config, name) for name in asked}
        self.images = open_model(
            self.model, guide=config.guide, settings=settings, seed=config.seed, device=place.device
        )
        self.hashes = {path.name: sha256(path) for path in self.images.files}
        self.known = self.images.checkpoint.classes
        self.like = SequenceFile(require_file(config.like)) if config.like else None
        self.weak = weak_of(config, self.known)
        self.labels = wanted_labels(config, self.known, self.like, self.weak)
        self.durations = real_durations(self.images.checkpoint.meta, self.known, self.like)
        drawn = set(self.labels)
        self.classes = tuple(name for i, name in enumerate(self.known) if i in drawn)
        self.fps = config.fps or float(self.images.checkpoint.meta["fps"])
        self.jury = open_jury(
            config,
            model=self.model,
            source=self.images,
            drawn=self.classes,
            device=place.device,
        )
        self.counts = Counter[str]()
        self.resumed = 0

    @property
    def shards(self) -> int:
        return -(-len(self.labels) // _SHARD)

    def indices(self, shard: int) -> range:
        """The samples of a shard."""
        return range(shard * _SHARD, min((shard + 1) * _SHARD, len(self.labels)))

    def plan(self) -> dict[str, Any]:
        """What decides the content of the shards."""
        named = {"out", "model", "guide", "like", "plausible_like", "judge", "where_it_hurts"}
        settings = self.config.model_dump(mode="json", exclude=named)
        return {
            **settings,
            "like": sha256(self.config.like) if self.config.like else None,
            "bounds": self.jury.standards.bounds,
            "judge": sha256(self.jury.judge.path) if self.jury.judge else None,
            "weak": {one.label: one.clips for one in self.weak},
            "weights": self.hashes,
            "clips": len(self.labels),
        }

    def provenance(self) -> dict[str, Any]:
        """The record of this command in the file; without a clock, so that equal runs are equal."""
        inputs = [path for path in (self.config.like, self.config.plausible_like) if path]
        if self.config.where_it_hurts:
            inputs.append(self.config.where_it_hurts / SCORES)
        record = provenance_record("synth", self.config, inputs)
        meta = self.images.checkpoint.meta
        seen = {key: meta.get(key) for key in _SEEN}
        model = {"name": self.model.name, "sha256": self.hashes, **seen}
        if self.jury.judge is not None:
            judge, told = self.jury.judge, {k: self.jury.judge.meta.get(k) for k in _SEEN}
            record["judge"] = {"name": judge.path.name, "sha256": sha256(judge.path), **told}
        if self.images.guidance_scale and len(self.images.files) > 1:
            pull = load_checkpoint(self.images.files[1])
            told = {key: pull.meta.get(key) for key in _SEEN}
            record["guide"] = {"name": self.images.files[1].name, **told}
        recipe = {
            "sampler": self.images.sampler,
            "steps": self.images.steps,
            "performers": list(self.images.performers),
        }
        return {**record, "model": {**model, "licence": meta.get("licence", "")}, "recipe": recipe}

    def draw(self, shard: int, advance: Advance) -> tuple[list[SkeletonSequence], dict[str, int]]:
        """The clips of a shard, and what was counted on the way."""
        indices, config = self.indices(shard), self.config
        best = draw_best(
            self.images,
            self.jury,
            indices,
            [self.labels[i] for i in indices],
            candidates=most_candidates(config),
            decode=self._clip,
            advance=advance,
        )
        keeps = best.passes | (not config.drop_failed)
        clips = [
            with_other_bones(self._clip(i, image), config.vary_bones, seed=config.seed, sample=i)
            for i, image, keep in zip(indices, best.pixels, keeps, strict=True)
            if keep
        ]
        counts = Counter(f"clips {clip.label}" for clip in clips)
        return clips, {**counts, **best.counts, "unmet": int((~best.passes).sum())}

    def _clip(self, index: int, image: NDArray[np.float32]) -> SkeletonSequence:
        label = self.known[self.labels[index]]
        numbers = numpy_generator(self.config.seed, Stream.DURATION, index)
        seconds = float(numbers.choice(self.durations[label])) * tempo_factor(
            self.config.vary_tempo, seed=self.config.seed, sample=index
        )
        persons = np.repeat(*self._persons(label))
        codec = self.images.codec
        record = codec.record(
            length=max(2, round(seconds * self.fps)),
            fps=self.fps,
            persons=int(numbers.choice(persons)),
        )
        name = f"{label.replace(' ', '-')}-{self.config.seed}-{index:06d}"
        clip = codec.decode(image, record, name=name, label=label)
        return replace(clip, source=Source.SYNTHETIC, seed=self.config.seed)

    def _persons(self, label: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Numbers of persons 1, 2, ... and how many training clips of the class have them.

        A class without any takes those of all clips.
        """
        table = self.images.checkpoint.meta["persons"]
        counts = np.asarray(table.get(label, []), np.int64)
        if not counts.any():
            counts = np.atleast_1d(np.sum(list(table.values()), axis=0))
        counts = counts if counts.any() else np.ones(1, np.int64)
        return np.arange(1, len(counts) + 1), counts

    def check_kept(self, folder: ShardFolder) -> None:
        """Make sure that there is a clip to write.

        Raises:
            CheckFailedError: All failed and were left out; the shards are removed.
        """
        if self.config.drop_failed and not any(k.startswith("clips ") for k in +self.counts):
            folder.remove()
            failed = ", ".join(f"{k} {n}" for k, n in self._choice().failed.items())
            raise CheckFailedError(
                f"{self.config.out}: expected clips that meet the criteria, got none of "
                f"{len(self.labels)} (candidates that failed: {failed}); draw more --candidates, "
                f"ask less, or keep what fails without --drop-failed"
            )

    def _choice(self) -> ChoiceReport:
        return ChoiceReport(
            candidates=most_candidates(self.config),
            drawn=self.counts["drawn"],
            failed={name: self.counts[f"failed {name}"] for name in self.jury.criteria},
            passed=len(self.labels) - self.counts["unmet"],
            unmet=self.counts["unmet"],
            dropped=self.config.drop_failed,
        )

    def report(self, *, seconds: float, dry_run: bool) -> SynthReport:
        """What was drawn, or would be."""
        counts = Counter(self.known[label] for label in self.labels)
        if self.config.drop_failed and not dry_run:
            counts = Counter({label: self.counts[f"clips {label}"] for label in counts})
        asks_copies = self.config.no_copies and not dry_run
        return SynthReport(
            output=str(self.config.out),
            clips=counts.total(),
            labels=[LabelCount(label=label, clips=count) for label, count in counts.items()],
            model=str(self.model),
            sampler=self.images.sampler,
            steps=self.images.steps,
            guidance_scale=self.images.guidance_scale,
            performers=list(self.images.performers),
            redrawn=self.counts["drawn"] - len(self.labels) if asks_copies else None,
            copies=self.counts["kept copy"] if asks_copies else None,
            choice=self._choice() if self.jury.criteria and not dry_run else None,
            weak=self.weak,
            warnings=[FLATTERY] if self.weak else [],
            resumed_shards=self.resumed,
            seconds=round(seconds, 3),
            dry_run=dry_run,
        )


def _counted(folder: ShardFolder) -> Counter[str]:
    """What was counted while the shards were drawn, by whatever process and in whatever run."""
    counts = Counter[str]()
    for index in range(folder.count):
        with SequenceFile(folder.path(index)) as shard:
            counts.update(shard.provenance[-1])
    return counts
