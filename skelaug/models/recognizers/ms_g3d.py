"""MS-G3D (Liu et al. 2020, "Disentangling and Unifying Graph Convolutions").

Joints look at joints 0, 1, 2 ... bones away, each order with its own weights, in one frame
(MS-GCN) and in windows of frames whose joints form one graph (G3D). Letters: n samples times
persons, t frames, v and u joints, c and o channels that come in and go out, k orders, w frames of
a window with places a (receiving) and b (sending), m persons, y classes.

Maps lie as N T V C, channels innermost. A 1x1 convolution is then one matrix product, a window is
w V neighbouring rows of memory that nobody copies, the convolution that collapses a window is a
matrix product too, and batch normalisations and temporal convolutions have kernels for this order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from skelaug.models.recognizers.windowed_graph import windowed_graph
from skelaug.shapes import check_shape
from skelaug.skeleton.graph import hops, symmetric_normalized

__all__ = ["MSG3D", "MultiScaleGraph", "window_orders"]

_SCALES, _WINDOW_SCALES = 13, 6
_WINDOWS = (3, 5)
_DILATIONS = (1, 2, 3, 4)
_BRANCHES = len(_DILATIONS) + 2
_MASK = 1e-6


def window_orders(parents: Sequence[int], scales: int, window: int = 1) -> NDArray[np.float64]:
    """The normalised k-adjacency of a window, k = 0 to scales - 1 (Liu et al. 2020, sec. 3.2, 3.3).

    The graph of a window joins a joint with itself and its neighbours in each of the frames. Order
    k holds the pairs at distance k in that graph, and every node itself. A window of one frame is
    the skeleton. Orders beyond the longest path are self loops alone.

    Returns:
        K W V W V: order, receiving frame and joint, sending frame and joint.
    """
    v = len(parents)
    distance = np.tile(hops(parents), (window, window))
    itself = np.eye(window * v, dtype=bool)
    distance[(distance == 0) & ~itself] = 1  # the same joint in another frame
    orders = [symmetric_normalized(((distance == k) | itself).astype(float)) for k in range(scales)]
    return np.stack(orders).reshape(scales, window, v, window, v)


class _ChannelNorm(nn.BatchNorm1d):
    """Batch normalisation of each channel of a map; then, in place, a residual and ReLU."""

    def forward(self, x: Tensor, residual: Tensor | None = None, activate: bool = False) -> Tensor:
        """Any axes, the last one C."""
        flat = super().forward(x.reshape(-1, x.shape[-1]))
        if residual is not None:
            flat += residual.reshape(flat.shape)
        # before the view: in place on a view, autograd would copy the gradient three times
        return (F.relu_(flat) if activate else flat).view(x.shape)


class MultiScaleGraph(nn.Module):
    """Graph convolution over all orders at once, batch normalisation, ReLU (sec. 3.2, 3.3).

    Sum over k of A_k x W_k, with A_k the normalised order k plus a free mask. Where channels grow,
    joints are gathered first, else channels are projected first, per frame and not per window,
    which is the cheaper order.

    Args:
        parents: The layout's tree.
        inputs: Channels that come in.
        outputs: Channels that go out.
        scales: Orders K.
        window: Frames of a window, odd; 1 is MS-GCN, more are G3D.
        stride: Frames from one window to the next.
    """

    orders: Tensor

    def __init__(
        self,
        parents: Sequence[int],
        inputs: int,
        outputs: int,
        *,
        scales: int,
        window: int = 1,
        stride: int = 1,
    ) -> None:
        super().__init__()
        self.scales, self.window, self.stride = scales, window, stride
        orders = torch.from_numpy(window_orders(parents, scales, window)).float()
        self.register_buffer("orders", orders, persistent=False)
        self.mask = nn.Parameter(torch.empty_like(orders).uniform_(-_MASK, _MASK))
        self.project = nn.Linear(scales * inputs, outputs)
        self.norm = _ChannelNorm(outputs)
        self.projects_first = outputs <= inputs

    def forward(self, x: Tensor) -> Tensor:
        """N T V C to N T' V W O, T' = T / stride rounded up; the clip stands between zeros."""
        pad = self.window // 2
        if pad:
            x = F.pad(x, (0, 0, 0, 0, pad, pad))
        graph = self.orders + self.mask
        plain = torch.compiler.is_compiling() or not self.projects_first
        y = self._gathered_first(x, graph) if plain else self._projected_first(x, graph)
        normed: Tensor = self.norm(y, activate=True)
        return normed

    def _gathered_first(self, x: Tensor, graph: Tensor) -> Tensor:
        windows = x.unfold(1, self.window, self.stride)  # N T' V C W
        gathered = torch.einsum("kavbu,ntucb->ntvakc", graph.to(x.dtype), windows)
        y: Tensor = self.project(gathered.flatten(-2))
        return y

    def _projected_first(self, x: Tensor, graph: Tensor) -> Tensor:
        k, w, v = self.orders.shape[:3]
        n, device = len(x), x.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
        weight = self.project.weight.view(-1, k, x.shape[-1]).permute(2, 1, 0).flatten(1)  # C (K O)
        rows = graph.permute(2, 1, 3, 4, 0).reshape(v * w, -1)  # (V A) (B U K)
        arguments = (x.to(dtype), weight.to(dtype), rows.to(dtype))
        y = windowed_graph(*arguments, window=w, stride=self.stride)
        y += self.project.bias
        return y.view(n, -1, v, w, y.shape[-1])


class _Window(nn.Module):
    """G3D of one window size, collapsed to one frame; no activation at the end (sec. 3.3)."""

    def __init__(self, graph: MultiScaleGraph, inner: int, outputs: int) -> None:
        super().__init__()
        self.graph = graph
        self.collapse = nn.Linear(graph.window * inner, outputs)
        self.norm = _ChannelNorm(outputs)

    def forward(self, x: Tensor, residual: Tensor, activate: bool) -> Tensor:
        """N T V C to N T' V O."""
        collapsed = self.collapse(self.graph(x).flatten(-2))
        y: Tensor = self.norm(collapsed, residual, activate=activate)
        return y


