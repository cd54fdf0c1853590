"""The sequence file: HDF5, format ``skelaug.sequences``, version 1, read lazily, written whole.

Frames of all clips lie one after the other, so a file of 114,000 clips needs no more memory than
one of 1,000. A file holds no clock: the same command writes the same bytes (times are in the run
record beside it), which is what lets a resumed job be compared with an uninterrupted one.

Three tables per frame are optional: /confidence (what the source says of its measurements, in
[0, 1]), /uncertainty (the standard deviation in metres of what was invented, 0 where measured, NaN
where nothing can be said) and /keypoints (F, M, V, 2: where the clip's camera saw the joints, x and
y over half the image width from its middle, y down, NaN where not detected). A file without one of
them is what it was before there was such a table.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from skelaug.data.sequence_writer import (
    AXES,
    FORMAT,
    NUMBERS,
    VERSION,
    Schema,
    SequenceWriter,
    write_sequences,
)
from skelaug.errors import DataError, NotFoundError
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

_CACHE = 2**22  # bytes per dataset: some chunks of neighbouring clips


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
        has_uncertainty: Whether clips say how far what was invented may be off.
        has_keypoints: Whether clips have the 2D poses that their camera saw.
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
        numbers = {key: np.asarray(file[key][:], dtype) for key, dtype in NUMBERS.items()}
        self.labels: NDArray[np.int32] = numbers["label"]
        self.subjects: NDArray[np.int32] = numbers["subject"]
        self.cameras: NDArray[np.int32] = numbers["camera"]
        self.setups: NDArray[np.int32] = numbers["setup"]
        self.fps: NDArray[np.float32] = numbers["fps"]
        self.sources: NDArray[np.uint8] = numbers["source"]
        self.seeds: NDArray[np.int64] = numbers["seed"]
        frames, self.persons, joints, self.channels = file["positions"].shape
        self.has_confidence = "confidence" in file
        self.has_uncertainty = "uncertainty" in file
        self.has_keypoints = "keypoints" in file
        per_frame = (frames, self.persons, self.layout.num_joints)
        tables = ("observed", "confidence", "uncertainty")
        shapes = {key: file[key].shape for key in tables if key in file}
        if joints != self.layout.num_joints or set(shapes.values()) != {per_frame}:
            raise ValueError(
                f"positions, {', '.join(shapes) or tables[0]} that are not {per_frame}"
            )
        if self.has_keypoints and file["keypoints"].shape != (*per_frame, 2):
            raise ValueError(f"keypoints that are not {(*per_frame, 2)}")
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
        optional = {
            "confidence": self.has_confidence,
            "uncertainty": self.has_uncertainty,
            "keypoints": self.has_keypoints,
        }
        present = {k: self._frames(k, span, np.float32) for k, there in optional.items() if there}
        with _damage(self.path):
            source = Source(int(self.sources[index]))
        return SkeletonSequence(
            positions=self._frames("positions", span, np.float32),
            observed=self._frames("observed", span, np.bool_),
            layout=self.layout,
            fps=float(self.fps[index]),
            name=self.names[index],
            label=self.label_name(index),
            subject=int(self.subjects[index]),
            camera=int(self.cameras[index]),
            setup=int(self.setups[index]),
            source=source,
            seed=int(self.seeds[index]),
            **present,
        )

    def observed(self, first: int, last: int) -> NDArray[np.bool_]:
        """Which joints were measured in clips `first` to `last - 1`, one after the other: F M V."""
        return self._frames("observed", (first, last), np.bool_)

    def uncertainty(self, first: int, last: int) -> NDArray[np.float32]:
        """The same of the uncertainty, in metres; only in a file that has it."""
        return self._frames("uncertainty", (first, last), np.float32)

    def keypoints(self, first: int, last: int) -> NDArray[np.float32]:
        """The same of the 2D poses, F M V 2; only in a file that has them."""
        return self._frames("keypoints", (first, last), np.float32)

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
