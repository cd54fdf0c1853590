"""Fill in what was not measured: ``skelaug impute``.

The file is read twice: once to see what is missing, once to fill it, shard by shard. Between the
two, known joints are hidden to see which method fills such gaps best. Memory does not grow with the
number of clips, and a killed run goes on where it stopped, bit for bit. The output comes last: as
long as it is not there, all that lies beside it can be made again from the shards.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel

from skelaug import __version__
from skelaug.data.shards import ShardFolder
from skelaug.data.store import Schema, SequenceFile, write_sequences
from skelaug.errors import DataError, NotFoundError, UsageError
from skelaug.files import require_file, require_new, write_text
from skelaug.models import MOTION_PRIORS
from skelaug.place import Place, side_by_side, training_place
from skelaug.progress import Progress, silent
from skelaug.workflows.file_gaps import find_file_gaps
from skelaug.workflows.imputation import Completed, complete
from skelaug.workflows.imputation_methods import Completer, needs_model
from skelaug.workflows.imputation_picture import draw_imputed
from skelaug.workflows.imputation_report import GapReport, ImputeConfig, ImputeReport, PriorRow
from skelaug.workflows.imputation_trial import Choice, try_methods
from skelaug.workflows.motion_prior import TrainedPrior, load_priors
from skelaug.workflows.prediction_batches import Rejection
from skelaug.workflows.provenance import file_hashes, provenance_record, write_run_record

__all__ = ["run"]

_PACKAGED = "kinect20"
_SHARD = 256  # clips
_CLIPS_AT_ONCE = 64
_NOTE = "picture.json"  # beside the shards; goes when they go


class _Findings(BaseModel, frozen=True):
    """What a look through the file and the trial have shown; a resumed run takes it from here."""

    missing: dict[str, int]
    clips_with_gaps: int
    rejected: list[Rejection]
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
    _check_outputs(config, resume=resume, force=force)
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
            job.count(folder)
            job.draw(folder)
        report = job.report(seconds=time.monotonic() - started, dry_run=False)
        if place.is_first:
            details = {"inputs": job.inputs, "report": report.model_dump(mode="json")}
            write_run_record(
                config.out, config, command="impute", seconds=report.seconds, details=details
            )
            job.join(folder)
        place.wait()
        return report.model_copy(update={"seconds": round(time.monotonic() - started, 3)})


def _check_outputs(config: ImputeConfig, *, resume: bool, force: bool) -> None:
    """That outputs are new, or that the run that is resumed has begun to write them.

    Raises:
        UsageError: They are not.
    """
    folder = ShardFolder(config.out, count=0, plan={}).folder
    is_half_done = resume and folder.exists()
    require_new(config.out, force=force or is_half_done, inputs=[config.data])
    if config.picture is not None:
        is_own = is_half_done and _drawn(folder) == str(config.picture.resolve())
        require_new(config.picture, force=force or is_own, inputs=[config.data])


def _drawn(folder: Path) -> str:
    """The picture that the run of these shards has begun to draw; empty if none."""
    note = folder / _NOTE
    return str(json.loads(note.read_text(encoding="utf-8"))) if note.exists() else ""


class _Job:
    """One command: its file, its models, what was found, and what is counted."""

    def __init__(self, config: ImputeConfig, file: SequenceFile, place: Place) -> None:
        self.config, self.file, self.place = config, file, place
        if not len(file):
            raise DataError(f"{file.path}: expected clips, got none")
        self.warnings: list[str] = []
        self.priors = self._loaded()
        for prior in self.priors:
            self.warnings += prior.tempo_warnings(file.fps, where=file.path.name)
        self.completer = Completer(self.priors, config)
        self.inputs: Mapping[str, str] = file_hashes([config.data, *(p.path for p in self.priors)])
        self.counts: Counter[str] = Counter()
        self.resumed = self.filled_clips = 0
        self.is_drawn = False
        self.fill_seconds = 0.0

    def _loaded(self) -> tuple[TrainedPrior, ...]:
        """The models; none where the method needs none and the packaged one does not fit."""
        config, file = self.config, self.file
        if file.channels != 3:
            raise DataError(
                f"{file.path}: expected 3 coordinates per joint, got {file.channels}; lift the "
                f"clips to 3D first"
            )
        if not config.models:
            _check_kind(config.method, ["hgvae"])
        try:
            priors = load_priors(config.models or (_PACKAGED,), device=self.place.device)
            for prior in priors:
                prior.check_clips(file.layout, file.channels, where=str(file.path))
        except (DataError, NotFoundError) as error:
            if config.models:
                raise
            if needs_model(config.method):
                raise type(error)(
                    f"{error}; or fill gaps in time only, without a model: --method linear"
                ) from error
            self.warnings.append(
                "no model of these joints: joints that a clip never shows stay missing"
            )
            return ()
        _check_kind(config.method, [prior.kind for prior in priors])
        return priors

    @property
    def shards(self) -> int:
        return -(-len(self.file) // _SHARD)

    @property
    def workers(self) -> int:
        """Groups of clips that are filled at the same time."""
        return torch.get_num_threads() if self.place.device.type == "cpu" else 1

    def rows(self, shard: int) -> range:
        """The clips of a shard."""
        return range(shard * _SHARD, min((shard + 1) * _SHARD, len(self.file)))

    def plan(self) -> dict[str, Any]:
        """What decides the content of the shards."""
        settings = self.config.model_dump(mode="json", exclude={"out", "data", "models", "picture"})
        data, *models = self.inputs.values()
        return {**settings, "data": data, "models": models, "version": __version__}

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
        fill = partial(complete, completer=self.completer, choices=choices, config=self.config)
        schema = Schema(
            layout=file.layout,
            classes=file.classes,
            persons=file.persons,
            has_confidence=file.has_confidence,
            has_uncertainty=True,
            has_keypoints=file.has_keypoints,
        )
        done = sum(len(self.rows(s)) for s in range(self.shards) if s not in missing)
        with progress("filling", total=len(file), done=done) as advance:
            for shard in missing[self.place.rank :: self.place.world]:
                rows, clips, counts = self.rows(shard), [], Counter[str]()
                groups = (
                    {row: file[row] for row in rows[first : first + _CLIPS_AT_ONCE]}
                    for first in range(0, len(rows), _CLIPS_AT_ONCE)
                )
                for done_clips in side_by_side(fill, groups, self.workers):
                    for one in done_clips:
                        clips.append(one.clip)
                        counts.update(_counted(one))
                    advance(len(done_clips))
                self.filled_clips += len(rows)
                write_sequences(folder.path(shard), clips, schema, provenance=[dict(counts)])
        self.fill_seconds = time.monotonic() - started

    def count(self, folder: ShardFolder) -> None:
        """Add up what all shards say of themselves."""
        for index in range(folder.count):
            with SequenceFile(folder.path(index)) as shard:
                self.counts.update(shard.provenance[-1])

    def draw(self, folder: ShardFolder) -> None:
        """Draw the picture, and note before that it is this run's."""
        picture = self.config.picture
        if picture is not None:
            write_text(folder.folder / _NOTE, json.dumps(str(picture.resolve())))
            shards = [folder.path(index) for index in range(folder.count)]
            self.is_drawn = draw_imputed(picture, shards, of=self.config.data)
            if not self.is_drawn:
                self.warnings.append(f"{picture}: not drawn, as nothing was filled")

    def join(self, folder: ShardFolder) -> None:
        """Make the output of the shards."""
        record = provenance_record("impute", self.config, self.inputs)
        told = {
            "models": [row.model_dump() for row in self._models()],
            "gaps": [choice.model_dump(exclude={"reason"}) for choice in self.findings.choices],
        }
        provenance = [*self.file.provenance, {**record, **json.loads(json.dumps(told))}]
        folder.join(classes=self.file.classes, provenance=provenance)

    def _models(self) -> list[PriorRow]:
        return [PriorRow(name=prior.name, kind=prior.kind) for prior in self.priors]

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
            models=self._models(),
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


def _check_kind(method: str, kinds: Sequence[str]) -> None:
    """That a method named by a kind of model has one.

    Raises:
        UsageError: It has none.
    """
    if method in MOTION_PRIORS and method not in kinds:
        raise UsageError(
            f"--method {method}: expected a model of that kind, got {', '.join(kinds)}; train one "
            f"with `skelaug train hgvae DATA.h5 --out RUN --set model.name={method}` and add "
            f"--model RUN"
        )


def _counted(one: Completed) -> dict[str, int]:
    filled = {f"filled {kind}": count for kind, count in one.filled.items()}
    return {**filled, "clips": int(any(filled.values()))}
