"""Random occlusions of training windows."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from skelaug.imputation.occlusion import limbs
from skelaug.seeds import generator
from skelaug.skeleton.layouts import get_layout
from skelaug.workflows.training_occlusion import draw_occlusions

LAYOUT = get_layout("kinect_20")


def drawn(share: float, *, count: int = 2000, frames: int = 20, seed: int = 0) -> Tensor:
    return draw_occlusions(count, frames, LAYOUT, share=share, numbers=generator(seed))


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_that_share_of_the_windows_is_occluded_and_none_whole(share) -> None:
    hidden = drawn(share)
    assert hidden.shape == (2000, 20, 20)
    occluded = hidden.flatten(1).any(dim=1).float().mean()
    # a window may be drawn with so few random entries that none is hidden
    assert float(occluded) == pytest.approx(share, abs=0.12)
    assert not hidden.flatten(1).all(dim=1).any()
    assert (float(occluded) == 0) == (share == 0)


def test_all_four_kinds_occur() -> None:
    hidden = drawn(1.0)
    whole_frames = hidden.all(dim=2)
    assert 0.2 < float(whole_frames.any(dim=1).float().mean()) < 0.7
    never = hidden.all(dim=1)
    assert 0.2 < float(never.any(dim=1).float().mean()) < 0.8
    alone = [
        torch.zeros(20, dtype=torch.bool).index_fill(0, torch.tensor(joints), True)
        for joints in limbs(LAYOUT)
    ]
    found = {n for n, limb in enumerate(alone) if (hidden == limb).all(dim=2).any()}
    assert found == set(range(len(alone)))
    shares = hidden.float().mean(dim=(1, 2))
    assert float(shares.min()) < 0.01
    assert float(shares.max()) > 0.7


def test_stretches_touch_both_ends_of_windows_and_lie_inside() -> None:
    gone = drawn(1.0).all(dim=2)
    first, last = gone[:, 0], gone[:, -1]
    assert int((first & ~last).sum()) > 20
    assert int((last & ~first).sum()) > 20
    assert int((gone.any(dim=1) & ~first & ~last).sum()) > 20


def test_every_frame_is_hidden_equally_often() -> None:
    """A stretch may begin before the window: its ends are no safer than its middle."""
    share = drawn(1.0, count=4000).all(dim=2).float().mean(dim=0)
    error = float((share.mean() * (1 - share.mean()) / 4000).sqrt())
    assert float((share - share.mean()).abs().max()) < 5 * error


def test_the_draw_depends_on_its_generator_alone() -> None:
    assert torch.equal(drawn(0.5, count=8, seed=3), drawn(0.5, count=8, seed=3))
    assert not torch.equal(drawn(0.5, count=8, seed=3), drawn(0.5, count=8, seed=4))
