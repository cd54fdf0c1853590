"""How far off a filled entry may be: the spread of a prior's posterior samples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skelaug.imputation.prior import MotionPrior, check_evaluation_mode
from skelaug.imputation.tracks import TrackWindows
from skelaug.seeds import Stream, generator

__all__ = ["spread"]


@torch.no_grad()
def spread(
    prior: MotionPrior,
    cut: TrackWindows,
    *,
    filled: Sequence[NDArray[np.floating]],
    addresses: Sequence[int],
    seed: int = 0,
    samples: int = 8,
    batch: int = 128,
) -> list[NDArray[np.floating]]:
    """Standard deviation of each filled entry in metres, one T V per track.

    It is the root mean square distance of a joint from its mean place: over posterior samples of
    the windows, and around each of them as the decoder's own variance says. Of a joint other than
    the root it is that of its offset, and the root's where the root is missing in the frame too. A
    prior that reads masks is shown what was measured, another one the filled clip.

    Args:
        prior: In evaluation mode, where `cut` lives.
        cut: The tracks and their windows.
        filled: Their completed positions, T V 3, metres.
        addresses: A number for each track that fixes its noise together with `seed`; so it does
            not depend on the tracks beside it.
        seed: Root of the noise.
        samples: Of each window, at least 2.
        batch: Windows that go through the prior together.

    Returns:
        0 where measured, NaN throughout where nothing was. A single frame has no samples: NaN where
        it was filled.

    Raises:
        ValueError: The prior is in training mode, or there are fewer than two samples.
    """
    check_evaluation_mode(prior)
    if samples < 2:
        raise ValueError(f"samples: expected at least 2, got {samples}")
    begun, gaps = cut.flat(filled), cut.with_gaps
    keys = _window_keys(cut, addresses)
    root = cut.form.layout.root
    variances = []
    for chunk in cut.chunks(gaps, batch):
        size = prior.noise_shape[0]
        noises = [
            torch.randn(samples, size, generator=generator(seed, Stream.POSTERIOR, *keys[w]))
            for w in chunk.tolist()
        ]
        noise = torch.stack(noises, dim=1).to(begun)
        variances.append(_variance(prior, cut, begun, windows=chunk, noise=noise))
    if not variances:
        return [np.where(t.observed, 0.0, np.nan).astype(t.positions.dtype) for t in cut.tracks]
    of_frames = cut.blend(torch.cat(variances), gaps)
    with_root = of_frames + torch.where(cut.observed[:, root], 0.0, of_frames[:, root])[:, None]
    with_root[:, root] = of_frames[:, root]
    deviation = torch.where(cut.observed, 0.0, with_root.sqrt())
    return cut.split(deviation)


def _variance(
    prior: MotionPrior, cut: TrackWindows, begun: Tensor, *, windows: Tensor, noise: Tensor
) -> Tensor:
    """Mean square distances n T V in square metres of the root and of the other joints' offsets."""
    x, seen = cut.features(begun, windows), None
    if prior.reads_mask:
        seen = cut.seen(windows)
        x = cut.form.shown(x, seen)
    outputs = [prior.reconstruct(x, seen=seen, noise=one) for one in noise]
    means = torch.stack([output.mean.to(begun) for output in outputs])
    own = torch.stack([output.logvar.to(begun).exp() for output in outputs]).mean(dim=0)
    std = torch.as_tensor(cut.form.std).to(begun)[:, None] * cut.body(windows).size[:, None, None]
    square = (means.var(dim=0) + own) * std**2
    n, nodes, t = square.shape
    return square.view(n, nodes // 3, 3, t).sum(dim=2).mT


def _window_keys(cut: TrackWindows, addresses: Sequence[int]) -> list[tuple[int, int]]:
    """The address of each window: its track's, and its number among the track's windows."""
    counts = [0] * len(cut.tracks)
    keys = []
    for track in cut.track.tolist():
        keys.append((addresses[track], counts[track]))
        counts[track] += 1
    return keys
