"""Say what is in a file: sequences, skeleton images, a run directory or a model."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from skelaug.data.store import SequenceFile
from skelaug.errors import DataError
from skelaug.files import require_file
from skelaug.image.store import FORMAT as IMAGE_FORMAT
from skelaug.image.store import ImageFile
from skelaug.skeleton.layout import SkeletonLayout
from skelaug.skeleton.sequence import Source
from skelaug.workflows.list_models import ModelSummary, summarise
from skelaug.zoo import find_model

__all__ = ["Count", "InspectConfig", "InspectReport", "JointRow", "Spread", "Uncertainty", "run"]

_CLIPS_AT_ONCE = 256


class InspectConfig(BaseModel, frozen=True, extra="forbid"):
    """What is looked at.

    Attributes:
        file: A sequence file, a file of skeleton images, a run directory or a checkpoint.
        joints: List the joints of its layout as well.
    """

    file: Path
    joints: bool = False


class Count(BaseModel, frozen=True):
    """How many clips have a name: a class, a subject, a camera, a source."""

    name: str
    clips: int


class Spread(BaseModel, frozen=True):
    """Least, median and greatest of a number that every clip has."""

    least: float
    median: float
    greatest: float


class Uncertainty(BaseModel, frozen=True):
    """How far invented joints may be off.

    Attributes:
        joints: Invented joints, over all frames, whose standard deviation is known.
        rms_mm: Root mean square of their standard deviations in millimetres.
    """

    joints: int
    rms_mm: float


class JointRow(BaseModel, frozen=True):
    """A joint of the layout; the parent of the root is empty."""

    index: int
    joint: str
    parent: str
    part: str


class InspectReport(BaseModel, frozen=True):
    """What is in a file; what a kind of file does not have is null or empty.

    Attributes:
        file: The path.
        kind: ``sequences``, ``images`` or ``model``.
        clips: Number of clips.
        frames: Number of frames of all clips.
        layout: Name of the layout.
        joints: Number of joints.
        persons: Person slots per clip.
        channels: Coordinates per joint.
        image_size: Rows and columns of a skeleton image.
        fps: The frame rates that occur.
        length: Frames per clip.
        seconds: Duration per clip.
        missing: Share of joints without a measurement, of the persons that occur in a clip.
        uncertainty: Of a file that says how far what was invented may be off.
        detected: Of a file with 2D poses, the share of its joints that its cameras saw.
        sources: Clips by source: real, synthetic, refined, imputed.
        classes: Clips by class; ``(no label)`` where the class is unknown.
        subjects: Clips by subject.
        cameras: Clips by camera.
        setups: Clips by recording setup.
        provenance: One record per command that made the file, oldest first.
        model: Of a run directory or a checkpoint, what it is.
        joint_list: The joints, where asked for.
    """

    file: str
    kind: str
    clips: int | None = None
    frames: int | None = None
    layout: str = ""
    joints: int | None = None
    persons: int | None = None
    channels: int | None = None
    image_size: tuple[int, int] | None = None
    fps: list[float] = []
    length: Spread | None = None
    seconds: Spread | None = None
    missing: float | None = None
    uncertainty: Uncertainty | None = None
    detected: float | None = None
    sources: list[Count] = []
    classes: list[Count] = []
    subjects: list[Count] = []
    cameras: list[Count] = []
    setups: list[Count] = []
    provenance: list[dict[str, Any]] = []
    model: ModelSummary | None = None
    joint_list: list[JointRow] = []


def run(config: InspectConfig) -> InspectReport:
    """Look into a file.

    Raises:
        NotFoundError: There is no such file.
        DataError: It is none of the kinds that this program writes.
    """
    file = require_file(config.file)
    if file.is_dir() or file.suffix == ".safetensors":
        return _model(file)
    found = _format(file)
    if found == IMAGE_FORMAT:
        return _images(file, config)
    return _sequences(file, config)


def _format(file: Path) -> str:
    try:
        with h5py.File(file, "r") as handle:
            return str(handle.attrs.get("format", ""))
    except OSError as error:
        raise DataError(
            f"{file}: expected sequences, skeleton images (HDF5), a run directory or a model "
            f"(safetensors), got another kind of file; make one with `skelaug convert`"
        ) from error


def _sequences(path: Path, config: InspectConfig) -> InspectReport:
    with SequenceFile(path) as file:
        return InspectReport(
            file=str(path),
            kind="sequences",
            clips=len(file),
            frames=int(file.offsets[-1]),
            layout=file.layout.name,
            joints=file.layout.num_joints,
            persons=file.persons,
            channels=file.channels,
            fps=[float(rate) for rate in np.unique(file.fps)],
            length=_spread(file.lengths),
            seconds=_spread(file.durations),
            missing=_missing(file),
            uncertainty=_uncertainty(file),
            detected=_detected(file),
            sources=_counts(file.sources, [source.name.lower() for source in Source]),
            classes=_classes(file.labels, file.classes),
            subjects=_counts(file.subjects),
            cameras=_counts(file.cameras),
            setups=_counts(file.setups),
            provenance=file.provenance,
            joint_list=_joint_rows(file.layout) if config.joints else [],
        )


def _images(path: Path, config: InspectConfig) -> InspectReport:
    with ImageFile(path) as file:
        return InspectReport(
            file=str(path),
            kind="images",
            clips=len(file.names),
            frames=int(file.lengths.sum()),
            layout=file.layout.name,
            joints=file.layout.num_joints,
            image_size=(int(file.pixels.shape[2]), int(file.pixels.shape[3])),
            fps=[float(rate) for rate in np.unique(file.fps)],
            length=_spread(file.lengths),
            seconds=_spread(file.durations),
            sources=_counts(file.sources, [source.name.lower() for source in Source]),
            classes=_classes(file.labels, file.classes),
            subjects=_counts(file.subjects),
            cameras=_counts(file.cameras),
            setups=_counts(file.setups),
            provenance=file.provenance,
            joint_list=_joint_rows(file.layout) if config.joints else [],
        )


def _model(path: Path) -> InspectReport:
    summary = summarise(path.name, find_model(path), where="local")
    return InspectReport(file=str(path), kind="model", layout=summary.layout, model=summary)


def _spread(values: NDArray[Any]) -> Spread | None:
    if not len(values):
        return None
    return Spread(
        least=float(values.min()),
        median=float(np.median(values)),
        greatest=float(values.max()),
    )


def _counts(values: NDArray[Any], names: Sequence[str] = ()) -> list[Count]:
    """Clips per value; unknown values (-1) are left out."""
    found, counts = np.unique(values, return_counts=True)
    return [
        Count(name=names[value] if names else str(value), clips=int(count))
        for value, count in zip(found, counts, strict=True)
        if value >= 0
    ]


def _classes(labels: NDArray[np.int32], classes: Sequence[str]) -> list[Count]:
    """Clips per class in the file's order, those without a clip too."""
    counts = [Count(name=name, clips=int((labels == k).sum())) for k, name in enumerate(classes)]
    unknown = int((labels < 0).sum())
    return [*counts, Count(name="(no label)", clips=unknown)] if unknown else counts


