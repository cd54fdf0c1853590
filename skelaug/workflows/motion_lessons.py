"""What a model of motion learns from: windows of any clips, or whole clips of labelled actions.

Both ways end in the same tensors. Unconditional models learn windows in their body frames, to
impute and to score; conditional ones skeleton images of whole clips, to draw samples of actions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from skelaug.errors import DataError
from skelaug.imputation.windows import steps_between
from skelaug.optimisation import batch_indices
from skelaug.place import Place
from skelaug.progress import Progress
from skelaug.seeds import Stream, generator, numpy_generator
from skelaug.workflows.run_directory import RunDirectory
from skelaug.workflows.tempo import tempo_warnings
from skelaug.workflows.training_clips import TrainingClips
from skelaug.workflows.training_images import (
    AugmentConfig,
    ImageTrainingConfig,
    TrainingImages,
    image_material,
    stand_in_images,
)
from skelaug.workflows.training_occlusion import draw_occlusions
from skelaug.workflows.training_run import Material
from skelaug.workflows.training_windows import (
    TrainingWindows,
    VariationConfig,
    WindowBatch,
    WindowConfig,
    windows_in,
)
from skelaug.workflows.window_cache import sequences, stand_in_windows, training_windows

__all__ = [
    "ImageLessons",
    "Lesson",
    "Lessons",
    "LessonsConfig",
    "Parts",
    "WindowLessons",
    "as_nodes",
    "lessons",
]

_CHUNK = 256


class LessonsConfig(ImageTrainingConfig, frozen=True, extra="forbid"):
    """From what a model of motion learns.

    Attributes:
        conditional: Learn whole clips of labelled actions as skeleton images, to draw samples of
            them, instead of windows of any clips.
        windows: What an unconditional model sees of a clip.
        variation: How windows are varied.
        augment: How images are varied.
        occlusion: Share of the windows of which the encoder is shown a part only, as a camera may
            see them; they are learnt whole. Without meaning for images.
        held_out: Share of the training clips that only judge; no class is held out whole.
    """

    conditional: bool = False
    windows: WindowConfig = WindowConfig()
    variation: VariationConfig = VariationConfig()
    augment: AugmentConfig = AugmentConfig()
    occlusion: float = Field(default=0.0, ge=0.0, le=1.0)
    held_out: float = Field(default=0.05, ge=0.0, lt=1.0)


class Lesson(NamedTuple):
    """Some windows and their classes.

    Attributes:
        windows: N nodes T each.
        labels: N, int64; 0 where there are no classes.
    """

    windows: WindowBatch
    labels: Tensor


class Parts(NamedTuple):
    """Numbers of the samples of a material that teach and that judge, ascending."""

    taught: NDArray[np.int64]
    held_out: NDArray[np.int64]


class Lessons(Protocol):
    """One way to learn; a material is `TrainingWindows` or `TrainingImages`."""

    def prepare(
        self, clips: TrainingClips, directory: RunDirectory, place: Place, progress: Progress
    ) -> Material:
        """The material of the training clips."""
        ...

    def stand_in(self, clips: TrainingClips, count: int) -> Material:
        """Random material, for measuring speed."""
        ...

    def samples(self, clips: TrainingClips) -> int:
        """What one pass over the training clips counts."""
        ...

    def check(self, clips: TrainingClips) -> list[str]:
        """Warnings.

        Raises:
            DataError: The clips cannot be learnt from.
        """
        ...

    def sizes(self, material: Any) -> dict[str, Any]:
        """Those arguments of a network that the material decides."""
        ...

    def scale(self, material: Any) -> Tensor:
        """What one standard deviation of each node is, nodes."""
        ...

    def parts(self, material: Any) -> Parts:
        """Which samples teach and which judge."""
        ...

    def taught(self, material: Any, batch: int) -> Callable[[int], Lesson]:
        """From the number of an update to what it learns from."""
        ...

    def examined(self, material: Any, most: int, *, occluded: bool) -> Iterator[Lesson]:
        """Up to so many samples that judge, not varied, the same each time, some at a time."""
        ...


def lessons(config: LessonsConfig) -> Lessons:
    """The way that a configuration asks for."""
    return ImageLessons(config) if config.conditional else WindowLessons(config)


@dataclass(frozen=True)
class WindowLessons:
    """Windows of any clips, labelled or not; see `Lessons`.

    Attributes:
        config: How they are cut, varied and occluded.
    """

    config: LessonsConfig

    def prepare(
        self, clips: TrainingClips, directory: RunDirectory, place: Place, progress: Progress
    ) -> TrainingWindows:
        """The tracks of the training clips, cached in the run directory."""
        return training_windows(
            clips, self.config.windows, cache=directory.motions, place=place, progress=progress
        )

    def stand_in(self, clips: TrainingClips, count: int) -> TrainingWindows:
        """Random tracks."""
        del count
        return stand_in_windows(clips, self.config.windows)

    def samples(self, clips: TrainingClips) -> int:
        """Windows of the training clips, of one person each."""
        file, rows, windows = sequences(clips), clips.rows, self.config.windows
        strides = np.array([steps_between(float(fps), windows.fps) for fps in file.fps[rows]])
        return int(windows_in(file.lengths[rows], strides, windows).sum())

    def check(self, clips: TrainingClips) -> list[str]:
        """That there are three coordinates; clips that are read at another tempo."""
        file, fps = sequences(clips), self.config.windows.fps
        where = file.path.name
        return tempo_warnings(file.fps[clips.rows], fps, where=where, whose="windows.fps is")

    def sizes(self, material: TrainingWindows) -> dict[str, Any]:
        """Nodes and frames; whether the encoder reads what it was shown."""
        own = {"nodes": material.form.nodes, "frames": material.form.frames}
        return {**own, "reads_mask": True} if self.config.occlusion else own

    def scale(self, material: TrainingWindows) -> Tensor:
        """Metres of a body of size 1."""
        return torch.from_numpy(material.form.std).float()

    def parts(self, material: TrainingWindows) -> Parts:
        """Tracks; those of one clip stay together."""
        clips = np.unique(material.clip)
        order = numpy_generator(self.config.seed, Stream.SPLIT).permutation(clips)
        held = np.isin(material.clip, order[: round(self.config.held_out * len(clips))])
        return Parts(np.flatnonzero(~held), np.flatnonzero(held))

    def taught(self, material: TrainingWindows, batch: int) -> Callable[[int], Lesson]:
        """Windows at random places of tracks, varied and occluded."""
        config, tracks = self.config, self.parts(material).taught
        total = int(material.counts[tracks].sum())

        def taught(step: int) -> Lesson:
            which = batch_indices(config.seed, step, batch=batch, count=total)
            numbers = generator(config.seed, Stream.AUGMENT, step)
            track, first = material.located(which, tracks)
            times = material.times(track, first, config.variation, numbers)
            x, observed = material.read(track, times)
            if config.variation.mirror and material.layout.mirror:
                is_mirrored = torch.rand(batch, generator=numbers) < config.variation.mirror
                x, observed = material.mirrored(x, observed, is_mirrored)
            return self._lesson(material, x, observed, numbers, share=config.occlusion)

        return taught

    def examined(self, material: TrainingWindows, most: int, *, occluded: bool) -> Iterator[Lesson]:
        """Windows of the tracks that are held out."""
        tracks = self.parts(material).held_out
        for number, (x, observed) in enumerate(material.spread(tracks, most)):
            numbers = generator(self.config.seed, Stream.EVALUATE, number)
            yield self._lesson(material, x, observed, numbers, share=1.0 if occluded else 0.0)

    def _lesson(
        self,
        material: TrainingWindows,
        x: Tensor,
        observed: Tensor,
        numbers: torch.Generator,
        *,
        share: float,
    ) -> Lesson:
        """A lesson of which a share is occluded; a model that reads no mask is shown all."""
        hidden = None
        if self.config.occlusion:
            n, t, _ = observed.shape
            hidden = draw_occlusions(n, t, material.layout, share=share, numbers=numbers)
        labels = torch.zeros(len(x), dtype=torch.int64)
        return Lesson(material.batch(x, observed, hidden), labels)


@dataclass(frozen=True)
class ImageLessons:
    """Skeleton images of whole labelled clips; see `Lessons`. Node ``3 row + channel``.

    Attributes:
        config: How they are made and varied.
    """

    config: LessonsConfig

    def prepare(
        self, clips: TrainingClips, directory: RunDirectory, place: Place, progress: Progress
    ) -> TrainingImages:
        """The images of the training clips, cached in the run directory."""
        return image_material(self.config, clips, directory, place, progress)

    def stand_in(self, clips: TrainingClips, count: int) -> TrainingImages:
        """Random images."""
        return stand_in_images(clips, self.config.codec, count=count)

    def samples(self, clips: TrainingClips) -> int:
        """Training clips."""
        return len(clips.rows)

    def check(self, clips: TrainingClips) -> list[str]:
        """That there are labels."""
        if not (clips.labels >= 0).any():
            raise DataError(
                f"{clips.file.path}: expected clips of a class, got none in the training part; "
                f"check the labels with `skelaug info`"
            )
        return []

    def sizes(self, material: TrainingImages) -> dict[str, Any]:
        """Nodes, frames and classes."""
        channels, rows, frames = material.shape
        classes = len(material.clips.classes)
        return {"nodes": channels * rows, "frames": frames, "num_classes": classes}

    def scale(self, material: TrainingImages) -> Tensor:
        """Standard deviations."""
        channels, rows, _ = material.shape
        return torch.ones(channels * rows)

    def parts(self, material: TrainingImages) -> Parts:
        """Labelled clips; of a stand-in without any, all of its random images."""
        labels = material.clips.labels[: len(material)]
        if not (labels >= 0).any():
            labels = np.zeros_like(labels)
        order = numpy_generator(self.config.seed, Stream.SPLIT).permutation(
            np.flatnonzero(labels >= 0)
        )
        held = order[: round(self.config.held_out * len(order))]
        spared = np.isin(labels[held], labels[order[len(held) :]])  # no class is held out whole
        held = np.sort(held[spared])
        return Parts(np.setdiff1d(order, held), held)

    def taught(self, material: TrainingImages, batch: int) -> Callable[[int], Lesson]:
        """Images, varied."""
        clips, seed = self.parts(material).taught, self.config.seed

        def taught(step: int) -> Lesson:
            which = clips[batch_indices(seed, step, batch=batch, count=len(clips))]
            numbers = generator(seed, Stream.AUGMENT, step)
            return self._lesson(material, which, self.config.augment, numbers)

        return taught

    def examined(self, material: TrainingImages, most: int, *, occluded: bool) -> Iterator[Lesson]:
        """Images of the clips that are held out; they are never occluded."""
        del occluded
        held = self.parts(material).held_out[:most]
        for start in range(0, len(held), _CHUNK):
            yield self._lesson(material, held[start : start + _CHUNK])

    def _lesson(
        self,
        material: TrainingImages,
        which: NDArray[np.int64],
        augment: AugmentConfig | None = None,
        numbers: torch.Generator | None = None,
    ) -> Lesson:
        images, labels = material.batch(which, augment, numbers)
        x = as_nodes(images)
        low, high = material.normalizer.bounds(images[:1])
        moves = as_nodes((high > low)[None])  # rows that fill up an image cannot be learnt from
        seen = torch.ones_like(x, dtype=torch.bool)
        return Lesson(WindowBatch(x, moves.expand_as(x), seen, x), labels.clamp(min=0))


def as_nodes(images: Tensor) -> Tensor:
    """Skeleton images N C R F as windows N nodes F with node ``C row + channel``."""
    return images.transpose(1, 2).flatten(1, 2)
