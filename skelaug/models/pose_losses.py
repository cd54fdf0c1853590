"""What lifters and refiners learn from: distances of joints and of their velocities.

Every loss is per sample (shape N), so that the caller can weight, log and average.
"""

from __future__ import annotations

import torch
from torch import Tensor

from skelaug.shapes import check_shape
from skelaug.skeleton.layout import SkeletonLayout

__all__ = ["joint_distance", "joint_weights", "mixste_loss"]

_RESTLESS, _VELOCITY = 0.5, 2.0  # weights of MixSTE's temporal terms
_LIMBS = {"arm": (1.5, 4.0), "leg": (1.0, 2.5)}  # MixSTE's weights: first joint, the others
_TIP = 1.5  # the head


def joint_distance(predicted: Tensor, target: Tensor, *, weights: Tensor | None = None) -> Tensor:
    """The mean Euclidean distance of joints, MPJPE, per sample.

    For a refiner's errors, in units of their mean size, it is the L2 norm of Yan et al. 2024,
    eq. 7; for a lifter's poses the loss of STCFormer.

    Args:
        predicted: N T V 3.
        target: N T V 3.
        weights: V, factors of the joints, not normalised; None = 1.

    Returns:
        N, in the unit of what is compared.

    Raises:
        ValueError: A shape differs.
    """
    _check(predicted, target, weights)
    distance: Tensor = torch.linalg.vector_norm(predicted - target, dim=-1)
    return (distance if weights is None else distance * weights).mean(dim=(1, 2))


def mixste_loss(predicted: Tensor, target: Tensor, *, weights: Tensor) -> Tensor:
    """The loss of MixSTE (Zhang et al. 2022), weighted MPJPE and two temporal terms.

    0.5 times the mean of the weighted squares of the predicted velocity (T-Loss), over joints and
    coordinates, and 2 times the mean distance of predicted and true velocity (MPJVE); velocities
    are differences of neighbouring frames. The authors' code seeds the gradient with the loss
    itself, which makes it that of half the squared loss; here it is that of the loss.

    Args:
        predicted: Poses N T V 3, T at least 2.
        target: True poses N T V 3.
        weights: V, factors of the joints, see `joint_weights`.

    Returns:
        N.

    Raises:
        ValueError: A shape differs, or there is one frame only.
    """
    _check(predicted, target, weights)
    if predicted.shape[1] < 2:
        raise ValueError("predicted: expected at least 2 frames, got 1")
    moved, truly = predicted.diff(dim=1), target.diff(dim=1)
    restless = (moved.square() * weights[:, None]).mean(dim=(1, 2, 3))
    position = joint_distance(predicted, target, weights=weights)
    return position + _RESTLESS * restless + _VELOCITY * joint_distance(moved, truly)


def joint_weights(layout: SkeletonLayout) -> Tensor:
    """MixSTE's weights of joints for any layout, V in float32: 1, and more far from the trunk.

    Arms: 1.5, then 4. Legs: 1, then 2.5. The tips of every other part (the head): 1.5. Limbs are
    the parts whose names end in ``arm`` and ``leg``. On h36m_17 these are the published numbers.
    """
    inner = set(layout.parents)
    weights = torch.ones(layout.num_joints)
    for name, joints in layout.parts.items():
        for joint in joints:
            if name.endswith(tuple(_LIMBS)):
                first, others = _LIMBS[name[-3:]]
                weights[joint] = others if layout.parents[joint] in joints else first
            elif joint not in inner:
                weights[joint] = _TIP
    return weights


def _check(predicted: Tensor, target: Tensor, weights: Tensor | None) -> None:
    check_shape(predicted, "N T V C", what="predicted", C=3)
    n, t, v, _ = predicted.shape
    check_shape(target, "N T V C", what="target", N=n, T=t, V=v, C=3)
    if weights is not None:
        check_shape(weights, "V", what="weights", V=v)
