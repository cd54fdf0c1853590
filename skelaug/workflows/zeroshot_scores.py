"""What a zero-shot model is worth: on held-out seen classes while it learns, on unseen ones once.

Scores of classes are minus noise errors. Classes lie in the order of the model's descriptions:
seen ones first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from skelaug.checkpoint import load_checkpoint, load_state, save_checkpoint
from skelaug.data.store import SequenceFile
from skelaug.diffusion.schedule import scaled_linear_schedule
from skelaug.learner import STATE
from skelaug.metrics.accuracy import class_accuracy, confusion_matrix
from skelaug.metrics.generalised import calibrated, choose_constant, generalised_accuracy
from skelaug.progress import Progress
from skelaug.seeds import Stream, generator
from skelaug.workflows.run_directory import CONFUSION, RunDirectory
from skelaug.workflows.zeroshot import ZeroShotModel, load_zeroshot
from skelaug.workflows.zeroshot_classes import TeachingParts, teaching_parts
from skelaug.workflows.zeroshot_features import features_of
from skelaug.workflows.zeroshot_material import ZeroShotMaterial, file_of
from skelaug.workflows.zeroshot_texts import Ask, pooled_texts
from skelaug.zeroshot.alignment import Alignment, fit_alignment
from skelaug.zeroshot.feature_scale import Standardise, fit_scale
from skelaug.zeroshot.noise_error import fit_temperature, noise_errors
from skelaug.zeroshot.ridge import RidgeMap, fit_ridge
from skelaug.zeroshot.text_prior import around

__all__ = [
    "Asked",
    "calibrate",
    "calibrations",
    "finished",
    "gathered",
    "judge",
    "rival_scores",
    "scored",
    "tested_rows",
    "unseen_table",
]

_BATCH = 128

Scores = NDArray[np.float64]
Rows = NDArray[np.int64]
Vectors = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Asked:
    """Clips with known classes.

    Attributes:
        rows: In their file, N.
        features: Raw ones, N L D.
        labels: Places among the model's classes, N.
        num_seen: So many of the classes are seen ones, the first.
        num_classes: Y.
    """

    rows: NDArray[np.int64]
    features: NDArray[np.float32]
    labels: NDArray[np.int64]
    num_seen: int
    num_classes: int

    @property
    def is_unseen(self) -> NDArray[np.bool_]:
        """Which clips are of unseen classes, N."""
        return self.labels >= self.num_seen


def gathered(
    model: ZeroShotModel, file: SequenceFile, rows: NDArray[np.int64], progress: Progress
) -> Asked:
    """The clips among `rows` that are of the model's classes, with their features."""
    names = [one.name for one in model.descriptions]
    place = {file.classes.index(name): i for i, name in enumerate(names) if name in file.classes}
    chosen = [int(row) for row in rows if int(file.labels[row]) in place]
    return Asked(
        rows=np.array(chosen, dtype=np.int64),
        features=features_of(model.encoder, file, chosen, model.mode, progress),
        labels=np.array([place[int(file.labels[row])] for row in chosen], dtype=np.int64),
        num_seen=len(model.told["seen"]),
        num_classes=len(names),
    )


def scored(
    scores: Scores, asked: Asked, is_learnt: NDArray[np.bool_], constant: float
) -> dict[str, float]:
    """Accuracy among the unseen classes, and among all of them where seen clips are there too.

    Args:
        scores: Of all classes, N Y.
        asked: The clips.
        is_learnt: Classes whose scores are lowered by the constant, Y.
        constant: See `calibrated`.
    """
    unseen = asked.is_unseen
    said = scores[unseen][:, asked.num_seen :].argmax(axis=1) + asked.num_seen
    found = {"unseen_accuracy": float((said == asked.labels[unseen]).mean())}
    if not unseen.all():
        is_seen = np.arange(asked.num_classes) < asked.num_seen
        for name, own in (("gzsl", constant), ("gzsl_uncalibrated", 0.0)):
            answer = generalised_accuracy(calibrated(scores, is_learnt, own), asked.labels, is_seen)
            found |= {
                f"{name}_seen": answer.seen,
                f"{name}_unseen": answer.unseen,
                f"{name}_harmonic_mean": answer.harmonic,
            }
    return found


