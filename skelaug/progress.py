"""How long work reports itself: a workflow counts, the command line draws."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Protocol

__all__ = ["Advance", "Progress", "silent"]


class Advance(Protocol):
    """Counts finished units; `note` is a short text beside the bar, e.g. the loss."""

    def __call__(self, count: int = 1, /, *, note: str = "") -> None:
        """Count `count` more units as finished."""
        ...


class Progress(Protocol):
    """Opens a task: ``with progress("drawing", total=1000) as advance: advance(64)``."""

    def __call__(
        self, description: str, *, total: int, done: int = 0
    ) -> contextlib.AbstractContextManager[Advance]:
        """Open a task of `total` units of which `done` were finished by an earlier run."""
        ...


@contextlib.contextmanager
def silent(description: str, *, total: int, done: int = 0) -> Iterator[Advance]:
    """A Progress that shows nothing; the default of every workflow."""
    del description, total, done

    def advance(count: int = 1, /, *, note: str = "") -> None:
        del count, note

    yield advance
