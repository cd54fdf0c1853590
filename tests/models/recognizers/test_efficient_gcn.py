"""Laws of EfficientGCN: its inputs and equations derived a second time, sizes, gradients."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, cross_entropy, hardswish, silu

from skelaug.models.recognizers.efficient_gcn import EfficientGCN, branch_inputs, stage_sizes
from skelaug.skeleton.graph import hops
from skelaug.skeleton.layouts import get_layout

NTU, KINECT, COCO = (get_layout(name).parents for name in ("ntu_25", "kinect_20", "coco_17"))
# a chain of five bones, so that three hops and ten hops are not the same, with a few branches
TREE = (1, -1, 1, 2, 3, 4, 2, 0)


def network(**arguments: object) -> EfficientGCN:
    return EfficientGCN(**{"parents": TREE, "num_classes": 5, **arguments})  # type: ignore[arg-type]


def positions(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def shaken(model: nn.Module, seed: int = 0) -> nn.Module:
    """Float64, and everything that learns or was measured moved off its start."""
    generator = torch.Generator().manual_seed(seed)
    model.double()
    with torch.no_grad():
        for name, tensor in itertools.chain(model.named_parameters(), model.named_buffers()):
            if tensor.is_floating_point() and not name.endswith("subsets"):
                noise = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
                tensor += 0.1 * (noise.abs() if name.endswith("running_var") else noise)
    return model


def test_branch_inputs_are_their_definitions() -> None:
    n, c, t, v, m = 2, 3, 6, len(TREE), 2
    x = positions(n, c, t, v, m).numpy()
    wanted = np.zeros((n, 3, 2 * c, t, v, m))
    for i, k, f, j, p in np.ndindex(n, c, t, v, m):
        parent = TREE[j] if TREE[j] >= 0 else j
        bones = [x[i, a, f, j, p] - x[i, a, f, parent, p] for a in range(c)]
        length = math.sqrt(sum(bone**2 for bone in bones))
        later = [x[i, k, f + step, j, p] - x[i, k, f, j, p] if f < t - 2 else 0 for step in (1, 2)]
        wanted[i, 0, [k, c + k], f, j, p] = x[i, k, f, j, p], x[i, k, f, j, p] - x[i, k, f, 1, p]
        wanted[i, 1, [k, c + k], f, j, p] = later
        wanted[i, 2, [k, c + k], f, j, p] = bones[k], math.acos(bones[k] / (length + 1e-4))
    got = branch_inputs(torch.from_numpy(x), TREE, 1)
    np.testing.assert_allclose(got.numpy(), wanted, atol=1e-14)


def test_an_absent_person_has_right_angles_and_no_gradient_that_is_none() -> None:
    x = torch.zeros(1, 3, 4, len(TREE), 1, requires_grad=True)
    got = branch_inputs(x, TREE, 1)
    assert not got[:, :2].any()
    assert not got[:, 2, :3].any()
    torch.testing.assert_close(got[:, 2, 3:], torch.full_like(got[:, 2, 3:], math.pi / 2))
    got.sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_bones_along_an_axis_have_angles_in_any_unit() -> None:
    for unit in (1e-3, 1.0, 1e3, 1e6):
        x = torch.zeros(1, 3, 1, 2, 1)
        x[0, 1, 0, 1] = unit
        angles = branch_inputs(x, (-1, 0), 0)[0, 2, 3:, 0, 1, 0]
        assert angles.isfinite().all()
        assert angles[1] < angles[0]


# The network as its formulas are written, channels first, layer by layer.


def normed(x: Tensor, norm: nn.Module, *, training: bool) -> Tensor:
    mean, variance = norm.running_mean, norm.running_var
    if training:
        mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
    x = (x - mean[:, None, None]) / (variance[:, None, None] + norm.eps).sqrt()
    return x * norm.weight[:, None, None] + norm.bias[:, None, None]


def convolved(x: Tensor, layer: nn.Module, training: bool) -> Tensor:
    """A convolution in time by its sum over the window, and a batch norm."""
    if isinstance(layer, nn.Identity):
        return x
    conv, norm = layer
    width, window, stride = conv.out_channels, conv.kernel_size[0], conv.stride[0]
    padded = nn.functional.pad(x, (0, 0, window // 2, window // 2))
    frames = range(0, x.shape[2], stride)
    out = torch.zeros(len(x), width, len(frames), x.shape[3], dtype=x.dtype)
    for place, frame in enumerate(frames):
        for k in range(window):
            weight, seen = conv.weight[:, :, k, 0], padded[:, :, frame + k]
            if conv.groups == 1:
                out[:, :, place] += torch.einsum("oc,ncv->nov", weight, seen)
            else:
                out[:, :, place] += weight[:, 0, None] * seen
    return normed(out + conv.bias[:, None, None], norm, training=training)


def spatial(x: Tensor, layer: nn.Module, graph: Tensor, training: bool) -> Tensor:
    weight, bias = layer.graph.project.weight[:, :, None, None], layer.graph.project.bias
    hop_wise = conv2d(x, weight, bias).chunk(len(graph), dim=1)
    mixed = sum(
        torch.einsum("vw,nctv->nctw", a * e, y)
        for a, e, y in zip(graph, layer.graph.edges, hop_wise, strict=True)
    )
    return silu(
        normed(mixed, layer.norm, training=training) + convolved(x, layer.shortcut, training)
    )


def separable(x: Tensor, layer: nn.Module, training: bool) -> Tensor:
    y = silu(convolved(x, layer.expand, training))
    y = convolved(silu(convolved(y, layer.depth, training)), layer.point, training)
    return y + convolved(x, layer.shortcut, training)


def sandglass(x: Tensor, layer: nn.Module, training: bool) -> Tensor:
    y = convolved(silu(convolved(x, layer.depth1, training)), layer.point1, training)
    y = convolved(silu(convolved(y, layer.point2, training)), layer.depth2, training)
    return y + convolved(x, layer.shortcut, training)


def attended(x: Tensor, layer: nn.Module, training: bool) -> Tensor:
    t, v = x.shape[2:]
    per_frame = torch.stack([x[:, :, :, j] for j in range(v)]).mean(0)  # n c t
    per_joint = torch.stack([x[:, :, i] for i in range(t)]).mean(0)  # n c v
    both = torch.cat([per_frame, per_joint], dim=2).unsqueeze(3)
    narrow = hardswish(convolved(both, layer.narrow, training)).squeeze(3)
    frames = torch.einsum("oi,nit->not", layer.frames.weight[:, :, 0, 0], narrow[:, :, :t])
    joints = torch.einsum("oi,niv->nov", layer.joints.weight[:, :, 0, 0], narrow[:, :, t:])
    frames = torch.sigmoid(frames + layer.frames.bias[:, None])
    joints = torch.sigmoid(joints + layer.joints.bias[:, None])
    gated = x * frames[:, :, :, None] * joints[:, :, None, :]
    return silu(normed(gated, layer.norm, training=training) + x)


def graph_of(parents: tuple[int, ...], within: int) -> Tensor:
    """Hops 0, 1, 2, k sender receiver; a receiver counts all joints within `within` hops."""
    distance, v = hops(parents), len(parents)
    graph = torch.zeros(3, v, v, dtype=torch.float64)
    for sender, receiver in itertools.product(range(v), repeat=2):
        if distance[sender, receiver] <= 2:
            count = sum(distance[other, receiver] <= within for other in range(v))
            graph[distance[sender, receiver], sender, receiver] = 1 / count
    return graph


def plain_logits(model: EfficientGCN, x: Tensor, graph: Tensor, *, training: bool) -> Tensor:
    n, _, _, _, m = x.shape

    def stage(y: Tensor, layers: nn.Module) -> Tensor:
        y = spatial(y, layers.spatial, graph, training)
        for layer in layers.temporal:
            y = (separable if hasattr(layer, "expand") else sandglass)(y, layer, training)
        return attended(y, layers.attention, training)

    outputs = []
    inputs = branch_inputs(x, model.parents, model.root)
    for i, branch in enumerate(model.branches):
        y = torch.cat([inputs[:, i, ..., p] for p in range(m)])  # persons first
        y = spatial(normed(y, branch.norm, training=training), branch.spatial, graph, training)
        y = silu(convolved(y, branch.temporal.whole, training) + y)
        for layers in branch.stages:
            y = stage(y, layers)
        outputs.append(y)
    y = torch.cat(outputs, dim=1)
    for layers in model.main:
        y = stage(y, layers)
    features = y.mean((2, 3)).view(m, n, -1).mean(0)
    return features @ model.classify.weight.T + model.classify.bias


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("temporal", "within", "frames"), [("sep", 3, 9), ("sg", 10, 1)])
def test_the_network_is_its_equations(
    temporal: str, within: int, frames: int, training: bool
) -> None:
    model = shaken(network(phi=1, temporal=temporal, dropout=0.0)).train(training)
    x = positions(2, 3, frames, len(TREE), 2)
    graph = graph_of(TREE, within).float().double()  # as it is stored
    expected = plain_logits(model, x, graph, training=training)
    torch.testing.assert_close(model(x), expected, rtol=1e-9, atol=1e-9)
    assert expected.std(0).max() > 1e-2


def test_sizes_are_scaled_together() -> None:
    assert stage_sizes(0) == [(48, 1, 0), (32, 1, 0), (64, 2, 1), (128, 2, 1)]
    assert stage_sizes(4) == [(96, 1, 2), (48, 1, 2), (128, 2, 3), (272, 2, 3)]
    assert len({stage_sizes(phi)[-1][0] for phi in range(5)}) == 5  # the width tells B0 to B4


@pytest.mark.parametrize(
    ("phi", "temporal", "learning"),
    [(0, "sep", 345_333), (4, "sg", 1_119_945), (4, "sep", 2_055_585)],
)
def test_published_counts(phi: int, temporal: str, learning: int) -> None:
    model = EfficientGCN(parents=NTU, num_classes=60, phi=phi, temporal=temporal)  # type: ignore[arg-type]
    graphs = (3 * (1 + 2) + 2) * 3 * 25 * 25  # stem and stages; published counts of B0 hold them
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == learning
    assert sum(p.numel() for p in model.parameters()) == learning + graphs
    assert (learning + graphs == 365_958) == (phi == 0)


@pytest.mark.parametrize("temporal", ["sep", "sg"])
@pytest.mark.parametrize(
    ("parents", "shape"),
    [(KINECT, (2, 3, 1, 20, 1)), (NTU, (1, 3, 14, 25, 3)), (COCO, (2, 2, 7, 17, 2))],
)
def test_any_length_persons_and_layout(
    parents: tuple[int, ...], shape: tuple[int, ...], temporal: str
) -> None:
    model = network(parents=parents, channels=shape[1], temporal=temporal).eval()
    x = positions(*shape).float()
    assert model.features(x).shape == (shape[0], 128)
    logits = model(x)
    assert logits.shape == (shape[0], 5)
    assert logits.isfinite().all()
    with pytest.raises(ValueError, match="expected N C T V M"):
        model(x[..., 0])


def test_a_clip_does_not_depend_on_its_neighbours() -> None:
    model = shaken(network()).eval()
    x = positions(3, 3, 8, len(TREE), 2)
    torch.testing.assert_close(model(x)[1:2], model(x[1:2]))


@pytest.mark.parametrize("training", [True, False])
def test_the_order_of_persons_does_not_matter(training: bool) -> None:
    model = shaken(network(dropout=0.0)).train(training)
    x = positions(2, 3, 8, len(TREE), 2)
    torch.testing.assert_close(model(x.flip(4)), model(x))


@pytest.mark.parametrize(("phi", "temporal"), [(0, "sep"), (1, "sg")])
def test_gradient_reaches_all_that_learns(phi: int, temporal: str) -> None:
    model = network(phi=phi, temporal=temporal).double().eval()
    model(positions(2, 3, 8, len(TREE), 1)).square().sum().backward()
    dead = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert len(dead) == 11
    assert all(name.endswith("graph.subsets") for name in dead)


def test_it_learns_eight_clips() -> None:
    torch.manual_seed(0)
    model = network(num_classes=8, dropout=0.0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.9  # few steps: statistics of the last ones
    x, wanted = positions(8, 3, 8, len(TREE), 1).float(), torch.arange(8)
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=3e-3)
    for _ in range(15):
        optimizer.zero_grad()
        cross_entropy(model(x), wanted).backward()
        optimizer.step()
    assert (model.eval()(x).argmax(1) == wanted).all()


def test_axes_name_every_axis_of_joints_and_classes() -> None:
    small = network(parents=KINECT, num_classes=7).state_dict()
    large = network(parents=NTU, num_classes=11).state_dict()
    sizes = {"v": (20, 25), "y": (7, 11)}
    for name, tensor in small.items():
        letters = [value for key, value in EfficientGCN.AXES.items() if name.endswith(key)]
        said = (letters or [" ".join("." * tensor.ndim)])[0].split()
        assert len(said) == tensor.ndim
        for letter, *found in zip(said, tensor.shape, large[name].shape, strict=True):
            assert tuple(found) == sizes.get(letter, (found[0], found[0])), name


def test_unknown_layers_are_refused() -> None:
    with pytest.raises(ValueError, match="expected 'sep' or 'sg', got 'tcn'"):
        network(temporal="tcn")
