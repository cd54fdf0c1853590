"""Laws of Shift-GCN: its equations derived a second time in N C T V, shifts, sizes, learning."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, grid_sample

from skelaug.models.recognizers.shift_gcn import (
    ShiftConvolution,
    ShiftGCN,
    TemporalShift,
    shifted_in_time,
    shifted_rows,
)
from skelaug.skeleton.layouts import get_layout

NTU = get_layout("ntu_25").parents
TREE = (-1, 0, 1, 2, 1, 4, 5, 1, 7, 8, 0, 10, 11)  # 13 joints
V = len(TREE)


def small(**options: object) -> ShiftGCN:
    sizes = {"parents": TREE, "num_classes": 11, "width": 8, **options}
    return ShiftGCN(**sizes)  # type: ignore[arg-type]


def shaken(network: nn.Module) -> nn.Module:
    """Float64, and every parameter and statistic moved off its start, shifts up to 2 frames."""
    generator = torch.Generator().manual_seed(0)
    network.double()
    with torch.no_grad():
        for name, tensor in itertools.chain(network.named_parameters(), network.named_buffers()):
            if tensor.is_floating_point():
                noise = torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype)
                tensor += 0.5 * noise if name.endswith("offsets") else 0.3 * noise.abs()
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


def beside(layer: nn.Module, x: Tensor, stride: int, training: bool) -> Tensor:
    if isinstance(layer, nn.Identity):
        return x[:, :, ::stride]
    conv, norm = layer
    return normed(convolved(x, conv, stride), norm, training=training)


def graph(layer: ShiftConvolution, x: Tensor, *, training: bool) -> Tensor:
    """Sec. 3.2.2 on N C T V, one joint and channel after the other."""
    n, c, t, v = x.shape
    moved = torch.stack(
        [torch.stack([x[:, i, :, (j + i) % v] for j in range(v)], -1) for i in range(c)], 1
    )
    moved = moved * (torch.tanh(layer.mask)[:, None] + 1)
    sent = convolved(moved, layer.transform)
    outputs = sent.shape[1]
    home = torch.stack(
        [torch.stack([sent[:, i, :, (j - i) % v] for j in range(v)], -1) for i in range(outputs)],
        1,
    )
    rows = home.transpose(2, 3).reshape(n, outputs * v, t)
    rows = normed(rows, layer.norm, training=training).view(n, outputs, v, t).transpose(2, 3)
    return (rows + beside(layer.shortcut, x, 1, training)).relu()


def interpolated(layer: TemporalShift, x: Tensor) -> Tensor:
    """Eq. 8 on N C T V, one channel and frame after the other."""
    t = x.shape[2]
    channels = []
    for c, offset in enumerate(layer.offsets):
        frames = []
        for place in range(0, t, layer.stride):
            at = place + (0.5 if layer.stride == 2 else 0) + offset
            whole = math.floor(at.detach())
            part = at - whole
            zero = torch.zeros_like(x[:, c, 0])
            first = x[:, c, whole] if 0 <= whole < t else zero
            second = x[:, c, whole + 1] if 0 <= whole + 1 < t else zero
            frames.append((1 - part) * first + part * second)
        channels.append(torch.stack(frames, 1))
    return torch.stack(channels, 1)


def plain_logits(network: ShiftGCN, x: Tensor, *, training: bool) -> Tensor:
    n, c, t, v, m = x.shape
    maps = torch.cat([x[..., i] for i in range(m)])  # persons first
    rows = maps.permute(0, 3, 1, 2).reshape(n * m, v * c, t)
    rows = normed(rows, network.data_norm, training=training)
    maps = rows.view(n * m, v, c, t).permute(0, 2, 3, 1)
    for number, block in enumerate(network.blocks):
        stride = 2 if number in (4, 7) else 1
        norm, shift, conv, _, out, last = block.time
        assert (shift.stride, out.stride) == (1, stride)
        y = normed(graph(block.graph, maps, training=training), norm, training=training)
        y = convolved(interpolated(shift, y), conv).relu()
        y = normed(interpolated(out, y), last, training=training)
        if number > 0:
            y = y + beside(block.shortcut, maps, stride, training)
        maps = y.relu()
    features = maps.mean((2, 3)).view(m, n, -1).mean(0)
    return features @ network.classify.weight.T + network.classify.bias


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("persons", "frames"), [(2, 9), (1, 3)])
def test_the_network_is_its_equations(training: bool, persons: int, frames: int) -> None:
    network = shaken(small(persons=persons, width=3)).train(training)
    x = torch.randn(3, 3, frames, V, persons, dtype=torch.float64)
    expected = plain_logits(network, x, training=training)
    torch.testing.assert_close(network(x), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("channels", "joints"), [(4, 13), (13, 13), (40, 13), (64, 25), (3, 1)])
def test_the_shift_between_joints_is_a_permutation_and_the_shift_back_its_inverse(
    channels: int, joints: int
) -> None:
    away, back = shifted_rows(channels, joints), shifted_rows(channels, joints, back=True)
    rows = torch.arange(channels * joints)
    assert torch.equal(away.sort().values, rows)
    assert torch.equal(rows[away][back], rows)
    for c in range(channels):
        for v in range(joints):
            assert away[c * joints + v] == c * joints + (v + c) % joints


def test_after_the_shift_a_joint_holds_channels_of_all_joints() -> None:
    came_from = shifted_rows(26, 13) % 13
    for v in range(13):
        heard = came_from.view(26, 13)[:, v]
        assert torch.equal(heard.bincount(minlength=13), torch.full((13,), 2))


def test_one_convolution_carries_a_change_to_every_joint() -> None:
    layer = shaken(ShiftConvolution(16, 16, V)).eval()
    x = torch.randn(16, V, 1, 4, dtype=torch.float64)
    moved = x.clone()
    moved[:, 5] += 1
    heard = (layer(moved) != layer(x)).any(-1).any(0)[:, 0]
    assert heard.all()


def test_with_equal_joints_the_shift_does_nothing() -> None:
    """Every joint the same: moving channels between joints changes nothing."""
    layer = ShiftConvolution(16, 16, V).double().eval()
    x = torch.randn(16, 1, 2, 4, dtype=torch.float64).expand(-1, V, -1, -1)
    linear = torch.einsum("oi,ivnt->ovnt", layer.transform.weight, x)
    expected = (linear / math.sqrt(1 + layer.norm.eps) + x).relu()
    torch.testing.assert_close(layer(x), expected)


def test_no_offset_is_the_identity() -> None:
    shift = TemporalShift(5)
    nn.init.zeros_(shift.offsets)
    x = torch.randn(5, 3, 2, 9)
    assert torch.equal(shift(x), x)


@pytest.mark.parametrize("offset", [-9, -3, -1, 1, 2, 8, 30])
def test_a_whole_offset_is_a_plain_shift(offset: int) -> None:
    shift = TemporalShift(5)
    nn.init.constant_(shift.offsets, offset)
    x = torch.randn(5, 3, 2, 9)
    expected = torch.zeros_like(x)
    for t in range(9):
        if 0 <= t + offset < 9:
            expected[..., t] = x[..., t + offset]
    assert torch.equal(shift(x), expected)


def test_of_two_frames_without_an_offset_the_mean_is_kept() -> None:
    x = torch.randn(5, 3, 2, 8)
    expected = (x[..., ::2] + x[..., 1::2]) / 2
    torch.testing.assert_close(shifted_in_time(x, torch.zeros(5), stride=2), expected)


@pytest.mark.parametrize("stride", [1, 2])
def test_between_frames_it_is_torchs_own_interpolation(stride: int) -> None:
    """Values and gradients, those of the offsets too, against bilinear sampling of an image."""
    offsets = (2 * torch.randn(6, dtype=torch.float64)).requires_grad_()
    x = torch.randn(6, 3, 2, 9, dtype=torch.float64, requires_grad=True)
    wanted = torch.arange(0, 9, stride) + (stride - 1) / 2 + offsets[:, None]
    grid = torch.stack([wanted / 4 - 1, torch.zeros_like(wanted)], -1)[:, None]
    sampled = grid_sample(x.flatten(1, 2)[:, :, None], grid, align_corners=True)
    expected = sampled[:, :, 0].view(6, 3, 2, -1)
    shifted = shifted_in_time(x, offsets, stride=stride)
    torch.testing.assert_close(shifted, expected)
    weights = torch.randn(expected.shape, dtype=torch.float64)
    ours = torch.autograd.grad((weights * shifted).sum(), [x, offsets])
    theirs = torch.autograd.grad((weights * expected).sum(), [x, offsets])
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other)


def test_offsets_move_at_one_pace_in_the_direction_of_their_gradient() -> None:
    shift = TemporalShift(6).double()
    x = torch.randn(6, 3, 2, 9, dtype=torch.float64)
    weights = torch.randn(x.shape, dtype=torch.float64)
    (ours,) = torch.autograd.grad((weights * shift(x)).sum(), [shift.offsets])
    plain = (weights * shifted_in_time(x, shift.offsets)).sum()
    (full,) = torch.autograd.grad(plain, [shift.offsets])
    torch.testing.assert_close(ours, 0.01 * full.sign())


def test_offsets_start_within_a_frame() -> None:
    offsets = TemporalShift(4000).offsets.detach()
    assert offsets.abs().max() <= 1
    assert float(offsets.std()) == pytest.approx(1 / math.sqrt(3), rel=0.05)


def test_the_published_size() -> None:
    """Counted layer by layer."""

    def count(v: int, k: int) -> int:
        total = 2 * v * 3 + 256 * k + k
        widths = [3] + [64] * 4 + [128] * 3 + [256] * 3
        for block, (i, o) in enumerate(itertools.pairwise(widths)):
            total += v * i + (i * o + o) + 2 * v * o
            total += 2 * o + o + (o * o + o) + o + 2 * o
            total += (i * o + o + 2 * o) * (i != o)
            total += (i * o + o + 2 * o) * (i != o and block > 0)
        return total

    for parents, k in [(NTU, 60), (TREE, 11)]:
        network = ShiftGCN(parents=parents, num_classes=k)
        assert sum(p.numel() for p in network.parameters()) == count(len(parents), k)
    assert round(count(25, 60) / 1e6, 2) == 0.69


@pytest.mark.parametrize("frames", [1, 2, 7, 16])
@pytest.mark.parametrize(("layout", "persons"), [("ntu_25", 2), ("kinect_20", 1), ("coco_17", 1)])
def test_any_length_and_layout(frames: int, layout: str, persons: int) -> None:
    parents = get_layout(layout).parents
    network = small(parents=parents, persons=persons, channels=6)
    x = torch.randn(2, 6, frames, len(parents), persons)
    assert network(x).shape == (2, 11)
    assert network.features(x).shape == (2, 32)
    assert network.feature_sequence(x).shape == (2, -(-frames // 4), 32)


@pytest.mark.parametrize("training", [True, False])
def test_features_are_the_mean_of_the_sequence_and_what_the_last_layer_sees(training: bool) -> None:
    network = shaken(small(persons=2)).train(training)
    x = torch.randn(3, 3, 10, V, 2, dtype=torch.float64)
    features = network.features(x)
    torch.testing.assert_close(network.feature_sequence(x).mean(1), features)
    torch.testing.assert_close(network.classify(features), network(x))


def test_the_sequence_runs_with_the_clip() -> None:
    """What happens late in the clip is seen late in the sequence."""
    network = shaken(small()).eval()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, TemporalShift):
                module.offsets.clamp_(-1, 1)
    x = torch.randn(1, 3, 128, V, 1, dtype=torch.float64)
    moved = x.clone()
    moved[:, :, -4:] += 1
    differs = (network.feature_sequence(moved) != network.feature_sequence(x)).any(2)[0]
    assert len(differs) == 32
    assert differs[-1]
    # 9 shifts reach a frame and its neighbour, 6 after block 5 two, 5 after block 8 four
    assert not differs[: -(9 * 2 + 6 * 4 + 5 * 8 + 4) // 4].any()


def test_the_wrong_shape_is_named() -> None:
    with pytest.raises(ValueError, match=r"V = 13.*got 2 x 3 x 4 x 14 x 1"):
        small()(torch.zeros(2, 3, 4, 14, 1))


@pytest.mark.parametrize("training", [True, False])
def test_the_order_of_persons_does_not_matter(training: bool) -> None:
    network = shaken(small(persons=3)).train(training)
    x = torch.randn(4, 3, 6, V, 3, dtype=torch.float64)
    torch.testing.assert_close(network(x[..., [2, 0, 1]]), network(x), rtol=1e-9, atol=1e-9)


def test_gradient_reaches_every_parameter() -> None:
    """Statistics are fixed: with those of the batch, a bias before a normalisation cancels."""
    network = shaken(small()).train()
    x = torch.randn(4, 3, 8, V, 1, dtype=torch.float64)
    network(x)
    network.eval()(x).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None
        assert (parameter.grad != 0).any(), name


def test_every_axis_of_joints_or_classes_is_named() -> None:
    first = small().state_dict()
    second = small(parents=NTU, num_classes=7).state_dict()
    changed = {name for name in first if first[name].shape != second[name].shape}
    named = {
        name
        for name in first
        if any(name == ending or name.endswith(f".{ending}") for ending in ShiftGCN.AXES)
    }
    assert changed == named
    for name in named:
        axes = ShiftGCN.AXES[max((key for key in ShiftGCN.AXES if name.endswith(key)), key=len)]
        widths = [3, *[8] * 4, *[16] * 3, *[32] * 3]
        block = int(name.split(".")[1]) if name.startswith("blocks") else 0
        sizes = {
            "(v c)": (V * 3,),
            "(d v)": (widths[block + 1] * V,),
            "d v": (widths[block], V),
            "y d": (11, 32),
            "y": (11,),
        }
        assert first[name].shape == sizes[axes], name


def test_it_learns_eight_clips_by_heart() -> None:
    torch.manual_seed(0)
    network = small(num_classes=4)
    x, labels = torch.randn(8, 3, 8, V, 1), torch.arange(8) % 4
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
    network = small().train()
    x = torch.randn(8, 3, 8, V, 1)
    full = network(x)
    with torch.autocast("cpu", torch.bfloat16):
        half = network(x)
        half.float().sum().backward()
    assert (full - half).abs().max() < 0.1 * full.abs().max()
