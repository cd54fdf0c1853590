"""Turn a sequence file into a file of skeleton images: ``skelaug images``.

The clips are read twice, one at a time: once to find the scale that holds them all, once to encode
them. So memory does not grow with their number, and the images do not depend on their order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, PositiveInt

from skelaug.data.store import SequenceFile
from skelaug.errors import DataError
from skelaug.files import require_new, sha256
from skelaug.image.codec import ImageCodec
from skelaug.image.store import ImageSchema, write_images
from skelaug.progress import Advance, Progress, silent
from skelaug.skeleton.layout import SkeletonLayout
from skelaug.skeleton.layouts import LAYOUTS, get_layout
from skelaug.skeleton.mapping import map_sequence
from skelaug.skeleton.sequence import SkeletonSequence
from skelaug.workflows.provenance import provenance_record, write_run_record

__all__ = ["PRESETS", "ImagesConfig", "ImagesReport", "Rejection", "run"]

PRESETS: Mapping[str, Mapping[str, Any]] = {"paper": {"frames": 24, "rows": 24}}
"""``paper``: 24 x 24 pixels; clips in ntu_25 lose joint 21 (see `ImagesConfig.layout`)."""


class ImagesConfig(BaseModel, frozen=True, extra="forbid"):
    """How the clips of a file become images.

    Attributes:
        data: The sequence file.
        out: The images file to write.
        frames: Columns of an image.
        rows: Rows per person; None is the number of joints rounded up to a multiple of 4.
        persons: Persons per image; None is the largest number in any clip.
        layout: Name or YAML file of the layout that clips are mapped to; None keeps theirs, but
            24 rows of ntu_25 become ntu_24.
    """

    data: Path
    out: Path
    frames: PositiveInt = 24
    rows: PositiveInt | None = None
    persons: PositiveInt | None = None
    layout: str | None = None


class Rejection(BaseModel, frozen=True):
    """A clip that is not among the images, and why."""

    name: str
    reason: str


class ImagesReport(BaseModel, frozen=True):
    """What was encoded.

    Attributes:
        output: The images file.
        clips: Images in it.
        rejected: Clips that could not be encoded.
        layout: Name of the images' layout.
        frames: Columns of an image.
        rows: Rows per person.
        persons: Persons per image.
        scale: Metres that a pixel value of 1 stands for.
        dry_run: Whether nothing was written.
    """

    output: str
    clips: int
    rejected: list[Rejection]
    layout: str
    frames: int
    rows: int
    persons: int
    scale: float
    dry_run: bool


def run(
    config: ImagesConfig,
    *,
    force: bool = False,
    dry_run: bool = False,
    progress: Progress = silent,
) -> ImagesReport:
    """Encode all clips of a sequence file.

    Raises:
        NotFoundError: The file or the layout does not exist.
        UsageError: The images file exists, or rows or frames do not fit the layout.
        DataError: The file is damaged, or none of its clips can be encoded.
        StorageError: The disk is full or the folder cannot be written.
    """
    require_new(config.out, force=force, inputs=[config.data])
    with SequenceFile(config.data) as file, progress("encoding", total=2 * len(file)) as advance:
        codec, accepted, rejected = _fit(file, config, advance)
        if not dry_run:
            inputs = {config.data.name: sha256(config.data)}
            schema = ImageSchema(
                codec=codec,
                classes=file.classes,
                count=len(accepted),
                data_sha256=inputs[config.data.name],
            )
            record = provenance_record("images", config, inputs)
            clips = _clips(file, accepted, codec.layout, advance)
            write_images(config.out, clips, schema, provenance=[*file.provenance, record])
            write_run_record(config.out, config, command="images")
    return ImagesReport(
        output=str(config.out),
        clips=len(accepted),
        rejected=rejected,
        layout=codec.layout.name,
        frames=codec.frames,
        rows=codec.rows,
        persons=codec.persons,
        scale=codec.scale,
        dry_run=dry_run,
    )


def _fit(
    file: SequenceFile, config: ImagesConfig, advance: Advance
) -> tuple[ImageCodec, list[int], list[Rejection]]:
    """The codec that holds all clips that can be encoded, their indices, and the others."""
    codec = ImageCodec(
        layout=_layout(file, config),
        frames=config.frames,
        rows=config.rows or 0,
        persons=config.persons or file.persons,
    )
    extents, rejected = {}, []
    for index, sequence in enumerate(file):
        try:
            extents[index] = codec.extent(map_sequence(sequence, codec.layout))
        except DataError as error:
            rejected.append(Rejection(name=sequence.name, reason=str(error)))
        advance(1)
    if not extents:
        reason = f"; the first: {rejected[0].reason}" if rejected else ""
        raise DataError(f"{config.data}: expected clips to encode, got none{reason}")
    scale = max(reach for reach, _ in extents.values()) or 1.0
    persons = config.persons or max(slots for _, slots in extents.values())
    return replace(codec, scale=scale, persons=persons), [*extents], rejected


def _layout(file: SequenceFile, config: ImagesConfig) -> SkeletonLayout:
    if config.layout is not None:
        return get_layout(config.layout)
    if config.rows == 24 and file.layout.joints == LAYOUTS["ntu_25"].joints:
        return LAYOUTS["ntu_24"]
    return file.layout


def _clips(
    file: SequenceFile, indices: list[int], layout: SkeletonLayout, advance: Advance
) -> Iterator[SkeletonSequence]:
    for index in indices:
        yield map_sequence(file[index], layout)
        advance(1)
