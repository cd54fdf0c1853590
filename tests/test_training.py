"""The loop as a whole. As a script this file trains its toy, for the kill and two-process tests."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from skelaug.errors import InterruptedRunError, StorageError
from skelaug.learner import Task
from skelaug.optimisation import Optimisation, batch_indices, seeded
from skelaug.place import Place, training_place
from skelaug.seeds import Stream, generator
from skelaug.training import Rhythm, time_updates, train

BATCH, COUNT, SEED = 10, 35, 5


def toy(folder: Path, *, dropout: float = 0.3, on_step=None) -> Task:
    """Two layers on made-up points, with dropout, an evaluation and weights in a file."""
    points = torch.randn(COUNT, 4, generator=torch.Generator().manual_seed(1))
    with seeded(SEED, Stream.INITIAL_WEIGHTS):
        network = nn.Sequential(nn.Linear(4, 32), nn.Tanh(), nn.Dropout(dropout), nn.Linear(32, 1))

    def batches(step: int) -> tuple[torch.Tensor, ...]:
        if on_step is not None:
            on_step(step)
        x = points[batch_indices(SEED, step, batch=BATCH, count=COUNT)]
        noise = torch.randn(BATCH, 1, generator=generator(SEED, Stream.TRAIN_NOISE, step))
        return x, x.prod(dim=1, keepdim=True) + 0.1 * noise

    def loss(net, x, y):
        return {"loss": (net(x) - y).square().mean()}

    def evaluate(net: nn.Module) -> dict[str, float]:
        return {"score": -float((net(points) - points.prod(dim=1, keepdim=True)).square().mean())}

    def export(weights, step):
        tensors = {key: tensor.contiguous() for key, tensor in weights.items()}
        save_file(tensors, folder / "model.safetensors", metadata={"step": str(step)})

    return Task(network, batches, loss, export, evaluate)


def run(folder: Path, *, place: Place | None = None, rhythm=None, precision="auto", **options):
    folder.mkdir(exist_ok=True)
    settings = Optimisation(
        steps=23,
        batch=BATCH,
        lr=0.03,
        warmup=2,
        decay_start=0.5,
        clip=1.0,
        ema_decay=0.9,
        precision=precision,
    )
    rhythm = rhythm or Rhythm(log=5, checkpoint=7, evaluate=4)
    place = place or Place(torch.device("cpu"))
    return train(toy(folder, **options), settings, rhythm, seed=SEED, folder=folder, place=place)


def results(folder: Path) -> dict[str, bytes]:
    """The files of a run but for the one with the clock."""
    return {
        path.name: path.read_bytes() for path in folder.iterdir() if path.name != "timing.jsonl"
    }


class PowerCut(BaseException):
    pass


def fails_at(*steps: int):
    left = list(steps)

    def on_step(step: int) -> None:
        if step in left:
            left.remove(step)
            raise PowerCut

    return on_step


def test_it_learns_and_reports(tmp_path):
    outcome = run(tmp_path / "run")
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in log if "loss" in line]
    assert losses[-1] < losses[0]
    assert [line["step"] for line in log if "loss" in line] == [5, 10, 15, 20, 23]
    assert [line["step"] for line in log if "score" in line] == [4, 8, 12, 16, 20, 23]
    assert (outcome.steps, outcome.resumed_at, outcome.skipped) == (23, 0, 0)
    assert outcome.last == {**log[-2], **log[-1]}
    assert outcome.best["score"] == max(line["score"] for line in log if "score" in line)
    assert set(results(tmp_path / "run")) == {"log.jsonl", "state.pt", "model.safetensors"}


def test_equal_runs_write_equal_files_and_another_seed_others(tmp_path):
    run(tmp_path / "one")
    run(tmp_path / "two")
    assert results(tmp_path / "one") == results(tmp_path / "two")


@pytest.mark.parametrize("cuts", [(0,), (6,), (7,), (20, 21), (3, 9, 17)])
def test_a_run_that_is_cut_off_and_resumed_equals_one_that_is_not(tmp_path, cuts):
    run(tmp_path / "whole")
    on_step = fails_at(*cuts)
    for _ in cuts:
        with pytest.raises(PowerCut):
            run(tmp_path / "cut", on_step=on_step)
    outcome = run(tmp_path / "cut", on_step=on_step)
    assert outcome.resumed_at == cuts[-1] // 7 * 7
    assert results(tmp_path / "cut") == results(tmp_path / "whole")


@pytest.mark.parametrize(
    "rhythm",
    [
        Rhythm(log=5, checkpoint=1, evaluate=4),
        Rhythm(log=5, checkpoint=1000, evaluate=4),
        Rhythm(log=5, checkpoint=1000, checkpoint_seconds=0.0, evaluate=4),
    ],
)
def test_when_checkpoints_are_written_changes_nothing(tmp_path, rhythm):
    run(tmp_path / "one")
    run(tmp_path / "two", rhythm=rhythm)
    assert results(tmp_path / "one") == results(tmp_path / "two")


def test_checkpoints_between_two_lines_of_the_log_keep_its_sums(tmp_path):
    run(tmp_path / "whole")
    rhythm = Rhythm(log=5, checkpoint=1, evaluate=4)
    with pytest.raises(PowerCut):
        run(tmp_path / "cut", rhythm=rhythm, on_step=fails_at(13))
    run(tmp_path / "cut", rhythm=rhythm)
    assert results(tmp_path / "cut") == results(tmp_path / "whole")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_after_the_update_in_flight_and_says_how_to_go_on(tmp_path, number):
    def on_step(step: int) -> None:
        if step == 9:
            os.kill(os.getpid(), number)

    handlers = [signal.getsignal(which) for which in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(InterruptedRunError, match=r"after 10 of 23 steps, .* add --resume") as stop:
        run(tmp_path / "cut", on_step=on_step)
    assert stop.value.exit_code == 130
    assert [signal.getsignal(which) for which in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert run(tmp_path / "cut").resumed_at == 10
    run(tmp_path / "whole")
    assert results(tmp_path / "cut") == results(tmp_path / "whole")


def test_a_second_ctrl_c_acts_at_once(tmp_path):
    def on_step(step: int) -> None:
        if step == 9:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", on_step=on_step)
    assert run(tmp_path / "cut").resumed_at == 7


def test_a_finished_run_has_nothing_left_to_do(tmp_path):
    run(tmp_path / "run")
    before = results(tmp_path / "run")
    again = run(tmp_path / "run")
    assert (again.steps, again.resumed_at) == (23, 23)
    assert again.last["step"] == 23
    assert results(tmp_path / "run") == before


def test_a_full_disk_ends_with_one_line_and_the_last_checkpoint(tmp_path, monkeypatch):
    def full(path, state):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("skelaug.learner.save_state", full)
    with pytest.raises(StorageError, match="the disk is full"):
        run(tmp_path / "run")


def test_the_global_random_stream_is_left_alone(tmp_path):
    before = torch.random.get_rng_state()
    run(tmp_path / "run")
    assert torch.equal(torch.random.get_rng_state(), before)


def test_timing_an_update_takes_as_long_as_the_updates_take(tmp_path):
    task = toy(tmp_path, on_step=lambda step: time.sleep(0.02))
    settings = Optimisation(steps=1, batch=BATCH)
    seconds = time_updates(task, settings, seed=0, place=Place(torch.device("cpu")))
    assert 0.02 <= seconds < 1.0
    assert list(tmp_path.iterdir()) == []


def start(folder: Path, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, __file__, str(folder), *arguments]
    return subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1", **environment})


@pytest.mark.slow
def test_kill_9_at_any_moment_and_resuming_gives_the_same_files(tmp_path):
    start(tmp_path / "whole").wait(120)
    for cut in (3, 11, 17):
        victim = start(tmp_path / "cut", "--pause")
        log = tmp_path / "cut" / "log.jsonl"
        deadline = time.monotonic() + 100
        while not (log.exists() and f'"step": {cut // 5 * 5 or 4}' in log.read_text()):
            assert time.monotonic() < deadline
            assert victim.poll() is None
            time.sleep(0.005)
        victim.kill()
        assert victim.wait(60) == -signal.SIGKILL
    assert start(tmp_path / "cut").wait(120) == 0
    whole, cut_off = results(tmp_path / "whole"), results(tmp_path / "cut")
    assert whole == {name: cut_off[name] for name in whole}
    assert [name for name in cut_off if name not in whole and not name.endswith(".part")] == []


@pytest.mark.slow
def test_two_processes_take_the_steps_of_one(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    world = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    pair = [
        start(tmp_path / "two", "--exact", RANK=rank, LOCAL_RANK=rank, **world)
        for rank in ("0", "1")
    ]
    assert [process.wait(200) for process in pair] == [0, 0]
    assert start(tmp_path / "one", "--exact").wait(120) == 0
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    for key, tensor in one.items():
        torch.testing.assert_close(two[key], tensor, rtol=1e-4, atol=1e-6)
    for first, second in zip(
        *((tmp_path / name / "log.jsonl").read_text().splitlines() for name in ("one", "two")),
        strict=True,
    ):
        assert json.loads(second) == pytest.approx(json.loads(first), rel=1e-4)


if __name__ == "__main__":
    pause = time.sleep if "--pause" in sys.argv else (lambda seconds: None)
    exact = "--exact" in sys.argv
    with training_place("cpu") as here:
        run(
            Path(sys.argv[1]),
            place=here,
            dropout=0.0 if exact else 0.3,
            precision="fp32" if exact else "auto",
            on_step=lambda step: pause(0.05),
        )
