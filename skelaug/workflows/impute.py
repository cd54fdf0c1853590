"""Fill in what was not measured: ``skelaug impute``.

The file is read twice: once to see what is missing, once to fill it, shard by shard. Between the
two, known joints are hidden to see which method fills such gaps best. Memory does not grow with the
number of clips, and a killed run goes on where it stopped, bit for bit.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from skelaug import __version__
from skelaug.data.shards import ShardFolder
from skelaug.data.store import Schema, SequenceFile, write_sequences
from skelaug.errors import DataError, NotFoundError
from skelaug.files import require_file, require_new, write_text
from skelaug.place import Place, training_place
from skelaug.progress import Progress, silent
from skelaug.workflows.file_gaps import find_file_gaps
from skelaug.workflows.imputation import Completed, complete
from skelaug.workflows.imputation_methods import Completer, needs_model
from skelaug.workflows.imputation_picture import draw_imputed
from skelaug.workflows.imputation_report import GapReport, ImputeConfig, ImputeReport, UnfilledClip
from skelaug.workflows.imputation_trial import Choice, try_methods
from skelaug.workflows.motion_prior import TrainedPrior, load_prior
from skelaug.workflows.provenance import file_hashes, provenance_record, write_run_record

__all__ = ["run"]

_PACKAGED = "kinect20"
_SHARD = 256  # clips
_CLIPS_AT_ONCE = 64
_SLOW = 0.75  # of the model's frame rate


class _Findings(BaseModel, frozen=True):
    """What a look through the file and the trial have shown; a resumed run takes it from here."""

    missing: dict[str, int]
    clips_with_gaps: int
    rejected: list[UnfilledClip]
    choices: list[Choice]


def run(
    config: ImputeConfig,
    *,
    resume: bool = False,
    force: bool = False,
    dry_run: bool = False,
    device: str = "auto",
    progress: Progress = silent,
) -> ImputeReport:
    """Fill the gaps of all clips and write them, the measured joints bit for bit as they were.

    Raises:
        NotFoundError: The file or the model does not exist.
        UsageError: The settings contradict one another, or an output exists.
        DataError: A file is damaged, has no clips, or does not fit the model.
        StorageError: An output cannot be written.
    """
    started = time.monotonic()
    is_half_joined = resume and ShardFolder(config.out, count=0, plan={}).folder.exists()
    for path in (config.out, config.picture):
        if path is not None:
            require_new(path, force=force or is_half_joined, inputs=[config.data])
    with training_place(device) as place, SequenceFile(require_file(config.data)) as file:
        job = _Job(config, file, place)
        if dry_run:
            job.find(progress)
            return job.report(seconds=time.monotonic() - started, dry_run=True)
        folder = ShardFolder(config.out, count=job.shards, plan=job.plan())
        job.begin(folder, resume=resume, force=force, progress=progress)
        job.fill(folder, progress)
        place.wait()
        if place.is_first:
            job.finish(folder)
        report = job.report(seconds=time.monotonic() - started, dry_run=False)
        if place.is_first:
            details = {"inputs": job.inputs, "report": report.model_dump(mode="json")}
            write_run_record(
                config.out, config, command="impute", seconds=report.seconds, details=details
            )
        place.wait()
        return report


class _Job:
    """One command: its file, its model, what was found, and what is counted."""

    def __init__(self, config: ImputeConfig, file: SequenceFile, place: Place) -> None:
        self.config, self.file, self.place = config, file, place
        if not len(file):
            raise DataError(f"{file.path}: expected clips, got none")
        self.warnings: list[str] = []
        self.prior = self._prior()
        self.completer = Completer(self.prior, config)
        paths = [config.data, *([self.prior.path] if self.prior else [])]
        self.inputs: Mapping[str, str] = file_hashes(paths)
        self.counts: Counter[str] = Counter()
        self.resumed = self.filled_clips = 0
        self.is_drawn = False
        self.fill_seconds = 0.0
        self._slow_clips()

    def _prior(self) -> TrainedPrior | None:
        """The model; none where the method needs none and the packaged one does not fit."""
        config, file = self.config, self.file
        optional = config.model is None and not needs_model(config.method)
        if file.channels != 3:
            raise DataError(
                f"{file.path}: expected 3 coordinates per joint, got {file.channels}; lift the "
                f"clips to 3D first"
            )
        try:
            prior = load_prior(config.model or _PACKAGED, device=self.place.device)
            prior.check_clips(file.layout, file.channels, where=str(file.path))
        except (DataError, NotFoundError) as error:
            if optional:
                self.warnings.append(
                    "no model of these joints: joints that a clip never shows stay missing"
                )
                return None
            if config.model is None:
                raise type(error)(
                    f"{error}; or fill gaps in time only, without a model: --method linear"
                ) from error
            raise
        return prior

    def _slow_clips(self) -> None:
        if self.prior is not None:
            rate = self.prior.form.fps
            slow = int((self.file.fps < _SLOW * rate).sum())
            if slow:
                self.warnings.append(
                    f"{slow} clips have fewer frames per second than the {rate:g} that the model "
                    f"knows; to it they look fast"
                )

    @property
    def shards(self) -> int:
        return -(-len(self.file) // _SHARD)

    def rows(self, shard: int) -> range:
        """The clips of a shard."""
        return range(shard * _SHARD, min((shard + 1) * _SHARD, len(self.file)))

    def plan(self) -> dict[str, Any]:
        """What decides the content of the shards."""
        settings = self.config.model_dump(mode="json", exclude={"out", "data", "model", "picture"})
        data, *model = self.inputs.values()
        return {**settings, "data": data, "model": model, "version": __version__}

    def find(self, progress: Progress) -> None:
        """See what is missing, and which methods fill it best."""
        with progress("looking for gaps", total=len(self.file)) as advance:
            found = find_file_gaps(
                self.file,
                min_confidence=self.config.min_confidence,
                seed=self.config.seed,
                advance=advance,
            )
        with progress("trying methods on kinds of gaps", total=len(found.missing)) as advance:
            choices = try_methods(self.file, found, self.completer, self.config, advance=advance)
        self.findings = _Findings(
            missing={kind.name.lower(): count for kind, count in found.missing.items()},
            clips_with_gaps=found.clips,
            rejected=list(found.rejected),
            choices=choices,
        )

    def begin(self, folder: ShardFolder, *, resume: bool, force: bool, progress: Progress) -> None:
        """Open the shards and find what an earlier run has not found yet."""
        path = folder.folder / "findings.json"
        if self.place.is_first:
            folder.open(resume=resume, force=force)
            if not path.exists():
                self.find(progress)
                write_text(path, self.findings.model_dump_json())
        self.place.wait()
        self.findings = _Findings.model_validate_json(path.read_text(encoding="utf-8"))

    def fill(self, folder: ShardFolder, progress: Progress) -> None:
        """Write the shards that are missing."""
        file, started = self.file, time.monotonic()
        missing = folder.missing()
        self.place.wait()
        self.resumed = self.shards - len(missing)
        choices = {choice.kind: choice for choice in self.findings.choices}
        schema = Schema(
            layout=file.layout,
            classes=file.classes,
            persons=file.persons,
            has_confidence=file.has_confidence,
            has_uncertainty=True,
        )
        done = sum(len(self.rows(s)) for s in range(self.shards) if s not in missing)
        with progress("filling", total=len(file), done=done) as advance:
            for shard in missing[self.place.rank :: self.place.world]:
                rows, clips, counts = self.rows(shard), [], Counter[str]()
                for first in range(rows.start, rows.stop, _CLIPS_AT_ONCE):
                    some = range(first, min(first + _CLIPS_AT_ONCE, rows.stop))
                    read = {row: file[row] for row in some}
                    done_clips = complete(read, self.completer, choices, self.config)
                    for one in done_clips:
                        clips.append(one.clip)
                        counts.update(_counted(one))
                    advance(len(some))
                self.filled_clips += len(rows)
                write_sequences(folder.path(shard), clips, schema, provenance=[dict(counts)])
        self.fill_seconds = time.monotonic() - started

    def finish(self, folder: ShardFolder) -> None:
        """Join the shards and draw the picture."""
        for index in range(folder.count):
            with SequenceFile(folder.path(index)) as shard:
                self.counts.update(shard.provenance[-1])
        record = provenance_record("impute", self.config, self.inputs)
        told = [choice.model_dump(exclude={"reason"}) for choice in self.findings.choices]
        provenance = [*self.file.provenance, {**record, "gaps": json.loads(json.dumps(told))}]
        folder.join(classes=self.file.classes, provenance=provenance)
        if self.config.picture is not None:
            self.is_drawn = draw_imputed(self.config.picture, self.config.out, of=self.config.data)
            if not self.is_drawn:
                self.warnings.append(f"{self.config.picture}: not drawn, as nothing was filled")

    def report(self, *, seconds: float, dry_run: bool) -> ImputeReport:
        """What was filled, or would be."""
        config, found = self.config, self.findings
        missing = sum(found.missing.values())
        if not missing:
            self.warnings.append("nothing is missing: every person is measured in full")
        drawn = config.picture if dry_run or self.is_drawn else None
        return ImputeReport(
            data=str(config.data),
            output=str(config.out),
            model=str(self.prior.path) if self.prior else None,
            picture=str(drawn) if drawn else None,
            clips=len(self.file),
            clips_with_gaps=found.clips_with_gaps,
            imputed=self.counts["clips"],
            missing=missing,
            filled=sum(self.counts[f"filled {choice.kind}"] for choice in found.choices),
            gaps=[self._gap(choice) for choice in found.choices],
            rejected=found.rejected,
            warnings=self.warnings,
            resumed_shards=self.resumed,
            seconds=round(seconds, 3),
            clips_per_second=round(self.filled_clips / max(self.fill_seconds, 1e-9), 1),
            dry_run=dry_run,
        )

    def _gap(self, choice: Choice) -> GapReport:
        return GapReport(
            kind=choice.kind,
            missing=self.findings.missing[choice.kind],
            filled=self.counts[f"filled {choice.kind}"],
            method=choice.method,
            reason=choice.reason,
            trial_clips=choice.clips,
            trial_joints=choice.joints,
            errors=choice.errors,
        )


def _counted(one: Completed) -> dict[str, int]:
    filled = {f"filled {kind}": count for kind, count in one.filled.items()}
    return {**filled, "clips": int(any(filled.values()))}
