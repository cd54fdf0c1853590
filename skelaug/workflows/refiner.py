"""A trained refiner, ready to refine clips: from its files to correctors."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, NonNegativeFloat, PositiveFloat, PositiveInt, ValidationError
from torch import Tensor

from skelaug.checkpoint import load_checkpoint
from skelaug.errors import DataError, NotFoundError, UsageError
from skelaug.imputation.windows import steps_between
from skelaug.models import REFINERS
from skelaug.refinement.process import (
    ErrorPredictor,
    cosine_process,
    flip_averaged,
    in_metres,
    refined,
)
from skelaug.refinement.rigid_bones import rigid_hints
from skelaug.refinement.windows import through_windows, window_rows
from skelaug.seeds import Stream, generator
from skelaug.skeleton.layout import SkeletonLayout
from skelaug.workflows.image_source import ready_network
from skelaug.workflows.noise_file import NoiseFile
from skelaug.workflows.refinement import Corrector, PoseTrack
from skelaug.workflows.refinement_report import Bones, RootWay
from skelaug.zoo import find_model, find_weights

__all__ = ["RefinerForm", "TrainedRefiner", "correcting", "load_refiner", "refining", "sampling"]

_TRAIN = "train one with `skelaug train refiner TRUTH.h5 --noisy NOISY.h5 --out RUN`"
_FRESH = 0.75  # of a window that the one before does not hold; more overlap costs time
_ON_CPU, _ELSEWHERE = 8, 256  # windows at a time; few stay in a processor's cache


class RefinerForm(BaseModel, frozen=True, extra="forbid"):
    """How a refiner's network is to be used.

    Attributes:
        frames: Frames of a window.
        fps: Their rate.
        unit: Metres per unit of its errors, the mean size of an error's coordinate.
        diffusion_steps: T.
        steps: K.
        flip: Whether it looks at mirror images too.
        keypoints: Whether it reads 2D poses.
        hints: Whether it reads `skelaug.refinement.rigid_bones.rigid_hints`.
        root: What becomes of the root's way.
        low_pass: Hertz above which what it says is cut off; 0 cuts nothing.
        bones: What becomes of the bones.
    """

    frames: PositiveInt
    fps: PositiveFloat
    unit: PositiveFloat
    diffusion_steps: PositiveInt = 50
    steps: PositiveInt = 2
    flip: bool = False
    keypoints: bool = False
    hints: bool = False
    root: RootWay = "keep"
    low_pass: NonNegativeFloat = 0.0
    bones: Bones = "keep"


@dataclass(frozen=True, eq=False)
class TrainedRefiner:
    """A trained refiner.

    Attributes:
        path: The file that it came from.
        predict: Finds errors in units; on `device`, in evaluation mode, frozen.
        form: How it is to be used.
        layout: The joints that it knows.
        device: Where it computes.
    """

    path: Path
    predict: ErrorPredictor
    form: RefinerForm
    layout: SkeletonLayout
    device: torch.device


def load_refiner(name_or_path: str | Path, *, device: torch.device) -> TrainedRefiner:
    """The refiner of a packaged model, a run directory or a safetensors file.

    Raises:
        NotFoundError: There is no such model, or it has no refiner.
        DataError: It is damaged, or a model of another kind.
    """
    try:
        path = find_weights(find_model(name_or_path), "refiner")
    except NotFoundError as error:
        raise NotFoundError(f"{error}; {_TRAIN}") from error
    checkpoint = load_checkpoint(path)
    if checkpoint.kind not in REFINERS:
        raise DataError(
            f"{path}: expected a refiner ({', '.join(REFINERS)}), got {checkpoint.kind}; {_TRAIN}"
        )
    try:
        form = RefinerForm.model_validate(checkpoint.meta.get("refiner"))
    except ValidationError as error:
        raise DataError(f"{path}: expected how to use the refiner, got none; {_TRAIN}") from error
    network = cast(ErrorPredictor, ready_network(checkpoint, device))
    return TrainedRefiner(path, network, form, checkpoint.layout, device)


def refining(
    refiner: TrainedRefiner, *, steps: int | None = None, flip: bool | None = None
) -> Corrector:
    """The corrector that a trained refiner is.

    Clips of a higher rate than the network's are read in interleaved phases.

    Args:
        refiner: The refiner.
        steps: K; as it was trained for if not given.
        flip: Whether mirror images are looked at; as it was trained for if not given.

    Raises:
        UsageError: More steps than the process has, or a layout without mirror images.
    """
    form, layout = refiner.form, refiner.layout
    count = form.steps if steps is None else steps
    if count > form.diffusion_steps:
        raise UsageError(f"--steps: expected at most {form.diffusion_steps}, got {count}")
    predict = in_metres(refiner.predict, form.unit)
    if form.flip if flip is None else flip:
        predict = flip_averaged(predict, layout.mirrored)
    process = cosine_process(form.diffusion_steps)
    batch = _ON_CPU if refiner.device.type == "cpu" else _ELSEWHERE

    def apply(poses: Tensor, keypoints: Tensor | None = None) -> Tensor:
        return refined(predict, poses, keypoints, process=process, root=layout.root, steps=count)

    def correct(tracks: Sequence[PoseTrack]) -> list[NDArray[np.floating]]:
        done: dict[int, NDArray[np.floating]] = {}
        by_stride: dict[int, list[int]] = defaultdict(list)
        for number, track in enumerate(tracks):
            by_stride[steps_between(track.fps, form.fps)].append(number)
        for stride, numbers in by_stride.items():
            some = [tracks[number] for number in numbers]
            lengths = [len(track.poses) for track in some]
            hop = max(1, round(_FRESH * form.frames))
            rows = window_rows(lengths, form.frames, stride=stride, hop=hop)
            inputs = [part.to(refiner.device) for part in _stacked(some)]
            if form.hints:
                hints = [rigid_hints(track.poses, track.fps, layout) for track in some]
                inputs.append(torch.from_numpy(np.concatenate(hints)).to(refiner.device))
            found = through_windows(apply, inputs, rows.to(refiner.device), batch=batch).cpu()
            done |= zip(
                numbers, (part.numpy() for part in torch.split(found, lengths)), strict=True
            )
        return [done[number] for number in range(len(tracks))]

    return correct


def _stacked(tracks: Sequence[PoseTrack]) -> list[Tensor]:
    """Poses and, where there are some, 2D poses of all frames."""
    found = [torch.from_numpy(np.concatenate([track.poses for track in tracks]))]
    keypoints = [track.keypoints for track in tracks if track.keypoints is not None]
    return [*found, torch.from_numpy(np.concatenate(keypoints))] if keypoints else found


def correcting(noise: NoiseFile) -> Corrector:
    """The plain linear corrector: poses less the error that is expected of them (Eq. 5)."""
    return _by_track(
        lambda poses, keypoints, _: poses - noise.model.expected_error(poses, keypoints)
    )


def sampling(noise: NoiseFile, *, seed: int, number: int) -> Corrector:
    """Draws a pose that the noisy one may stand for: it less an error drawn from the model.

    Args:
        noise: The corrector's noise model.
        seed: Root of the noise.
        number: Which draw of each clip.
    """

    def draw(poses: Tensor, keypoints: Tensor | None, address: int) -> Tensor:
        numbers = generator(seed, Stream.SAMPLE, address, number)
        white = torch.randn(1, poses.shape[1], noise.model.size, generator=numbers)
        return poses - noise.model.draw(poses, keypoints, noise=white)

    return _by_track(draw)


def _by_track(apply: Callable[[Tensor, Tensor | None, int], Tensor]) -> Corrector:
    def correct(tracks: Sequence[PoseTrack]) -> list[NDArray[Any]]:
        found = []
        for track in tracks:
            inputs = [part[None] for part in _stacked([track])]
            found.append(apply(inputs[0], inputs[1] if inputs[1:] else None, track.address)[0])
        return [poses.numpy() for poses in found]

    return correct
