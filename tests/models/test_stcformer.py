"""STCFormer: published size, down-sampling as interleaved sequences."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from skelaug.models.stcformer import STCFormer, interleaved, woven
from skelaug.seeds import generator

PARTS = ((0, 7, 8, 9, 10), (1, 2, 3), (4, 5, 6), (11, 12, 13), (14, 15, 16))


def _network(downsampling: int, depth: int = 2) -> STCFormer:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = STCFormer(5, features=16, depth=depth, heads=2, downsampling=downsampling)
    return network.double().eval()


def _keypoints(frames: int) -> Tensor:
    return torch.randn(3, frames, 5, 2, generator=generator(1, frames), dtype=torch.float64)


def test_published_size() -> None:
    with torch.device("meta"):
        network = STCFormer(17, parts=PARTS)
    counted = sum(p.numel() for p in network.parameters())
    assert counted == 2 * 256 + 6 * 791_120 + 256 * 3
    assert round(counted / 1e6, 2) == 4.75


@pytest.mark.parametrize("frames", [1, 2, 3, 7, 12])
@pytest.mark.parametrize("downsampling", [1, 2, 3, 5])
def test_weaving_undoes_interleaving(frames: int, downsampling: int) -> None:
    x = _keypoints(frames)
    assert torch.equal(woven(interleaved(x, downsampling), downsampling, frames=frames), x)


def test_a_sequence_has_every_third_frame_and_the_last_one_repeats() -> None:
    x = torch.arange(8.0).view(1, 8, 1, 1)
    rows = interleaved(x, 3).view(3, 3).tolist()
    assert rows == [[0, 3, 6], [1, 4, 7], [2, 5, 7]]


@pytest.mark.parametrize("downsampling", [2, 3])
def test_the_sequences_of_a_window_are_lifted_on_their_own(downsampling: int) -> None:
    network, plain = _network(downsampling), _network(1)
    x = _keypoints(12)
    lifted = network(x)
    for phase in range(downsampling):
        every = slice(phase, None, downsampling)
        torch.testing.assert_close(lifted[:, every], plain(x[:, every]))


def test_without_blocks_it_is_a_perceptron_of_one_joint() -> None:
    network = _network(3, depth=0)
    x = _keypoints(5)
    hidden = x @ network.read.weight.T
    hidden = 0.5 * hidden * (1 + torch.erf(hidden / math.sqrt(2)))
    torch.testing.assert_close(network(x), hidden @ network.write.weight.T)
