"""Laws of MS-G3D: its equations a second time in N C T V, window graphs by search, sizes."""

from __future__ import annotations

import itertools
from collections import deque

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv3d, max_pool2d, pad

from skelaug.models.recognizers.ms_g3d import MSG3D, MultiScaleGraph, window_orders
from skelaug.skeleton.graph import disentangled
from skelaug.skeleton.layouts import get_layout

NTU, KINECT = get_layout("ntu_25").parents, get_layout("kinect_20").parents
THUMBS = (*NTU[:21], 22, 7, 24, 11)  # the authors' tree: the tips hang on the thumbs
TREE = (-1, 0, 1, 1, 0, 4)


def shaken(network: nn.Module, seed: int = 0) -> nn.Module:
    """Float64, and every parameter and statistic moved off its start, the masks among them."""
    generator = torch.Generator().manual_seed(seed)
    network.double()
    with torch.no_grad():
        for tensor in itertools.chain(network.parameters(), network.buffers()):
            if tensor.is_floating_point():
                noise = torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype)
                tensor += 0.2 * noise.abs()
    return network


def normed(x: Tensor, norm: nn.Module, *, training: bool, only: slice = slice(None)) -> Tensor:
    """Batch normalisation of axis 1, written out."""
    axes = [axis for axis in range(x.ndim) if axis != 1]
    shape = [1, -1] + [1] * (x.ndim - 2)
    mean, variance = norm.running_mean[only].view(shape), norm.running_var[only].view(shape)
    if training:
        mean = x.mean(axes, keepdim=True)
        variance = ((x - mean) ** 2).mean(axes, keepdim=True)
    x = (x - mean) / (variance + norm.eps).sqrt()
    return x * norm.weight[only].view(shape) + norm.bias[only].view(shape)


def convolved(x: Tensor, layer: nn.Linear, stride: int = 1, only: slice = slice(None)) -> Tensor:
    return conv2d(x, layer.weight[only, :, None, None], layer.bias[only], (stride, 1))


