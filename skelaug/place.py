"""Where a process computes: its device, and its share of what several processes do together."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from skelaug.errors import DependencyError

__all__ = ["Place", "alone", "one_thread_each", "side_by_side", "training_place"]

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_PATIENCE = timedelta(hours=2)
_LAUNCHER = ("RANK", "LOCAL_RANK", "WORLD_SIZE")


@dataclass(frozen=True)
class Place:
    """Where a process computes, and which share of each batch is its own.

    Attributes:
        device: The device.
        rank: Number of this process.
        world: Number of processes.
    """

    device: torch.device
    rank: int = 0
    world: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes files."""
        return self.rank == 0

    def share(self, count: int) -> range:
        """The samples of a batch that are this process's own."""
        return range(count * self.rank // self.world, count * (self.rank + 1) // self.world)

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.world > 1:
            dist.barrier()

    def any(self, *flags: bool) -> list[bool]:
        """For each flag whether it is set in any process."""
        if self.world == 1:
            return list(flags)
        raised = torch.tensor(flags, dtype=torch.int32, device=self.device)
        dist.all_reduce(raised, dist.ReduceOp.MAX)
        return [bool(flag) for flag in raised.tolist()]

    def total(self, values: Tensor) -> Tensor:
        """The sum of a tensor over all processes; the argument is left alone."""
        values = values.clone()
        if self.world > 1:
            dist.all_reduce(values)
        return values


@contextlib.contextmanager
def training_place(device: str = "auto") -> Iterator[Place]:
    """The place of this process: alone, or one of those that ``torchrun`` started.

    Args:
        device: ``auto`` (an accelerator if there is one), ``cpu``, ``cuda`` or ``cuda:1``.

    Raises:
        DependencyError: There is no such device.
    """
    local, world = int(os.environ.get("LOCAL_RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        chosen = torch.device(device)
        torch.zeros(1, device=chosen)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise DependencyError(
            f"--device {device}: expected a device of this machine, got {reason}; try --device cpu"
        ) from error
    if chosen.type == "cuda" and chosen.index is None:
        chosen = torch.device("cuda", local)
    if world == 1:
        yield Place(chosen)
        return
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo", timeout=_PATIENCE)
    try:
        yield Place(chosen, rank=dist.get_rank(), world=world)
    finally:
        dist.destroy_process_group()


@contextlib.contextmanager
def alone(device: str = "auto") -> Iterator[str]:
    """Inside the block this process works for itself, though ``torchrun`` started others too.

    Args:
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:1``.

    Yields:
        The device of this process: of several accelerators, each process has its own.
    """
    local = os.environ.get("LOCAL_RANK", "0")
    hidden = {name: os.environ.pop(name) for name in _LAUNCHER if name in os.environ}
    own = torch.cuda.is_available() and device in ("auto", "cuda")
    try:
        yield f"cuda:{local}" if own else device
    finally:
        os.environ.update(hidden)


@contextlib.contextmanager
def one_thread_each(workers: int) -> Iterator[None]:
    """Inside the block every thread computes alone; what torch was set to comes back after it.

    Small pieces of work are faster side by side, a thread each, than one after the other on all
    threads, and much faster where other programs keep some of the processors busy.

    Args:
        workers: How many threads there are; a single one keeps all processors.
    """
    threads = torch.get_num_threads()
    if workers > 1:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def side_by_side(
    work: Callable[[_Item], _Result], items: Iterable[_Item], workers: int
) -> Generator[_Result]:
    """The results in the order of the items, `workers` at the same time and one more waiting.

    Args:
        work: Computes a result, in a thread of its own and by no other threads.
        items: Read one after the other by the caller's thread.
        workers: How many are computed at the same time.
    """
    with one_thread_each(workers), ThreadPoolExecutor(workers) as pool:
        coming: deque[Future[_Result]] = deque()
        try:
            for item in items:
                coming.append(pool.submit(work, item))
                if len(coming) > workers:
                    yield coming.popleft().result()
            while coming:
                yield coming.popleft().result()
        finally:  # nobody waits for the rest after an interruption
            pool.shutdown(cancel_futures=True)
