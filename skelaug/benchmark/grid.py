"""Tasks with results in folders, made once by whichever of the processes comes first.

Every process that is given the same tasks and the same folder helps: the ranks of ``torchrun``, the
same command started twice, or started again after it was killed. ::

    folder/KIND/KEY/        the result of a task and its settings.json; whole or absent
    folder/KIND/.KEY.*.part  a result in the making; what a killed process leaves is no result
    folder/claims/KEY.0      who is making it (see `skelaug.benchmark.claims`)
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from skelaug.benchmark.claims import Claim, claim_task
from skelaug.errors import InterruptedRunError, SkelaugError
from skelaug.files import storage_errors, write_text
from skelaug.progress import Progress, silent

__all__ = ["Grid", "Task"]

PATIENCE = 240.0
"""Seconds without a sign of life after which a process on another machine counts as dead."""

_SETTINGS = "settings.json"
_PAUSES = (0.05, 2.0)  # seconds between two looks at what others are doing: the first, the longest


@dataclass(frozen=True, eq=False)
class Task:
    """Something to be made once. Two tasks of one key are the same task.

    Attributes:
        kind: The folder of its result, e.g. ``cell``.
        settings: Everything that decides the result, as JSON values.
        make: Fills an empty folder with the result; the grid adds ``settings.json``.
        needs: Tasks that are finished before it starts.
        key: 16 hexadecimal digits of the SHA-256 of kind, settings and the keys of the needs. The
            order of the settings does not matter, that of the needs does.
    """

    kind: str
    settings: Mapping[str, Any]
    make: Callable[[Path], None] = field(repr=False)
    needs: tuple[Task, ...] = ()
    key: str = field(init=False)

    def __post_init__(self) -> None:
        if not self.kind.isidentifier() or self.kind == "claims":
            raise ValueError(f"kind: expected a word that names a folder, got {self.kind!r}")
        text = json.dumps(
            [self.kind, self.settings, [need.key for need in self.needs]],
            sort_keys=True,
            separators=(",", ":"),
            allow_nan=False,
        )
        # a copy: what a caller does to its settings later cannot part them from the key
        object.__setattr__(self, "settings", json.loads(text)[1])
        object.__setattr__(self, "key", hashlib.sha256(text.encode()).hexdigest()[:16])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Task) and (self.kind, self.key) == (other.kind, other.key)

    def __hash__(self) -> int:
        return hash((self.kind, self.key))


class Grid:
    """A folder of results that any number of processes fill together."""

    def __init__(self, folder: Path, *, patience: float = PATIENCE) -> None:
        """Open a folder; it need not exist.

        Args:
            folder: Where results lie.
            patience: Seconds without a sign of life after which a process of another machine
                counts as dead.
        """
        self.folder = folder
        self._patience = patience

    def path(self, task: Task) -> Path:
        """The folder of a task's result."""
        return self.folder / task.kind / task.key

    def is_done(self, task: Task) -> bool:
        """Whether a task's result is there, which means all of it."""
        return self.path(task).is_dir()

    def remaining(self, tasks: Iterable[Task]) -> tuple[Task, ...]:
        """What is still to be made, needs before what needs them; see `complete`."""
        return tuple(task for task in self._ordered(tasks) if not self.is_done(task))

    def complete(
        self,
        tasks: Iterable[Task],
        *,
        progress: Progress = silent,
        on_done: Callable[[Task], None] | None = None,
    ) -> None:
        """Return when every task has its result, made here or by another process.

        Tasks are taken depth first: the first one with its needs, then the second with what it
        needs beyond. What another process is making is left to it, and waited for when nothing
        else is left. An error of a task ends this process's part and leaves nothing of that task;
        others, and the next run, try it again. Needs of finished tasks are not looked at.

        Args:
            tasks: What is wanted; needs come along.
            progress: Shows how many are finished.
            on_done: Called with every task once it is finished, whoever made it.

        Raises:
            InterruptedRunError: SIGTERM, or a signal that a task's own work answered to.
            StorageError: The disk is full or the folder cannot be written.
        """
        waiting = dict.fromkeys(self._ordered(tasks))
        total = len(waiting)

        def finished() -> list[Task]:
            found = [task for task in waiting if self.is_done(task)]
            for task in found:
                del waiting[task]
                if on_done is not None:
                    on_done(task)
            return found

        done = len(finished())
        pause = _PAUSES[0]
        with self._until_terminated(), progress("benchmark", total=total, done=done) as advance:
            while waiting:
                made = self._make_next(waiting)
                found = finished()
                for task in found:
                    advance(1, note=task.kind)
                if made or found:
                    pause = _PAUSES[0]
                else:
                    time.sleep(pause)
                    pause = min(1.5 * pause, _PAUSES[1])

    def _ordered(self, tasks: Iterable[Task]) -> tuple[Task, ...]:
        """The tasks and what the unfinished ones need, each once, needs first."""
        found: dict[Task, None] = {}

        def visit(task: Task) -> None:
            if task not in found:
                for need in () if self.is_done(task) else task.needs:
                    visit(need)
                found[task] = None

        for task in tasks:
            visit(task)
        return tuple(found)

    def _make_next(self, tasks: Iterable[Task]) -> bool:
        """Make the first task that is free and has what it needs; whether there was one."""
        for task in tasks:
            if self.is_done(task) or not all(map(self.is_done, task.needs)):
                continue
            claims = self.folder / "claims"
            with storage_errors(claims):
                claims.mkdir(parents=True, exist_ok=True)
            claim = claim_task(claims, task.key, patience=self._patience)
            if claim is None:
                continue
            try:
                self._make(task, claim)
            finally:
                claim.release()
            return True
        return False

    def _make(self, task: Task, claim: Claim) -> None:
        """Make one task in a temporary folder that then takes the result's name."""
        result = self.path(task)
        for left in result.parent.glob(f".{task.key}.*.part"):  # of the dead
            shutil.rmtree(left, ignore_errors=True)
        part = result.with_name(f".{task.key}.{claim.token}.part")
        try:
            with storage_errors(part):
                part.mkdir(parents=True)
            if self.is_done(task):  # between the look and the claim; mkdir refreshed the folder
                return
            with claim.kept_fresh(self._patience):
                task.make(part)
                write_text(part / _SETTINGS, _described(task))
            with storage_errors(part):
                part.rename(result)
        except InterruptedRunError as error:
            raise InterruptedRunError(
                f"{self.folder}: interrupted; run the same command again to go on"
            ) from error
        except (OSError, RuntimeError, SkelaugError):
            # One that had been asleep may have lost its task to another, which cleaned up.
            if claim.is_held() and not self.is_done(task):
                raise
        finally:
            shutil.rmtree(part, ignore_errors=True)

    @contextlib.contextmanager
    def _until_terminated(self) -> Iterator[None]:
        """Inside the block SIGTERM is an InterruptedRunError, so that everything is cleaned up."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def stop(number: int, frame: FrameType | None) -> None:
            del number, frame
            raise InterruptedRunError(f"{self.folder}: terminated; run the same command again")

        before = signal.signal(signal.SIGTERM, stop)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)


def _described(task: Task) -> str:
    record = {
        "kind": task.kind,
        "key": task.key,
        "settings": task.settings,
        "needs": [{"kind": need.kind, "key": need.key} for need in task.needs],
    }
    return json.dumps(record, indent=2, sort_keys=True) + "\n"
