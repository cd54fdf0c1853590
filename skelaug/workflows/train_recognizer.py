"""Train a recognizer on labelled clips: ``skelaug train recognizer``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any, Literal

import torch
from pydantic import AfterValidator, BaseModel, Field, NonNegativeFloat
from torch import Tensor, nn
from torch.nn import functional

from skelaug.augment import AugmentationConfig
from skelaug.augment.mixup import draw_mixup, mixed, mixed_targets
from skelaug.data.store import SequenceFile
from skelaug.errors import DataError
from skelaug.learner import Batches
from skelaug.models.recognizers import RECOGNIZERS
from skelaug.place import Place
from skelaug.progress import Progress, silent
from skelaug.seeds import Stream, numpy_generator
from skelaug.workflows.extra_clips import ExtraConfig, MixedMotions, extra_clips, extra_notes
from skelaug.workflows.initial_weights import start_from
from skelaug.workflows.prediction_report import Tally
from skelaug.workflows.provenance import file_hashes
from skelaug.workflows.recognizer import load_recognizer
from skelaug.workflows.recognizer_presets import PRESETS
from skelaug.workflows.run_directory import CONFUSION, RunDirectory
from skelaug.workflows.training_clips import TrainingClips
from skelaug.workflows.training_motions import (
    PreparationConfig,
    stand_in_motions,
    training_motions,
)
from skelaug.workflows.training_run import Plan, TrainingConfig, TrainReport, known, run_plan

__all__ = [
    "PRESETS",
    "RecognizerConfig",
    "RecognizerLoss",
    "TrainRecognizerConfig",
    "recognizer_plan",
    "run",
]

_CHUNK = 64

StreamName = Literal["joint", "bone", "joint_motion", "bone_motion"]


class RecognizerConfig(BaseModel, frozen=True, extra="forbid"):
    """Which network is trained.

    Attributes:
        name: ``compact`` (made for CPUs), or ``st-gcn``, ``shift-gcn``, ``ctr-gcn``, ``ms-g3d``,
            ``efficient-gcn``, ``fg-stformer`` as published; ``kinematics`` is a linear classifier.
        arguments: Further arguments of its constructor.
    """

    name: Annotated[str, AfterValidator(partial(known, choices=RECOGNIZERS))] = "compact"
    arguments: dict[str, Any] = {}


class TrainRecognizerConfig(TrainingConfig, frozen=True, extra="forbid"):
    """How a recognizer is trained.

    Attributes:
        model: The network.
        preparation: How clips are made ready for it.
        streams: What it sees of them, side by side; the papers train a network per stream and fuse
            their logits (`skelaug predict` with several models).
        augment: How training clips are varied.
        mixup: Alpha of the Beta distribution by which clips are blended (Zhang et al. 2018).
        label_smoothing: Share of the target spread over all classes.
        init_from: A packaged model, a run or a file whose weights it starts from, carried over by
            the names of joints and classes.
        extra: Clips of another file that take part, synthetic ones for example.
    """

    model: RecognizerConfig = RecognizerConfig()
    preparation: PreparationConfig = PreparationConfig()
    streams: tuple[StreamName, ...] = Field(default=("joint",), min_length=1)
    augment: AugmentationConfig = AugmentationConfig()
    mixup: NonNegativeFloat = 0.0
    label_smoothing: float = Field(default=0.0, ge=0.0, lt=1.0)
    init_from: str = ""
    extra: ExtraConfig = ExtraConfig()


def run(
    config: TrainRecognizerConfig,
    *,
    resume: bool = False,
    force: bool = False,
    dry_run: bool = False,
    device: str = "auto",
    progress: Progress = silent,
) -> TrainReport:
    """Train a recognizer into a run directory, and test it once where clips are left for that.

    Args:
        config: What to train, on what.
        resume: Go on with the run that is there.
        force: Replace the run that is there.
        dry_run: Measure a few steps, write nothing.
        device: ``auto``, ``cpu``, ``cuda`` ...
        progress: Shows the steps.

    Raises:
        SkelaugError: See `skelaug.workflows.training_run.conduct`.
    """
    return run_plan(
        recognizer_plan(config),
        config,
        resume=resume,
        force=force,
        dry_run=dry_run,
        device=device,
        progress=progress,
    )


def recognizer_plan(
    config: TrainRecognizerConfig, narrow: Callable[[TrainingClips], TrainingClips] | None = None
) -> Plan[MixedMotions]:
    """What distinguishes the training of a recognizer.

    Args:
        config: What to train, on what.
        narrow: Leaves out clips that may not take part, or None.
    """
    return Plan(
        what="recognizer",
        prepare=partial(_prepare, config),
        stand_in=partial(_stand_in, config),
        inputs=file_hashes([config.extra.file] if config.extra.file else []),
        network=partial(_network, config),
        batches=partial(_batches, config),
        loss=lambda _: RecognizerLoss(config.label_smoothing),
        meta={"augment": config.augment.model_dump(mode="json", exclude_defaults=True)},
        initial=partial(_initial, config) if config.init_from else None,
        check=partial(_check, config.extra),
        conclude=_test,
        narrow=narrow,
    )


def _check(extra: ExtraConfig, clips: TrainingClips) -> list[str]:
    """What to know before trusting the recognizer.

    Raises:
        DataError: There are not two clips of different classes to tell apart.
    """
    found = [name for name, count in clips.counts.items() if count]
    where = clips.file.path
    if len(clips.rows) < 2:
        raise DataError(f"{where}: expected two clips or more to train on, got {len(clips.rows)}")
    if len(found) < 2:
        raise DataError(
            f"{where}: expected clips of two or more classes to tell apart, got "
            f"{', '.join(map(repr, found)) or 'no label at all'}; record something else too, or "
            f"check the labels with `skelaug info`"
        )
    held_out = {clips.classes[label] for label in clips.file.labels[clips.split.test] if label >= 0}
    lacking = sorted(held_out - set(found))
    notes = [
        "no clips are left for a test; name the training part with --split, for example by subject"
    ]
    if len(clips.split.test):
        notes = []
    if lacking:
        names = ", ".join(repr(name) for name in lacking)
        notes.append(f"the test part has classes that the training part lacks: {names}")
    return [*notes, *extra_notes(extra, clips)]


def _prepare(
    config: TrainRecognizerConfig,
    clips: TrainingClips,
    directory: RunDirectory,
    place: Place,
    progress: Progress,
) -> MixedMotions:
    """The prepared clips of the data and of the further file."""
    more = extra_clips(config.extra, clips)
    motions = partial(training_motions, streams=config.streams, place=place, progress=progress)
    own = motions(clips, config.preparation, cache=directory.motions)
    extra = motions(more, own.preparation, cache=directory.extra) if more else None
    return MixedMotions(own, extra, config.extra)


def _stand_in(config: TrainRecognizerConfig, clips: TrainingClips, count: int) -> MixedMotions:
    del count
    extra_clips(config.extra, clips)  # a misfit shows here
    own = stand_in_motions(clips, config.preparation, config.streams)
    return MixedMotions(own, None, config.extra)


def _network(config: TrainRecognizerConfig, mixed: MixedMotions) -> tuple[str, dict[str, Any]]:
    motions = mixed.own
    arguments = {
        "parents": list(motions.layout.parents),
        "num_classes": len(motions.clips.classes),
        "persons": motions.preparation.persons,
        "channels": motions.channels,
        **config.model.arguments,
    }
    return config.model.name, arguments


def _initial(config: TrainRecognizerConfig, motions: MixedMotions, network: nn.Module) -> list[str]:
    return start_from(config.init_from, motions.own, network, kind=config.model.name)


def _batches(config: TrainRecognizerConfig, motions: MixedMotions, batch: int) -> Batches:
    classes = len(motions.clips.classes)

    def batches(step: int) -> tuple[Tensor, ...]:
        x, labels, weights = motions.batch(config.augment, batch=batch, seed=config.seed, step=step)
        if not config.mixup:
            return x, labels, weights
        numbers = numpy_generator(config.seed, Stream.MIXUP, step)
        blend = draw_mixup(batch, alpha=config.mixup, generator=numbers)
        targets = mixed_targets(labels, blend, num_classes=classes)
        return mixed(x, blend), targets, mixed(weights, blend)

    return batches


class RecognizerLoss:
    """Cross-entropy times the weight of each clip, averaged over clips.

    Args:
        label_smoothing: Share of the target spread over all classes.
    """

    def __init__(self, label_smoothing: float = 0.0) -> None:
        self.label_smoothing = label_smoothing

    def __call__(
        self,
        network: Callable[..., Tensor],
        x: Tensor,
        targets: Tensor,
        weights: Tensor | None = None,
        /,
    ) -> Mapping[str, Tensor]:
        """The loss and the accuracy.

        Args:
            network: From clips N C T V M to logits N K.
            x: The clips.
            targets: Classes N, or their probabilities N K.
            weights: Of each clip, N; None = 1.
        """
        logits = network(x)
        losses = functional.cross_entropy(
            logits, targets, reduction="none", label_smoothing=self.label_smoothing
        )
        loss = (losses if weights is None else weights * losses).mean()
        truth = targets if targets.ndim == 1 else targets.argmax(dim=1)
        accuracy = (logits.detach().argmax(dim=1) == truth).float().mean()
        return {"loss": loss, "accuracy": accuracy}


def _test(motions: MixedMotions, directory: RunDirectory, progress: Progress) -> dict[str, Any]:
    """The finished recognizer on the clips that it has not seen: once, with its last weights."""
    clips, file = motions.clips, motions.clips.file
    rows = [int(row) for row in clips.split.test if file.labels[row] >= 0]
    if not rows or not isinstance(file, SequenceFile):
        return {}
    device = torch.device("cuda") if torch.cuda.is_available() else torch.device("cpu")
    recognizer = load_recognizer(directory.path, device=device)
    tally, unseen = (Tally(clips.classes, recognizer.classes) for _ in range(2))
    with progress("testing", total=len(rows)) as advance:
        for start in range(0, len(rows), _CHUNK):
            some = rows[start : start + _CHUNK]
            answers = recognizer.logits(file[row] for row in some).argmax(axis=1)
            for row, answer in zip(some, answers, strict=True):
                tally.add(int(file.labels[row]), int(answer))
                if row not in clips.leaked:
                    unseen.add(int(file.labels[row]), int(answer))
            advance(len(some))
    tally.draw(directory.path / CONFUSION, title="test part")
    fields = tally.fields()
    return {
        "clips": len(rows),
        "accuracy": fields["accuracy"],
        **({"accuracy_without_copies": unseen.fields()["accuracy"]} if clips.leaked else {}),
        "copies": len(clips.leaked),
        "chance": fields["chance"].majority,
        "classes": {row.label: row.accuracy for row in fields["class_accuracy"]},
        "confusion": tally.table(),
    }
