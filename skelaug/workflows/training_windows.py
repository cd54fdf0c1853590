"""The windows that a model of motion learns from: read from tracks, varied, in body frames.

A track is one person of one training clip, see `skelaug.workflows.window_cache`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, Field, PositiveFloat, PositiveInt
from torch import Tensor

from skelaug.imputation.body_frame import fit_body_frames
from skelaug.imputation.windows import WindowForm
from skelaug.skeleton.layout import SkeletonLayout
from skelaug.workflows.training_clips import TrainingClips

__all__ = [
    "TrainingWindows",
    "VariationConfig",
    "WindowBatch",
    "WindowConfig",
    "windows_in",
]

_CHUNK = 256


class WindowConfig(BaseModel, frozen=True, extra="forbid"):
    """What the model sees of a clip.

    Attributes:
        frames: Frames of a window.
        fps: Their rate; clips of a higher rate are read in strides.
        hop: Frames between the windows of a clip that count for one epoch.
    """

    frames: PositiveInt = 50
    fps: PositiveFloat = 30.0
    hop: PositiveInt = 5


class VariationConfig(BaseModel, frozen=True, extra="forbid"):
    """How training windows are varied; 0 leaves them as they are.

    Position, direction and size are no part of a window, so that they need no variation.

    Attributes:
        mirror: Share of the windows that are mirrored; none where the layout has no mirror images.
        tempo: Largest relative change of the tempo; half of the windows keep theirs.
    """

    mirror: float = Field(default=0.0, ge=0.0, le=1.0)
    tempo: float = Field(default=0.0, ge=0.0, lt=1.0)


class WindowBatch(NamedTuple):
    """Windows as a network takes them, N nodes T each.

    Attributes:
        x: The windows, standardised, gaps filled.
        known: What was measured, and is to be learnt.
        seen: What the encoder is shown.
        shown: x as far as that is, see `WindowForm.shown`.
    """

    x: Tensor
    known: Tensor
    seen: Tensor
    shown: Tensor


def windows_in(
    frames: NDArray[np.int64], strides: NDArray[np.int64], config: WindowConfig
) -> NDArray[np.int64]:
    """How many windows of a clip count for an epoch, for clips of so many frames, N."""
    steps = -(-frames // strides)
    return np.asarray(1 + np.maximum(steps - config.frames, 0) // config.hop, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class TrainingWindows:
    """The tracks of the training part, and how windows are made of them.

    Attributes:
        clips: Where they come from.
        config: Length, rate and density of the windows.
        form: What a window is; fitted on the tracks.
        positions: F V 3, the frames of all tracks, metres, gaps filled.
        observed: F V.
        tracks: Start, number of frames and stride of each, K 3.
        clip: Number of each track's clip within the training part, K.
    """

    clips: TrainingClips
    config: WindowConfig
    form: WindowForm
    positions: NDArray[np.float32]
    observed: NDArray[np.bool_]
    tracks: NDArray[np.int64]
    clip: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.tracks)

    @property
    def layout(self) -> SkeletonLayout:
        """The joints."""
        return self.form.layout

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """Windows of each track in an epoch, K."""
        return windows_in(self.tracks[:, 1], self.tracks[:, 2], self.config)

    def located(
        self, numbers: NDArray[np.int64], among: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Track and first step of windows.

        Args:
            numbers: Of the windows, counted through the tracks.
            among: The tracks that are counted.
        """
        ends = np.cumsum(self.counts[among])
        place = np.searchsorted(ends, numbers, side="right")
        track = among[place]
        within = numbers - (ends - self.counts[among])[place]
        return track, within * self.config.hop

    def times(
        self,
        track: NDArray[np.int64],
        first: NDArray[np.int64],
        config: VariationConfig,
        numbers: torch.Generator | None,
    ) -> NDArray[np.float64]:
        """The times in frames, N T, at which windows read their tracks.

        Each window is moved by up to a hop, to a random phase of its track's stride, and read at
        another tempo. Times beyond an end of the track are mirrored at it. Without a generator
        nothing is moved.

        Args:
            track: N.
            first: First step of each window, N.
            config: Says how much the tempo changes.
            numbers: Where chance comes from.
        """
        _, length, stride = self.tracks[track].T
        last = np.maximum(-(-length // stride) - self.config.frames, 0)
        start, phase, pace = np.minimum(first, last).astype(np.float64), 0.0, np.ones(len(track))
        if numbers is not None:
            moved, shifted, tempo, is_kept = torch.rand(
                (4, len(track)), generator=numbers, dtype=torch.float64
            ).numpy()
            start = np.minimum(first + np.floor(moved * self.config.hop), last)
            phase = np.floor(shifted * np.minimum(stride, length))
            pace = np.where(is_kept < 0.5, 1.0, 1 + config.tempo * (2 * tempo - 1))
        steps = start[:, None] + pace[:, None] * np.arange(self.config.frames)
        return _folded(stride[:, None] * steps + np.reshape(phase, (-1, 1)), length[:, None])

    def read(self, track: NDArray[np.int64], times: NDArray[np.float64]) -> tuple[Tensor, Tensor]:
        """Positions N T V 3 and what was observed, N T V, at times of tracks, linear in between."""
        start, length, _ = self.tracks[track].T
        before = times.astype(np.int64)
        after = np.minimum(before + 1, length[:, None] - 1)
        weight = torch.from_numpy(times - before).float()[..., None, None]
        rows = [start[:, None] + place for place in (before, after)]
        x0, x1 = (torch.from_numpy(self.positions[row]) for row in rows)
        o0, o1 = (torch.from_numpy(self.observed[row]) for row in rows)
        return torch.lerp(x0, x1, weight), o0 & (o1 | (weight[..., 0] == 0))

    def batch(
        self, positions: Tensor, observed: Tensor, hidden: Tensor | None = None
    ) -> WindowBatch:
        """Windows as a network takes them; body frames are fitted on what is not hidden.

        Args:
            positions: N T V 3.
            observed: N T V. What is relative to a root that was not observed is not known.
            hidden: N T V, what the encoder is not shown; None = it is shown all, filled gaps too.
        """
        visible = observed if hidden is None else observed & ~hidden
        x = self.form.features(positions, fit_body_frames(positions, visible, self.form))
        known = _by_node(observed & observed[:, :, self.layout.root, None])
        seen = _by_node(visible) if hidden is not None else torch.ones_like(known)
        return WindowBatch(x, known, seen, self.form.shown(x, seen))

    def mirrored(self, x: Tensor, observed: Tensor, which: Tensor) -> tuple[Tensor, Tensor]:
        """Positions N T V 3 and what was observed, of which some (N, bool) change their sides."""
        swap = list(self.layout.mirrored)
        image = x[:, :, swap] * x.new_tensor([-1.0, 1.0, 1.0])
        return (
            torch.where(which[:, None, None, None], image, x),
            torch.where(which[:, None, None], observed[:, :, swap], observed),
        )

    def spread(self, among: NDArray[np.int64], most: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Up to so many windows of tracks, evenly spread, not varied, a few hundred at a time."""
        total = int(self.counts[among].sum())
        chosen = np.unique(np.linspace(0, total - 1, min(most, total)).astype(np.int64))
        for begin in range(0, len(chosen), _CHUNK):
            track, first = self.located(chosen[begin : begin + _CHUNK], among)
            yield self.read(track, self.times(track, first, VariationConfig(), None))

    def facts(self) -> dict[str, Any]:
        """What a checkpoint says about the form of its input; plain JSON values."""
        return {"windows": self.form.to_json(), "unlabelled": self.clips.unlabelled}


def _folded(times: NDArray[np.float64], length: NDArray[np.int64]) -> NDArray[np.float64]:
    """Times mirrored at the first and the last frame of a clip of that length."""
    period = np.maximum(2 * (length - 1), 1)
    within = np.mod(times, period)
    return np.asarray(np.where(length > 1, np.minimum(within, period - within), 0.0))


def _by_node(joints: Tensor) -> Tensor:
    """A mask N T V of joints as one of nodes, N V*3 T."""
    return joints.mT.repeat_interleave(3, dim=1)
