"""How long the bones of the performers of a file are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from skelaug.data.store import SequenceFile
from skelaug.progress import Progress, silent
from skelaug.refinement.filters import butterworth
from skelaug.skeleton.geometry import bone_lengths
from skelaug.skeleton.sequence import UNKNOWN, SkeletonSequence

__all__ = ["lone_performer", "performer_bones"]


def lone_performer(clip: SkeletonSequence) -> int:
    """The number of a clip's performer; unknown where more persons are in it."""
    return clip.subject if int(clip.present.sum()) == 1 else UNKNOWN


def performer_bones(
    file: SequenceFile, *, progress: Progress = silent
) -> Mapping[int, NDArray[np.float64]]:
    """By number of the performer the lengths of the bones, V - 1 in metres, over all their clips.

    The median of the clips' medians, after a low pass: noise that changes from frame to frame makes
    bones longer. A clip with gaps, or of more persons, does not count.

    Args:
        file: 3D clips; all of them are read.
        progress: Shows the clips.
    """
    found: dict[int, list[NDArray[np.float64]]] = defaultdict(list)
    with progress("measuring bones", total=len(file)) as advance:
        for clip in file:
            advance(1)
            subject = lone_performer(clip)
            positions = clip.positions[:, int(clip.present.argmax())]
            if subject == UNKNOWN or not np.isfinite(positions).all():
                continue
            smooth = butterworth(positions, clip.fps)
            found[subject].append(np.median(bone_lengths(smooth, file.layout), axis=0))
    return {subject: np.median(each, axis=0) for subject, each in found.items()}
