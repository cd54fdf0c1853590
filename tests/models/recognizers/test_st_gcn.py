"""Laws of ST-GCN: its equations derived a second time in N C T V, sizes, persons, learning."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from skelaug.models.recognizers.st_gcn import STGCN
from skelaug.skeleton.graph import spatial_configuration
from skelaug.skeleton.layouts import get_layout

NTU = get_layout("ntu_25").parents
TREE = (-1, 0, 1, 2, 1, 4, 5, 1, 7, 8, 0, 10, 11)  # 13 joints


def small(**options: int | float) -> STGCN:
    sizes = {"parents": TREE, "num_classes": 11, "width": 8, "dropout": 0.0, **options}
    return STGCN(**sizes)  # type: ignore[arg-type]


def shaken(network: STGCN) -> STGCN:
    """Float64, and every parameter and statistic moved off its start."""
    generator = torch.Generator().manual_seed(0)
    network.double()
    with torch.no_grad():
        for tensor in itertools.chain(network.parameters(), network.buffers()):
            if tensor.is_floating_point() and tensor.shape != (3, 13, 13):
                noise = torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype)
                tensor += 0.3 * noise.abs()
        for block in network.blocks:
            noise = torch.randn(3, 13, 13, generator=generator, dtype=torch.float64)
            block.graph.importance += 0.3 * noise
    return network


def normed(x: Tensor, norm: nn.Module, *, training: bool) -> Tensor:
    """Batch normalisation of axis 1, written out."""
    axes = [axis for axis in range(x.ndim) if axis != 1]
    shape = [1, -1] + [1] * (x.ndim - 2)
    mean, variance = norm.running_mean, norm.running_var
    if training:
        mean, variance = x.mean(axes), ((x - x.mean(axes, keepdim=True)) ** 2).mean(axes)
    x = (x - mean.view(shape)) / (variance.view(shape) + norm.eps).sqrt()
    return x * norm.weight.view(shape) + norm.bias.view(shape)


def convolved(x: Tensor, layer: nn.Module, stride: int = 1) -> Tensor:
    return conv2d(x, layer.weight[:, :, None, None], layer.bias, stride=(stride, 1))


def plain_logits(network: STGCN, x: Tensor, *, training: bool) -> Tensor:
    """Eq. 10 with a loop over subsets, everything else with torch's own layers in N C T V."""
    n, c, t, v, m = x.shape
    maps = torch.cat([x[..., i] for i in range(m)])  # persons first
    rows = maps.permute(0, 3, 1, 2).reshape(n * m, v * c, t)
    rows = normed(rows, network.data_norm, training=training)
    maps = rows.view(n * m, v, c, t).permute(0, 2, 3, 1)
    subsets = torch.from_numpy(spatial_configuration(TREE))
    for number, block in enumerate(network.blocks):
        stride = 2 if number in (4, 7) else 1
        sent = convolved(maps, block.graph.transform).chunk(3, dim=1)
        y = torch.zeros(())
        for s in range(3):
            graph = subsets[s].float().double() * block.graph.importance[s]
            y = y + torch.einsum("uv,nctv->nctu", graph, sent[s])
        y = normed(y, block.graph_norm, training=training).relu()
        weight = block.time.weight.transpose(2, 3)
        assert weight.shape[2] == 9
        y = conv2d(y, weight, block.time.bias, stride=(stride, 1), padding=(4, 0))
        y = normed(y, block.norm, training=training)
        if number > 0:
            beside = maps
            if y.shape != maps.shape:
                conv, norm = block.shortcut
                beside = normed(convolved(maps, conv, stride), norm, training=training)
            y = y + beside
        maps = y.relu()
    features = maps.mean((2, 3)).view(m, n, -1).mean(0)
    return features @ network.classify.weight.T + network.classify.bias


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("persons", "frames"), [(2, 9), (1, 3)])
def test_the_network_is_its_equations(training: bool, persons: int, frames: int) -> None:
    network = shaken(small(persons=persons)).train(training)
    x = torch.randn(3, 3, frames, 13, persons, dtype=torch.float64)
    expected = plain_logits(network, x, training=training)
    torch.testing.assert_close(network(x), expected, rtol=1e-9, atol=1e-9)


def test_the_published_size() -> None:
    """Counted layer by layer; 3.1 M for the 400 classes of Kinetics, 18 joints."""

    def count(v: int, k: int) -> int:
        total = 2 * v * 3 + 256 * k + k
        widths = [3] + [64] * 4 + [128] * 3 + [256] * 3
        for block, (i, o) in enumerate(itertools.pairwise(widths)):
            total += 3 * (i * o + o) + 3 * v * v + 2 * o + (9 * o * o + o) + 2 * o
            total += (i * o + o + 2 * o) * (i != o and block > 0)
        return total

    for parents, k in [(NTU, 60), (TREE, 11)]:
        network = STGCN(parents=parents, num_classes=k)
        assert sum(p.numel() for p in network.parameters()) == count(len(parents), k)


