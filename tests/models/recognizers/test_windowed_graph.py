"""Laws of the windowed graph convolution: its sum by loops, its gradients by differences."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from skelaug.models.recognizers import windowed_graph as module
from skelaug.models.recognizers.windowed_graph import windowed_graph

SHAPES = [(1, 1), (3, 1), (3, 2), (5, 2)]  # window, stride


def _arguments(window: int, *, samples: int = 2, joints: int = 3) -> list[Tensor]:
    generator = torch.Generator().manual_seed(window)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)

    channels, orders, outputs, rows = 2, 2, 3, 4
    x = drawn(joints, samples, 7, channels).permute(1, 2, 0, 3)  # of any memory order
    return [x, drawn(channels, orders * outputs), drawn(rows, window * joints * orders)]


@pytest.mark.parametrize(("window", "stride"), SHAPES)
def test_it_is_its_sum(window: int, stride: int) -> None:
    x, weight, graph = _arguments(window)
    y = windowed_graph(x, weight, graph, window=window, stride=stride)
    n, t, v, _ = x.shape
    k = graph.shape[1] // (window * v)
    starts = range(0, t - window + 1, stride)
    expected = torch.zeros(n, len(starts), len(graph), weight.shape[1] // k, dtype=x.dtype)
    for index, start in enumerate(starts):
        for b in range(window):
            for u in range(v):
                projected = (x[:, start + b, u] @ weight).view(n, k, -1)
                for order in range(k):
                    column = graph[:, (b * v + u) * k + order]
                    expected[:, index] += column[None, :, None] * projected[:, order, None]
    torch.testing.assert_close(y, expected)


@pytest.mark.parametrize("samples_at_a_time", [1, 2])
@pytest.mark.parametrize(("window", "stride"), SHAPES)
def test_gradients(
    window: int, stride: int, samples_at_a_time: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def chunks(*tensors: Tensor) -> object:
        return zip(*(tensor.split(samples_at_a_time) for tensor in tensors), strict=True)

    monkeypatch.setattr(module, "_chunks", chunks)

    def call(*arguments: Tensor) -> Tensor:
        return windowed_graph(*arguments, window=window, stride=stride)

    arguments = _arguments(window, samples=3, joints=2)
    arguments[0] = arguments[0].detach().requires_grad_()
    assert torch.autograd.gradcheck(call, arguments)


@pytest.mark.parametrize(("window", "stride"), SHAPES)
def test_bfloat16_adds_gradients_up_in_float32(window: int, stride: int) -> None:
    """One rounding of each factor and of each sample's sum, however many windows there are."""
    exact = [one.detach() for one in _arguments(window, samples=64)]
    rounded = [one.bfloat16().requires_grad_() for one in exact]
    exact = [one.detach().double().requires_grad_() for one in rounded]
    grads = []
    for arguments in (exact, rounded):
        y = windowed_graph(*arguments, window=window, stride=stride)
        grads.append(torch.autograd.grad(y, arguments, torch.ones_like(y)))
    for true, found in zip(*grads, strict=True):
        assert found.dtype == torch.bfloat16
        assert (true - found).norm() < 0.01 * true.norm()