def _missing(file: SequenceFile) -> float | None:
    """Share of joints without a measurement; persons that never occur in a clip do not count."""
    share = _share(file, file.observed)
    return None if share is None else 1 - share


def _detected(file: SequenceFile) -> float | None:
    """Share of joints with a 2D point, of the persons that the camera ever saw in a clip."""

    def seen(first: int, last: int) -> NDArray[np.bool_]:
        return np.asarray(np.isfinite(file.keypoints(first, last)).all(axis=-1), dtype=np.bool_)

    return _share(file, seen) if file.has_keypoints else None


def _share(file: SequenceFile, flags: Callable[[int, int], NDArray[np.bool_]]) -> float | None:
    """Share of joints that are flagged, of the persons with any in a clip; None of nobody."""
    expected = measured = 0
    for first in range(0, len(file), _CLIPS_AT_ONCE):
        last = min(first + _CLIPS_AT_ONCE, len(file))
        observed = flags(first, last)
        edges = file.offsets[first : last + 1] - file.offsets[first]
        for start, end in itertools.pairwise(edges):
            clip = observed[start:end]
            present = clip.any(axis=(0, 2))
            expected += int(present.sum()) * clip.shape[0] * clip.shape[2]
            measured += int(clip.sum())
    return measured / expected if expected else None


def _uncertainty(file: SequenceFile) -> Uncertainty | None:
    """Of the joints that were invented; None where the file does not say or none was."""
    joints, squares = 0, 0.0
    if file.has_uncertainty:
        for first in range(0, len(file), _CLIPS_AT_ONCE):
            values = file.uncertainty(first, min(first + _CLIPS_AT_ONCE, len(file)))
            invented = values[values > 0].astype(np.float64)  # NaN is not
            joints, squares = joints + len(invented), squares + float(invented @ invented)
    return Uncertainty(joints=joints, rms_mm=1e3 * (squares / joints) ** 0.5) if joints else None


def _joint_rows(layout: SkeletonLayout) -> list[JointRow]:
    part_of = {joint: part for part, joints in layout.parts.items() for joint in joints}
    return [
        JointRow(
            index=index,
            joint=joint,
            parent=layout.joints[parent] if parent >= 0 else "",
            part=part_of.get(index, ""),
        )
        for index, (joint, parent) in enumerate(zip(layout.joints, layout.parents, strict=True))
    ]
