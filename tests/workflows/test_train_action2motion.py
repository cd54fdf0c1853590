"""When Action2Motion is fed its own poses."""

from __future__ import annotations

import math

import pytest
import torch

from skelaug.seeds import generator
from skelaug.workflows.train_action2motion import PRESETS, TrainAction2MotionConfig, fed_back


@pytest.mark.parametrize("share", [0.0, 0.6, 1.0])
def test_the_share_of_updates_is_fed_its_own_poses_in_all_frames_or_in_none(share: float) -> None:
    drawn = [fed_back(3, 5, generator(7, step), share=share)[0] for step in range(2000)]
    assert all(own.shape == (3, 5) and own.dtype == torch.bool for own in drawn)
    assert all(bool(own.all()) or not bool(own.any()) for own in drawn)
    found = sum(bool(own.all()) for own in drawn) / len(drawn)
    spread = math.sqrt(share * (1 - share) / len(drawn))
    assert found == pytest.approx(share, abs=5 * spread)


def test_the_published_share_is_that_of_the_own_poses() -> None:
    assert TrainAction2MotionConfig.model_fields["own_poses"].default == 0.6
    assert all("own_poses" not in preset for preset in PRESETS.values())
