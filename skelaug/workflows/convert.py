"""Recordings of any known format become one sequence file: ``skelaug convert``."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, PositiveInt

from skelaug import __version__
from skelaug.data.actors import ActorRule
from skelaug.data.reading import OnProblem
from skelaug.data.shards import ShardFolder
from skelaug.errors import StorageError
from skelaug.files import require_new
from skelaug.progress import Progress, silent
from skelaug.skeleton.layout import SkeletonLayout
from skelaug.skeleton.layouts import get_layout
from skelaug.skeleton.mapping import mapping_report
from skelaug.workflows.conversion import (
    Fault,
    ShardRecord,
    ShardTask,
    convert_shard,
    die_with_parent,
)
from skelaug.workflows.conversion_plan import (
    OpenSource,
    earlier_records,
    file_tasks,
    native_layout,
    open_sources,
    sequence_files,
    subject_offsets,
)
from skelaug.workflows.provenance import provenance_record, unused, write_run_record

__all__ = ["ClassCount", "ConvertConfig", "ConvertReport", "SourceReport", "run"]


class ConvertConfig(BaseModel, frozen=True, extra="forbid"):
    """What is read, and how.

    Attributes:
        sources: Folders, archives (.zip, .tar, .tar.gz, .tar.xz, .tar.bz2) or single files.
        out: The sequence file to write.
        format: A key of ``READERS``; ``auto`` finds it out for each source.
        layout: Name or YAML of the layout to map to; empty keeps that of the files.
        on_problem: What to do with clips that have a problem.
        actors: Which bodies of NTU clips are actors.
        skip_listed: Leave out the NTU clips that its authors list as unusable.
        workers: Processes that read at the same time; they never change the result.
    """

    sources: tuple[Path, ...] = Field(min_length=1)
    out: Path
    format: str = "auto"
    layout: str = ""
    on_problem: OnProblem = OnProblem.REPAIR
    actors: ActorRule = ActorRule()
    skip_listed: bool = True
    workers: PositiveInt = 1


class ClassCount(BaseModel, frozen=True):
    """How many clips of a class were read; an empty name counts those without label."""

    name: str
    clips: int


class SourceReport(BaseModel, frozen=True):
    """What a source is.

    Attributes:
        path: As the user named it.
        format: Its format.
        files: Files of that format.
        other_files: Files that belong to none of its clips or are no recordings.
        subject_offsets: For each data set in it what was added to its subject numbers; of a
            sequence file to those of cameras and setups as well.
        renamed: Clips of sequence files that got the file's name before theirs, because another
            source has a clip of that name.
    """

    path: str
    format: str
    files: int
    other_files: int
    subject_offsets: dict[str, int]
    renamed: int = 0


class ConvertReport(BaseModel, frozen=True):
    """What was read; every file of a source is in exactly one of read, rejected and skipped.

    Attributes:
        output: The sequence file; not written where no clip was read.
        read: Clips in it.
        frames: Frames in it.
        classes: Clips per class.
        layout: Name of its layout.
        approximated: Joints that the mapping gave by a formula, with the formula.
        unavailable: Joints that no joint of the files gives; they are unobserved.
        repaired: Clips that were read although something was wrong with them.
        rejected: Files, or clips in a file, that were not read.
        skipped: Files that were left out on purpose.
        copies: Clips with exactly the positions of an earlier one.
        decisions: Choices that readers made, e.g. of the main actor; listed in the run record.
        sources: What was read from where.
        resumed_shards: Shards that an earlier run had finished.
        seconds: Time of this run.
        dry_run: Whether nothing was read or written.
    """

    output: str
    read: int
    frames: int
    classes: list[ClassCount]
    layout: str
    approximated: dict[str, str]
    unavailable: list[str]
    repaired: list[Fault]
    rejected: list[Fault]
    skipped: list[Fault]
    copies: int
    decisions: int
    sources: list[SourceReport]
    resumed_shards: int
    seconds: float
    dry_run: bool

    @property
    def exit_code(self) -> int:
        """0; 6 if something was rejected; 3 if nothing usable was read."""
        if self.dry_run:
            return 0
        if self.read == 0:
            return 3
        return 6 if self.rejected else 0


def run(
    config: ConvertConfig,
    *,
    resume: bool = False,
    force: bool = False,
    dry_run: bool = False,
    progress: Progress = silent,
) -> ConvertReport:
    """Read all sources, shard by shard, and join the shards into one sequence file.

    The file depends on the sources and the settings alone, not on the number of workers or
    processes, nor on interruptions.

    Raises:
        NotFoundError: A source, a format or a layout does not exist.
        UsageError: The output exists, or the sources do not fit into one file.
        DataError: A source is a broken archive or has no file of a known format.
        StorageError: The disk is full or the folder cannot be written.
    """
    started = time.monotonic()
    job = _Job(config)
    folder = ShardFolder(config.out, count=len(job.tasks), plan=job.plan)
    is_half_joined = resume and folder.folder.exists()
    require_new(config.out, force=force or is_half_joined, inputs=job.sequences)
    if dry_run:
        return job.report([], resumed=0, seconds=time.monotonic() - started, dry_run=True)
    with _processes() as (rank, world, wait):
        if rank == 0:
            folder.open(resume=resume, force=force)
        wait()
        missing = [task for task in job.tasks if not (task.out.exists() and task.record.exists())]
        wait()
        _convert(missing[rank::world], job, workers=config.workers, progress=progress)
        wait()
        records = [ShardRecord.model_validate_json(t.record.read_text("utf-8")) for t in job.tasks]
        resumed = len(job.tasks) - len(missing)
        report = job.report(records, resumed=resumed, seconds=time.monotonic() - started)
        wait()
        if rank == 0:
            _finish(job, folder, records, report)
    return report.model_copy(update={"seconds": round(time.monotonic() - started, 3)})


def _finish(
    job: _Job, folder: ShardFolder, records: Sequence[ShardRecord], report: ConvertReport
) -> None:
    if report.read == 0:
        folder.remove()
        return
    decisions = [fault.model_dump() for record in records for fault in record.decisions]
    details = {
        "inputs": job.inputs(records),
        "report": report.model_dump(mode="json", exclude={"seconds"}),
        "copies": _copies(records),
        "decisions": decisions,
    }
    write_run_record(
        job.config.out, job.config, command="convert", seconds=report.seconds, details=details
    )
    record = provenance_record("convert", job.config, job.inputs(records))
    offsets = {name: offset for name, offset in job.offsets.items() if offset}
    earlier = earlier_records(job.sequences.values())
    folder.join(
        classes=job.classes(records), provenance=[*earlier, {**record, "subject_offsets": offsets}]
    )


@contextmanager
def _processes() -> Iterator[tuple[int, int, Callable[[], None]]]:
    """Number of this process, of all processes, and a function that waits for all of them."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield 0, 1, lambda: None
        return
    from skelaug.place import training_place  # imports torch, which one process does not need

    with training_place("cpu") as place:
        yield place.rank, place.world, place.wait


