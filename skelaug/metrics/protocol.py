"""Twenty matched draws: synthetic clips beside real ones, and real beside real as the floor.

One draw takes, of every class, k clips for each of three sets: real half A, real half B (no clip in
common with A), and the synthetic set S. So labels have the same prior in all three (as in ACTOR,
Petrovich et al. 2021; uniformly labelled samples against a natural prior inflate the FID), and all
three have the same size m (the FID of small sets is biased upwards). The scores of S against A
stand beside those of B against A, which a perfect generator would have too.

That holds only if the feature network has seen none of the three: on clips that it was trained on
its features collapse towards one point per class, and the floor falls far below anything that new
clips of the same people can reach. So the draws go round several `View`s, each the clips as one
network sees them, with only those real clips that this network was not trained on.

Held-out real clips, where there are any, are drawn against A likewise; a class that has fewer than
k of them counts with as many on both sides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from skelaug.metrics.diversity import action_diversity, overall_diversity
from skelaug.metrics.frechet import frechet_distance
from skelaug.metrics.intervals import Interval, interval_of
from skelaug.seeds import Stream, numpy_generator

__all__ = ["DRAWS", "Comparison", "DrawPlan", "ScoredClips", "View", "compare", "plan_draws"]

DRAWS = 20
_SYNTHETIC, _REAL, _HELD_OUT = 0, 1, 2


@dataclass(frozen=True)
class ScoredClips:
    """Clips as the recognizer and a ruler see them.

    Attributes:
        features: N D, of the recognizer.
        labels: N, the classes that the clips should show.
        predictions: N, the classes that the recognizer sees.
        quantities: Named numbers per clip, N each (bone-length variation, distances ...); NaN where
            a clip has none.
    """

    features: NDArray[np.floating]
    labels: NDArray[np.int64]
    predictions: NDArray[np.int64]
    quantities: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.labels)

    def taken(self, indices: NDArray[np.int64]) -> ScoredClips:
        """The clips at some indices."""
        return ScoredClips(
            self.features[indices],
            self.labels[indices],
            self.predictions[indices],
            {name: values[indices] for name, values in self.quantities.items()},
        )


@dataclass(frozen=True)
class View:
    """The clips as one feature network sees them.

    Attributes:
        real: Real training clips that the network has not seen (or all, if it has seen them all).
        synthetic: The synthetic clips.
        held_out: Real clips that neither generator nor network has seen, if any.
    """

    real: ScoredClips
    synthetic: ScoredClips
    held_out: ScoredClips | None = None

    def plan(self) -> DrawPlan:
        """How many clips of each class its draws take."""
        outside = self.held_out.labels if self.held_out else None
        return plan_draws(self.real.labels, self.synthetic.labels, outside)


@dataclass(frozen=True)
class Comparison:
    """One score of the synthetic set with the same score of real clips beside it.

    Attributes:
        synthetic: Of the synthetic draw (for a distance: to the real draw).
        real: Of the other real half: the floor.
        held_out: Of held-out real clips; None without them.
    """

    synthetic: Interval
    real: Interval
    held_out: Interval | None = None

    @property
    def ratio(self) -> float:
        """Synthetic over real; NaN if the real score is 0."""
        return self.synthetic.mean / self.real.mean if self.real.mean else float("nan")


@dataclass(frozen=True)
class DrawPlan:
    """How many clips of each class a draw takes.

    Attributes:
        counts: Class to k, the size of each of A, B and S in that class.
        held_out: Class to the size of the held-out draw, at most k.
    """

    counts: Mapping[int, int]
    held_out: Mapping[int, int]

    @property
    def size(self) -> int:
        """Clips per set and draw, m."""
        return sum(self.counts.values())

    @property
    def held_out_size(self) -> int:
        """Held-out clips per draw."""
        return sum(self.held_out.values())


def plan_draws(
    real: NDArray[np.integer],
    synthetic: NDArray[np.integer],
    held_out: NDArray[np.integer] | None = None,
) -> DrawPlan:
    """The largest matched draws that three sets of labels allow.

    Of each class k = min(half of the real clips, all synthetic clips); a class with k = 0 takes no
    part.
    """
    counts, outside = {}, {}
    for label in np.intersect1d(real, synthetic):
        k = min(int((real == label).sum()) // 2, int((synthetic == label).sum()))
        if k > 0:
            counts[int(label)] = k
            others = 0 if held_out is None else int((held_out == label).sum())
            outside[int(label)] = min(k, others)
    return DrawPlan(counts, {label: k for label, k in outside.items() if k > 0})


def compare(views: Sequence[View], *, draws: int = DRAWS, seed: int = 0) -> dict[str, Comparison]:
    """Every score over matched draws, each with its 95 % interval.

    The keys are ``fid``, ``accuracy``, ``diversity``, ``action_diversity``, and for each quantity Q
    that all sets carry ``Q`` (mean), ``Q.median`` and ``Q.p05`` (5th percentile). The intervals are
    over draws from the files at hand: they do not contain the chance of training another generator.

    Args:
        views: Draw i is taken from view i modulo their number.
        draws: Number of draws.
        seed: Decides the draws.

    Raises:
        ValueError: In a view no class has two real clips and a synthetic one, or only one class
            has, so that a set would be a single clip.
    """
    table: dict[str, list[list[float]]] = {}
    plans = [view.plan() for view in views]
    for plan in plans:
        if plan.size < 2:
            raise ValueError(f"draws: expected at least 2 clips per set, got {plan.size}")
    for draw in range(draws):
        view, plan = views[draw % len(views)], plans[draw % len(views)]
        for column, reference, clips in _drawn(view, plan, numpy_generator(*_address(seed, draw))):
            address = _address(seed, draw, 1 + column)  # a trailing 0 would not change the stream
            for name, value in _scores(reference, clips, address).items():
                table.setdefault(name, [[], [], []])[column].append(value)
    return {
        name: Comparison(
            interval_of(columns[_SYNTHETIC]),
            interval_of(columns[_REAL]),
            interval_of(columns[_HELD_OUT]) if columns[_HELD_OUT] else None,
        )
        for name, columns in table.items()
        if columns[_SYNTHETIC] and columns[_REAL]
    }


def _address(seed: int, *stream: int) -> tuple[int, ...]:
    return seed, Stream.EVALUATE, *stream


def _drawn(
    view: View, plan: DrawPlan, generator: np.random.Generator
) -> list[tuple[int, ScoredClips, ScoredClips]]:
    """The sets of one draw, each as (column, real set to compare with, set)."""
    half, rest = _halves(view.real.labels, plan.counts, generator)
    first = view.real.taken(half)
    drawn = view.synthetic.taken(_draw(view.synthetic.labels, plan.counts, generator))
    sets = [(_SYNTHETIC, first, drawn), (_REAL, first, view.real.taken(rest))]
    if view.held_out and plan.held_out_size >= 2:
        matched = first.taken(_draw(first.labels, plan.held_out, generator))
        outside = view.held_out.taken(_draw(view.held_out.labels, plan.held_out, generator))
        sets.append((_HELD_OUT, matched, outside))
    return sets


def _scores(
    reference: ScoredClips, clips: ScoredClips, address: tuple[int, ...]
) -> dict[str, float]:
    """The scores of one set of one draw; `address` is where its random numbers are."""
    generator = numpy_generator(*address)
    scores = {
        "fid": frechet_distance(reference.features, clips.features),
        "accuracy": float((clips.labels == clips.predictions).mean()),
        "diversity": overall_diversity(clips.features, generator),
        "action_diversity": action_diversity(clips.features, clips.labels, generator),
    }
    statistics: dict[str, Callable[[NDArray[np.float64]], float]] = {
        "": lambda values: float(values.mean()),
        ".median": lambda values: float(np.median(values)),
        ".p05": lambda values: float(np.percentile(values, 5)),
    }
    for name, values in clips.quantities.items():
        known = values[np.isfinite(values)]
        if known.size:
            scores |= {name + suffix: of(known) for suffix, of in statistics.items()}
    return scores


def _halves(
    labels: NDArray[np.int64], counts: Mapping[int, int], generator: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Two disjoint sets of indices with `counts` clips of each class."""
    first, second = [], []
    for label, k in counts.items():
        chosen = generator.permutation(np.flatnonzero(labels == label))[: 2 * k]
        first.append(chosen[:k])
        second.append(chosen[k:])
    return np.concatenate(first), np.concatenate(second)


def _draw(
    labels: NDArray[np.int64], counts: Mapping[int, int], generator: np.random.Generator
) -> NDArray[np.int64]:
    """Indices of `counts` different clips of each class."""
    return np.concatenate(
        [generator.permutation(np.flatnonzero(labels == label))[:k] for label, k in counts.items()]
    )
