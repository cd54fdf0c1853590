"""Other bodies keep left = right and the path of the root; the tempo is one number per clip."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from skelaug.skeleton.sequence import SkeletonSequence
from skelaug.workflows.variation import SLOWEST, tempo_factor, with_other_bones


def _lengths(clip: SkeletonSequence, person: int = 0) -> np.ndarray:
    positions = clip.positions[:, person].astype(np.float64)
    child, parent = np.array(clip.layout.bones).T
    return np.linalg.norm(positions[:, child] - positions[:, parent], axis=-1)


def test_bones_are_scaled_left_like_right_and_all_frames_alike(make_sequence: Callable) -> None:
    clip = make_sequence("wave", persons=2)
    varied = with_other_bones(clip, 0.2, seed=3, sample=8)
    factors = _lengths(varied) / _lengths(clip)
    np.testing.assert_allclose(factors, np.broadcast_to(factors[0], factors.shape), rtol=1e-4)
    np.testing.assert_allclose(_lengths(varied, 1) / _lengths(clip, 1), factors, rtol=1e-4)
    assert 0.8 <= factors.min() < factors.max() <= 1.2
    by_joint = dict(zip((child for child, _ in clip.layout.bones), factors[0], strict=True))
    for left, right in clip.layout.mirror:
        assert by_joint[left] == pytest.approx(by_joint[right], rel=1e-4)
    assert len({round(float(f), 4) for f in factors[0]}) > 5  # not one size for all


def test_the_root_keeps_its_path_and_the_body_stands_on_the_floor(make_sequence: Callable) -> None:
    clip = make_sequence("walk")
    varied = with_other_bones(clip, 0.2, seed=0, sample=1)
    moved = (varied.positions - clip.positions)[:, 0, clip.layout.root]
    np.testing.assert_allclose(moved, np.broadcast_to(moved[0], moved.shape), atol=1e-5)
    np.testing.assert_allclose(moved[:, [0, 2]], 0, atol=1e-6)
    assert varied.positions[..., 1].min() == pytest.approx(0, abs=1e-6)


def test_an_absent_person_stays_absent(make_sequence: Callable) -> None:
    clip = make_sequence("walk", persons=2)
    clip.positions[:, 1], clip.observed[:, 1] = np.nan, False
    varied = with_other_bones(clip, 0.2, seed=0, sample=1)
    assert np.isnan(varied.positions[:, 1]).all()
    assert np.isfinite(varied.positions[:, 0]).all()
    assert varied.positions[:, 0, :, 1].min() == pytest.approx(0, abs=1e-6)


def test_no_spread_changes_nothing(make_sequence: Callable) -> None:
    clip = make_sequence("walk")
    assert with_other_bones(clip, 0.0, seed=0, sample=1) is clip
    assert tempo_factor(0.0, seed=0, sample=1) == 1.0


def test_numbers_depend_on_seed_and_sample(make_sequence: Callable) -> None:
    clip = make_sequence("walk")
    addresses = [(0, 1), (0, 2), (1, 1)]
    tempi = [tempo_factor(0.3, seed=seed, sample=i) for seed, i in addresses]
    bodies = [_lengths(with_other_bones(clip, 0.1, seed=s, sample=i))[0, 3] for s, i in addresses]
    assert len(set(tempi)) == len(set(bodies)) == 3
    assert tempi[0] == tempo_factor(0.3, seed=0, sample=1)


def test_tempi_are_log_normal_and_at_most_twice_as_fast_or_slow() -> None:
    logs = np.log([tempo_factor(0.2, seed=0, sample=i) for i in range(2000)])
    # standard errors of mean and deviation: 0.2 / sqrt(2000) = 0.0045 and 0.0032
    assert logs.mean() == pytest.approx(0, abs=0.018)
    assert logs.std() == pytest.approx(0.2, abs=0.013)
    wild = [tempo_factor(3.0, seed=0, sample=i) for i in range(100)]
    assert min(wild) == 1 / SLOWEST
    assert max(wild) == SLOWEST
