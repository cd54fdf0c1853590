"""PoseDenoiser: its block against its parts, the step, the condition, the zero start."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from skelaug.models.pose_denoiser import DenoisingBlock, PoseDenoiser
from skelaug.seeds import generator

SMALL = {"features": 16, "depth": 2, "heads": 2}


def _network(**arguments: object) -> PoseDenoiser:
    network = PoseDenoiser(5, **{**SMALL, **arguments})  # type: ignore[arg-type]
    with torch.no_grad():
        for i, parameter in enumerate(network.parameters()):
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator(0, i))
    return network.double().eval()


def _x(n: int = 3) -> Tensor:
    return torch.randn(n, 4, 5, 3, generator=generator(1, 0), dtype=torch.float64)


def _y(n: int = 3) -> Tensor:
    return torch.randn(n, 4, 5, 2, generator=generator(1, 1), dtype=torch.float64)


def test_published_size_of_a_block() -> None:
    """Two criss-cross modules and an MLP; the step's map comes on top."""
    block = DenoisingBlock(features=256, heads=8, part_of=None, dropout=0.1)
    counted = sum(p.numel() for p in block.parameters())
    assert counted - (256 + 1) * 256 == 1_057_280
    assert round((counted - (256 + 1) * 256) / 1e6, 2) == 1.06


@pytest.mark.parametrize("depth", [4, 8])
def test_every_block_costs_the_same(depth: int) -> None:
    with torch.device("meta"):
        network = PoseDenoiser(17, depth=depth)
    around = (5 + 1) * 256 + (256 + 1) * 3 + (256 + 1) * 1024 + (1024 + 1) * 256
    block = 1_057_280 + (256 + 1) * 256
    assert sum(p.numel() for p in network.parameters()) == around + depth * block


def test_a_block_is_attention_then_attention_with_the_step_then_mlp() -> None:
    block = _network().blocks[0]
    x = torch.randn(3, 4, 5, 16, generator=generator(1, 2), dtype=torch.float64)
    step = torch.randn(3, 16, generator=generator(1, 3), dtype=torch.float64)
    h = block.data(x)
    told = torch.stack([h[i] + block.step.weight @ step[i] + block.step.bias for i in range(3)])
    h = block.relation(told)
    norm, up, _, _, down, _ = block.mlp
    hidden = norm(h) @ up.weight.T
    hidden = 0.5 * hidden * (1 + torch.erf(hidden / math.sqrt(2)))
    torch.testing.assert_close(block(x, step), h + hidden @ down.weight.T)


def test_without_blocks_it_is_two_linear_maps_of_pose_and_keypoints() -> None:
    network = _network(depth=0)
    told = torch.cat([_x(), _y()], dim=-1)
    h = told @ network.read.weight.T + network.read.bias
    wanted = h @ network.write.weight.T + network.write.bias
    torch.testing.assert_close(network(_x(), torch.ones(3), _y()), wanted)


@pytest.mark.parametrize("keypoints", [True, False])
def test_the_untrained_network_corrects_nothing(keypoints: bool) -> None:
    network = PoseDenoiser(5, keypoints=keypoints, features=16, depth=2, heads=2)
    x, y = _x().float(), _y().float() if keypoints else None
    assert not network(x, torch.ones(3), y).any()


def test_neighbouring_steps_are_told_apart() -> None:
    network = _network()
    answers = [network(_x(1), torch.tensor([step]), _y(1)) for step in range(51)]
    for one, other in pairwise(answers):
        assert (one - other).abs().max() > 1e-4


def test_a_whole_step_is_its_floating_point_number() -> None:
    network = _network()
    whole, broken = torch.tensor([1, 25, 50]), torch.tensor([1.0, 25.0, 50.0])
    assert torch.equal(network(_x(), whole, _y()), network(_x(), broken, _y()))


def test_keypoints_are_seen() -> None:
    network = _network()
    step = torch.ones(3)
    assert not torch.allclose(network(_x(), step, _y()), network(_x(), step, -_y()))


def test_keypoints_are_given_exactly_where_they_are_read() -> None:
    with pytest.raises(ValueError, match="keypoints: expected N T V 2, got None"):
        _network()(_x(), torch.ones(3))
    with pytest.raises(ValueError, match="keypoints: expected None from a network that does not"):
        _network(keypoints=False)(_x(), torch.ones(3), _y())
    with pytest.raises(ValueError, match="N = 3, T = 4, V = 5, C = 2, got 3 x 3 x 5 x 2"):
        _network()(_x(), torch.ones(3), _y()[:, 1:])


def test_hints_are_read_in_centimetres() -> None:
    told, hinting = _network(keypoints="hints"), torch.randn(3, 4, 5, 3).double()
    same = told.read(torch.cat([_x(), 100 * hinting], dim=-1))
    seen = []
    told.read.register_forward_hook(lambda module, given, out: seen.append(out))
    told(_x(), torch.ones(3), hinting)
    assert torch.equal(seen[0], same)
    with pytest.raises(ValueError, match="C = 3, got 3 x 4 x 5 x 2"):
        told(_x(), torch.ones(3), _y())


def test_one_step_per_sample() -> None:
    with pytest.raises(ValueError, match="step: expected N with N = 3, got 2"):
        _network()(_x(), torch.ones(2), _y())
