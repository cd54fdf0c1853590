"""What all trainings share: data, run directory, loop, checkpoint, card, report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from pydantic import BaseModel, Field, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn

from skelaug import __version__
from skelaug.checkpoint import Checkpoint, load_checkpoint, load_state, save_checkpoint
from skelaug.errors import UsageError, did_you_mean
from skelaug.learner import STATE, Batches, Loss, Task
from skelaug.models import build
from skelaug.optimisation import Optimisation
from skelaug.place import Place, training_place
from skelaug.progress import Progress, silent
from skelaug.seeds import Stream, generator
from skelaug.skeleton.layout import SkeletonLayout
from skelaug.training import Rhythm, time_updates, train
from skelaug.workflows.run_directory import RunDirectory
from skelaug.workflows.training_card import card
from skelaug.workflows.training_clips import TrainingClips, training_clips

__all__ = ["Material", "Plan", "TrainReport", "TrainingConfig", "conduct", "known", "run_plan"]

_TIMED_BATCH = 64

M = TypeVar("M", bound="Material")
Judge = Callable[[nn.Module], Mapping[str, float]]


class TrainingConfig(BaseModel, frozen=True, extra="forbid"):
    """What every training is told.

    Attributes:
        data: Sequence or images file.
        out: The run directory.
        split: Which clips are the training part, e.g. ``subject=1,3,5,7``; empty = all.
        test: Which of the other clips are the test part, e.g. ``subject=5``; empty = all of them.
        labelled: Training clips outside this rule count as unlabelled, e.g. ``name=FILE``; empty
            leaves all labels.
        fraction: Share of every class of the training part that is used, drawn by the seed; for
            learning curves. The test part stays the same.
        seed: Root of every random number.
        optimisation: Steps, batch, rates.
        checkpoint_every: Steps per checkpoint.
        checkpoint_seconds: A checkpoint is written at least this often.
        log_every: Steps per line of the log.
        licence: A note on the data's licence that the model carries along.
    """

    data: Path
    out: Path
    split: str = ""
    test: str = ""
    labelled: str = ""
    fraction: float = Field(default=1.0, gt=0.0, le=1.0)
    seed: NonNegativeInt = 0
    optimisation: Optimisation = Optimisation()
    checkpoint_every: PositiveInt = 1000
    checkpoint_seconds: PositiveFloat = 60.0
    log_every: PositiveInt = 100
    licence: str = ""


class Material(Protocol):
    """The training clips in the form that a network takes."""

    @property
    def clips(self) -> TrainingClips:
        """Where they come from."""
        ...

    @property
    def layout(self) -> SkeletonLayout:
        """The joints that the network is trained on."""
        ...

    def facts(self) -> dict[str, Any]:
        """What a checkpoint says about the form; plain JSON values."""
        ...


@dataclass(frozen=True)
class Plan(Generic[M]):
    """What distinguishes one training from another.

    Attributes:
        what: ``diffusion``, ``guide``, ``recognizer`` ...
        prepare: From the clips, the run directory, the place and a progress to the material.
        stand_in: From the clips and a count to random material of that size, for measuring speed.
        network: From the material to a registry's key and the constructor's arguments.
        batches: From the material and the batch size to the tensors of an update.
        loss: From the material to what maps a network and such tensors to scalars.
        meta: What the checkpoint says beside the data's facts.
        inputs: SHA-256 of further files that decide the result, by name.
        initial: Changes the weights that the network starts from and says what it did, or None.
        evaluate: From the material to a judge of networks, or None.
        evaluate_every: Updates per judgement.
        check: Raises a DataError where the clips cannot be learnt from, and returns warnings.
        conclude: Looks at the finished model, writes into the run directory what else belongs to
            it, and returns scores (plain JSON values), or None.
        samples: Samples of one epoch; None = as many as there are clips.
        narrow: Leaves out clips that may not take part, or None.
        companions: From the material to tensors that the checkpoint carries too, or None.
        rounds: Trainings of that length that are made, which an estimate of the time counts.
    """

    what: str
    prepare: Callable[[TrainingClips, RunDirectory, Place, Progress], M]
    stand_in: Callable[[TrainingClips, int], M]
    network: Callable[[M], tuple[str, dict[str, Any]]]
    batches: Callable[[M, int], Batches]
    loss: Callable[[M], Loss]
    meta: Mapping[str, Any]
    inputs: Mapping[str, str] = field(default_factory=dict)
    initial: Callable[[M, nn.Module], list[str]] | None = None
    evaluate: Callable[[M], Judge | None] | None = None
    evaluate_every: int = 0
    check: Callable[[TrainingClips], list[str]] | None = None
    conclude: Callable[[M, RunDirectory, Progress], dict[str, Any]] | None = None
    samples: Callable[[TrainingClips], int] | None = None
    narrow: Callable[[TrainingClips], TrainingClips] | None = None
    companions: Callable[[M], Mapping[str, Tensor]] | None = None
    rounds: int = 1


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
        start: What the weights started from where they were not drawn anew.
        scores: What the finished model was found to be worth; empty where nothing is held out.
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
    start: list[str] = []
    scores: dict[str, Any] = {}
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


def run_plan(
    plan: Plan[M],
    config: TrainingConfig,
    *,
    resume: bool = False,
    force: bool = False,
    dry_run: bool = False,
    device: str = "auto",
    progress: Progress = silent,
) -> TrainReport:
    """`conduct` on the device that is asked for: ``auto``, ``cpu``, ``cuda`` ..."""
    with training_place(device) as place:
        return conduct(
            plan,
            config,
            place=place,
            resume=resume,
            force=force,
            dry_run=dry_run,
            progress=progress,
        )


def conduct(
    plan: Plan[M],
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
    clips = plan.narrow(_clips_of(config)) if plan.narrow else _clips_of(config)
    if plan.check:
        plan.check(clips)
    samples = plan.samples(clips) if plan.samples else len(clips.rows)
    bounded = {"optimisation": config.optimisation.for_clips(samples)}
    config = config.model_copy(update=bounded)
    directory, inputs = RunDirectory(config.out), {**clips.inputs, **plan.inputs}
    directory.check(config, inputs, resume=resume, force=force)
    if config.optimisation.batch < place.world:
        raise UsageError(
            f"optimisation.batch: expected at least one sample for each of the {place.world} "
            f"processes, got {config.optimisation.batch}"
        )
    if dry_run:
        return _rehearse(plan, config, clips, place=place)
    if resume and directory.is_finished:
        return _retold(plan, config, clips, directory)
    build(*plan.network(plan.stand_in(clips, 1)))  # a misfit shows here
    place.wait()
    if place.is_first:
        directory.begin(config, inputs, command=f"train {plan.what}", resume=resume)
    place.wait()
    material = plan.prepare(clips, directory, place, progress)
    task, start = _task(plan, config, material, out=directory.model)
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
    scores: dict[str, Any] = {}
    if place.is_first:
        scores = plan.conclude(material, directory, progress) if plan.conclude else {}
        directory.finish(card(load_checkpoint(directory.model), scores), scores)
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
        start=start,
        scores=scores,
        skipped=outcome.skipped,
        seconds=outcome.seconds,
        steps_per_second=done / outcome.seconds if done else 0.0,
    )


def _clips_of(config: TrainingConfig) -> TrainingClips:
    told = ("split", "test", "labelled", "fraction", "seed")
    return training_clips(config.data, **{key: getattr(config, key) for key in told})


def _task(
    plan: Plan[M], config: TrainingConfig, material: M, *, out: Path
) -> tuple[Task, list[str]]:
    """What is trained, and what its weights started from."""
    kind, arguments = plan.network(material)
    network = build(kind, arguments, generator=generator(config.seed, Stream.INITIAL_WEIGHTS))
    start = plan.initial(material, network) if plan.initial else []
    blank = Checkpoint(
        kind=kind,
        arguments=arguments,
        weights={},
        layout=material.layout,
        classes=material.clips.classes,
        meta={
            "what": plan.what,
            "version": __version__,
            "seed": config.seed,
            "steps": config.optimisation.steps,
            "batch": config.optimisation.batch,
            "licence": config.licence,
            "parameters": _size(network),
            **material.clips.facts(),
            **material.facts(),
            **plan.meta,
        },
    )

    more = plan.companions(material) if plan.companions else {}

    def export(weights: Mapping[str, Tensor], step: int) -> None:
        meta = {**blank.meta, "step": step}
        save_checkpoint(out, replace(blank, weights={**weights, **more}, meta=meta))

    task = Task(
        network=network,
        batches=plan.batches(material, config.optimisation.batch),
        loss=plan.loss(material),
        export=export,
        evaluate=plan.evaluate(material) if plan.evaluate else None,
    )
    return task, start


def _rehearse(
    plan: Plan[M], config: TrainingConfig, clips: TrainingClips, *, place: Place
) -> TrainReport:
    """Measure a few updates on stand-in material, small ones where the real ones are large."""
    wanted = config.optimisation.batch
    batch = wanted if wanted <= _TIMED_BATCH else _TIMED_BATCH // 4
    material = plan.stand_in(clips, batch)
    task, start = _task(plan, config, material, out=config.out)
    task = replace(task, batches=plan.batches(material, batch))
    smaller = config.optimisation.model_copy(update={"batch": batch})
    seconds = time_updates(task, smaller, seed=config.seed, place=place) * wanted / batch
    return _report(
        plan,
        config,
        clips,
        parameters=_size(task.network),
        steps=config.optimisation.steps,
        start=start,
        dry_run=True,
        steps_per_second=1 / seconds,
        estimated_seconds=round(plan.rounds * config.optimisation.steps * seconds, 3),
    )


def _size(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _retold(
    plan: Plan[M], config: TrainingConfig, clips: TrainingClips, directory: RunDirectory
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
        scores=directory.scores(),
        skipped=int(state["counts"][2]),
        steps_per_second=0.0,
    )


def _report(
    plan: Plan[M], config: TrainingConfig, clips: TrainingClips, **outcome: Any
) -> TrainReport:
    return TrainReport(
        what=plan.what,
        run=str(config.out),
        clips=len(clips.rows),
        classes=sum(count > 0 for count in clips.counts.values()),
        subjects=len(clips.subjects),
        warnings=[*clips.warnings, *(plan.check(clips) if plan.check else [])],
        config=config.model_dump(mode="json"),
        **outcome,
    )
