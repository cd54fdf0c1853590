"""The sequence file: HDF5, format ``skelaug.sequences``, version 1, read lazily, written whole.

Frames of all clips lie one after the other, so a file of 114,000 clips needs no more memory than
one of 1,000. A file holds no clock: the same command writes the same bytes (times are in the run
record beside it), which is what lets a resumed job be compared with an uninterrupted one.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from skelaug.errors import DataError, NotFoundError
from skelaug.files import replacing_hdf5
from skelaug.skeleton.layout import SkeletonLayout
from skelaug.skeleton.sequence import SkeletonSequence, Source

__all__ = [
    "AXES",
    "FORMAT",
    "VERSION",
    "Schema",
    "SequenceFile",
    "SequenceWriter",
    "write_sequences",
]

FORMAT = "skelaug.sequences"
VERSION = 1
AXES = "right-handed, metres: x to the sensor's left, y up, z away from the sensor"

_NUMBERS = {
    "label": np.int32,
    "subject": np.int32,
    "camera": np.int32,
    "setup": np.int32,
    "fps": np.float32,
    "source": np.uint8,
    "seed": np.int64,
}
_CHUNK = 1024
_CACHE = 2**22  # bytes per dataset: some chunks of neighbouring clips


@dataclass(frozen=True)
class Schema:
    """What all clips of one file share.

    Attributes:
        layout: The joints of every clip.
        classes: Class names that labels may take.
        persons: Person slots M; a clip with fewer is padded with unobserved persons.
        channels: Coordinates C, 3 or 2.
        has_confidence: Whether /confidence is written.
    """

    layout: SkeletonLayout
    classes: tuple[str, ...]
    persons: int = 1
    channels: int = 3
    has_confidence: bool = False


class SequenceFile:
    """A sequence file, opened lazily; use as a context manager or let it close with the process.

    Each process opens a handle of its own (HDF5 handles do not survive a fork).

    Attributes:
        path: The file.
        layout: The joints of every clip.
        classes: Class names; ``labels`` index into them.
        provenance: One record per command that made the file, oldest first.
        labels, subjects, cameras, setups, sources, seeds: One number per clip, -1 = unknown.
        fps: Frames per second, one per clip.
        names: Clip names.
        persons, channels: Person slots M and coordinates C of every clip.
        has_confidence: Whether clips carry the confidence of their source.
        offsets: int64 (N + 1); clip i is rows offsets[i] to offsets[i + 1].
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._handle: h5py.File | None = None
        self._datasets: dict[str, h5py.Dataset] = {}
        self._pid = -1
        file = self._open()
        with _damage(self.path):
            self._read(file)

    def _read(self, file: h5py.File) -> None:
        self.layout = SkeletonLayout.from_json(str(file.attrs["layout"]))
        self.classes: tuple[str, ...] = tuple(json.loads(str(file.attrs["classes"])))
        self.provenance: list[dict[str, Any]] = json.loads(str(file.attrs["provenance"]))
        self.offsets: NDArray[np.int64] = file["offsets"][:]
        self.names: list[str] = [name.decode() for name in file["name"][:]]
        numbers = {key: np.asarray(file[key][:], dtype) for key, dtype in _NUMBERS.items()}
        self.labels: NDArray[np.int32] = numbers["label"]
        self.subjects: NDArray[np.int32] = numbers["subject"]
        self.cameras: NDArray[np.int32] = numbers["camera"]
        self.setups: NDArray[np.int32] = numbers["setup"]
        self.fps: NDArray[np.float32] = numbers["fps"]
        self.sources: NDArray[np.uint8] = numbers["source"]
        self.seeds: NDArray[np.int64] = numbers["seed"]
        frames, self.persons, joints, self.channels = file["positions"].shape
        self.has_confidence = "confidence" in file
        per_frame = (frames, self.persons, self.layout.num_joints)
        shapes = {key: file[key].shape for key in ("observed", "confidence") if key in file}
        if joints != self.layout.num_joints or set(shapes.values()) != {per_frame}:
            raise ValueError(f"positions, observed or confidence that are not {per_frame}")
        n, steps = len(self.names), np.diff(self.offsets)
        if any(len(table) != n for table in numbers.values()):
            raise ValueError(f"tables that do not have {n} clips")
        if self.offsets.shape != (n + 1,) or self.offsets[0] != 0 or self.offsets[-1] != frames:
            raise ValueError(f"offsets that do not fit {n} clips of {frames} frames")
        if (steps < 0).any() or (self.labels >= len(self.classes)).any():
            raise ValueError(f"decreasing offsets, or a label beyond {len(self.classes)} classes")

    def _open(self) -> h5py.File:
        if self._handle is None or self._pid != os.getpid():
            self.close()
            if not self.path.is_file():
                raise NotFoundError(f"{self.path}: no such file; check the path")
            try:
                self._handle = h5py.File(self.path, "r", rdcc_nbytes=_CACHE)
            except OSError as error:
                raise DataError(
                    f"{self.path}: expected an HDF5 file of format {FORMAT}, got one that HDF5 "
                    f"cannot open; make one with `skelaug convert`"
                ) from error
            self._pid = os.getpid()
            _check_format(self.path, self._handle.attrs)
        return self._handle

    def __enter__(self) -> SequenceFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the handle; the next read opens it again."""
        self._datasets.clear()
        if self._handle is not None:
            self._handle.close()
            self._handle = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_handle": None, "_datasets": {}, "_pid": -1}

    def __len__(self) -> int:
        return len(self.names)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Frames per clip."""
        return np.diff(self.offsets)

    @property
    def durations(self) -> NDArray[np.float64]:
        """Seconds per clip."""
        return self.lengths / self.fps.astype(np.float64)

    def label_name(self, index: int) -> str:
        """Class name of clip `index`; empty if unknown."""
        label = int(self.labels[index])
        return self.classes[label] if label >= 0 else ""

    def __getitem__(self, index: int) -> SkeletonSequence:
        if not 0 <= index < len(self):
            raise IndexError(f"clip {index} of {len(self)}")
        span = index, index + 1
        confidence = self._frames("confidence", span, np.float32) if self.has_confidence else None
        with _damage(self.path):
            source = Source(int(self.sources[index]))
        return SkeletonSequence(
            positions=self._frames("positions", span, np.float32),
            observed=self._frames("observed", span, np.bool_),
            confidence=confidence,
            layout=self.layout,
            fps=float(self.fps[index]),
            name=self.names[index],
            label=self.label_name(index),
            subject=int(self.subjects[index]),
            camera=int(self.cameras[index]),
            setup=int(self.setups[index]),
            source=source,
            seed=int(self.seeds[index]),
        )

    def observed(self, first: int, last: int) -> NDArray[np.bool_]:
        """Which joints were measured in clips `first` to `last - 1`, one after the other: F M V."""
        return self._frames("observed", (first, last), np.bool_)

    def _frames(self, key: str, clips: tuple[int, int], dtype: type[Any]) -> NDArray[Any]:
        """The frames of clips from the first to before the second.

        Datasets stay open, or HDF5 would unpack a chunk anew for each clip in it.
        """
        file, (first, last) = self._open(), clips
        with _damage(self.path):
            if key not in self._datasets:
                self._datasets[key] = file[key]
            rows = slice(int(self.offsets[first]), int(self.offsets[last]))
            return np.asarray(self._datasets[key][rows], dtype)

    def __iter__(self) -> Iterator[SkeletonSequence]:
        return (self[index] for index in range(len(self)))


