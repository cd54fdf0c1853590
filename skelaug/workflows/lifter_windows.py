"""The windows that a lifter learns from: 2D poses and, relative to the root, the 3D ones.

A track is a stretch of frames in which a person's 3D pose is whole and the gaps of the 2D pose are
short. The tracks of the training part lie one after the other in ``RUN/motions.h5``, so that memory
stays flat in the number of clips.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, PositiveInt
from torch import Tensor

from skelaug.data.store import SequenceFile
from skelaug.errors import DataError
from skelaug.files import replacing_hdf5
from skelaug.imputation.windows import steps_between
from skelaug.place import Place
from skelaug.progress import Progress, silent
from skelaug.seeds import Stream, numpy_generator
from skelaug.skeleton.camera import check_normalised
from skelaug.skeleton.layout import SkeletonLayout
from skelaug.skeleton.sequence import SkeletonSequence
from skelaug.workflows.lifter_input import KeypointNoiseConfig, filled_keypoints, longest_gap
from skelaug.workflows.training_clips import TrainingClips

__all__ = [
    "LifterWindowConfig",
    "LifterWindows",
    "filmed_file",
    "lifter_windows",
    "root_relative",
    "stand_in_lifter_windows",
    "whole_stretches",
    "windows_of",
]

_LONGEST_GAP = 0.5  # seconds
_STAND_IN_FRAMES = 300
_CHUNK = 64


class LifterWindowConfig(BaseModel, frozen=True, extra="forbid"):
    """What the lifter sees of a clip.

    Attributes:
        frames: Frames of a window; a shorter clip's last frame is repeated.
        hop: Frames between the windows of a clip that count for one epoch; None = `frames`.
        draws: How often the errors of a detector are drawn for each clip.
    """

    frames: PositiveInt = 27
    hop: PositiveInt | None = None
    draws: PositiveInt = 1

    @property
    def step(self) -> int:
        """The frames between windows."""
        return self.hop or self.frames


def windows_of(
    lengths: NDArray[np.int64], strides: NDArray[np.int64], config: LifterWindowConfig
) -> NDArray[np.int64]:
    """How many windows of tracks count for an epoch, for tracks of so many frames, K."""
    steps = -(-lengths // strides)
    return np.asarray(1 + np.maximum(steps - config.frames, 0) // config.step, dtype=np.int64)


def root_relative(positions: NDArray[np.floating], root: int) -> NDArray[np.float32]:
    """Positions ... V 3 about their root, which is moved to the origin."""
    return np.asarray(positions - positions[..., [root], :], dtype=np.float32)


@dataclass(frozen=True, eq=False)
class LifterWindows:
    """The tracks of the training part, and how windows are made of them.

    Attributes:
        clips: Where they come from.
        config: Length and density of the windows.
        layout: The joints.
        keypoints: D F V 2, the frames of all tracks, once for each draw of a detector's errors.
        poses: F V 3, metres, about the root.
        tracks: Start, number of frames and stride of each, K 3.
        clip: Number of each track's clip within the training part, K.
    """

    clips: TrainingClips
    config: LifterWindowConfig
    layout: SkeletonLayout
    keypoints: NDArray[np.float32]
    poses: NDArray[np.float32]
    tracks: NDArray[np.int64]
    clip: NDArray[np.int64]

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """Windows of each track in an epoch, K."""
        return windows_of(self.tracks[:, 1], self.tracks[:, 2], self.config)

    def rows(
        self,
        numbers: NDArray[np.int64],
        among: NDArray[np.int64],
        moved: NDArray[np.float64] | None = None,
    ) -> NDArray[np.int64]:
        """The frame numbers of windows, N T.

        Args:
            numbers: Of the windows, counted through the tracks.
            among: The tracks that are counted.
            moved: By what share of the way to the next one each window begins later, N, in [0, 1);
                None = none. It never leaves its track for that.
        """
        ends = np.cumsum(self.counts[among])
        place = np.searchsorted(ends, numbers, side="right")
        start, length, stride = self.tracks[among[place]].T
        hop = self.config.step * stride
        first = (numbers - (ends - self.counts[among])[place]) * hop
        if moved is not None:
            first = first + np.floor(moved * hop).astype(np.int64)
        latest = np.maximum(length - 1 - stride * (self.config.frames - 1), 0)
        steps = stride[:, None] * np.arange(self.config.frames)
        within = np.minimum(np.minimum(first, latest)[:, None] + steps, length[:, None] - 1)
        return np.asarray(start[:, None] + within, dtype=np.int64)

    def read(self, rows: NDArray[np.int64], draw: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Keypoints N T V 2 of a draw each, N, and poses N T V 3 of windows, N T."""
        return (
            torch.from_numpy(self.keypoints[draw[:, None], rows]),
            torch.from_numpy(self.poses[rows]),
        )

    def spread(self, among: NDArray[np.int64], most: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Up to so many windows of tracks, evenly spread, as they are, some at a time."""
        total = int(self.counts[among].sum())
        chosen = np.unique(np.linspace(0, total - 1, min(most, total)).astype(np.int64))
        for begin in range(0, len(chosen), _CHUNK):
            some = chosen[begin : begin + _CHUNK]
            yield self.read(self.rows(some, among), some % len(self.keypoints))

    def parts(self, share: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The tracks that teach and those that only judge.

        The views of one motion stay together: clips are named ``MOTION/C1``, ``MOTION/C2`` ...

        Args:
            share: Of the motions that judge.
            seed: Decides which.
        """
        names = [self.clips.file.names[row].rsplit("/C", 1)[0] for row in self.clips.rows]
        motions, own = np.unique(np.array(names)[self.clip], return_inverse=True)
        order = numpy_generator(seed, Stream.SPLIT).permutation(len(motions))
        held = np.isin(own, order[: round(share * len(motions))])
        return np.flatnonzero(~held), np.flatnonzero(held)

    def facts(self) -> dict[str, Any]:
        """What a checkpoint says about the form of its input; plain JSON values."""
        return {
            "lifter": {
                "frames": self.config.frames,
                "fps": self.clips.fps,
                "root": self.layout.root,
                "keypoints": "normalised",
            },
            "unlabelled": self.clips.unlabelled,
        }


def filmed_file(clips: TrainingClips) -> SequenceFile:
    """The sequence file of the training clips, which have 2D and 3D poses.

    Raises:
        DataError: They have not.
    """
    file = clips.file
    if not isinstance(file, SequenceFile) or file.channels != 3 or not file.has_keypoints:
        got = "3D poses alone"
        if not isinstance(file, SequenceFile):
            got = "images"
        elif file.channels != 3:
            got = f"{file.channels} coordinates per joint"
        raise DataError(
            f"{file.path}: expected clips with 3D poses and the 2D poses of their camera, got "
            f"{got}; convert Human3.6M or HumanEva with `skelaug convert`"
        )
    return file


def lifter_windows(
    clips: TrainingClips,
    config: LifterWindowConfig,
    noise: KeypointNoiseConfig,
    *,
    seed: int,
    cache: Path,
    place: Place,
    progress: Progress = silent,
) -> LifterWindows:
    """The windows of the training clips; the first process writes their tracks, all map them.

    Raises:
        DataError: No frame has 2D and 3D poses, or the 2D ones are in pixels.
    """
    file = filmed_file(clips)
    draws = config.draws if noise.share else 1
    if place.is_first:
        _write(clips, file, noise, draws=draws, seed=seed, cache=cache, progress=progress)
    place.wait()
    with h5py.File(cache, "r") as made:
        keypoints, poses = (
            np.memmap(cache, np.float32, "r", made[name].id.get_offset(), made[name].shape)
            for name in ("keypoints", "poses")
        )
        tracks, clip = made["tracks"][:], made["clip"][:]
    return LifterWindows(clips, config, file.layout, keypoints, poses, tracks, clip)


def _write(
    clips: TrainingClips,
    file: SequenceFile,
    noise: KeypointNoiseConfig,
    *,
    draws: int,
    seed: int,
    cache: Path,
    progress: Progress,
) -> None:
    tracks: list[tuple[int, int, int]] = []
    numbers: list[int] = []
    joints, rows = file.layout.num_joints, 0
    most = int(file.lengths[clips.rows].sum()) * file.persons
    with replacing_hdf5(cache) as made, progress("preparing", total=len(clips.rows)) as advance:
        keypoints = made.create_dataset("keypoints", (draws, most, joints, 2), dtype=np.float32)
        poses = made.create_dataset("poses", (most, joints, 3), dtype=np.float32)
        keypoints[:, :0], poses[:0] = 0, 0  # contiguous datasets have their place from now on
        for number, row in enumerate(clips.rows.tolist()):
            clip = file[row]
            stride = steps_between(clip.fps, clips.fps)
            for seen, true in whole_stretches(clip, where=f"{file.path}: clip {clip.name!r}"):
                span = slice(rows, rows + len(seen))
                poses[span] = root_relative(true, file.layout.root)
                for draw in range(draws):
                    chance = numpy_generator(seed, Stream.VARIATION, draw, row, len(tracks))
                    keypoints[draw, span] = noise.drawn(
                        seen, file.layout, fps=clip.fps, numbers=chance
                    )
                tracks.append((rows, len(seen), stride))
                numbers.append(number)
                rows += len(seen)
            advance(1)
        if not tracks:
            raise DataError(
                f"{file.path}: expected training clips with whole 2D and 3D poses, got none; look "
                f"at it with `skelaug info`"
            )
        made["tracks"], made["clip"] = np.array(tracks), np.array(numbers)


def whole_stretches(
    clip: SkeletonSequence, *, where: str
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """The 2D and 3D poses, T V 2 and T V 3, of the stretches of a clip where both are known.

    Args:
        clip: With keypoints; gaps of them up to half a second are closed.
        where: The clip, for messages.

    Raises:
        DataError: The 2D poses are in pixels.
    """
    assert clip.keypoints is not None
    check_normalised(clip.keypoints, where=where)
    most = round(_LONGEST_GAP * clip.fps)
    for person in np.flatnonzero(clip.present):
        true, seen = clip.positions[:, person], clip.keypoints[:, person]
        is_whole = clip.observed[:, person].all(axis=-1) & np.isfinite(true).all(axis=(1, 2))
        edges = np.flatnonzero(np.diff(np.concatenate([[0], is_whole.astype(np.int8), [0]])))
        for begin, end in edges.reshape(-1, 2):
            missing = np.asarray(~np.isfinite(seen[begin:end]).all(axis=-1), dtype=np.bool_)
            if longest_gap(missing) <= most and not missing.all(axis=0).any():
                filled = filled_keypoints(seen[begin:end], most=most, where=where)
                yield filled, true[begin:end]


def stand_in_lifter_windows(clips: TrainingClips, config: LifterWindowConfig) -> LifterWindows:
    """One random track for every clip, for measuring speed before anything is written."""
    layout, numbers = filmed_file(clips).layout, np.random.default_rng(0)
    shape = (_STAND_IN_FRAMES, layout.num_joints)
    return LifterWindows(
        clips=clips,
        config=config,
        layout=layout,
        keypoints=numbers.uniform(-1, 1, (1, *shape, 2)).astype(np.float32),
        poses=numbers.standard_normal((*shape, 3), dtype=np.float32),
        tracks=np.tile(np.array([0, _STAND_IN_FRAMES, 1]), (len(clips.rows), 1)),
        clip=np.arange(len(clips.rows)),
    )
