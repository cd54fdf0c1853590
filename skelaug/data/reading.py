"""What every reader returns, and what happens to a clip that has something wrong with it.

A reader never decides: it raises `DamagedError` when there is nothing to use, and otherwise returns
the clip together with the problems that it met. `settle` then applies the user's choice.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from skelaug.errors import DataError
from skelaug.skeleton.layout import SkeletonLayout
from skelaug.skeleton.sequence import SkeletonSequence

__all__ = [
    "Clip",
    "DamagedError",
    "Fetch",
    "OnProblem",
    "Problem",
    "Reader",
    "as_float32",
    "in_order",
    "measured",
    "settle",
    "stem",
    "value_problems",
]


class OnProblem(enum.StrEnum):
    """What to do with a clip that has a problem.

    Attributes:
        KEEP: Numbers stay as they are in the file, also those that are no measurements (they are
            marked unobserved); a file whose structure is broken is rejected.
        REPAIR: What is not a measurement becomes NaN, unobserved; of a file that breaks off, the
            complete frames are used. Nothing is invented.
        DROP: Any file with a problem is rejected.
    """

    KEEP = "keep"
    REPAIR = "repair"
    DROP = "drop"


class DamagedError(DataError):
    """A file, or one clip in it, cannot be used.

    Attributes:
        path: The file as the user would name it.
        reason: What was expected and what was found.
        line: 1-based line of a text file; 0 where lines make no sense.
    """

    def __init__(self, path: str, reason: str, *, line: int = 0) -> None:
        super().__init__(f"{path}:{line}: {reason}" if line else f"{path}: {reason}")
        self.path, self.reason, self.line = path, reason, line

    def __reduce__(self) -> tuple[object, ...]:
        return (_damaged, (self.path, self.reason, self.line))


def _damaged(path: str, reason: str, line: int) -> DamagedError:
    return DamagedError(path, reason, line=line)


@dataclass(frozen=True)
class Problem:
    """Something in a file that is not as its format promises, and that can be lived with.

    Attributes:
        reason: What was found.
        line: 1-based line; 0 where lines make no sense.
        structural: The file itself is broken (it breaks off, a count lies), so that keeping it as
            it is makes no sense; otherwise only numbers in it are no measurements.
    """

    reason: str
    line: int = 0
    structural: bool = False


@dataclass(frozen=True)
class Clip:
    """A clip as it was found.

    Attributes:
        sequence: Positions as in the file; `observed` is False where they are no measurement.
        problems: What is wrong with it.
        decisions: What the reader chose where the format leaves a choice, e.g. the main actor.
        classes: The class names of the clip's data set in their order, where its files give them.
        is_settled: Whether it has been through `settle` before; then it stays as it is.
    """

    sequence: SkeletonSequence
    problems: tuple[Problem, ...] = ()
    decisions: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    is_settled: bool = False


Fetch = Callable[[str], bytes]
"""Gives the content of a file of the same source by its name; raises DamagedError without one."""


class Reader(Protocol):
    """A format: which files of a source belong to it, and what is in one of them."""

    @property
    def name(self) -> str:
        """The format's name for ``--format``."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """The data set's class names in its own order; empty if its files name them."""
        ...

    @property
    def subjects(self) -> tuple[int, int]:
        """The lowest and the highest subject number that the data set uses."""
        ...

    @property
    def layout(self) -> str:
        """The name of the layout of its clips; empty if the files name it."""
        ...

    def claims(self, paths: Sequence[str]) -> list[str]:
        """Those of a source's files that are surely of this format, by their names."""
        ...

    def admits(self, paths: Sequence[str]) -> list[str]:
        """Those that are read when the user has named the format: a weaker test."""
        ...

    def skips(self, path: str) -> str:
        """Why a file is left out on purpose; empty if it is not."""
        ...

    def population(self, path: str, fetch: Fetch) -> str:
        """The data set that a file belongs to: subject numbers mean the same within it.

        Raises:
            DamagedError: The file does not say.
        """
        ...

    def read(self, path: str, fetch: Fetch) -> Iterator[Clip | DamagedError]:
        """The clips of one file, and an error in the place of each one that cannot be used.

        Raises:
            DamagedError: The whole file cannot be used.
        """
        ...


def stem(path: str) -> str:
    """The file name without folders and without its last suffix."""
    name = path.rsplit("/", 1)[-1]
    return name.rsplit(".", 1)[0] if "." in name[1:] else name


def as_float32(values: NDArray[np.floating]) -> NDArray[np.float32]:
    """The values as they are stored; what is too large for that becomes infinite."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(values, dtype=np.float32)


def measured(positions: NDArray[np.floating]) -> NDArray[np.bool_]:
    """T M V, True where all coordinates are finite and not all are exactly zero.

    Sensors write zeros where they saw nothing; the origin of every supported sensor lies inside
    it, so a joint is never truly there.
    """
    seen = np.isfinite(positions).all(axis=-1) & (positions != 0).any(axis=-1)
    return np.asarray(seen, dtype=np.bool_)


def value_problems(positions: NDArray[np.floating], *, zeros: bool = True) -> Iterator[Problem]:
    """One problem for all values that are not finite and one for all joints that are zero."""
    broken = ~np.isfinite(positions).all(axis=-1)
    if broken.any():
        first = int(np.argwhere(broken)[0, 0])
        yield Problem(f"{int(broken.sum())} joints are not finite, the first in frame {first}")
    zero = (positions == 0).all(axis=-1)
    if zeros and zero.any():
        first = int(np.argwhere(zero)[0, 0])
        yield Problem(f"{int(zero.sum())} joints are at zero, the first in frame {first}")


def settle(clip: Clip, on_problem: OnProblem, *, path: str) -> SkeletonSequence:
    """The sequence that the user's choice makes of a clip.

    Raises:
        DamagedError: The choice rejects it, or no joint was measured in any frame.
    """
    sequence = clip.sequence
    if clip.is_settled:
        return sequence
    if not sequence.observed.any():
        raise DamagedError(path, "expected at least one measured joint, got none")
    refused = [p for p in clip.problems if p.structural or on_problem is OnProblem.DROP]
    if refused and on_problem is not OnProblem.REPAIR:
        raise DamagedError(path, _joined(refused), line=refused[0].line)
    if on_problem is OnProblem.KEEP or sequence.observed.all():
        return sequence
    positions = np.where(sequence.observed[..., None], sequence.positions, np.float32(np.nan))
    return sequence.replaced(positions=positions)


def _joined(problems: Iterable[Problem]) -> str:
    return "; ".join(problem.reason for problem in problems)


def in_order(
    positions: NDArray[np.floating], joints: tuple[str, ...], layout: SkeletonLayout
) -> NDArray[np.float32]:
    """Joints (axis -2) that come in another order, in the layout's order, matched by name."""
    order = [joints.index(joint) for joint in layout.joints]
    return as_float32(positions[..., order, :])
