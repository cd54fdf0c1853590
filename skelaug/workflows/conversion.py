"""Converting one shard: a share of the files of a source becomes a file of clips and a record.

Everything here runs in a worker process and depends on its task alone, so that the result is the
same for any number of workers, and for a run that was killed and resumed.
"""

from __future__ import annotations

import hashlib
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from multiprocessing import parent_process
from pathlib import Path

import numpy as np
from pydantic import BaseModel

from skelaug.data.actors import ActorRule
from skelaug.data.archives import FileTree, open_tree
from skelaug.data.formats import get_reader
from skelaug.data.ntu import NTUReader
from skelaug.data.raw_clips import in_natural_order
from skelaug.data.reading import Clip, DamagedError, OnProblem, Reader, settle
from skelaug.data.sequences import SequencesReader
from skelaug.data.store import Schema, write_sequences
from skelaug.errors import DataError, SkelaugError
from skelaug.files import write_text
from skelaug.skeleton.layout import SkeletonLayout
from skelaug.skeleton.layouts import get_layout
from skelaug.skeleton.mapping import map_sequence
from skelaug.skeleton.sequence import SkeletonSequence

__all__ = ["Fault", "FileTask", "ShardRecord", "ShardTask", "convert_shard", "die_with_parent"]


class Fault(BaseModel, frozen=True):
    """Something about one file that the user should know.

    Attributes:
        file: The file, inside its archive or folder; ``poses.npz[clip 3]`` for a clip in a file.
        line: 1-based line, 0 where lines make no sense.
        reason: What was expected and what was found, or what was decided.
    """

    file: str
    line: int = 0
    reason: str


@dataclass(frozen=True)
class FileTask:
    """One file.

    Attributes:
        path: Its name in the source.
        population: The data set that its subjects belong to.
        offset: Added to its subject numbers; of a sequence file to its cameras and setups as well.
        names: New names of clips by their old ones, where another source has such a clip.
    """

    path: str
    population: str
    offset: int
    names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ShardTask:
    """One shard.

    Attributes:
        index: Its number.
        out: The file of clips to write; the record lies beside it.
        source: The folder, archive or file that the user named.
        format_name: A key of ``READERS``.
        files: Which files of the source.
        layout: The layout of the output; None keeps that of the files.
        on_problem: What to do with a clip that has a problem.
        actors: Which bodies of NTU clips are actors.
        is_merged: Whether the output holds several populations, whose subjects and names must
            not be confused.
    """

    index: int
    out: Path
    source: Path
    format_name: str
    files: tuple[FileTask, ...]
    layout: SkeletonLayout | None
    on_problem: OnProblem
    actors: ActorRule
    is_merged: bool

    @property
    def record(self) -> Path:
        """The JSON file that says what became of each file."""
        return self.out.with_suffix(".json")


class ShardRecord(BaseModel, frozen=True):
    """What became of the files of a shard.

    Attributes:
        classes: Class names in the order of the data set.
        labels: Clips of each class.
        frames: Frames in all.
        layouts: JSON of the layouts that clips had before they were mapped.
        digests: A hash of the positions of each clip by its name, to find copies.
        repaired: Clips that were read although something was wrong with them.
        rejected: Clips and files that were not.
        decisions: What was chosen where the format leaves a choice.
        hashes: SHA-256 of each file of the source that was read.
    """

    classes: list[str] = []
    labels: dict[str, int] = {}
    frames: int = 0
    layouts: list[str] = []
    digests: dict[str, str] = {}
    repaired: list[Fault] = []
    rejected: list[Fault] = []
    decisions: list[Fault] = []
    hashes: dict[str, str] = {}