def _convert(tasks: Sequence[ShardTask], job: _Job, *, workers: int, progress: Progress) -> None:
    total = sum(len(task.files) for task in job.tasks)
    done = total - sum(len(task.files) for task in tasks)
    sizes = {task.index: len(task.files) for task in tasks}
    with progress("reading files", total=total, done=done) as advance:
        if min(workers, len(tasks)) <= 1:
            for task in tasks:
                advance(sizes[convert_shard(task)])
            return
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(
            min(workers, len(tasks)), mp_context=context, initializer=die_with_parent
        ) as pool:
            futures = [pool.submit(convert_shard, task) for task in tasks]
            try:
                for future in as_completed(futures):
                    advance(sizes[future.result()])
            except BrokenProcessPool as error:
                raise StorageError(
                    f"{job.config.out}: a worker process was killed, perhaps for want of memory; "
                    f"run again with --resume and fewer --workers"
                ) from error
            finally:
                pool.shutdown(wait=True, cancel_futures=True)


class _Job:
    """One command: sources, tasks, and what the report is made of."""

    def __init__(self, config: ConvertConfig) -> None:
        self.config = config
        self.layout = get_layout(config.layout) if config.layout else None
        self.sources = open_sources(
            config.sources, format_name=config.format, skip_listed=config.skip_listed
        )
        self.sequences = sequence_files(self.sources)
        self.native = "" if self.layout else native_layout(self.sources)
        self.offsets = subject_offsets(self.sources)
        self.tasks = self._tasks()

    def _tasks(self) -> list[ShardTask]:
        folder = ShardFolder(self.config.out, count=0, plan={})
        tasks: list[ShardTask] = []
        for source in self.sources:
            for files in file_tasks(source, self.offsets):
                tasks.append(
                    ShardTask(
                        index=len(tasks),
                        out=folder.path(len(tasks)),
                        source=source.path,
                        format_name=source.format_name,
                        files=files,
                        layout=self.layout,
                        on_problem=self.config.on_problem,
                        actors=self.config.actors,
                        is_merged=len(self.offsets) > 1,
                    )
                )
        return tasks

    @property
    def plan(self) -> dict[str, Any]:
        """What decides the content of the shards."""
        settings = self.config.model_dump(mode="json", exclude={"out", "workers", "sources"})
        layout = self.layout.to_json() if self.layout else ""
        return {
            **settings,
            "layout": layout,
            "version": __version__,
            "sources": [source.listing for source in self.sources],
        }

    def inputs(self, records: Sequence[ShardRecord]) -> dict[str, str]:
        """SHA-256 by name: of each archive and file; of a folder one for all of its files."""
        inputs: dict[str, str] = {}
        for source in self.sources:
            read: dict[str, str] = {}
            for task, record in zip(self.tasks, records, strict=True):
                read |= record.hashes if task.source == source.path else {}
            for name, digest in source.input_hashes(read).items():
                inputs[unused(name, inputs)] = digest
        return inputs

    def classes(self, records: Sequence[ShardRecord]) -> list[str]:
        """The classes that clips have or that a sequence file lists, in order."""
        kept = {name for record in records for name in record.labels}
        kept |= {name for facts in self.sequences.values() for name in facts.classes}
        order = dict.fromkeys(name for record in records for name in record.classes)
        return [name for name in order if name in kept]

    def report(
        self,
        records: Sequence[ShardRecord],
        *,
        resumed: int,
        seconds: float,
        dry_run: bool = False,
    ) -> ConvertReport:
        """What was read, or would be."""
        labels: Counter[str] = Counter()
        for record in records:
            labels.update(record.labels)
        order = dict.fromkeys(name for record in records for name in record.classes)
        classes = [name for name in (*order, "") if labels[name]]
        mapping = self._mapping(records)
        return ConvertReport(
            output=str(self.config.out),
            read=sum(labels.values()),
            frames=sum(record.frames for record in records),
            classes=[ClassCount(name=name, clips=labels[name]) for name in classes],
            layout=self._layout_name(records),
            approximated=mapping[0],
            unavailable=mapping[1],
            repaired=[fault for record in records for fault in record.repaired],
            rejected=[
                *(fault for source in self.sources for fault in source.rejected),
                *(fault for record in records for fault in record.rejected),
            ],
            skipped=[fault for source in self.sources for fault in source.skipped],
            copies=len(_copies(records)),
            decisions=sum(len(record.decisions) for record in records),
            sources=[self._source_report(source) for source in self.sources],
            resumed_shards=resumed,
            seconds=round(seconds, 3),
            dry_run=dry_run,
        )

    def _layout_name(self, records: Sequence[ShardRecord]) -> str:
        if self.layout is not None:
            return self.layout.name
        found = [SkeletonLayout.from_json(text).name for r in records for text in r.layouts]
        return next((name for name in (self.native, *found) if name), "")

    def _mapping(self, records: Sequence[ShardRecord]) -> tuple[dict[str, str], list[str]]:
        approximated: dict[str, str] = {}
        unavailable: dict[str, None] = {}
        for text in dict.fromkeys(text for record in records for text in record.layouts):
            source = SkeletonLayout.from_json(text)
            if self.layout is not None and source.joints != self.layout.joints:
                found = mapping_report(source, self.layout)
                approximated |= found.approximated
                unavailable |= dict.fromkeys(found.unavailable)
        return approximated, list(unavailable)

    def _source_report(self, source: OpenSource) -> SourceReport:
        files = len(source.files) + len(source.skipped) + len(source.rejected)
        names = dict.fromkeys(source.populations.values())
        return SourceReport(
            path=str(source.path),
            format=source.format_name,
            files=files,
            other_files=len(source.sizes) - files,
            subject_offsets={name: self.offsets[name] for name in names},
            renamed=sum(len(names) for names in source.renamed.values()),
        )


def _copies(records: Sequence[ShardRecord]) -> dict[str, str]:
    """Clips with exactly the positions of an earlier one, and that one."""
    first: dict[str, str] = {}
    copies: dict[str, str] = {}
    for record in records:
        for name, digest in record.digests.items():
            if digest in first:
                copies[name] = first[digest]
            else:
                first[digest] = name
    return copies
