"""The formats that are read, and which of them a source is in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from skelaug.data.arrays import ArraysReader
from skelaug.data.hdm05 import CMUReader, HDM05Reader
from skelaug.data.ntu import NTUReader
from skelaug.data.nw_ucla import NWUCLAReader
from skelaug.data.reading import Reader
from skelaug.data.sequences import SequencesReader
from skelaug.data.utd_mhad import UTDMHADReader
from skelaug.data.videopose3d import VideoPose3DReader
from skelaug.errors import DataError, NotFoundError, UsageError, did_you_mean

__all__ = ["READERS", "choose_files", "get_reader"]

READERS: Mapping[str, Reader] = MappingProxyType(
    {
        "ntu": NTUReader(),
        "nw-ucla": NWUCLAReader(),
        "utd-mhad": UTDMHADReader(),
        "hdm05": HDM05Reader(),
        "cmu": CMUReader(),
        "videopose3d": VideoPose3DReader(),
        "arrays": ArraysReader(),
        "skelaug": SequencesReader(),
    }
)
"""A reader with its default options for each name that ``--format`` takes."""


def get_reader(name: str) -> Reader:
    """The reader of that name.

    Raises:
        NotFoundError: There is none.
    """
    if name not in READERS:
        raise NotFoundError(f"--format {name}: no such format; {did_you_mean(name, READERS)}")
    return READERS[name]


def choose_files(paths: Sequence[str], *, format_name: str, source: str) -> tuple[str, list[str]]:
    """The format of a source, and its files of that format.

    Args:
        paths: All files of the source.
        format_name: A key of `READERS`, or ``auto``.
        source: The source as a message names it.

    Raises:
        NotFoundError: There is no such format.
        DataError: No file is of the format, or of any.
        UsageError: The files are of several formats.
    """
    if format_name != "auto":
        files = get_reader(format_name).admits(paths)
        if not files:
            raise DataError(f"{source}: expected {format_name} files, got none of {len(paths)}")
        return format_name, files
    found = {name: reader.claims(paths) for name, reader in READERS.items()}
    found = {name: files for name, files in found.items() if files}
    if len(found) > 1:  # beside recordings lies what was made of them
        found.pop("skelaug", None)
    if len(found) > 1:
        counts = ", ".join(f"{len(files)} of {name}" for name, files in found.items())
        raise UsageError(f"{source}: expected files of one format, got {counts}; add --format")
    if not found:
        raise DataError(
            f"{source}: expected files of a known format, got none of {len(paths)}; known are "
            f"{', '.join(READERS)} (describe arrays and tables by a YAML)"
        )
    return next(iter(found.items()))
