"""How much clips look like those that a model of motion has learnt."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from skelaug.imputation.body_frame import fit_body_frames
from skelaug.imputation.prior import MotionPrior
from skelaug.imputation.tracks import Track
from skelaug.imputation.windows import WindowForm, window_frames

__all__ = ["log_posteriors"]

_CHUNK = 256


@torch.no_grad()
def log_posteriors(
    prior: MotionPrior,
    form: WindowForm,
    tracks: Sequence[Track],
    *,
    device: torch.device | str = "cpu",
) -> NDArray[np.float64]:
    """The log-posterior of each track in nats, N, the mean over its windows.

    Windows overlap by half. What was not measured is at the mean of the training windows, as in
    Bourached et al. 2022, app. B; a track without any measured joint has no log-posterior, NaN.

    Args:
        prior: The model, in eval mode.
        form: Of its windows.
        tracks: N.
        device: Where the model computes.
    """
    hop = max(form.frames // 2, 1)
    found = np.full(len(tracks), np.nan)
    for number, track in enumerate(tracks):
        if not track.observed.any():
            continue
        stride = form.stride(track.fps)
        rows = torch.from_numpy(window_frames(len(track.observed), form.frames, stride, hop))
        observed = torch.from_numpy(np.array(track.observed))
        x = torch.from_numpy(np.where(track.observed[..., None], track.positions, 0)).float()
        values = []
        for start in range(0, len(rows), _CHUNK):
            some = rows[start : start + _CHUNK]
            bodies = fit_body_frames(x[some], observed[some], form)
            seen = observed[some].mT.repeat_interleave(3, dim=1)
            windows = form.shown(form.features(x[some], bodies), seen)
            values.append(prior.log_posterior(windows.to(device)).double().cpu())
        found[number] = float(torch.cat(values).mean())
    return found