class _MultiScaleTemporal(nn.Module):
    """MS-TCN: six branches over time with an equal share of the channels (sec. 3.4).

    Every branch begins with a 1x1 convolution; then four have a convolution of kernel 3 and
    dilation 1 to 4, one a maximum over three frames, one nothing. Each ends in a batch
    normalisation; a residual is added, and ReLU unless `activate` is False. The branches are those
    of `temporal.MultiScaleTemporal` in another memory order.
    """

    def __init__(
        self, inputs: int, outputs: int, *, stride: int = 1, activate: bool = True
    ) -> None:
        super().__init__()
        if outputs % _BRANCHES:
            raise ValueError(f"outputs: expected a multiple of {_BRANCHES}, got {outputs}")
        self.share = share = outputs // _BRANCHES
        self.stride, self.activate = stride, activate
        # the published branches side by side: 1x1 convolutions and normalisations are one each
        self.lead = nn.Linear(inputs, outputs - share)
        self.lead_norm = _ChannelNorm(outputs - share)
        self.plain = nn.Linear(inputs, share)
        self.convs = nn.ModuleList(
            nn.Conv2d(share, share, (3, 1), (stride, 1), (dilation, 0), (dilation, 1))
            for dilation in _DILATIONS
        )
        self.norm = _ChannelNorm(outputs)
        self.shortcut = (
            None
            if inputs == outputs and stride == 1
            else nn.Sequential(nn.Linear(inputs, outputs), _ChannelNorm(outputs))
        )

    def forward(self, x: Tensor) -> Tensor:
        """N T V C to N T' V O, T' = T / stride rounded up."""
        led = self.lead_norm(self.lead(x), activate=True)
        x = x[:, :: self.stride].contiguous()
        # seen as N C T V in channels-last memory; a branch of its own memory convolves faster
        *leads, peaks = (one.permute(0, 3, 1, 2) for one in led.split(self.share, dim=-1))
        last = torch.channels_last
        branches = [
            conv(lead.contiguous(memory_format=last))
            for conv, lead in zip(self.convs, leads, strict=True)
        ]
        branches.append(F.max_pool2d(peaks, (3, 1), (self.stride, 1), (1, 0)))
        branches = [branch.permute(0, 2, 3, 1) for branch in branches]
        residual = x if self.shortcut is None else self.shortcut(x)
        y = torch.cat([*branches, self.plain(x)], dim=-1)
        normed: Tensor = self.norm(y, residual, activate=self.activate)
        return normed


