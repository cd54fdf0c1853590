"""What a trained lifter is worth on the test part: MPJPE and P-MPJPE by action."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skelaug.metrics.pose_error import mean_over_actions, mpjpe, p_mpjpe
from skelaug.progress import Progress
from skelaug.seeds import Stream, numpy_generator
from skelaug.workflows.lifter import TrainedLifter
from skelaug.workflows.lifter_input import KeypointNoiseConfig
from skelaug.workflows.lifter_windows import filmed_file, root_relative, whole_stretches
from skelaug.workflows.training_clips import TrainingClips

__all__ = ["scores_on_test_part"]

_METRICS = ("mpjpe_mm", "p_mpjpe_mm")


def scores_on_test_part(
    clips: TrainingClips,
    lifter: TrainedLifter,
    noise: KeypointNoiseConfig,
    *,
    seed: int,
    progress: Progress,
) -> dict[str, Any]:
    """The errors on the test part, in mm; empty where there is none.

    Every frame of an action counts alike, and every action in their mean.

    Args:
        clips: Whose test part it is.
        lifter: The finished model.
        noise: The errors of a detector that are drawn onto the keypoints first.
        seed: Decides these.
        progress: Shows the clips.

    Returns:
        ``mpjpe_mm``, ``p_mpjpe_mm``, ``frames``, and the same by action under ``actions``.
    """
    sums: dict[str, NDArray[np.float64]] = {}
    rows = clips.split.test
    with progress("testing", total=len(rows)) as advance:
        for row in rows.tolist():
            for action, errors in _errors(clips, row, lifter, noise, seed=seed):
                sums[action] = sums.get(action, np.zeros(3)) + errors
            advance(1)
    if not sums:
        return {}
    actions = {
        name: {
            **{metric: float(own[1 + k] / own[0]) for k, metric in enumerate(_METRICS)},
            "frames": int(own[0]),
        }
        for name, own in sums.items()
    }
    means = {m: mean_over_actions({k: own[m] for k, own in actions.items()}) for m in _METRICS}
    return {**means, "frames": sum(int(own[0]) for own in sums.values()), "actions": actions}


def _errors(
    clips: TrainingClips,
    row: int,
    lifter: TrainedLifter,
    noise: KeypointNoiseConfig,
    *,
    seed: int,
) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Action, and frames with the sums of both errors over them, for stretches of a clip."""
    file = filmed_file(clips)
    clip, root = file[row], file.layout.root
    where = f"{file.path}: clip {clip.name!r}"
    for number, (seen, true) in enumerate(whole_stretches(clip, where=where)):
        chance = numpy_generator(seed, Stream.EVALUATE, row, number)
        drawn = noise.drawn(seen, file.layout, fps=clip.fps, numbers=chance)
        poses, truth = lifter.lift(drawn, clip.fps), root_relative(true, root)
        off = mpjpe(poses, truth, root=root), p_mpjpe(poses, truth)
        yield clip.label or "(no label)", np.array([len(poses), *(one.sum() for one in off)])
