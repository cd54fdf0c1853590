"""The errors that a user can cause, and the exit code that each one ends with.

::

    SkelaugError
    ├── UsageError        2   an option, a configuration or an output path is wrong
    ├── DataError         3   an input file does not say what its format promises
    ├── DependencyError   4   a package or a device is missing
    ├── NotFoundError     5   a model, label or file does not exist
    ├── StorageError      3   the disk is full or a folder cannot be written
    ├── CheckFailedError  7   a check ran and did not pass
    ├── DivergedError     7   a training's loss left the finite numbers
    └── InterruptedRunError  130  a signal stopped a run that can be resumed

A message is one line: ``<where>: <expected>, got <received>; <what to do>``. Exit code 6 (finished,
but some inputs were rejected) is a result, not an error: see ``skelaug.workflows``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "CheckFailedError",
    "DataError",
    "DependencyError",
    "DivergedError",
    "InterruptedRunError",
    "NotFoundError",
    "SkelaugError",
    "StorageError",
    "UsageError",
    "did_you_mean",
]

_NEAR = 0.6
_MOST = 60  # choices that a message lists


class SkelaugError(Exception):
    """A mistake that the user can put right; the command line prints it as one line."""

    exit_code = 2


class UsageError(SkelaugError):
    """An option, a configuration or an output path is wrong."""

    exit_code = 2


class DataError(SkelaugError):
    """An input file does not say what its format promises."""

    exit_code = 3


class DependencyError(SkelaugError):
    """A package or a device is missing."""

    exit_code = 4


class NotFoundError(SkelaugError):
    """A model, a label or a file does not exist."""

    exit_code = 5


class StorageError(SkelaugError):
    """A disk is full, or a folder cannot be written."""

    exit_code = 3


class CheckFailedError(SkelaugError):
    """A check ran to its end and did not pass."""

    exit_code = 7


class DivergedError(SkelaugError):
    """A training's loss or gradient left the finite numbers and did not come back."""

    exit_code = 7


class InterruptedRunError(SkelaugError):
    """A signal stopped a run; everything is saved and it can be resumed."""

    exit_code = 130


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """A half sentence with the nearest of the choices, or with the choices when none is near."""
    known = sorted(choices)
    nearness = {choice: _nearness(name.lower(), choice.lower()) for choice in known}
    near = sorted(known, key=lambda choice: -nearness[choice])[:3]
    named = [choice for choice in near if nearness[choice] >= _NEAR]
    if named:
        return "did you mean " + " or ".join(repr(c) for c in named) + "?"
    more = f" and {len(known) - _MOST} more" if len(known) > _MOST else ""
    return "known are " + ", ".join(known[:_MOST]) + more


def _nearness(name: str, choice: str) -> float:
    """How alike a name is to a choice or to one of the choice's words, 0 to 1."""
    return max(
        difflib.SequenceMatcher(None, name, part).ratio() for part in (choice, *choice.split())
    )
