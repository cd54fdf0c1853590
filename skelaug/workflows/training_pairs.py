"""The windows of noisy and true poses that a refiner learns from, memory-mapped."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skelaug.errors import DataError
from skelaug.files import replacing_hdf5
from skelaug.place import Place
from skelaug.progress import Progress, silent
from skelaug.refinement.moments import Moments, normality
from skelaug.refinement.noise_model import NoiseModel, fit_noise_model
from skelaug.refinement.windows import window_rows
from skelaug.skeleton.layout import SkeletonLayout
from skelaug.workflows.noise_file import CORRECTOR, NOISE, load_noise, save_noise
from skelaug.workflows.pose_pairs import NoisyClips, pose_pairs
from skelaug.workflows.refiner import RefinerForm
from skelaug.workflows.training_clips import TrainingClips
from skelaug.workflows.window_cache import sequences

__all__ = ["PairConfig", "TrainingPairs", "stand_in_pairs", "training_pairs"]

_STAND_IN_FRAMES = 120


class PairConfig(NamedTuple):
    """How pairs become lessons.

    Attributes:
        hop: Frames between windows.
        fps: Of clips of a higher rate every k-th frame is taken; None takes all.
        persistent: Whether errors of neighbouring frames are modelled as correlated, and how.
        given_pose: Whether the noise depends on the true pose.
    """

    hop: int
    fps: float | None = None
    persistent: bool | Literal["matrix"] = True
    given_pose: bool = True


@dataclass(frozen=True, eq=False)
class TrainingPairs:
    """The training part.

    Attributes:
        clips: Where it comes from.
        form: Of the windows, and of the network that reads them.
        hop: Frames between windows.
        truth: Poses of all frames about the root, F V 3, metres.
        noisy: The same with errors, F V 3.
        keypoints: F V 2, or None.
        lengths: Frames of each person of each clip.
        corrector: Of the errors, conditioned on noisy poses.
        told: What a checkpoint says of the errors.
        frame_estimate: Weights of the fitted `FrameEstimate`; None where there is none, or where
            speed is measured.
    """

    clips: TrainingClips
    form: RefinerForm
    hop: int
    truth: NDArray[np.float32]
    noisy: NDArray[np.float32]
    keypoints: NDArray[np.float32] | None
    lengths: Sequence[int]
    corrector: NoiseModel
    told: dict[str, Any]
    frame_estimate: Mapping[str, Tensor] | None = None

    @property
    def layout(self) -> SkeletonLayout:
        """The joints."""
        return sequences(self.clips).layout

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """Frame numbers of the windows, W T."""
        return window_rows(self.lengths, self.form.frames, hop=self.hop).numpy()

    def read(self, windows: NDArray[np.int64]) -> tuple[Tensor, Tensor, Tensor | None]:
        """True and noisy poses N T V 3 and 2D poses N T V 2 of windows N."""
        rows = self.rows[windows]
        truth, noisy = (torch.from_numpy(x[rows]) for x in (self.truth, self.noisy))
        return (
            truth,
            noisy,
            None if self.keypoints is None else torch.from_numpy(self.keypoints[rows]),
        )

    def facts(self) -> dict[str, Any]:
        """What a checkpoint says about its use; plain JSON values."""
        return {
            "refiner": self.form.model_dump(),
            "errors": self.told,
            "unlabelled": self.clips.unlabelled,
        }


def training_pairs(
    clips: TrainingClips,
    noisy: NoisyClips,
    form: RefinerForm,
    config: PairConfig,
    *,
    cache: Path,
    place: Place,
    progress: Progress = silent,
) -> TrainingPairs:
    """The pairs of the training part and the noise models that are fitted to them.

    The first process writes the pairs into `cache` and the models beside it; all read them.

    Args:
        clips: The true clips.
        noisy: The noisy ones.
        form: Of the windows; the unit is fitted here.
        config: How densely windows lie, and what is fitted.
        cache: The file of pairs.
        place: Which process this is.
        progress: Shows the clips.

    Raises:
        DataError: There are no pairs, or too few for a noise model.
    """
    if place.is_first:
        _write(clips, noisy, form, config, cache=cache, progress=progress)
    place.wait()
    corrector = load_noise(cache.parent / CORRECTOR, "corrector").model
    with h5py.File(cache, "r") as made:
        told: dict[str, Any] = json.loads(made.attrs["told"])
        lengths = made["lengths"][:].tolist()
    truth, other, *keypoints = _mapped(cache, with_keypoints=form.keypoints)
    return TrainingPairs(
        clips=clips,
        form=form.model_copy(update={"unit": told["mean_size"]}),
        hop=config.hop,
        truth=truth,
        noisy=other,
        keypoints=keypoints[0] if keypoints else None,
        lengths=lengths,
        corrector=corrector,
        told=told,
    )


def _write(
    clips: TrainingClips,
    noisy: NoisyClips,
    form: RefinerForm,
    config: PairConfig,
    *,
    cache: Path,
    progress: Progress,
) -> None:
    """The pairs, and the noise models of what was summed up on the way."""
    file = sequences(clips)
    root, joints = file.layout.root, file.layout.num_joints
    most = int(file.lengths[clips.rows].sum()) * file.persons
    channels = {"truth": 3, "noisy": 3, **({"keypoints": 2} if form.keypoints else {})}
    lengths: list[int] = []
    size, start, skipped = 0.0, 0, 0
    given_noisy: list[Moments] = []
    given_truth: list[Moments] = []
    with replacing_hdf5(cache) as made, progress("preparing", total=len(clips.rows)) as advance:
        for name, count in channels.items():
            made.create_dataset(name, (most, joints, count), dtype=np.float32)[:0] = 0
        for row in clips.rows.tolist():
            for pair in pose_pairs(
                file, [row], noisy, with_keypoints=form.keypoints, fps=config.fps
            ):
                if pair is None:
                    skipped += 1
                    continue
                end = start + len(pair.truth)
                for name in channels:
                    made[name][start:end] = getattr(pair, name)
                start = end
                lengths.append(len(pair.truth))
                x0, xn = (torch.from_numpy(x)[None] for x in (pair.truth, pair.noisy))
                y = None if pair.keypoints is None else torch.from_numpy(pair.keypoints)[None]
                size += float((xn - x0).abs().double().sum())
                _add(given_noisy, Moments.of(xn - x0, xn, y, root=root))
                _add(given_truth, Moments.of(xn - x0, x0, root=root))
            advance(1)
        if not lengths:
            raise DataError(
                f"{file.path}: expected training clips of which the noisy poses in {noisy.path} "
                f"are whole, got none; fill gaps first with `skelaug impute`"
            )
        corrector = fit_noise_model(given_noisy[0], persistent=config.persistent)
        told = {
            **_shape(given_noisy[0]),
            "mean_size": size / (3 * (joints - 1) * sum(lengths)),
            "persistence": corrector.persistence,
            "persons": len(lengths),
            "left_out": skipped,
        }
        made["lengths"] = np.array(lengths)
        made.attrs["told"] = json.dumps(told)
    noise = fit_noise_model(
        given_truth[0], persistent=config.persistent, given_pose=config.given_pose
    )
    for name, model in ((CORRECTOR, corrector), (NOISE, noise)):
        save_noise(cache.parent / name, model, file.layout, form.fps)


def _add(moments: list[Moments], more: Moments) -> None:
    """Add to the one element of a list that is empty at first."""
    moments[:] = [moments[0] + more] if moments else [more]


def _shape(moments: Moments) -> dict[str, float]:
    """How far the errors are from Gaussian: medians over coordinates."""
    skewness, kurtosis = normality(moments)
    return {
        "skewness": float(skewness.abs().nanmedian()),
        "excess_kurtosis": float(kurtosis.nanmedian()),
    }


def _mapped(cache: Path, *, with_keypoints: bool) -> list[NDArray[np.float32]]:
    """Poses and, if wanted, 2D poses of a cache, as memory maps."""
    names = ["truth", "noisy", *(["keypoints"] if with_keypoints else [])]
    with h5py.File(cache, "r") as made:
        places = [(made[name].id.get_offset(), made[name].shape) for name in names]
    return [
        np.memmap(cache, np.float32, mode="r", offset=offset, shape=shape)
        for offset, shape in places
    ]


def stand_in_pairs(clips: TrainingClips, form: RefinerForm, *, hop: int) -> TrainingPairs:
    """Random poses with random errors, for measuring speed before anything is written.

    Raises:
        UsageError: The file holds images.
        DataError: The clips have no three coordinates.
    """
    layout = sequences(clips).layout
    numbers, shape = np.random.default_rng(0), (_STAND_IN_FRAMES, layout.num_joints)
    truth, noisy, keypoints = (
        numbers.standard_normal((*shape, count), dtype=np.float32) for count in (3, 3, 2)
    )
    a = 3 * (layout.num_joints - 1)
    b = a + (2 * layout.num_joints if form.keypoints else 0)
    corrector = NoiseModel(
        joints=layout.num_joints,
        root=layout.root,
        with_keypoints=form.keypoints,
        mean_error=torch.zeros(a, dtype=torch.float64),
        mean_condition=torch.zeros(b, dtype=torch.float64),
        regression=torch.zeros(a, b, dtype=torch.float64),
        cholesky=torch.eye(a, dtype=torch.float64),
    )
    return TrainingPairs(
        clips=clips,
        form=form,
        hop=hop,
        truth=truth,
        noisy=noisy,
        keypoints=keypoints if form.keypoints else None,
        lengths=[_STAND_IN_FRAMES],
        corrector=corrector,
        told={},
    )
