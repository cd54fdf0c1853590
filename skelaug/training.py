"""One training loop for every network: step, log, checkpoint; seeded by step, resumable.

What happens in step s depends on (seed, s) and on nothing that came before except the weights, so
a run that was killed and resumed equals one that was not, bit for bit. Under ``torchrun`` the batch
is cut into one share per process; every process draws the whole batch's randomness and keeps its
share, so that the gradient is that of one process.
"""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from skelaug.errors import InterruptedRunError
from skelaug.files import storage_errors
from skelaug.learner import Learner, Task
from skelaug.optimisation import Optimisation, seeded
from skelaug.place import Place
from skelaug.progress import Progress, silent
from skelaug.seeds import Stream

__all__ = ["Outcome", "Rhythm", "time_updates", "train"]


@dataclass(frozen=True)
class Rhythm:
    """How often the loop does what does not change its result.

    Attributes:
        log: Updates per line of the log.
        checkpoint: Updates per checkpoint.
        checkpoint_seconds: A checkpoint is also written when the last one is older than this.
        evaluate: Updates per evaluation; 0 = never.
    """

    log: int
    checkpoint: int
    checkpoint_seconds: float = math.inf
    evaluate: int = 0


@dataclass(frozen=True)
class Outcome:
    """How a training ended.

    Attributes:
        steps: Updates made in all.
        last: The last line of the log.
        skipped: Updates left out because the loss or gradient was not finite.
        best: The update whose weights were kept, with what its evaluation said.
        seconds: Time spent in this process, without earlier runs.
        resumed_at: The update that this run started from.
    """

    steps: int
    last: Mapping[str, float | None]
    skipped: int
    best: Mapping[str, float]
    seconds: float
    resumed_at: int


def train(
    task: Task,
    optimisation: Optimisation,
    rhythm: Rhythm,
    *,
    seed: int,
    folder: Path,
    place: Place,
    progress: Progress = silent,
) -> Outcome:
    """Train a network, or go on where ``folder/state.pt`` says an earlier run stopped.

    Writes ``log.jsonl`` (no clock in it: equal runs write equal bytes; the clock is in
    ``timing.jsonl``), ``state.pt``, and through ``task.export`` the weights. Ctrl-C and SIGTERM end
    after the update in flight with a checkpoint.

    Raises:
        InterruptedRunError: A signal asked to stop; everything is saved.
        DivergedError: The loss or the gradient was not finite many times in a row.
        StorageError: A checkpoint cannot be written; the last one is whole.
    """
    learner = Learner(task, optimisation, seed=seed, folder=folder, place=place)
    learner.restore()
    started = learner.step
    clock = time.monotonic()
    saved = clock
    with (
        storage_errors(folder),
        _stop_requests() as stop,
        seeded(seed, Stream.DROPOUT, device=place.device),
        progress("training", total=optimisation.steps, done=started) as advance,
    ):
        while learner.step < optimisation.steps:
            learner.update()
            last = learner.step == optimisation.steps
            if learner.step % rhythm.log == 0 or last:
                learner.log()
            if rhythm.evaluate and (learner.step % rhythm.evaluate == 0 or last):
                learner.evaluate()
            advance(1, note=learner.note)
            stopping, late = place.any(
                stop.is_set(), time.monotonic() - saved > rhythm.checkpoint_seconds
            )
            if learner.step % rhythm.checkpoint == 0 or last or stopping or late:
                learner.save()
                saved = time.monotonic()
            if stopping and not last:
                raise InterruptedRunError(
                    f"{folder}: interrupted after {learner.step} of {optimisation.steps} steps, "
                    f"all saved; add --resume to go on"
                )
    return Outcome(
        steps=learner.step,
        last=learner.line,
        skipped=learner.skipped,
        best=learner.best,
        seconds=time.monotonic() - clock,
        resumed_at=started,
    )


def time_updates(
    task: Task, optimisation: Optimisation, *, seed: int, place: Place, count: int = 3
) -> float:
    """Seconds that one update takes, after one that does not count; trains `task.network`."""
    learner = Learner(task, optimisation, seed=seed, folder=Path(), place=place)
    with seeded(seed, Stream.DROPOUT, device=place.device):
        learner.update()
        learner.wait()
        started = time.monotonic()
        for _ in range(count):
            learner.update()
        learner.wait()
    return (time.monotonic() - started) / count


@contextlib.contextmanager
def _stop_requests() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C or SIGTERM sets; a second one acts at once."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    numbers: tuple[int, ...] = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}

    def request(number: int, frame: FrameType | None) -> None:
        del frame
        stop.set()
        signal.signal(number, before[number])

    for number in before:
        signal.signal(number, request)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
