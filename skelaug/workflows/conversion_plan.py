"""What a conversion reads: the files of each source, their shares, and whose subjects are whose."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from skelaug.data.archives import FileTree, open_tree
from skelaug.data.formats import choose_files, get_reader
from skelaug.data.reading import DamagedError, Fetch, Reader, stem
from skelaug.data.sequences import SequenceFacts, piece_name, sequence_facts
from skelaug.errors import DataError, UsageError
from skelaug.files import sha256
from skelaug.skeleton.layouts import get_layout
from skelaug.workflows.conversion import Fault, FileTask
from skelaug.workflows.provenance import unused

__all__ = [
    "OpenSource",
    "earlier_records",
    "file_tasks",
    "native_layout",
    "open_sources",
    "sequence_files",
    "shares",
    "subject_offsets",
]

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
        sequences: What those files say that are sequence files.
        renamed: New names of their clips by old ones, where another source has such a clip.
    """

    path: Path
    tree: FileTree
    sizes: Mapping[str, int]
    format_name: str
    files: tuple[str, ...]
    skipped: tuple[Fault, ...]
    rejected: tuple[Fault, ...]
    populations: Mapping[str, str]
    sequences: Mapping[str, SequenceFacts] = field(default_factory=dict)
    renamed: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @cached_property
    def hashes(self) -> dict[str, str]:
        """SHA-256 of archives and sequence files by name; shards know those of all other files."""
        if self.tree.path.is_dir():
            return {name: sha256(self.tree.path / name) for name in self.sequences}
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
        read = {**read, **self.hashes}
        text = "".join(f"{read[name]}  {name}\n" for name in sorted(read))
        return {self.path.name: hashlib.sha256(text.encode()).hexdigest()}


def open_sources(paths: Sequence[Path], *, format_name: str, skip_listed: bool) -> list[OpenSource]:
    """The sources with their files, and with names that tell clips of sequence files apart.

    A clip of a sequence file keeps its name if no other source has such a clip; else the name of
    the file is put before it.

    Args:
        paths: Folders, archives or files.
        format_name: A key of ``READERS``, or ``auto``.
        skip_listed: Whether files that a data set's authors list as unusable are left out.

    Raises:
        NotFoundError: A source or the format does not exist.
        UsageError: The files of a source are of several formats.
        DataError: No file of a source is of the format, or an archive is broken.
    """
    names: dict[str, str] = {}
    sources = [
        _open_source(path, format_name=format_name, skip_listed=skip_listed, names=names)
        for path in paths
    ]
    clips = Counter(names.keys())
    for source in sources:
        clips.update(name for facts in source.sequences.values() for name in facts.names)
    taken = {
        title: None
        for source in sources
        if not source.sequences
        for title in source.populations.values()
    }
    return [_told_apart(source, clips, taken) for source in sources]


def _told_apart(source: OpenSource, clips: Mapping[str, int], taken: dict[str, None]) -> OpenSource:
    """Give each sequence file a title that no other data set has, and its clips new names."""
    titles, renamed = {}, {}
    for file, facts in source.sequences.items():
        titles[file] = unused(source.populations[file], taken)
        taken[titles[file]] = None
        renamed[file] = {name: f"{titles[file]}/{name}" for name in facts.names if clips[name] > 1}
    return replace(source, populations={**source.populations, **titles}, renamed=renamed)


def _open_source(
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
        elif chosen not in ("arrays", "skelaug") and stem(file) in names:
            reason = f"expected another name than that of {names[stem(file)]}"
            rejected.append(Fault(file=title, reason=reason))
        else:
            if chosen != "skelaug":
                names[stem(file)] = title
            files.append(file)
    sequences: dict[str, SequenceFacts] = {}
    if chosen == "skelaug":
        sequences, broken = _sequence_files(tree, files)
        rejected += broken
        files = list(sequences)

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
        sequences=sequences,
    )


