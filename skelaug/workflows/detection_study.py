"""Do the log-densities notice what is odd? Scores beside usual ones and beside clean ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skelaug.errors import DataError
from skelaug.imputation.tracks import Track
from skelaug.imputation.typicality import LogDensities, log_densities
from skelaug.metrics.detection import Auroc, auroc, below_band
from skelaug.metrics.intervals import Interval, Share, interval_of, share_of
from skelaug.workflows.clip_scores import FEWEST
from skelaug.workflows.motion_prior import TrainedPrior, UsualDensity
from skelaug.workflows.study_occlusions import OCCLUSIONS, occluded
from skelaug.workflows.study_windows import StudyWindows

__all__ = ["Case", "Detection", "cases", "detect", "usual_of"]


@dataclass(frozen=True, eq=False)
class Case:
    """Some clips that were scored.

    Attributes:
        what: What they are.
        hidden: Share of their joints that was hidden.
        scores: Their log-densities.
    """

    what: str
    hidden: float
    scores: LogDensities


def cases(
    prior: TrainedPrior, windows: StudyWindows, others: Mapping[str, StudyWindows]
) -> Iterator[Case]:
    """Clips as they are, with each of `OCCLUSIONS`, and other clips.

    Args:
        prior: Scores them.
        windows: The clips, whole.
        others: By their names clips that should look odd.
    """

    def case(what: str, tracks: Sequence[Track]) -> Case:
        hidden = float(np.mean([(~track.observed).mean() for track in tracks]))
        scores = log_densities(prior.network, prior.form, tracks, device=prior.device)
        return Case(what, hidden, scores)

    yield case("clean", windows.tracks)
    for what, hide in OCCLUSIONS.items():
        yield case(what, occluded(windows, hide, prior.form.layout))
    for what, there in others.items():
        yield case(what, there.tracks)


@dataclass(frozen=True)
class Detection:
    """What a band says of some clips.

    Attributes:
        below: Share of their scores below the band.
        deviations: How many standard deviations of the usual scores theirs lie above the usual
            mean; on average a clip leaves the band where the mean is below -1.
        clean: Area under the ROC curve of clean clips against these; None where none are given.
    """

    below: Share
    deviations: Interval
    clean: Auroc | None


def detect(
    scores: NDArray[np.float64],
    usual: UsualDensity,
    *,
    clean: NDArray[np.float64] | None = None,
) -> Detection:
    """What the band of usual scores, from one standard deviation below their mean, says of others.

    Args:
        scores: N.
        usual: What is usual.
        clean: Scores of clips that should be above these; None = there are none.
    """
    return Detection(
        below=share_of(below_band(scores, mean=usual.mean, std=usual.std)),
        deviations=interval_of((scores - usual.mean) / usual.std),
        clean=None if clean is None else auroc(clean, scores),
    )


def usual_of(scores: NDArray[np.float64], *, where: str) -> UsualDensity:
    """Mean and standard deviation of the scores of clips that are known to be good.

    Args:
        scores: N.
        where: Names them in an error message.

    Raises:
        DataError: They are fewer than `FEWEST`, or all of them score the same.
    """
    if len(scores) < FEWEST or not scores.std() > 0:
        raise DataError(
            f"{where}: expected at least {FEWEST} clips of different scores to say what is usual, "
            f"got {len(scores)}; give more clips"
        )
    return UsualDensity(float(scores.mean()), float(scores.std()), len(scores))
