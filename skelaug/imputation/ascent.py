"""Filling gaps with the most probable motion: ascent of a prior's log-density.

Bourached et al. 2022, sec. 5.2 and appendix C: the missing entries are the free variables, the
network is fixed, Adam climbs the log-posterior for a few steps, and the best iterate is kept.
Departures, and why:

- What is climbed is the joint density log p(x, z) at the posterior means. What the authors' code
  climbs, the density of those means under the prior alone, can be had too (``posterior``):
  nothing in it asks that the window be what its latent variables say.
- The free variables belong to the clip, not to a window. A clip longer than a window climbs the sum
  over its windows, which therefore agree wherever they overlap.
- A step has the size `lr` in standard deviations of the node, in the body frame that the window
  around it has; the paper's steps are data units, which makes them depend on them.
- The iterate after the last step is a candidate too, and so is the start.
- What the free variables move is their mean over `span` frames, in which measured entries count as
  moved by 0. Free entry by entry, neighbours go apart by equal steps of Adam and a joint shivers;
  a single lost entry, about which its neighbours say most, moves little.
- A missing joint goes along with its root where that is missing as well, as it does in the
  features that the prior reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skelaug.imputation.prior import Density, MotionPrior, check_evaluation_mode
from skelaug.imputation.tracks import Track, TrackWindows

__all__ = ["Ascent", "ascend"]


@dataclass(frozen=True, eq=False)
class Ascent:
    """Tracks filled by ascent.

    Attributes:
        positions: T V 3 of each track, metres; NaN throughout where nothing was measured.
        log_density: Of each track and iterate, N steps+1, nats, the start first: summed over the
            windows in which anything is missing. NaN for tracks that were not climbed
            (`Track.is_motion`); -inf where the prior found no number.
        best: Which iterate each track kept, N; 0 for tracks that were not climbed.
    """

    positions: tuple[NDArray[np.floating], ...]
    log_density: NDArray[np.float64]
    best: NDArray[np.int64]


def ascend(  # noqa: PLR0913  # the knobs of an ascent
    prior: MotionPrior,
    cut: TrackWindows,
    *,
    start: Sequence[NDArray[np.floating]],
    steps: int = 10,
    lr: float = 0.1,
    climbs: Density = "joint",
    span: int = 9,
    batch: int = 128,
) -> Ascent:
    """The missing entries of tracks moved to where the log-density of their windows is higher.

    Measured coordinates keep their bits, and body frames stay as they were fitted. What a track
    becomes does not depend, beyond rounding, on the tracks that are cut together with it. A single
    frame is no motion: it is left as it starts.

    Args:
        prior: In evaluation mode, where `cut` lives.
        cut: The tracks and their windows.
        start: For each track T V 3 in metres without gaps, e.g. from `FILLERS` or `reconstruct`;
            what it says of measured entries is not used, nor that of a track without any.
        steps: Of Adam.
        lr: Of Adam, in standard deviations of a node: about how far a step goes.
        climbs: Which density: see `WindowDensities`.
        span: Frames of the model that move together, an odd number; 1 frees each entry, as the
            publication does.
        batch: Windows that go through the prior together.

    Raises:
        ValueError: The prior is in training mode, a start has gaps or another shape, or the span is
            even.
    """
    check_evaluation_mode(prior)
    if span < 1 or span % 2 == 0:
        raise ValueError(f"span: expected an odd number of frames, got {span}")
    filled = [_started(track, begun) for track, begun in zip(cut.tracks, start, strict=True)]
    found, scores = _Climb(prior, cut, climbs, span=span, batch=batch).run(
        cut.flat(filled), steps, lr
    )
    best = scores.argmax(axis=1)
    for n, (track, positions) in enumerate(zip(cut.tracks, cut.split(found), strict=True)):
        if track.is_motion:
            filled[n] = np.where(track.observed[..., None], track.positions, positions)
        else:
            scores[n] = np.nan
    return Ascent(tuple(filled), scores, best)


def _started(track: Track, start: NDArray[np.floating]) -> NDArray[np.floating]:
    if start.shape != track.positions.shape:
        raise ValueError(
            f"start: expected the shape {track.positions.shape} of the track, got {start.shape}"
        )
    if track.is_empty:
        return np.full_like(track.positions, np.nan)
    begun = np.where(track.observed[..., None], track.positions, start)
    if not np.isfinite(begun).all():
        raise ValueError("start: expected finite numbers where nothing was measured, got others")
    return begun.astype(track.positions.dtype, copy=False)


class _Adam:
    """Adam uphill (Kingma and Ba 2015, algorithm 1), its constants theirs.

    That of PyTorch loads a compiler first, which takes longer than many ascents.
    """

    def __init__(self, free: Tensor, lr: float) -> None:
        self.free, self.lr, self.steps = free, lr, 0
        self.mean, self.square = torch.zeros_like(free), torch.zeros_like(free)

    @torch.no_grad()
    def climb(self, gradient: Tensor) -> None:
        """One step."""
        beta1, beta2, tiny = 0.9, 0.999, 1e-8
        self.steps += 1
        self.mean.lerp_(gradient, 1 - beta1)
        self.square.lerp_(gradient.square(), 1 - beta2)
        mean = self.mean / (1 - beta1**self.steps)
        square = self.square / (1 - beta2**self.steps)
        self.free += self.lr * mean / (square.sqrt() + tiny)


class _Climb:
    """The function that is climbed: positions of the frames to log-densities of the tracks."""

    def __init__(
        self, prior: MotionPrior, cut: TrackWindows, climbs: Density, *, span: int, batch: int
    ) -> None:
        self.prior, self.climbs = prior, climbs
        self.cut, self.span = cut, span
        self.missing = ~cut.observed
        self.chunks = cut.chunks(cut.with_gaps, batch)  # elsewhere it is constant
        home = cut.body_of_frame()
        self.home = home._replace(origin=torch.zeros_like(home.origin))

    def run(self, start: Tensor, steps: int, lr: float) -> tuple[Tensor, NDArray[np.float64]]:
        """The best iterate of each track, F V 3, and the log-density of all, N steps+1."""
        f, v, c = start.shape
        free = start.new_zeros(f, v * c, 1, requires_grad=True)
        adam = _Adam(free, lr)
        best, scores = start, torch.full((len(self.cut.tracks), steps + 1), -torch.inf).double()
        scores = scores.to(start.device)
        for step in range(steps + 1):
            with torch.enable_grad():
                positions = start + self.moved(free)
            score, slope = self.climbed(positions.detach(), with_slope=step < steps)
            is_higher = score > scores.amax(dim=1)
            scores[:, step] = torch.where(score.isnan(), -torch.inf, score)
            better = is_higher[self.cut.track_of_frame, None, None]
            best = torch.where(better, positions.detach(), best)
            if step < steps:
                (gradient,) = torch.autograd.grad(positions, free, slope)
                adam.climb(gradient)
        return best, scores.cpu().numpy()

    def moved(self, free: Tensor) -> Tensor:
        """Metres F V 3 by which the free variables, F nodes 1, move the missing joints."""
        missing = self.missing.repeat_interleave(3, dim=1)[..., None]
        form = self.cut.form
        there = form.positions(free * missing, self.home)
        here = form.positions(torch.zeros_like(free), self.home)
        together = self.cut.moving_mean((there - here).squeeze(1), self.span)
        return together * self.missing[..., None]

    def climbed(self, positions: Tensor, *, with_slope: bool) -> tuple[Tensor, Tensor]:
        """Log-density of each track in nats, and its gradient with respect to positions F V 3."""
        cut = self.cut
        score = positions.new_zeros(len(cut.tracks), dtype=torch.float64)
        slope = torch.zeros_like(positions)
        positions = positions.clone().requires_grad_(with_slope)
        for chunk in self.chunks:
            with torch.set_grad_enabled(with_slope):
                windows = positions[cut.frames[chunk]]
                found = self.prior.log_densities(cut.form.features(windows, cut.body(chunk)))
                log_p = getattr(found, self.climbs)
            score.index_add_(0, cut.track[chunk], log_p.detach().double())
            if with_slope:
                (of_windows,) = torch.autograd.grad(log_p.sum(), windows)
                slope.index_add_(0, cut.frames[chunk].flatten(), of_windows.flatten(0, 1))
        return score, slope
