from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from skelaug.diffusion.ema import decay_at
from skelaug.errors import DivergedError
from skelaug.learner import STATE, Learner, Task
from skelaug.optimisation import Optimisation
from skelaug.place import Place

HERE = Place(torch.device("cpu"))
FEATURES, BATCH = 3, 8


def batches(step: int) -> tuple[torch.Tensor, ...]:
    numbers = torch.Generator().manual_seed(step)
    x = torch.randn(BATCH, FEATURES, generator=numbers)
    return x, x.sum(dim=1, keepdim=True) + 0.1 * torch.randn(BATCH, 1, generator=numbers)


def loss(network, x, y):
    error = (network(x) - y).square().mean()
    return {"loss": error, "double": 2 * error}


def linear() -> nn.Linear:
    network = nn.Linear(FEATURES, 1)
    with torch.no_grad():
        network.weight.copy_(torch.tensor([[0.3, -0.2, 0.5]]))
        network.bias.fill_(0.1)
    return network


def learner(tmp_path, task=None, **settings) -> Learner:
    given = {"steps": 20, "batch": BATCH, "lr": 0.1, "precision": "fp32", **settings}
    task = task or Task(linear(), batches, loss, export=lambda weights, step: None)
    return Learner(task, Optimisation(**given), seed=0, folder=tmp_path, place=HERE)


def flat(network: nn.Module) -> np.ndarray:
    return np.concatenate([p.detach().numpy().ravel() for p in network.parameters()]).astype(float)


def lines(folder) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("clip", [None, 0.5])
@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_updates_are_those_of_adamw_by_hand(tmp_path, clip, weight_decay):
    """Loshchilov and Hutter 2019, algorithm 2, in float64 with the gradient of least squares."""
    network = linear()
    task = Task(network, batches, loss, export=lambda weights, step: None)
    learning = learner(tmp_path, task, clip=clip, weight_decay=weight_decay, warmup=3)
    theta = flat(network)
    m = v = np.zeros(FEATURES + 1)
    for t in range(1, 6):
        x, y = (tensor.numpy().astype(float) for tensor in batches(t - 1))
        design = np.hstack([x, np.ones((BATCH, 1))])
        gradient = 2 / BATCH * design.T @ (design @ theta - y[:, 0])
        if clip is not None:
            gradient *= min(1.0, clip / np.linalg.norm(gradient))
        lr = 0.1 * min(1.0, t / 3)
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        theta = theta - lr * weight_decay * theta
        theta = theta - lr * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        learning.update()
        np.testing.assert_allclose(flat(network), theta, rtol=2e-5)


@pytest.mark.parametrize("micro_batch", [1, 3, 8, 100])
def test_pieces_of_a_batch_give_the_gradient_of_the_whole(tmp_path, micro_batch):
    whole, pieces = linear(), linear()
    for network, size in ((whole, None), (pieces, micro_batch)):
        task = Task(network, batches, loss, export=lambda weights, step: None)
        learning = learner(tmp_path / str(size), task, micro_batch=size)
        (tmp_path / str(size)).mkdir()
        for _ in range(3):
            learning.update()
        learning.log()
    np.testing.assert_allclose(flat(pieces), flat(whole), rtol=1e-5)
    one, other = (lines(tmp_path / str(size))[0] for size in (None, micro_batch))
    assert other["loss"] == pytest.approx(one["loss"], rel=1e-5)


def test_the_average_follows_its_recursion(tmp_path):
    network, kept = linear(), {}
    task = Task(network, batches, loss, export=lambda weights, step: kept.update(weights))
    learning = learner(tmp_path, task, ema_decay=0.9)
    expected = flat(network)
    for step in range(8):
        learning.update()
        decay = decay_at(step, decay=0.9)
        expected = decay * expected + (1 - decay) * flat(network)
    learning.save()
    got = np.concatenate([kept["weight"].numpy().ravel(), kept["bias"].numpy()])
    np.testing.assert_allclose(got, expected, rtol=1e-5)
    assert not np.allclose(got, flat(network))