class _Block(nn.Module):
    """Spatial-temporal graph convolution: a path of frames plus a path of windows (fig. 3)."""

    def __init__(
        self,
        parents: Sequence[int],
        widths: tuple[int, int, int],
        *,
        scales: tuple[int, int],
        stride: int,
    ) -> None:
        super().__init__()
        inputs, inner, outputs = widths
        frame_scales, window_scales = scales
        self.frames = nn.Sequential(
            MultiScaleGraph(parents, inputs, inner, scales=frame_scales),
            nn.Flatten(2, 3),
            _MultiScaleTemporal(inner, outputs, stride=stride),
            _MultiScaleTemporal(outputs, outputs, activate=False),
        )
        graphs = [
            MultiScaleGraph(
                parents, inputs, inner, scales=window_scales, window=window, stride=stride
            )
            for window in _WINDOWS
        ]
        self.windows = nn.ModuleList(_Window(graph, inner, outputs) for graph in graphs)
        self.time = _MultiScaleTemporal(outputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        y = self.frames(x)
        for window in self.windows:
            y = window(x, y, activate=window is self.windows[-1])
        out: Tensor = self.time(y)
        return out


class MSG3D(nn.Module):
    """MS-G3D: three blocks of 96, 192 and 384 channels; blocks 2 and 3 halve the time (sec. 3.4).

    Convolutions keep the bias that the normalisation after them takes away, as published: 3.22 M
    parameters for ntu_25, 120 classes and two persons. A tree whose longest path has d bones has
    orders 0 to d only, beyond which an order is self loops alone. Of those one is kept at most
    (ntu_25, whose finger tips hang on the hand and not on the thumb, has the published 13 orders
    with it), so that small trees have fewer.

    Args:
        parents: The layout's tree; -1 marks the root.
        num_classes: Classes K.
        persons: Persons M of a clip.
        channels: Channels C of the input, 3 per stream.
        width: Channels of the first block, a multiple of 6; the published network has 96.
        scales: Orders of MS-GCN; None is 13, or as many as the tree has and one.
        window_scales: Orders of G3D; None is 6, or as many as the tree has and one.
    """

    AXES: ClassVar[Mapping[str, str]] = {
        "data_norm.weight": "(m v c)",
        "data_norm.bias": "(m v c)",
        "data_norm.running_mean": "(m v c)",
        "data_norm.running_var": "(m v c)",
        "orders": "k a v b v",
        "mask": "k a v b v",
        "classify.weight": "y d",
        "classify.bias": "y",
    }

    def __init__(
        self,
        *,
        parents: Sequence[int],
        num_classes: int,
        persons: int = 1,
        channels: int = 3,
        width: int = 96,
        scales: int | None = None,
        window_scales: int | None = None,
    ) -> None:
        super().__init__()
        self.persons, self.channels, self.joints = persons, channels, len(parents)
        most = int(hops(parents).max()) + 2
        orders = (scales or min(_SCALES, most), window_scales or min(_WINDOW_SCALES, most))
        self.data_norm = nn.BatchNorm1d(persons * self.joints * channels)
        # as published, the later blocks widen after the graph
        widths = [
            (channels, width, width),
            (width, width, 2 * width),
            (2 * width, 2 * width, 4 * width),
        ]
        self.blocks = nn.Sequential(
            *(
                _Block(parents, each, scales=orders, stride=2 if i else 1)
                for i, each in enumerate(widths)
            )
        )
        self.classify = nn.Linear(4 * width, num_classes)

    def features(self, x: Tensor) -> Tensor:
        """What the last layer sees, the mean over frames, joints and persons.

        Args:
            x: N C T V M, any number of frames.

        Returns:
            N D.

        Raises:
            ValueError: The input has other channels, joints or persons than the network.
        """
        sizes = {"C": self.channels, "V": self.joints, "M": self.persons}
        check_shape(x, "N C T V M", what="clips", **sizes)
        n, c, t, v, m = x.shape
        x = self.data_norm(x.permute(0, 4, 3, 1, 2).reshape(n, m * v * c, t))
        x = x.view(n * m, v, c, t).permute(0, 3, 1, 2)
        maps: Tensor = self.blocks(x.contiguous())
        return maps.mean((1, 2)).view(n, m, -1).mean(1)

    def forward(self, x: Tensor) -> Tensor:
        """Clips N C T V M to logits N K."""
        logits: Tensor = self.classify(self.features(x))
        return logits
