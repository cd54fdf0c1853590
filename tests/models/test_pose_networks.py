"""What every lifter and refiner keeps to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from skelaug.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from skelaug.errors import UsageError
from skelaug.models import LIFTERS, REFINERS, build
from skelaug.models.pose_losses import joint_distance
from skelaug.seeds import Stream, generator
from skelaug.skeleton.layout import SkeletonLayout

V, T, N = 6, 9, 8
STC = {"features": 16, "depth": 2, "heads": 2, "dropout": 0.0, "parts": [[0, 1], [2, 3], [4, 5]]}
SMALL: dict[str, dict[str, Any]] = {
    "stcformer": STC,
    "mixste": {"frames": T, "features": 16, "depth": 2, "heads": 2, "drop_path": 0.0},
    "pose-denoiser": STC,
}
ALL = [*LIFTERS, *REFINERS]


def _network(kind: str, *, seed: int = 0, awake: bool = True, **arguments: object) -> nn.Module:
    """A small network; awake means that no weight is zero any more."""
    network = build(
        kind,
        {"joints": V, **SMALL[kind], **arguments},
        generator=generator(seed, Stream.INITIAL_WEIGHTS),
    )
    with torch.no_grad():
        for i, parameter in enumerate(network.parameters() if awake else []):
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator(seed, i))
    return network.eval()


def _question(kind: str, *, n: int = N, t: int = T) -> tuple[Tensor, ...]:
    keypoints = torch.randn(n, t, V, 2, generator=generator(1, 0))
    if kind in LIFTERS:
        return (keypoints,)
    x = torch.randn(n, t, V, 3, generator=generator(1, 1))
    return x, torch.arange(n) % 50 + 1, keypoints


def test_kinds_are_told_apart() -> None:
    assert len(set(ALL)) == len(ALL)
    assert set(SMALL) == set(ALL)


@pytest.mark.parametrize("kind", ALL)
def test_one_pose_comes_out_for_each_that_goes_in(kind: str) -> None:
    out = _network(kind)(*_question(kind))
    assert out.shape == (N, T, V, 3)
    assert out.dtype == torch.float32
    assert out.isfinite().all()


@pytest.mark.parametrize("frames", [1, 2, 7, 40])
@pytest.mark.parametrize("kind", ["stcformer", "pose-denoiser"])
def test_any_number_of_frames_goes_in(kind: str, frames: int) -> None:
    assert _network(kind)(*_question(kind, t=frames)).shape == (N, frames, V, 3)


@pytest.mark.parametrize("kind", ALL)
def test_samples_do_not_see_each_other(kind: str) -> None:
    network = _network(kind)
    question = _question(kind)
    together = network(*question)
    for i in range(N):
        alone = network(*(part[i : i + 1] for part in question))
        torch.testing.assert_close(together[i : i + 1], alone, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", ALL)
def test_every_frame_and_joint_hears_of_every_other(kind: str) -> None:
    network = _network(kind, **({"downsampling": 1} if kind == "stcformer" else {}))
    question = [part.requires_grad_() for part in _question(kind) if part.is_floating_point()]
    if kind in REFINERS:
        question.insert(1, torch.arange(N) % 50 + 1)
    network(*question)[:, 4, 2].square().sum().backward()
    for part in (question[0], question[-1]):
        assert part.grad is not None
        assert bool((part.grad.abs().sum(-1) > 0).all())


@pytest.mark.parametrize("axis", [1, 2])
@pytest.mark.parametrize("kind", ALL)
def test_frames_and_joints_know_their_place(kind: str, axis: int) -> None:
    network = _network(kind)
    question = _question(kind)
    turned = [part.flip(axis) if part.ndim == 4 else part for part in question]
    assert not torch.allclose(network(*turned).flip(axis), network(*question), atol=1e-3)


@pytest.mark.parametrize("kind", ALL)
def test_gradient_reaches_every_parameter(kind: str) -> None:
    network = _network(kind)
    network(*_question(kind)).square().sum().backward()
    silent = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


@pytest.mark.parametrize("kind", ALL)
def test_inputs_are_not_modified_and_two_calls_agree(kind: str) -> None:
    network = _network(kind)
    question = _question(kind)
    copies = [part.clone() for part in question]
    assert torch.equal(network(*question), network(*copies))
    assert all(torch.equal(part, copy) for part, copy in zip(question, copies, strict=True))


@pytest.mark.parametrize("kind", ALL)
def test_autocast_leaves_metres_unrounded(kind: str) -> None:
    """Only products between the first and the last layer lose precision."""
    network = _network(kind)
    exact = network(*_question(kind))
    with torch.autocast("cpu", torch.bfloat16):
        rounded = network(*_question(kind))
    assert rounded.dtype == torch.float32
    assert not torch.equal(rounded, rounded.bfloat16().float())
    assert (rounded - exact).abs().max() < 0.05 * exact.abs().max()


@pytest.mark.parametrize("kind", ALL)
def test_the_answer_has_the_type_of_the_question(kind: str) -> None:
    network = _network(kind)
    exact = network(*_question(kind))
    half = network.bfloat16()(*_question(kind))
    assert half.dtype == torch.float32
    assert (half - exact).abs().max() < 0.1 * exact.abs().max()


@pytest.mark.parametrize("kind", ALL)
def test_overfits_eight_sequences(kind: str) -> None:
    frames = {"frames": 3} if kind == "mixste" else {}
    network = _network(kind, awake=False, features=32, **frames).train()
    question = _question(kind, t=3)
    target = torch.randn(N, 3, V, 3, generator=generator(1, 2))
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(70):
        loss = joint_distance(network(*question), target).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    blind = joint_distance(target.mean(0).expand_as(target), target).mean()
    assert float(loss.detach()) < 0.5 * float(blind)


@pytest.mark.parametrize("kind", ALL)
def test_weights_come_from_the_generator_alone(kind: str) -> None:
    before = torch.random.get_rng_state()
    first, again, other = (_network(kind, seed=seed, awake=False) for seed in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), before)
    weights = [network.state_dict() for network in (first, again, other)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert any(not torch.equal(weights[0][name], weights[2][name]) for name in weights[0])


@pytest.mark.parametrize("kind", ALL)
def test_a_checkpoint_restores_the_network(kind: str, tmp_path: Path) -> None:
    network = _network(kind)
    layout = SkeletonLayout(name="pair", joints=("a", "b"), parents=(-1, 0))
    path = tmp_path / "model.safetensors"
    arguments = {"joints": V, **SMALL[kind]}
    save_checkpoint(path, Checkpoint(kind, arguments, network.state_dict(), layout, ()))
    loaded = load_checkpoint(path)
    restored = build(loaded.kind, loaded.arguments).eval()
    restored.load_state_dict(dict(loaded.weights))
    assert torch.equal(restored(*_question(kind)), network(*_question(kind)))


@pytest.mark.parametrize("kind", ALL)
def test_another_number_of_joints_is_named(kind: str) -> None:
    network = _network(kind)
    question = _question(kind)
    with pytest.raises(ValueError, match=f"V = {V}, C = ., got {N} x {T} x {V - 1} x"):
        network(question[0][:, :, 1:], *question[1:])


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        ("stcformer", {"features": 18}, "features 18: expected a multiple of twice the heads"),
        ("stcformer", {"downsampling": 0}, "downsampling: expected at least 1, got 0"),
        ("stcformer", {"parts": [[0, 1]]}, "parts: expected each of 6 joints once"),
        ("pose-denoiser", {"parts": [[0, 1]]}, "parts: expected each of 6 joints once"),
        ("pose-denoiser", {"features": 18}, "features 18: expected a multiple of twice the heads"),
        ("mixste", {"features": 15}, "width 15: expected a multiple of heads"),
    ],
)
def test_arguments_that_do_not_fit_are_a_users_mistake(
    kind: str, arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        _network(kind, **arguments)
