"""Equations 4 and 5 of HG-VAE, entry by entry, and its Gaussian heads."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal

from skelaug.models.graph_layers import GaussianHead, Graph, GraphBlock, GraphConvolution, ReZero
from skelaug.seeds import generator

STANDARD = Normal(torch.zeros((), dtype=torch.float64), torch.ones((), dtype=torch.float64))


def _awake(module: nn.Module) -> nn.Module:
    with torch.no_grad():
        for i, parameter in enumerate(module.parameters()):
            parameter.copy_(torch.randn(parameter.shape, generator=generator(0, i)))
    return module.double()


def _graphs(nodes: int, features: int) -> Tensor:
    shape = (nodes, 3, features)  # nodes first
    return torch.randn(shape, generator=generator(1, 0), dtype=torch.float64)


def _gcl(layer: GraphConvolution, A: Tensor) -> Tensor:
    return torch.einsum("vu,unf,fg->vng", layer.S, A, layer.W) + layer.b


def _gelu(x: Tensor) -> Tensor:
    return x * STANDARD.cdf(x)


@pytest.mark.parametrize("sizes", [(4, 5, 4, 5), (1, 6, 7, 2), (9, 2, 1, 8), (3, 4, 2, 1)])
def test_gcl_is_equation_4_without_its_nonlinearity(sizes: tuple[int, int, int, int]) -> None:
    source, target = Graph(*sizes[:2]), Graph(*sizes[2:])
    layer = _awake(GraphConvolution(source, target))
    assert isinstance(layer, GraphConvolution)
    A = _graphs(*source)
    torch.testing.assert_close(layer(A), _gcl(layer, A), rtol=1e-12, atol=1e-12)
    assert [tuple(p.shape) for p in layer.parameters()] == [
        (target.nodes, source.nodes),
        (source.features, target.features),
        (target.features,),
    ]


@pytest.mark.parametrize(("nodes_in", "nodes_out"), [(6, 6), (6, 4), (1, 6)])
def test_a_node_starts_from_itself_where_the_nodes_stay_as_many(
    nodes_in: int, nodes_out: int
) -> None:
    layer = GraphConvolution(Graph(nodes_in, 5), Graph(nodes_out, 9))
    own = torch.eye(nodes_in) if nodes_in == nodes_out else torch.zeros(nodes_out, nodes_in)
    for parameter, start in ((layer.S, own), (layer.W, 0), (layer.b, 0)):
        rest = (parameter - start).detach()
        assert bool(rest.any())
        assert float(rest.abs().max()) <= 1 / 3 + 1e-6


def test_gcb_is_equation_5_with_alpha_on_the_transform() -> None:
    block = _awake(GraphBlock(Graph(4, 5)))
    assert isinstance(block, GraphBlock)
    A = _graphs(4, 5)
    moved = _gelu(_gcl(block.second, _gelu(_gcl(block.first, A))))
    expected = A + block.rezero.alpha * moved
    torch.testing.assert_close(block(A), expected, rtol=1e-12, atol=1e-12)


def test_gcb_is_the_identity_before_training_and_its_alpha_can_leave_zero() -> None:
    block = GraphBlock(Graph(4, 5)).double()
    A = _graphs(4, 5)
    assert torch.equal(block(A), A)
    block(A).square().sum().backward()
    assert block.rezero.alpha.grad is not None
    assert bool(block.rezero.alpha.grad)


def test_rezero_keeps_the_type_of_the_stream() -> None:
    x, y = torch.ones(2, 3), torch.ones(2, 3, dtype=torch.bfloat16)
    assert ReZero()(x, y).dtype == torch.float32


def test_heads_are_two_gcls_with_the_log_variance_clamped() -> None:
    head = _awake(GaussianHead(Graph(4, 5), Graph(2, 30)))
    assert isinstance(head, GaussianHead)
    A = 5 * _graphs(4, 5)
    q = head(A)
    assert q.mean.shape == q.logvar.shape == (3, 2, 30)  # samples first
    torch.testing.assert_close(q.mean, _gcl(head.mean, A).transpose(0, 1))
    raw = _gcl(head.logvar, A).transpose(0, 1).detach()
    assert float(raw.min()) < -20
    assert float(raw.max()) > 3
    torch.testing.assert_close(
        q.logvar, torch.maximum(torch.minimum(raw, 0 * raw + 3), 0 * raw - 20)
    )


def test_heads_give_float32_under_autocast() -> None:
    head = GaussianHead(Graph(4, 5), Graph(2, 3))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        q = head(_graphs(4, 5).float())
    assert q.mean.dtype == q.logvar.dtype == torch.float32


def test_a_frozen_rezero_is_the_learned_one() -> None:
    rezero = ReZero()
    rezero.alpha.data.fill_(0.37)
    x, y = torch.randn(2, 4, 5, generator=generator(0, 1))
    learned = rezero(x, y).detach()
    rezero.requires_grad_(requires_grad=False)
    y.requires_grad_()
    torch.testing.assert_close(rezero(x, y), learned)
    (slope,) = torch.autograd.grad(rezero(x, y).sum(), y)
    torch.testing.assert_close(slope, torch.full_like(y, 0.37))
