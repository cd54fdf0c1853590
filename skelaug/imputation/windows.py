"""What a model of motion sees of a clip: windows of one length and rate, each in its body frame.

Node ``3 v + c`` of a window is coordinate c of joint v. The root's row is the root in the body
frame; the other joints are relative to the root; all is standardised.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skelaug.errors import DataError
from skelaug.imputation.body_frame import BodyFrames, turned_about_y
from skelaug.shapes import check_shape
from skelaug.skeleton.layout import SkeletonLayout

__all__ = ["WindowForm", "steps_between"]


@dataclass(frozen=True, eq=False)
class WindowForm:
    """The form of the windows that a model takes.

    Attributes:
        layout: The joints.
        frames: Frames T of a window.
        fps: Its rate.
        reference: The typical pose, V 3, metres, root at the origin, hips along +x.
        mean: Of each node over the training windows, V*3, metres in the body frame.
        std: Its standard deviation; not 0.
    """

    layout: SkeletonLayout
    frames: int
    fps: float
    reference: NDArray[np.float64]
    mean: NDArray[np.float64]
    std: NDArray[np.float64]

    def __post_init__(self) -> None:
        nodes = 3 * self.layout.num_joints
        check_shape(self.reference, "V C", what="reference", V=self.layout.num_joints, C=3)
        check_shape(self.mean, "V*3", what="mean", **{"V*3": nodes})
        check_shape(self.std, "V*3", what="std", **{"V*3": nodes})

    @property
    def nodes(self) -> int:
        """Nodes of a window, V*3."""
        return len(self.mean)

    def stride(self, fps: float) -> int:
        """Frames of a clip of that rate from step to step of a window: see `steps_between`."""
        return steps_between(fps, self.fps)

    def features(self, positions: Tensor, frames: BodyFrames) -> Tensor:
        """Windows as the model sees them, N nodes T, standardised; differentiable.

        Args:
            positions: N T V 3, metres, without gaps (NaN stays NaN).
            frames: The windows' body frames.
        """
        check_shape(positions, "N T V C", what="positions", V=self.layout.num_joints, C=3)
        moved = positions - frames.origin[:, None, None]
        body = turned_about_y(moved, -frames.yaw) / frames.size[:, None, None, None]
        rows = body - body[:, :, self._root] * self._others.to(body)
        return (rows.flatten(2).mT - self._column("mean", body)) / self._column("std", body)

    def positions(self, features: Tensor, frames: BodyFrames) -> Tensor:
        """Metres N T V 3 of windows N nodes T; the inverse of `features`."""
        check_shape(features, "N nodes T", what="features", nodes=self.nodes)
        rows = (features * self._column("std", features) + self._column("mean", features)).mT
        rows = rows.reshape(*rows.shape[:2], -1, 3)
        body = rows + rows[:, :, self._root] * self._others.to(rows)
        turned = turned_about_y(body * frames.size[:, None, None, None], frames.yaw)
        return turned + frames.origin[:, None, None]

    def shown(self, features: Tensor, seen: Tensor) -> Tensor:
        """What a model may know of windows of which only a part was seen; the rest is 0.

        Joints are relative to the root. Where that was not seen, a stand-in takes its place: the
        root of the reference pose, laid on the joints that were seen in the frame.

        Args:
            features: N nodes T; entries that were not seen hold anything finite. Where a coordinate
                of the root was not seen, the others of that coordinate are relative to what the
                root's entry holds.
            seen: The same shape, bool.
        """
        check_shape(seen, "N nodes T", what="seen", nodes=self.nodes)
        rooted = slice(3 * self.layout.root, 3 * self.layout.root + 3)
        lost = ~seen[:, rooted]
        if lost.any():
            std, mean = self._column("std", features), self._column("mean", features)
            shape = (len(features), -1, 3, features.shape[2])  # N V 3 T
            rows, visible = (features * std + mean).reshape(shape), seen.reshape(shape)
            reference = torch.as_tensor(self.reference).to(features)[..., None]
            votes = torch.where(visible, rows - reference, 0.0).sum(dim=1)
            shift = torch.where(lost, votes / visible.sum(dim=1).clamp(min=1), 0.0)
            features = ((rows - shift[:, None]).flatten(1, 2) - mean) / std
        return torch.where(seen, features, 0.0)

    @property
    def _root(self) -> slice:
        return slice(self.layout.root, self.layout.root + 1)

    @property
    def _others(self) -> Tensor:
        """1 for the joints that are relative to the root, V 1."""
        return torch.arange(self.layout.num_joints)[:, None] != self.layout.root

    def _column(self, name: str, like: Tensor) -> Tensor:
        return torch.as_tensor(getattr(self, name)).to(like)[:, None]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values for a checkpoint's header, exact."""
        return {
            "layout": self.layout.to_json(),
            "frames": self.frames,
            "fps": self.fps,
            "reference": self.reference.tolist(),
            "mean": self.mean.tolist(),
            "std": self.std.tolist(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> WindowForm:
        """The form that `to_json` wrote.

        Raises:
            DataError: A key is missing or a size does not fit the layout.
        """
        try:
            return cls(
                layout=SkeletonLayout.from_json(data["layout"]),
                frames=int(data["frames"]),
                fps=float(data["fps"]),
                **{key: np.asarray(data[key], np.float64) for key in ("reference", "mean", "std")},
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"windows: expected the form of a window, got {error!r}") from error


def steps_between(fps: float, wanted: float) -> int:
    """How many frames of a clip make one step of a window, at least 1.

    A clip of a higher rate is read in interleaved phases, never resampled; one of a lower rate is
    read as it is.

    Args:
        fps: Rate of the clip.
        wanted: Rate of the window.
    """
    return max(1, round(fps / wanted))
