"""Laws of CTR-GCN: its equations derived a second time in N C T V, sizes, gradients, learning."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, max_pool2d

from skelaug.models.recognizers.ctr_gcn import CTRGCN, TopologyRefinement
from skelaug.skeleton.graph import directed_subsets
from skelaug.skeleton.layouts import get_layout

NTU, KINECT = get_layout("ntu_25").parents, get_layout("kinect_20").parents
TREE = (-1, 0, 1, 2, 1, 4, 5, 1, 7, 8, 0, 10, 11)  # 13 joints


def shaken(network: nn.Module, seed: int = 0) -> nn.Module:
    """Float64, and every parameter and statistic moved off its start, alpha among them."""
    generator = torch.Generator().manual_seed(seed)
    network.double()
    with torch.no_grad():
        for tensor in itertools.chain(network.parameters(), network.buffers()):
            if tensor.is_floating_point():
                noise = torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype)
                tensor += 0.3 * noise.abs()
    return network


def normed(x: Tensor, norm: nn.Module, *, training: bool, only: slice = slice(None)) -> Tensor:
    """Batch normalisation of axis 1, written out."""
    axes = [axis for axis in range(x.ndim) if axis != 1]
    shape = [1, -1] + [1] * (x.ndim - 2)
    if training:
        mean, variance = x.mean(axes), ((x - x.mean(axes, keepdim=True)) ** 2).mean(axes)
    else:
        mean, variance = norm.running_mean[only], norm.running_var[only]
    x = (x - mean.view(shape)) / (variance.view(shape) + norm.eps).sqrt()
    return x * norm.weight[only].view(shape) + norm.bias[only].view(shape)


def convolved(x: Tensor, weight: Tensor, bias: Tensor, stride: int = 1) -> Tensor:
    return conv2d(x, weight[:, :, None, None], bias, stride=(stride, 1))


def refined(layer: TopologyRefinement, x: Tensor, *, training: bool) -> Tensor:
    """Sec. 3.3 as it is written: subset by subset, 1x1 convolutions before the mean over time."""
    subsets, outputs, r = layer.refine.shape
    total = torch.zeros(len(x), outputs, *x.shape[2:], dtype=x.dtype)
    for s in range(subsets):
        receive, send = slice(s * r, (s + 1) * r), slice((subsets + s) * r, (subsets + s + 1) * r)
        relate, transform = layer.relate, layer.transform
        x1 = convolved(x, relate.weight[receive], relate.bias[receive]).mean(2)
        x2 = convolved(x, relate.weight[send], relate.bias[send]).mean(2)
        difference = torch.tanh(x1[:, :, :, None] - x2[:, :, None, :])
        q = convolved(difference, layer.refine[s], layer.refine_bias[s])
        topology = layer.topology[s] + layer.alpha * q
        part = slice(s * outputs, (s + 1) * outputs)
        x3 = convolved(x, transform.weight[part], transform.bias[part])
        total = total + torch.einsum("ncuv,nctv->nctu", topology, x3)
    return (
        normed(total, layer.norm, training=training) + shortcut(layer.shortcut, x, 1, training)
    ).relu()


def shortcut(layer: nn.Module | None, x: Tensor, stride: int, training: bool) -> Tensor:
    if layer is None:
        return torch.zeros(())
    if isinstance(layer, nn.Identity):
        return x
    conv, norm = layer
    return normed(convolved(x, conv.weight, conv.bias, stride), norm, training=training)


def timed(layer: nn.Module, x: Tensor, *, training: bool) -> Tensor:
    """Sec. 3.4 as it is written: one branch after the other, with torch's own pooling."""
    outputs, stride = [], layer.stride
    for b in range(4):
        part = slice(b * layer.share, (b + 1) * layer.share)
        plain = b == 3
        y = convolved(x, layer.lead.weight[part], layer.lead.bias[part], stride if plain else 1)
        if not plain:
            y = normed(y, layer.lead_norm, training=training, only=part).relu()
        if b < 2:
            conv, dilation = layer.convs[b], (1, 2)[b]
            weight = conv.weight.transpose(2, 3)
            y = conv2d(y, weight, conv.bias, (stride, 1), (2 * dilation, 0), (dilation, 1))
        elif not plain:
            y = max_pool2d(y, (3, 1), (stride, 1), (1, 0))
        outputs.append(normed(y, layer.norm, training=training, only=part))
    return torch.cat(outputs, 1)


