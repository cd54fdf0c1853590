"""The transformer guide: its size and its patches."""

import pytest
import torch

from skelaug.models.vit_guide import ViTGuide
from skelaug.seeds import generator

SMALL = {"rows": 8, "frames": 12, "num_classes": 3, "width": 16, "depth": 1, "heads": 2}


def test_default_size() -> None:
    with torch.device("meta"):
        guide = ViTGuide(rows=24, frames=24, num_classes=120)
    d = 320
    layer = 12 * d * d + 13 * d  # weights and biases of attention and MLP, two norms
    wanted = 11 * layer + (12 * d + d) + 145 * d + d + 2 * d + (d + 1) * 120
    counted = sum(p.numel() for p in guide.parameters())
    assert counted == wanted
    assert 13e6 < counted < 14e6


def test_a_patch_is_read_by_one_token_alone() -> None:
    guide = ViTGuide(**SMALL).eval()
    x = torch.randn(1, 3, 8, 12, generator=generator(0, 1))
    touched = x.clone()
    touched[0, :, 4, 7] += 1.0
    changed = (guide.read(touched) - guide.read(x)).abs().amax(dim=(0, 1)) > 0
    assert changed.shape == (4, 6)
    assert changed.nonzero().tolist() == [[2, 3]]


def test_tokens_know_their_place() -> None:
    guide = ViTGuide(**SMALL).eval()
    x = torch.randn(1, 3, 8, 12, generator=generator(0, 2))
    moved = x.roll(2, dims=-1)
    assert not torch.allclose(guide(moved), guide(x))
    torch.nn.init.zeros_(guide.position)
    torch.testing.assert_close(guide(moved), guide(x))


def test_an_image_that_does_not_split_is_named() -> None:
    with pytest.raises(ValueError, match="multiples of the patch 2, got 25 x 24"):
        ViTGuide(rows=25, frames=24, num_classes=3)
