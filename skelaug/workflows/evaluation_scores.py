"""From prepared clips to scores: the recognizer's features, the body's rulers, matched draws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skelaug.diffusion.spectral import low_band
from skelaug.metrics.neighbours import nearest, nearest_other, root_relative
from skelaug.metrics.plausibility import bone_length_variation, mean_magnitude
from skelaug.metrics.protocol import DRAWS, Comparison, ScoredClips, View, compare
from skelaug.metrics.spectrum import frequency_energy
from skelaug.seeds import Stream, numpy_generator
from skelaug.skeleton.layout import SkeletonLayout
from skelaug.workflows.evaluation_clips import PreparedClips, bones_of, roots_of
from skelaug.workflows.evaluation_network import Recognizer
from skelaug.workflows.evaluation_panel import Panel, train_panel

__all__ = ["ArrayScores", "Copies", "energy_key", "evaluate_arrays"]

NEIGHBOUR, HIGH_BAND = "nearest_mm", "high_band_mm2"
COPY_PERCENTILE = 1
_MM = 1000.0
_MOST_QUERIES = 2000


@dataclass(frozen=True)
class Copies:
    """How near synthetic clips come to training clips.

    Attributes:
        threshold_mm: 1st percentile of the distance from a real training clip to its nearest other.
        synthetic: Fraction of synthetic clips below it.
        real: Fraction of real training clips below it: about 0.01.
        held_out: Fraction of held-out clips below it; None without them.
    """

    threshold_mm: float
    synthetic: float
    real: float
    held_out: float | None


@dataclass(frozen=True)
class ArrayScores:
    """All numbers of one evaluation.

    Attributes:
        scores: See `evaluate_arrays`.
        copies: How many clips are copies.
        views: The clips as each member of the panel sees them.
        panel: The recognizers that were used.
    """

    scores: dict[str, Comparison]
    copies: Copies
    views: tuple[View, ...]
    panel: Panel


def energy_key(frequency: int) -> str:
    """The name of the score that is the energy of one frequency."""
    return f"energy_mm2[{frequency}]"


def evaluate_arrays(
    train: PreparedClips,
    synthetic: PreparedClips,
    held_out: PreparedClips | None = None,
    *,
    layout: SkeletonLayout,
    panel: Panel | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> ArrayScores:
    """Score prepared clips; trains recognizers on `train` if none are given.

    Keys of the scores: ``fid``, ``accuracy``, ``diversity``, ``action_diversity``,
    ``bone_length_variation`` (fraction), ``velocity_mm`` and ``acceleration_mm`` (per frame of the
    grid), the numbers of `PreparedClips.native`, ``nearest_mm`` (distance to the nearest training
    clip, root-relative mean over joints and frames), the energy of each frequency (`energy_key`)
    and ``high_band_mm2``, the sum of those from `low_band` on; all but the first four also with
    ``.median`` and ``.p05``.

    Args:
        train: The real training part.
        synthetic: The synthetic clips.
        held_out: Real clips of other subjects; their scores stand beside the others.
        layout: Joints of one person.
        panel: From an earlier call on the same training part.
        draws: Number of matched draws.
        seed: Decides recognizers and draws.

    Raises:
        ValueError: The sets have no class with enough clips in common; see `compare`.
    """
    used = panel or train_panel(train, layout=layout, seed=seed)
    reference = root_relative(train.positions, layout.root)
    folds = used.folds(train)
    measured = [
        _measured(train, layout, _own_nearest(reference, seed)),
        _measured(synthetic, layout, _to_nearest(synthetic, reference, layout, seed)),
    ]
    if held_out is not None:
        measured.append(_measured(held_out, layout, _to_nearest(held_out, reference, layout, seed)))
    views = []
    for fold, member in enumerate(used.members):
        real, drawn, *other = (
            _seen(clips, quantities, member)
            for clips, quantities in zip((train, synthetic, held_out), measured, strict=False)
            if clips is not None
        )
        unseen = real.taken(np.flatnonzero(folds == fold))
        views.append(View(unseen, drawn, other[0] if other else None))
    return ArrayScores(
        scores=compare(views, draws=draws, seed=seed),
        copies=_copies(*(quantities[NEIGHBOUR] for quantities in measured)),
        views=tuple(views),
        panel=used,
    )


def _seen(
    clips: PreparedClips, quantities: Mapping[str, NDArray[np.float64]], member: Recognizer
) -> ScoredClips:
    reading = member.read(clips.positions)
    return ScoredClips(reading.features, clips.labels, reading.predictions, quantities)


def _measured(
    clips: PreparedClips, layout: SkeletonLayout, nearest_mm: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Everything that is measured on a clip without a recognizer."""
    persons = clips.positions.shape[2] // layout.num_joints
    bones = bones_of(layout, persons)
    energy = _MM**2 * frequency_energy(clips.positions, roots_of(layout, persons))
    frames = energy.shape[1]
    return {
        "bone_length_variation": bone_length_variation(clips.positions, bones),
        "velocity_mm": _MM * mean_magnitude(clips.positions, order=1),
        "acceleration_mm": _MM * mean_magnitude(clips.positions, order=2),
        **clips.native,
        NEIGHBOUR: nearest_mm,
        HIGH_BAND: energy[:, low_band(frames) :].sum(axis=1),
        **{energy_key(k): energy[:, k] for k in range(frames)},
    }


def _own_nearest(reference: NDArray[np.float32], seed: int) -> NDArray[np.float64]:
    """Millimetres from each training clip to its nearest other; NaN for those not asked for."""
    chosen = _queries(len(reference), seed)
    distances = np.full(len(reference), np.nan)
    distances[chosen] = _MM * nearest_other(reference, chosen).distances
    return distances


def _to_nearest(
    clips: PreparedClips, reference: NDArray[np.float32], layout: SkeletonLayout, seed: int
) -> NDArray[np.float64]:
    """Millimetres from each clip to the nearest training clip; NaN for those not asked for."""
    chosen = _queries(len(clips), seed)
    distances = np.full(len(clips), np.nan)
    relative = root_relative(clips.positions[chosen], layout.root)
    distances[chosen] = _MM * nearest(relative, reference).distances
    return distances


def _queries(count: int, seed: int) -> NDArray[np.int64]:
    """Which clips are searched for: all, or 2,000 of them, so that large files stay quick."""
    if count <= _MOST_QUERIES:
        return np.arange(count)
    order = numpy_generator(seed, Stream.SPLIT, count).permutation(count)
    return np.sort(order[:_MOST_QUERIES])


def _copies(
    real: NDArray[np.float64],
    synthetic: NDArray[np.float64],
    held_out: NDArray[np.float64] | None = None,
) -> Copies:
    threshold = float(np.nanpercentile(real, COPY_PERCENTILE))

    def nearer(distances: NDArray[np.float64]) -> float:
        return float((distances[np.isfinite(distances)] < threshold).mean())

    outside = None if held_out is None else nearer(held_out)
    return Copies(threshold, nearer(synthetic), nearer(real), outside)