@contextlib.contextmanager
def _damage(path: Path) -> Iterator[None]:
    """Turn what h5py raises on a file with other or broken content into a DataError."""
    try:
        yield
    except (KeyError, ValueError, TypeError, IndexError, AttributeError, OSError) as error:
        raise DataError(
            f"{path}: expected a whole {FORMAT} file, got {error}; make it again"
        ) from error
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def _check_format(path: Path, attrs: Mapping[str, Any]) -> None:
    found, version = attrs.get("format"), attrs.get("format_version")
    if found != FORMAT:
        raise DataError(
            f"{path}: expected format {FORMAT}, got {found!r}; make one with `skelaug convert`"
        )
    if version != VERSION:
        raise DataError(
            f"{path}: format_version is {version}, this program reads {VERSION}; update skelaug"
        )


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
        self._numbers: dict[str, list[float]] = {key: [] for key in _NUMBERS}
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
        arrays = {"positions": sequence.positions, "observed": sequence.observed}
        if self._schema.has_confidence:
            given = sequence.confidence
            arrays["confidence"] = sequence.observed if given is None else given
        for key, array in arrays.items():
            fill = np.nan if key == "positions" else 0
            padded = _padded(array, self._schema.persons, fill)
            self._pending[key].append(padded.astype(self._datasets[key].dtype))
        if self._offsets[-1] - self._written >= 8 * _CHUNK:
            self._flush(_CHUNK)

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
        for key, dtype in _NUMBERS.items():
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