@pytest.mark.parametrize("frames", [1, 2, 7, 16])
@pytest.mark.parametrize(("layout", "persons"), [("ntu_25", 2), ("kinect_20", 1), ("coco_17", 1)])
def test_any_length_and_layout(frames: int, layout: str, persons: int) -> None:
    parents = get_layout(layout).parents
    network = small(parents=parents, persons=persons, channels=6)
    x = torch.randn(2, 6, frames, len(parents), persons)
    assert network(x).shape == (2, 11)
    assert network.features(x).shape == (2, 32)


@pytest.mark.parametrize("training", [True, False])
def test_features_are_the_mean_of_the_sequence_and_what_the_last_layer_sees(training: bool) -> None:
    network = shaken(small(persons=2)).train(training)
    x = torch.randn(3, 3, 10, 13, 2, dtype=torch.float64)
    features = network.features(x)
    assert network.feature_sequence(x).shape == (3, 3, 32)
    torch.testing.assert_close(network.feature_sequence(x).mean(1), features)
    torch.testing.assert_close(network.classify(features), network(x))


def test_the_sequence_runs_with_the_clip() -> None:
    """Ten kernels of nine frames reach 4 frames each, 8 after block 5 and 16 after block 8."""
    network = shaken(small()).eval()
    x = torch.randn(1, 3, 256, 13, 1, dtype=torch.float64)
    moved = x.clone()
    moved[:, :, -4:] += 1
    differs = (network.feature_sequence(moved) != network.feature_sequence(x)).any(2)[0]
    assert differs[-1]
    assert not differs[: -(4 + 5 * 4 + 3 * 8 + 2 * 16) // 4 - 1].any()


def test_the_wrong_shape_is_named() -> None:
    with pytest.raises(ValueError, match=r"V = 13.*got 2 x 3 x 4 x 14 x 1"):
        small()(torch.zeros(2, 3, 4, 14, 1))


@pytest.mark.parametrize("training", [True, False])
def test_the_order_of_persons_does_not_matter(training: bool) -> None:
    network = shaken(small(persons=3)).train(training)
    x = torch.randn(4, 3, 6, 13, 3, dtype=torch.float64)
    torch.testing.assert_close(network(x[..., [2, 0, 1]]), network(x), rtol=1e-9, atol=1e-9)


def test_a_joint_hears_only_its_neighbours() -> None:
    """One graph convolution carries a change over one bone, however important the edges are."""
    layer = shaken(small()).blocks[2].graph
    x = torch.randn(8, 1, 13, 4, dtype=torch.float64)
    moved = x.clone()
    moved[:, :, 5] += 1
    heard = (layer(moved) != layer(x)).any(-1).any(0)[0].nonzero().flatten().tolist()
    assert heard == [4, 5, 6]


def test_dropout_spares_the_first_block_and_testing() -> None:
    network = small(dropout=0.5)
    assert [block.dropout.p for block in network.blocks] == [0.0] + [0.5] * 9
    x = torch.randn(2, 3, 4, 13, 1)
    assert not torch.equal(network(x), network(x))
    network.eval()
    assert torch.equal(network(x), network(x))


def test_gradient_reaches_every_parameter() -> None:
    """Statistics are fixed: with those of the batch, a bias before a normalisation cancels."""
    network = shaken(small()).train()
    x = torch.randn(4, 3, 8, 13, 1, dtype=torch.float64)
    network(x)
    network.eval()(x).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None
        assert (parameter.grad != 0).any(), name


def test_every_axis_of_joints_or_classes_is_named() -> None:
    first = small().state_dict()
    second = small(parents=NTU, num_classes=7).state_dict()
    changed = {name for name in first if first[name].shape != second[name].shape}
    named = {name for name in first if name.endswith(tuple(STGCN.AXES))}
    assert changed == named
    sizes = {"(v": 13, "c)": 3, "v": 13, "y": 11, "s": 3, "d": 32}
    for name in named:
        (axes,) = [axes for key, axes in STGCN.AXES.items() if name.endswith(key)]
        letters = [sizes[letter] for letter in axes.split()]
        expected = (letters[0] * letters[1],) if axes.startswith("(") else tuple(letters)
        assert first[name].shape == expected, name


def test_it_learns_eight_clips_by_heart() -> None:
    torch.manual_seed(0)
    network = small(num_classes=4)
    x, labels = torch.randn(8, 3, 8, 13, 1), torch.arange(8) % 4
    optimizer = torch.optim.SGD(network.parameters(), lr=0.02, momentum=0.9, nesterov=True)
    for _ in range(40):
        loss = nn.functional.cross_entropy(network(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.05
    assert torch.equal(network(x).argmax(1), labels)
