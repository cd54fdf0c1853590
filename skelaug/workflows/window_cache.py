"""From a sequence file to tracks on disk, memory-mapped, and the form of the windows in them.

Every person of every training clip is a track. The tracks, their gaps filled, lie one after the
other in ``RUN/motions.h5``, so that memory stays flat in the number of clips. Every statistic sees
the training part only.
"""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from skelaug.data.store import SequenceFile
from skelaug.errors import DataError, UsageError
from skelaug.files import replacing_hdf5
from skelaug.imputation.body_frame import reference_pose
from skelaug.imputation.windows import WindowForm, steps_between
from skelaug.place import Place
from skelaug.progress import Progress, silent
from skelaug.skeleton.geometry import fill_missing
from skelaug.workflows.file_gaps import measured_joints
from skelaug.workflows.training_clips import TrainingClips
from skelaug.workflows.training_windows import TrainingWindows, WindowConfig

__all__ = ["sequences", "stand_in_windows", "training_windows"]

_POSES, _WINDOWS = 16384, 4096
_LEAST_STD = 0.02  # metres; what deviates less is near the noise of the sensor
_STAND_IN_FRAMES = 120


def training_windows(
    clips: TrainingClips,
    config: WindowConfig,
    *,
    cache: Path,
    place: Place,
    progress: Progress = silent,
) -> TrainingWindows:
    """The windows of the training clips; the first process writes their tracks, all map them.

    Raises:
        UsageError: The file holds images.
        DataError: Nothing was measured, or the clips have no three coordinates.
    """
    file = sequences(clips)
    if place.is_first:
        _write(clips, file, config, cache=cache, progress=progress)
    place.wait()
    with h5py.File(cache, "r") as made:
        form = WindowForm.from_json(json.loads(made.attrs["form"]))
        tracks, clip = made["tracks"][:], made["clip"][:]
    return TrainingWindows(clips, config, form, *_mapped(cache), tracks, clip)


def _mapped(cache: Path) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Positions and what was observed of a cache, as memory maps."""
    with h5py.File(cache, "r") as made:
        places = [
            (np.dtype(dtype), made[name].id.get_offset(), made[name].shape)
            for name, dtype in (("positions", np.float32), ("observed", np.bool_))
        ]
    positions, observed = (
        np.memmap(cache, dtype, mode="r", offset=offset, shape=shape)
        for dtype, offset, shape in places
    )
    return positions, observed


def sequences(clips: TrainingClips) -> SequenceFile:
    """The sequence file of the training clips.

    Raises:
        UsageError: The file holds images.
        DataError: The clips have no three coordinates.
    """
    if not isinstance(clips.file, SequenceFile):
        raise UsageError(
            f"{clips.file.path}: expected a file of sequences, got one of images; give the file "
            f"that the images were made from, or learn images with --set conditional=true"
        )
    if clips.file.channels != 3:
        raise DataError(
            f"{clips.file.path}: expected positions of 3 coordinates, got {clips.file.channels}; "
            f"a model of motion learns from 3D clips"
        )
    return clips.file


def _write(
    clips: TrainingClips,
    file: SequenceFile,
    config: WindowConfig,
    *,
    cache: Path,
    progress: Progress,
) -> None:
    """The tracks, then the form that is fitted on them."""
    tracks: list[tuple[int, int, int]] = []
    numbers: list[int] = []
    joints, rows = file.layout.num_joints, 0
    most = int(file.lengths[clips.rows].sum()) * file.persons
    with replacing_hdf5(cache) as made, progress("preparing", total=len(clips.rows)) as advance:
        positions = made.create_dataset("positions", (most, joints, 3), dtype=np.float32)
        observed = made.create_dataset("observed", (most, joints), dtype=np.uint8)
        positions[:0], observed[:0] = 0, 0  # contiguous datasets have their place from now on
        for number, row in enumerate(clips.rows):
            clip = file[int(row)]
            measured = measured_joints(clip)
            filled = fill_missing(clip.positions, measured, file.layout)
            stride = steps_between(clip.fps, config.fps)
            for person in np.flatnonzero(measured.any(axis=(0, 2))):
                span = slice(rows, rows + len(filled))
                positions[span] = filled[:, person]
                observed[span] = measured[:, person]
                tracks.append((rows, len(filled), stride))
                numbers.append(number)
                rows += len(filled)
            advance(1)
        if not tracks:
            raise DataError(
                f"{file.path}: expected training clips in which a joint was measured, got none; "
                f"look at it with `skelaug info`"
            )
        made["tracks"], made["clip"] = np.array(tracks), np.array(numbers)
    form = _fitted(clips, file, config, cache, np.array(tracks), np.array(numbers))
    with h5py.File(cache, "r+") as made:
        made.attrs["form"] = json.dumps(form.to_json())


def _fitted(
    clips: TrainingClips,
    file: SequenceFile,
    config: WindowConfig,
    cache: Path,
    tracks: NDArray[np.int64],
    clip: NDArray[np.int64],
) -> WindowForm:
    """Reference pose, mean and deviation of each node, of up to some thousand windows."""
    positions, observed = _mapped(cache)
    frames = int(tracks[-1, 0] + tracks[-1, 1])
    some = np.unique(np.linspace(0, frames - 1, min(_POSES, frames)).astype(np.int64))
    try:
        reference = reference_pose(positions[some], observed[some], file.layout)
    except DataError as error:
        raise DataError(f"{file.path}: {error}") from error
    nodes = 3 * file.layout.num_joints
    plain = WindowForm(
        file.layout, config.frames, config.fps, reference, np.zeros(nodes), np.ones(nodes)
    )
    windows = TrainingWindows(clips, config, plain, positions, observed, tracks, clip)
    count, total, squares = np.zeros(nodes), np.zeros(nodes), np.zeros(nodes)
    for x, seen in windows.spread(np.arange(len(tracks)), _WINDOWS):
        batch = windows.batch(x.double(), seen)
        values, known = batch.x.numpy(), batch.known.numpy()
        count += known.sum(axis=(0, 2))
        total += np.where(known, values, 0).sum(axis=(0, 2))
        squares += np.where(known, values**2, 0).sum(axis=(0, 2))
    mean = total / np.maximum(count, 1)
    variance = np.maximum(squares / np.maximum(count, 1) - mean**2, 0)
    std = np.maximum(np.sqrt(variance), _LEAST_STD)
    return WindowForm(file.layout, config.frames, config.fps, reference, mean, std)


def stand_in_windows(clips: TrainingClips, config: WindowConfig) -> TrainingWindows:
    """One random track for every clip, for measuring speed before anything is written.

    Raises:
        UsageError: The file holds images.
        DataError: The clips have no three coordinates.
    """
    layout = sequences(clips).layout
    shape = (_STAND_IN_FRAMES, layout.num_joints, 3)
    numbers, nodes = np.random.default_rng(0), 3 * layout.num_joints
    reference = numbers.standard_normal(shape[1:])
    return TrainingWindows(
        clips=clips,
        config=config,
        form=WindowForm(
            layout, config.frames, config.fps, reference, np.zeros(nodes), np.ones(nodes)
        ),
        positions=numbers.standard_normal(shape, dtype=np.float32),
        observed=np.ones(shape[:2], dtype=np.bool_),
        tracks=np.tile(np.array([0, _STAND_IN_FRAMES, 1]), (len(clips.rows), 1)),
        clip=np.arange(len(clips.rows)),
    )
