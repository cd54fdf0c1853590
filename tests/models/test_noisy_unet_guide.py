"""The noisy guide: published sizes, its pool, its use of the step."""

import pytest
import torch

from skelaug.models.noisy_unet_guide import AttentionPool, NoisyUNetGuide
from skelaug.seeds import generator

SMALL = {"rows": 8, "frames": 16, "num_classes": 3, "width": 16, "heads": 2}


@pytest.mark.parametrize(
    ("arguments", "millions"),
    [
        ({"width": 128}, 17.3),
        ({"width": 128, "multipliers": (1, 2, 3, 4)}, 38.7),
        ({}, 8.2),
    ],
)
def test_published_sizes(arguments: dict[str, object], millions: float) -> None:
    with torch.device("meta"):
        guide = NoisyUNetGuide(rows=24, frames=24, num_classes=120, **arguments)  # type: ignore[arg-type]
    assert round(sum(p.numel() for p in guide.parameters()) / 1e6, 1) == millions


def test_the_pool_sees_three_by_three_pixels_and_their_mean() -> None:
    guide = NoisyUNetGuide(rows=24, frames=24, num_classes=3, width=16, heads=2)
    pool = guide.classify[-1]
    assert isinstance(pool, AttentionPool)
    assert len(pool.position) == 3 * 3 + 1


def test_the_pool_is_the_answer_to_the_mean_pixel() -> None:
    pool = AttentionPool(4, pixels=6, heads=1, outputs=5).double()
    x = torch.randn(2, 4, 2, 3, dtype=torch.float64, generator=generator(0, 1))
    pixels = x.reshape(2, 4, 6).transpose(1, 2)
    tokens = torch.cat([pixels.sum(1, keepdim=True) / 6, pixels], 1) + pool.position
    q, k, v = (tokens @ pool.attention.qkv.weight.T + pool.attention.qkv.bias).chunk(3, -1)
    weights = ((q[:, :1] * k).sum(-1) / 2).exp()
    answer = (weights[..., None] * v).sum(1) / weights.sum(1, keepdim=True)
    wanted = answer @ pool.attention.out.weight.T + pool.attention.out.bias
    torch.testing.assert_close(pool(x), wanted)


def test_the_step_is_seen() -> None:
    guide = NoisyUNetGuide(**SMALL).eval()
    for parameter in guide.parameters():
        torch.nn.init.normal_(parameter, std=0.1, generator=generator(0, parameter.numel()))
    x = torch.randn(1, 3, 8, 16, generator=generator(0, 2))
    assert not torch.allclose(guide(x, torch.tensor([1.0])), guide(x, torch.tensor([900.0])))


def test_an_image_that_cannot_be_halved_is_named() -> None:
    with pytest.raises(ValueError, match="multiples of 8"):
        NoisyUNetGuide(**{**SMALL, "rows": 20})