def plain_logits(network: CTRGCN, x: Tensor, *, training: bool) -> Tensor:
    n, c, t, v, m = x.shape
    rows = torch.stack(  # one channel per person, joint and coordinate, in this order
        [x[:, k, :, j, i] for i in range(m) for j in range(v) for k in range(c)], dim=1
    )
    rows = normed(rows, network.data_norm, training=training).view(n, m, v, c, t)
    maps = torch.cat([rows[:, i].permute(0, 2, 3, 1) for i in range(m)])  # persons first
    for block in network.blocks:
        stride = block.stride
        y = timed(block.time, refined(block.graph, maps, training=training), training=training)
        maps = (y + shortcut(block.shortcut, maps, stride, training)).relu()
    features = maps.mean((2, 3)).view(m, n, -1).mean(0)
    return features @ network.classify.weight.T + network.classify.bias


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("persons", "frames"), [(2, 9), (1, 1)])
def test_the_network_is_its_equations(training: bool, persons: int, frames: int) -> None:
    network = shaken(CTRGCN(parents=TREE, num_classes=11, persons=persons, width=8))
    network.train(training)
    x = torch.randn(3, 3, frames, 13, persons, dtype=torch.float64)
    expected = plain_logits(network, x, training=training)
    torch.testing.assert_close(network(x), expected, rtol=1e-9, atol=1e-9)


def test_gradients_are_those_of_the_equations() -> None:
    network = shaken(CTRGCN(parents=TREE, num_classes=11, width=8))
    x = torch.randn(3, 3, 6, 13, 1, dtype=torch.float64)
    weights = torch.randn(3, 11, dtype=torch.float64)
    parameters = dict(network.named_parameters())
    ours = torch.autograd.grad((weights * network(x)).sum(), parameters.values())
    plain = plain_logits(network, x, training=True)
    theirs = torch.autograd.grad((weights * plain).sum(), parameters.values())
    for name, one, other in zip(parameters, ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-8, msg=name)


def count(v: int, k: int, m: int, c: int) -> int:
    """Parameters of the published network, layer by layer."""
    total = 2 * m * v * c + 256 * k + k
    widths = [c] + [64] * 4 + [128] * 3 + [256] * 3
    for block, (i, o) in enumerate(itertools.pairwise(widths)):
        r = 8 if i == 3 else i // 8
        total += 3 * (2 * (i * r + r) + (i * o + o) + (r * o + o)) + 3 * v * v + 1 + 2 * o
        total += (i * o + o + 2 * o) * (i != o)  # residual inside the graph unit
        q = o // 4
        total += 4 * (o * q + q) + 3 * 2 * q + 2 * (5 * q * q + q) + 4 * 2 * q
        total += (i * o + o + 2 * o) * (i != o and block > 0)  # residual of the block
    return total


def test_the_published_size() -> None:
    sizes = [
        sum(p.numel() for p in CTRGCN(parents=tree, num_classes=k, persons=m).parameters())
        for tree, k, m in [(NTU, 120, 2), (NTU, 60, 2), (KINECT, 10, 1)]
    ]
    assert sizes == [count(25, 120, 2, 3), count(25, 60, 2, 3), count(20, 10, 1, 3)]
    assert sizes[0] == 1_462_092  # "1.46 M" (Chen et al. 2021, table 3)


