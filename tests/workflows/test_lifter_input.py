import numpy as np
import pytest

from skelaug.errors import DataError
from skelaug.seeds import numpy_generator
from skelaug.skeleton.layouts import get_layout
from skelaug.workflows.lifter_input import KeypointNoiseConfig, filled_keypoints, longest_gap

LAYOUT = get_layout("kinect_20")


def straight(frames=12):
    """Joints that move at a constant speed each, T 20 2."""
    speed = np.arange(40).reshape(20, 2) / 400
    return (np.arange(frames)[:, None, None] * speed).astype(np.float32)


def test_gaps_of_a_straight_motion_are_closed_exactly_and_ends_are_held():
    whole = straight()
    gaps = whole.copy()
    gaps[3:6, 4] = gaps[:2, 7] = gaps[-1, 9] = np.nan
    filled = filled_keypoints(gaps, most=3, where="clip")
    np.testing.assert_allclose(filled[3:6, 4], whole[3:6, 4], atol=1e-6)
    np.testing.assert_array_equal(filled[:2, 7], np.broadcast_to(whole[2, 7], (2, 2)))
    np.testing.assert_array_equal(filled[-1, 9], whole[-2, 9])
    known = np.isfinite(gaps)
    np.testing.assert_array_equal(filled[known], gaps[known])


def test_a_longer_gap_is_refused_with_what_to_do():
    gaps = straight()
    gaps[3:7, 4] = np.nan
    with pytest.raises(DataError, match=r"'a'.* at most 3 frames, got 4; .*--longest-gap"):
        filled_keypoints(gaps, most=3, where="clip 'a'")
    gaps[:, 4] = np.nan
    with pytest.raises(DataError, match="got 12"):
        filled_keypoints(gaps, most=100, where="clip")


def test_the_longest_gap_is_counted_joint_by_joint():
    missing = np.zeros((6, 3), dtype=bool)
    missing[:3, 0] = missing[3:, 1] = missing[[0, 2, 4], 2] = True
    assert longest_gap(missing) == 3
    assert longest_gap(~missing[:0]) == 0


def drawn(share, strength=1.0, seed=0):
    noise = KeypointNoiseConfig(share=share, strength=strength)
    return noise.drawn(straight(60), LAYOUT, fps=30.0, numbers=numpy_generator(seed, 1))


def test_the_share_says_how_many_clips_get_errors_and_the_strength_how_large_they_are():
    exact = straight(60)
    np.testing.assert_array_equal(drawn(0.0), exact)
    hit = [not np.array_equal(drawn(0.3, seed=seed), exact) for seed in range(200)]
    assert abs(np.mean(hit) - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 200)
    off = [
        np.mean([np.median(np.abs(drawn(1.0, strength, s) - exact)) for s in range(8)])
        for strength in (0.5, 2.0)
    ]
    assert 2.5 < off[1] / off[0] < 6  # 4 in jitter
