"""Graph convolution over windows of frames: one product over frames, joints and orders at once.

What MS-G3D spends its time in. Letters: n samples, t frames, v and u joints, c and o channels that
come in and go out, k orders, w frames of a window, r joints that receive.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

__all__ = ["windowed_graph"]

_CHUNK = 16  # samples that a GPU takes at a time


def windowed_graph(x: Tensor, weight: Tensor, graph: Tensor, *, window: int, stride: int) -> Tensor:
    """y[n t r o] = sum over b, u, k of graph[r, b u k] (x weight)[n, stride t + b, u, k, o].

    Channels are projected first, once per frame and not once per window that it is in.

    Args:
        x: N T V C, between the zeros that windows at the ends reach into.
        weight: C (K O), the 1x1 convolution of every order.
        graph: R (W V K), of every window's frames, joints and orders.
        window: Frames W of a window.
        stride: Frames from one window to the next.

    Returns:
        N T' R O, T' = (T - W) / stride + 1, rounded down. All arguments share one dtype.
    """
    y: Tensor = _WindowedGraph.apply(x, weight, graph, window, stride)  # type: ignore[no-untyped-call]
    return y


class _WindowedGraph(torch.autograd.Function):
    """The sum and its gradients by hand.

    A window then is a view, whose gradient is added up once; a sample is projected and summed while
    a cache holds it; and the gradient of the graph is added up as it arises.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, graph: Tensor, window: int, stride: int
    ) -> Tensor:
        """Frames x: N T V C, weight: C (K O), graph: R (W V K), to N T' R O."""
        (n, t, v, _), rows, joints = x.shape, graph.shape[0], graph.shape[1] // window  # V K
        outputs = v * weight.shape[1] // joints
        projected = x.new_empty(n, t, joints, outputs)
        y = x.new_empty(n, (t - window) // stride + 1, rows, outputs)
        for own, one, out in _chunks(x, projected, y):
            torch.mm(own.flatten(0, 2), weight, out=one.view(-1, weight.shape[1]))
            senders = _windows(one, window, stride)
            torch.bmm(graph.expand(len(senders), -1, -1), senders, out=out.flatten(0, 1))
        ctx.save_for_backward(x, weight, graph, projected)
        ctx.window, ctx.stride = window, stride
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        """The gradients of x, weight and graph."""
        x, weight, graph, projected = ctx.saved_tensors
        t, count = x.shape[1], grads[0].shape[1]
        exact = torch.promote_types(x.dtype, torch.float32)
        to_x = x.new_empty(x.shape)
        to_weight = torch.zeros_like(weight, dtype=exact)
        to_graph = torch.zeros_like(graph, dtype=exact)
        for own, one, grad, out in _chunks(x, projected, grads[0].contiguous(), to_x):
            received = grad.flatten(0, 1)
            _add_products(to_graph, received, _windows(one, ctx.window, ctx.stride))
            sent = torch.bmm(graph.mT.expand(len(received), -1, -1), received)
            sent = sent.view(len(own), count, ctx.window, -1)
            back = _overlap_added(sent, t, ctx.stride).reshape(-1, weight.shape[1])
            to_weight += own.flatten(0, 2).mT @ back
            torch.mm(back, weight.mT, out=out.flatten(0, 2))
        return to_x, to_weight.to(weight.dtype), to_graph.to(graph.dtype), None, None


def _windows(x: Tensor, window: int, stride: int) -> Tensor:
    """N T J O to (N T') (W J) O, the windows of every sample; of one sample without a copy."""
    n, t, j, o = x.shape
    shape = (n, (t - window) // stride + 1, window * j, o)
    return x.as_strided(shape, (t * j * o, stride * j * o, o, 1)).flatten(0, 1)


def _overlap_added(windows: Tensor, frames: int, stride: int) -> Tensor:
    """The transpose of `_windows`: N T' W D to N T D."""
    n, count, window, d = windows.shape
    if window == 1:
        return windows[:, :, 0]
    x = windows.new_zeros(n, frames, d)
    for b in range(window):
        x[:, b : b + stride * (count - 1) + 1 : stride] += windows[:, :, b]
    return x


def _chunks(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """A sample at a time on a CPU, several on a GPU."""
    size = 1 if tensors[0].device.type == "cpu" else _CHUNK
    return zip(*(torch.split(tensor, size) for tensor in tensors), strict=True)


def _add_products(total: Tensor, left: Tensor, right: Tensor) -> None:
    """Add left @ right^T of every window to the total; total: R S, left: B R O, right: B S O."""
    if total.dtype == left.dtype and not total.is_cuda:
        total.addbmm_(left, right.mT)
    else:  # one product accumulates in float32 inside, and is one kernel
        total += left.transpose(0, 1).flatten(1) @ right.transpose(0, 1).flatten(1).mT
