"""A noise model on disk: ``corrector.safetensors`` and ``noise.safetensors`` of a refiner's run.

Both say how poses and true poses differ. The corrector is conditioned on the noisy pose: it finds
errors and draws true poses that a noisy one may stand for. The noise is conditioned on the true
pose: it makes noisy poses of others.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

from skelaug.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from skelaug.errors import DataError, NotFoundError
from skelaug.refinement.noise_model import NoiseModel
from skelaug.skeleton.layout import SkeletonLayout
from skelaug.zoo import find_model, find_weights

__all__ = ["CORRECTOR", "NOISE", "NoiseFile", "load_noise", "save_noise"]

Role = Literal["corrector", "noise"]
CORRECTOR, NOISE = "corrector.safetensors", "noise.safetensors"


class NoiseFile(NamedTuple):
    """A noise model and what it was fitted to.

    Attributes:
        model: The noise model.
        layout: The joints.
        fps: Frames per second of the clips.
        path: The file.
    """

    model: NoiseModel
    layout: SkeletonLayout
    fps: float
    path: Path


def save_noise(path: Path, model: NoiseModel, layout: SkeletonLayout, fps: float) -> None:
    """Write a noise model; the role is the name of the file."""
    meta = {"what": path.stem, "model": model.to_json(), "fps": fps}
    save_checkpoint(path, Checkpoint("noise-model", {}, model.to_tensors(), layout, (), meta))


def load_noise(name_or_path: str | Path, role: Role) -> NoiseFile:
    """The noise model of a packaged model, a run directory or a safetensors file.

    Raises:
        NotFoundError: There is no such model, or it has no such file.
        DataError: It is damaged or of another role.
    """
    try:
        path = find_weights(find_model(name_or_path), role)
    except NotFoundError as error:
        raise NotFoundError(
            f"{error}; make one with `skelaug train refiner TRUTH.h5 --noisy NOISY.h5 --out RUN`"
        ) from error
    checkpoint = load_checkpoint(path, expect=role)
    try:
        told = checkpoint.meta["model"]
        model = NoiseModel.from_parts(checkpoint.weights, told)
        return NoiseFile(model, checkpoint.layout, float(checkpoint.meta["fps"]), path)
    except (KeyError, TypeError, ValueError, DataError) as error:
        raise DataError(f"{path}: expected a noise model, got {error}; train it again") from error