def test_averages_hold_buffers_and_leave_counters_alone(tmp_path):
    network = nn.Sequential(nn.Linear(FEATURES, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    kept = {}
    task = Task(network, batches, loss, export=lambda weights, step: kept.update(weights))
    learning = learner(tmp_path, task, ema_decay=0.9)
    for _ in range(5):
        learning.update()
    learning.save()
    assert kept.keys() == network.state_dict().keys()
    assert int(kept["1.num_batches_tracked"]) == 5
    assert not torch.equal(kept["1.running_mean"], network[1].running_mean)


def poisoned(*steps: int):
    def poisoned_batches(step: int) -> tuple[torch.Tensor, ...]:
        x, y = batches(step)
        return (x * float("nan"), y) if step in steps else (x, y)

    return poisoned_batches


def test_an_update_that_is_not_finite_is_left_out_and_counted(tmp_path):
    network = linear()
    task = Task(network, poisoned(1), loss, export=lambda weights, step: None)
    learning = learner(tmp_path, task)
    learning.update()
    before = flat(network)
    learning.update()
    np.testing.assert_array_equal(flat(network), before)
    learning.update()
    assert np.isfinite(flat(network)).all()
    assert learning.skipped == 1

    # the moments were left alone too: the run equals one that never had the second update
    other = linear()
    without = Task(other, lambda step: batches(2 * step), loss, export=lambda weights, step: None)
    clean = learner(tmp_path / "clean", without)
    clean.update()
    clean.update()
    np.testing.assert_array_equal(flat(network), flat(other))


def test_the_log_is_the_mean_of_the_finite_updates_since_the_last_line(tmp_path):
    network = linear()
    task = Task(network, poisoned(1), loss, export=lambda weights, step: None)
    learning = learner(tmp_path, task, decay_start=0.0)
    single = []
    for step in range(6):
        if step != 1:
            single.append(float(loss(network, *batches(step))["loss"].detach()))
        learning.update()
        if step in (2, 5):
            learning.log()
    first, second = lines(tmp_path)
    assert first["loss"] == pytest.approx(np.mean(single[:2]))
    assert first["double"] == pytest.approx(2 * np.mean(single[:2]))
    assert second["loss"] == pytest.approx(np.mean(single[2:]))
    assert (first["step"], second["step"]) == (3, 6)
    assert (first["skipped"], second["skipped"]) == (1, 1)
    assert second["lr"] == pytest.approx(0.1 * 15 / 20)
    assert set(first) == {"step", "loss", "double", "gradient_norm", "lr", "skipped"}


def test_a_line_without_a_finite_update_holds_null(tmp_path):
    task = Task(linear(), poisoned(0), loss, export=lambda weights, step: None)
    learning = learner(tmp_path, task)
    learning.update()
    learning.log()
    assert lines(tmp_path)[0]["loss"] is None


def test_many_bad_updates_in_a_row_end_the_training_and_keep_the_last_checkpoint(tmp_path):
    network = linear()
    task = Task(network, poisoned(*range(1, 60)), loss, export=lambda weights, step: None)
    learning = learner(tmp_path, task, steps=60)
    learning.update()
    learning.save()
    before = (tmp_path / STATE).read_bytes()
    for _ in range(20):
        learning.update()
    with pytest.raises(DivergedError, match=r"not finite in the last 20 updates .* lower"):
        learning.log()
    assert (tmp_path / STATE).read_bytes() == before


def test_evaluation_sees_the_average_keeps_the_best_and_disturbs_nothing(tmp_path):
    network, kept, seen = linear(), {}, []
    scores = iter([0.1, 0.9, 0.5])

    def evaluate(judged: nn.Module) -> dict[str, float]:
        assert not judged.training
        seen.append(flat(judged))
        return {"score": next(scores), "accuracy": 0.25}

    def export(weights, step):
        kept.update(weights, step=step)

    learning = learner(tmp_path, Task(network, batches, loss, export, evaluate), ema_decay=0.9)
    for _ in range(3):
        learning.update()
        before = flat(network)
        learning.evaluate()
        assert network.training
        np.testing.assert_array_equal(flat(network), before)
        assert not np.allclose(seen[-1], before)
    learning.save()
    assert learning.best == {"step": 2, "score": 0.9, "accuracy": 0.25}
    assert kept["step"] == 2
    np.testing.assert_array_equal(kept["weight"].numpy().ravel(), seen[1][:FEATURES])
    assert [line["score"] for line in lines(tmp_path)] == [0.1, 0.9, 0.5]


def test_a_restored_learner_goes_on_as_if_it_had_never_stopped(tmp_path):
    noisy = nn.Sequential(nn.Linear(FEATURES, 16), nn.Dropout(0.5), nn.Linear(16, 1))
    start = {key: tensor.clone() for key, tensor in noisy.state_dict().items()}

    def fresh(folder) -> tuple[nn.Module, Learner]:
        network = nn.Sequential(nn.Linear(FEATURES, 16), nn.Dropout(0.5), nn.Linear(16, 1))
        network.load_state_dict(start)
        folder.mkdir(exist_ok=True)
        task = Task(network, batches, loss, export=lambda weights, step: None)
        return network, learner(folder, task, ema_decay=0.9, weight_decay=0.1)

    straight, one = fresh(tmp_path / "one")
    _, before = fresh(tmp_path / "two")
    for _ in range(5):
        one.update()
        before.update()
    before.save()
    resumed, after = fresh(tmp_path / "two")
    after.restore()
    assert after.step == 5
    for _ in range(5):
        one.update()
        after.update()
    for learning in (one, after):
        learning.log()
        learning.save()
    np.testing.assert_array_equal(flat(resumed), flat(straight))
    assert lines(tmp_path / "one") == lines(tmp_path / "two")
    assert (tmp_path / "one" / STATE).read_bytes() == (tmp_path / "two" / STATE).read_bytes()


def test_restoring_cuts_the_log_back_to_the_checkpoint_and_drops_half_a_line(tmp_path):
    learning = learner(tmp_path)
    for step in range(3):
        learning.update()
        learning.log()
        if step == 1:
            learning.save()
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": 1, "lo')
    task = Task(linear(), batches, loss, export=lambda weights, step: None)
    learner(tmp_path, task).restore()
    assert [line["step"] for line in lines(tmp_path)] == [1, 2]


def test_a_killed_run_without_a_checkpoint_starts_with_an_empty_log(tmp_path):
    (tmp_path / "log.jsonl").write_text('{"step": 10}\n')
    learning = learner(tmp_path)
    learning.restore()
    assert learning.step == 0
    assert lines(tmp_path) == []


def test_frozen_weights_stay(tmp_path):
    network = linear()
    network.bias.requires_grad_(False)
    task = Task(network, batches, loss, export=lambda weights, step: None)
    learning = learner(tmp_path, replace(task), weight_decay=0.1)
    learning.update()
    assert float(network.bias) == pytest.approx(0.1)
