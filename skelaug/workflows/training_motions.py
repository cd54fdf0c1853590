"""From a sequence file to what a recognizer learns from: prepared positions, memory-mapped.

The first half of the preparation (`Profile.place`) is done once per training clip and kept in
``RUN/motions.h5``; augmentation and the second half (`Profile.fit`) follow for every clip of every
batch. Memory stays flat in the number of clips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, PositiveInt
from torch import Tensor

from skelaug.augment import AugmentationConfig, augment
from skelaug.data.store import SequenceFile
from skelaug.errors import DataError, UsageError
from skelaug.files import replacing_hdf5
from skelaug.models.recognizers.streams import as_streams
from skelaug.place import Place
from skelaug.progress import Progress, silent
from skelaug.seeds import Stream, numpy_generator
from skelaug.skeleton.layout import SkeletonLayout
from skelaug.skeleton.preparation import Profile, get_profile
from skelaug.workflows.training_clips import TrainingClips

__all__ = ["PreparationConfig", "TrainingMotions", "stand_in_motions", "training_motions"]

_STAND_IN_FRAMES = 60


class PreparationConfig(BaseModel, frozen=True, extra="forbid"):
    """How clips are made ready for the network; the checkpoint carries it along.

    Attributes:
        profile: A key of `skelaug.skeleton.preparation.PROFILES`.
        frames: Frames of the network's input; None = as the profile has it.
        persons: Persons of the network's input; None = as many as the file has.
    """

    profile: str = "heading"
    frames: PositiveInt | None = None
    persons: PositiveInt | None = None

    def resolved(self, file_persons: int) -> PreparationConfig:
        """The same without None, for clips of so many persons."""
        frames = self.frames or get_profile(self.profile).frames
        return self.model_copy(update={"frames": frames, "persons": self.persons or file_persons})


@dataclass(frozen=True, eq=False)
class TrainingMotions:
    """The prepared positions of the training part.

    Attributes:
        clips: Where they come from.
        preparation: How they were prepared, without None.
        streams: What the network sees of them.
        layout: Their joints.
        positions: F M V C, the frames of all training clips, read-only and memory-mapped.
        spans: N 2; clip i is rows spans[i, 0] to spans[i, 1].
    """

    clips: TrainingClips
    preparation: PreparationConfig
    streams: Sequence[str]
    layout: SkeletonLayout
    positions: NDArray[np.float32]
    spans: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.spans)

    @property
    def profile(self) -> Profile:
        """The preparation's two halves."""
        return get_profile(self.preparation.profile)

    @property
    def channels(self) -> int:
        """Channels of the network's input: coordinates times streams."""
        return int(self.positions.shape[-1]) * len(self.streams)

    @property
    def labelled(self) -> NDArray[np.int64]:
        """Numbers of the clips whose class is known."""
        return np.flatnonzero(self.clips.labels >= 0).astype(np.int64)

    def batch(
        self,
        which: NDArray[np.int64],
        config: AugmentationConfig,
        *,
        seed: int,
        step: int,
        first: int = 0,
    ) -> tuple[Tensor, Tensor]:
        """Varied clips as the network sees them (N C*S T V M) and their labels (N).

        What happens to the n-th clip depends on (seed, step, n) alone.

        Args:
            which: Numbers of the clips within the training part.
            config: How they are varied.
            seed: Root of every random number.
            step: Number of the update.
            first: Place of the first of them in the batch.
        """
        varied: list[NDArray[np.float32]] = []
        for place, number in enumerate(which, start=first):
            numbers = numpy_generator(seed, Stream.AUGMENT, step, place)
            clip = self.positions[slice(*self.spans[number])]
            clip, _ = augment(config, clip, self.layout, generator=numbers)
            varied.append(self.profile.fit(clip, self.preparation.frames, numbers))
        shape = (self.preparation.frames or 0, *self.positions.shape[1:])
        stacked = np.stack(varied) if varied else np.empty((0, *shape), dtype=np.float32)
        x = torch.from_numpy(stacked).permute(0, 4, 1, 3, 2)
        labels = torch.from_numpy(self.clips.labels[which])
        return as_streams(x, self.streams, self.layout.parents), labels

    def facts(self) -> dict[str, Any]:
        """What a checkpoint says about the form of its input; plain JSON values."""
        return {
            "preparation": self.preparation.model_dump(mode="json"),
            "streams": list(self.streams),
        }


def training_motions(
    clips: TrainingClips,
    config: PreparationConfig,
    streams: Sequence[str],
    *,
    cache: Path,
    place: Place,
    progress: Progress = silent,
) -> TrainingMotions:
    """The prepared training clips; the first process writes them to `cache`, all map it.

    Raises:
        UsageError: The file holds images.
        DataError: A clip cannot be prepared.
    """
    file = _sequences(clips)
    preparation = config.resolved(file.persons)
    if place.is_first:
        _write(clips, file, preparation, cache=cache, progress=progress)
    place.wait()
    with h5py.File(cache, "r") as made:
        offsets = made["offsets"][:]
        dataset = made["positions"]
        shape, start = dataset.shape, dataset.id.get_offset()
    return TrainingMotions(
        clips=clips,
        preparation=preparation,
        streams=streams,
        layout=file.layout,
        positions=np.memmap(cache, np.float32, mode="r", offset=start, shape=shape),
        spans=np.stack([offsets[:-1], offsets[1:]], axis=1),
    )


def _sequences(clips: TrainingClips) -> SequenceFile:
    if not isinstance(clips.file, SequenceFile):
        raise UsageError(
            f"{clips.file.path}: expected a file of sequences, got one of images; give the file "
            f"that the images were made from"
        )
    return clips.file


def _write(
    clips: TrainingClips,
    file: SequenceFile,
    preparation: PreparationConfig,
    *,
    cache: Path,
    progress: Progress,
) -> None:
    profile, persons = get_profile(preparation.profile), preparation.persons or 1
    shape = (persons, file.layout.num_joints, file.channels)
    rows, offsets = int(file.lengths[clips.rows].sum()), [0]
    with replacing_hdf5(cache) as made, progress("preparing", total=len(clips.rows)) as advance:
        positions = made.create_dataset("positions", (rows, *shape), dtype=np.float32)
        positions[:0] = 0  # a contiguous dataset has its place in the file from now on
        for row in clips.rows:
            try:
                placed = profile.place(file[int(row)], persons)
            except DataError as error:
                raise DataError(f"{file.path}: {error}") from error
            positions[offsets[-1] : offsets[-1] + len(placed)] = placed
            offsets.append(offsets[-1] + len(placed))
            advance(1)
        made["offsets"] = np.asarray(offsets, dtype=np.int64)


def stand_in_motions(
    clips: TrainingClips, config: PreparationConfig, streams: Sequence[str]
) -> TrainingMotions:
    """One random motion for every clip, for measuring speed before anything is written.

    Raises:
        UsageError: The file holds images, or the profile is unknown.
    """
    file = _sequences(clips)
    preparation = config.resolved(file.persons)
    shape = (_STAND_IN_FRAMES, preparation.persons or 1, file.layout.num_joints, file.channels)
    return TrainingMotions(
        clips=clips,
        preparation=preparation,
        streams=streams,
        layout=file.layout,
        positions=np.random.default_rng(0).standard_normal(shape, dtype=np.float32),
        spans=np.tile(np.array([0, _STAND_IN_FRAMES]), (len(clips.rows), 1)),
    )
