"""What a model of motion is worth: its evidence bound on held-out clips, its errors, its scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from skelaug.checkpoint import load_checkpoint
from skelaug.imputation.prior import MotionPrior
from skelaug.imputation.tracks import Track
from skelaug.imputation.typicality import DENSITIES, log_densities
from skelaug.progress import Progress
from skelaug.seeds import Stream, generator
from skelaug.workflows.image_source import ready_network
from skelaug.workflows.motion_lessons import Lesson, Lessons
from skelaug.workflows.training_windows import TrainingWindows

__all__ = ["examiner", "training_typicality"]

_EXAMINED, _SCORED = 512, 4096
_TOGETHER = 32  # tracks, from one step of the progress to the next
_NOISE = 1  # apart from the occlusions of the same windows


def examiner(
    way: Lessons, material: Any, *, kl_weight: float, seed: int
) -> Callable[[nn.Module], Mapping[str, float]] | None:
    """From a network to what it makes of the samples that are held out; None where there are none.

    ``log_likelihood`` and ``divergence`` are the terms of the evidence bound, nats per sample, and
    ``evidence`` is their difference; ``score`` weighs the divergence as the training did at its
    end. ``error`` is the squared error of the reconstruction along the posterior means, summed over
    the entries of a sample (of windows square metres of a body of size 1, the MSE of Bourached et
    al. 2022, Table 1). ``hidden_error``, of models that read a mask, is the squared error at hidden
    entries as a share of that of the training mean.

    Args:
        way: How the material is learnt.
        material: Its samples.
        kl_weight: Weight of the divergence in the score.
        seed: Decides the noise, the same for every network.
    """
    if not len(way.parts(material).held_out):
        return None

    def examine(network: nn.Module) -> dict[str, float]:
        device = next(network.parameters()).device
        found = torch.zeros(4, dtype=torch.float64)
        for number, lesson in enumerate(way.examined(material, _EXAMINED, occluded=False)):
            numbers = generator(seed, Stream.EVALUATE, _NOISE, number)
            found += _sums(network, _moved(lesson, device), way.scale(material), numbers)
        likelihood, divergence, error = (found[1:] / found[0]).tolist()
        return {
            "score": likelihood - kl_weight * divergence,
            "evidence": likelihood - divergence,
            "log_likelihood": likelihood,
            "divergence": divergence,
            "error": error,
            **_hidden(network, way, material),
        }

    return examine


def _moved(lesson: Lesson, device: torch.device) -> Lesson:
    windows = type(lesson.windows)(*(part.to(device) for part in lesson.windows))
    return Lesson(windows, lesson.labels.to(device))


def _sums(network: nn.Module, lesson: Lesson, scale: Tensor, numbers: torch.Generator) -> Tensor:
    """Samples, and the sums of log-likelihood, divergence and squared error over them."""
    prior, (x, known, seen, shown), labels = cast(MotionPrior, network), *lesson
    noise = torch.randn(len(x), *prior.noise_shape, generator=numbers).to(x.device)
    terms = network(x, seen, known, labels, noise, shown).double().sum(dim=0).cpu()
    mean = prior.reconstruct(shown, seen=seen, labels=labels).mean
    error = torch.where(known, (mean - x) * scale.to(x.device)[:, None], 0).square().sum()
    own = [float(len(x)), float(terms[0]), float(terms[1:].sum()), float(error)]
    return torch.tensor(own, dtype=torch.float64)


def _hidden(network: nn.Module, way: Lessons, material: Any) -> dict[str, float]:
    """The error at hidden entries; empty where nothing is hidden."""
    prior, device = cast(MotionPrior, network), next(network.parameters()).device
    scale = way.scale(material).to(device)[:, None]
    left, whole = 0.0, 0.0
    for lesson in way.examined(material, _EXAMINED, occluded=True):
        (x, known, seen, shown), labels = _moved(lesson, device)
        mean = prior.reconstruct(shown, seen=seen, labels=labels).mean
        counted = known & ~seen
        left += float(torch.where(counted, (mean - x) * scale, 0).square().sum())
        whole += float(torch.where(counted, x * scale, 0).square().sum())
    return {"hidden_error": left / whole} if whole else {}


def training_typicality(
    windows: TrainingWindows, weights: Path, progress: Progress
) -> dict[str, Any]:
    """Mean and standard deviation of each log-density over the training clips, and their number.

    A clip of several persons counts once for each. Of many clips some thousand are taken, evenly
    spread.

    Args:
        windows: Their tracks.
        weights: The finished model.
        progress: Shows the clips.

    Returns:
        ``{"joint": {"mean", "std"}, "posterior": {"mean", "std"}, "clips"}``, nats.
    """
    device = torch.device("cuda") if torch.cuda.is_available() else torch.device("cpu")
    prior = cast(MotionPrior, ready_network(load_checkpoint(weights), device))
    total = len(windows)
    chosen = np.unique(np.linspace(0, total - 1, min(_SCORED, total)).astype(np.int64))
    found = []
    with progress("scoring", total=len(chosen)) as advance:
        for begin in range(0, len(chosen), _TOGETHER):
            tracks = [_track(windows, number) for number in chosen[begin : begin + _TOGETHER]]
            found.append(log_densities(prior, windows.form, tracks, device=device))
            advance(len(tracks))
    values = np.concatenate(found, axis=1)
    typicality: dict[str, Any] = {"clips": values.shape[1]}
    for by, own in zip(DENSITIES, values, strict=True):
        typicality[by] = {"mean": float(own.mean()), "std": float(own.std())}
    return typicality


def _track(windows: TrainingWindows, number: int) -> Track:
    start, length, stride = windows.tracks[number].tolist()
    span = slice(start, start + length)
    return Track(windows.positions[span], windows.observed[span], windows.form.fps * stride)
