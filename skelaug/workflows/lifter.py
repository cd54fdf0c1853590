"""A trained lifter, ready to turn 2D clips into 3D ones: from a checkpoint to its use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from skelaug.checkpoint import Checkpoint, load_checkpoint
from skelaug.errors import DataError, NotFoundError
from skelaug.imputation.windows import steps_between
from skelaug.models import LIFTERS
from skelaug.refinement.process import flipped
from skelaug.refinement.windows import through_windows, window_rows
from skelaug.skeleton.layout import SkeletonLayout
from skelaug.workflows.image_source import ready_network
from skelaug.zoo import find_model, find_weights

__all__ = ["ROLE", "TrainedLifter", "lifting", "load_lifter"]

ROLE = "lifter"
_TRAIN = "train one with `skelaug train lifter DATA.h5 --out RUN`"
_WINDOWS = 16  # at a time


def lifting(
    network: nn.Module, layout: SkeletonLayout, *, flip: bool
) -> Callable[[Tensor], Tensor]:
    """From keypoints N T V 2 to poses N T V 3 in metres, the root at the origin.

    Args:
        network: One of `LIFTERS`. What it says about the root is left out.
        layout: The joints.
        flip: Whether the poses of the mirrored keypoints, mirrored back, are averaged in; never
            where the layout has no mirror images.
    """
    flip = flip and bool(layout.mirror)

    def lift(keypoints: Tensor) -> Tensor:
        poses: Tensor = network(keypoints)
        if flip:
            swap = layout.mirrored
            poses = (poses + flipped(network(flipped(keypoints, swap)), swap)) / 2
        rooted = poses.clone()
        rooted[:, :, layout.root] = 0
        return rooted

    return lift


@dataclass(frozen=True, eq=False)
class TrainedLifter:
    """A trained lifter.

    Attributes:
        name: What the user called it.
        path: The file that it came from.
        checkpoint: Its weights, layout and meta data.
        network: On `device`, in evaluation mode, frozen.
        frames: Frames of the windows that it knows.
        fps: Their rate.
        flip: Whether it averages over mirror images.
        device: Where it computes.
    """

    name: str
    path: Path
    checkpoint: Checkpoint
    network: nn.Module
    frames: int
    fps: float
    flip: bool
    device: torch.device

    @property
    def layout(self) -> SkeletonLayout:
        """The joints that it knows."""
        return self.checkpoint.layout

    def check_clips(self, layout: SkeletonLayout, *, where: str) -> None:
        """Make sure that clips have the joints that the lifter knows.

        Raises:
            DataError: They have others.
        """
        if layout.joints != self.layout.joints:
            raise DataError(
                f"{where}: expected layout {self.layout.name} as in model {self.name}, got "
                f"{layout.name}; convert the recordings with `--layout {self.layout.name}`, or "
                f"{_TRAIN} and name it with --model RUN"
            )

    def lift(self, keypoints: NDArray[np.floating], fps: float) -> NDArray[np.float32]:
        """The poses T V 3 of one person, metres, the root at the origin.

        The clip goes through windows that overlap by half and agree on the seams, so that it may be
        of any length; besides the clip, the memory is that of some windows.

        Args:
            keypoints: T V 2, normalised, without gaps.
            fps: Frames per second; at a multiple of the lifter's rate, windows skip frames.
        """
        stride = steps_between(fps, self.fps)
        rows = window_rows([len(keypoints)], self.frames, stride=stride)
        apply = lifting(self.network, self.layout, flip=self.flip)
        seen = torch.from_numpy(np.array(keypoints, dtype=np.float32)).to(self.device)
        with torch.no_grad():
            poses = through_windows(apply, [seen], rows.to(self.device), batch=_WINDOWS)
        return np.asarray(poses.cpu().numpy(), dtype=np.float32)


def load_lifter(name_or_path: str | Path, *, device: torch.device | None = None) -> TrainedLifter:
    """The lifter of a packaged model, a run directory or a safetensors file.

    Raises:
        NotFoundError: There is no such model, or it has no lifter.
        DataError: It is damaged, or a model of another kind.
    """
    model, place = find_model(name_or_path), device or torch.device("cpu")
    try:
        path = find_weights(model, ROLE)
    except NotFoundError as error:
        raise NotFoundError(f"model {name_or_path}: it has no lifter; {_TRAIN}") from error
    checkpoint = load_checkpoint(path)
    form = checkpoint.meta.get("lifter")
    if checkpoint.kind not in LIFTERS or not isinstance(form, dict):
        raise DataError(
            f"{path}: expected a lifter ({', '.join(LIFTERS)}), got {checkpoint.kind}; {_TRAIN}"
        )
    return TrainedLifter(
        name=str(name_or_path),
        path=path,
        checkpoint=checkpoint,
        network=ready_network(checkpoint, place),
        frames=int(form["frames"]),
        fps=float(form["fps"]),
        flip=bool(checkpoint.meta.get("flip", False)),
        device=place,
    )
