"""How far methods of imputation are off where something was hidden, and how smooth they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np
from numpy.typing import NDArray

from skelaug.imputation.tracks import Track
from skelaug.metrics.intervals import Interval
from skelaug.metrics.paired import ratio_of_means
from skelaug.metrics.root_mean_square import RootMeanSquare, root_mean_square
from skelaug.skeleton.layout import SkeletonLayout
from skelaug.workflows.imputation_methods import Completer
from skelaug.workflows.imputation_report import ImputeConfig
from skelaug.workflows.motion_prior import TrainedPrior
from skelaug.workflows.study_occlusions import Hide, occluded
from skelaug.workflows.study_windows import StudyWindows

__all__ = ["WITHOUT_NETWORK", "Completion", "Completions", "Fill", "completions", "rivals"]

Fill = Callable[[Sequence[Track]], Sequence[NDArray[np.floating]]]
"""From tracks with gaps to positions T V 3 without."""

WITHOUT_NETWORK = ("mean", "hold", "linear", "cubic")
"""Methods that ask nothing of a model but, of the first, its training mean."""


def rivals(prior: TrainedPrior, config: ImputeConfig) -> dict[str, Fill]:
    """Ways to fill gaps, by name: `WITHOUT_NETWORK`, one pass of the model, and its ascents.

    An ascent starts from the training mean or from what one pass rebuilds, and climbs the
    log-posterior or the log-joint of `skelaug.imputation.prior.WindowDensities`. The published
    one climbs the log-posterior from the mean, each entry by itself; in the others entries of
    neighbouring frames move together.

    Args:
        prior: The model.
        config: Steps and rate of the ascents.
    """
    completer = Completer(prior, config)
    named = (*WITHOUT_NETWORK, "reconstruction")
    found: dict[str, Fill] = {name: partial(completer.fill, name) for name in named}
    for start, climbs in product(("mean", "reconstruction"), ("posterior", "joint")):
        own = Completer(prior, config.model_copy(update={"start": start, "climbs": climbs}))
        found[f"log-{climbs} from the {start}"] = partial(own.fill, prior.checkpoint.kind)
    found["log-posterior from the mean"] = partial(completer.fill, "ascent")
    return found


@dataclass(frozen=True, eq=False)
class Completion:
    """What a method made of what was hidden, or the truth itself.

    Attributes:
        errors: Squared error of each clip, summed over the hidden coordinates, square metres, N.
        accelerations: Squared acceleration of each clip, summed over the bends, m^2/s^4, N.
    """

    errors: NDArray[np.float64]
    accelerations: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Completions:
    """What methods made of occluded clips. All persons of a clip count together.

    A bend is a joint in three frames in a row of which at least one was hidden, so that the seams
    of a gap count too. Its acceleration is |x(t-1) - 2 x(t) + x(t+1)| times the square of the rate.

    Attributes:
        hidden: Coordinates that were hidden of each clip, N.
        bends: Bends of each clip, N.
        truth: The clips as they were.
        methods: What each method made of them.
    """

    hidden: NDArray[np.int64]
    bends: NDArray[np.int64]
    truth: Completion
    methods: Mapping[str, Completion]

    def decrease(self, method: str, *, against: str) -> Interval:
        """By which share the squared error differs from that of another method; below 0 = less."""
        ratio = ratio_of_means(self.methods[method].errors, self.methods[against].errors)
        return Interval(ratio.mean - 1, ratio.half_width, ratio.count)

    def error(self, method: str) -> RootMeanSquare:
        """Root mean square error per hidden coordinate, metres."""
        return root_mean_square(self.methods[method].errors, self.hidden)

    def acceleration(self, method: str | None = None) -> RootMeanSquare:
        """Root mean square acceleration of a joint in the bends, m/s^2; None = of the truth."""
        made = self.truth if method is None else self.methods[method]
        return root_mean_square(made.accelerations, self.bends)


def completions(
    methods: Mapping[str, Fill],
    windows: StudyWindows,
    hide: Hide,
    layout: SkeletonLayout,
    *,
    seed: int = 0,
) -> Completions:
    """Hide, fill, and compare.

    Args:
        methods: What is compared, by name.
        windows: Whole stretches.
        hide: What is hidden of them.
        layout: Of their joints.
        seed: Of what is hidden.
    """
    tracks = occluded(windows, hide, layout, seed=seed)
    gaps = [~track.observed for track in tracks]
    bent = [_touched(gone) for gone in gaps]
    truth = [whole.positions.astype(np.float64) for whole in windows.tracks]
    _, clip = np.unique([one.row for one in windows], return_inverse=True)

    def per_clip(values: Sequence[float]) -> NDArray[np.float64]:
        return np.bincount(clip, weights=values).astype(np.float64)

    def judged(filled: Sequence[NDArray[np.floating]]) -> Completion:
        errors = [
            float(np.square(x[gone] - known[gone]).sum())
            for x, known, gone in zip(filled, truth, gaps, strict=True)
        ]
        bends = [
            float(_squared_accelerations(x, track.fps)[where].sum())
            for x, track, where in zip(filled, tracks, bent, strict=True)
        ]
        return Completion(per_clip(errors), per_clip(bends))

    return Completions(
        hidden=per_clip([3 * int(gone.sum()) for gone in gaps]).astype(np.int64),
        bends=per_clip([int(where.sum()) for where in bent]).astype(np.int64),
        truth=judged(truth),
        methods={name: judged(fill(tracks)) for name, fill in methods.items()},
    )


def _touched(gone: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The bends, T-2 V, of hidden joints T V."""
    return gone[:-2] | gone[1:-1] | gone[2:]


def _squared_accelerations(positions: NDArray[np.floating], fps: float) -> NDArray[np.float64]:
    """Of each joint in each inner frame, T-2 V, m^2/s^4."""
    bends = np.diff(positions.astype(np.float64), n=2, axis=0)
    squares: NDArray[np.float64] = np.square(bends).sum(axis=-1) * fps**4
    return squares
