"""One person of one clip; many of them as one flat array of frames, with their windows in it.

Clips differ in length, so their frames lie one after the other and a window is a row of frame
numbers: reading windows is a gather, adding to the clips what windows say is an index_add, and
windows that overlap share the frames that they have in common.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skelaug.imputation.body_frame import BodyFrames, fit_body_frames
from skelaug.imputation.windows import WindowForm
from skelaug.shapes import check_shape
from skelaug.skeleton.windows import window_frames

__all__ = ["Track", "TrackWindows", "cut_windows", "mean_motions"]


@dataclass(frozen=True, eq=False)
class Track:
    """One person of one clip.

    Attributes:
        positions: T V 3 in metres, float32 or float64; only measured joints are ever read.
        observed: T V, True where a joint was measured; its coordinates must be finite there.
        fps: Frames per second.
    """

    positions: NDArray[np.floating]
    observed: NDArray[np.bool_]
    fps: float

    def __post_init__(self) -> None:
        check_shape(self.positions, "T V C", what="positions", C=3)
        t, v, _ = self.positions.shape
        check_shape(self.observed, "T V", what="observed", T=t, V=v)
        if not np.isfinite(self.positions[self.observed]).all():
            raise ValueError("positions: expected finite numbers where observed, got others")

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing."""
        return bool(self.observed.all())

    @property
    def is_empty(self) -> bool:
        """Whether nothing was measured."""
        return not self.observed.any()

    @property
    def is_motion(self) -> bool:
        """Whether there is something to fill that a model of motion can fill.

        False for whole tracks, for empty ones, and for single frames, which do not move.
        """
        return len(self.positions) > 1 and not self.is_empty and not self.is_whole


