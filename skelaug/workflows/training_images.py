"""From a sequence or images file to what a training reads: memory-mapped, normalised images.

The images of the training clips are written once (``RUN/images.h5``) and then mapped, so that
memory stays flat in the number of clips. Every statistic sees the training part only.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, Field, NonNegativeFloat, NonNegativeInt, PositiveInt
from torch import Tensor

from skelaug.data.store import SequenceFile
from skelaug.image.codec import ImageCodec
from skelaug.image.normalizer import ImageNormalizer, fit_normalizer
from skelaug.image.perturb import resized, turned
from skelaug.image.store import ImageFile, ImageSchema, write_images
from skelaug.place import Place
from skelaug.progress import Progress, silent
from skelaug.skeleton.layout import SkeletonLayout
from skelaug.skeleton.layouts import LAYOUTS
from skelaug.skeleton.mapping import map_sequence
from skelaug.skeleton.sequence import SkeletonSequence
from skelaug.workflows.plausible_images import bounds_of_images
from skelaug.workflows.run_directory import RunDirectory
from skelaug.workflows.training_clips import TrainingClips
from skelaug.workflows.training_run import TrainingConfig

__all__ = [
    "AugmentConfig",
    "CodecConfig",
    "ImageTrainingConfig",
    "TrainingImages",
    "image_material",
    "stand_in_images",
    "training_images",
]


class CodecConfig(BaseModel, frozen=True, extra="forbid"):
    """How sequences become images; a file of images keeps its own.

    Attributes:
        frames: Columns of an image.
        rows: Rows per person; 0 = the joints rounded up to a multiple of 4.
        persons: Persons per image; None = the largest number in any training clip.
    """

    frames: PositiveInt = 24
    rows: NonNegativeInt = 0
    persons: PositiveInt | None = None


class AugmentConfig(BaseModel, frozen=True, extra="forbid"):
    """How training images are varied; 0 leaves them as they are.

    Attributes:
        turn: Largest turn about the vertical, radians.
        size: Largest relative change of the body's size.
    """

    turn: NonNegativeFloat = 0.0
    size: float = Field(default=0.0, ge=0.0, lt=1.0)


class ImageTrainingConfig(TrainingConfig, frozen=True, extra="forbid"):
    """What every training on skeleton images is told.

    Attributes:
        per_joint_std: Normalise every joint by its own deviation instead of one for all.
        codec: How sequences become images.
    """

    per_joint_std: bool = False
    codec: CodecConfig = CodecConfig()


@dataclass(frozen=True, eq=False)
class TrainingImages:
    """The images of the training part.

    Attributes:
        clips: Where they come from.
        codec: How clips became images.
        pixels: N C R F, a read-only memory map.
        rows: Which of the N images is which training clip.
        normalizer: Fitted on them.
        persons: Of each class how many clips have 1, 2, ... persons; under an empty name those of
            the clips without a label, if there are any.
    """

    clips: TrainingClips
    codec: ImageCodec
    pixels: NDArray[np.float32]
    rows: NDArray[np.int64]
    normalizer: ImageNormalizer
    persons: Mapping[str, Sequence[int]]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def layout(self) -> SkeletonLayout:
        """The joints of the images."""
        return self.codec.layout

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of an image: channels, rows of all persons, frames."""
        return self.codec.shape

    def batch(
        self,
        which: NDArray[np.int64],
        augment: AugmentConfig | None = None,
        numbers: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Normalised images (n C R F, float32) and labels (n, -1 = unknown) of training clips.

        Args:
            which: Numbers of the clips within the training part.
            augment: How they are varied.
            numbers: Source of the variation.
        """
        pixels = torch.from_numpy(self.pixels[self.rows[which]])
        if augment and (augment.turn or augment.size):
            turn, size = torch.rand(2, len(which), generator=numbers) * 2 - 1
            pixels = resized(turned(pixels, augment.turn * turn), 1 + augment.size * size)
        return self.normalizer.normalize(pixels), torch.from_numpy(self.clips.labels[which])

    def facts(self) -> dict[str, Any]:
        """What a checkpoint says about its data; plain JSON values, no paths."""
        return {
            "codec": json.loads(self.codec.to_json()),
            "normalizer": self.normalizer.to_json(),
            "durations": self.clips.durations,
            "performed": self.clips.performed,
            "persons": {name: list(counts) for name, counts in self.persons.items()},
            "plausibility": bounds_of_images(self.pixels, self.rows, self.codec),
        }


def image_material(
    config: ImageTrainingConfig,
    clips: TrainingClips,
    directory: RunDirectory,
    place: Place,
    progress: Progress,
) -> TrainingImages:
    """`training_images` with the run directory's cache."""
    return training_images(clips, config, cache=directory.images, place=place, progress=progress)


def training_images(
    clips: TrainingClips,
    config: ImageTrainingConfig,
    *,
    cache: Path,
    place: Place,
    progress: Progress = silent,
) -> TrainingImages:
    """The images of the training clips; made once and kept in `cache` where they come as sequences.

    Args:
        clips: The training part.
        config: How sequences become images, and how these are normalised.
        cache: Where images are written; what lies there is used if it belongs to the data.
        place: The first process writes, the others wait.
        progress: Shows the encoding.

    Raises:
        DataError: A clip cannot be encoded.
    """
    if isinstance(clips.file, ImageFile):
        file, rows = clips.file, clips.rows
    else:
        if place.is_first and not cache.exists():
            _write_cache(clips, clips.file, config.codec, cache=cache, progress=progress)
        place.wait()
        file = ImageFile(cache)
        rows = np.arange(len(file), dtype=np.int64)
    return TrainingImages(
        clips=clips,
        codec=file.codec,
        pixels=file.pixels,
        rows=rows,
        normalizer=fit_normalizer(file.pixels, rows, per_joint=config.per_joint_std),
        persons=_persons(clips, file, rows),
    )


def _write_cache(
    clips: TrainingClips,
    file: SequenceFile,
    config: CodecConfig,
    *,
    cache: Path,
    progress: Progress,
) -> None:
    loose = _codec(file, config)
    with progress("encoding", total=2 * len(clips.rows)) as advance:

        def read() -> Iterator[SkeletonSequence]:
            for row in clips.rows:
                yield map_sequence(file[int(row)], loose.layout)
                advance(1)

        scales, persons = zip(*(loose.extent(clip) for clip in read()), strict=True)
        codec = replace(loose, scale=max(scales) or 1.0, persons=config.persons or max(persons))
        schema = ImageSchema(
            codec=codec,
            classes=clips.classes,
            count=len(clips.rows),
            data_sha256=clips.sha256,
        )
        write_images(cache, read(), schema, provenance=file.provenance)


def _codec(file: SequenceFile, config: CodecConfig) -> ImageCodec:
    """The codec before its scale is known; 24 rows of ntu_25 become ntu_24, as in `images`."""
    layout = file.layout
    if config.rows == 24 and layout.joints == LAYOUTS["ntu_25"].joints:
        layout = LAYOUTS["ntu_24"]
    return ImageCodec(
        layout=layout,
        frames=config.frames,
        rows=config.rows,
        persons=config.persons or file.persons,
    )


def _persons(
    clips: TrainingClips, file: ImageFile, rows: NDArray[np.int64]
) -> dict[str, list[int]]:
    counts = np.zeros((len(clips.classes) + 1, file.codec.persons), dtype=np.int64)
    for row, label in zip(rows, clips.labels, strict=True):
        present = sum(any(joints) for joints in file.record(int(row)).observed)
        counts[label, max(present, 1) - 1] += 1
    names = [*clips.classes, *([""] if counts[-1].any() else [])]
    return {name: counts[index].tolist() for index, name in enumerate(names)}


def stand_in_images(clips: TrainingClips, config: CodecConfig, *, count: int) -> TrainingImages:
    """Random images of the right size in memory, for measuring speed before anything is written.

    There are `count` of them at most, and the training clips share them.
    """
    file = clips.file
    codec = file.codec if isinstance(file, ImageFile) else _codec(file, config)
    shape = (min(count, len(clips.rows)), *codec.shape)
    pixels = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    return TrainingImages(
        clips=clips,
        codec=codec,
        pixels=pixels,
        rows=np.arange(len(clips.rows), dtype=np.int64) % len(pixels),
        normalizer=fit_normalizer(pixels, np.arange(len(pixels))),
        persons={},
    )
