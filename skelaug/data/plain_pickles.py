"""Arrays of Python objects in an .npz, read without running anything that the file says.

Such arrays are pickles. Here a pickle may hold numbers, text, lists, tuples, dictionaries and numpy
arrays of them, and nothing else; a name of anything else ends the reading before it is looked up.
"""

from __future__ import annotations

import io
import pickle
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from skelaug.data.reading import DamagedError
from skelaug.errors import did_you_mean

__all__ = ["plain_object"]

_BROKEN = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    zlib.error,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    EOFError,
    OSError,
    MemoryError,
    OverflowError,
    SyntaxError,
    RuntimeError,
)


def _encoded(text: str, encoding: str) -> bytes:
    """What old pickles make bytes with."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"expected latin1, got {encoding!r}")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """What they make bytes without content with."""
    return b""


def _reconstruct(kind: type, shape: tuple[int, ...], typecode: bytes) -> np.ndarray[Any, Any]:
    """An empty array, whose content and shape follow."""
    del shape, typecode
    if kind is not np.ndarray:
        raise pickle.UnpicklingError(f"expected an array, got {kind!r}")
    return np.ndarray((0,), np.int8)


_ALLOWED: Mapping[tuple[str, str], Any] = {
    ("_codecs", "encode"): _encoded,
    ("__builtin__", "bytes"): _no_bytes,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
}


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(
                f"it asks for {module}.{name}, but only plain numbers, text and arrays are read"
            )
        return _ALLOWED[module, name]


def plain_object(data: bytes, key: str, *, path: str) -> Any:
    """The object that an .npz stores under a name.

    Args:
        data: The content of the .npz.
        key: Of an array that holds one Python object, e.g. a dictionary.
        path: The file, for messages.

    Raises:
        DamagedError: There is none, or it holds more than plain values.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
            if key not in names:
                raise DamagedError(path, f"no array {key!r}; {did_you_mean(key, names)}")
            with archive.open(f"{key}.npy") as member:
                stream = io.BytesIO(member.read())
        major, _ = np.lib.format.read_magic(stream)
        header = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}
        shape, _, dtype = header[major](stream)
        if not dtype.hasobject or shape != ():
            raise DamagedError(path, f"array {key!r}: expected one object, got {dtype} {shape}")
        # text that Python 2 wrote comes as latin1
        found = _PlainUnpickler(stream, encoding="latin1").load()
        return np.asarray(found, dtype=object).item()
    except _BROKEN as error:
        reason = f"array {key!r}: expected plain values, got {error or type(error).__name__}"
        raise DamagedError(path, reason) from error
