"""The ways to fill gaps, by their names, some clips at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from skelaug.imputation.ascent import ascend
from skelaug.imputation.fillers import FILLERS
from skelaug.imputation.gaps import GapKind
from skelaug.imputation.prior import Density
from skelaug.imputation.reconstruction import reconstruct
from skelaug.imputation.tracks import Track, cut_windows, mean_motions
from skelaug.imputation.uncertainty import spread
from skelaug.models import MOTION_PRIORS
from skelaug.workflows.imputation_report import METHODS, ImputeConfig
from skelaug.workflows.motion_prior import TrainedPrior

__all__ = ["Completer", "has_spread", "needs_model"]

_Positions = NDArray[np.floating]

_WITHOUT_MODEL = ("hold", "linear", "cubic")
_FRAMES = 8192  # of the clips that are computed together


def needs_model(method: str) -> bool:
    """Whether a method takes a trained model; the mean is a model's training mean."""
    return method not in _WITHOUT_MODEL


def has_spread(method: str | None) -> bool:
    """Whether a model says itself how far such inventions may be off."""
    return method is not None and method not in FILLERS


class Completer:
    """Fills the gaps of persons' clips.

    What becomes of a clip does not depend, but for rounding, on those that it shares a call with.

    Args:
        priors: Trained models, each of another kind. The first is the main one: the mean, the
            reconstruction, the published ascent and the uncertainty are its. None leaves the
            methods that need none.
        config: Steps, rate, start and density of the ascents, samples, seed.

    Attributes:
        prior: The main model.
        methods: Those that can be had, the simplest first.
    """

    def __init__(
        self, priors: TrainedPrior | Sequence[TrainedPrior] | None, config: ImputeConfig
    ) -> None:
        given = [priors] if isinstance(priors, TrainedPrior) else list(priors or ())
        self.prior = given[0] if given else None
        self._priors, self._config = {prior.kind: prior for prior in given}, config
        self.methods: tuple[str, ...] = tuple(m for m in METHODS if self._can(m))

    def _can(self, method: str) -> bool:
        if method in MOTION_PRIORS:
            return method in self._priors
        return self.prior is not None or not needs_model(method)

    def methods_for(self, kind: GapKind) -> tuple[str, ...]:
        """Those that fill gaps of a kind, each in its own way, the simplest first.

        Along time there is nothing to know of a joint that was never measured: hold, linear and
        cubic all put it where it is in the mean, and without a model nowhere.
        """
        if kind is not GapKind.UNSEEN:
            return self.methods
        if self.prior is None:
            return ()
        return tuple(m for m in self.methods if m not in ("hold", "cubic"))

    def fill(self, method: str, tracks: Sequence[Track]) -> list[_Positions]:
        """Positions T V 3 of each clip with its gaps filled; measured ones keep their bits.

        NaN is left where the method has nothing to say: without a model, joints that were never
        measured.

        Raises:
            ValueError: The method needs a model and there is none.
        """
        if method not in self.methods:
            raise ValueError(f"method: expected one of {self.methods}, got {method!r}")
        return [one for some in _batches(tracks) for one in self._filled(method, some)]

    def _filled(self, method: str, tracks: Sequence[Track]) -> Sequence[_Positions]:
        if method in FILLERS:
            return _by_filler(method, tracks, self.prior)
        assert self.prior is not None
        if method == "reconstruction":
            return _reconstructed(self.prior, tracks)
        if method == "ascent":  # the published one: climbs what its code calls the posterior
            return self._ascended(self.prior, tracks, start="mean", climbs="posterior", span=1)
        own = self._config
        return self._ascended(
            self._priors[method], tracks, start=own.start, climbs=own.climbs, span=own.span
        )

    def _ascended(
        self,
        prior: TrainedPrior,
        tracks: Sequence[Track],
        *,
        start: str,
        climbs: Density,
        span: int,
    ) -> Sequence[_Positions]:
        by_filler = start in FILLERS
        return ascend(
            prior.network,
            cut_windows(prior.form, tracks, device=prior.device),
            start=_by_filler(start, tracks, prior) if by_filler else _reconstructed(prior, tracks),
            steps=self._config.steps,
            lr=self._config.rate,
            climbs=climbs,
            span=span,
        ).positions

    def spread(
        self, tracks: Sequence[Track], filled: Sequence[_Positions], addresses: Sequence[int]
    ) -> list[_Positions]:
        """Standard deviation T V in metres of what was filled, by posterior samples of the model.

        Args:
            tracks: What was measured.
            filled: The clips without gaps.
            addresses: Of the noise, one per clip.

        Raises:
            ValueError: There is no model.
        """
        if self.prior is None:
            raise ValueError("spread: expected a model, got none")
        found: list[_Positions] = []
        for some in _batches(tracks):
            part = slice(len(found), len(found) + len(some))
            found += spread(
                self.prior.network,
                cut_windows(self.prior.form, some, device=self.prior.device),
                filled=filled[part],
                addresses=addresses[part],
                seed=self._config.seed,
                samples=self._config.samples,
            )
        return found


def _reconstructed(prior: TrainedPrior, tracks: Sequence[Track]) -> list[_Positions]:
    return reconstruct(prior.network, cut_windows(prior.form, tracks, device=prior.device))


def _by_filler(
    method: str, tracks: Sequence[Track], prior: TrainedPrior | None
) -> list[_Positions]:
    means = [np.full_like(track.positions, np.nan) for track in tracks]
    root = 0
    if prior is not None:  # else there is nothing to put unseen joints on
        root = prior.form.layout.root
        asks = [method == "mean" or not t.observed.any(axis=0).all() for t in tracks]
        some = [n for n, needed in enumerate(asks) if needed]
        cut = cut_windows(prior.form, [tracks[n] for n in some]) if some else None
        for n, mean in zip(some, mean_motions(cut) if cut else [], strict=True):
            means[n] = mean
    return [
        FILLERS[method](track.positions, track.observed, mean, root=root)
        for track, mean in zip(tracks, means, strict=True)
    ]


def _batches(tracks: Sequence[Track]) -> Iterator[Sequence[Track]]:
    """The clips in order, some at a time, so that memory does not grow with their number."""
    some: list[Track] = []
    frames = 0
    for track in tracks:
        if some and frames + len(track.positions) > _FRAMES:
            yield some
            some, frames = [], 0
        some.append(track)
        frames += len(track.positions)
    if some:
        yield some
