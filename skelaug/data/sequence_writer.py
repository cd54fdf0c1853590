"""Writing a sequence file: what all its clips share, and one clip after the other into it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from skelaug.errors import DataError
from skelaug.files import replacing_hdf5
from skelaug.skeleton.layout import SkeletonLayout
from skelaug.skeleton.sequence import SkeletonSequence

__all__ = [
    "AXES",
    "FORMAT",
    "NUMBERS",
    "VERSION",
    "Schema",
    "SequenceWriter",
    "write_sequences",
]

FORMAT = "skelaug.sequences"
VERSION = 1
AXES = "right-handed, metres: x to the sensor's left, y up, z away from the sensor"

NUMBERS = {  # one per clip
    "label": np.int32,
    "subject": np.int32,
    "camera": np.int32,
    "setup": np.int32,
    "fps": np.float32,
    "source": np.uint8,
    "seed": np.int64,
}
_CHUNK = 1024


@dataclass(frozen=True)
class Schema:
    """What all clips of one file share.

    Attributes:
        layout: The joints of every clip.
        classes: Class names that labels may take.
        persons: Person slots M; a clip with fewer is padded with unobserved persons.
        channels: Coordinates C, 3 or 2.
        has_confidence: Whether /confidence is written.
        has_uncertainty: Whether /uncertainty is written: float32 F M V, the standard deviation in
            metres of what was invented, 0 where measured, NaN where nothing can be said.
        has_keypoints: Whether /keypoints is written: float32 F M V 2, the normalised 2D poses, NaN
            where not detected.
    """

    layout: SkeletonLayout
    classes: tuple[str, ...]
    persons: int = 1
    channels: int = 3
    has_confidence: bool = False
    has_uncertainty: bool = False
    has_keypoints: bool = False


class SequenceWriter:
    """Writes clips one at a time into an open HDF5 file; `write_sequences` is the usual way in.

    Args:
        file: Open for writing and empty.
        schema: What all clips share.
    """

    def __init__(self, file: h5py.File, schema: Schema) -> None:
        self._file = file
        self._schema = schema
        self._classes = {name: index for index, name in enumerate(schema.classes)}
        if len(self._classes) < len(schema.classes):
            raise DataError(f"classes: expected different names, got {list(schema.classes)}")
        self._shape = (schema.persons, schema.layout.num_joints)
        self._numbers: dict[str, list[float]] = {key: [] for key in NUMBERS}
        self._names: dict[str, None] = {}
        self._offsets = [0]
        self._written = 0
        self._datasets: dict[str, h5py.Dataset] = {}
        self._pending: dict[str, list[NDArray[Any]]] = {}
        file.attrs["format"], file.attrs["format_version"] = FORMAT, VERSION
        file.attrs["layout"], file.attrs["units"] = schema.layout.to_json(), "m"
        file.attrs["axes"] = AXES
        file.attrs["classes"] = json.dumps(list(schema.classes), ensure_ascii=False)
        self._frames("positions", np.float32, schema.channels)
        self._frames("observed", np.bool_)
        if schema.has_confidence:
            self._frames("confidence", np.float32)
        if schema.has_uncertainty:
            self._frames("uncertainty", np.float32)
        if schema.has_keypoints:
            self._frames("keypoints", np.float32, 2)

    def _frames(self, key: str, dtype: type[Any], *channels: int) -> None:
        shape = (*self._shape, *channels)
        self._pending[key] = []
        self._datasets[key] = self._file.create_dataset(
            key,
            shape=(0, *shape),
            maxshape=(None, *shape),
            chunks=(_CHUNK, *shape),
            dtype=dtype,
            compression="gzip",
            compression_opts=4,
            shuffle=True,
        )

    def append(self, sequence: SkeletonSequence) -> None:
        """Add one clip.

        Raises:
            DataError: Its layout, label or name does not fit the file.
        """
        where = f"clip {sequence.name!r}"
        if sequence.layout.joints != self._schema.layout.joints:
            raise DataError(
                f"{where}: expected layout {self._schema.layout.name}, got {sequence.layout.name}; "
                f"convert with `skelaug convert --layout {self._schema.layout.name}`"
            )
        if sequence.name in self._names:
            raise DataError(f"{where}: the name is in the file already; names must be unique")
        if sequence.label and sequence.label not in self._classes:
            raise DataError(f"{where}: class {sequence.label!r} is not one of the file's classes")
        _, m, _, c = sequence.positions.shape
        if m > self._schema.persons or c != self._schema.channels:
            raise DataError(
                f"{where}: expected at most {self._schema.persons} persons and "
                f"{self._schema.channels} coordinates, got {m} and {c}; write it to another file"
            )
        if not _is_storable(sequence.name):
            raise DataError(f"{where}: the name is no UTF-8 text; rename the clip")
        self._names[sequence.name] = None
        self._offsets.append(self._offsets[-1] + sequence.num_frames)
        label = self._classes[sequence.label] if sequence.label else -1
        self._numbers["label"].append(label)
        for key in ("subject", "camera", "setup", "fps", "source", "seed"):
            self._numbers[key].append(getattr(sequence, key))
        for key, array in self._arrays(sequence).items():
            fill = np.nan if key in ("positions", "uncertainty", "keypoints") else 0
            padded = _padded(array, self._schema.persons, fill)
            self._pending[key].append(padded.astype(self._datasets[key].dtype))
        if self._offsets[-1] - self._written >= 8 * _CHUNK:
            self._flush(_CHUNK)

    def _arrays(self, sequence: SkeletonSequence) -> dict[str, NDArray[Any]]:
        """What a clip has per frame; what it does not say follows from what was measured."""
        observed = sequence.observed
        arrays: dict[str, NDArray[Any]] = {"positions": sequence.positions, "observed": observed}
        if self._schema.has_confidence:
            given = sequence.confidence
            arrays["confidence"] = observed if given is None else given
        if self._schema.has_uncertainty:
            said = sequence.uncertainty
            arrays["uncertainty"] = np.where(observed, 0, np.nan) if said is None else said
        if self._schema.has_keypoints:
            seen = sequence.keypoints
            arrays["keypoints"] = np.full((*observed.shape, 2), np.nan) if seen is None else seen
        return arrays

    def _flush(self, multiple: int) -> None:
        """Write a multiple of so many frames, so that no chunk is compressed twice."""
        end = self._offsets[-1] // multiple * multiple
        for key, dataset in self._datasets.items():
            if end > self._written:
                frames = np.concatenate(self._pending[key])
                dataset.resize(end, axis=0)
                dataset[self._written : end] = frames[: end - self._written]
                self._pending[key] = [frames[end - self._written :].copy()]
        self._written = end
        self._file.flush()

    def close(self, provenance: Sequence[Mapping[str, Any]]) -> None:
        """Write what is pending, the clip tables and the provenance."""
        self._flush(1)
        self._file["offsets"] = np.asarray(self._offsets, dtype=np.int64)
        for key, dtype in NUMBERS.items():
            self._file[key] = np.asarray(self._numbers[key], dtype=dtype)
        text = h5py.string_dtype("utf-8")
        self._file.create_dataset(
            "name", data=list(self._names), dtype=text, shape=len(self._names)
        )
        self._file.attrs["provenance"] = json.dumps(list(provenance), sort_keys=True)


def _padded(array: NDArray[Any], persons: int, fill: float) -> NDArray[Any]:
    missing = persons - array.shape[1]
    widths = [(0, 0), (0, missing), *[(0, 0)] * (array.ndim - 2)]
    return np.pad(array, widths, constant_values=fill) if missing else array


def _is_storable(text: str) -> bool:
    """Whether HDF5 can hold the text: no zero character, no half of a surrogate pair."""
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False


def write_sequences(
    path: Path,
    sequences: Iterable[SkeletonSequence],
    schema: Schema,
    *,
    provenance: Sequence[Mapping[str, Any]],
) -> int:
    """Write a sequence file whole or not at all and return the number of clips.

    Raises:
        DataError: A clip does not fit the file.
        StorageError: The disk is full or the folder cannot be written.
    """
    count = 0
    with replacing_hdf5(path) as file:
        writer = SequenceWriter(file, schema)
        for sequence in sequences:
            writer.append(sequence)
            count += 1
        writer.close(provenance)
    return count
