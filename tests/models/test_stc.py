"""Criss-cross attention against loops over heads, frames and joints; what tells joints apart."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from skelaug.models.stc import FeedForward, STCBlock, STCModule, part_of_joint
from skelaug.seeds import generator

H36M_PARTS = ((0, 7, 8, 9, 10), (1, 2, 3), (4, 5, 6), (11, 12, 13), (14, 15, 16))
PARTS = (0, 0, 1, 1, 2)


def _disturbed(module: torch.nn.Module, size: float = 0.3) -> torch.nn.Module:
    with torch.no_grad():
        for i, parameter in enumerate(module.parameters()):
            parameter += size * torch.randn(parameter.shape, generator=generator(0, i))
    return module.double().eval()


def _features(n: int = 2, t: int = 4, v: int = 5, c: int = 12) -> Tensor:
    return torch.randn(n, t, v, c, generator=generator(1, t), dtype=torch.float64)


def _count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _norm(x: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()


def _by_hand(x: Tensor, module: STCModule) -> Tensor:
    """The module's answer head by head, each softmax as exponentials over their sum."""
    c = x.shape[-1]
    d = c // 2 // module.heads
    normed = _norm(x) * module.norm.weight + module.norm.bias
    q, k, w = (normed @ module.qkv.weight.T + module.qkv.bias).split(c, dim=-1)
    mixed = _neighbours(w, module)
    for head in range(2 * module.heads):
        place = slice(head * d, (head + 1) * d)
        over = "ntvd,ntud->ntvu" if head < module.heads else "ntvd,nsvd->ntvs"
        out = "ntvu,ntud->ntvd" if head < module.heads else "ntvs,nsvd->ntvd"
        scores = torch.einsum(over, q[..., place], k[..., place]) / math.sqrt(c / 2)
        scores = scores.exp() / scores.exp().sum(-1, keepdim=True)
        mixed[..., place] += torch.einsum(out, scores, w[..., place])
    if module.part is not None:
        for joint, number in enumerate(PARTS):
            told = module.part.table.weight[number].repeat(module.heads)
            mixed[:, :, joint] += torch.cat([1e-4 * told, 1e-9 * told])
    return x + mixed @ module.out.weight.T + module.out.bias


def _neighbours(values: Tensor, module: STCModule) -> Tensor:
    """Every channel with its own 3 x 3 kernel over neighbouring frames and joints; 0 outside."""
    _, t, v, _ = values.shape
    summed = module.neighbours.bias.expand_as(values).clone()
    for frame in range(t):
        for joint in range(v):
            for i in (-1, 0, 1):
                for j in (-1, 0, 1):
                    if 0 <= frame + i < t and 0 <= joint + j < v:
                        kernel = module.neighbours.weight[:, 0, i + 1, j + 1]
                        summed[:, frame, joint] += kernel * values[:, frame + i, joint + j]
    return summed


@pytest.mark.parametrize("frames", [1, 4, 40])  # 40 is longer than what is written out
@pytest.mark.parametrize("part_of", [None, PARTS])
def test_the_module_is_its_definition(frames: int, part_of: tuple[int, ...] | None) -> None:
    module = _disturbed(STCModule(features=12, heads=3, part_of=part_of))
    x = _features(t=frames)
    torch.testing.assert_close(module(x), _by_hand(x, module), rtol=1e-12, atol=1e-12)


def test_published_sizes() -> None:
    module = STCModule(features=256)
    assert _count(module) == 266_240
    assert _count(FeedForward(256, dropout=0.1)) == 524_800
    block = STCBlock(features=256, part_of=part_of_joint(H36M_PARTS, 17))
    assert _count(block) == 791_120


@pytest.mark.parametrize("axis", [1, 2])
def test_only_the_neighbours_tell_frames_and_joints_apart(axis: int) -> None:
    module = _disturbed(STCModule(features=12, heads=3))
    x = _features()
    order = torch.randperm(x.shape[axis], generator=generator(0, 9))
    assert not torch.allclose(
        module(x.index_select(axis, order)).index_select(axis, order.argsort()), module(x)
    )
    torch.nn.init.zeros_(module.neighbours.weight)
    moved = module(x.index_select(axis, order))
    torch.testing.assert_close(moved, module(x).index_select(axis, order))


def test_far_from_the_ends_frames_count_alike() -> None:
    """A still clip is answered by the same pose in every frame but the first and the last."""
    module = _disturbed(STCModule(features=12, heads=3))
    answer = module(_features(t=1).expand(-1, 7, -1, -1))
    torch.testing.assert_close(answer[:, 1:-1], answer[:, 2:3].expand(-1, 5, -1, -1))
    assert not torch.allclose(answer[:, 0], answer[:, 1])


def test_halves_attend_along_one_axis_each() -> None:
    module = _disturbed(STCModule(features=12, heads=3))
    torch.nn.init.zeros_(module.neighbours.weight)
    x = _features()
    other = x.clone()
    other[:, 2, 3] *= -1
    changed = (module(other) - module(x)).abs().amax(dim=(0, 3)) > 0
    cross = torch.zeros(4, 5, dtype=torch.bool)
    cross[2], cross[:, 3] = True, True
    assert torch.equal(changed, cross)


def test_part_embeddings_are_dropped_half_of_the_time_while_training() -> None:
    module = STCModule(features=12, heads=3, part_of=PARTS)
    assert module.part is not None
    whole = module.part.eval()()
    module.part.train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        drawn = torch.cat([module.part() for _ in range(40)])
    for half in (slice(0, 6), slice(6, 12)):
        kept = drawn[..., half].abs().amax(dim=(1, 2)) > 0
        assert 10 < int(kept.sum()) < 30
        torch.testing.assert_close(
            drawn[kept][..., half], 2 * whole[..., half].expand(int(kept.sum()), -1, -1)
        )


def test_every_joint_has_its_part() -> None:
    assert part_of_joint(((1, 3), (0,), (2, 4)), 5) == [1, 0, 2, 0, 2]
    assert part_of_joint(None, 5) is None


@pytest.mark.parametrize("parts", [((0, 1), (1, 2)), ((0, 1),), ((0, 1), (2, 3))])
def test_parts_must_hold_every_joint_once(parts: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(ValueError, match="parts: expected each of 3 joints once, got"):
        part_of_joint(parts, 3)


def test_features_must_fit_the_heads() -> None:
    with pytest.raises(
        ValueError, match="features 24: expected a multiple of twice the heads, got heads 8"
    ):
        STCModule(features=24)
