"""A lifter and its folds: no clip is lifted by a model that learnt from its performer.

On the clips that a lifter learnt from it errs less than on others, so that a model of its errors
that is fitted there promises too much. With folds, each trained without some of the performers,
those clips have the errors of clips that no model has seen (cross-fitting).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from skelaug.data.splits import HasClips, split_clips
from skelaug.errors import DataError, UsageError
from skelaug.workflows.lifter import TrainedLifter

__all__ = ["LifterFolds", "lifter_folds"]


@dataclass(frozen=True, eq=False)
class LifterFolds:
    """Which lifter is asked for which clip.

    Attributes:
        lifters: The model, then its folds.
        chosen: Of every clip of the file the place of its lifter in `lifters`.
    """

    lifters: tuple[TrainedLifter, ...]
    chosen: tuple[int, ...]

    def of(self, row: int) -> TrainedLifter:
        """The lifter of a clip."""
        return self.lifters[self.chosen[row]]


def lifter_folds(
    clips: HasClips, model: TrainedLifter, folds: Sequence[TrainedLifter], *, where: str
) -> LifterFolds:
    """Give each clip that the model learnt from to a fold that does not know its performer.

    Args:
        clips: Their names and performers.
        model: Lifts the clips that it did not learn from.
        folds: Each trained without some of the model's performers; none: all clips to the model.
        where: The file, for messages.

    Raises:
        UsageError: The model was trained on all clips of its file, whichever these were.
        DataError: The performer of a clip is unknown, or every fold knows him.
    """
    chosen = [0] * len(clips.names)
    if folds:
        for lifter in folds:
            if lifter.layout.joints != model.layout.joints:
                raise DataError(
                    f"--fold {lifter.name}: expected layout {model.layout.name} as in "
                    f"{model.name}, got {lifter.layout.name}"
                )
        rule = model.checkpoint.meta.get("split", {}).get("rule", "")
        if not rule:
            raise UsageError(
                f"--fold: expected a model with a training part, but {model.name} was trained on "
                f"all clips of its file; train it with --split RULE"
            )
        known = [frozenset(fold.checkpoint.meta.get("subjects", ())) for fold in folds]
        for row in split_clips(clips, rule).train.tolist():
            chosen[row] = 1 + _stranger(int(clips.subjects[row]), known, where, clips.names[row])
    return LifterFolds((model, *folds), tuple(chosen))


def _stranger(subject: int, known: Sequence[frozenset[int]], where: str, name: str) -> int:
    """The first fold that does not know a performer."""
    if subject < 0:
        raise DataError(
            f"{where}: clip {name!r}: expected a known performer, got none; lift without --fold"
        )
    strangers = np.flatnonzero([subject not in some for some in known])
    if not strangers.size:
        raise DataError(
            f"{where}: expected a fold without subject {subject}, got folds that all learnt from "
            f"it; train one on the others and add it with --fold"
        )
    return int(strangers[0])
