from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skelaug.augment.clip_map import ClipMap, present
from skelaug.skeleton.geometry import resample

T, M, V, C = 9, 2, 4, 3


def clip(seed=0):
    return np.random.default_rng(seed).normal(size=(T, M, V, C))


def some_map(seed, *, parts, frames=T):
    """A map of the named parts; times are whole frames, so that chains are exact."""
    numbers = np.random.default_rng(seed)
    joints = numbers.normal(size=(V, V))
    joints += (1 - joints.sum(axis=1, keepdims=True)) / V
    whole = {
        "times": np.sort(numbers.integers(0, frames, size=frames)).astype(float),
        "joints": joints,
        "matrix": numbers.normal(size=(C, C)),
        "shift": numbers.normal(size=C),
    }
    return ClipMap(**{part: whole[part] for part in parts})


PARTS = st.sets(st.sampled_from(["times", "joints", "matrix", "shift"]))


@settings(max_examples=30)
@given(PARTS, st.integers(0, 100))
def test_a_map_is_the_sum_over_joints_and_coordinates_that_it_stands_for(parts, seed):
    change, positions = some_map(seed, parts=parts), clip()
    expected = positions if change.times is None else positions[change.times.astype(int)]
    if change.joints is not None:
        expected = np.einsum("jk,tmkc->tmjc", change.joints, expected)
    if change.matrix is not None:
        expected = np.einsum("ab,tmvb->tmva", change.matrix, expected)
    if change.shift is not None:
        expected = expected + change.shift
    np.testing.assert_allclose(change(positions), expected, atol=1e-12)
    np.testing.assert_array_equal(positions, clip())


@settings(max_examples=30)
@given(PARTS, PARTS, st.integers(0, 100))
def test_a_chain_is_one_map_after_the_other(first, second, seed):
    one, two = some_map(seed, parts=first), some_map(seed + 1, parts=second)
    np.testing.assert_allclose(one.then(two)(clip()), two(one(clip())), atol=1e-10)


@settings(max_examples=30)
@given(PARTS, PARTS, PARTS)
def test_chains_are_associative_and_nothing_is_neutral(first, second, third):
    a, b, c = (some_map(n, parts=p) for n, p in enumerate((first, second, third)))
    left, right = a.then(b).then(c), a.then(b.then(c))
    np.testing.assert_allclose(left(clip()), right(clip()), atol=1e-10)
    np.testing.assert_array_equal(ClipMap().then(a)(clip()), a.then(ClipMap())(clip()))


def test_times_between_frames_are_linear():
    times = np.array([0.0, 0.25, 3.0, 7.5, 8.0])
    expected = np.stack([np.interp(times, np.arange(T), one) for one in clip().reshape(T, -1).T], 1)
    np.testing.assert_allclose(ClipMap(times=times)(clip()).reshape(5, -1), expected, atol=1e-12)
    even = ClipMap(times=np.linspace(0, T - 1, 13))
    np.testing.assert_allclose(even(clip()), resample(clip(), 13), atol=1e-12)


def test_a_chain_of_times_reads_the_clip_itself():
    """Half of the frames and all again: the chain reads between the frames of the clip itself."""
    thinned, spread = ClipMap(times=np.array([0.0, 4.0, 8.0])), ClipMap(times=np.linspace(0, 2, 9))
    np.testing.assert_allclose(thinned.then(spread)(clip()), clip(), atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_precision_follows_the_clip(dtype):
    everything = some_map(0, parts=("times", "joints", "matrix", "shift"))
    assert everything(clip().astype(dtype)).dtype == dtype


def test_a_shift_leaves_absent_persons_out():
    positions = clip()
    positions[:, 1] = 0
    moved = some_map(0, parts=("times", "joints", "matrix", "shift"))(positions)
    assert (moved[:, 1] == 0).all()
    assert (moved[:, 0] != 0).all()
    assert present(positions)[:, 0, 0].tolist() == [True, False]