def graphed(layer: MultiScaleGraph, x: Tensor, *, training: bool) -> Tensor:
    """Sum over k of A_k x W_k for one window after the other, N C T V to N O T' W V."""
    w, stride = layer.window, layer.stride
    graph = layer.orders + layer.mask
    weight = layer.project.weight.view(-1, layer.scales, x.shape[1])
    padded = pad(x, (0, 0, w // 2, w // 2))
    outs = []
    for first in range(0, x.shape[2], stride):
        window = padded[:, :, first : first + w]
        y = layer.project.bias[:, None, None]
        for k in range(layer.scales):
            y = y + torch.einsum("avbu,oc,ncbu->noav", graph[k], weight[:, k], window)
        outs.append(y)
    return normed(torch.stack(outs, 2), layer.norm, training=training).relu()


def collapsed(layer: nn.Module, x: Tensor, *, training: bool) -> Tensor:
    """G3D: windows, then a convolution over a window's frames."""
    y = graphed(layer.graph, x, training=training)
    weight = layer.collapse.weight.view(len(layer.collapse.weight), -1, y.shape[1])
    kernel = weight.transpose(1, 2)[:, :, None, :, None]
    return normed(conv3d(y, kernel, layer.collapse.bias).squeeze(3), layer.norm, training=training)


def timed(layer: nn.Module, x: Tensor, *, training: bool) -> Tensor:
    """MS-TCN, one branch after the other."""
    outs, stride = [], layer.stride
    for b in range(6):
        part = slice(b * layer.share, (b + 1) * layer.share)
        if b == 5:
            y = convolved(x, layer.plain, stride)
        else:
            y = convolved(x, layer.lead, only=part)
            y = normed(y, layer.lead_norm, training=training, only=part).relu()
        if b < 4:
            conv = layer.convs[b]
            y = conv2d(y, conv.weight, conv.bias, (stride, 1), (b + 1, 0), (b + 1, 1))
        elif b == 4:
            y = max_pool2d(y, (3, 1), (stride, 1), (1, 0))
        outs.append(normed(y, layer.norm, training=training, only=part))
    residual = x
    if layer.shortcut is not None:
        conv, norm = layer.shortcut
        residual = normed(convolved(x, conv, stride), norm, training=training)
    y = torch.cat(outs, 1) + residual
    return y.relu() if layer.activate else y


def plain_logits(network: MSG3D, x: Tensor, *, training: bool) -> Tensor:
    n, c, t, v, m = x.shape
    rows = torch.stack(  # one channel per person, joint and coordinate, in this order
        [x[:, k, :, j, i] for i in range(m) for j in range(v) for k in range(c)], dim=1
    )
    rows = normed(rows, network.data_norm, training=training).view(n, m, v, c, t)
    maps = torch.cat([rows[:, i].permute(0, 2, 3, 1) for i in range(m)])  # persons first
    for block in network.blocks:
        graph, _, first, second = block.frames
        y = graphed(graph, maps, training=training).squeeze(3)
        y = timed(second, timed(first, y, training=training), training=training)
        y = y + sum(collapsed(window, maps, training=training) for window in block.windows)
        maps = timed(block.time, y.relu(), training=training)
    features = maps.mean((2, 3)).view(m, n, -1).mean(0)
    return features @ network.classify.weight.T + network.classify.bias


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("persons", "frames"), [(2, 9), (1, 1), (1, 4)])
def test_the_network_is_its_equations(training: bool, persons: int, frames: int) -> None:
    network = shaken(MSG3D(parents=TREE, num_classes=7, persons=persons, width=6)).train(training)
    x = torch.randn(3, 3, frames, 6, persons, dtype=torch.float64)
    expected = plain_logits(network, x, training=training)
    torch.testing.assert_close(network(x), expected, rtol=1e-9, atol=1e-9)


def test_gradients_are_those_of_the_equations() -> None:
    network = shaken(MSG3D(parents=TREE, num_classes=7, width=6))
    x = torch.randn(3, 3, 7, 6, 1, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(3, 7, dtype=torch.float64)
    leaves = {"x": x, **dict(network.named_parameters())}
    ours = torch.autograd.grad((weights * network(x)).sum(), leaves.values())
    plain = plain_logits(network, x, training=True)
    theirs = torch.autograd.grad((weights * plain).sum(), leaves.values())
    for name, one, other in zip(leaves, ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-8, msg=name)


@pytest.mark.parametrize(("window", "stride"), [(1, 1), (3, 1), (5, 2)])
def test_either_order_of_the_products_gives_the_same(window: int, stride: int) -> None:
    layer = MultiScaleGraph(TREE, 6, 6, scales=4, window=window, stride=stride).double()
    x = torch.randn(2, 8, 6, 6, dtype=torch.float64)
    assert layer.projects_first
    projected = layer(x)
    layer.projects_first = False
    torch.testing.assert_close(layer(x), projected, rtol=1e-10, atol=1e-10)


def searched_orders(parents: tuple[int, ...], scales: int, window: int) -> np.ndarray:
    """Distances by breadth-first search over (frame, joint), then the normalisation by loops."""
    v = len(parents)
    nodes = [(a, j) for a in range(window) for j in range(v)]

    def joined(one: tuple[int, int], other: tuple[int, int]) -> bool:
        (_, i), (_, j) = one, other
        return one != other and (i == j or parents[i] == j or parents[j] == i)

    orders = np.zeros((scales, len(nodes), len(nodes)))
    for row, start in enumerate(nodes):
        distance, queue = {start: 0}, deque([start])
        while queue:
            here = queue.popleft()
            for there in nodes:
                if there not in distance and joined(here, there):
                    distance[there] = distance[here] + 1
                    queue.append(there)
        for column, node in enumerate(nodes):
            if distance[node] < scales:
                orders[distance[node], row, column] = 1
            orders[:, row, column] += orders[:, row, column] == 0 if node == start else 0
    for order in orders:
        degree = order.sum(1)
        for i, j in itertools.product(range(len(nodes)), repeat=2):
            order[i, j] /= (degree[i] * degree[j]) ** 0.5
    return orders


@pytest.mark.parametrize("window", [1, 3, 5])
def test_orders_of_a_window_are_its_distances(window: int) -> None:
    orders = window_orders(TREE, 6, window)
    assert orders.shape == (6, window, 6, window, 6)
    found = orders.reshape(6, window * 6, window * 6)
    np.testing.assert_allclose(found, searched_orders(TREE, 6, window), atol=1e-14)


def test_a_window_of_one_frame_is_the_skeleton() -> None:
    found = window_orders(KINECT, 11).reshape(11, 20, 20)
    np.testing.assert_array_equal(found, disentangled(KINECT, 11))


def test_masks_start_next_to_nothing() -> None:
    mask = MultiScaleGraph(NTU, 3, 6, scales=6, window=3).mask
    assert 0 < mask.abs().max() <= 1e-6
    assert mask.min() < -0.9e-6
    assert mask.max() > 0.9e-6


def count(v: int, k: int, m: int, scales: tuple[int, int] = (13, 6)) -> int:
    """Parameters of the published network, layer by layer."""

    def time(i: int, o: int, strided: bool) -> int:
        b = o // 6
        branches = 6 * (i * b + b) + 5 * 2 * b + 4 * (3 * b * b + b) + 6 * 2 * b
        return branches + (i * o + o + 2 * o) * (strided or i != o)

    def graph(nodes: int, orders: int, i: int, o: int) -> int:
        return orders * nodes**2 + orders * i * o + o + 2 * o

    total = 2 * m * v * 3 + 384 * k + k
    for i, inner, o in [(3, 96, 96), (96, 96, 192), (192, 192, 384)]:
        total += graph(v, scales[0], i, inner)
        total += time(inner, o, inner != o) + time(o, o, False) + time(o, o, False)
        for w in (3, 5):
            total += graph(w * v, scales[1], i, inner) + w * inner * o + o + 2 * o
    return total


@pytest.mark.parametrize(
    ("parents", "classes", "persons", "size"),
    [
        (THUMBS, 120, 2, 3_217_695),  # the published 3.22 M
        (NTU, 120, 2, 3_217_695),
        (NTU, 60, 1, count(25, 60, 1)),
        (KINECT, 10, 1, count(20, 10, 1, (12, 6))),
    ],
)
def test_the_published_size(
    parents: tuple[int, ...], classes: int, persons: int, size: int
) -> None:
    with torch.device("meta"):
        network = MSG3D(parents=parents, num_classes=classes, persons=persons)
    assert sum(p.numel() for p in network.parameters()) == size
    assert count(25, 120, 2) == 3_217_695


@pytest.mark.parametrize(
    ("parents", "scales"),
    [(THUMBS, (13, 6)), (NTU, (13, 6)), (KINECT, (12, 6)), (TREE, (6, 6)), ((-1, 0), (3, 3))],
)
def test_one_order_of_self_loops_at_most(parents: tuple[int, ...], scales: tuple[int, int]) -> None:
    network = MSG3D(parents=parents, num_classes=2, width=6)
    v = len(parents)
    for block in network.blocks:
        assert block.frames[0].scales == scales[0]
        assert [window.graph.scales for window in block.windows] == [scales[1]] * 2
        orders = block.frames[0].orders.view(-1, v, v)
        assert sum(torch.equal(order, torch.eye(v)) for order in orders[1:]) <= 1


@pytest.mark.parametrize("frames", [1, 2, 3, 7, 30])
@pytest.mark.parametrize(("layout", "persons"), [("coco_17", 1), ("sbu_15", 2)])
def test_any_length_layout_and_number_of_persons(layout: str, persons: int, frames: int) -> None:
    parents = get_layout(layout).parents
    network = MSG3D(parents=parents, num_classes=4, persons=persons, channels=6, width=6)
    clips = torch.randn(2, 6, frames, len(parents), persons)
    assert network(clips).shape == (2, 4)
    assert network.features(clips).shape == (2, 24)


def test_time_is_halved_in_blocks_two_and_three() -> None:
    network, lengths = MSG3D(parents=TREE, num_classes=2, width=6), []
    for block in network.blocks:
        block.register_forward_hook(lambda module, x, y: lengths.append(y.shape[1]))
    network(torch.randn(2, 3, 13, 6, 1))
    assert lengths == [13, 7, 4]


def test_gradient_reaches_every_parameter() -> None:
    # in evaluation, where a normalisation does not take the bias before it away again
    network = shaken(MSG3D(parents=TREE, num_classes=5, persons=2, width=6)).eval()
    network(torch.randn(4, 3, 9, 6, 2, dtype=torch.float64)).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 1e-9, name


def test_bfloat16_gives_about_the_same_gradients() -> None:
    layer = MultiScaleGraph(TREE, 12, 12, scales=5, window=3, stride=2)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4, 16, 6, 12, generator=generator)
    weights = torch.randn(4, 8, 6, 3, 12, generator=generator)
    grads = []
    for narrow in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=narrow):
            y = layer(x)
        assert y.dtype == (torch.bfloat16 if narrow else torch.float32)
        grads.append(torch.autograd.grad((weights * y).sum(), [layer.mask, layer.project.weight]))
    for exact, rounded in zip(*grads, strict=True):
        assert rounded.dtype == torch.float32
        assert (exact - rounded).norm() < 0.15 * exact.norm()  # a ReLU near 0 may turn


