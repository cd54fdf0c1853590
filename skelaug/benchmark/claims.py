"""Who works on what: claims on tasks that processes of one or several machines see as files.

Creating a file that must not exist yet is all that this takes, so it works on network file systems
too. ``claims/KEY.0`` holds who claimed KEY and is touched while its process works. When that
process has died (or its machine has: nothing was touched for a while), another takes the task over
by creating ``claims/KEY.1``, which only one can, and so on; the highest number holds the task.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from skelaug.files import storage_errors

__all__ = ["Claim", "claim_task"]

_TOUCHES = 6  # within the patience of the others


@dataclass(frozen=True)
class Claim:
    """The right to work on one task.

    Attributes:
        path: The file that says so.
        token: Distinguishes this claim from every other.
    """

    path: Path
    token: str

    def is_held(self) -> bool:
        """Whether the claim is still this one's; it is lost to others who thought it dead."""
        last = _last(self.path.parent, self.path.stem)
        return last is not None and _read(last).get("token") == self.token

    def release(self) -> None:
        """Give the task back, with the claims of the dead that it was taken over from."""
        own = _generation(self.path)
        for path in _all(self.path.parent, self.path.stem):
            if _generation(path) < own:
                path.unlink(missing_ok=True)
        if _read(self.path).get("token") == self.token:
            self.path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def kept_fresh(self, patience: float) -> Iterator[None]:
        """Inside the block a thread shows the others that this process is alive.

        Args:
            patience: Seconds without a sign of life after which others take the task over.
        """
        done = threading.Event()

        def touch() -> None:
            while not done.wait(patience / _TOUCHES):
                with contextlib.suppress(OSError):
                    os.utime(self.path)

        thread = threading.Thread(target=touch, name="skelaug-claim", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def claim_task(folder: Path, key: str, *, patience: float) -> Claim | None:
    """A claim on a task, or None while another living process holds it.

    Args:
        folder: Where the claims lie; it is there.
        key: Of the task; letters and digits.
        patience: Seconds without a sign of life after which a process of another machine counts
            as dead. One of this machine counts as dead when it is.

    Raises:
        StorageError: The folder cannot be written.
    """
    before = _last(folder, key)
    holder = {} if before is None else _read(before)
    if before is not None and not _is_dead(before, holder, patience):
        return None
    generation = 0 if before is None else _generation(before) + 1
    claim = _create(folder / f"{key}.{generation}")
    if claim is None:
        return None
    # Between the look and the claim, the task may have been given back and claimed anew.
    is_successor = before is None or (before.exists() and _read(before) == holder)
    if is_successor and claim.is_held():
        return claim
    claim.path.unlink(missing_ok=True)
    return None


def _create(path: Path) -> Claim | None:
    """The claim in a new file, or None where another was faster."""
    token = secrets.token_hex(8)
    who = {"machine": _machine(), "pid": os.getpid(), "token": token, "start": time.time()}
    with storage_errors(path):
        try:
            handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        except FileExistsError:
            return None
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(who, file)
    return Claim(path, token)


def _all(folder: Path, key: str) -> list[Path]:
    """The claims on a task, the oldest first."""
    return sorted(folder.glob(f"{key}.*"), key=_generation)


def _last(folder: Path, key: str) -> Path | None:
    claims = _all(folder, key)
    return claims[-1] if claims else None


def _generation(path: Path) -> int:
    number = path.suffix.removeprefix(".")
    return int(number) if number.isdigit() else -1


def _read(path: Path) -> dict[str, object]:
    """Who holds a claim; empty while it is being written, or after it is gone."""
    try:
        who = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return who if isinstance(who, dict) else {}


def _is_dead(path: Path, holder: dict[str, object], patience: float) -> bool:
    pid = holder.get("pid")
    if holder.get("machine") == _machine() and isinstance(pid, int) and not _is_running(pid):
        return True
    try:
        touched = path.stat().st_mtime
    except FileNotFoundError:  # given back a moment ago: look again later
        return False
    return _now(path.parent) - touched > patience


def _now(folder: Path) -> float:
    """The time by the clock of the file system, which need not be that of this machine."""
    probe = folder / f".now-{secrets.token_hex(8)}"
    with storage_errors(probe):
        try:
            probe.touch()
            return probe.stat().st_mtime
        finally:
            probe.unlink(missing_ok=True)


def _machine() -> str:
    """The space that a process number is unique in: a machine, or a container of its own."""
    try:
        space = Path("/proc/self/ns/pid").readlink().name
    except OSError:
        space = ""
    return f"{socket.gethostname()} {space}".strip()


def _is_running(pid: int) -> bool:
    if os.name == "nt":  # there, os.kill would end the process
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
