"""Draw what is in a file: a contact sheet, a stick-figure GIF, or skeleton images."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import h5py
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, PositiveInt

from skelaug.data.labels import match_labels
from skelaug.data.store import SequenceFile
from skelaug.errors import DataError, NotFoundError, UsageError, did_you_mean
from skelaug.files import require_file, require_new
from skelaug.image.codec import ImageCodec, fitted_codec
from skelaug.image.store import FORMAT as IMAGE_FORMAT
from skelaug.image.store import ImageFile
from skelaug.plots.animation import draw_gif
from skelaug.plots.images import draw_images
from skelaug.plots.skeletons import draw_sheet
from skelaug.progress import Progress, silent
from skelaug.skeleton.sequence import SkeletonSequence

__all__ = ["ClipShown", "ViewConfig", "ViewReport", "run"]

_ENDINGS = (".png", ".gif")


class ViewConfig(BaseModel, frozen=True, extra="forbid"):
    """What is drawn and where to.

    Attributes:
        file: A sequence file or a file of skeleton images.
        output: The picture; its ending, png or gif, says what kind.
        clips: Numbers (7), ranges (3-9) or names of clips; empty chooses some.
        labels: Classes to choose from; empty means all.
        n: How many clips are chosen.
        kind: Stick figures, or skeleton images as colour maps; ``auto`` draws what the file holds.
        force: Replace an existing picture.
        dry_run: Choose the clips and write nothing.
    """

    file: Path
    output: Path
    clips: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    n: PositiveInt = 12
    kind: Literal["auto", "figures", "images"] = "auto"
    force: bool = False
    dry_run: bool = False


class ClipShown(BaseModel, frozen=True):
    """A clip in the picture: its number in the file, its name and its class."""

    index: int
    name: str
    label: str


class ViewReport(BaseModel, frozen=True):
    """What was drawn; `written` is false after a dry run."""

    file: str
    output: str
    kind: str
    clips: list[ClipShown]
    written: bool


def run(config: ViewConfig, *, progress: Progress = silent) -> ViewReport:
    """Draw the picture that the configuration asks for.

    Raises:
        UsageError: The ending is not png or gif, or the picture exists.
        NotFoundError: The file, a clip or a label does not exist.
        DataError: The file is damaged or has no clips.
    """
    ending = config.output.suffix.lower()
    if ending not in _ENDINGS:
        raise UsageError(
            f"{config.output}: expected a name that ends in .png or .gif, got {ending or 'none'!r}"
        )
    if config.kind == "images" and ending != ".png":
        raise UsageError(f"{config.output}: skeleton images are drawn as .png, got {ending!r}")
    require_file(config.file)
    require_new(config.output, force=config.force)
    with _open(config.file) as file:
        chosen = _choose(config, names=file.names, labels=file.labels, classes=file.classes)
        kind = config.kind
        if kind == "auto":
            kind = "images" if isinstance(file, ImageFile) and ending == ".png" else "figures"
        if not config.dry_run:
            title = f"{config.file.name}: {len(chosen)} of {len(file)} clips"
            if kind == "images":
                _draw_images(config.output, file, chosen, title=title)
            elif ending == ".gif":
                draw_gif(config.output, _clips(file, chosen), progress=progress)
            else:
                draw_sheet(config.output, _clips(file, chosen), title=title)
        return ViewReport(
            file=str(config.file),
            output=str(config.output),
            kind=kind,
            clips=[
                ClipShown(index=index, name=file.names[index], label=file.label_name(index))
                for index in chosen
            ],
            written=not config.dry_run,
        )


def _open(path: Path) -> SequenceFile | ImageFile:
    try:
        with h5py.File(path, "r") as file:
            holds_images = file.attrs.get("format") == IMAGE_FORMAT
    except OSError:
        holds_images = False  # the reader of sequence files says what is wrong
    return ImageFile(path) if holds_images else SequenceFile(path)


def _clips(file: SequenceFile | ImageFile, chosen: Sequence[int]) -> list[SkeletonSequence]:
    if isinstance(file, ImageFile):
        return [file.sequence(index) for index in chosen]
    return [file[index] for index in chosen]


def _draw_images(
    path: Path, file: SequenceFile | ImageFile, chosen: Sequence[int], *, title: str
) -> None:
    if isinstance(file, ImageFile):
        codec, pixels = file.codec, np.asarray(file.pixels[list(chosen)])
    else:
        clips = _clips(file, chosen)
        codec = fitted_codec(clips, ImageCodec(file.layout, persons=file.persons))
        pixels = np.stack([codec.encode(clip).pixels for clip in clips])
    titles = [file.label_name(index) or file.names[index] for index in chosen]
    draw_images(path, pixels, titles=titles, rows=_row_names(codec), title=title)


def _row_names(codec: ImageCodec) -> list[str]:
    """The body part of each image row; rows beyond the joints are padding."""
    layout = codec.layout
    part_of = {joint: part for part, joints in layout.parts.items() for joint in joints}
    names = [part_of.get(joint, "") for joint in layout.tree_order]
    return (names + [""] * (codec.rows - len(names))) * codec.persons


def _choose(
    config: ViewConfig,
    *,
    names: Sequence[str],
    labels: NDArray[np.int32],
    classes: Sequence[str],
) -> list[int]:
    """The clips to draw: those named, else evenly spaced ones, class by class."""
    if not names:
        raise DataError(f"{config.file}: there are no clips to draw")
    if config.clips:
        return [index for text in config.clips for index in _indices(text, names, config.file)]
    wanted = match_labels(config.labels, classes)
    groups = [np.flatnonzero(labels == classes.index(name)) for name in wanted]
    if not wanted:
        groups = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    groups = [group for group in groups if len(group)]
    if not groups:
        raise NotFoundError(f"{config.file}: there is no clip of {' or '.join(map(repr, wanted))}")
    groups = [groups[k] for k in _even(len(groups), config.n)]
    share, extra = divmod(config.n, len(groups))
    chosen: list[int] = []
    for place, group in enumerate(groups):
        count = share + (place < extra)
        chosen += [int(group[k]) for k in _even(len(group), count)]
    return chosen


def _even(length: int, count: int) -> list[int]:
    """At most `count` evenly spaced places in a list of `length`."""
    count = min(count, length)
    return [(2 * k + 1) * length // (2 * count) for k in range(count)]


def _indices(text: str, names: Sequence[str], file: Path) -> list[int]:
    if text in names:
        return [names.index(text)]
    found = re.fullmatch(r"(\d+)(?:-(\d+))?", text)
    if not found:
        raise NotFoundError(f"{file}: no clip {text!r}; {did_you_mean(text, names[:5000])}")
    first = int(found[1])
    last = int(found[2] or first)
    if not first <= last < len(names):
        raise NotFoundError(f"{file}: no clip {text}; its clips are 0-{len(names) - 1}")
    return list(range(first, last + 1))