def tested_rows(file: SequenceFile, test: NDArray[np.int64], unseen: Sequence[str]) -> Rows:
    """The test part; without one the clips of unseen classes, none of which was learnt.

    Args:
        file: The clips.
        test: Those that a split leaves.
        unseen: Classes.
    """
    if len(test):
        return test
    wanted = [file.classes.index(name) for name in unseen if name in file.classes]
    return np.flatnonzero(np.isin(file.labels, wanted)).astype(np.int64)


def judge(own: ZeroShotMaterial, *, seed: int) -> Callable[[nn.Module], Mapping[str, float]] | None:
    """What tells better weights: naming clips of held-out seen classes among these classes.

    None where no class was held out.
    """
    held, classes = own.parts.held, own.parts.held_classes
    if not len(held):
        return None
    z, ask = own.z[held], cast(Ask, own.settings["ask"])
    texts = own.bank.asked(ask)[classes]
    labels = np.searchsorted(classes, own.labels[held])
    schedule = scaled_linear_schedule(int(own.settings["diffusion_steps"]))
    shape = (int(own.settings["noises"]), *z.shape[1:])
    noises = torch.randn(shape, generator=generator(seed, Stream.EVALUATE, 0))

    def validate(network: nn.Module) -> dict[str, float]:
        device = next(network.parameters()).device
        informed = around(network, own.prior, schedule)
        step, asked = int(own.settings["error_step"]), texts.to(device)
        errors = torch.cat(
            [
                noise_errors(
                    informed, some, asked, noises.to(device), step=step, schedule=schedule
                ).cpu()
                for some in torch.split(z.to(device), _BATCH)
            ]
        ).numpy()
        counts = confusion_matrix(labels, errors.argmin(axis=1), len(classes))
        mean = float(np.nanmean(class_accuracy(counts)))
        return {"score": mean, "validation_accuracy": mean}

    return validate


def calibrations(
    scores: Callable[[NDArray[np.int64]], Scores], own: ZeroShotMaterial
) -> tuple[float, float]:
    """The temperature and the constant that the clips set aside choose; 1 and 0 without any.

    Args:
        scores: From places among the training clips to their scores of all seen classes.
        own: What was taught.
    """
    parts = own.parts
    if not len(parts.held):
        return 1.0, 0.0
    rows = np.concatenate([parts.kept, parts.held])
    found, labels = scores(rows), own.labels[rows]
    is_held = np.isin(np.arange(found.shape[1]), parts.held_classes)
    among = -found[len(parts.kept) :][:, is_held]
    temperature = fit_temperature(
        among, np.searchsorted(parts.held_classes, own.labels[parts.held])
    )
    constant = choose_constant(found, labels, ~is_held) if len(parts.kept) else 0.0
    return temperature, constant


def rival_scores(
    model: ZeroShotModel,
    asked: Asked,
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    parts: TeachingParts,
    *,
    seed: int,
) -> dict[str, dict[str, float]]:
    """What simpler methods score on the same features and texts.

    Args:
        model: Whose texts they are.
        asked: Clips of the test part.
        features: Raw ones of the training clips, N L D. What is learnt from are these as a matching
            network takes them: for the constant, one that has not met the classes held out.
        labels: Their classes.
        parts: Which of them are learnt from; where the model is refitted, at first.
        seed: Of the alignment.
    """
    taught, kept = parts.taught, np.concatenate([parts.kept, parts.held])
    raw, standardise = torch.from_numpy(features), cast(Standardise, model.told["standardise"])
    first = fit_scale(raw[taught], torch.from_numpy(labels[taught]), standardise)
    x = first.applied(raw).flatten(1).numpy()
    texts = pooled_texts(model.text, model.descriptions, cast(Ask, model.told["ask"]))
    steps = int(model.told["rival_steps"])
    is_held = np.isin(np.arange(asked.num_seen), parts.held_classes)
    rivals: dict[str, Callable[[Vectors, Rows], RidgeMap | Alignment]] = {
        "ridge": lambda x, own: fit_ridge(x, own, texts),
        "alignment": lambda x, own: fit_alignment(x, own, texts, seed=seed, steps=steps),
    }
    again, tested = (
        model.standardised(torch.from_numpy(own)).flatten(1).cpu().numpy()
        for own in (features, asked.features)
    )
    found = {}
    for name, fitted in rivals.items():
        rival, constant = fitted(x[taught], labels[taught]), 0.0
        if len(parts.kept) and len(parts.held):
            own = rival.scores(x[kept], texts[: asked.num_seen])
            constant = choose_constant(own, labels[kept], ~is_held)
        if model.told["refit"]:
            rival = fitted(again, labels)
        found[name] = scored(rival.scores(tested, texts), asked, model.is_learnt, constant)
    return found


