"""Which description a clip's noise is predicted best with (Do et al. 2025; FDSM, sec. 3).

Features z of a clip are noised to one step with noises that all clips and all classes share; the
class whose text lets the network tell the noise with the least error is the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from torch import Tensor

from skelaug.diffusion.parameterization import noised
from skelaug.diffusion.schedule import Schedule
from skelaug.zeroshot.losses import Network

__all__ = [
    "Texts",
    "fit_temperature",
    "noise_errors",
]

_COLDEST, _HOTTEST = 1e-6, 1e3


@dataclass(frozen=True, eq=False)
class Texts:
    """Encoded texts, one per sample or per class.

    Attributes:
        local: Tokens, N S E.
        mask: Which tokens there are, N S, True = present.
        pooled: The text as a whole, N E.
        gain: How much motion the text speaks of, N in [0, 1]; None = not known.
    """

    local: Tensor
    mask: Tensor
    pooled: Tensor
    gain: Tensor | None = None

    def __len__(self) -> int:
        return len(self.pooled)

    def __getitem__(self, rows: Tensor | NDArray[np.integer] | slice | Sequence[int]) -> Texts:
        """Some of the texts."""
        own = rows if isinstance(rows, slice | Tensor) else torch.as_tensor(np.asarray(rows))
        gain = None if self.gain is None else self.gain[own]
        return Texts(self.local[own], self.mask[own], self.pooled[own], gain)

    def trimmed(self) -> Texts:
        """The same without columns of tokens that no text has; one column stays."""
        used = self.mask.any(dim=0).nonzero()
        length = int(used.max()) + 1 if len(used) else 1
        return Texts(self.local[:, :length], self.mask[:, :length], self.pooled, self.gain)

    def to(self, device: torch.device) -> Texts:
        """The same on a device."""
        gain = None if self.gain is None else self.gain.to(device)
        return Texts(self.local.to(device), self.mask.to(device), self.pooled.to(device), gain)


def noise_errors(
    network: Network,
    z: Tensor,
    texts: Texts,
    noises: Tensor,
    *,
    step: int,
    schedule: Schedule,
) -> Tensor:
    """How badly the noise of each clip is told with the text of each class: float64 N Y.

    ``E[n, y] = mean over r, l, d of (eps_r - eps_hat(sqrt(abar) z_n + sqrt(1 - abar) eps_r, t,
    text_y))^2``. Every class is asked by itself with its own tokens, so what is said of one does
    not depend on the others.

    Args:
        network: Called as in `skelaug.zeroshot.losses`.
        z: Features, N L D.
        texts: Of the Y classes.
        noises: R L D, shared by all clips and classes; without that classes cannot be compared.
        step: t, the step at which they are asked.
        schedule: The noise levels.
    """
    n, r = len(z), len(noises)
    steps = torch.full((n * r,), step, dtype=torch.int64, device=z.device)
    target = noises.to(z).repeat(n, 1, 1)
    alpha_bar = schedule.alpha_bars[step].expand(n * r)
    x = noised(z.repeat_interleave(r, dim=0), target, alpha_bar)
    errors = []
    for number in range(len(texts)):
        own = texts[number : number + 1].trimmed()[torch.zeros(n * r, dtype=torch.int64)]
        told = network(x, steps, own.local, own.mask, own.pooled, own.gain)
        wrong = (target - told).double().square().mean(dim=(1, 2))
        errors.append(wrong.view(n, r).mean(dim=1))
    return torch.stack(errors, dim=1)


def fit_temperature(errors: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """The temperature that makes the true classes most probable (Guo et al. 2017).

    Of N clips and Y classes the true class is given (N + 1) / (N + Y), each other 1 / (N + Y)
    (Laplace), so that a few clips that all are named rightly do not make it sure of everything.

    Args:
        errors: N Y.
        labels: The true class of each, N.

    Raises:
        ValueError: There is no clip.
    """
    if not len(errors):
        raise ValueError("errors: expected at least one clip, got none")
    scores = -np.asarray(errors, dtype=np.float64)
    count, classes = scores.shape
    target = np.full(scores.shape, 1 / (count + classes))
    target[np.arange(count), labels] += count / (count + classes)

    def surprise(logarithm: float) -> float:
        said = log_softmax(scores / np.exp(logarithm), axis=1)
        return -float((target * said).sum(axis=1).mean())

    ends = (np.log(_COLDEST), np.log(_HOTTEST))
    grid = np.linspace(*ends, 64)
    near = int(np.argmin([surprise(float(one)) for one in grid]))
    bounds = (grid[max(near - 1, 0)], grid[min(near + 1, len(grid) - 1)])
    found = minimize_scalar(surprise, bounds=bounds, method="bounded")
    return float(np.exp(found.x))
