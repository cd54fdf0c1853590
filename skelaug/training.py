"""One training loop for every network: step, log, checkpoint; seeded by step, resumable.

What happens in step s depends on (seed, s) and on nothing that came before except the weights, so
a run that was killed and resumed equals one that was not, bit for bit. Under ``torchrun`` the batch
is cut into one share per process; every process draws the whole batch's randomness and keeps its
share, so that the gradient is that of one process.
"""

from __future__ import annotations

import contextlib
import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from skelaug.checkpoint import load_state, save_state
from skelaug.diffusion.ema import decay_at
from skelaug.errors import DivergedError, InterruptedRunError
from skelaug.files import storage_errors, write_text
from skelaug.place import Place
from skelaug.progress import Progress, silent
from skelaug.seeds import Stream, generator, numpy_generator

__all__ = [
    "Batches",
    "Loss",
    "Optimisation",
    "Outcome",
    "Rhythm",
    "Task",
    "autocast_dtype",
    "batch_indices",
    "seeded",
    "time_updates",
    "train",
]

_MAX_SKIPPED = 20
_LOG, _TIMING, _STATE = "log.jsonl", "timing.jsonl", "state.pt"

Batches = Callable[[int], tuple[Tensor, ...]]
Loss = Callable[..., Mapping[str, Tensor]]


class Optimisation(BaseModel, frozen=True, extra="forbid"):
    """How the weights move: AdamW with warm-up and linear decay, and a moving average.

    Attributes:
        steps: Updates in all.
        batch: Samples per update, over all processes.
        micro_batch: Samples per backward pass in each process; fewer need less memory and give the
            same gradient (batch norm and dropout aside). None takes the whole share at once.
        lr: Learning rate after the warm-up.
        warmup: Updates over which the rate rises linearly.
        decay_start: Fraction of the updates after which the rate falls linearly to 0; 1 = never.
        weight_decay: Decoupled weight decay (Loshchilov and Hutter 2019).
        betas: Decay rates of the two moments.
        clip: Largest norm of the gradient; None leaves it alone.
        ema_decay: Decay of the moving average of the weights; 0 switches it off.
        precision: ``bf16`` autocast, ``fp32``, or ``auto``: bf16 where the device computes in it.
    """

    steps: PositiveInt = 6000
    batch: PositiveInt = 64
    micro_batch: PositiveInt | None = None
    lr: PositiveFloat = 1e-3
    warmup: NonNegativeInt = 0
    decay_start: float = Field(default=1.0, ge=0.0, le=1.0)
    weight_decay: NonNegativeFloat = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    clip: PositiveFloat | None = None
    ema_decay: float = Field(default=0.0, ge=0.0, lt=1.0)
    precision: Literal["auto", "bf16", "fp32"] = "auto"

    def lr_at(self, step: int) -> float:
        """The learning rate of update `step` (from 0)."""
        rising = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        start = self.decay_start * self.steps
        falling = 1.0 if step < start else (self.steps - step) / max(self.steps - start, 1.0)
        return self.lr * rising * falling


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
class Task:
    """What is trained.

    Attributes:
        network: The module; trained in place.
        batches: The tensors of update `step`, samples first, the same in every process.
        loss: ``loss(network, *tensors)``, scalars that are means over the samples given; the key
            ``loss`` is minimised, all are logged.
        evaluate: From a network in eval mode to numbers that are logged; ``score`` (higher is
            better) decides which weights are kept. None keeps the last ones.
        export: Writes the weights worth keeping (averaged or best) and the update they belong to.
    """

    network: nn.Module
    batches: Batches
    loss: Loss
    export: Callable[[Mapping[str, Tensor], int], None]
    evaluate: Callable[[nn.Module], Mapping[str, float]] | None = None


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


def autocast_dtype(precision: str, device: torch.device) -> torch.dtype | None:
    """bfloat16 if asked for, or on ``auto`` if the device computes in it natively; else None."""
    if precision == "auto":
        native = (
            torch.cuda.is_bf16_supported(including_emulation=False)
            if device.type == "cuda"
            else _cpu_has_bf16()
        )
        precision = "bf16" if native else "fp32"
    return torch.bfloat16 if precision == "bf16" else None


