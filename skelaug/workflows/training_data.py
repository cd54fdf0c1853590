"""From a sequence or images file to what a training reads: memory-mapped, normalised images.

The images of the training clips are written once (``RUN/images.h5``) and then mapped, so that
memory stays flat in the number of clips. Every statistic sees the training part only.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, Field, NonNegativeFloat, NonNegativeInt, PositiveInt
from torch import Tensor

from skelaug.data.splits import Split, split_clips
from skelaug.data.store import SequenceFile
from skelaug.errors import DataError
from skelaug.files import require_file, sha256
from skelaug.image.codec import ImageCodec
from skelaug.image.normalizer import ImageNormalizer, fit_normalizer
from skelaug.image.perturb import resized, turned
from skelaug.image.store import FORMAT as IMAGES_FORMAT
from skelaug.image.store import ImageFile, ImageSchema, write_images
from skelaug.place import Place
from skelaug.progress import Progress, silent
from skelaug.skeleton.layouts import LAYOUTS
from skelaug.skeleton.mapping import map_sequence
from skelaug.skeleton.sequence import SkeletonSequence

__all__ = [
    "AugmentConfig",
    "CodecConfig",
    "TrainingClips",
    "TrainingImages",
    "stand_in_images",
    "training_clips",
    "training_images",
]

_QUANTILES = 64
_FEW_IN_CLASS, _FEW = 5, 100


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


@dataclass(frozen=True, eq=False)
class TrainingClips:
    """The training part of a data file, before any image is made.

    Attributes:
        file: The sequences or images.
        sha256: Of the file.
        split: Which of its clips are the training part.
    """

    file: SequenceFile | ImageFile
    sha256: str
    split: Split

    @property
    def rows(self) -> NDArray[np.int64]:
        """Which clips of the file are the training part, ascending."""
        return self.split.train

    @property
    def inputs(self) -> dict[str, str]:
        """SHA-256 by file name."""
        return {self.file.path.name: self.sha256}

    @property
    def classes(self) -> tuple[str, ...]:
        """All class names of the file; some may have no clip in the training part."""
        return self.file.classes

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """Class of each training clip, -1 = unknown."""
        return self.file.labels[self.rows].astype(np.int64)

    @cached_property
    def subjects(self) -> list[int]:
        """The known performers of the training part."""
        return sorted({int(s) for s in self.file.subjects[self.rows] if s >= 0})

    @cached_property
    def counts(self) -> dict[str, int]:
        """Training clips of each class."""
        found = Counter(self.labels.tolist())
        return {name: found.get(index, 0) for index, name in enumerate(self.classes)}

    @property
    def fps(self) -> float:
        """The most frequent frame rate."""
        values, counts = np.unique(self.file.fps[self.rows], return_counts=True)
        return float(values[counts.argmax()])

    @property
    def durations(self) -> dict[str, list[float]]:
        """Of each class the clips' lengths in seconds, rising; at most 64 quantiles of them."""
        seconds = self.file.durations[self.rows]
        table = {}
        for index, name in enumerate(self.classes):
            own = seconds[self.labels == index]
            shares = np.linspace(0, 1, min(len(own), _QUANTILES))
            table[name] = np.quantile(own, shares).round(4).tolist() if len(own) else []
        return table

    @property
    def warnings(self) -> list[str]:
        """What may make a model of this data a poor one."""
        few = [name for name, count in self.counts.items() if 0 < count < _FEW_IN_CLASS]
        none = [name for name, count in self.counts.items() if count == 0]
        unknown = int((self.labels < 0).sum())
        found = []
        if len(self.rows) < _FEW:
            found.append(
                f"only {len(self.rows)} clips: samples will be near copies of them; "
                f"{_FEW} or more are better"
            )
        if few:
            found.append(f"fewer than {_FEW_IN_CLASS} clips in {_list(few)}")
        if none:
            found.append(f"no clip at all in {_list(none)}")
        if unknown:
            found.append(f"{unknown} clips have no label")
        return [*self.split.notes, *found]


@dataclass(frozen=True, eq=False)
class TrainingImages:
    """The images of the training part.

    Attributes:
        clips: Where they come from.
        codec: How clips became images.
        pixels: N C R F, a read-only memory map.
        rows: Which of the N images is which training clip.
        normalizer: Fitted on them.
        persons: Of each class how many clips have 1, 2, ... persons.
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
        clips = self.clips
        return {
            "codec": json.loads(self.codec.to_json()),
            "normalizer": self.normalizer.to_json(),
            "split": {"rule": clips.split.rule, "hash": clips.split.hash},
            "data": {"name": clips.file.path.name, "sha256": clips.sha256},
            "clips": clips.counts,
            "subjects": clips.subjects,
            "durations": clips.durations,
            "persons": {name: list(counts) for name, counts in self.persons.items()},
            "fps": clips.fps,
        }


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:6])
    return shown + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def training_clips(path: Path, *, split: str = "") -> TrainingClips:
    """The training part of a sequence or images file.

    Args:
        path: The file.
        split: A protocol or a rule; its clips are the training part. Empty takes all.

    Raises:
        NotFoundError: There is no such file.
        DataError: It is neither kind of file, or no clip is left.
        UsageError: The split is not understood.
    """
    require_file(path)
    file = ImageFile(path) if _format(path) == IMAGES_FORMAT else SequenceFile(path)
    if not file.names:
        raise DataError(f"{path}: expected clips to train on, got none; convert some first")
    return TrainingClips(file, sha256(path), split_clips(file, split))


def _format(path: Path) -> str:
    """What the file says it is; nothing where HDF5 cannot open it."""
    try:
        with h5py.File(path, "r") as file:
            return str(file.attrs.get("format"))
    except OSError:
        return ""


def training_images(
    clips: TrainingClips,
    config: CodecConfig,
    *,
    per_joint_std: bool,
    cache: Path,
    place: Place,
    progress: Progress = silent,
) -> TrainingImages:
    """The images of the training clips; made once and kept in `cache` where they come as sequences.

    Args:
        clips: The training part.
        config: How sequences become images.
        per_joint_std: See `fit_normalizer`.
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
            _write_cache(clips, clips.file, config, cache=cache, progress=progress)
        place.wait()
        file = ImageFile(cache)
        rows = np.arange(len(file), dtype=np.int64)
    return TrainingImages(
        clips=clips,
        codec=file.codec,
        pixels=file.pixels,
        rows=rows,
        normalizer=fit_normalizer(file.pixels, rows, per_joint=per_joint_std),
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
    return {name: counts[index].tolist() for index, name in enumerate(clips.classes)}


def stand_in_images(clips: TrainingClips, config: CodecConfig, *, count: int) -> TrainingImages:
    """Random images of the right size in memory, for measuring speed before anything is written."""
    file = clips.file
    codec = file.codec if isinstance(file, ImageFile) else _codec(file, config)
    rows = np.arange(min(count, len(clips.rows)), dtype=np.int64)
    shape = (len(rows), *codec.shape)
    pixels = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    return TrainingImages(
        clips=clips,
        codec=codec,
        pixels=pixels,
        rows=rows,
        normalizer=fit_normalizer(pixels, rows),
        persons={},
    )
