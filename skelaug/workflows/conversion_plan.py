"""What a conversion reads: the files of each source, their shares, and whose subjects are whose."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from skelaug.data.archives import FileTree, open_tree
from skelaug.data.formats import choose_files, get_reader
from skelaug.data.reading import DamagedError, Fetch, Reader, stem
from skelaug.files import sha256
from skelaug.workflows.conversion import Fault

__all__ = ["OpenSource", "open_source", "shares", "subject_offsets"]

_SHARE_FILES, _SHARE_BYTES = 256, 64 << 20
_SUBJECT_STEP = 1000


@dataclass(frozen=True)
class OpenSource:
    """One source and what was found in it.

    Attributes:
        path: As the user named it.
        tree: Its files.
        sizes: Bytes of all of its files by name.
        format_name: A key of ``READERS``.
        files: Names of the files to read, sorted.
        skipped: Files that are left out on purpose.
        rejected: Files whose clip would have the name of another one.
        populations: For each file to read the data set that its subjects belong to.
    """

    path: Path
    tree: FileTree
    sizes: Mapping[str, int]
    format_name: str
    files: tuple[str, ...]
    skipped: tuple[Fault, ...]
    rejected: tuple[Fault, ...]
    populations: Mapping[str, str]

    @cached_property
    def hashes(self) -> dict[str, str]:
        """SHA-256 of an archive by its name; those of folders and files come from their shards."""
        if self.tree.path.is_dir():
            return {}
        return {self.path.name: sha256(self.path)}

    @property
    def listing(self) -> dict[str, Any]:
        """What tells this source from another one, before its files are read."""
        names = json.dumps([[name, self.sizes[name]] for name in self.files]).encode()
        digest = hashlib.sha256(names).hexdigest()
        return {"name": self.path.name, "files": digest, "sha256": self.hashes}

    def input_hashes(self, read: Mapping[str, str]) -> dict[str, str]:
        """SHA-256 of the archive, of the files read, or of a folder's names and hashes together.

        Args:
            read: SHA-256 of each file that was read from a folder.
        """
        if not self.path.is_dir():
            return self.hashes or dict(sorted(read.items()))
        text = "".join(f"{read[name]}  {name}\n" for name in sorted(read))
        return {self.path.name: hashlib.sha256(text.encode()).hexdigest()}


def open_source(
    path: Path, *, format_name: str, skip_listed: bool, names: dict[str, str]
) -> OpenSource:
    """A source with its files.

    Args:
        path: A folder, an archive or a file.
        format_name: A key of ``READERS``, or ``auto``.
        skip_listed: Whether files that the data set's authors list as unusable are left out.
        names: The clips of the sources so far; those of this one are added.

    Raises:
        NotFoundError: The source or the format does not exist.
        UsageError: The files are of several formats.
        DataError: No file is of the format, or the archive is broken.
    """
    tree = open_tree(path)
    sizes = tree.sizes()
    chosen, found = choose_files(list(sizes), format_name=format_name, source=str(path))
    reader = get_reader(chosen)
    files: list[str] = []
    skipped: list[Fault] = []
    rejected: list[Fault] = []
    for file in found:
        title, reason = tree.title(file), reader.skips(file) if skip_listed else ""
        if reason:
            skipped.append(Fault(file=title, reason=reason))
        elif chosen != "arrays" and stem(file) in names:
            reason = f"expected another name than that of {names[stem(file)]}"
            rejected.append(Fault(file=title, reason=reason))
        else:
            names[stem(file)] = title
            files.append(file)

    def fetch(name: str) -> bytes:
        content = tree.read([name])[name]
        if isinstance(content, DamagedError):
            raise content
        return content

    return OpenSource(
        path=path,
        tree=tree,
        sizes=sizes,
        format_name=chosen,
        files=tuple(files),
        skipped=tuple(skipped),
        rejected=tuple(rejected),
        populations={file: _population(reader, file, fetch) for file in files},
    )


def _population(reader: Reader, file: str, fetch: Fetch) -> str:
    try:
        return reader.population(file, fetch)
    except DamagedError:  # whoever reads the file reports it
        return stem(file)


def shares(files: Sequence[str], sizes: Mapping[str, int]) -> Iterator[list[str]]:
    """The files in shares of a limited number and size."""
    share: list[str] = []
    total = 0
    for file in files:
        if share and (len(share) == _SHARE_FILES or total + sizes[file] > _SHARE_BYTES):
            yield share
            share, total = [], 0
        share.append(file)
        total += sizes[file]
    if share:
        yield share


def subject_offsets(sources: Sequence[OpenSource]) -> dict[str, int]:
    """What is added to the subject numbers of each data set, so that no two people share one.

    The data sets are taken in the order of the command. One whose numbers overlap with those
    before it is moved by the smallest multiple of 1000 that helps.
    """
    offsets: dict[str, int] = {}
    taken: list[tuple[int, int]] = []
    for source in sources:
        lowest, highest = get_reader(source.format_name).subjects
        for name in dict.fromkeys(source.populations.values()):
            if name in offsets:
                continue
            offset = 0
            while any(low <= highest + offset and lowest + offset <= high for low, high in taken):
                offset += _SUBJECT_STEP
            offsets[name] = offset
            taken.append((lowest + offset, highest + offset))
    return offsets
