"""The ways to fill gaps, by their names, some clips at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from skelaug.imputation.ascent import ascend
from skelaug.imputation.fillers import FILLERS
from skelaug.imputation.reconstruction import reconstruct
from skelaug.imputation.tracks import Track, cut_windows, mean_motions
from skelaug.imputation.uncertainty import spread
from skelaug.workflows.imputation_report import METHODS, ImputeConfig
from skelaug.workflows.motion_prior import TrainedPrior

__all__ = ["Completer", "has_spread", "needs_model"]

_Positions = NDArray[np.floating]

_WITHOUT_MODEL = ("hold", "linear", "cubic")
_FRAMES = 8192  # of the clips that are computed together


def needs_model(method: str) -> bool:
    """Whether a method takes a trained model; the mean is a model's training mean."""
    return method not in _WITHOUT_MODEL


def has_spread(method: str) -> bool:
    """Whether a model says itself how far such inventions may be off."""
    return method not in FILLERS


class Completer:
    """Fills the gaps of persons' clips.

    What becomes of a clip does not depend, but for rounding, on those that it shares a call with.

    Args:
        prior: The trained model; None leaves the methods that need none.
        config: Steps and rate of the ascent, samples, seed.

    Attributes:
        methods: Those that can be had, the simplest first.
    """

    def __init__(self, prior: TrainedPrior | None, config: ImputeConfig) -> None:
        self.prior, self._config = prior, config
        self.methods: tuple[str, ...] = tuple(
            m for m in METHODS if prior is not None or not needs_model(m)
        )

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
            return self._by_filler(method, tracks)
        assert self.prior is not None
        prior = self.prior
        network, cut = prior.network, cut_windows(prior.form, tracks, device=prior.device)
        if method == "reconstruction":
            return reconstruct(network, cut)
        is_papers = method == "ascent"  # from the training mean, by what its code calls posterior
        start = self._by_filler("mean", tracks) if is_papers else reconstruct(network, cut)
        return ascend(
            network,
            cut,
            start=start,
            steps=self._config.steps,
            lr=self._config.rate,
            climbs="log_posterior" if is_papers else "log_joint",
        ).positions

    def _by_filler(self, method: str, tracks: Sequence[Track]) -> list[_Positions]:
        means = [np.full_like(track.positions, np.nan) for track in tracks]
        root = 0
        if self.prior is not None:  # else there is nothing to put unseen joints on
            form = self.prior.form
            root = form.layout.root
            asks = [method == "mean" or not t.observed.any(axis=0).all() for t in tracks]
            some = [n for n, needed in enumerate(asks) if needed]
            cut = cut_windows(form, [tracks[n] for n in some]) if some else None
            for n, mean in zip(some, mean_motions(cut) if cut else [], strict=True):
                means[n] = mean
        return [
            FILLERS[method](track.positions, track.observed, mean, root=root)
            for track, mean in zip(tracks, means, strict=True)
        ]

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