def _cpu_has_bf16() -> bool:
    probes = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(getattr(torch.cpu, probe, bool)() for probe in probes)


@contextlib.contextmanager
def seeded(seed: int, *stream: int, device: torch.device | None = None) -> Iterator[None]:
    """Inside the block, modules draw (initial weights, dropout) from this address alone."""
    gpus = [device] if device is not None and device.type == "cuda" else []
    with torch.random.fork_rng(devices=gpus):
        _reseed(seed, *stream, device=device)
        yield


def _reseed(seed: int, *stream: int, device: torch.device | None) -> None:
    word = generator(seed, *stream).initial_seed()
    torch.default_generator.manual_seed(word)
    if device is not None and device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(word)


@lru_cache(maxsize=4)
def _permutation(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    return numpy_generator(seed, Stream.TRAIN_BATCH, epoch).permutation(count)


def batch_indices(seed: int, step: int, *, batch: int, count: int) -> NDArray[np.int64]:
    """Which of `count` samples update `step` sees: each once per epoch, in an order of its own."""
    epochs, places = np.divmod(np.arange(step * batch, (step + 1) * batch), count)
    return np.concatenate(
        [_permutation(seed, int(e), count)[places[epochs == e]] for e in np.unique(epochs)]
    )


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
    run = _Run(task, optimisation, seed=seed, folder=folder, place=place)
    run.restore()
    started = run.step
    clock = time.monotonic()
    saved = clock
    with (
        storage_errors(folder),
        _stop_requests() as stop,
        seeded(seed, Stream.DROPOUT, device=place.device),
        progress("training", total=optimisation.steps, done=started) as advance,
    ):
        while run.step < optimisation.steps:
            run.update()
            last = run.step == optimisation.steps
            if run.step % rhythm.log == 0 or last:
                run.log()
            if rhythm.evaluate and (run.step % rhythm.evaluate == 0 or last):
                run.evaluate()
            advance(1, note=run.note)
            stopping, late = place.any(
                stop.is_set(), time.monotonic() - saved > rhythm.checkpoint_seconds
            )
            if run.step % rhythm.checkpoint == 0 or last or stopping or late:
                run.save()
                saved = time.monotonic()
            if stopping and not last:
                raise InterruptedRunError(
                    f"{folder}: interrupted after {run.step} of {optimisation.steps} steps, all "
                    f"saved; add --resume to go on"
                )
    return Outcome(
        steps=run.step,
        last=run.line,
        skipped=int(run.skipped),
        best=run.best,
        seconds=time.monotonic() - clock,
        resumed_at=started,
    )


def time_updates(
    task: Task, optimisation: Optimisation, *, seed: int, place: Place, count: int = 3
) -> float:
    """Seconds that one update takes, after one that does not count; trains `task.network`."""
    run = _Run(task, optimisation, seed=seed, folder=Path(), place=place)
    with seeded(seed, Stream.DROPOUT, device=place.device):
        run.update()
        float(run.norms)  # waits for the device
        started = time.monotonic()
        for _ in range(count):
            run.update()
        float(run.norms)
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


class _Run:
    """The moving parts of one training: weights, moments, average, running sums."""

    def __init__(
        self, task: Task, optimisation: Optimisation, *, seed: int, folder: Path, place: Place
    ) -> None:
        self.task, self.optimisation, self.place = task, optimisation, place
        self.seed, self.folder = seed, folder
        self.step, self.note = 0, ""
        self.line: dict[str, float | None] = {}
        self.best: dict[str, float] = {}
        self.best_weights: dict[str, Tensor] = {}
        self.clock = time.monotonic()
        self.network = task.network.to(place.device).train()
        self.parameters = [p for p in self.network.parameters() if p.requires_grad]
        self.module: nn.Module = self.network
        if place.world > 1:
            self.module = nn.parallel.DistributedDataParallel(self.network)
        self.optimizer = torch.optim.AdamW(
            self.parameters,
            lr=optimisation.lr,
            betas=optimisation.betas,
            weight_decay=optimisation.weight_decay,
            fused=True,
        )
        self.live = _floating(self.network)
        self.average = {
            key: tensor.clone() for key, tensor in self.live.items() if optimisation.ema_decay
        }
        self.dtype = autocast_dtype(optimisation.precision, place.device)
        self.sums: dict[str, Tensor] = {}
        self.norms, self.counted, self.skipped, self.in_a_row = torch.zeros(
            4, dtype=torch.float64, device=place.device
        ).unbind()

    def _forward(self, *inputs: Tensor | None) -> Tensor:
        with torch.autocast(
            self.place.device.type, dtype=self.dtype, enabled=self.dtype is not None
        ):
            out: Tensor = self.module(*inputs)
        return out.float()

    def update(self) -> None:
        """One update of the weights; nothing here waits for the device."""
        _reseed(self.seed, Stream.DROPOUT, self.step, self.place.rank, device=self.place.device)
        terms = self._backward(self.task.batches(self.step))
        norm = nn.utils.clip_grad_norm_(self.parameters, self.optimisation.clip or math.inf)
        finite = torch.isfinite(norm)
        for group in self.optimizer.param_groups:
            group["lr"] = self.optimisation.lr_at(self.step)
        # The fused kernel leaves weights and moments alone where this is 1 (as a GradScaler asks)
        self.optimizer.found_inf = (~finite).float()  # type: ignore[attr-defined]
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self._average_weights()
        self.step += 1
        self._count(terms, norm.detach(), finite)

    def _backward(self, tensors: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """Add up the gradients of this process's share and return its part of the loss terms."""
        batch, world = len(tensors[0]), self.place.world
        share = self.place.share(batch)
        size = self.optimisation.micro_batch or max(len(share), 1)
        starts = range(share.start, share.stop, size)
        terms: dict[str, Tensor] = {}
        for start in starts:
            piece = slice(start, min(start + size, share.stop))
            inputs = [tensor[piece].to(self.place.device, non_blocking=True) for tensor in tensors]
            weight = (piece.stop - piece.start) / batch
            with self._no_sync(start != starts[-1]):
                losses = self.task.loss(self._forward, *inputs)
                (losses["loss"] * (weight * world)).backward()  # type: ignore[no-untyped-call]  # DDP takes the mean over processes
            for key, value in losses.items():
                part = value.detach().double() * weight
                terms[key] = terms[key] + part if key in terms else part
        return terms

    def _no_sync(self, wanted: bool) -> contextlib.AbstractContextManager[None]:
        if wanted and isinstance(self.module, nn.parallel.DistributedDataParallel):
            return self.module.no_sync()
        return contextlib.nullcontext()

    def _average_weights(self) -> None:
        if self.average:
            decay = decay_at(self.step, decay=self.optimisation.ema_decay)
            move = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
            move(list(self.average.values()), list(self.live.values()), self.step)

    def _count(self, terms: Mapping[str, Tensor], norm: Tensor, finite: Tensor) -> None:
        for key, value in terms.items():
            kept = torch.where(finite, value, 0.0)
            self.sums[key] = self.sums[key] + kept if key in self.sums else kept
        good = finite.double()
        self.norms = self.norms + torch.where(finite, norm.double(), 0.0)
        self.counted = self.counted + good
        self.skipped = self.skipped + (1 - good)
        self.in_a_row = (self.in_a_row + 1) * (1 - good)

    def log(self) -> None:
        """Write one line: means since the last one.

        Raises:
            DivergedError: The last updates were all left out.
        """
        sums = self._global_sums()
        counted, norms, skipped, in_a_row = torch.stack(
            [self.counted, self.norms, self.skipped, self.in_a_row]
        ).tolist()
        if in_a_row >= _MAX_SKIPPED:
            raise DivergedError(
                f"{self.folder}: the gradient was not finite in the last {in_a_row:.0f} updates "
                f"before step {self.step}; the last checkpoint is whole; start anew with a lower "
                f"optimisation.lr or optimisation.precision=fp32"
            )
        means = {key: value / counted if counted else None for key, value in sums.items()}
        self._write(
            {
                "step": self.step,
                **means,
                "gradient_norm": norms / counted if counted else None,
                "lr": self.optimisation.lr_at(self.step - 1),
                "skipped": int(skipped),
            }
        )
        if means["loss"] is not None:
            self.note = f"loss {means['loss']:.4g}"
        self.sums = {}
        self.norms, self.counted = torch.zeros_like(self.norms), torch.zeros_like(self.counted)

    def _global_sums(self) -> dict[str, float]:
        if not self.sums:
            return {}
        totals = self.place.total(torch.stack(list(self.sums.values()))).tolist()
        return dict(zip(self.sums, totals, strict=True))

    def _write(self, line: Mapping[str, float | None]) -> None:
        self.line.update(line)
        if self.place.is_first:
            seconds = round(time.monotonic() - self.clock, 3)
            for name, content in (
                (_LOG, line),
                (_TIMING, {"step": self.step, "seconds": seconds}),
            ):
                with (self.folder / name).open("a", encoding="utf-8") as file:
                    file.write(json.dumps(content) + "\n")

    def evaluate(self) -> None:
        """Let the task judge the (averaged) weights, log it, and keep the best ones."""
        if self.task.evaluate is None:
            return
        weights = self._weights()
        held = {key: tensor.clone() for key, tensor in self.live.items()}
        self._load(weights)
        self.network.eval()
        with torch.no_grad():
            numbers = dict(self.task.evaluate(self.network))
        self.network.train()
        self._load(held)
        self._write({"step": self.step, **numbers})
        if not self.best or numbers["score"] > self.best["score"]:
            self.best = {"step": self.step, **numbers}
            self.best_weights = {key: tensor.clone() for key, tensor in weights.items()}

    def _load(self, weights: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for key, tensor in self.live.items():
                tensor.copy_(weights[key])

    def _weights(self) -> dict[str, Tensor]:
        """All entries of the state dict, with the average where there is one."""
        return {**self.network.state_dict(), **self.average}

    def save(self) -> None:
        """Write the weights worth keeping, then the state that a resumed run starts from."""
        sums = self._global_sums()
        if not self.place.is_first:
            return
        kept = self.best_weights or self._weights()
        self.task.export(kept, int(self.best.get("step", self.step)))
        save_state(
            self.folder / _STATE,
            {
                "step": self.step,
                "network": self.network.state_dict(),
                "average": self.average,
                "optimizer": self.optimizer.state_dict(),
                "sums": sums,
                "counts": torch.stack([self.norms, self.counted, self.skipped, self.in_a_row]),
                "best": self.best,
                "best_weights": self.best_weights,
                "line": self.line,
            },
        )

    def restore(self) -> None:
        """Take up the saved state, if there is one, and cut the log back to its step."""
        if (self.folder / _STATE).exists():
            state = load_state(self.folder / _STATE)
            self._take(state)
        self.place.wait()
        if self.place.is_first:
            _cut_log(self.folder / _LOG, self.step)
        self.place.wait()

    def _take(self, state: Mapping[str, Any]) -> None:
        device = self.place.device
        self.step, self.line, self.best = state["step"], state["line"], state["best"]
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        for key, tensor in self.average.items():
            tensor.copy_(state["average"][key])
        self.best_weights = {k: t.to(device) for k, t in state["best_weights"].items()}
        share = 1.0 if self.place.is_first else 0.0
        self.sums = {
            key: torch.tensor(value * share, dtype=torch.float64, device=device)
            for key, value in state["sums"].items()
        }
        self.norms, self.counted, self.skipped, self.in_a_row = state["counts"].to(device).unbind()


def _floating(network: nn.Module) -> dict[str, Tensor]:
    """The floating-point entries of the state dict; they share memory with the network."""
    return {
        key: tensor.detach()
        for key, tensor in network.state_dict().items()
        if tensor.is_floating_point()
    }


def _cut_log(path: Path, step: int) -> None:
    """Drop what a killed run logged after its last checkpoint, half a line included."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        with contextlib.suppress(ValueError):
            if line.endswith("\n") and json.loads(line)["step"] <= step:
                kept.append(line)
    write_text(path, "".join(kept))
