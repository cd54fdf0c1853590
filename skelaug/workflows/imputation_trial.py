"""Which method fills the gaps of a file best: known joints of it are hidden, filled and compared.

For each kind of gap that the file has, gaps like its own (their joints and lengths) are cut into
what was measured; all methods fill the same clips. The error of a method is the root mean square
distance between filled and true joints, with a 95 % bootstrap interval over those gaps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from skelaug.data.store import SequenceFile
from skelaug.imputation.gaps import Gap, GapKind, hide_gap
from skelaug.imputation.tracks import Track
from skelaug.progress import Advance
from skelaug.seeds import Stream, numpy_generator
from skelaug.workflows.file_gaps import FileGaps, tracks_of
from skelaug.workflows.imputation_methods import Completer, has_spread
from skelaug.workflows.imputation_report import ImputeConfig, MethodError

__all__ = ["FEWEST", "Choice", "Hidden", "choose", "hidden_clips", "try_methods"]

FEWEST = 8  # clips that a choice by their errors takes
_CROP = 5.0  # seconds of a clip that a trial looks at
_ATTEMPTS = 4  # clips looked at for each one that a gap can be hidden in
_RESAMPLES = 1000
_NOISE = 2**40  # addresses of noise that no clip of a file has


class Choice(BaseModel, frozen=True):
    """What gaps of one kind are filled with.

    Attributes:
        kind: The name of the `GapKind`, lower case.
        method: The method; None where nothing fills such gaps.
        reason: Why this one.
        clips: Clips of the trial.
        joints: Joints hidden there, counted over all frames.
        errors: What each method did, the best first.
        rmse: Of the chosen method in metres; None where it was not measured.
        scale: What a model's own standard deviation is multiplied by, so that its root mean square
            over the hidden joints is the error made there; None where it was not measured.
    """

    kind: str
    method: str | None
    reason: str
    clips: int = 0
    joints: int = 0
    errors: list[MethodError] = []
    rmse: float | None = None
    scale: float | None = None


@dataclass(frozen=True, eq=False)
class Hidden:
    """A person's clip of which a gap was hidden.

    Attributes:
        track: What is left.
        truth: The positions T V 3 before.
        mask: T V, True where something was hidden.
    """

    track: Track
    truth: NDArray[np.floating]
    mask: NDArray[np.bool_]

    def squares(self, filled: NDArray[np.floating]) -> float:
        """Sum of the squared distances of hidden joints, square metres; NaN where one is not."""
        apart = filled[self.mask].astype(np.float64) - self.truth[self.mask]
        return float(np.square(apart).sum())


def try_methods(
    file: SequenceFile,
    found: FileGaps,
    completer: Completer,
    config: ImputeConfig,
    *,
    advance: Advance,
) -> list[Choice]:
    """What to fill each kind of gap with that the file has; counts kinds."""
    choices = []
    for kind in found.missing:
        hidden = hidden_clips(file, kind, found.gaps[kind], config)
        trial = _Trial(hidden, completer, seed=config.seed, kind=kind)
        methods = completer.methods_for(kind)
        choice = choose(kind, trial.errors, len(hidden), methods, wanted=config.method)
        measured = {
            "joints": int(trial.counts.sum()),
            "rmse": trial.rmse(choice.method),
            "scale": trial.scale(choice.method),
        }
        choices.append(choice.model_copy(update=measured))
        advance()
    return choices


def choose(
    kind: GapKind,
    errors: Sequence[MethodError],
    clips: int,
    methods: Sequence[str],
    *,
    wanted: str = "auto",
) -> Choice:
    """The method for a kind of gap.

    The one that was asked for, or ``linear`` where such gaps are the same to it; else the one of
    least error, of equal errors the simplest. With fewer than `FEWEST` gaps to measure on, errors
    say too little: short gaps are then filled linearly and others by the model, if there is one.

    Args:
        kind: The kind of gap.
        errors: Of each method that filled all gaps that were hidden.
        clips: On so many clips.
        methods: Those that fill such gaps (`Completer.methods_for`), the simplest first.
        wanted: What was asked for; ``auto`` = choose.
    """
    ranked = sorted(errors, key=lambda one: (one.rmse_mm, methods.index(one.method)))

    def chosen(method: str | None, reason: str) -> Choice:
        name = kind.name.lower()
        return Choice(kind=name, method=method, reason=reason, clips=clips, errors=ranked)

    if not methods:
        return chosen(None, "without a model nothing says where they are")
    if wanted != "auto":
        if wanted in methods:
            return chosen(wanted, "asked for")
        return chosen("linear", f"the same as {wanted}, which was asked for")
    if clips >= FEWEST and ranked:
        best, reason = ranked[0], "least error"
        if len(ranked) > 1 and ranked[1].low_mm <= best.high_mm:
            near = [one.method for one in ranked[1:] if one.low_mm <= best.high_mm]
            reason += f", within the intervals of {', '.join(near)}"
        return chosen(best.method, reason)
    by_model = kind is not GapKind.SHORT and "reconstruction" in methods
    method = "reconstruction" if by_model else "linear"
    if not clips:
        return chosen(method, "not measured")
    if clips < FEWEST:
        return chosen(method, f"only {clips} gaps to measure on, {FEWEST} are needed")
    return chosen(method, "no method filled all gaps of the trial")


def hidden_clips(
    file: SequenceFile, kind: GapKind, gaps: Sequence[Gap], config: ImputeConfig
) -> list[Hidden]:
    """Clips of a file with a gap like one of the given ones hidden in each.

    A file of few clips is gone through again, each time at another place. Of a long clip a stretch
    at random is looked at.
    """
    hidden: list[Hidden] = []
    numbers = numpy_generator(config.seed, Stream.OCCLUSION, int(kind), 0)
    for number, row in enumerate(_rows(file, config.trial_clips, numbers)):
        if len(hidden) == config.trial_clips:
            break
        tracks = tracks_of(file[row], config.min_confidence)
        if not tracks:
            continue
        track = _cropped(tracks[int(numbers.choice(sorted(tracks)))], numbers)
        gap = gaps[int(numbers.integers(len(gaps)))]
        address = int(kind) * 10**6 + number
        mask = hide_gap(track.observed, gap, seed=config.seed, clip=address)
        if mask.any():
            left = Track(track.positions, track.observed & ~mask, track.fps)
            hidden.append(Hidden(left, track.positions, mask))
    return hidden


def _rows(file: SequenceFile, count: int, numbers: np.random.Generator) -> Iterator[int]:
    """Clips in random order, again and again, `_ATTEMPTS` times as many as are wanted."""
    for done in range(0, _ATTEMPTS * count, max(len(file), 1)):
        yield from numbers.permutation(len(file))[: _ATTEMPTS * count - done].tolist()


def _cropped(track: Track, numbers: np.random.Generator) -> Track:
    frames = max(2, round(_CROP * track.fps))
    start = int(numbers.integers(max(len(track.positions) - frames, 0) + 1))
    part = slice(start, start + frames)
    return Track(track.positions[part], track.observed[part], track.fps)


class _Trial:
    """All methods on the same hidden gaps."""

    def __init__(
        self, hidden: Sequence[Hidden], completer: Completer, *, seed: int, kind: GapKind
    ) -> None:
        self._hidden, self._completer = hidden, completer
        self._tracks = [one.track for one in hidden]
        self.counts = np.array([one.mask.sum() for one in hidden], dtype=np.float64)
        self._filled: dict[str, list[NDArray[np.floating]]] = {}
        self._squares: dict[str, NDArray[np.float64]] = {}
        for method in completer.methods_for(kind) if hidden else ():
            filled = completer.fill(method, self._tracks)
            squares = np.array([one.squares(f) for one, f in zip(hidden, filled, strict=True)])
            if np.isfinite(squares).all():  # else it cannot fill such gaps
                self._filled[method], self._squares[method] = filled, squares
        again = numpy_generator(seed, Stream.EVALUATE, int(kind))
        size = (_RESAMPLES, len(hidden))
        self._picks = again.integers(len(hidden), size=size) if hidden else None

    @property
    def errors(self) -> list[MethodError]:
        """Of each method with its interval, in millimetres."""
        return [self._error(method) for method in self._squares]

    def _error(self, method: str) -> MethodError:
        squares = self._squares[method]
        drawn = squares[self._picks].sum(axis=1) / self.counts[self._picks].sum(axis=1)
        whole = squares.sum() / self.counts.sum()
        rmse, low, high = 1e3 * np.sqrt([whole, *np.quantile(drawn, [0.025, 0.975])])
        return MethodError(method=method, rmse_mm=rmse, low_mm=low, high_mm=high)

    def rmse(self, method: str | None) -> float | None:
        """Of a method in metres."""
        if method is None or method not in self._squares:
            return None
        return float(np.sqrt(self._squares[method].sum() / self.counts.sum()))

    def scale(self, method: str | None) -> float | None:
        """What a model's own standard deviations must be multiplied by to be as large."""
        if method is None or not has_spread(method) or method not in self._squares:
            return None
        addresses = range(_NOISE, _NOISE + len(self._hidden))
        spread = self._completer.spread(self._tracks, self._filled[method], addresses)
        own = sum(
            float(np.square(values[one.mask].astype(np.float64)).sum())
            for values, one in zip(spread, self._hidden, strict=True)
        )
        return float(np.sqrt(self._squares[method].sum() / own)) if own > 0 else None
