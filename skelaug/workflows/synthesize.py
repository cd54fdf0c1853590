"""Draw labelled clips from a trained model into a sequence file: ``skelaug synth``."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skelaug.checkpoint import load_checkpoint
from skelaug.data.shards import ShardFolder
from skelaug.data.store import Schema, SequenceFile, write_sequences
from skelaug.errors import NotFoundError
from skelaug.files import require_file, require_new, sha256
from skelaug.image.sketch import CopyDetector, detector
from skelaug.place import Place, training_place
from skelaug.progress import Advance, Progress, silent
from skelaug.seeds import Stream, numpy_generator
from skelaug.skeleton.sequence import SkeletonSequence, Source
from skelaug.workflows.generator import Recipe
from skelaug.workflows.image_source import GROUP, Address, ImageSource
from skelaug.workflows.open_model import open_model
from skelaug.workflows.provenance import provenance_record, write_run_record
from skelaug.workflows.synthesis_labels import real_durations, wanted_labels
from skelaug.workflows.synthesis_report import LabelCount, SynthesizeConfig, SynthReport
from skelaug.zoo import find_model, weights_in

__all__ = ["LabelCount", "SynthReport", "SynthesizeConfig", "run"]

_SHARD = 8 * GROUP
_ATTEMPTS = 8


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
        DataError: The model or the ``like`` file is damaged.
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
                clips = job.draw(shard, advance)
                schema = Schema(job.images.codec.layout, job.classes, job.images.codec.persons)
                write_sequences(folder.path(shard), clips, schema, provenance=[])
        place.wait()
        if place.is_first:
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
        settings = {name: getattr(config, name) for name in Recipe.model_fields}
        self.images = open_model(
            self.model, guide=config.guide, settings=settings, seed=config.seed, device=place.device
        )
        self.hashes = {path.name: sha256(path) for path in self.images.files}
        self.known = self.images.checkpoint.classes
        self.like = SequenceFile(require_file(config.like)) if config.like else None
        self.labels = wanted_labels(config, self.known, self.like)
        self.durations = real_durations(self.images.checkpoint.meta, self.known, self.like)
        drawn = set(self.labels)
        self.classes = tuple(name for i, name in enumerate(self.known) if i in drawn)
        self.fps = config.fps or float(self.images.checkpoint.meta["fps"])
        self.detector = _detector(self.model, self.images) if config.no_copies else None
        self.redrawn = self.copies = self.resumed = 0

    @property
    def shards(self) -> int:
        return -(-len(self.labels) // _SHARD)

    def indices(self, shard: int) -> range:
        """The samples of a shard."""
        return range(shard * _SHARD, min((shard + 1) * _SHARD, len(self.labels)))

    def plan(self) -> dict[str, Any]:
        """What decides the content of the shards."""
        settings = self.config.model_dump(mode="json", exclude={"out", "model", "guide", "like"})
        like = sha256(self.config.like) if self.config.like else None
        return {**settings, "like": like, "weights": self.hashes, "clips": len(self.labels)}

    def provenance(self) -> dict[str, Any]:
        """The record of this command in the file; without a clock, so that equal runs are equal."""
        inputs = [self.config.like] if self.config.like else []
        record = provenance_record("synth", self.config, inputs)
        meta = self.images.checkpoint.meta
        seen = {key: meta.get(key) for key in ("split", "subjects", "data")}
        model = {"name": self.model.name, "sha256": self.hashes, **seen}
        recipe = {
            "sampler": self.images.sampler,
            "steps": self.images.steps,
            "performers": list(self.images.performers),
        }
        return {**record, "model": {**model, "licence": meta.get("licence", "")}, "recipe": recipe}

    def draw(self, shard: int, advance: Advance) -> list[SkeletonSequence]:
        """The clips of a shard."""
        indices = self.indices(shard)
        labels = [self.labels[i] for i in indices]
        pixels = np.empty((len(indices), *self.images.codec.shape), dtype=np.float32)
        step = GROUP * self.images.workers
        for start in range(0, len(indices), step):
            piece = slice(start, start + step)
            addresses = [Address(i) for i in indices[piece]]
            pixels[piece] = self.images.draw(addresses, labels[piece])
            advance(len(addresses))
        if self.detector is not None:
            self._draw_copies_again(pixels, indices, labels, self.detector)
        return [self._clip(i, image) for i, image in zip(indices, pixels, strict=True)]

    def _draw_copies_again(
        self,
        pixels: NDArray[np.float32],
        indices: range,
        labels: Sequence[int],
        copies: CopyDetector,
    ) -> None:
        places = [int(place) for place in np.flatnonzero(copies.is_copy(pixels))]
        for attempt in range(1, _ATTEMPTS + 1):
            if not places:
                return
            addresses = [Address(indices[p], attempt) for p in places]
            pixels[places] = self.images.draw(addresses, [labels[p] for p in places])
            self.redrawn += len(places)
            still = copies.is_copy(pixels[places])
            places = [place for place, is_near in zip(places, still, strict=True) if is_near]
        self.copies += len(places)

    def _clip(self, index: int, image: NDArray[np.float32]) -> SkeletonSequence:
        label = self.known[self.labels[index]]
        numbers = numpy_generator(self.config.seed, Stream.DURATION, index)
        seconds = float(numbers.choice(self.durations[label]))
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

    def report(self, *, seconds: float, dry_run: bool) -> SynthReport:
        """What was drawn, or would be."""
        counts = Counter(self.known[label] for label in self.labels)
        return SynthReport(
            output=str(self.config.out),
            clips=len(self.labels),
            labels=[LabelCount(label=label, clips=count) for label, count in counts.items()],
            model=str(self.model),
            sampler=self.images.sampler,
            steps=self.images.steps,
            guidance_scale=self.images.guidance_scale,
            performers=list(self.images.performers),
            redrawn=self.redrawn if self.detector else None,
            copies=self.copies if self.detector else None,
            resumed_shards=self.resumed,
            seconds=round(seconds, 3),
            dry_run=dry_run,
        )


def _detector(model: Path, images: ImageSource) -> CopyDetector:
    path = weights_in(model).get("sketch")
    if path is None:
        raise NotFoundError(
            f"{model}: no sketch.safetensors, so copies of training clips cannot be told; "
            f"train the model again, or leave --no-copies out"
        )
    return detector(load_checkpoint(path).weights["sketch"].numpy(), images.codec)
