"""What imputation is worth to those who use the clips: a recognizer, and a forecast of the motion.

Appendix C of Bourached et al. in small.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from skelaug.data.splits import split_clips
from skelaug.data.store import Schema, SequenceFile, write_sequences
from skelaug.errors import DataError
from skelaug.imputation.tracks import Track
from skelaug.metrics.intervals import Interval, Share, interval_of, share_of
from skelaug.workflows import predict
from skelaug.workflows.completion_study import Fill
from skelaug.workflows.imputation_methods import Completer
from skelaug.workflows.imputation_report import ImputeConfig
from skelaug.workflows.motion_forecast import Forecaster
from skelaug.workflows.motion_prior import TrainedPrior
from skelaug.workflows.study_occlusions import OCCLUSIONS, occluded
from skelaug.workflows.study_windows import WholeWindow, whole_clips, whole_windows

__all__ = ["DownstreamRow", "DownstreamStudy", "downstream_methods", "recognised"]

SEEN, FUTURE = 50, 25


@dataclass(frozen=True)
class DownstreamRow:
    """What was made of clips in which something was hidden.

    Attributes:
        hidden: What.
        method: What it was filled with; empty where nothing was hidden.
        recognised: Share of the test clips that the recognizer names.
        forecast: Mean distance of the joints from where they were forecast, metres.
    """

    hidden: str
    method: str
    recognised: Share
    forecast: Interval


class DownstreamStudy:
    """A file, its split, a recognizer of the training clips, and a forecaster that they teach.

    Args:
        file: The clips.
        split: Whose training part was learnt; the others are tested.
        prior: Says what a body frame is, and the rate of the motions that are forecast.
        recognizer: Model of the training part.
        folder: Where completed clips are put for it.
        most: Of the test clips at most so many, evenly spread; None = all.

    Attributes:
        recognisable: Test clips for the recognizer.
        continued: Test motions of `SEEN` frames and `FUTURE` more.

    Raises:
        DataError: No clip is whole, or the model knows other joints.
        UsageError: The split is not understood.
    """

    def __init__(
        self,
        file: SequenceFile,
        split: str,
        *,
        prior: TrainedPrior,
        recognizer: Path,
        folder: Path,
        most: int | None = None,
    ) -> None:
        prior.check_clips(file.layout, file.channels, where=str(file.path))
        self._file, self._recognizer, self._folder = file, recognizer, folder
        parts = split_clips(file, split)
        train, test = parts.train.tolist(), parts.test.tolist()
        self.recognisable = whole_clips(file, test).spread(most)
        frames, fps = SEEN + FUTURE, prior.form.fps
        self.continued = whole_windows(file, test, frames=frames, fps=fps).spread(most)
        learnt = whole_windows(file, train, frames=frames, fps=fps)
        self._forecaster = Forecaster(learnt.tracks, prior.form, seen=SEEN)

    def rows(self, methods: Mapping[str, Fill], hidden: Sequence[str]) -> Iterator[DownstreamRow]:
        """First with nothing hidden, then each occlusion by each method.

        Args:
            methods: By name.
            hidden: Names of `OCCLUSIONS`.
        """
        whole = [track.positions for track in self.recognisable.tracks]
        yield self._row("nothing", "", whole, None)
        beginnings = replace(self.continued, windows=tuple(map(_beginning, self.continued)))
        for what in hidden:
            hide, layout = OCCLUSIONS[what], self._file.layout
            clips = occluded(self.recognisable, hide, layout)
            given = occluded(beginnings, hide, layout)
            for name, fill in methods.items():
                yield self._row(what, name, fill(clips), fill(given))

    def _row(
        self,
        hidden: str,
        method: str,
        clips: Sequence[NDArray[np.floating]],
        given: Sequence[NDArray[np.floating]] | None,
    ) -> DownstreamRow:
        numbers = [one.row for one in self.recognisable]
        return DownstreamRow(
            hidden=hidden,
            method=method,
            recognised=recognised(
                self._file,
                dict(zip(numbers, clips, strict=True)),
                recognizer=self._recognizer,
                scratch=self._folder / "completed.h5",
            ),
            forecast=interval_of(self._forecaster.errors(self.continued.tracks, given)),
        )


def downstream_methods(prior: TrainedPrior, config: ImputeConfig) -> dict[str, Fill]:
    """The training mean, interpolation, one pass of the model, and its ascent, by name."""
    completer = Completer(prior, config)
    names = ("mean", "linear", "cubic", "reconstruction", prior.kind)
    return {name: partial(completer.fill, name) for name in names}


def recognised(
    file: SequenceFile,
    clips: Mapping[int, NDArray[np.floating]],
    *,
    recognizer: Path,
    scratch: Path,
) -> Share:
    """The share of clips that a recognizer names, all of their joints taken as measured.

    Args:
        file: Whose clips they are, of one person each.
        clips: By their number in the file, positions T V 3 without gaps.
        recognizer: A model.
        scratch: Sequence file to write them to; replaced.

    Raises:
        DataError: A clip has no label, or the recognizer has no answer to it.
    """
    completed = (
        file[row].replaced(
            positions=positions[:, None].astype(np.float32),
            observed=np.ones((len(positions), 1, positions.shape[1]), dtype=np.bool_),
            confidence=None,
            keypoints=None,
        )
        for row, positions in clips.items()
    )
    schema = Schema(file.layout, file.classes)
    write_sequences(scratch, completed, schema, provenance=file.provenance)
    report = predict.run(predict.PredictConfig(data=scratch, models=(str(recognizer),)))
    if report.accuracy is None or report.clips != len(clips):
        raise DataError(
            f"{file.path}: expected labelled clips that {recognizer} can name, got an answer to "
            f"{report.clips} of {len(clips)}; check them with `skelaug predict`"
        )
    return share_of(np.arange(report.clips) < round(report.accuracy * report.clips))


def _beginning(one: WholeWindow) -> WholeWindow:
    track = one.track
    return WholeWindow(one.row, Track(track.positions[:SEEN], track.observed[:SEEN], track.fps))
