"""How much clips look like those that a model of motion has learnt.

Two log-densities say it, both at the means of the posterior, z = mu_q(x), and in nats:

- posterior: log p(z), the sum over levels of log N(mu_q; mu_p, sigma_p^2). Bourached et al. 2022
  write it p(z | x) (sec. 5.2, app. B), their code computes this.
- joint: log p(x, z) = log p(x | z) + log p(z).

The first asks only whether the latent variables are usual. An encoder that finds usual ones for a
damaged window too says nothing by it: that the window is not as they say is in log p(x | z) alone.
``pipelines/table_detection.py`` measures what each of them notices.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skelaug.imputation.body_frame import fit_body_frames
from skelaug.imputation.prior import Density, MotionPrior, check_evaluation_mode
from skelaug.imputation.tracks import Track
from skelaug.imputation.windows import WindowForm
from skelaug.skeleton.windows import window_frames

__all__ = ["DENSITIES", "LogDensities", "log_densities"]

DENSITIES: tuple[Density, ...] = ("joint", "posterior")

_CHUNK = 256


class LogDensities(NamedTuple):
    """How typical tracks are, in nats; NaN for a track without any measured joint.

    Attributes:
        joint: Log p(x, z) at the posterior means, N.
        posterior: Log p(z) there, N.
    """

    joint: NDArray[np.float64]
    posterior: NDArray[np.float64]


@torch.no_grad()
def log_densities(
    prior: MotionPrior,
    form: WindowForm,
    tracks: Sequence[Track],
    *,
    device: torch.device | str = "cpu",
) -> LogDensities:
    """The log-densities of each track, the mean over its windows.

    Windows overlap by half. What was not measured is at the mean of the training windows, as in
    Bourached et al. 2022, app. B. The windows of many tracks go through the network together, once;
    what a track gets does not depend on the others but for rounding, and memory not on their
    number.

    Args:
        prior: The model, in evaluation mode.
        form: Of its windows.
        tracks: N.
        device: Where the model computes.

    Raises:
        ValueError: The model is in training mode.
    """
    check_evaluation_mode(prior)
    total = torch.zeros(len(tracks), 2, dtype=torch.float64)
    count = torch.zeros(len(tracks), 1, dtype=torch.float64)
    for number, positions, observed in _batches(form, tracks):
        bodies = fit_body_frames(positions, observed, form)
        seen = observed.mT.repeat_interleave(3, dim=1)
        x = form.shown(form.features(positions, bodies), seen).to(device)
        found = prior.log_densities(x)
        total.index_add_(
            0, number, torch.stack([found.joint, found.posterior], dim=1).double().cpu()
        )
        count.index_add_(0, number, count.new_ones(len(number), 1))
    joint, posterior = (total / count).T.numpy()  # 0 / 0 = NaN without a window
    return LogDensities(joint, posterior)


def _batches(form: WindowForm, tracks: Sequence[Track]) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Number of the track n, positions n T V 3 (0 where unmeasured) and observed n T V, in turn."""
    hop, held = max(form.frames // 2, 1), []
    for number, track in enumerate(tracks):
        if track.is_empty:
            continue
        rows = window_frames(len(track.observed), form.frames, form.stride(track.fps), hop)
        for start in range(0, len(rows), _CHUNK):
            some = rows[start : start + _CHUNK]
            observed = track.observed[some]
            positions = np.where(observed[..., None], track.positions[some], 0)
            held.append((np.full(len(some), number), positions.astype(np.float32), observed))
            if sum(len(part) for part, *_ in held) >= _CHUNK:
                yield _joined(held)
                held = []
    if held:
        yield _joined(held)


def _joined(held: Sequence[tuple[NDArray[np.generic], ...]]) -> tuple[Tensor, Tensor, Tensor]:
    number, positions, observed = (
        torch.from_numpy(np.concatenate(parts)) for parts in zip(*held, strict=True)
    )
    return number, positions, observed
