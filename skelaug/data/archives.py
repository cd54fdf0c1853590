"""A source of files: a folder, one file, a .zip or a .tar.*, read in place and in sorted order.

Nothing is unpacked to the disk. A folder, a zip and a plain tar give any file at once. A compressed
tar can only be read from its start: a small one is kept in memory, of a large one each `read` is a
pass (repack a huge one as a zip). Links, hidden files and ``__MACOSX`` are passed over.
"""

from __future__ import annotations

import contextlib
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Container, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

from skelaug.data.reading import DamagedError
from skelaug.errors import DataError
from skelaug.files import require_file

__all__ = ["FileTree", "open_tree"]

_TARS = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2")
_KEPT_BYTES = 64 << 20
_BROKEN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    lzma.LZMAError,
    zlib.error,
    EOFError,
    OSError,
    RuntimeError,  # zipfile: a password is required
    NotImplementedError,  # zipfile: an unknown compression
)


class FileTree(Protocol):
    """Files under one path that the user named."""

    @property
    def path(self) -> Path:
        """The folder or archive that names are relative to."""
        ...

    def sizes(self) -> dict[str, int]:
        """Bytes of each file by its name (folders with forward slashes), sorted by name.

        Raises:
            DataError: It is an archive that is broken.
        """
        ...

    def read(self, names: Iterable[str]) -> dict[str, bytes | DamagedError]:
        """The content of each of the files, or why it cannot be read."""
        ...

    def title(self, name: str) -> str:
        """The file as a message names it."""
        ...


def open_tree(path: Path) -> FileTree:
    """The files under a path.

    Raises:
        NotFoundError: Nothing is there.
    """
    require_file(path)
    name = path.name.lower()
    if path.is_dir():
        return _Folder(path)
    if name.endswith(".zip"):
        return _Zip(path)
    if name.endswith(_TARS):
        return _Tar(path)
    return _OneFile(path)


def _visible(names: Mapping[str, int]) -> dict[str, int]:
    kept = {
        name: size
        for name, size in names.items()
        if not any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))
    }
    return dict(sorted(kept.items()))


def _clean(name: str) -> str:
    return name.replace("\\", "/").removeprefix("./")


class _Folder:
    def __init__(self, path: Path) -> None:
        self.path = path

    def sizes(self) -> dict[str, int]:
        found = (file for file in self.path.rglob("*") if file.is_file())
        return _visible({f.relative_to(self.path).as_posix(): f.stat().st_size for f in found})

    def read(self, names: Iterable[str]) -> dict[str, bytes | DamagedError]:
        contents: dict[str, bytes | DamagedError] = {}
        for name in names:
            try:
                contents[name] = (self.path / name).read_bytes()
            except OSError as error:
                reason = f"cannot be read: {error.strerror or error}"
                contents[name] = DamagedError(self.title(name), reason)
        return contents

    def title(self, name: str) -> str:
        return str(self.path / name)


class _OneFile(_Folder):
    """One file; what it refers to lies beside it."""

    def __init__(self, path: Path) -> None:
        super().__init__(path.parent)
        self._file = path

    def sizes(self) -> dict[str, int]:
        return {self._file.name: self._file.stat().st_size}


class _Zip:
    def __init__(self, path: Path) -> None:
        self.path = path

    def sizes(self) -> dict[str, int]:
        with _archive_errors(self.path), zipfile.ZipFile(self.path) as archive:
            known: dict[str, int] = {}
            for info in archive.infolist():
                if not info.is_dir():
                    known[_new(self.path, _clean(info.filename), known)] = info.file_size
        return _visible(known)

    def read(self, names: Iterable[str]) -> dict[str, bytes | DamagedError]:
        contents: dict[str, bytes | DamagedError] = {}
        with _archive_errors(self.path), zipfile.ZipFile(self.path) as archive:
            inside = {_clean(info.filename): info for info in archive.infolist()}
            for name in names:
                try:
                    contents[name] = archive.read(inside[name])
                except KeyError:
                    contents[name] = DamagedError(self.title(name), "no such file in the archive")
                except _BROKEN as error:
                    reason = f"cannot be unpacked: {error}"
                    contents[name] = DamagedError(self.title(name), reason)
        return contents

    def title(self, name: str) -> str:
        return f"{self.path}/{name}"


class _Tar:
    def __init__(self, path: Path) -> None:
        self.path = path
        self._compressed = not path.name.lower().endswith(".tar")
        self._files: dict[str, tarfile.TarInfo] = {}
        self._kept: dict[str, bytes] | None = {} if self._compressed else None

    def sizes(self) -> dict[str, int]:
        self._scan()
        return _visible({name: info.size for name, info in self._files.items()})

    def _scan(self) -> None:
        """Note where each file is; of a small compressed archive keep the contents as well."""
        if self._files:
            return
        with _archive_errors(self.path), tarfile.open(self.path) as archive:
            for info in archive:
                if not info.isfile():
                    continue
                name = _new(self.path, _clean(info.name), self._files)
                self._files[name] = info
                if self._kept is not None and archive.offset <= _KEPT_BYTES:
                    self._kept[name] = _content(archive, info)
                else:
                    self._kept = None
            self._check_end(archive)

    def _check_end(self, archive: tarfile.TarFile) -> None:
        """A plain tar that was cut between two files reads as one that is whole, but lacks zeros.

        Raises:
            EOFError: It breaks off.
        """
        if self._compressed:
            return
        with self.path.open("rb") as file:
            file.seek(archive.offset)
            if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                raise EOFError("the end is missing")

    def read(self, names: Iterable[str]) -> dict[str, bytes | DamagedError]:
        self._scan()
        wanted = list(names)
        if self._kept is not None:
            found = self._kept
        else:
            found = self._at_once(wanted) if self._compressed else self._in_place(wanted)
        absent = "no such file in the archive"
        return {name: found.get(name, DamagedError(self.title(name), absent)) for name in wanted}

    def _at_once(self, wanted: Iterable[str]) -> dict[str, bytes]:
        left = set(wanted) & set(self._files)
        contents: dict[str, bytes] = {}
        with _archive_errors(self.path), tarfile.open(self.path) as archive:
            for info in archive:
                if not left:
                    break
                if _clean(info.name) in left:
                    contents[_clean(info.name)] = _content(archive, info)
                    left.remove(_clean(info.name))
        return contents

    def _in_place(self, wanted: Iterable[str]) -> dict[str, bytes]:
        contents: dict[str, bytes] = {}
        with _archive_errors(self.path), self.path.open("rb") as file:
            for name in wanted:
                if name in self._files:
                    file.seek(self._files[name].offset_data)
                    contents[name] = file.read(self._files[name].size)
        return contents

    def title(self, name: str) -> str:
        return f"{self.path}/{name}"


def _content(archive: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(info)
    return file.read() if file is not None else b""


def _new(archive: Path, name: str, known: Container[str]) -> str:
    if name in known:
        raise DataError(f"{archive}: holds {name} twice; repack it")
    return name


@contextlib.contextmanager
def _archive_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except PermissionError:
        raise
    except _BROKEN as error:
        raise DataError(
            f"{path}: expected a whole archive, got one that breaks: {error}; download it again"
        ) from error
