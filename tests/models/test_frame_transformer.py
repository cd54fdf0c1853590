"""The frame transformer: DiT's block, its zero start, and its options."""

import math

import pytest
import torch
import torch.nn.functional as F

from skelaug.models.frame_transformer import Block, FrameConvolution, FrameTransformer
from skelaug.seeds import generator

SMALL = {"rows": 20, "frames": 24, "num_classes": 4, "width": 32, "depth": 4, "heads": 4}


def _disturbed(network: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    with torch.no_grad():
        for i, parameter in enumerate(network.parameters()):
            parameter += 0.05 * torch.randn(parameter.shape, generator=generator(seed, i))
    return network.eval()


def _batch(n: int = 3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    x = torch.randn(n, 3, 20, 24, generator=generator(1, 1))
    return x, torch.linspace(0, 999, n), torch.arange(n) % 4


def test_default_size() -> None:
    network = FrameTransformer(rows=20, frames=24, num_classes=27)
    depth, d = 6, 192
    block = 3 * d * d + 3 * d + d * d + d + 2 * (4 * d * d) + 4 * d + d
    edges = (60 * d + d) + 24 * d + (d * 60 + 60)
    conditioning = 2 * (d * d + d) + 28 * d + (d + 1) * (6 * depth + 2) * d
    counted = sum(p.numel() for p in network.parameters())
    assert counted == depth * block + edges + conditioning
    assert round(counted / 1e6, 2) == 4.18


def test_the_untrained_network_says_zero() -> None:
    x, step, labels = _batch()
    out = FrameTransformer(**SMALL)(x, step, labels)
    assert torch.equal(out, torch.zeros_like(x))


def test_variance_logits_stand_last_and_start_at_zero() -> None:
    x, step, labels = _batch()
    out = FrameTransformer(**SMALL, learned_variance=True)(x, step, labels)
    assert out.shape == (3, 6, 20, 24)
    assert torch.equal(out, torch.zeros_like(out))


def _norm(x: torch.Tensor) -> torch.Tensor:
    mean = x.mean(-1, keepdim=True)
    return (x - mean) / ((x - mean).square().mean(-1, keepdim=True) + 1e-5).sqrt()


def test_a_block_is_figure_3_of_dit() -> None:
    block = Block(width=12, heads=3, hidden=20, dropout=0.3, temporal_kernel=0).double().eval()
    tokens = torch.randn(2, 5, 12, dtype=torch.float64, generator=generator(0, 3))
    vectors = torch.randn(6, 2, 1, 12, dtype=torch.float64, generator=generator(0, 4))
    shift1, scale1, gate1, shift2, scale2, gate2 = vectors
    wanted = tokens + gate1 * block.attention(_norm(tokens) * scale1 + shift1)
    up, down = block.mlp[0], block.mlp[-1]
    hidden = (_norm(wanted) * scale2 + shift2) @ up.weight.T + up.bias
    hidden = 0.5 * hidden * (1 + torch.erf(hidden / math.sqrt(2)))
    wanted = wanted + gate2 * (hidden @ down.weight.T + down.bias)
    torch.testing.assert_close(block(tokens, tuple(vectors)), wanted)


def test_without_conditioning_signal_the_network_is_its_two_linear_maps() -> None:
    network = FrameTransformer(**SMALL).eval()
    torch.nn.init.normal_(network.write.weight, generator=generator(0, 5))
    x, step, labels = _batch()
    columns = torch.stack([x[..., f].reshape(3, 60) for f in range(24)], dim=1)
    tokens = columns @ network.read.weight.T + network.read.bias + network.position
    wanted = _norm(tokens) @ network.write.weight.T + network.write.bias
    wanted = wanted.view(3, 24, 3, 20).permute(0, 2, 3, 1)
    torch.testing.assert_close(network(x, step, labels), wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("extra", [{"long_skips": True}, {"temporal_kernel": 3}])
def test_options_start_as_nothing(extra: dict[str, int]) -> None:
    plain = _disturbed(FrameTransformer(**SMALL))
    rich = FrameTransformer(**SMALL, **extra).eval()
    missing = rich.load_state_dict(plain.state_dict(), strict=False)
    assert missing.missing_keys
    assert not missing.unexpected_keys
    torch.testing.assert_close(rich(*_batch()), plain(*_batch()))


def test_long_skips_join_the_first_block_with_the_last() -> None:
    network = FrameTransformer(**SMALL, long_skips=True)
    order: list[object] = []
    for module in [*network.blocks, *network.skips]:
        module.register_forward_hook(lambda m, i, o: order.append((m, i[0], o)))
    network(*_batch())
    blocks, skips = list(network.blocks), list(network.skips)
    called = [entry[0] for entry in order]
    assert called == [blocks[0], blocks[1], skips[0], blocks[2], skips[1], blocks[3]]
    outputs = {entry[0]: entry[2] for entry in order}
    inputs = {entry[0]: entry[1] for entry in order}
    assert inputs[skips[0]] is outputs[blocks[1]]
    assert inputs[skips[1]] is outputs[blocks[0]]


def test_a_frame_convolution_is_a_depthwise_convolution_over_frames() -> None:
    network = FrameConvolution(width=6, kernel=3).double()
    weight, bias = network.convolution.weight, network.convolution.bias
    torch.nn.init.normal_(weight, generator=generator(0, 6))
    torch.nn.init.normal_(bias, generator=generator(0, 7))
    tokens = torch.randn(2, 7, 6, dtype=torch.float64, generator=generator(0, 8))
    padded = F.pad(tokens, (0, 0, 1, 1))
    taps = weight.view(6, 3)
    wanted = tokens + bias + sum(padded[:, k : k + 7] * taps[:, k] for k in range(3))
    torch.testing.assert_close(network(tokens), wanted)


def test_the_answer_has_the_type_of_the_question() -> None:
    network = _disturbed(FrameTransformer(**SMALL))
    x, step, labels = _batch()
    exact = network(x, step, labels)
    half = network.bfloat16()(x, step, labels)
    assert half.dtype == torch.float32
    assert (half - exact).abs().max() < 0.05 * exact.abs().max()


def test_autocast_changes_only_the_rounding() -> None:
    network = _disturbed(FrameTransformer(**SMALL))
    exact = network(*_batch())
    with torch.autocast("cpu", torch.bfloat16):
        rounded = network(*_batch())
    assert rounded.dtype == torch.float32
    assert (rounded - exact).abs().max() < 0.05 * exact.abs().max()


def test_frames_know_their_place() -> None:
    network = _disturbed(FrameTransformer(**SMALL))
    x, step, labels = _batch()
    assert not torch.allclose(network(x.flip(-1), step, labels).flip(-1), network(x, step, labels))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"heads": 5}, "multiple of heads"), ({"temporal_kernel": 4}, "expected 0 or odd, got 4")],
)
def test_impossible_arguments_are_named(wrong: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FrameTransformer(**{**SMALL, **wrong})


def test_another_image_size_is_named() -> None:
    with pytest.raises(ValueError, match="R = 20, F = 24, got 1 x 3 x 24 x 24"):
        FrameTransformer(**SMALL)(torch.zeros(1, 3, 24, 24), torch.zeros(1))
