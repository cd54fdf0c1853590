"""A clip as an image with an exact inverse: joints become rows, time columns, x y z channels.

Values stay floats, so nothing is quantised; what is lossy is the resampling of time alone. Du et
al. 2015 order rows by body parts and scale by the range of the training set; here rows follow the
skeleton's tree depth first, one scale serves all axes and rows, and each clip keeps what turns it
back into metres: origin, heading, length, frames per second, and which joints were measured.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skelaug.errors import DataError, UsageError
from skelaug.shapes import check_shape
from skelaug.skeleton.geometry import (
    Interpolation,
    fill_missing,
    heading_angle,
    resample,
    rotate_about_y,
)
from skelaug.skeleton.layout import SkeletonLayout
from skelaug.skeleton.sequence import SkeletonSequence, Source

__all__ = ["ImageCodec", "ImageRecord", "SkeletonImage", "fitted_codec"]


@dataclass(frozen=True)
class ImageRecord:
    """What an image does not say about its clip.

    Attributes:
        length: Frames of the clip.
        fps: Frames per second of the clip.
        observed: For each person slot and joint whether the joint was ever measured; the others
            come back as NaN. A person without any measured joint is absent.
        origin: Position of the root of person 0 in the first frame, metres. None, for a clip that
            no sensor saw: the root starts above the origin and the lowest joint is on the floor.
        heading: Angle about y, in radians, by which the clip was turned back.
    """

    length: int
    fps: float
    observed: tuple[tuple[bool, ...], ...]
    origin: tuple[float, float, float] | None = None
    heading: float = 0.0

    def to_json(self) -> str:
        """The record as one JSON object."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> ImageRecord:
        """The record that `to_json` wrote.

        Raises:
            DataError: The text is not such a record.
        """
        try:
            data = json.loads(text)
            origin = data["origin"]
            return cls(
                length=int(data["length"]),
                fps=float(data["fps"]),
                observed=tuple(tuple(bool(one) for one in joints) for joints in data["observed"]),
                origin=None if origin is None else (origin[0], origin[1], origin[2]),
                heading=float(data["heading"]),
            )
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise DataError(f"image record: expected length, fps, observed, got {error}") from error


@dataclass(frozen=True)
class SkeletonImage:
    """An encoded clip.

    Attributes:
        pixels: float32 (3, rows of all persons, frames).
        record: What the inverse needs beside the pixels.
    """

    pixels: NDArray[np.float32]
    record: ImageRecord