def calibrate(own: ZeroShotMaterial, directory: RunDirectory, progress: Progress) -> dict[str, Any]:
    """Temperature and constant of the finished model, written into it; nothing is tested."""
    del progress
    model = load_zeroshot(directory.model, text=own.text, device=own.encoder.device)
    temperature, constant = calibrations(lambda rows: _seen_scores(model, own, rows), own)
    _write_calibration(directory, {"temperature": temperature, "constant": constant})
    return {}


def finished(own: ZeroShotMaterial, directory: RunDirectory, progress: Progress) -> dict[str, Any]:
    """Calibrate the finished model, and test it once: chosen and last weights beside the rivals."""
    if not own.settings["refit"]:
        calibrate(own, directory, progress)
    model = load_zeroshot(directory.model, text=own.text, device=own.encoder.device)
    file = file_of(own.clips)
    rows = tested_rows(file, own.clips.split.test, own.classes.unseen)
    asked = gathered(model, file, rows, progress)
    if not len(asked.labels) or not asked.is_unseen.any():
        return {}
    scores = -_all_errors(model, asked, progress)
    last_scores, last_constant = scores, model.constant
    if len(own.parts.held):  # else the last weights are the ones that were kept
        state = load_state(directory.path / STATE)
        last = model.with_weights({**state["network"], **state["average"]})
        _, last_constant = calibrations(lambda rows: _seen_scores(last, own, rows), own)
        last_scores = -_all_errors(last, asked, progress)
    names = [one.name for one in model.descriptions]
    seed = int(own.settings["seed"])
    parts = teaching_parts(own.labels, **own.settings["validation"])
    rivals = rival_scores(model, asked, own.features, own.labels, parts, seed=seed)
    table = unseen_table(scores, asked)
    _draw_confusion(directory, table, names[asked.num_seen :])
    unseen = names[asked.num_seen :]
    return {
        "unseen_clips": int(asked.is_unseen.sum()),
        "chance": 1 / len(unseen),
        **scored(scores, asked, model.is_learnt, model.constant),
        "last_step": scored(last_scores, asked, model.is_learnt, last_constant),
        **rivals,
        "classes": dict(zip(unseen, class_accuracy(table).tolist(), strict=True)),
    }


def _seen_scores(model: ZeroShotModel, own: ZeroShotMaterial, rows: NDArray[np.int64]) -> Scores:
    texts = model.texts(own.texts[: len(own.classes.seen)])
    return -model.errors_of(own.features[rows], texts, draw=0)


def _all_errors(model: ZeroShotModel, asked: Asked, progress: Progress) -> Scores:
    texts, found = model.texts(model.descriptions), []
    with progress("matching", total=len(asked.labels)) as advance:
        for start in range(0, len(asked.labels), _BATCH):
            some = asked.features[start : start + _BATCH]
            found.append(model.errors_of(some, texts, draw=0))
            advance(len(some))
    return np.concatenate(found)


def _write_calibration(directory: RunDirectory, more: Mapping[str, float]) -> None:
    """Write into the checkpoint what was found after its training."""
    checkpoint = load_checkpoint(directory.model)
    told = {**checkpoint.meta["zeroshot"], **more}
    meta = {**checkpoint.meta, "zeroshot": told}
    save_checkpoint(directory.model, replace(checkpoint, meta=meta))


def unseen_table(scores: Scores, asked: Asked) -> NDArray[np.int64]:
    """Counts of answers among unseen classes to their clips."""
    own, first = asked.is_unseen, asked.num_seen
    answers = scores[own][:, first:].argmax(axis=1)
    return confusion_matrix(asked.labels[own] - first, answers, asked.num_classes - first)


def _draw_confusion(
    directory: RunDirectory, table: NDArray[np.int64], names: Sequence[str]
) -> None:
    from skelaug.plots.confusion import draw_confusion  # matplotlib loads here

    draw_confusion(directory.path / CONFUSION, {"unseen classes": table}, rows=names, columns=names)
