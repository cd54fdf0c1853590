"""The tool's own sequence files as sources, so that data sets can be joined and mapped anew.

What was decided when such a file was made stays: positions of joints that are marked unobserved
(imputed ones, for example), names, labels, what is synthetic and from which seed. The file is read
where it lies, piece by piece, so that its size does not matter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from skelaug.data.reading import Clip, DamagedError, Fetch, stem
from skelaug.data.store import SequenceFile
from skelaug.errors import DataError
from skelaug.skeleton.layout import SkeletonLayout

__all__ = ["SequenceFacts", "SequencesReader", "piece_name", "sequence_facts"]

_PIECE = re.compile(r"(.*)\[(\d+):(\d+)\]")


@dataclass(frozen=True)
class SequenceFacts:
    """What joining a file with others needs to know before its clips are read.

    Attributes:
        names: Of its clips.
        classes: Its class names in order.
        layout: Its joints.
        pieces: First clip and end of each piece that is read at once.
        numbers: The lowest and the highest number that a subject, a camera or a setup has; None
            if none is known.
        provenance: One record per command that made it, oldest first.
    """

    names: tuple[str, ...]
    classes: tuple[str, ...]
    layout: SkeletonLayout
    pieces: tuple[tuple[int, int], ...]
    numbers: tuple[int, int] | None
    provenance: tuple[Mapping[str, Any], ...]


def sequence_facts(path: Path, *, clips: int, size: int) -> SequenceFacts:
    """What a sequence file says about itself.

    Args:
        path: The file.
        clips: Most clips of a piece.
        size: Most bytes of positions of a piece; one clip may have more.

    Raises:
        NotFoundError: There is no such file.
        DataError: It is no whole sequence file.
    """
    with SequenceFile(path) as file:
        per_frame = 4 * file.persons * file.layout.num_joints * file.channels
        cuts = [0]
        for clip in range(1, len(file)):
            frames = int(file.offsets[clip + 1] - file.offsets[cuts[-1]])
            if clip - cuts[-1] == clips or frames * per_frame > size:
                cuts.append(clip)
        known = np.concatenate([file.subjects, file.cameras, file.setups])
        known = known[known >= 0]
        return SequenceFacts(
            names=tuple(file.names),
            classes=file.classes,
            layout=file.layout,
            pieces=tuple(pairwise([*cuts, len(file)])) if len(file) else (),
            numbers=(int(known.min()), int(known.max())) if len(known) else None,
            provenance=tuple(file.provenance),
        )


def piece_name(path: str, first: int, end: int) -> str:
    """How a piece of a file is asked for: ``data.h5[256:512]``."""
    return f"{path}[{first}:{end}]"


class SequencesReader:
    """Reads the tool's own sequence files.

    Args:
        folder: What names of files are relative to.
    """

    name = "skelaug"
    classes: tuple[str, ...] = ()
    subjects = (0, 2**31 - 1)
    layout = ""

    def __init__(self, folder: Path = Path()) -> None:
        self._folder = folder

    def claims(self, paths: Sequence[str]) -> list[str]:
        """The .h5 and .hdf5 files."""
        return [path for path in paths if path.lower().endswith((".h5", ".hdf5"))]

    def admits(self, paths: Sequence[str]) -> list[str]:
        """The same."""
        return self.claims(paths)

    def skips(self, path: str) -> str:
        """No file is left out."""
        del path
        return ""

    def population(self, path: str, fetch: Fetch) -> str:
        """The name of the file without its suffix: each file is a data set of its own."""
        del fetch
        return stem(path)

    def read(self, path: str, fetch: Fetch) -> Iterator[Clip | DamagedError]:
        """The clips of a file, or of the piece of it that `piece_name` names."""
        del fetch  # a file may be larger than the memory
        match = _PIECE.fullmatch(path)
        inside = match[1] if match else path
        try:
            file = SequenceFile(self._folder / inside)
        except DataError as error:
            raise DamagedError(inside, _reason(error, self._folder / inside)) from error
        with file:
            rows = range(int(match[2]), int(match[3])) if match else range(len(file))
            for row in rows:
                try:
                    yield Clip(file[row], classes=file.classes, is_settled=True)
                except DataError as error:
                    where = f"{inside}[{file.names[row]}]"
                    yield DamagedError(where, _reason(error, self._folder / inside))


def _reason(error: DataError, path: Path) -> str:
    """The message without the path that the report puts before it anyway."""
    return str(error).removeprefix(f"{path}: ")
