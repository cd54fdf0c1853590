"""A file is whole or absent: writing through a temporary name, hashing, no overwriting."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import socket
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from skelaug.errors import NotFoundError, StorageError, UsageError

if TYPE_CHECKING:
    import h5py

__all__ = [
    "replacing",
    "replacing_hdf5",
    "require_file",
    "require_new",
    "sha256",
    "storage_errors",
    "write_text",
]

_FULL = (errno.ENOSPC, errno.EDQUOT)
_FORBIDDEN = (errno.EACCES, errno.EROFS, errno.EPERM)
_NO_PLACE = (errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY, errno.ENAMETOOLONG)
_RESERVE = 2 * 2**20


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn a full disk or a read-only folder inside the block into a one-line StorageError.

    An error that names a file elsewhere, an input for example, passes unchanged.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:  # h5py raises either
        text = str(error)
        number, name = getattr(error, "errno", None), getattr(error, "filename", None)
        if number in _FULL or "No space left" in text or "quota exceeded" in text:
            raise StorageError(
                f"{path}: the disk is full; free some space and run the same command again"
            ) from error
        forbidden = number in _FORBIDDEN or "Permission denied" in text or "Read-only" in text
        if forbidden and not _is_elsewhere(name, path):
            raise StorageError(
                f"{path}: the folder cannot be written; choose another output path"
            ) from error
        raise


def _is_elsewhere(name: object, path: Path) -> bool:
    """Whether an error names a file that is neither beside `path` nor a folder above it."""
    if not isinstance(name, str):
        return False
    named, out = Path(name).resolve(), path.resolve()
    return named.parent != out.parent and named not in out.parents


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that takes its name only if the block succeeds.

    The content is flushed to the disk before the rename, so a reader sees the old file or the
    whole new one. A killed process leaves `.NAME.HOST-PID-*.part`; the next writer of `path` on
    the same host removes it. Two processes that write the same path do not disturb each other:
    the last one to finish wins.

    Raises:
        StorageError: The disk is full or the folder cannot be written.
    """
    with storage_errors(path):
        part = _part(path)
        try:
            yield part
            with part.open("rb+") as file:
                os.fsync(file.fileno())
            part.chmod(0o666 & ~_umask())
            with _no_place(path):
                part.replace(path)
        finally:
            part.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_hdf5(path: Path) -> Iterator[h5py.File]:
    """Yield an empty HDF5 file that takes its name only if the block succeeds; see `replacing`.

    HDF5 cannot close a file whose last bytes find no room on the disk: it complains at length and
    may end the process. So some room is taken beforehand and given back when anything fails.

    Raises:
        StorageError: The disk is full or the folder cannot be written.
    """
    import h5py

    with replacing(path) as part, storage_errors(path):
        reserve = _part(path)
        try:
            reserve.write_bytes(os.urandom(_RESERVE))
            with h5py.File(part, "w", rdcc_nbytes=0) as file:
                try:
                    yield file
                    file.flush()
                finally:
                    reserve.unlink(missing_ok=True)
        finally:
            reserve.unlink(missing_ok=True)


def _part(path: Path) -> Path:
    """A new temporary file beside `path`, after those of dead writers were removed."""
    start = f".{path.name}.{socket.gethostname()}-"
    with _no_place(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        for part in path.parent.iterdir():
            if part.name.startswith(start) and part.name.endswith(".part"):
                writer = part.name.removeprefix(start).partition("-")[0]
                if writer.isdigit() and not _is_alive(int(writer)):
                    part.unlink(missing_ok=True)
        handle, name = tempfile.mkstemp(
            prefix=f"{start}{os.getpid()}-", suffix=".part", dir=path.parent
        )
    os.close(handle)
    return Path(name)


def _is_alive(pid: int) -> bool:
    if sys.platform == "win32":  # there, os.kill would end the process
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


@contextlib.contextmanager
def _no_place(path: Path) -> Iterator[None]:
    """Turn a path that can be no file (a folder, or below a file) into a StorageError."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_PLACE:
            raise StorageError(
                f"{path}: no file can be written there ({error.strerror}); choose another path"
            ) from error
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all (UTF-8)."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")


def sha256(path: Path) -> str:
    """The SHA-256 of a file as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_file(path: Path) -> Path:
    """The path, if something is there.

    Raises:
        NotFoundError: Nothing is there.
    """
    if not path.exists():
        raise NotFoundError(f"{path}: no such file or folder; check the path")
    return path


def require_new(path: Path, *, force: bool = False, inputs: Iterable[Path] = ()) -> Path:
    """The path, if an output may be written there.

    Args:
        path: The output.
        force: Whether it may replace what is there.
        inputs: Files that it may not replace in any case.

    Raises:
        UsageError: Something is there and `force` is not set, or it is one of the inputs.
    """
    if path.exists() and any(one.exists() and path.samefile(one) for one in inputs):
        raise UsageError(f"{path}: is an input of this command; choose another output path")
    if path.exists() and not force:
        raise UsageError(f"{path}: already exists; choose another name or add --force")
    return path
