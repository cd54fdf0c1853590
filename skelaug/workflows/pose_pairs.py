"""Noisy poses beside the true ones: where a refiner learns what noise there is, and is tested.

A pair is one person of one clip, both poses about the root. The noisy one comes from a second file
with clips of the same names, or is made of the true one by a noise model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from skelaug.data.store import SequenceFile
from skelaug.errors import DataError
from skelaug.files import require_file
from skelaug.imputation.windows import steps_between
from skelaug.skeleton.camera import check_normalised
from skelaug.skeleton.sequence import SkeletonSequence
from skelaug.workflows.drawn_errors import DrawnErrors, corrupted
from skelaug.workflows.refinement import known_keypoints

__all__ = [
    "NoisyClips",
    "PosePair",
    "corrupted_clips",
    "matching_clips",
    "pose_pairs",
    "thinned",
]


class PosePair(NamedTuple):
    """One person of one clip.

    Attributes:
        truth: T V 3, metres, relative to the root.
        noisy: T V 3, the same.
        keypoints: T V 2, normalised, or None.
        fps: Frames per second.
        action: The clip's class.
    """

    truth: NDArray[np.float32]
    noisy: NDArray[np.float32]
    keypoints: NDArray[np.float32] | None
    fps: float
    action: str


class NoisyClips(NamedTuple):
    """Where the noisy poses come from.

    Attributes:
        of: From a clip's place in the true file and the true clip to the noisy one; None where
            there is none.
        path: The file that decides them.
        has_keypoints: Whether 2D poses are known.
    """

    of: Callable[[int, SkeletonSequence], SkeletonSequence | None]
    path: Path
    has_keypoints: bool


def matching_clips(truth: SequenceFile, path: Path) -> NoisyClips:
    """The clips of another file with the names of the true ones.

    A clip has the 2D poses of the noisy file, or those of the true one.

    Raises:
        NotFoundError: There is no such file.
        DataError: It has other joints, no such clips, or clips of another length (when asked for).
    """
    noisy = SequenceFile(require_file(path))
    if noisy.layout.joints != truth.layout.joints or noisy.channels != 3:
        raise DataError(
            f"{path}: expected 3D clips of layout {truth.layout.name} as in {truth.path.name}, got "
            f"{noisy.layout.name} in {noisy.channels}D"
        )
    places = {name: row for row, name in enumerate(noisy.names)}
    if not any(name in places for name in truth.names):
        raise DataError(
            f"{path}: expected clips of the same names as in {truth.path.name}, got none, e.g. no "
            f"{truth.names[0]!r}"
        )

    def of(row: int, true: SkeletonSequence) -> SkeletonSequence | None:
        place = places.get(truth.names[row])
        if place is None:
            return None
        clip = thinned(noisy[place], true.fps)
        if clip.positions.shape != true.positions.shape or clip.fps != true.fps:
            raise DataError(
                f"{path}: clip {clip.name!r}: expected frames, persons, joints "
                f"{true.positions.shape[:3]} at {true.fps:g} per second as in {truth.path.name}, "
                f"got {clip.positions.shape[:3]} at {clip.fps:g}"
            )
        return clip if clip.keypoints is not None else clip.replaced(keypoints=true.keypoints)

    return NoisyClips(of, path, noisy.has_keypoints or truth.has_keypoints)


def corrupted_clips(truth: SequenceFile, errors: DrawnErrors, *, seed: int) -> NoisyClips:
    """The true clips with errors drawn from a noise model that was fitted elsewhere.

    Args:
        truth: The true clips.
        errors: What is added.
        seed: Decides the errors, one draw for each clip.
    """

    def of(row: int, true: SkeletonSequence) -> SkeletonSequence:
        return corrupted(true, errors, seed=seed, address=row)

    return NoisyClips(of, errors.path, truth.has_keypoints)


def thinned(clip: SkeletonSequence, fps: float) -> SkeletonSequence:
    """Every k-th frame of a clip, of a rate that is nearest to the wanted one."""
    stride = steps_between(clip.fps, fps)
    if stride == 1:
        return clip
    parts = ("positions", "observed", "confidence", "uncertainty", "keypoints")
    arrays = {name: getattr(clip, name) for name in parts}
    kept = {name: array[::stride] for name, array in arrays.items() if array is not None}
    return clip.replaced(fps=clip.fps / stride, **kept)


def pose_pairs(
    truth: SequenceFile,
    rows: Sequence[int],
    noisy: NoisyClips,
    *,
    with_keypoints: bool,
    fps: float | None = None,
) -> Iterator[PosePair | None]:
    """For each person of some clips the pair, or None where something of it is missing.

    Args:
        truth: The true clips.
        rows: Their places in the file.
        noisy: The noisy ones.
        with_keypoints: Whether 2D poses are wanted; a joint that is undetected for a while is put
            between its neighbours in time.
        fps: Of clips of a higher rate only every k-th frame is taken; None takes all.

    Raises:
        DataError: 2D poses are in pixels.
    """
    root = truth.layout.root
    for row in rows:
        true = truth[int(row)]
        true = true if fps is None else thinned(true, fps)
        other = noisy.of(int(row), true)
        for slot in np.flatnonzero(true.present).tolist():
            if other is None:
                yield None
                continue
            both = [clip.positions[:, slot] for clip in (true, other)]
            keypoints = None
            if with_keypoints and other.keypoints is not None:
                keypoints = known_keypoints(other.keypoints[:, slot])
            if not np.isfinite(both).all() or (with_keypoints and keypoints is None):
                yield None
                continue
            if keypoints is not None:
                check_normalised(keypoints, where=f"{noisy.path}: clip {true.name!r}")
            x0, xn = (poses - poses[:, [root]] for poses in both)
            yield PosePair(x0, xn, keypoints, true.fps, true.label)
