"""Where a body stands, which way it faces and how large it is, from whatever of it was measured.

Axes are right-handed with y up. A point b of the body frame lies in the world at
``origin + size R(yaw) b``, with R the rotation about +y of `skelaug.skeleton.geometry`.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skelaug.errors import DataError
from skelaug.shapes import check_shape
from skelaug.skeleton.geometry import bone_lengths
from skelaug.skeleton.layout import SkeletonLayout

__all__ = ["BodyFrames", "Posed", "fit_body_frames", "reference_pose", "turned_about_y"]

_NO_MOMENT = 1e-4  # square metres: an observed joint is a centimetre off the axis, no more


class BodyFrames(NamedTuple):
    """The body frames of N windows.

    Attributes:
        origin: Where the root stands on average, metres, N 3.
        yaw: Angle about y that turns the reference pose onto the body, radians, N.
        size: Of the body; 1 = the reference pose's, N.
    """

    origin: Tensor
    yaw: Tensor
    size: Tensor


class Posed(Protocol):
    """A layout with a pose that bodies are compared with."""

    @property
    def layout(self) -> SkeletonLayout:
        """The joints."""
        ...

    @property
    def reference(self) -> NDArray[np.float64]:
        """The pose, V 3, metres: root at the origin, the right hip on the side of +x."""
        ...


def turned_about_y(points: Tensor, angle: Tensor) -> Tensor:
    """Points N ... 3 turned by a right-handed rotation about +y, by one angle (radians) per N."""
    shape = (-1, *[1] * (points.ndim - 2))
    cos, sin = angle.cos().view(shape), angle.sin().view(shape)
    x, y, z = points.unbind(dim=-1)
    return torch.stack([cos * x + sin * z, y, cos * z - sin * x], dim=-1)


def fit_body_frames(positions: Tensor, observed: Tensor, form: Posed) -> BodyFrames:
    """The body frame of each window, from any part of it that was observed.

    The size is the median ratio of observed bones to the reference's. The reference pose r of that
    size s is then laid on every frame t, free to move from frame to frame and turned once::

        minimise  sum over observed (t, v)  | x_tv - o_t - s R(yaw) r_v |^2

    so that ``yaw = atan2(B, A)`` with the sums A of ``x_x r_x + x_z r_z`` and B of
    ``x_x r_z - x_z r_x``, x measured from the mean of what was observed in its frame. The origin
    is the mean of o_t over the frames with anything observed. A window without an observed bone
    has size 1, one that says nothing about the direction yaw 0, an empty one origin 0.

    Args:
        positions: N T V 3, metres; unobserved entries may hold anything, NaN included.
        observed: N T V.
        form: The reference pose.

    Returns:
        Frames of the positions' dtype; they carry no gradient.
    """
    check_shape(positions, "N T V C", what="positions", V=form.layout.num_joints, C=3)
    check_shape(observed, "N T V", what="observed", N=len(positions), T=positions.shape[1])
    x = torch.where(observed[..., None], positions.detach(), 0).double()
    r = torch.as_tensor(form.reference, dtype=torch.float64, device=x.device)
    size = _sizes(x, observed, form)
    weight = observed.double()
    count = weight.sum(dim=2)
    share = weight / count.clamp(min=1)[..., None]
    x_mean = torch.einsum("ntv,ntvc->ntc", share, x)
    centred = (x - x_mean[:, :, None]) * weight[..., None]
    moments = torch.einsum("ntvc,vd->ncd", centred[..., ::2], r[:, ::2])
    cosine = (moments[:, 0, 0] + moments[:, 1, 1]) / size
    sine = (moments[:, 0, 1] - moments[:, 1, 0]) / size
    enough = torch.hypot(cosine, sine) > _NO_MOMENT * count.sum(dim=1)
    yaw = torch.where(enough, torch.atan2(sine, cosine), 0.0)
    placed = turned_about_y(size[:, None, None] * (share @ r), yaw)
    used = (count > 0).sum(dim=1).clamp(min=1)  # where nothing was observed both are 0
    origin = (x_mean - placed).sum(dim=1) / used[:, None]
    return BodyFrames(*(part.to(positions.dtype) for part in (origin, yaw, size)))


def _sizes(x: Tensor, observed: Tensor, form: Posed) -> Tensor:
    """Median ratio of the observed bones to the reference's, N; 1 where there is none."""
    bones = np.array(form.layout.bones, dtype=np.int64).reshape(-1, 2)
    lengths = bone_lengths(form.reference, form.layout)
    child, parent = torch.from_numpy(bones[lengths > 0].T.copy()).to(x.device)
    known = torch.as_tensor(lengths[lengths > 0], dtype=x.dtype, device=x.device)
    ratios = (x[:, :, child] - x[:, :, parent]).norm(dim=-1) / known
    seen = observed[:, :, child] & observed[:, :, parent]
    ratios = torch.where(seen & (ratios > 0), ratios, torch.nan).flatten(1)
    if not ratios.shape[1]:
        return x.new_ones(len(x))
    return ratios.nanmedian(dim=1).values.nan_to_num(nan=1.0)


def reference_pose(
    poses: NDArray[Any], observed: NDArray[np.bool_], layout: SkeletonLayout
) -> NDArray[np.float64]:
    """The typical pose of many: mean directions of the bones, median lengths, V 3, metres.

    Every pose is moved until its root lies in the origin and turned about y until its hips (left to
    right; without hips the pairs of mirror images together) point along +x. Poses in which root or
    hips were not observed do not count. A mean of poses alone would have limbs that shrink as they
    swing. A joint that was never observed lies on its parent.

    Args:
        poses: P V 3, metres; unobserved entries may hold anything.
        observed: P V.
        layout: The joints.

    Raises:
        DataError: There is no pose whose root and hips were observed.
    """
    check_shape(poses, "P V C", what="poses", V=layout.num_joints, C=3)
    sides = np.array([layout.hip_indices] if layout.hip_indices else layout.mirror, dtype=np.int64)
    left, right = sides.reshape(-1, 2).T
    usable = observed[:, [layout.root, *left, *right]].all(axis=1)
    if not usable.any():
        raise DataError(
            f"expected poses in which {layout.joints[layout.root]!r} and the hips were measured, "
            f"got none in {len(poses)}; check the file with `skelaug check`"
        )
    seen = observed[usable]
    x = np.where(seen[..., None], poses[usable], 0.0).astype(np.float64)
    x = np.where(seen[..., None], x - x[:, layout.root, None], 0.0)
    across = (x[:, right] - x[:, left]).sum(axis=1)
    yaw = np.arctan2(-across[:, 2], across[:, 0])
    turned = turned_about_y(torch.from_numpy(x), torch.from_numpy(-yaw)).numpy()
    mean = turned.sum(axis=0) / np.maximum(seen.sum(axis=0), 1)[:, None]
    lengths = bone_lengths(turned, layout)
    pose = np.zeros((layout.num_joints, 3))
    length_of = {child: lengths[:, bone] for bone, (child, _) in enumerate(layout.bones)}
    for joint in layout.tree_order[1:]:
        parent = layout.parents[joint]
        both = seen[:, joint] & seen[:, parent]
        bone = mean[joint] - mean[parent]
        norm = np.linalg.norm(bone)
        length = np.median(length_of[joint][both]) if both.any() else 0.0
        pose[joint] = pose[parent] + (bone / norm * length if norm > 0 else 0.0)
    return pose
