"""What all trainings share: data, run directory, loop, checkpoint, card, report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn

from skelaug import __version__
from skelaug.checkpoint import Checkpoint, load_checkpoint, load_state, save_checkpoint
from skelaug.errors import UsageError, did_you_mean
from skelaug.learner import STATE, Batches, Loss, Task
from skelaug.models import build
from skelaug.optimisation import Optimisation
from skelaug.place import Place
from skelaug.progress import Progress, silent
from skelaug.seeds import Stream, generator
from skelaug.training import Rhythm, time_updates, train
from skelaug.workflows.run_directory import RunDirectory
from skelaug.workflows.training_card import card
from skelaug.workflows.training_data import (
    CodecConfig,
    TrainingClips,
    TrainingImages,
    stand_in_images,
    training_clips,
    training_images,
)

__all__ = ["Plan", "TrainReport", "TrainingConfig", "conduct", "known"]

_TIMED_BATCH = 64

Judge = Callable[[nn.Module], Mapping[str, float]]


class TrainingConfig(BaseModel, frozen=True, extra="forbid"):
    """What every training is told.

    Attributes:
        data: Sequence or images file.
        out: The run directory.
        split: Which clips are the training part, e.g. ``subject=1,3,5,7``; empty = all.
        seed: Root of every random number.
        optimisation: Steps, batch, rates.
        per_joint_std: Normalise every joint by its own deviation instead of one for all.
        codec: How sequences become images.
        checkpoint_every: Steps per checkpoint.
        checkpoint_seconds: A checkpoint is written at least this often.
        log_every: Steps per line of the log.
        licence: A note on the data's licence that the model carries along.
    """

    data: Path
    out: Path
    split: str = ""
    seed: NonNegativeInt = 0
    optimisation: Optimisation = Optimisation()
    per_joint_std: bool = False
    codec: CodecConfig = CodecConfig()
    checkpoint_every: PositiveInt = 1000
    checkpoint_seconds: PositiveFloat = 60.0
    log_every: PositiveInt = 100
    licence: str = ""


@dataclass(frozen=True)
class Plan:
    """What distinguishes one training from another.

    Attributes:
        what: ``diffusion`` or ``guide``.
        network: From the images to a registry's key and the constructor's arguments.
        batches: From the images and the batch size to the tensors of an update.
        loss: From the images to what maps a network and such tensors to scalars.
        meta: What the checkpoint says beside the data's facts.
        evaluate: From the images to a judge of networks, or None.
        evaluate_every: Updates per judgement.
        beside: Writes into the run directory what else belongs to the model, or None.
    """

    what: str
    network: Callable[[TrainingImages], tuple[str, dict[str, Any]]]
    batches: Callable[[TrainingImages, int], Batches]
    loss: Callable[[TrainingImages], Loss]
    meta: Mapping[str, Any]
    evaluate: Callable[[TrainingImages], Judge | None] | None = None
    evaluate_every: int = 0
    beside: Callable[[TrainingImages, Path], None] | None = None


class TrainReport(BaseModel, frozen=True):
    """What a training did.

    Attributes:
        what: What was trained.
        run: The run directory.
        clips: Clips of the training part.
        classes: Classes among them.
        subjects: Performers among them, 0 if unknown.
        parameters: Weights of the network.
        steps: Updates made.
        resumed_at: Update that this command started from.
        log: The last values of the log.
        best: The update whose weights were kept, and its evaluation; empty without evaluation.
        skipped: Updates left out because their gradient was not finite.
        seconds: Time of this command's updates.
        steps_per_second: Its rate.
        warnings: What to think about before trusting the model.
        dry_run: Whether nothing was trained.
        estimated_seconds: Of a dry run, what the training would take.
        config: The resolved configuration.
    """

    what: str
    run: str
    clips: int
    classes: int
    subjects: int
    parameters: int
    steps: int
    resumed_at: int = 0
    log: dict[str, float | None] = {}
    best: dict[str, float] = {}
    skipped: int = 0
    seconds: float = 0.0
    steps_per_second: float
    warnings: list[str]
    dry_run: bool = False
    estimated_seconds: float | None = None
    config: dict[str, Any]


def known(name: str, choices: Iterable[str]) -> str:
    """The name, if it is one of the choices.

    Raises:
        ValueError: It is not.
    """
    if name not in choices:
        raise ValueError(did_you_mean(name, choices))
    return name


def conduct(
    plan: Plan,
    config: TrainingConfig,
    *,
    place: Place,
    resume: bool = False,
    force: bool = False,
    dry_run: bool = False,
    progress: Progress = silent,
) -> TrainReport:
    """Train according to a plan, from the data file to the card.

    Raises:
        NotFoundError: The data file does not exist.
        UsageError: The run directory holds another run, or a setting does not fit.
        DataError: The data cannot be trained on.
        InterruptedRunError: A signal stopped it; ``resume`` goes on.
        DivergedError: The loss left the finite numbers.
        StorageError: The run directory cannot be written.
    """
    clips = training_clips(config.data, split=config.split)
    config = _bounded(config, len(clips.rows))
    directory = RunDirectory(config.out)
    directory.check(config, clips.inputs, resume=resume, force=force)
    if config.optimisation.batch < place.world:
        raise UsageError(
            f"optimisation.batch: expected at least one sample for each of the {place.world} "
            f"processes, got {config.optimisation.batch}"
        )
    if dry_run:
        return _rehearse(plan, config, clips, place=place)
    if resume and directory.is_finished:
        return _retold(plan, config, clips, directory)
    _build(plan, config, stand_in_images(clips, config.codec, count=1))  # a misfit shows here
    place.wait()
    if place.is_first:
        directory.begin(config, clips.inputs, command=f"train {plan.what}", resume=resume)
    place.wait()
    images = training_images(
        clips,
        config.codec,
        per_joint_std=config.per_joint_std,
        cache=directory.images,
        place=place,
        progress=progress,
    )
    blank = _blank(plan, config, images)
    task = _task(plan, config, images, blank=blank, out=directory.model)
    outcome = train(
        task,
        config.optimisation,
        Rhythm(
            log=config.log_every,
            checkpoint=config.checkpoint_every,
            checkpoint_seconds=config.checkpoint_seconds,
            evaluate=plan.evaluate_every,
        ),
        seed=config.seed,
        folder=directory.path,
        place=place,
        progress=progress,
    )
    if place.is_first:
        if plan.beside is not None:
            plan.beside(images, directory.path)
        directory.finish(card(load_checkpoint(directory.model)))
    done = outcome.steps - outcome.resumed_at
    return _report(
        plan,
        config,
        clips,
        parameters=_size(task.network),
        steps=outcome.steps,
        resumed_at=outcome.resumed_at,
        log=dict(outcome.last),
        best=dict(outcome.best),
        skipped=outcome.skipped,
        seconds=outcome.seconds,
        steps_per_second=done / outcome.seconds if done else 0.0,
    )


def _bounded(config: TrainingConfig, clips: int) -> TrainingConfig:
    """The configuration with the steps that its `max_epochs` leave."""
    return config.model_copy(update={"optimisation": config.optimisation.for_clips(clips)})


def _blank(plan: Plan, config: TrainingConfig, images: TrainingImages) -> Checkpoint:
    """The checkpoint without its weights."""
    kind, arguments = plan.network(images)
    facts = images.facts()
    return Checkpoint(
        kind=kind,
        arguments=arguments,
        weights={},
        layout=images.codec.layout,
        classes=images.clips.classes,
        meta={
            "what": plan.what,
            "version": __version__,
            "seed": config.seed,
            "steps": config.optimisation.steps,
            "batch": config.optimisation.batch,
            "licence": config.licence,
            **facts,
            **plan.meta,
        },
    )


def _build(plan: Plan, config: TrainingConfig, images: TrainingImages) -> nn.Module:
    kind, arguments = plan.network(images)
    return build(kind, arguments, generator=generator(config.seed, Stream.INITIAL_WEIGHTS))


def _task(
    plan: Plan, config: TrainingConfig, images: TrainingImages, *, blank: Checkpoint, out: Path
) -> Task:
    network = _build(plan, config, images)

    parameters = _size(network)

    def export(weights: Mapping[str, Tensor], step: int) -> None:
        meta = {**blank.meta, "step": step, "parameters": parameters}
        save_checkpoint(out, replace(blank, weights=weights, meta=meta))

    return Task(
        network=network,
        batches=plan.batches(images, config.optimisation.batch),
        loss=plan.loss(images),
        export=export,
        evaluate=plan.evaluate(images) if plan.evaluate else None,
    )


def _rehearse(
    plan: Plan, config: TrainingConfig, clips: TrainingClips, *, place: Place
) -> TrainReport:
    """Measure a few updates on stand-in images, small ones where the real ones are large."""
    wanted = config.optimisation.batch
    batch = wanted if wanted <= _TIMED_BATCH else _TIMED_BATCH // 4
    images = stand_in_images(clips, config.codec, count=batch)
    task = _task(plan, config, images, blank=_blank(plan, config, images), out=config.out)
    task = replace(task, batches=plan.batches(images, batch))
    smaller = config.optimisation.model_copy(update={"batch": batch})
    seconds = time_updates(task, smaller, seed=config.seed, place=place) * wanted / batch
    return _report(
        plan,
        config,
        clips,
        parameters=_size(task.network),
        steps=config.optimisation.steps,
        dry_run=True,
        steps_per_second=1 / seconds,
        estimated_seconds=round(config.optimisation.steps * seconds, 3),
    )


def _size(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _retold(
    plan: Plan, config: TrainingConfig, clips: TrainingClips, directory: RunDirectory
) -> TrainReport:
    """The report of a run that had ended before it was to be resumed."""
    meta, state = load_checkpoint(directory.model).meta, load_state(directory.path / STATE)
    return _report(
        plan,
        config,
        clips,
        parameters=meta["parameters"],
        steps=state["step"],
        resumed_at=state["step"],
        log=state["line"],
        best=state["best"],
        skipped=int(state["counts"][2]),
        steps_per_second=0.0,
    )


def _report(
    plan: Plan, config: TrainingConfig, clips: TrainingClips, **outcome: Any
) -> TrainReport:
    return TrainReport(
        what=plan.what,
        run=str(config.out),
        clips=len(clips.rows),
        classes=sum(count > 0 for count in clips.counts.values()),
        subjects=len(clips.subjects),
        warnings=clips.warnings,
        config=config.model_dump(mode="json"),
        **outcome,
    )
