"""The small guide: its size and what its tokens see."""

import torch

from skelaug.models.frame_guide import FrameGuide
from skelaug.seeds import generator


def test_default_size() -> None:
    guide = FrameGuide(rows=20, frames=24, num_classes=27)
    d = 96
    layer = 12 * d * d + 13 * d
    wanted = (3 * 60 + 1) * d + 24 * d + 3 * layer + 2 * d + (d + 1) * 27
    assert sum(p.numel() for p in guide.parameters()) == wanted


def test_a_token_sees_its_frame_and_the_two_beside_it() -> None:
    guide = FrameGuide(rows=20, frames=24, num_classes=27)
    x = torch.randn(1, 3, 20, 24, generator=generator(0, 1))
    touched = x.clone()
    touched[..., 10] += 1.0
    changed = (guide.read(touched.flatten(1, 2)) - guide.read(x.flatten(1, 2))).abs().amax(1)
    assert changed[0].nonzero().flatten().tolist() == [9, 10, 11]


def test_frames_know_their_place() -> None:
    guide = FrameGuide(rows=20, frames=24, num_classes=27).eval()
    x = torch.randn(1, 3, 20, 24, generator=generator(0, 2))
    assert not torch.allclose(guide(x.flip(-1)), guide(x))
