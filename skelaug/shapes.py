"""One-line shape checks whose message names the letters and the numbers."""

from __future__ import annotations

from typing import Protocol

__all__ = ["HasShape", "check_shape"]


class HasShape(Protocol):
    """Anything with a shape: a numpy array or a torch tensor."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes, one per axis."""
        ...


def check_shape(array: HasShape, letters: str, *, what: str = "array", **sizes: int) -> None:
    """Check the rank and the named sizes of an array.

    Args:
        array: A numpy array or a tensor.
        letters: The axes, separated by blanks, e.g. ``"N C T V"``.
        what: The name that the message gives the array.
        sizes: Sizes that letters must have, e.g. ``C=3``.

    Raises:
        ValueError: The rank or a size differs.
    """
    names = letters.split()
    shape = tuple(array.shape)
    fits = len(shape) == len(names) and all(
        shape[names.index(letter)] == size for letter, size in sizes.items()
    )
    if not fits:
        wanted = ", ".join(f"{letter} = {size}" for letter, size in sizes.items())
        suffix = f" with {wanted}" if wanted else ""
        got = " x ".join(str(size) for size in shape) or "a scalar"
        raise ValueError(f"{what}: expected {letters}{suffix}, got {got}")