def _sequence_files(
    tree: FileTree, files: Sequence[str]
) -> tuple[dict[str, SequenceFacts], list[Fault]]:
    """What each sequence file says, and those that are none."""
    found: dict[str, SequenceFacts] = {}
    faults: list[Fault] = []
    for file in files:
        path = tree.path / file
        if not tree.path.is_dir():
            reason = "expected a sequence file outside of an archive; unpack it"
            faults.append(Fault(file=tree.title(file), reason=reason))
            continue
        try:
            found[file] = sequence_facts(path, clips=_SHARE_FILES, size=_SHARE_BYTES)
        except DataError as error:
            reason = str(error).removeprefix(f"{path}: ")
            faults.append(Fault(file=tree.title(file), reason=reason))
    return found, faults


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


def file_tasks(source: OpenSource, offsets: Mapping[str, int]) -> Iterator[tuple[FileTask, ...]]:
    """What each shard reads of a source.

    Args:
        source: The source.
        offsets: What is added to the subject numbers of each data set.
    """
    for file, facts in source.sequences.items():
        title, renamed = source.populations[file], source.renamed.get(file, {})
        for first, end in facts.pieces:
            names = {old: renamed[old] for old in facts.names[first:end] if old in renamed}
            yield (FileTask(piece_name(file, first, end), title, offsets[title], names),)
    for files in shares(source.files, source.sizes) if not source.sequences else ():
        titles = [source.populations[path] for path in files]
        yield tuple(
            FileTask(path, title, offsets[title]) for path, title in zip(files, titles, strict=True)
        )


def sequence_files(sources: Sequence[OpenSource]) -> dict[Path, SequenceFacts]:
    """The sequence files among the sources, and what they say."""
    return {
        source.tree.path / file: facts
        for source in sources
        for file, facts in source.sequences.items()
    }


def earlier_records(files: Iterable[SequenceFacts]) -> list[Mapping[str, Any]]:
    """What made sequence files, oldest first, and a record that two of them share only once."""
    known: dict[str, Mapping[str, Any]] = {}
    for facts in files:
        known |= {json.dumps(one, sort_keys=True): one for one in facts.provenance}
    return list(known.values())


def native_layout(sources: Sequence[OpenSource]) -> str:
    """The name of the layout that all sources are known to have; empty if only files tell.

    Raises:
        UsageError: They have several.
    """
    known: dict[tuple[str, ...], str] = {}
    for source in sources:
        name = get_reader(source.format_name).layout
        if name:
            known.setdefault(get_layout(name).joints, name)
        for facts in source.sequences.values():
            known.setdefault(facts.layout.joints, facts.layout.name)
    if len(known) > 1:
        raise UsageError(
            f"the sources have the layouts {' and '.join(sorted(known.values()))}; "
            f"add --layout to map them to one"
        )
    return next(iter(known.values()), "")


def subject_offsets(sources: Sequence[OpenSource]) -> dict[str, int]:
    """What is added to the subject numbers of each data set, so that no two people share one.

    The data sets are taken in the order of the command. One whose numbers overlap with those
    before it is moved by the smallest multiple of 1000 that helps. Of a sequence file, which is a
    data set of its own, the numbers of cameras and setups count as well and are moved with them.
    """
    offsets: dict[str, int] = {}
    taken: list[tuple[int, int]] = []
    for source in sources:
        own: dict[str, tuple[int, int] | None] = dict.fromkeys(
            source.populations.values(), get_reader(source.format_name).subjects
        )
        own |= {source.populations[file]: one.numbers for file, one in source.sequences.items()}
        for name, numbers in own.items():
            if name in offsets:
                continue
            if numbers is None:
                offsets[name] = 0
                continue
            lowest, highest = numbers
            offset = 0
            while any(low <= highest + offset and lowest + offset <= high for low, high in taken):
                offset += _SUBJECT_STEP
            offsets[name] = offset
            taken.append((lowest + offset, highest + offset))
    return offsets
