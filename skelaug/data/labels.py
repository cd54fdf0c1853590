"""Finding a class by what a user calls it."""

from __future__ import annotations

from collections.abc import Sequence

from skelaug.errors import NotFoundError, did_you_mean

__all__ = ["match_label", "match_labels"]


def match_label(wanted: str, classes: Sequence[str]) -> str:
    """The one class that is meant: by its exact name, else by a unique part of it in any case.

    Raises:
        NotFoundError: No class, or more than one, contains the text; the message lists them.
    """
    if wanted in classes:
        return wanted
    folded = wanted.casefold().strip()
    same = [name for name in classes if name.casefold() == folded]
    found = same or [name for name in classes if folded and folded in name.casefold()]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(repr(name) for name in found)
        raise NotFoundError(
            f"label {wanted!r}: expected one class, got {len(found)} that contain it: {names}; "
            f"give more of the name"
        )
    raise NotFoundError(f"label {wanted!r}: no such class; {did_you_mean(wanted, classes)}")


def match_labels(wanted: Sequence[str], classes: Sequence[str]) -> tuple[str, ...]:
    """The classes that are meant, each once, in the order in which they are asked for."""
    return tuple(dict.fromkeys(match_label(label, classes) for label in wanted))
