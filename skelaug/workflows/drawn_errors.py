"""Errors of a noise model put on true poses: how strong, and which way the body faces."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from skelaug.errors import DataError
from skelaug.refinement.noise_model import NoiseModel
from skelaug.seeds import Stream, generator
from skelaug.skeleton.layout import SkeletonLayout
from skelaug.skeleton.sequence import SkeletonSequence
from skelaug.workflows.noise_file import load_noise

__all__ = ["DrawnErrors", "corrupted", "load_errors", "turned"]


@dataclass(frozen=True, eq=False)
class DrawnErrors:
    """What a noise model adds to poses of others.

    Attributes:
        model: Conditioned on true poses.
        path: Its file.
        strength: The least and the greatest factor of a clip's errors; between them its logarithm
            is uniform.
        hips: Left and right hip; with them errors are those of a body that faces the sensor, as
            those were that the model was fitted to, and turn with it. None leaves them in the frame
            of the sensor.
    """

    model: NoiseModel
    path: Path
    strength: tuple[float, float] = (1.0, 1.0)
    hips: tuple[int, int] | None = None

    def of(self, poses: Tensor, numbers: torch.Generator) -> Tensor:
        """Errors N T V 3, metres, of true poses N T V 3 about the root."""
        n, t = poses.shape[:2]
        white = torch.randn(n, t, self.model.size, generator=numbers).to(poses)
        low, high = (math.log(strength) for strength in self.strength)
        strength = (low + (high - low) * torch.rand(n, generator=numbers)).exp()
        if self.hips is None:
            errors = self.model.draw(poses, noise=white)
        else:
            heading = _heading(poses, self.hips)
            errors = turned(self.model.draw(turned(poses, -heading), noise=white), heading)
        return errors * strength[:, None, None, None].to(errors)


def load_errors(
    name_or_path: str | Path,
    layout: SkeletonLayout,
    *,
    strength: tuple[float, float] = (1.0, 1.0),
    turn: bool = False,
) -> DrawnErrors:
    """What a noise model that was fitted elsewhere adds to poses.

    Args:
        name_or_path: A packaged model, a run of `skelaug train refiner`, or ``noise.safetensors``.
        layout: The joints of the poses.
        strength: Least and greatest factor of a clip's errors.
        turn: Whether errors turn with the hips.

    Raises:
        NotFoundError: There is no such model.
        DataError: It is of other joints, or they have no hips.
    """
    noise, hips = load_noise(name_or_path, "noise"), layout.hip_indices
    if noise.layout.joints != layout.joints:
        raise DataError(
            f"{noise.path}: expected a noise model of layout {layout.name} like the poses, got "
            f"{noise.layout.name}"
        )
    if turn and hips is None:
        raise DataError(
            f"{layout.name}: expected a layout with hips, which say where a body faces, got one "
            f"without; leave out turn=true"
        )
    return DrawnErrors(noise.model, noise.path, strength, hips if turn else None)


def corrupted(
    clip: SkeletonSequence, errors: DrawnErrors, *, seed: int, address: int
) -> SkeletonSequence:
    """A clip with errors drawn for each of its persons.

    Args:
        clip: Its joints are those of the errors.
        errors: What is added.
        seed: Root of every random number.
        address: Tells the clip from others.
    """
    positions, root = clip.positions.copy(), clip.layout.root
    for slot in range(clip.num_persons):
        x = torch.from_numpy(positions[None, :, slot])
        numbers = generator(seed, Stream.SAMPLE, address, slot)
        positions[:, slot] += errors.of(x - x[:, :, [root]], numbers)[0].numpy()
    return clip.replaced(positions=positions)


def turned(poses: Tensor, angle: Tensor) -> Tensor:
    """Poses N T V 3 turned right-handedly about +y by angles N T or N 1, radians."""
    sin, cos = angle.sin()[..., None], angle.cos()[..., None]
    x, y, z = poses.unbind(-1)
    return torch.stack([cos * x + sin * z, y, cos * z - sin * x], dim=-1)


def _heading(poses: Tensor, hips: tuple[int, int]) -> Tensor:
    """The angle about y, N T, from +x to the way from the left to the right hip, in each frame."""
    left, right = hips
    x, _, z = (poses[:, :, right] - poses[:, :, left]).unbind(-1)
    return torch.atan2(-z, x)
