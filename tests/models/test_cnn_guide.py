"""The convolutional guide: EfficientNet's published sizes and its parts."""

import pytest
import torch

from skelaug.models.cnn_guide import CNNGuide, MBConv, SqueezeExcitation
from skelaug.seeds import generator


@pytest.mark.parametrize(
    ("arguments", "num_classes", "parameters"),
    [
        ({"depth_factor": 1.0}, 1000, 5_288_548),  # B0
        ({}, 1000, 7_794_184),  # B1
        ({"width_factor": 1.1, "depth_factor": 1.2}, 1000, 9_109_994),  # B2
        ({}, 120, 6_666_904),
    ],
)
def test_published_sizes(arguments: dict[str, float], num_classes: int, parameters: int) -> None:
    with torch.device("meta"):
        guide = CNNGuide(rows=24, frames=24, num_classes=num_classes, **arguments)  # type: ignore[arg-type]
    assert sum(p.numel() for p in guide.parameters()) == parameters


def test_maps_are_24_12_6_3_and_2_wide() -> None:
    guide = CNNGuide(rows=24, frames=24, num_classes=3, width_factor=0.25).eval()
    sides: list[int] = []
    for module in guide.modules():
        if isinstance(module, MBConv):
            module.register_forward_hook(lambda m, i, o: sides.append(o.shape[-1]))
    guide(torch.zeros(1, 3, 24, 24))
    assert sorted(set(sides), reverse=True) == [24, 12, 6, 3, 2]


def test_squeeze_and_excitation_weighs_channels_by_their_means() -> None:
    layer = SqueezeExcitation(4, 2).double()
    x = torch.randn(2, 4, 3, 5, dtype=torch.float64, generator=generator(0, 1))
    down, up = layer.weigh[0], layer.weigh[2]
    hidden = x.mean((2, 3)) @ down.weight[:, :, 0, 0].T + down.bias
    hidden = hidden / (1 + torch.exp(-hidden))
    weights = 1 / (1 + torch.exp(-(hidden @ up.weight[:, :, 0, 0].T + up.bias)))
    torch.testing.assert_close(layer(x), x * weights[:, :, None, None])


def test_impossible_strides_are_named() -> None:
    with pytest.raises(ValueError, match="stem_stride: expected 1 or 2, got 4"):
        CNNGuide(rows=24, frames=24, num_classes=3, stem_stride=4)


@pytest.mark.parametrize(("factor", "channels"), [(0.25, 8), (0.3, 16), (0.5, 16), (1.1, 32)])
def test_scaled_channels_are_multiples_of_8_and_lose_a_tenth_at_most(
    factor: float, channels: int
) -> None:
    guide = CNNGuide(rows=24, frames=24, num_classes=3, width_factor=factor)
    assert guide.layers[0][0].out_channels == channels  # of 32 * factor
