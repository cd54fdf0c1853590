"""Draw what is in a file: a contact sheet, a stick-figure GIF, or skeleton images."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import h5py
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, PositiveInt

from skelaug.data.labels import match_labels
from skelaug.data.store import SequenceFile
from skelaug.errors import NotFoundError, UsageError, did_you_mean
from skelaug.files import require_file, require_new
from skelaug.progress import Progress, silent

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
        kind: Stick figures, or skeleton images as colour maps.
        force: Replace an existing picture.
        dry_run: Choose the clips and write nothing.
    """

    file: Path
    output: Path
    clips: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    n: PositiveInt = 12
    kind: Literal["sheet", "images"] = "sheet"
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
    if _holds_images(config.file):
        return _images_of_images(config)
    with SequenceFile(config.file) as file:
        chosen = _choose(config, names=file.names, labels=file.labels, classes=file.classes)
        if not config.dry_run:
            _draw(config, file, chosen, progress=progress)
        return _report(config, chosen, [(file.names[i], file.label_name(i)) for i in chosen])


def _draw(
    config: ViewConfig, file: SequenceFile, chosen: Sequence[int], *, progress: Progress
) -> None:
    clips = [file[index] for index in chosen]
    title = f"{config.file.name}: {len(clips)} of {len(file)} clips"
    if config.kind == "images":
        from skelaug.image.codec import ImageCodec, fitted_codec
        from skelaug.plots.images import draw_images

        codec = fitted_codec(clips, ImageCodec(file.layout, persons=file.persons))
        pixels = np.stack([codec.encode(clip).pixels for clip in clips])
        rows = _row_names(codec.layout.parts, codec.layout.tree_order, count=pixels.shape[2])
        titles = [clip.label or clip.name for clip in clips]
        draw_images(config.output, pixels, titles=titles, rows=rows, title=title)
    elif config.output.suffix.lower() == ".gif":
        from skelaug.plots.animation import draw_gif

        draw_gif(config.output, clips, progress=progress)
    else:
        from skelaug.plots.skeletons import draw_sheet

        draw_sheet(config.output, clips, title=title)


def _choose(
    config: ViewConfig,
    *,
    names: Sequence[str],
    labels: NDArray[np.int32],
    classes: Sequence[str],
) -> list[int]:
    """The clips to draw: those named, else evenly spaced ones, class by class."""
    if not names:
        raise UsageError(f"{config.file}: there are no clips to draw")
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


def _holds_images(path: Path) -> bool:
    try:
        with h5py.File(path, "r") as file:
            return bool(file.attrs.get("format") == "skelaug.images")
    except OSError:
        return False  # the reader of sequence files says what is wrong


def _images_of_images(config: ViewConfig) -> ViewReport:
    from skelaug.image.store import ImageFile
    from skelaug.plots.images import draw_images

    if config.output.suffix.lower() != ".png":
        raise UsageError(
            f"{config.file}: holds skeleton images, which are drawn as .png; "
            f"for a GIF give the file of sequences"
        )
    with ImageFile(config.file) as file:
        chosen = _choose(config, names=file.names, labels=file.labels, classes=file.classes)
        texts = [file.classes[k] if k >= 0 else "" for k in file.labels[chosen]]
        if not config.dry_run:
            layout, pixels = file.layout, np.asarray(file.pixels[chosen])
            titles = [text or file.names[i] for text, i in zip(texts, chosen, strict=True)]
            rows = _row_names(layout.parts, layout.tree_order, count=pixels.shape[2])
            title = f"{config.file.name}: {len(chosen)} of {len(file.names)} images"
            draw_images(config.output, pixels, titles=titles, rows=rows, title=title)
        shown = [(file.names[i], text) for i, text in zip(chosen, texts, strict=True)]
        return _report(config.model_copy(update={"kind": "images"}), chosen, shown)


def _row_names(
    parts: Mapping[str, Sequence[int]], order: Sequence[int], *, count: int
) -> list[str]:
    """The body part of each image row; rows beyond the joints are padding."""
    part_of = {joint: part for part, joints in parts.items() for joint in joints}
    names = [part_of.get(joint, "") for joint in order]
    return (names + [""] * count)[:count]


def _report(
    config: ViewConfig, chosen: Sequence[int], shown: Sequence[tuple[str, str]]
) -> ViewReport:
    clips = [
        ClipShown(index=index, name=name, label=label)
        for index, (name, label) in zip(chosen, shown, strict=True)
    ]
    return ViewReport(
        file=str(config.file),
        output=str(config.output),
        kind=config.output.suffix[1:].lower() if config.kind == "sheet" else "images",
        clips=clips,
        written=not config.dry_run,
    )
