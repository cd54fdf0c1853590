"""How far poses are from the true ones: MPJPE and P-MPJPE, as Human3.6M and HumanEva report them.

Positions are in metres and errors in millimetres. MPJPE compares poses about their roots; the root,
whose error is then 0, counts in the mean. P-MPJPE (protocol 2) first moves, turns and scales each
frame onto the true one. Some papers call that alignment rigid; the published numbers are those of
the similarity, scale included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from skelaug.shapes import check_shape

__all__ = ["aligned", "joint_errors", "mean_over_actions", "mpjpe", "p_mpjpe", "per_action"]

_MILLIMETRES = 1e3


def joint_errors(
    poses: NDArray[np.floating], truth: NDArray[np.floating], *, root: int
) -> NDArray[np.float64]:
    """Distance of each joint from the true one, about the root, in mm: F V.

    Args:
        poses: F V 3 in metres.
        truth: F V 3.
        root: Joint that is moved to the origin in both.
    """
    got, true = _pair(poses, truth)
    off = (got - got[:, [root]]) - (true - true[:, [root]])
    return np.asarray(_MILLIMETRES * np.linalg.norm(off, axis=-1), dtype=np.float64)


def mpjpe(
    poses: NDArray[np.floating], truth: NDArray[np.floating], *, root: int
) -> NDArray[np.float64]:
    """Mean per-joint position error about the root, one per frame, in mm.

    Args:
        poses: F V 3 in metres.
        truth: F V 3.
        root: Joint that is moved to the origin in both; it counts with an error of 0.
    """
    return np.asarray(joint_errors(poses, truth, root=root).mean(axis=-1), dtype=np.float64)


def p_mpjpe(poses: NDArray[np.floating], truth: NDArray[np.floating]) -> NDArray[np.float64]:
    """MPJPE after the similarity that brings each frame nearest to the true one, in mm.

    Args:
        poses: F V 3 in metres.
        truth: F V 3.
    """
    off = aligned(poses, truth) - np.asarray(truth, dtype=np.float64)
    return np.asarray(_MILLIMETRES * np.linalg.norm(off, axis=-1).mean(axis=-1), dtype=np.float64)


def aligned(poses: NDArray[np.floating], truth: NDArray[np.floating]) -> NDArray[np.float64]:
    """Each pose moved, turned and scaled (never mirrored) onto the true one by least squares.

    Umeyama 1991, equations 39 to 42. A pose whose joints all coincide becomes the mean of the true
    one.

    Args:
        poses: F V 3.
        truth: F V 3.
    """
    got, true = _pair(poses, truth)
    middle = true.mean(axis=1, keepdims=True)
    x, y = got - got.mean(axis=1, keepdims=True), true - middle
    u, values, vt = np.linalg.svd(np.einsum("fvi,fvj->fij", y, x))
    signs = np.ones_like(values)
    signs[:, -1] = np.sign(np.linalg.det(u) * np.linalg.det(vt))  # else a mirror image may be best
    turn = (u * signs[:, None]) @ vt
    spread = np.sum(x**2, axis=(1, 2))
    scale = np.divide(
        np.sum(values * signs, axis=1), spread, out=np.zeros_like(spread), where=spread > 0
    )
    turned = np.einsum("fij,fvj->fvi", turn, x)
    return np.asarray(scale[:, None, None] * turned + middle, dtype=np.float64)


def per_action(errors: Sequence[float], actions: Sequence[str]) -> dict[str, float]:
    """Mean error of each action over its frames.

    Args:
        errors: One per frame.
        actions: The action of each frame.

    Returns:
        By action, in order of appearance.
    """
    values, names = np.asarray(errors, dtype=np.float64), np.asarray(actions)
    check_shape(names, "F", what="actions", F=len(values))
    return {str(name): float(values[names == name].mean()) for name in dict.fromkeys(names)}


def mean_over_actions(by_action: Mapping[str, float]) -> float:
    """The number that papers report: every action counts alike, however many frames it has.

    Raises:
        ValueError: There is no action.
    """
    if not by_action:
        raise ValueError("mean_over_actions: expected at least one action, got none")
    return float(np.mean([*by_action.values()]))


def _pair(
    poses: NDArray[np.floating], truth: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    check_shape(poses, "F V C", what="poses", C=3)
    f, v, _ = poses.shape
    check_shape(truth, "F V C", what="truth", F=f, V=v, C=3)
    return np.asarray(poses, dtype=np.float64), np.asarray(truth, dtype=np.float64)
