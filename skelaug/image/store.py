"""The images file: HDF5, format ``skelaug.images``, version 1, written whole, mapped into memory.

Pixels lie contiguous and uncompressed in the file, so that they are a numpy memory map: a training
touches the images of its batch and nothing else, however many there are, and processes share them.

====================  ====================  =======================================================
path                  type                  meaning
====================  ====================  =======================================================
attrs                                       format, format_version, codec (JSON), classes (JSON),
                                            data_sha256, provenance (JSON)
/pixels               float32 (N, 3, R, F)  see `ImageCodec`
/origin               float64 (N, 3)        of the records, see `ImageRecord`
/heading              float64 (N)
/length               int64 (N)
/observed             bool (N, M, V)
/fps                  float32 (N)
/label, /subject,     int32 (N)             -1 = unknown
/camera, /setup
/source, /seed        uint8, int64 (N)
/name                 utf-8 (N)
====================  ====================  =======================================================
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from skelaug.errors import DataError, NotFoundError, SkelaugError
from skelaug.files import replacing_hdf5
from skelaug.image.codec import ImageCodec, ImageRecord
from skelaug.skeleton.geometry import Interpolation
from skelaug.skeleton.layout import SkeletonLayout
from skelaug.skeleton.sequence import SkeletonSequence, Source

__all__ = ["FORMAT", "VERSION", "ImageFile", "ImageSchema", "write_images"]

FORMAT = "skelaug.images"
VERSION = 1

_NUMBERS = {
    "label": np.int32,
    "subject": np.int32,
    "camera": np.int32,
    "setup": np.int32,
    "source": np.uint8,
    "seed": np.int64,
    "fps": np.float32,
    "length": np.int64,
    "heading": np.float64,
}
_BLOCK = 256


@dataclass(frozen=True)
class ImageSchema:
    """What all images of one file share.

    Attributes:
        codec: How clips become images.
        classes: Class names that labels may take.
        count: Number of clips N that will be written.
        data_sha256: SHA-256 of the sequence file; empty where there is none.
    """

    codec: ImageCodec
    classes: tuple[str, ...]
    count: int
    data_sha256: str = ""


class ImageFile:
    """An images file. Nothing stays open but the memory map, which survives forks.

    Attributes:
        path: The file.
        codec: How clips became images, and what turns them back.
        classes: Class names; ``labels`` index into them.
        provenance: One record per command that made the file, oldest first.
        data_sha256: SHA-256 of the sequence file; empty where there is none.
        labels, subjects, cameras, setups, sources, seeds: One number per clip, -1 = unknown.
        fps: Frames per second, one per clip.
        lengths: Frames per clip before it became an image.
        names: Clip names.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise NotFoundError(f"{self.path}: no such file; check the path")
        try:
            with h5py.File(self.path, "r") as file:
                _check_format(self.path, file.attrs)
                self._read(file)
        except (KeyError, ValueError, TypeError, IndexError, AttributeError, OSError) as error:
            raise DataError(
                f"{self.path}: expected an HDF5 file of format {FORMAT}, got one that cannot be "
                f"read ({error}); make one with `skelaug images`"
            ) from error

    def _read(self, file: h5py.File) -> None:
        try:
            self.codec = ImageCodec.from_json(str(file.attrs["codec"]))
        except SkelaugError as error:
            raise ValueError(str(error)) from error
        self.classes: tuple[str, ...] = tuple(json.loads(str(file.attrs["classes"])))
        self.provenance: list[dict[str, Any]] = json.loads(str(file.attrs["provenance"]))
        self.data_sha256 = str(file.attrs["data_sha256"])
        self.names: list[str] = [name.decode() for name in file["name"][:]]
        numbers = {key: np.asarray(file[key][:], dtype) for key, dtype in _NUMBERS.items()}
        self.labels, self.subjects = numbers["label"], numbers["subject"]
        self.cameras, self.setups = numbers["camera"], numbers["setup"]
        self.sources, self.seeds = numbers["source"], numbers["seed"]
        self.fps, self.lengths = numbers["fps"], numbers["length"]
        self._headings = numbers["heading"]
        self._origins: NDArray[np.float64] = file["origin"][:]
        self._observed: NDArray[np.bool_] = file["observed"][:]
        n, pixels = len(self.names), file["pixels"]
        self._offset: int = pixels.id.get_offset()
        tables = {*(len(table) for table in numbers.values()), len(self._origins)}
        if pixels.shape != (n, *self.codec.shape) or tables != {n} or len(self._observed) != n:
            raise ValueError(f"tables that do not fit {n} images of {self.codec.shape}")
        if pixels.dtype != np.float32 or self._offset is None:
            raise ValueError("pixels that are not contiguous float32")

    def __enter__(self) -> ImageFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the memory map; the next use opens it again."""
        self.__dict__.pop("pixels", None)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "pixels"}

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def pixels(self) -> NDArray[np.float32]:
        """All images, float32 N 3 R F: a read-only memory map of the file."""
        shape = (len(self), *self.codec.shape)
        return np.memmap(self.path, np.float32, mode="r", offset=self._offset, shape=shape)

    @property
    def layout(self) -> SkeletonLayout:
        """The joints of the clips."""
        return self.codec.layout

    @property
    def durations(self) -> NDArray[np.float64]:
        """Seconds per clip."""
        return self.lengths / self.fps.astype(np.float64)

    def label_name(self, index: int) -> str:
        """Class name of clip `index`; empty if unknown."""
        label = int(self.labels[index])
        return self.classes[label] if label >= 0 else ""

    def record(self, index: int) -> ImageRecord:
        """What turns image `index` back into its clip."""
        x, y, z = (float(value) for value in self._origins[index])
        return ImageRecord(
            length=int(self.lengths[index]),
            fps=float(self.fps[index]),
            observed=tuple(tuple(joints) for joints in self._observed[index].tolist()),
            origin=(x, y, z),
            heading=float(self._headings[index]),
        )

    def sequence(self, index: int, *, interpolation: Interpolation = "cubic") -> SkeletonSequence:
        """Clip `index` in metres, decoded from its image."""
        clip = self.codec.decode(
            self.pixels[index],
            self.record(index),
            name=self.names[index],
            label=self.label_name(index),
            interpolation=interpolation,
        )
        return clip.replaced(
            subject=int(self.subjects[index]),
            camera=int(self.cameras[index]),
            setup=int(self.setups[index]),
            source=Source(int(self.sources[index])),
            seed=int(self.seeds[index]),
        )


def _check_format(path: Path, attrs: Mapping[str, Any]) -> None:
    found, version = attrs.get("format"), attrs.get("format_version")
    if found != FORMAT:
        raise DataError(
            f"{path}: expected format {FORMAT}, got {found!r}; make one with `skelaug images`"
        )
    if version != VERSION:
        raise DataError(
            f"{path}: format_version is {version}, this program reads {VERSION}; update skelaug"
        )


def write_images(
    path: Path,
    sequences: Iterable[SkeletonSequence],
    schema: ImageSchema,
    *,
    provenance: Sequence[Mapping[str, Any]],
) -> None:
    """Encode clips into an images file, whole or not at all, a block of clips at a time.

    Raises:
        DataError: A clip does not fit the codec or the classes, a name occurs twice, or there are
            not as many clips as the schema says.
        StorageError: The disk is full or the folder cannot be written.
    """
    with replacing_hdf5(path) as file:
        file.attrs["format"], file.attrs["format_version"] = FORMAT, VERSION
        file.attrs["codec"] = schema.codec.to_json()
        file.attrs["classes"] = json.dumps(list(schema.classes), ensure_ascii=False)
        file.attrs["data_sha256"] = schema.data_sha256
        file.attrs["provenance"] = json.dumps(list(provenance), sort_keys=True)
        writer = _Writer(file, schema)
        for sequence in sequences:
            writer.append(sequence)
        writer.close()


class _Writer:
    def __init__(self, file: h5py.File, schema: ImageSchema) -> None:
        self._file = file
        self._schema = schema
        self._classes = {name: index for index, name in enumerate(schema.classes)}
        self._names: dict[str, None] = {}
        self._tables: dict[str, list[Any]] = {key: [] for key in (*_NUMBERS, "origin", "observed")}
        self._block: list[NDArray[np.float32]] = []
        shape = (schema.count, *schema.codec.shape)
        self._pixels = file.create_dataset("pixels", shape=shape, dtype=np.float32)

    def append(self, sequence: SkeletonSequence) -> None:
        where = f"clip {sequence.name!r}"
        if sequence.name in self._names:
            raise DataError(f"{where}: the name is in the file already; names must be unique")
        if sequence.label and sequence.label not in self._classes:
            raise DataError(f"{where}: class {sequence.label!r} is not one of the file's classes")
        if len(self._names) == self._schema.count:
            raise DataError(f"{where}: expected {self._schema.count} clips, got more")
        image = self._schema.codec.encode(sequence)
        self._names[sequence.name] = None
        label = self._classes[sequence.label] if sequence.label else -1
        self._tables["label"].append(label)
        for key in ("subject", "camera", "setup", "source", "seed"):
            self._tables[key].append(getattr(sequence, key))
        for key in ("length", "heading", "fps", "origin"):
            self._tables[key].append(getattr(image.record, key))
        self._tables["observed"].append(np.array(image.record.observed, dtype=np.bool_))
        self._block.append(image.pixels)
        if len(self._block) == _BLOCK:
            self._flush()

    def _flush(self) -> None:
        end = len(self._names)
        if self._block:
            self._pixels[end - len(self._block) : end] = np.stack(self._block)
            self._file.flush()
        self._block.clear()

    def close(self) -> None:
        self._flush()
        n, codec = self._schema.count, self._schema.codec
        if len(self._names) != n or n == 0:
            raise DataError(f"images: expected {n or 'some'} clips, got {len(self._names)}")
        for key, dtype in _NUMBERS.items():
            self._file[key] = np.asarray(self._tables[key], dtype=dtype)
        self._file["origin"] = np.asarray(self._tables["origin"], dtype=np.float64)
        observed = np.asarray(self._tables["observed"], dtype=np.bool_)
        self._file["observed"] = observed.reshape(n, codec.persons, codec.layout.num_joints)
        text = h5py.string_dtype("utf-8")
        self._file.create_dataset("name", data=list(self._names), dtype=text, shape=n)
