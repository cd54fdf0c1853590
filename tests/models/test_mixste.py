"""MixSTE: its block, the order of its blocks and embeddings, drop path, one number of frames."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from skelaug.models.mixste import EncoderBlock, MixSTE
from skelaug.seeds import generator


def _network(depth: int = 2) -> MixSTE:
    network = MixSTE(5, 4, features=16, depth=depth, heads=2, drop_path=0.3)
    with torch.no_grad():
        for i, parameter in enumerate(network.parameters()):
            parameter += 0.2 * torch.randn(parameter.shape, generator=generator(0, i))
    return network.double().eval()


def _keypoints() -> Tensor:
    return torch.randn(3, 4, 5, 2, generator=generator(1, 0), dtype=torch.float64)


def _norm(x: Tensor, like: torch.nn.LayerNorm, epsilon: float = 1e-6) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    scaled = centred / (centred.square().mean(-1, keepdim=True) + epsilon).sqrt()
    return scaled * like.weight + like.bias


def test_published_size() -> None:
    c, hidden = 512, 1024
    attention = (c + 1) * 3 * c + (c + 1) * c
    block = attention + (c + 1) * hidden + (hidden + 1) * c + 4 * c
    edges = (2 + 1) * c + (17 + 243) * c + 3 * 2 * c + (c + 1) * 3
    with torch.device("meta"):
        counted = sum(p.numel() for p in MixSTE(17, 243).parameters())
    assert counted == edges + 2 * 8 * block
    assert round(counted / 1e6, 1) == 33.8


def test_a_block_is_pre_norm() -> None:
    block = _network().over_joints[1]
    tokens = torch.randn(3, 5, 16, generator=generator(1, 1), dtype=torch.float64)
    norm, attention = block.attention
    h = tokens + attention(_norm(tokens, norm))
    norm, up, _, down = block.mlp
    hidden = _norm(h, norm) @ up.weight.T + up.bias
    hidden = 0.5 * hidden * (1 + torch.erf(hidden / math.sqrt(2)))
    torch.testing.assert_close(block(tokens), h + hidden @ down.weight.T + down.bias)


def test_blocks_over_joints_and_over_frames_take_turns() -> None:
    """Sample by sample, frame by frame and joint by joint."""
    network = _network()
    y = _keypoints()
    lifted = network(y)
    for sample in range(3):
        h = y[sample] @ network.read.weight.T + network.read.bias + network.joint
        for number in range(2):
            rows = [network.over_joints[number](h[frame][None])[0] for frame in range(4)]
            h = _norm(torch.stack(rows), network.joint_norm)
            if number == 0:
                h = h + network.frame[:, None]
            rows = [network.over_frames[number](h[:, joint][None])[0] for joint in range(5)]
            h = _norm(torch.stack(rows, dim=1), network.frame_norm)
        h = _norm(h, network.norm, 1e-5)
        wanted = h @ network.write.weight.T + network.write.bias
        torch.testing.assert_close(lifted[sample], wanted)


@pytest.mark.parametrize("axis", [1, 2])
def test_only_the_embeddings_tell_frames_and_joints_apart(axis: int) -> None:
    network = _network()
    y = _keypoints()
    embedding = network.frame if axis == 1 else network.joint
    order = torch.randperm(len(embedding), generator=generator(0, 9))
    shuffled = network(y.index_select(axis, order))
    assert not torch.allclose(shuffled, network(y).index_select(axis, order))
    torch.nn.init.zeros_(embedding)
    shuffled = network(y.index_select(axis, order))
    torch.testing.assert_close(shuffled, network(y).index_select(axis, order))


def test_drop_path_grows_linearly_with_depth() -> None:
    network = MixSTE(5, 4, features=16, depth=4, heads=2, drop_path=0.3)
    for blocks in (network.over_joints, network.over_frames):
        rates = [block.drop.rate for block in blocks if isinstance(block, EncoderBlock)]
        assert rates == pytest.approx([0.0, 0.1, 0.2, 0.3])


def test_another_number_of_frames_is_named() -> None:
    with pytest.raises(ValueError, match="T = 4, V = 5, C = 2, got 3 x 3 x 5 x 2"):
        _network()(_keypoints()[:, 1:])
