"""The best linear estimate of the error from x_t and y, at every step of the process.

Pose, error and 2D pose are correlated, so that a good part of the error follows from y and
x_t = c_t x0 + s_t e by one matrix per step. A network that is given this part learns the rest from
far fewer lessons (as preconditioning does for images, Karras et al. 2022, sec. 5). At step T, where
x_T is the noisy pose, it is the linear corrector of drawn errors.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from skelaug.refinement.process import ErrorProcess
from skelaug.shapes import check_shape

__all__ = ["LinearEstimates", "linear_estimates"]


class LinearEstimates(NamedTuple):
    """E[e | x_t, y] = weight_t [x_t, y] + bias_t of Gaussians with the same moments.

    Attributes:
        weight: For steps 0 to T, S 3V I with I = 3V and the numbers of y.
        bias: S 3V, metres.
    """

    weight: Tensor
    bias: Tensor


def linear_estimates(
    error: Tensor,
    clean: Tensor,
    keypoints: Tensor | None,
    process: ErrorProcess,
    *,
    ridge: float = 1e-6,
) -> LinearEstimates:
    """The linear regression of the error on x_t and y, for all steps from one set of frames.

    Args:
        error: e, F V 3, metres.
        clean: x0, F V 3, metres, relative to the root.
        keypoints: y, F V C, 2D poses or hints, or None.
        process: Its steps.
        ridge: Added to the diagonal of what is conditioned on, in shares of its mean; the root,
            always 0, would make it singular.

    Returns:
        In float64.
    """
    check_shape(error, "F V C", what="error", C=3)
    check_shape(clean, "F V C", what="clean", F=len(error), V=error.shape[1], C=3)
    told = [clean] if keypoints is None else [clean, keypoints]
    rows = torch.cat([part.double().flatten(1) for part in (error, *told)], dim=1)
    mean = rows.mean(dim=0)
    covariance = (rows - mean).T @ (rows - mean) / len(rows)
    a, size = error[0].numel(), rows.shape[1]
    weights, biases = [], []
    for step in range(process.steps + 1):
        # [x_t, y] = mixing [e, x0, y]
        mixing = torch.eye(size, dtype=torch.float64)[a:]
        mixing[:a, a : 2 * a] *= process.clean_weight(step)
        mixing[:a, :a] = process.error_weight(step) * torch.eye(a, dtype=torch.float64)
        given = mixing @ covariance @ mixing.T
        given += ridge * given.diagonal().mean() * torch.eye(len(given), dtype=torch.float64)
        weight = torch.linalg.solve(given, mixing @ covariance[:, :a]).T
        weights.append(weight)
        biases.append(mean[:a] - weight @ mixing @ mean)
    return LinearEstimates(torch.stack(weights), torch.stack(biases))
