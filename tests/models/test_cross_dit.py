"""Laws of CrossDiT: its equations derived a second time, sizes, masks, SG-SRM, gradients."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from skelaug.diffusion.spectral import cosine_basis
from skelaug.errors import UsageError
from skelaug.models import MATCHERS, build
from skelaug.models.cross_dit import CrossDiT
from skelaug.models.layers import sinusoid
from skelaug.seeds import generator

N, S, E, D = 3, 5, 7, 6
SMALL: dict[str, Any] = {
    "text_features": E,
    "features": D,
    "width": 16,
    "depth": 3,
    "heads": 4,
    "tokens": 8,
}
LENGTHS = torch.tensor([5, 2, 0])  # words of the three texts
GAIN = torch.tensor([1.0, 0.3, 0.0], dtype=torch.float64)


def network(*, awake: float = 0.15, **options: Any) -> CrossDiT:
    """A small network in float64 none of whose weights is zero."""
    made = build("cross-dit", {**SMALL, **options}, generator=generator(0))
    assert isinstance(made, CrossDiT)
    made.double()
    if made.basis is not None:
        made.basis = cosine_basis(len(made.basis))
    with torch.no_grad():
        for number, parameter in enumerate(made.parameters()):
            noise = torch.randn(
                parameter.shape, generator=generator(1, number), dtype=torch.float64
            )
            parameter += awake * noise
    return made


def question(length: int = 4, n: int = N) -> tuple[Tensor, ...]:
    """x, step, words, mask and text."""
    draw = generator(2)
    x = torch.randn(n, length, D, generator=draw, dtype=torch.float64)
    words = torch.randn(n, S, E, generator=draw, dtype=torch.float64)
    mask = torch.arange(S) < LENGTHS.repeat(n // N + 1)[:n, None]
    text = torch.randn(n, E, generator=draw, dtype=torch.float64)
    return x, torch.arange(n) * 20 + 5, words, mask, text


def linear(layer: nn.Module, x: Tensor) -> Tensor:
    return torch.einsum("oi,...i->...o", layer.weight, x) + layer.bias


def silu(x: Tensor) -> Tensor:
    return x / (1 + torch.exp(-x))


def gelu(x: Tensor) -> Tensor:
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def normed(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    unit = centred / (centred.square().mean(-1, keepdim=True) + 1e-6).sqrt()
    return (1 + scale) * unit + shift


def turned_up(x: Tensor, gain: float, *, axis: int, alpha: float) -> Tensor:
    """Eq. 1 to 4 as they are written, with sums over cosines; x is L W."""
    x = x if axis == 0 else x.T
    length = len(x)
    m = max(1, length // 4)
    out = torch.zeros_like(x)
    for k in range(length):
        beta = math.sqrt((1 if k == 0 else 2) / length)
        waves = [math.cos(math.pi * (2 * i + 1) * k / (2 * length)) for i in range(length)]
        f = sum(beta * wave * x[i] for i, wave in enumerate(waves))
        f = f * (1 + alpha * (0.0 if k < m else gain))
        out = out + torch.stack([beta * wave * f for wave in waves])
    return out if axis == 0 else out.T


def plain(net: CrossDiT, x: Tensor, step: Tensor, words: Tensor, text: Tensor, gain: float) -> Any:
    """One sample without padding: x L D, step a number, words S E, text E; heads one by one."""
    told = linear(net.conditioning.time[0], sinusoid(step, 256).double())
    told = linear(net.conditioning.time[2], silu(told))
    condition = told + linear(net.read_text[2], silu(linear(net.read_text[0], text)))
    tokens = linear(net.read, x) + (0 if net.place is None else net.place)
    streams = [tokens, linear(net.read_word, words) + net.place_of_word[: len(words)]]
    axis, heads = net.axis - 1, SMALL["heads"]
    size = SMALL["width"] // heads
    for block in net.blocks:
        parts = [block.skeleton, block.words]
        vectors = [linear(part.modulation, silu(condition)).chunk(6) for part in parts]
        joint = torch.cat(
            [
                linear(part.qkv, normed(stream, v[0], v[1]))
                for part, stream, v in zip(parts, streams, vectors, strict=True)
            ]
        )
        q, k, v = joint.chunk(3, dim=-1)
        mixed = torch.zeros_like(q)
        for h in range(heads):
            own = slice(h * size, (h + 1) * size)
            weights = torch.exp(q[:, own] @ k[:, own].T / math.sqrt(size))
            mixed[:, own] = weights / weights.sum(1, keepdim=True) @ v[:, own]
        pieces = mixed.split([len(x), len(words)])
        for i, part in enumerate(parts):
            branch = linear(part.out, pieces[i])
            if i == 0 and net.spectral == "attention":
                branch = turned_up(branch, gain, axis=axis, alpha=net.alpha)
            streams[i] = streams[i] + vectors[i][2] * branch
            if i == 0 and net.spectral == "stream":
                streams[i] = turned_up(streams[i], gain, axis=axis, alpha=net.alpha)
            hidden = gelu(linear(part.mlp[0], normed(streams[i], vectors[i][3], vectors[i][4])))
            streams[i] = streams[i] + vectors[i][5] * linear(part.mlp[2], hidden)
    shift, scale = linear(net.modulation, silu(condition)).chunk(2)
    return linear(net.write, normed(streams[0], shift, scale))


@pytest.mark.parametrize("length", [1, 4, 9])
@pytest.mark.parametrize("axis", ["channel", "time"])
@pytest.mark.parametrize("spectral", ["none", "attention", "stream"])
def test_the_network_is_its_equations(spectral: str, axis: str, length: int) -> None:
    net = network(spectral=spectral, spectral_axis=axis, alpha=0.7, positions=length % 9)
    x, step, words, mask, text = question(length)
    noise = net(x, step, words, mask, text, GAIN)
    for i in range(N):
        own = words[i, : LENGTHS[i]]
        expected = plain(net, x[i], step[i], own, text[i], float(GAIN[i]))
        torch.testing.assert_close(noise[i], expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("text_features", "millions"), [(2048, 261.21), (1024, 259.64)])
def test_the_published_size(text_features: int, millions: float) -> None:
    """Layer by layer, W = 768: two streams of 18 W^2 + 15 W in 12 blocks, and what is around."""
    w, e = 768, text_features
    around = (256 * w + w) + (e * w + w) + 35 * w + (e * w + w + w * w + w)
    around += (256 * w + w + w * w + w) + (2 * w * w + 2 * w) + (256 * w + 256)
    with torch.device("meta"):
        for spectral in ("none", "attention", "stream"):
            net = CrossDiT(text_features=e, spectral=spectral)
            size = sum(p.numel() for p in net.parameters())
            assert size == 12 * 2 * (18 * w * w + 15 * w) + around
            assert round(size / 1e6, 2) == millions
        placed = CrossDiT(text_features=e, positions=75)
    assert sum(p.numel() for p in placed.parameters()) == size + 75 * w


@pytest.mark.parametrize("spectral", ["none", "attention", "stream"])
def test_untrained_it_answers_zero(spectral: str) -> None:
    net = network(awake=0.0, spectral=spectral, spectral_axis="time")
    noise = net(*question(), GAIN)
    assert torch.equal(noise, torch.zeros_like(noise))


def test_initial_weights_are_those_of_adaln_zero() -> None:
    net = CrossDiT(text_features=300, features=64, width=128, depth=2, heads=4, positions=90)
    zero = {name for name, p in net.named_parameters() if p.ndim == 2 and not p.any()}
    modulations = {f"blocks.{b}.{s}.modulation" for b in range(2) for s in ("skeleton", "words")}
    assert zero == {f"{name}.weight" for name in {*modulations, "modulation", "write"}}
    for name, parameter in net.named_parameters():
        if parameter.ndim == 1:
            assert not parameter.any(), name
        elif name not in zero:
            small = "place" in name or "conditioning" in name
            deviation = 0.02 if small else math.sqrt(2 / sum(parameter.shape))
            assert float(parameter.detach().std()) == pytest.approx(deviation, rel=0.06), name


def test_masked_words_have_no_influence_whatever_they_hold() -> None:
    net = network()
    x, step, words, mask, text = question()
    expected = net(x, step, words, mask, text)
    for filling in (0.0, 1e9, math.nan):
        filled = words.masked_fill(~mask[..., None], filling)
        assert torch.equal(net(x, step, filled, mask, text), expected)
    longer = torch.cat([words, torch.full((N, 3, E), math.nan).double()], dim=1)
    wider = torch.cat([mask, torch.zeros(N, 3, dtype=torch.bool)], dim=1)
    torch.testing.assert_close(net(x, step, longer, wider, text), expected)
    without = net(x[2:], step[2:], words[2:, :0], mask[2:, :0], text[2:])
    torch.testing.assert_close(without, expected[2:])


def test_masked_words_get_no_gradient() -> None:
    net = network()
    x, step, words, mask, text = question()
    words.requires_grad_()
    net(x, step, words, mask, text).square().sum().backward()
    assert words.grad is not None
    assert torch.equal(words.grad.any(dim=2), mask)


def test_everything_that_is_told_is_heard() -> None:
    net = network(spectral="attention")
    x, step, words, mask, text = question()
    before = net(x, step, words, mask, text, GAIN)
    changed = {
        "step": net(x, step + 1, words, mask, text, GAIN),
        "words": net(x, step, words.flip(2), mask, text, GAIN),
        "order of words": net(x, step, words.flip(1), mask.flip(1), text, GAIN),
        "text": net(x, step, words, mask, -text, GAIN),
        "gain": net(x, step, words, mask, text, GAIN + 0.1),
    }
    for what, after in changed.items():
        assert not torch.allclose(after[:2], before[:2], atol=1e-4), what


def test_the_skeletons_token_hears_the_other_tokens() -> None:
    net = network()
    x, *told = question()
    moved = x.clone()
    moved[:, 3] += 1
    assert not torch.allclose(net(moved, *told)[:, 0], net(x, *told)[:, 0], atol=1e-4)


def test_tokens_without_places_are_a_set_and_those_with_places_are_not() -> None:
    x, *told = question()
    order = [2, 0, 3, 1]
    free, placed = network(), network(positions=4)
    torch.testing.assert_close(free(x[:, order], *told), free(x, *told)[:, order])
    assert not torch.allclose(placed(x[:, order], *told), placed(x, *told)[:, order], atol=1e-4)


@pytest.mark.parametrize("axis", ["channel", "time"])
@pytest.mark.parametrize("spectral", ["attention", "stream"])
def test_no_gain_and_no_alpha_are_the_network_without_sg_srm(spectral: str, axis: str) -> None:
    plain = network()
    expected = plain(*question())
    for alpha, gain in ((1.0, GAIN * 0), (0.0, GAIN)):
        net = network(spectral=spectral, spectral_axis=axis, alpha=alpha)
        assert list(net.state_dict()) == list(plain.state_dict())
        assert torch.equal(net(*question(), gain), expected)
    assert torch.equal(plain(*question(), GAIN), expected)


def test_one_token_has_no_high_frequencies_in_time() -> None:
    with_gain, without = network(spectral="stream", spectral_axis="time"), network()
    torch.testing.assert_close(with_gain(*question(1), GAIN), without(*question(1)))


def high_band(spectral: str, depth: int = 5) -> list[float]:
    """The high band of the stream after each block, at full gain, with all branches gated off."""
    net = network(depth=depth, spectral=spectral, spectral_axis="channel")
    with torch.no_grad():
        for block in net.blocks:
            block.skeleton.modulation.weight.zero_()
            block.skeleton.modulation.bias.zero_()
    seen: list[Tensor] = []
    for block in net.blocks:
        block.register_forward_hook(lambda module, given, made: seen.append(made[0]))
    x, *told = question()
    with torch.no_grad():
        net(x, *told, torch.ones(N, dtype=torch.float64))
        start = net.read(x)
    basis = torch.stack(
        [torch.cos(math.pi * (torch.arange(16).double() + 0.5) * k / 16) for k in range(4, 16)]
    )
    return [float((tokens @ basis.T).norm() / (start @ basis.T).norm()) for tokens in seen]


def test_on_the_stream_the_high_band_doubles_in_every_block_and_on_the_attention_it_does_not() -> (
    None
):
    assert high_band("stream") == pytest.approx([2.0, 4.0, 8.0, 16.0, 32.0], rel=1e-9)
    assert high_band("attention") == pytest.approx([1.0] * 5, rel=1e-9)


def test_samples_do_not_see_each_other() -> None:
    net = network(spectral="stream")
    asked = (*question(), GAIN)
    together = net(*asked)
    for i in range(N):
        alone = net(*(part[i : i + 1] for part in asked))
        torch.testing.assert_close(together[i : i + 1], alone)


def test_gradient_reaches_every_parameter_but_those_that_nothing_reads() -> None:
    net = network(spectral="attention", positions=4)
    net(*question(), GAIN).square().sum().backward()
    unread = {f"blocks.2.words.{name}" for name in ("out", "mlp.0", "mlp.2")}
    for name, parameter in net.named_parameters():
        is_read = name.rpartition(".")[0] not in unread
        assert parameter.requires_grad is is_read, name
        assert (parameter.grad is not None and bool(parameter.grad.any())) is is_read, name


def test_half_precision_stays_near() -> None:
    net = network(awake=0.05, spectral="stream").float()
    asked = [part.float() if part.is_floating_point() else part for part in (*question(), GAIN)]
    full = net(*asked)
    with torch.autocast("cpu", torch.bfloat16):
        half = net(*asked)
        half.square().sum().backward()
    assert half.dtype == torch.float32
    assert (full - half).abs().max() < 0.05 * full.abs().max()


def test_it_learns_noise_by_heart() -> None:
    net = network(awake=0.0).float()
    x, step, words, mask, text = question(n=8)
    asked = (x.float(), step, words.float(), mask, text.float())
    target = torch.randn(asked[0].shape, generator=generator(5))
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
    for _ in range(60):
        loss = (net(*asked) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.1  # the mean square of the target is 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({0: torch.zeros(3, 4, 5)}, r"x: expected N L D with D = 6, L = 4, got 3 x 4 x 5"),
        ({0: torch.zeros(3, 5, 6)}, r"x: expected N L D with D = 6, L = 4, got 3 x 5 x 6"),
        ({1: torch.zeros(2)}, r"step: expected N with N = 3, got 2"),
        ({2: torch.zeros(3, 5, 8)}, r"local: .*E = 7, got 3 x 5 x 8"),
        ({2: torch.zeros(3, 9, 7)}, r"local: expected at most 8 words, got 9"),
        ({3: torch.ones(3, 4, dtype=torch.bool)}, r"mask: .*S = 5, got 3 x 4"),
        ({4: torch.zeros(3, 6)}, r"pooled: .*E = 7, got 3 x 6"),
        ({5: torch.zeros(3, 1)}, r"gain: expected N with N = 3, got 3 x 1"),
        ({5: None}, r"gain: expected N numbers with spectral attention, got None"),
    ],
)
def test_the_wrong_shape_is_named(change: dict[int, Tensor | None], message: str) -> None:
    asked: list[Tensor | None] = [*question(), GAIN]
    for place, value in change.items():
        asked[place] = value
    with pytest.raises(ValueError, match=message):
        network(spectral="attention", positions=4)(*asked)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"heads": 5}, "width 16: expected a multiple of heads, got heads 5"),
        ({"spectral": "steam"}, "spectral: expected one of none, attention, stream, got 'steam'"),
        ({"spectral_axis": "joint"}, "spectral_axis: expected one of channel, time, got 'joint'"),
    ],
)
def test_arguments_that_do_not_fit_are_a_users_mistake(
    arguments: dict[str, Any], message: str
) -> None:
    assert "cross-dit" in MATCHERS
    with pytest.raises(UsageError, match=message):
        build("cross-dit", {**SMALL, **arguments})