@dataclass(frozen=True)
class ImageCodec:
    """Turns clips into images and back.

    The clip is moved so that the root of person 0 starts at the origin, and turned about the
    vertical so that the mean direction from left to right hip in its first third is +x. The first
    row of each person is the trajectory of that person's root, the others are joints relative to
    it, in the depth-first order of the tree; rows beyond the joints are zero. So two persons stay
    where they were relative to each other.

    Attributes:
        layout: The joints of the clips.
        frames: Columns of an image.
        rows: Rows per person; 0 becomes the number of joints rounded up to a multiple of 4.
        persons: Persons per image, one below the other.
        scale: Metres that a pixel value of 1 stands for.
    """

    layout: SkeletonLayout
    frames: int = 24
    rows: int = 0
    persons: int = 1
    scale: float = 1.0

    def __post_init__(self) -> None:
        v = self.layout.num_joints
        if self.rows == 0:
            object.__setattr__(self, "rows", -(-v // 4) * 4)
        if self.rows < v:
            raise UsageError(
                f"rows: expected at least the {v} joints of layout {self.layout.name}, got "
                f"{self.rows}; take more rows or map the clips to a smaller layout"
            )
        if self.frames < 2 or self.persons < 1 or not 0 < self.scale < np.inf:
            raise UsageError(
                f"codec: expected frames >= 2, persons >= 1 and a positive scale, got "
                f"{self.frames}, {self.persons} and {self.scale}"
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of an image: channels, rows of all persons, frames."""
        return 3, self.persons * self.rows, self.frames

    @cached_property
    def joint_rows(self) -> NDArray[np.intp]:
        """For each joint its row within its person's block."""
        return np.argsort(np.array(self.layout.tree_order, dtype=np.intp))

    def encode(self, sequence: SkeletonSequence, *, strict: bool = True) -> SkeletonImage:
        """The image of a clip.

        Unmeasured joints are filled in (see `fill_missing`); those of an imputed clip are used as
        they are.

        Args:
            sequence: Of this codec's layout, with three coordinates.
            strict: Refuse a clip that the scale does not hold; otherwise values beyond 1 stay.

        Raises:
            DataError: The clip has another layout, no frame, no measured joint, more persons than
                the codec, or reaches farther than the scale.
        """
        grid, record = self._grid(sequence)
        pixels = grid / self.scale
        reach = float(np.abs(pixels).max())
        if strict and reach > 1:
            raise DataError(
                f"clip {sequence.name!r}: expected positions within {self.scale:.3g} m, the scale "
                f"of the images, got {reach * self.scale:.3g} m; fit the scale on this clip too, "
                f"or leave it out"
            )
        return SkeletonImage(pixels=pixels.astype(np.float32), record=record)

    def reach(self, sequence: SkeletonSequence) -> float:
        """The largest value of the clip's image in metres: the least scale that holds it."""
        return self.extent(sequence)[0]

    def extent(self, sequence: SkeletonSequence) -> tuple[float, int]:
        """The least scale and the least number of person slots that hold the clip."""
        grid, record = self._grid(sequence)
        slots = [slot for slot, joints in enumerate(record.observed, start=1) if any(joints)]
        return float(np.abs(grid).max()), max(slots)

    def _grid(self, sequence: SkeletonSequence) -> tuple[NDArray[np.float64], ImageRecord]:
        """The image in metres, float64, and its record."""
        self._check(sequence)
        finite = np.isfinite(sequence.positions).all(axis=-1)
        if sequence.source is not Source.IMPUTED:
            finite = finite & sequence.observed
        measured = np.asarray(finite, dtype=np.bool_)
        present = np.flatnonzero(measured.any(axis=(0, 2)))
        if len(present) == 0:
            raise DataError(
                f"clip {sequence.name!r}: expected a measured joint, got none; leave the clip out"
            )
        if present[-1] >= self.persons:
            raise DataError(
                f"clip {sequence.name!r}: expected at most {self.persons} persons, got "
                f"{present[-1] + 1}; encode with persons = {present[-1] + 1}"
            )
        positions, measured = sequence.positions[:, : self.persons], measured[:, : self.persons]
        filled = fill_missing(positions, measured, self.layout)
        origin = filled[0, 0, self.layout.root].copy()
        heading = heading_angle(filled[:, 0], self.layout)
        centred = rotate_about_y(filled - origin, -heading)
        centred[:, ~measured.any(axis=(0, 2))] = 0
        root = self.layout.root
        trajectory = centred[:, :, root].copy()
        centred -= trajectory[:, :, None]
        centred[:, :, root] = trajectory
        columns = resample(centred, self.frames)
        grid = np.zeros((3, self.persons, self.rows, self.frames))
        grid[:, : positions.shape[1], self.joint_rows] = columns.transpose(3, 1, 2, 0)
        observed = np.zeros((self.persons, self.layout.num_joints), dtype=np.bool_)
        observed[: positions.shape[1]] = measured.any(axis=0)
        record = ImageRecord(
            length=sequence.num_frames,
            fps=sequence.fps,
            observed=tuple(tuple(joints) for joints in observed.tolist()),
            origin=(float(origin[0]), float(origin[1]), float(origin[2])),
            heading=heading,
        )
        return grid.reshape(self.shape), record

    def _check(self, sequence: SkeletonSequence) -> None:
        t, _, _, c = sequence.positions.shape
        where = f"clip {sequence.name!r}"
        if sequence.layout.joints != self.layout.joints:
            raise DataError(
                f"{where}: expected layout {self.layout.name}, got {sequence.layout.name}; "
                f"map it to {self.layout.name} first"
            )
        if c != 3 or t == 0:
            raise DataError(f"{where}: expected frames of 3 coordinates, got {t} of {c}")

    def decode(
        self,
        pixels: NDArray[Any],
        record: ImageRecord,
        *,
        name: str = "",
        label: str = "",
        interpolation: Interpolation = "cubic",
    ) -> SkeletonSequence:
        """The clip of an image, in metres; the inverse of `encode`.

        Joints that the record calls unmeasured are NaN and unobserved in all frames. Where the
        clip has as many frames as the image, positions come back as they were encoded.

        Args:
            pixels: (3, rows of all persons, frames), any float type.
            record: From `encode`, or from `record` for a clip that was drawn.
            name: Name of the clip.
            label: Class name of the clip.
            interpolation: Between the image's columns; see `resample`.
        """
        check_shape(pixels, "C R F", what="pixels", C=3, R=self.shape[1], F=self.frames)
        v, root = self.layout.num_joints, self.layout.root
        grid = np.asarray(pixels, dtype=np.float64).reshape(3, self.persons, self.rows, self.frames)
        columns = grid[:, :, self.joint_rows].transpose(3, 1, 2, 0) * self.scale
        relative = resample(columns, record.length, interpolation=interpolation)
        trajectory = relative[:, :, root].copy()
        relative[:, :, root] = 0
        positions = rotate_about_y(relative + trajectory[:, :, None], record.heading)
        measured = np.array(record.observed, dtype=np.bool_)
        check_shape(measured, "M V", what="observed", M=self.persons, V=v)
        if record.origin is not None:
            positions += np.array(record.origin)
        elif measured.any():
            positions[..., 1] -= positions[:, measured, 1].min()
        positions[:, ~measured] = np.nan
        return SkeletonSequence(
            positions=positions.astype(np.float32),
            observed=np.broadcast_to(measured, positions.shape[:3]).copy(),
            layout=self.layout,
            fps=record.fps,
            name=name,
            label=label,
        )

    def decode_all(
        self,
        pixels: NDArray[Any],
        records: Sequence[ImageRecord],
        *,
        interpolation: Interpolation = "cubic",
    ) -> list[SkeletonSequence]:
        """The clips of a batch of images N C R F; see `decode`."""
        return [
            self.decode(image, record, interpolation=interpolation)
            for image, record in zip(pixels, records, strict=True)
        ]

    def record(self, *, length: int, fps: float, persons: int | None = None) -> ImageRecord:
        """The record of a clip that was drawn: all joints of `persons` (all slots) are there."""
        count = self.persons if persons is None else persons
        joints = self.layout.num_joints
        observed = tuple((slot < count,) * joints for slot in range(self.persons))
        return ImageRecord(length=length, fps=fps, observed=observed)

    def to_json(self) -> str:
        """The codec as one JSON object, as stored in files and checkpoints."""
        values = {"frames": self.frames, "rows": self.rows, "persons": self.persons}
        layout = json.loads(self.layout.to_json())
        return json.dumps({**values, "scale": self.scale, "layout": layout}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> ImageCodec:
        """The codec that `to_json` wrote.

        Raises:
            DataError: The text is not such a codec.
        """
        try:
            data: Mapping[str, Any] = json.loads(text)
            return cls(
                layout=SkeletonLayout.from_json(json.dumps(data["layout"])),
                frames=int(data["frames"]),
                rows=int(data["rows"]),
                persons=int(data["persons"]),
                scale=float(data["scale"]),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"codec: expected a JSON object of a codec, got {error}") from error


def fitted_codec(sequences: Iterable[SkeletonSequence], codec: ImageCodec) -> ImageCodec:
    """The codec with the least scale that holds all the clips; they are read once, one at a time.

    Raises:
        DataError: There is no clip, or one does not fit the codec.
    """
    reaches = [codec.reach(sequence) for sequence in sequences]
    if not reaches:
        raise DataError("images: expected at least one clip to fit the scale on, got none")
    return replace(codec, scale=max(reaches) or 1.0)