def die_with_parent() -> None:
    """Let this worker end with the process that started it, even if that one is killed.

    An interrupt from the keyboard is left to the other process: this one finishes its shard.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_after_parent, daemon=True).start()


def _end_after_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def convert_shard(task: ShardTask) -> int:
    """Write the clips and the record of a shard and return its number.

    Raises:
        DataError: The source as a whole cannot be read.
        StorageError: The disk is full or the folder cannot be written.
    """
    work = _Work(task)
    clips = list(work.clips())
    record = work.record(clips)
    layout = clips[0].layout if clips else task.layout or get_layout("kinect_20")
    channels = {clip.positions.shape[-1] for clip in clips} or {3}
    if len(channels) > 1 or any(clip.layout.joints != layout.joints for clip in clips):
        raise DataError(
            f"{task.source}: expected one layout and one number of coordinates, got several; "
            f"add --layout, or convert the files one by one"
        )
    schema = Schema(
        layout=layout,
        classes=tuple(record.classes),
        persons=max((clip.num_persons for clip in clips), default=1),
        channels=channels.pop(),
        has_confidence=any(clip.confidence is not None for clip in clips),
        has_uncertainty=any(clip.uncertainty is not None for clip in clips),
        has_keypoints=any(clip.keypoints is not None for clip in clips),
    )
    write_text(task.record, record.model_dump_json())
    write_sequences(task.out, clips, schema, provenance=[])
    return task.index


class _Work:
    """One task, and what is noted on the way."""

    def __init__(self, task: ShardTask) -> None:
        self._task = task
        self._tree = _tree(task.source)
        self._reader = _reader(task, self._tree)
        in_place = isinstance(self._reader, SequencesReader)
        self._contents = {} if in_place else self._tree.read([file.path for file in task.files])
        self._classes: dict[str, None] = {}
        self._layouts: dict[str, None] = {}
        self._hashes: dict[str, str] = {}
        self._repaired: list[Fault] = []
        self._rejected: list[Fault] = []
        self._decisions: list[Fault] = []

    def clips(self) -> Iterator[SkeletonSequence]:
        """The usable clips of all files."""
        for file in self._task.files:
            try:
                for found in self._reader.read(file.path, self._fetch):
                    yield from self._usable(found, file)
            except DamagedError as error:
                self._reject(error)
            self._contents.pop(file.path, None)

    def _fetch(self, path: str) -> bytes:
        if path not in self._contents:
            self._contents.update(self._tree.read([path]))
        content = self._contents[path]
        if isinstance(content, DamagedError):
            raise DamagedError(path, content.reason)
        if self._tree.path.is_dir() and path not in self._hashes:
            self._hashes[path] = hashlib.sha256(content).hexdigest()
        return content

    def _usable(self, found: Clip | DamagedError, file: FileTask) -> Iterator[SkeletonSequence]:
        try:
            if isinstance(found, DamagedError):
                raise found
            sequence = self._finished(found, file)
        except DamagedError as error:
            self._reject(error)
            return
        where = self._tree.title(file.path)
        if self._task.format_name == "arrays":
            where = f"{where}[{sequence.name}]"
        if found.problems:
            reason = "; ".join(problem.reason for problem in found.problems)
            self._repaired.append(Fault(file=where, line=found.problems[0].line, reason=reason))
        self._decisions += [Fault(file=where, reason=text) for text in found.decisions]
        self._classes.update(dict.fromkeys(found.classes))
        yield sequence

    def _finished(self, clip: Clip, file: FileTask) -> SkeletonSequence:
        task = self._task
        sequence = settle(clip, task.on_problem, path=file.path)
        if sequence.subject >= 0:
            self._check_subject(sequence.subject, file)
        sequence = sequence.replaced(**self._moved(sequence, file.offset))
        if task.is_merged and task.format_name == "arrays":
            sequence = sequence.replaced(name=f"{file.population}/{sequence.name}")
        if sequence.name in file.names:
            sequence = sequence.replaced(name=file.names[sequence.name])
        self._layouts[sequence.layout.to_json()] = None
        if task.layout is None:
            return sequence
        try:
            return map_sequence(sequence, task.layout)
        except SkelaugError as error:
            raise DamagedError(file.path, str(error)) from error

    def _moved(self, sequence: SkeletonSequence, offset: int) -> dict[str, int]:
        """Numbers of performers and places that are not those of another source's; -1 stays."""
        keys = (
            ("subject", "camera", "setup") if self._task.format_name == "skelaug" else ("subject",)
        )
        numbers = {key: int(getattr(sequence, key)) for key in keys}
        return {key: number + offset for key, number in numbers.items() if number >= 0}

    def _check_subject(self, subject: int, file: FileTask) -> None:
        lowest, highest = self._reader.subjects
        if self._task.is_merged and not lowest <= subject <= highest:
            raise DamagedError(
                file.path,
                f"expected a subject from {lowest} to {highest} in a file of several data sets, "
                f"got {subject}",
            )

    def _reject(self, error: DamagedError) -> None:
        fault = Fault(file=self._tree.title(error.path), line=error.line, reason=error.reason)
        self._rejected.append(fault)

    def record(self, clips: list[SkeletonSequence]) -> ShardRecord:
        """What became of the files."""
        labels: dict[str, int] = {}
        for clip in clips:
            labels[clip.label] = labels.get(clip.label, 0) + 1
        present = [label for label in labels if label]
        order = [*self._reader.classes, *self._classes]
        extra = in_natural_order(label for label in present if label not in order)
        return ShardRecord(
            classes=[*dict.fromkeys(order), *extra],
            labels=labels,
            frames=sum(clip.num_frames for clip in clips),
            layouts=list(self._layouts),
            digests={clip.name: _digest(clip) for clip in clips},
            repaired=self._repaired,
            rejected=self._rejected,
            decisions=self._decisions,
            hashes=self._hashes,
        )


def _digest(clip: SkeletonSequence) -> str:
    positions = np.ascontiguousarray(clip.positions)
    shape = repr(positions.shape).encode()
    return hashlib.blake2b(shape + positions.tobytes(), digest_size=16).hexdigest()


@lru_cache(maxsize=8)
def _tree(path: Path) -> FileTree:
    return open_tree(path)


def _reader(task: ShardTask, tree: FileTree) -> Reader:
    if task.format_name == "ntu":
        return NTUReader(task.actors)
    if task.format_name == "skelaug":
        return SequencesReader(tree.path)
    return get_reader(task.format_name)
