"""The frame transformer: DiT's block, its zero start, and its options."""

import math

import pytest
import scipy.fft
import torch

from skelaug.models.frame_transformer import Block, FrameTransformer
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
    gains = (d + 1) * 24 * 60 + 24 * d
    counted = sum(p.numel() for p in network.parameters())
    assert counted == depth * block + edges + conditioning + gains
    assert round(counted / 1e6, 2) == 4.46


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
    block = Block(width=12, heads=3, hidden=20, dropout=0.3).double().eval()
    tokens = torch.randn(2, 5, 12, dtype=torch.float64, generator=generator(0, 3))
    vectors = torch.randn(6, 2, 1, 12, dtype=torch.float64, generator=generator(0, 4))
    shift1, scale1, gate1, shift2, scale2, gate2 = vectors
    wanted = tokens + gate1 * block.attention(_norm(tokens) * scale1 + shift1)
    up, down = block.mlp[0], block.mlp[-1]
    hidden = (_norm(wanted) * scale2 + shift2) @ up.weight.T + up.bias
    hidden = 0.5 * hidden * (1 + torch.erf(hidden / math.sqrt(2)))
    wanted = wanted + gate2 * (hidden @ down.weight.T + down.bias)
    torch.testing.assert_close(block(tokens, tuple(vectors)), wanted)


def test_without_conditioning_signal_a_frame_network_is_its_two_linear_maps() -> None:
    network = FrameTransformer(**SMALL, frequencies=False).eval()
    torch.nn.init.normal_(network.write.weight, generator=generator(0, 5))
    x, step, labels = _batch()
    columns = torch.stack([x[..., f].reshape(3, 60) for f in range(24)], dim=1)
    tokens = columns @ network.read.weight.T + network.read.bias + network.position
    wanted = _norm(tokens) @ network.write.weight.T + network.write.bias
    wanted = wanted.view(3, 24, 3, 20).permute(0, 2, 3, 1)
    torch.testing.assert_close(network(x, step, labels), wanted, atol=1e-4, rtol=1e-4)


def test_gains_alone_are_a_filter_per_frequency_and_joint() -> None:
    network = FrameTransformer(**SMALL).eval()
    assert network.gain is not None
    torch.nn.init.normal_(network.gain.bias, generator=generator(0, 7))
    x, step, labels = _batch()
    gains = network.gain.bias.view(24, 3, 20).permute(1, 2, 0).detach().numpy()
    spectrum = scipy.fft.dct(x.numpy(), norm="ortho", axis=-1)
    wanted = torch.from_numpy(scipy.fft.idct(gains * spectrum, norm="ortho", axis=-1))
    torch.testing.assert_close(network(x, step, labels), wanted, atol=1e-4, rtol=1e-4)


def test_frequencies_and_gains_are_never_rounded() -> None:
    network = FrameTransformer(**SMALL).eval()
    assert network.gain is not None
    torch.nn.init.ones_(network.gain.bias)
    x, step, labels = _batch()
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(network(x, step, labels), x, atol=1e-5, rtol=1e-5)


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


def test_impossible_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="multiple of heads"):
        FrameTransformer(**{**SMALL, "heads": 5})


def test_another_image_size_is_named() -> None:
    with pytest.raises(ValueError, match="R = 20, F = 24, got 1 x 3 x 24 x 24"):
        FrameTransformer(**SMALL)(torch.zeros(1, 3, 24, 24), torch.zeros(1))