def test_axes_cover_all_that_depends_on_joints_or_classes() -> None:
    sizes = [{"v": 6, "y": 5, "m": 2, "c": 3}, {"v": 7, "y": 4, "m": 2, "c": 3}]
    trees = [TREE, (*TREE, 5)]
    small, large = (
        MSG3D(parents=tree, num_classes=size["y"], persons=2, width=6, scales=5, window_scales=4)
        for tree, size in zip(trees, sizes, strict=True)
    )
    tensors = [
        dict(itertools.chain(n.named_parameters(), n.named_buffers())) for n in (small, large)
    ]
    used = set()
    for name in tensors[0]:
        keys = [key for key in MSG3D.AXES if name.endswith(key)]
        assert len(keys) <= 1
        shapes = [tensor[name].shape for tensor in tensors]
        assert bool(keys) == (shapes[0] != shapes[1]), name
        for key in keys:
            used.add(key)
            for shape, size in zip(shapes, sizes, strict=True):
                axes = MSG3D.AXES[key]
                if axes.startswith("("):
                    assert shape == (size["m"] * size["v"] * size["c"],)
                else:
                    assert len(shape) == len(axes.split())
                    assert all(
                        letter not in size or length == size[letter]
                        for letter, length in zip(axes.split(), shape, strict=True)
                    )
    assert used == set(MSG3D.AXES)


def test_it_overfits_eight_clips() -> None:
    torch.manual_seed(0)
    network = MSG3D(parents=TREE, num_classes=8, width=12)
    clips, labels = torch.randn(8, 3, 8, 6, 1), torch.arange(8)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, nesterov=True)
    for _ in range(12):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(network(clips), labels)
        loss.backward()
        optimizer.step()
    assert loss < 0.2
    assert torch.equal(network(clips).argmax(1), labels)


def test_other_shapes_are_refused() -> None:
    network = MSG3D(parents=TREE, num_classes=2, width=6)
    with pytest.raises(ValueError, match="clips: expected N C T V M with C = 3, V = 6, M = 1"):
        network(torch.zeros(2, 3, 8, 7, 1))
    with pytest.raises(ValueError, match="multiple of 6, got 8"):
        MSG3D(parents=TREE, num_classes=2, width=8)
