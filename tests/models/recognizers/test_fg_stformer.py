"""Laws of FG-STFormer: selection, both branches, lengths, switches, gradients, learning."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn

from skelaug.models.recognizers.fg_stformer import (
    FGSTFormer,
    FocalSelection,
    JointPartLayer,
    PartEmbedding,
)
from skelaug.seeds import generator
from skelaug.skeleton.layouts import get_layout
from skelaug.skeleton.parts import equal_parts

NTU, KINECT = get_layout("ntu_25").parents, get_layout("kinect_20").parents
EIGHT = {"widths": (8, 8, 16, 16, 32, 32, 32, 32), "stage_1": 6}
SMALL = {"widths": (8, 16, 16), "stage_1": 2}
CLASSES = 5


def network(parents: tuple[int, ...] = KINECT, seed: int = 0, **options: object) -> FGSTFormer:
    """A narrow network, its weights drawn from a seed and moved off zero."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return FGSTFormer(parents=parents, num_classes=CLASSES, **{**SMALL, **options})  # type: ignore[arg-type]


def clips(parents: tuple[int, ...] = KINECT, n: int = 2, t: int = 12, m: int = 1) -> Tensor:
    return torch.randn(n, 3, t, len(parents), m, generator=generator(0, 7))


def dead(model: nn.Module) -> list[str]:
    return [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


# the size and the shapes


def test_parameters_of_the_published_sizes() -> None:
    # counted from the equations; the paper gives no number
    total = 3 * 64 + 2 * 64
    widths, v, p, h = (64, 64, 64, 128, 128, 256, 256, 256, 256), 25, 10, 3

    def space(c: int, d: int, nodes: int) -> int:
        size = h * (d // 4)
        norms, shortcuts = 2 * 2 * d, 0 if c == d else 2 * (c * d + 2 * d)
        return (2 * c + 1) * size + h * c * d + d * d + norms + shortcuts + h * nodes**2

    def time(c: int, *, strided: bool) -> int:
        tcn, mix = 7 * c * c + c, 2 * (c // 2 + 1) * (c // 2)
        return (2 * c + 1) * c + tcn + mix + (c + 1) * c + strided * (c * c + 2 * c)

    for c, d in itertools.pairwise(widths[:7]):
        total += space(c, d, v) + time(d, strided=c != d)
    c = 256
    total += c + (3 * c + 1) * c
    total += 2 * (space(c, c, v) + space(c, c, p) + 2 * space(c, c, 0) + 2 * time(c, strided=False))
    total += (2 * c + 1) * c + (c + 1) * 60
    assert parameters(FGSTFormer(parents=NTU, num_classes=60, persons=2)) == total


def test_frames_of_each_layer() -> None:
    model = network(NTU, **EIGHT)
    lengths: list[int] = []
    for layer in (*model.stage_1, *model.stage_2):
        layer.joint_time.register_forward_hook(lambda _, __, out: lengths.append(out.shape[1]))
    model(clips(NTU, n=1, t=128))
    assert lengths == [128, 128, 64, 64, 32, 32, 32, 32]


def test_what_leaves_the_branches() -> None:
    joints, parts = network(NTU, **EIGHT).branches(clips(NTU, n=1, t=128, m=2))
    assert joints.shape == (2, 32, 15, 32)
    assert parts.shape == (2, 32, 10, 32)


@pytest.mark.parametrize(
    "layout", ["ntu_25", "kinect_20", "h36m_17", "humaneva_15", "mediapipe_33"]
)
@pytest.mark.parametrize(("t", "m"), [(1, 1), (2, 3), (13, 2)])
def test_any_layout_any_length_any_number_of_persons(layout: str, t: int, m: int) -> None:
    parents = get_layout(layout).parents
    logits = network(parents).eval()(clips(parents, n=3, t=t, m=m))
    assert logits.shape == (3, CLASSES)
    assert logits.isfinite().all()


def test_a_skeleton_of_one_joint() -> None:
    assert network((-1,)).eval()(clips((-1,))).shape == (2, CLASSES)


@pytest.mark.parametrize("t", [1, 2, 7, 9, 10])
def test_halving_in_stage_2_keeps_joints_and_frames_together(t: int) -> None:
    model = network(widths=(8, 16, 32), stage_1=1).eval()
    assert model(clips(t=t)).shape == (2, CLASSES)


def test_the_features_are_what_the_last_layer_sees() -> None:
    model, x = network().eval(), clips()
    torch.testing.assert_close(model(x), model.classify(model.features(x)))


def test_channels_of_several_streams() -> None:
    x = torch.randn(2, 6, 8, len(KINECT), 1, generator=generator(0))
    assert network(channels=6)(x).shape == (2, CLASSES)
    with pytest.raises(ValueError, match=r"x: expected N C T V M with C = 3, V = 20, got 2 x 6"):
        network()(x)


# focal joints


def test_focal_joints_are_the_best_of_each_frame() -> None:
    select = FocalSelection(8, 3)
    x = torch.randn(2, 4, 6, 8, generator=generator(1))
    kept, chosen = select(x)
    direction = select.projection / select.projection.norm()
    for i, f in itertools.product(range(2), range(4)):
        scores = [1 / (1 + (-(x[i, f, j] @ direction)).exp()) for j in range(6)]
        best = sorted(sorted(range(6), key=lambda j: -scores[j])[:3])
        assert chosen[i, f].tolist() == best
        want = torch.stack([x[i, f, j] * scores[j] for j in best])
        torch.testing.assert_close(kept[i, f], want)


def test_without_the_gate_the_projection_would_not_learn() -> None:
    select = FocalSelection(8, 3)
    x = torch.randn(2, 4, 6, 8, generator=generator(1), requires_grad=True)
    kept, chosen = select(x)
    # eq. 3 as written: the same joints, without their scores
    plain = x.gather(2, chosen[..., None].expand(-1, -1, -1, 8))
    assert torch.autograd.grad(plain.square().sum(), select.projection, allow_unused=True) == (
        None,
    )
    (gradient,) = torch.autograd.grad(kept.square().sum(), select.projection)
    assert gradient.abs().max() > 1e-3


def test_the_projection_learns_to_select_the_joint_that_tells() -> None:
    # channel 0 marks the one joint whose channel 1 is the class; what is left is noise
    source, n = generator(3), 64
    x = torch.randn(n, 1, 5, 4, generator=source)
    y = torch.randint(2, (n,), generator=source)
    telling = torch.randint(5, (n,), generator=source)
    x[..., 0] = 0
    x[torch.arange(n), 0, telling, 0] = 2
    x[torch.arange(n), 0, telling, 1] = 4 * y.float() - 2
    select, read = FocalSelection(4, 1), nn.Linear(4, 2)
    with torch.no_grad():
        select.projection.copy_(torch.tensor([0.4, 0.0, 0.6, 0.6]))
        read.weight.copy_(torch.tensor([[0.0, -0.3, 0.1, -0.1], [0.0, 0.3, -0.1, 0.1]]))
        read.bias.zero_()
    optimizer = torch.optim.Adam([*select.parameters(), *read.parameters()], 0.05)

    def hits() -> float:
        return float((select(x)[1][:, 0, 0] == telling).float().mean())

    before = hits()
    for _ in range(40):
        loss = nn.functional.cross_entropy(read(select(x)[0].mean((1, 2))), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert before < 0.7
    assert hits() > 0.95


def test_more_focal_joints_than_joints_are_all_joints() -> None:
    model = network(focal=99)
    joints, _ = model.branches(clips())
    assert joints.shape[2] == len(KINECT)


# parts, and the two branches


def test_a_part_is_its_joints_through_one_layer() -> None:
    embed = PartEmbedding(4, [(0, 2), (1, 2)])
    x = torch.randn(2, 3, 3, 4, generator=generator(2))
    for p, (first, second) in enumerate([(0, 2), (1, 2)]):
        want = embed.embed(torch.cat([x[:, :, first], x[:, :, second]], dim=-1))
        torch.testing.assert_close(embed(x)[:, :, p], want)


def test_exchanged_branches_exchange_what_comes_out() -> None:
    v = 5
    layer, twin = (
        JointPartLayer(8, 8, joints=v, parts=v, cross_attention=True, space={}, time={}).eval()
        for _ in range(2)
    )
    roles = {
        "joint_space": "part_space",
        "joint_time": "part_time",
        "joint_to_part": "part_to_joint",
    }
    roles |= {b: a for a, b in roles.items()}
    weights = layer.state_dict()
    twin.load_state_dict(
        {f"{roles[name.split('.')[0]]}.{name.split('.', 1)[1]}": w for name, w in weights.items()}
    )
    a, b = (torch.randn(2, 3, v, 8, generator=generator(i)) for i in (1, 2))
    joints, parts = layer(a, b)
    other_joints, other_parts = twin(b, a)
    torch.testing.assert_close(other_parts, joints)
    torch.testing.assert_close(other_joints, parts)


def test_cross_attention_looks_at_the_other_branch_before_its_update() -> None:
    layer = JointPartLayer(8, 8, joints=5, parts=3, cross_attention=True, space={}, time={}).eval()
    a, b = (
        torch.randn(2, 4, 5, 8, generator=generator(1)),
        torch.randn(2, 4, 3, 8, generator=generator(2)),
    )
    joints, parts = layer.joint_space(a), layer.part_space(b)
    want = layer.part_to_joint(joints, parts), layer.joint_to_part(parts, joints)
    torch.testing.assert_close(layer.space(a, b, None), want)


def test_persons_in_any_order() -> None:
    model = network().eval()
    x = clips(m=2)
    torch.testing.assert_close(model(x.flip(-1)), model(x), atol=1e-5, rtol=1e-4)
    model.train()
    torch.testing.assert_close(model(x.flip(-1)), model(x), atol=1e-4, rtol=1e-3)


def test_clips_of_a_batch_do_not_touch_each_other() -> None:
    model = network().eval()
    x = clips(n=3, m=2)
    torch.testing.assert_close(model(x)[1:2], model(x[1:2]), atol=1e-5, rtol=1e-4)


def test_joints_and_frames_know_their_place() -> None:
    model = network().eval()
    x = clips()
    assert not torch.allclose(model(x.flip(2)), model(x), atol=1e-4)
    assert not torch.allclose(model(x.flip(3)), model(x), atol=1e-4)


# the switches of tables 1, 3 and 4


def test_without_selection_and_parts_stage_2_is_stage_1() -> None:
    model = network(focal=None, part_branch=False)
    (joints,) = model.branches(clips())
    assert joints.shape[2] == len(KINECT)
    assert model.select is None
    assert model.embed_parts is None
    assert {type(layer) for layer in model.stage_2} == {type(model.stage_1[0])}
    assert model.hidden.in_features == 16


@pytest.mark.parametrize(
    ("options", "gone"),
    [
        ({"focal": None}, ["select."]),
        ({"part_branch": False}, ["embed_parts.", ".part_space.", ".part_time.", "_to_"]),
        ({"cross_attention": False}, ["_to_"]),
        ({"attention": False}, ["_time.queries", "_time.keys", "_time.mixes"]),
    ],
)
def test_a_switch_takes_away_what_it_names(options: dict[str, object], gone: list[str]) -> None:
    whole, less = set(network().state_dict()), set(network(**options).state_dict())
    assert less == {name for name in whole if not any(part in name for part in gone)}
    assert less != whole


def test_without_convolution_values_are_linear() -> None:
    weights = network(convolution=False).state_dict()
    kernels = {w.shape[-1] for name, w in weights.items() if "_time.values" in name and w.ndim == 4}
    assert kernels == {1}


@pytest.mark.parametrize("stage_1", [4, 5, 6, 7])
def test_layers_of_the_stages(stage_1: int) -> None:
    model = network(**{**EIGHT, "stage_1": stage_1})
    assert (len(model.stage_1), len(model.stage_2)) == (stage_1, 8 - stage_1)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"focal": None},
        {"part_branch": False},
        {"cross_attention": False},
        {"attention": False},
        {"convolution": False},
        {"widths": (8, 16, 32), "stage_1": 1},
        {"focal": None, "part_branch": False},
    ],
    ids=str,
)
def test_gradient_reaches_every_parameter(options: dict[str, object]) -> None:
    model = network(**options)
    model(clips(n=3, m=2)).square().sum().backward()
    assert dead(model) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"parts": [(0, 1), (2, 3, 4)]}, "equally many joints"),
        ({"parts": []}, "equally many joints"),
        ({"parts": [(0, 20)]}, r"joints 0 to 19, got \[20\]"),
        ({"focal": 0}, "at least one joint"),
        ({"attention": False, "convolution": False}, "at least one of them"),
        ({"kernel": 4}, "odd number"),
        ({"widths": (8, 10)}, "multiples of 4"),
        ({"dilations": (1, 2, 3)}, "multiples of 12"),
        ({"stage_1": 3}, "0 to 2 layers"),
    ],
)
def test_sizes_that_do_not_fit(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        network(**options)


def test_parts_of_ones_own() -> None:
    parts = [list(part) for part in equal_parts(KINECT)]
    own = network(parts=parts)
    own.load_state_dict(network(seed=1).state_dict())
    x = clips()
    assert torch.equal(own.eval()(x), network(seed=1).eval()(x))
    assert network(parts=[[0, 1], [2, 3], [4, 5]]).branches(x)[1].shape[2] == 3


# carrying weights over, and learning


def test_axes_name_every_size_of_joints_and_classes() -> None:
    one, other = network(), network(NTU)
    more = FGSTFormer(parents=NTU, num_classes=CLASSES + 1, **SMALL)  # type: ignore[arg-type]
    for small, large, sizes in ((one, other, {"v": (20, 25)}), (other, more, {"y": (5, 6)})):
        shapes = {name: tuple(tensor.shape) for name, tensor in large.state_dict().items()}
        for name, tensor in small.state_dict().items():
            axes = next((a for end, a in FGSTFormer.AXES.items() if name.endswith(end)), None)
            if axes is None:
                assert tuple(tensor.shape) == shapes[name], name
                continue
            letters = axes.split()
            assert len(letters) == tensor.ndim
            for letter, a, b in zip(letters, tensor.shape, shapes[name], strict=True):
                assert (a, b) == sizes.get(letter, (a, a)), name


def test_learns_eight_clips_by_heart() -> None:
    model = network(seed=3)
    x = clips(n=8, t=6)
    y = torch.arange(8) % CLASSES
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(20):
        loss = nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05
    assert torch.equal(model(x).argmax(1), y)


def test_autocast_changes_little() -> None:
    model, x = network().eval(), clips()
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(x)
    torch.testing.assert_close(logits.float(), model(x), atol=0.1, rtol=0.1)
