"""The moving parts of a training: one update, one line of the log, one checkpoint, and back."""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from skelaug.checkpoint import load_state, save_state
from skelaug.diffusion.ema import decay_at
from skelaug.errors import DivergedError
from skelaug.files import write_text
from skelaug.optimisation import Optimisation, autocast_dtype, reseed
from skelaug.place import Place
from skelaug.seeds import Stream

__all__ = ["STATE", "Batches", "Learner", "Loss", "Task"]

STATE = "state.pt"
_LOG, _TIMING = "log.jsonl", "timing.jsonl"
_MAX_SKIPPED = 20

Batches = Callable[[int], tuple[Tensor, ...]]
Loss = Callable[..., Mapping[str, Tensor]]


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


class Learner:
    """The moving parts of one training: weights, moments, average, running sums.

    Args:
        task: What is trained.
        optimisation: How the weights move.
        seed: Root of every random number.
        folder: Where log and state lie.
        place: Device, and share of the work.

    Attributes:
        step: Updates made so far.
        line: The last values of the log, all kinds of lines together.
        best: The update with the best score and what its evaluation said; empty without one.
        note: A short text for the progress bar.
    """

    def __init__(
        self, task: Task, optimisation: Optimisation, *, seed: int, folder: Path, place: Place
    ) -> None:
        self._task, self._optimisation, self._place = task, optimisation, place
        self._seed, self._folder = seed, folder
        self.step, self.note = 0, ""
        self.line: dict[str, float | None] = {}
        self.best: dict[str, float] = {}
        self._best_weights: dict[str, Tensor] = {}
        self._clock = time.monotonic()
        self._network = task.network.to(place.device).train()
        self._parameters = [p for p in self._network.parameters() if p.requires_grad]
        self._module: nn.Module = self._network
        if place.world > 1:
            self._module = nn.parallel.DistributedDataParallel(self._network)
        self._optimizer = _optimizer(self._parameters, optimisation)
        self._live = _floating(self._network)
        self._average = {
            key: tensor.clone() for key, tensor in self._live.items() if optimisation.ema_decay
        }
        self._dtype = autocast_dtype(optimisation.precision, place.device)
        self._sums: dict[str, Tensor] = {}
        # updates and gradient norms since the last line; updates skipped: ever, and in a row
        self._counts = torch.zeros(4, dtype=torch.float64, device=place.device)

    @property
    def skipped(self) -> int:
        """Updates left out so far because their gradient was not finite; waits for the device."""
        return int(self._counts[2])

    def wait(self) -> None:
        """Wait until the device has done what it was asked to."""
        float(self._counts[0])

    def _forward(self, *inputs: Tensor | None) -> Tensor:
        with torch.autocast(
            self._place.device.type, dtype=self._dtype, enabled=self._dtype is not None
        ):
            out: Tensor = self._module(*inputs)
        return out.float()

    def update(self) -> None:
        """One update of the weights; nothing here waits for the device."""
        reseed(self._seed, Stream.DROPOUT, self.step, self._place.rank, device=self._place.device)
        terms = self._backward(self._task.batches(self.step))
        norm = nn.utils.clip_grad_norm_(self._parameters, self._optimisation.clip or math.inf)
        finite = torch.isfinite(norm)
        for group in self._optimizer.param_groups:
            group["lr"] = self._optimisation.lr_at(self.step)
        # The fused kernel leaves weights and moments alone where this is 1 (as a GradScaler asks)
        self._optimizer.found_inf = (~finite).float()  # type: ignore[attr-defined]
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self._move_average()
        self.step += 1
        self._count(terms, norm.detach(), finite)

    def _backward(self, tensors: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """Add up the gradients of this process's share and return its part of the loss terms."""
        batch, world = len(tensors[0]), self._place.world
        share = self._place.share(batch)
        size = self._optimisation.micro_batch or max(len(share), 1)
        starts = range(share.start, share.stop, size)
        terms: dict[str, Tensor] = {}
        for start in starts:
            piece = slice(start, min(start + size, share.stop))
            inputs = [tensor[piece].to(self._place.device, non_blocking=True) for tensor in tensors]
            weight = (piece.stop - piece.start) / batch
            with self._no_sync(start != starts[-1]):
                losses = self._task.loss(self._forward, *inputs)
                (losses["loss"] * (weight * world)).backward()  # type: ignore[no-untyped-call]  # DDP takes the mean over processes
            for key, value in losses.items():
                part = value.detach().double() * weight
                terms[key] = terms[key] + part if key in terms else part
        return terms

    def _no_sync(self, wanted: bool) -> contextlib.AbstractContextManager[None]:
        if wanted and isinstance(self._module, nn.parallel.DistributedDataParallel):
            return self._module.no_sync()
        return contextlib.nullcontext()

    def _move_average(self) -> None:
        if self._average:
            decay = decay_at(self.step, decay=self._optimisation.ema_decay)
            move = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
            move(list(self._average.values()), list(self._live.values()), self.step)

    def _count(self, terms: Mapping[str, Tensor], norm: Tensor, finite: Tensor) -> None:
        for key, value in terms.items():
            kept = torch.where(finite, value, 0.0)
            self._sums[key] = self._sums[key] + kept if key in self._sums else kept
        counted, norms, skipped, in_a_row = self._counts.unbind()
        good = finite.double()
        self._counts = torch.stack(
            [
                counted + good,
                norms + torch.where(finite, norm.double(), 0.0),
                skipped + 1 - good,
                (in_a_row + 1) * (1 - good),
            ]
        )

    def log(self) -> None:
        """Write one line: means since the last one.

        Raises:
            DivergedError: The last updates were all left out.
        """
        sums = self._global_sums()
        counted, norms, skipped, in_a_row = self._counts.tolist()
        if in_a_row >= _MAX_SKIPPED:
            raise DivergedError(
                f"{self._folder}: the gradient was not finite in the last {in_a_row:.0f} updates "
                f"before step {self.step}; the last checkpoint is whole; start anew with a lower "
                f"optimisation.lr or optimisation.precision=fp32"
            )
        means = {key: value / counted if counted else None for key, value in sums.items()}
        self._write(
            {
                "step": self.step,
                **means,
                "gradient_norm": norms / counted if counted else None,
                "lr": self._optimisation.lr_at(self.step - 1),
                "skipped": int(skipped),
            }
        )
        if means["loss"] is not None:
            self.note = f"loss {means['loss']:.4g}"
        self._sums = {}
        self._counts[:2] = 0

    def _global_sums(self) -> dict[str, float]:
        if not self._sums:
            return {}
        totals = self._place.total(torch.stack(list(self._sums.values()))).tolist()
        return dict(zip(self._sums, totals, strict=True))

    def _write(self, line: Mapping[str, float | None]) -> None:
        self.line.update(line)
        if self._place.is_first:
            seconds = round(time.monotonic() - self._clock, 3)
            for name, content in (
                (_LOG, line),
                (_TIMING, {"step": self.step, "seconds": seconds}),
            ):
                with (self._folder / name).open("a", encoding="utf-8") as file:
                    file.write(json.dumps(content) + "\n")

    def evaluate(self) -> None:
        """Let the task judge the (averaged) weights, log it, and keep the best ones."""
        if self._task.evaluate is None:
            return
        weights = self._weights()
        held = {key: tensor.clone() for key, tensor in self._live.items()}
        self._load(weights)
        self._network.eval()
        with torch.no_grad():
            numbers = dict(self._task.evaluate(self._network))
        self._network.train()
        self._load(held)
        self._write({"step": self.step, **numbers})
        if not self.best or numbers["score"] > self.best["score"]:
            self.best = {"step": self.step, **numbers}
            self._best_weights = {key: tensor.clone() for key, tensor in weights.items()}

    def _load(self, weights: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for key, tensor in self._live.items():
                tensor.copy_(weights[key])

    def _weights(self) -> dict[str, Tensor]:
        """All entries of the state dict, with the average where there is one."""
        return {**self._network.state_dict(), **self._average}

    def save(self) -> None:
        """Write the weights worth keeping, then the state that a resumed run starts from."""
        sums = self._global_sums()
        if not self._place.is_first:
            return
        kept = self._best_weights or self._weights()
        self._task.export(kept, int(self.best.get("step", self.step)))
        save_state(
            self._folder / STATE,
            {
                "step": self.step,
                "network": self._network.state_dict(),
                "average": self._average,
                "optimizer": self._optimizer.state_dict(),
                "sums": sums,
                "counts": self._counts,
                "best": self.best,
                "best_weights": self._best_weights,
                "line": self.line,
            },
        )

    def restore(self) -> None:
        """Take up the saved state, if there is one, and cut the log back to its step."""
        if (self._folder / STATE).exists():
            state = load_state(self._folder / STATE)
            self._take(state)
        self._place.wait()
        if self._place.is_first:
            _cut_log(self._folder / _LOG, self.step)
        self._place.wait()

    def _take(self, state: Mapping[str, Any]) -> None:
        device = self._place.device
        self.step, self.line, self.best = state["step"], state["line"], state["best"]
        self._network.load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["optimizer"])
        for key, tensor in self._average.items():
            tensor.copy_(state["average"][key])
        self._best_weights = {k: t.to(device) for k, t in state["best_weights"].items()}
        share = 1.0 if self._place.is_first else 0.0
        self._sums = {
            key: torch.tensor(value * share, dtype=torch.float64, device=device)
            for key, value in state["sums"].items()
        }
        self._counts = state["counts"].to(device)


def _optimizer(parameters: list[nn.Parameter], wanted: Optimisation) -> torch.optim.Optimizer:
    if wanted.optimizer == "sgd":
        return torch.optim.SGD(
            parameters,
            lr=wanted.lr,
            momentum=wanted.momentum,
            nesterov=wanted.momentum > 0,
            weight_decay=wanted.weight_decay,
            fused=True,
        )
    return torch.optim.AdamW(
        parameters,
        lr=wanted.lr,
        betas=wanted.betas,
        weight_decay=wanted.weight_decay,
        fused=True,
    )


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