@pytest.mark.parametrize("frames", [1, 2, 7, 16])
@pytest.mark.parametrize(("layout", "persons"), [("ntu_25", 2), ("kinect_20", 1), ("coco_17", 1)])
def test_any_length_and_layout(frames: int, layout: str, persons: int) -> None:
    parents = get_layout(layout).parents
    network = CTRGCN(parents=parents, num_classes=5, persons=persons, channels=6, width=8)
    x = torch.randn(2, 6, frames, len(parents), persons)
    assert network(x).shape == (2, 5)
    assert network.features(x).shape == (2, 32)


def test_the_wrong_shape_is_named() -> None:
    network = CTRGCN(parents=TREE, num_classes=5, width=8)
    with pytest.raises(ValueError, match=r"V = 13.*got 2 x 3 x 4 x 14 x 1"):
        network(torch.zeros(2, 3, 4, 14, 1))
    with pytest.raises(ValueError, match="outputs: expected a multiple of 4, got 6"):
        CTRGCN(parents=TREE, num_classes=5, width=6)


def test_the_topology_starts_at_the_subsets() -> None:
    layer = CTRGCN(parents=TREE, num_classes=5, width=8).blocks[3].graph
    start = torch.from_numpy(directed_subsets(TREE)).float()
    topologies = layer.topologies(torch.randn(8, 2, 13, 4))
    assert torch.equal(topologies, start[:, None, None].expand(3, 8, 2, 13, 13))


def test_gradient_reaches_every_parameter() -> None:
    """Alpha starts at zero, which stops the gradient into what it multiplies; then nothing does.

    Statistics are fixed here: with those of the batch, the bias before a normalisation cancels.
    """
    torch.manual_seed(0)
    network = CTRGCN(parents=TREE, num_classes=5, width=8)
    x = torch.randn(4, 3, 8, 13, 1)
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm1d):
            norm.momentum = 1.0  # one pass sets the statistics
    stopped = ("relate.weight", "relate.bias", "refine", "refine_bias")
    for alpha in (0.0, 0.5):
        network.zero_grad()
        with torch.no_grad():
            for block in network.blocks:
                block.graph.alpha.fill_(alpha)
                block.graph.norm.weight.fill_(1)
            network.train()(x)
        network.eval()(x).square().sum().backward()
        for name, parameter in network.named_parameters():
            is_stopped = alpha == 0 and name.endswith(stopped)
            assert parameter.grad is not None
            assert bool((parameter.grad != 0).any()) is not is_stopped, name


def test_every_axis_of_joints_or_classes_is_named() -> None:
    first, second = (
        CTRGCN(parents=tree, num_classes=k, width=8).state_dict()
        for tree, k in [(TREE, 11), (NTU, 7)]
    )
    changed = {name for name in first if first[name].shape != second[name].shape}
    named = {name for name in first if name.endswith(tuple(CTRGCN.AXES))}
    assert changed == named
    for name in named:
        (axes,) = [axes for key, axes in CTRGCN.AXES.items() if name.endswith(key)]
        sizes = {"m": 1, "v": 13, "c": 3, "y": 11, "s": 3, "d": 32}
        if axes.startswith("("):
            assert first[name].shape == (13 * 3,)
        else:
            assert first[name].shape == tuple(sizes[letter] for letter in axes.split())


def test_it_learns_eight_clips_by_heart() -> None:
    torch.manual_seed(0)
    network = CTRGCN(parents=TREE, num_classes=4, width=8)
    x, labels = torch.randn(8, 3, 8, 13, 1), torch.arange(8) % 4
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9, nesterov=True)
    for _ in range(40):
        loss = nn.functional.cross_entropy(network(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.05
    assert torch.equal(network(x).argmax(1), labels)


def test_half_precision_stays_near() -> None:
    torch.manual_seed(0)
    network = CTRGCN(parents=TREE, num_classes=4, width=8).train()
    x = torch.randn(8, 3, 8, 13, 1)
    full = network(x)
    with torch.autocast("cpu", torch.bfloat16):
        half = network(x)
        half.float().sum().backward()
    assert (full - half).abs().max() < 0.1 * full.abs().max()
