"""The UNet: counted independently, halved as often as told, silent at the start."""

import pytest
import torch
import torch.nn.functional as F

from skelaug.models.unet import AttentionBlock, Level, ResidualBlock, UNet, Upsample, group_norm
from skelaug.seeds import generator

SMALL = {"width": 16, "multipliers": (1, 2, 2), "blocks": 1, "heads": 2}


def _convolution(inputs: int, outputs: int, kernel: int) -> int:
    return inputs * outputs * kernel**2 + outputs


def _block(inputs: int, outputs: int, embedding: int) -> int:
    norms = 2 * inputs + 2 * outputs
    mixed = _convolution(inputs, outputs, 3) + _convolution(outputs, outputs, 3)
    skip = _convolution(inputs, outputs, 1) if inputs != outputs else 0
    return norms + mixed + skip + (embedding + 1) * 2 * outputs


def _attention(channels: int) -> int:
    return 2 * channels + _convolution(channels, 4 * channels, 1)


def _count(
    width: int, multipliers: tuple[int, ...], blocks: int, factors: tuple[int, ...], out: int
) -> int:
    """Parameters of the published UNet, from its description alone."""
    e = 4 * width
    total = (width + 1) * e + (e + 1) * e + _convolution(3, width, 3)
    here, skips = width, [width]
    for level, multiplier in enumerate(multipliers):
        for _ in range(blocks):
            total += _block(here, multiplier * width, e)
            here = multiplier * width
            total += _attention(here) if 2**level in factors else 0
            skips.append(here)
        if level + 1 < len(multipliers):
            total += _convolution(here, here, 3)
            skips.append(here)
    total += 2 * _block(here, here, e) + _attention(here)
    for level in reversed(range(len(multipliers))):
        for _ in range(blocks + 1):
            total += _block(here + skips.pop(), multipliers[level] * width, e)
            here = multipliers[level] * width
            total += _attention(here) if 2**level in factors else 0
        total += _convolution(here, here, 3) if level else 0
    assert not skips
    return total + 2 * here + _convolution(here, out, 3)


def _parameters(**arguments: object) -> int:
    with torch.device("meta"):
        network = UNet(rows=24, frames=24, **arguments)  # type: ignore[arg-type]
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    ("multipliers", "factors", "millions"),
    [
        ((1, 2, 2, 2), (2, 4), 52.55),
        ((1, 2, 2, 2), (1,), 49.32),
        ((1, 2, 3, 4), (2, 4), 115.55),
        ((1, 2, 2), (2, 4), 38.37),
    ],
)
def test_published_sizes(
    multipliers: tuple[int, ...], factors: tuple[int, ...], millions: float
) -> None:
    counted = _parameters(multipliers=multipliers, attention_factors=factors)
    assert counted == _count(128, multipliers, 3, factors, 6)
    assert round(counted / 1e6, 2) == millions


def test_classes_add_one_embedding_each_and_one_for_the_dropped_label() -> None:
    assert _parameters(num_classes=120) - _parameters() == 121 * 512


def test_small_size() -> None:
    small = {"width": 16, "multipliers": (1, 2, 2), "blocks": 1}
    counted = _parameters(**small, attention_factors=(2,), learned_variance=False)
    assert counted == _count(16, (1, 2, 2), 1, (2,), 3)


def test_attention_stands_at_the_given_factors_and_in_the_middle() -> None:
    network = UNet(rows=24, frames=24, **SMALL, attention_factors=(2,))
    sizes: list[tuple[int, ...]] = []
    for module in network.modules():
        if isinstance(module, AttentionBlock):
            module.register_forward_hook(lambda m, i, o: sizes.append(tuple(i[0].shape[-2:])))
    network(torch.zeros(1, 3, 24, 24), torch.zeros(1))
    assert sizes == [(12, 12), (6, 6), (12, 12), (12, 12)]


@pytest.mark.parametrize("size", [(24, 24), (20, 24), (40, 16), (4, 4)])
def test_any_size_that_can_be_halved(size: tuple[int, int]) -> None:
    network = UNet(rows=size[0], frames=size[1], **SMALL)
    out = network(torch.zeros(2, 3, *size), torch.zeros(2))
    assert torch.equal(out, torch.zeros(2, 6, *size))


def test_an_image_that_cannot_be_halved_is_named() -> None:
    with pytest.raises(ValueError, match=r"multiples of 8 .*got 20 x 24; pad the rows"):
        UNet(rows=20, frames=24)


