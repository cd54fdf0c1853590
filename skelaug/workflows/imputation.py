"""Some clips filled in: each kind of gap by its method, and how far off each joint may be."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skelaug.imputation.gaps import GapKind, gap_kinds
from skelaug.imputation.tracks import Track
from skelaug.skeleton.sequence import SkeletonSequence, Source
from skelaug.workflows.file_gaps import measured_joints, tracks_of
from skelaug.workflows.imputation_methods import Completer, has_spread
from skelaug.workflows.imputation_report import ImputeConfig
from skelaug.workflows.imputation_trial import Choice

__all__ = ["Completed", "complete"]


@dataclass(frozen=True, eq=False)
class Completed:
    """A clip after imputation.

    Attributes:
        clip: Measured joints are the same bits; of what was filled `observed` is False.
        filled: Joints that were filled by kind of gap, counted over all frames.
    """

    clip: SkeletonSequence
    filled: Mapping[str, int]


@dataclass(eq=False)
class _Person:
    """A person with gaps: what was measured, the kinds of the gaps, and what becomes of them."""

    track: Track
    address: int

    def __post_init__(self) -> None:
        self.kinds: NDArray[np.int8] = gap_kinds(self.track.observed)
        seen = self.track.observed[..., None]
        self.positions = np.where(seen, self.track.positions, np.float32(np.nan))
        self.uncertainty = np.zeros(self.kinds.shape, dtype=np.float32)

    def of(self, kind: GapKind) -> NDArray[np.bool_]:
        """T V, True in gaps of that kind."""
        return np.asarray(self.kinds == kind, dtype=np.bool_)


def complete(
    clips: Mapping[int, SkeletonSequence],
    completer: Completer,
    choices: Mapping[str, Choice],
    config: ImputeConfig,
) -> list[Completed]:
    """Clips with their gaps filled.

    A gap has one kind and so one method; every method fills all gaps of a person as in the trial,
    and each kind takes its own from it. The uncertainty of a method without a model is its error
    in the trial; a model's is the spread of its posterior samples times one factor per kind, which
    makes it as large as the error in the trial.

    Args:
        clips: By their place in the file, which is the address of their noise.
        completer: The methods.
        choices: By kind of gap.
        config: What counts as measured.
    """
    persons: dict[tuple[int, int], _Person] = {}
    for row, clip in clips.items():
        for slot, track in tracks_of(clip, config.min_confidence).items():
            if not track.is_whole:
                persons[row, slot] = _Person(track, row * clip.num_persons + slot)
    _fill(list(persons.values()), completer, choices)
    _say_how_sure(list(persons.values()), completer, choices)
    return [
        _assembled(
            clip,
            {slot: one for (r, slot), one in persons.items() if r == row},
            min_confidence=config.min_confidence,
        )
        for row, clip in clips.items()
    ]


def _fill(persons: list[_Person], completer: Completer, choices: Mapping[str, Choice]) -> None:
    by_method: dict[str, list[GapKind]] = defaultdict(list)
    for choice in choices.values():
        if choice.method is not None:
            by_method[choice.method].append(GapKind[choice.kind.upper()])
    for method, kinds in by_method.items():
        some = [one for one in persons if np.isin(one.kinds, kinds).any()]
        filled = completer.fill(method, [one.track for one in some])
        for one, positions in zip(some, filled, strict=True):
            chosen = np.isin(one.kinds, kinds)
            one.positions[chosen] = positions[chosen]


def _say_how_sure(
    persons: list[_Person], completer: Completer, choices: Mapping[str, Choice]
) -> None:
    by_model = [GapKind[c.kind.upper()] for c in choices.values() if has_spread(c.method)]
    some = [one for one in persons if np.isin(one.kinds, by_model).any()]
    spread = (
        completer.spread(
            [one.track for one in some],
            [one.positions for one in some],
            [one.address for one in some],
        )
        if some
        else []
    )
    own = {one.address: values for one, values in zip(some, spread, strict=True)}
    for one in persons:
        for choice in choices.values():
            chosen = one.of(GapKind[choice.kind.upper()])
            if has_spread(choice.method):
                if chosen.any():
                    scale = 1.0 if choice.scale is None else choice.scale
                    one.uncertainty[chosen] = scale * own[one.address][chosen]
            else:
                one.uncertainty[chosen] = np.nan if choice.rmse is None else choice.rmse


def _assembled(
    clip: SkeletonSequence, persons: Mapping[int, _Person], *, min_confidence: float
) -> Completed:
    positions, observed = clip.positions.copy(), measured_joints(clip, min_confidence)
    uncertainty = np.where(observed, 0, np.nan).astype(np.float32)
    counts: dict[str, int] = defaultdict(int)
    for slot, person in persons.items():
        filled = ~person.track.observed & np.isfinite(person.positions).all(axis=-1)
        positions[:, slot][filled] = person.positions[filled]
        uncertainty[:, slot][filled] = person.uncertainty[filled]
        for kind in GapKind:
            if count := int((filled & person.of(kind)).sum()):
                counts[kind.name.lower()] += count
    is_changed = bool(counts) and clip.source is not Source.SYNTHETIC  # which it stays
    source = Source.IMPUTED if is_changed else clip.source
    done = clip.replaced(
        positions=positions, observed=observed, uncertainty=uncertainty, source=source
    )
    return Completed(done, dict(counts))
