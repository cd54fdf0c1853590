"""What a refiner is worth on the test part, beside the linear corrector and every filter."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skelaug.metrics.pose_error import mean_over_actions, mpjpe, p_mpjpe
from skelaug.progress import Progress
from skelaug.refinement.filters import FILTERS
from skelaug.workflows.noise_file import NoiseFile
from skelaug.workflows.pose_pairs import PosePair
from skelaug.workflows.refinement import Corrector, PoseTrack, filtering, rigidly
from skelaug.workflows.refiner import TrainedRefiner, correcting, refining

__all__ = ["rival_correctors", "tested"]

_TRIED_STEPS = (1, 2, 5)
_METRICS = ("mpjpe", "p_mpjpe")


def rival_correctors(refiner: TrainedRefiner, noise: NoiseFile) -> dict[str, Corrector]:
    """What is compared: the noisy poses, the filters, the linear corrector, the refiner by K.

    The best of the filters and the refiner come with rigid bones as well.
    """
    layout, own = refiner.layout, refiner.form.steps
    steps = [k for k in _TRIED_STEPS if k <= refiner.form.diffusion_steps]
    if own not in steps:
        steps.append(own)
    return {
        "noisy": lambda tracks: [track.poses for track in tracks],
        **{name: filtering(name) for name in FILTERS},
        "butterworth, rigid bones": rigidly(filtering("butterworth"), layout),
        "linear-corrector": correcting(noise),
        **{f"diffusion, K = {k}": refining(refiner, steps=k) for k in sorted(steps)},
        f"diffusion, K = {own}, rigid bones": rigidly(refining(refiner, steps=own), layout),
    }


def tested(
    pairs: Iterable[PosePair | None],
    correctors: Mapping[str, Corrector],
    *,
    root: int,
    total: int,
    progress: Progress,
) -> dict[str, Any]:
    """MPJPE and P-MPJPE in mm of each corrector: by action, and the mean over actions.

    Args:
        pairs: The test part; what is None counts as left out.
        correctors: By name.
        root: Index of the root.
        total: Pairs, for the progress.
        progress: Shows them.

    Returns:
        ``clips``, ``frames``, ``left_out`` and ``methods``, by name ``mpjpe``, ``p_mpjpe`` and
        ``actions``, by action the two; empty where there is no pair.
    """
    sums: dict[str, dict[str, NDArray[np.float64]]] = {
        name: defaultdict(lambda: np.zeros(2)) for name in correctors
    }
    frames: dict[str, int] = defaultdict(int)
    clips = left_out = 0
    with progress("testing", total=total) as advance:
        for number, pair in enumerate(pairs):
            advance(1)
            if pair is None:
                left_out += 1
                continue
            clips, track = clips + 1, PoseTrack(pair.noisy, pair.keypoints, pair.fps, number)
            frames[pair.action] += len(pair.truth)
            for name, correct in correctors.items():
                (poses,) = correct([track])
                errors = mpjpe(poses, pair.truth, root=root), p_mpjpe(poses, pair.truth)
                sums[name][pair.action] += [error.sum() for error in errors]
    if not clips:
        return {}
    return {
        "clips": clips,
        "frames": sum(frames.values()),
        "left_out": left_out,
        "methods": {name: _means(by_action, frames) for name, by_action in sums.items()},
    }


def _means(sums: Mapping[str, NDArray[np.float64]], frames: Mapping[str, int]) -> dict[str, Any]:
    actions = {
        action: dict(zip(_METRICS, (sums[action] / count).tolist(), strict=True))
        for action, count in frames.items()
    }
    over = {
        metric: mean_over_actions({action: own[metric] for action, own in actions.items()})
        for metric in _METRICS
    }
    return {**over, "actions": actions}