def test_a_residual_block_is_its_definition() -> None:
    block = ResidualBlock(4, 6, embedding=5, dropout=0.5, halves=True).double().eval()
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.5, generator=generator(0, parameter.numel()))
    x = torch.randn(2, 4, 6, 8, dtype=torch.float64, generator=generator(0, 1))
    e = torch.randn(2, 5, dtype=torch.float64, generator=generator(0, 2))

    def normed(x: torch.Tensor, groups: int, weight: torch.Tensor, bias: torch.Tensor):
        parts = x.reshape(len(x), groups, -1)
        parts = parts - parts.mean(-1, keepdim=True)
        parts = parts / (parts.square().mean(-1, keepdim=True) + 1e-5).sqrt()
        return parts.reshape(x.shape) * weight[:, None, None] + bias[:, None, None]

    def pooled(x: torch.Tensor) -> torch.Tensor:
        return (x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]) / 4

    def silu(x: torch.Tensor) -> torch.Tensor:
        return x / (1 + torch.exp(-x))

    first, second = block.convolution1, block.convolution2
    h = pooled(silu(normed(x, 4, block.norm1.weight, block.norm1.bias)))
    h = F.conv2d(h, first.weight, first.bias, padding=1)
    affine = e @ block.embedding.weight.T + block.embedding.bias
    scale, shift = affine[:, :6, None, None], affine[:, 6:, None, None]
    h = silu(normed(h, 2, block.norm2.weight, block.norm2.bias) * (1 + scale) + shift)
    h = F.conv2d(h, second.weight, second.bias, padding=1)
    wanted = h + F.conv2d(pooled(x), block.skip.weight, block.skip.bias)
    # gcd(32, 4) = 4 groups come in, gcd(32, 6) = 2 go out
    torch.testing.assert_close(block(x, e), wanted)


def test_an_attention_block_adds_attention_over_all_pixels() -> None:
    block = AttentionBlock(4, heads=2).double()
    torch.nn.init.normal_(block.attention.out.weight, generator=generator(0, 4))
    x = torch.randn(2, 4, 3, 5, dtype=torch.float64, generator=generator(0, 5))
    pixels = block.norm(x).reshape(2, 4, 15).transpose(1, 2)
    wanted = x + block.attention(pixels).transpose(1, 2).reshape(2, 4, 3, 5)
    torch.testing.assert_close(block(x), wanted)


def test_an_upsample_repeats_pixels_before_its_convolution() -> None:
    upsample = Upsample(2)
    x = torch.randn(1, 2, 3, 4, generator=generator(0, 6))
    repeated = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    torch.testing.assert_close(upsample(x), upsample.convolution(repeated))


@pytest.mark.parametrize(("channels", "groups"), [(128, 32), (256, 32), (48, 16), (20, 4)])
def test_norms_have_32_groups_where_they_can(channels: int, groups: int) -> None:
    assert group_norm(channels).num_groups == groups


def test_every_map_of_the_encoder_comes_back_once_in_reverse() -> None:
    network = UNet(rows=8, frames=8, **SMALL).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1, generator=generator(0, parameter.numel()))
    kept: list[torch.Tensor] = []
    joined: list[torch.Tensor] = []
    network.encoder.register_forward_hook(lambda m, i, o: kept.extend(o))
    for module in network.decoder.modules():
        if isinstance(module, Level):
            module.register_forward_hook(lambda m, i, o: joined.append(i[0]))
    network(torch.randn(1, 3, 8, 8, generator=generator(0, 7)), torch.ones(1))
    assert len(kept) == len(joined)
    for one, both in zip(reversed(kept), joined, strict=True):
        assert torch.equal(both[:, -one.shape[1] :], one)


def test_the_step_is_seen_after_training() -> None:
    network = UNet(rows=8, frames=8, **SMALL)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1, generator=generator(0, parameter.numel()))
    x = torch.randn(1, 3, 8, 8, generator=generator(0, 3))
    early, late = network(x, torch.tensor([1.0])), network(x, torch.tensor([900.0]))
    assert not torch.allclose(early, late)


@pytest.mark.slow
def test_the_papers_network_runs() -> None:
    network = UNet(rows=24, frames=24)
    with torch.no_grad():
        assert network(torch.zeros(2, 3, 24, 24), torch.zeros(2)).shape == (2, 6, 24, 24)