@dataclass(frozen=True, eq=False)
class TrackWindows:
    """Tracks laid out as F frames, and the W windows that a model sees of them.

    Attributes:
        form: Of the windows.
        tracks: N, with F frames together.
        observed: F V.
        track_of_frame: F.
        frames: Frame numbers of each window, W T; a mirrored window has a frame twice.
        track: Of each window, W.
        bodies: The body frame of each window, fitted once on what was observed.
    """

    form: WindowForm
    tracks: tuple[Track, ...]
    observed: Tensor
    track_of_frame: Tensor
    frames: Tensor
    track: Tensor
    bodies: BodyFrames

    @property
    def with_gaps(self) -> Tensor:
        """Numbers of the windows in which something is missing that can be filled, rising."""
        can_be = torch.tensor([track.is_motion for track in self.tracks], device=self.track.device)
        missing = ~self.observed[self.frames].flatten(1).all(dim=1)
        return (missing & can_be[self.track]).nonzero()[:, 0]

    @property
    def every(self) -> Tensor:
        """Numbers of all windows."""
        return torch.arange(len(self.frames), device=self.frames.device)

    @staticmethod
    def chunks(windows: Tensor, size: int) -> tuple[Tensor, ...]:
        """Numbers of windows, at most `size` at a time; nothing where there are none."""
        return tuple(torch.split(windows, size)) if len(windows) else ()

    def body(self, windows: Tensor) -> BodyFrames:
        """The body frames of some windows."""
        return BodyFrames(*(part[windows] for part in self.bodies))

    def features(self, positions: Tensor, windows: Tensor) -> Tensor:
        """Some windows (their numbers, n) of positions F V 3 as the model sees them, n nodes T."""
        return self.form.features(positions[self.frames[windows]], self.body(windows))

    def in_metres(self, features: Tensor, windows: Tensor) -> Tensor:
        """Features n nodes T of these windows in metres, n T V 3."""
        return self.form.positions(features, self.body(windows))

    def seen(self, windows: Tensor) -> Tensor:
        """Which entries of these windows were measured, n nodes T."""
        return self.observed[self.frames[windows]].mT.repeat_interleave(3, dim=1)

    def blend(self, values: Tensor, windows: Tensor) -> Tensor:
        """Values n T ... of windows as values of frames F ...; NaN in frames that none contains.

        Each window counts most in its middle and falls off linearly, so that nothing jumps where a
        window ends.
        """
        rows = self.frames[windows].flatten()
        weight = _triangle(self.frames.shape[1]).to(values).repeat(len(windows))
        shape = (-1, *[1] * (values.ndim - 2))
        total = values.new_zeros(len(self.observed)).index_add_(0, rows, weight)
        added = values.new_zeros(len(self.observed), *values.shape[2:]).index_add_(
            0, rows, values.flatten(0, 1) * weight.view(shape)
        )
        return added / total.view(shape)

    def moving_mean(self, values: Tensor, steps: int = 1) -> Tensor:
        """The mean of values of frames F ... over so many steps of the model around each frame.

        The phases of a clip of a higher rate go through the model apart, and what it adds to each
        differs a little: laid side by side it would shiver. In a mean over whole steps all phases
        count alike. Beyond its ends a clip is held; one step leaves clips of one phase as they are.

        Args:
            values: F ...
            steps: An odd number.
        """
        device = values.device
        span = [steps * self.form.stride(track.fps) for track in self.tracks]
        if max(span) == 1:
            return values
        length = torch.tensor([len(track.positions) for track in self.tracks], device=device)
        last = (length.cumsum(0) - 1)[self.track_of_frame, None]
        first = last - (length - 1)[self.track_of_frame, None]
        offset = torch.arange(-(max(span) // 2), max(span) // 2 + 1, device=device)
        frame = torch.arange(len(values), device=device)[:, None]
        around = torch.minimum(torch.maximum(frame + offset, first), last)
        width = torch.tensor(span, device=device)[self.track_of_frame, None].to(values)
        weight = (width / 2 + 0.5 - offset.abs()).clamp(0, 1) / width  # of an even one 1/2 at ends
        return torch.einsum("fw...,fw->f...", values[around], weight)

    def body_of_frame(self) -> BodyFrames:
        """For each frame, F, the body frame of the window in whose middle it most nearly lies."""
        weight = _triangle(self.frames.shape[1]).repeat(len(self.frames))
        order = torch.argsort(weight, stable=True).cpu().numpy()
        home = np.zeros(len(self.observed), dtype=np.int64)
        window = np.repeat(np.arange(len(self.frames)), self.frames.shape[1])
        # of several entries for one frame the last one stays: the one of the greatest weight
        home[self.frames.flatten().cpu().numpy()[order]] = window[order]
        return self.body(torch.from_numpy(home).to(self.frames.device))

    def flat(self, clips: Sequence[NDArray[np.floating]]) -> Tensor:
        """One array T ... per track as F ..., what is not finite as 0."""
        values = np.nan_to_num(np.concatenate(clips), nan=0.0, posinf=0.0, neginf=0.0)
        return torch.from_numpy(values).to(self.observed.device)

    def split(self, values: Tensor) -> list[NDArray[np.floating]]:
        """Values F ... as one array T ... per track."""
        lengths = [len(track.positions) for track in self.tracks]
        return [part.numpy() for part in torch.split(values.detach().cpu(), lengths)]


def cut_windows(
    form: WindowForm,
    tracks: Sequence[Track],
    *,
    hop: int | None = None,
    device: torch.device | str = "cpu",
) -> TrackWindows:
    """Tracks laid out one after the other with their windows and body frames.

    Args:
        form: Of the windows.
        tracks: At least one; their layout is the form's.
        hop: Frames of the model from one window to the next; half a window if not given.
        device: Where the tensors shall live.

    Raises:
        ValueError: There is no track, an empty one, or one of another layout.
    """
    if not tracks:
        raise ValueError("tracks: expected at least one, got none")
    hop = max(form.frames // 2, 1) if hop is None else hop
    lengths = [len(track.positions) for track in tracks]
    first = np.cumsum([0, *lengths[:-1]])
    rows = [
        start + window_frames(len(track.positions), form.frames, form.stride(track.fps), hop)
        for start, track in zip(first, tracks, strict=True)
    ]
    observed = np.concatenate([track.observed for track in tracks])
    positions = np.concatenate([track.positions for track in tracks])
    check_shape(positions, "F V C", what="positions", V=form.layout.num_joints)
    flat = torch.from_numpy(np.where(observed[..., None], positions, 0)).to(device)
    seen = torch.from_numpy(observed).to(device)
    frames = torch.from_numpy(np.concatenate(rows)).to(device)
    return TrackWindows(
        form=form,
        tracks=tuple(tracks),
        observed=seen,
        track_of_frame=_numbered(lengths).to(device),
        frames=frames,
        track=_numbered([len(row) for row in rows]).to(device),
        bodies=fit_body_frames(flat[frames], seen[frames], form),
    )


@torch.no_grad()
def mean_motions(cut: TrackWindows) -> list[NDArray[np.floating]]:
    """The mean of the training windows (features 0) in each track's body frames, T V 3, metres.

    It stands where the track's body stands, faces where it faces and has its size. It is what
    `FILLERS` take as `mean`.
    """
    w, t = cut.frames.shape
    still = cut.bodies.origin.new_zeros(w, cut.form.nodes, t)
    return cut.split(cut.blend(cut.in_metres(still, cut.every), cut.every))


def _triangle(frames: int) -> Tensor:
    """The weight of each frame of a window when windows are blended; never 0."""
    rising = torch.arange(1, frames + 1)
    return torch.minimum(rising, rising.flip(0))


def _numbered(counts: Sequence[int]) -> Tensor:
    """0 repeated counts[0] times, 1 counts[1] times, ..."""
    return torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
