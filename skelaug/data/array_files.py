"""Reading .npz, .npy and lists of values without ever loading a pickle."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skelaug.data.reading import DamagedError, Fetch
from skelaug.errors import did_you_mean

__all__ = ["ArrayFile", "numbers", "values"]

_UNREADABLE = (
    ValueError,
    OSError,
    EOFError,
    KeyError,
    TypeError,
    zipfile.BadZipFile,
    zlib.error,
    NotImplementedError,
    MemoryError,
    OverflowError,
    SyntaxError,  # numpy reads the header of an array as a Python literal
    RuntimeError,
)


class ArrayFile:
    """The arrays of an .npz, or the one of an .npy under the empty name.

    Args:
        data: The content of the file.
        path: Its name, for messages.

    Raises:
        DamagedError: It is neither.
    """

    def __init__(self, data: bytes, path: str) -> None:
        self.path = path
        self._arrays: dict[str, NDArray[Any]] = {}
        try:
            loaded = np.load(io.BytesIO(data), allow_pickle=False)
        except _UNREADABLE as error:
            raise DamagedError(path, _why(error, "an .npz or .npy file")) from error
        self._archive: Any = loaded
        if isinstance(loaded, np.ndarray):
            self._arrays[""] = loaded
            self.keys: tuple[str, ...] = ("",)
        else:
            self.keys = tuple(loaded.files)

    def __contains__(self, key: str) -> bool:
        return key in self.keys

    def array(self, key: str, *, asked: str) -> NDArray[Any]:
        """The array of that name.

        Args:
            key: The name.
            asked: The key of the recipe that asks for it, for messages.

        Raises:
            DamagedError: There is none, or it holds Python objects.
        """
        if key not in self.keys:
            raise DamagedError(
                self.path, f"key {asked!r}: no array {key!r}; {did_you_mean(key, self.keys)}"
            )
        if key not in self._arrays:
            try:
                self._arrays[key] = self._archive[key]
            except _UNREADABLE as error:
                reason = _why(error, "an array")
                raise DamagedError(self.path, f"array {key!r}: {reason}") from error
        return self._arrays[key]

    def text(self, key: str) -> str:
        """A single text or number as text; empty if the file has none of that name."""
        if key not in self:
            return ""
        array = self.array(key, asked=key)
        return str(array.item()) if array.size == 1 else ""


def _why(error: BaseException, what: str) -> str:
    if "allow_pickle" in str(error) or "bject arrays" in str(error):
        return (
            "holds Python objects, which are pickles and are never loaded; save plain numbers or "
            "text instead"
        )
    return f"expected {what}, got {error or type(error).__name__}"


def values(
    source: str | Sequence[int | str],
    *,
    asked: str,
    arrays: ArrayFile | None,
    fetch: Fetch,
    path: str,
) -> NDArray[Any] | None:
    """What a recipe gives one by one for each clip; None if it gives nothing.

    Args:
        source: A list, the name of an array, or a .npy or .txt file (one value per line).
        asked: The key of the recipe.
        arrays: Where arrays of that name are.
        fetch: Gives files beside the recipe.
        path: The recipe.

    Raises:
        DamagedError: There is no such array or file.
    """
    if not isinstance(source, str):
        return np.array([str(value) for value in source]) if source else None
    if not source:
        return None
    beside = path[: path.rfind("/") + 1] + source
    if source.lower().endswith(".txt"):
        try:
            return np.array(fetch(beside).decode("utf-8-sig").splitlines())
        except UnicodeDecodeError as error:
            raise DamagedError(beside, "expected text, one value per line") from error
    if source.lower().endswith(".npy"):
        return ArrayFile(fetch(beside), beside).array("", asked=asked)
    if source.lower().endswith((".pkl", ".pickle")):
        raise DamagedError(
            path, f"key {asked!r}: pickles are never loaded; save {source} as .npy or .txt"
        )
    if arrays is None:
        raise DamagedError(path, f"key {asked!r}: expected a list or a file, got {source!r}")
    return arrays.array(source, asked=asked)


def numbers(given: NDArray[Any], *, asked: str, path: str) -> list[int]:
    """Values as whole numbers.

    Raises:
        DamagedError: One of them is none.
    """
    try:
        floats = given.reshape(-1).astype(np.float64)
        whole = floats.astype(np.int64)
    except (ValueError, TypeError) as error:
        raise DamagedError(path, f"key {asked!r}: expected whole numbers, got {error}") from error
    if not np.array_equal(floats, whole):
        raise DamagedError(path, f"key {asked!r}: expected whole numbers, got {floats[:5]}")
    return [int(value) for value in whole]
