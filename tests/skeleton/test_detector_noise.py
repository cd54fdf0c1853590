"""Laws of the detector's errors: sizes, tails, memory, episodes, and what they leave alone."""

from __future__ import annotations

import numpy as np
import pytest

from skelaug.errors import UsageError
from skelaug.skeleton.detector_noise import DetectorNoise, detected, joint_spread
from skelaug.skeleton.layout import SkeletonLayout
from skelaug.skeleton.layouts import LAYOUTS

LAYOUT = LAYOUTS["humaneva_15"]
POSE = np.random.default_rng(0).uniform(-0.3, 0.5, (15, 2))
NONE = {"jitter": 0.0, "swapped": 0.0, "missed": 0.0}
SIZE = float(np.ptp(POSE, axis=0).max())


def errors(frames: int = 10_000, *, seed: int = 0, fps: float = 50.0, **noise: float) -> np.ndarray:
    still = np.repeat(POSE[None], frames, axis=0)
    model = DetectorNoise(**{**NONE, **noise})
    generator = np.random.default_rng(seed)
    return detected(still, LAYOUT, fps=fps, generator=generator, noise=model) - still


def test_jitter_has_the_asked_size_over_all_joints_and_grows_with_their_spread() -> None:
    off = errors(jitter=0.02, memory=0.0)
    assert np.sqrt(np.mean(off**2)) == pytest.approx(0.02 * SIZE, rel=0.02)
    by_joint = np.sqrt(np.mean(off**2, axis=(0, 2)))
    np.testing.assert_allclose(by_joint, 0.02 * SIZE * joint_spread(LAYOUT), rtol=0.05)


def test_its_kurtosis_is_that_of_the_log_normal_mixture() -> None:
    for tail in (0.0, 0.3):
        off = errors(jitter=0.02, memory=0.0, tail=tail) / joint_spread(LAYOUT)[:, None]
        kurtosis = np.mean(off**4) / np.mean(off**2) ** 2
        assert kurtosis == pytest.approx(3 * np.exp(4 * tail**2), rel=0.05)


def test_jitter_forgets_within_its_memory() -> None:
    off = errors(jitter=0.02, tail=0.0, memory=0.1)
    for frames in (1, 5):  # 50 frames per second: five frames are the memory
        lag = np.mean(off[:-frames] * off[frames:]) / np.mean(off**2)
        assert lag == pytest.approx(np.exp(-frames / 5), abs=0.02)


def test_a_swap_exchanges_whole_limbs_for_the_asked_share_of_frames_and_time() -> None:
    still = np.repeat(POSE[None], 20_000, axis=0)
    model = DetectorNoise(**{**NONE, "swapped": 0.3, "episode": 0.2})
    found = detected(still, LAYOUT, fps=50, generator=np.random.default_rng(1), noise=model)
    for limb in ("arm", "leg"):
        left = list(LAYOUT.parts[f"left_{limb}"])
        right = [LAYOUT.mirrored[joint] for joint in left]
        swapped = (found[:, left] == POSE[right]).all(axis=(1, 2))
        np.testing.assert_array_equal(found[~swapped][:, left], still[~swapped][:, left])
        np.testing.assert_array_equal(found[swapped][:, right], still[swapped][:, left])
        assert swapped.mean() == pytest.approx(0.3, abs=0.03)
        runs = (np.diff(swapped.astype(int)) == 1).sum() + swapped[0]
        assert swapped.sum() / runs == pytest.approx(10, rel=0.2)
    torso = list(LAYOUT.parts["torso"])
    np.testing.assert_array_equal(found[:, torso], still[:, torso])


def test_a_missed_joint_is_elsewhere_for_the_asked_share_of_frames() -> None:
    off = errors(missed=0.05, reach=0.2)
    missed = (off != 0).any(axis=-1)
    assert missed.mean() == pytest.approx(0.05, abs=0.005)
    assert np.sqrt(np.mean(off[missed] ** 2)) == pytest.approx(0.2 * SIZE, rel=0.05)


def test_the_noise_goes_with_the_body_in_the_image() -> None:
    clip = np.repeat(POSE[None], 50, axis=0) + np.linspace(0, 1, 50)[:, None, None]
    one, other = (
        detected(x, LAYOUT, fps=50, generator=np.random.default_rng(4))
        for x in (clip, 320 * clip + 9)
    )
    np.testing.assert_allclose(other, 320 * one + 9, rtol=1e-9)


def test_equal_generators_give_equal_poses_and_gaps_stay() -> None:
    clip = np.repeat(POSE[None], 30, axis=0)
    clip[4, 3] = np.nan
    before = clip.copy()
    one, other = (
        detected(clip, LAYOUT, fps=50, generator=np.random.default_rng(7)) for _ in range(2)
    )
    np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(clip, before)
    assert np.isnan(one).sum() == 2
    assert not np.array_equal(one, clip, equal_nan=True)


def test_no_noise_changes_nothing_and_short_clips_are_clips() -> None:
    assert (errors(5) == 0).all()
    for frames in (0, 1, 2):
        clip = np.repeat(POSE[None], frames, axis=0)
        found = detected(clip, LAYOUT, fps=50, generator=np.random.default_rng(0))
        assert found.shape == clip.shape
    nobody = np.full((3, 15, 2), np.nan)
    assert np.isnan(detected(nobody, LAYOUT, fps=9, generator=np.random.default_rng(0))).all()


def test_any_layout_has_a_spread_and_a_layout_without_parts_swaps_its_sides() -> None:
    for layout in LAYOUTS.values():
        assert np.mean(joint_spread(layout) ** 2) == pytest.approx(1)
    sides = SkeletonLayout("own", ("root", "l", "r"), (-1, 0, 0), mirror=((1, 2),))
    clip = np.repeat(np.array([[[0.0, 0], [1, 1], [2, 3]]]), 400, axis=0)
    model = DetectorNoise(**{**NONE, "swapped": 0.3})
    found = detected(clip, sides, fps=30, generator=np.random.default_rng(0), noise=model)
    assert 0.1 < (found[:, 1] == clip[:, 2]).all(axis=-1).mean() < 0.5


def test_impossible_noise_is_refused() -> None:
    with pytest.raises(UsageError, match="jitter: expected 0 or more, got -1"):
        DetectorNoise(jitter=-1)
    with pytest.raises(UsageError, match="missed: expected a share below 1, got 1"):
        DetectorNoise(missed=1)
