import numpy as np
import pytest

from skelaug.imputation.occlusion import hide_body, hide_entries, hide_joints, hide_limb, limbs
from skelaug.skeleton.layout import SkeletonLayout
from skelaug.skeleton.layouts import get_layout

LIMBS = limbs(get_layout("kinect_20"))
OCCLUSIONS = {
    "entries": lambda observed, **at: hide_entries(observed, 30, **at),
    "limb": lambda observed, **at: hide_limb(observed, LIMBS, 10, **at),
    "body": lambda observed, **at: hide_body(observed, 10, **at),
    "joints": lambda observed, **at: hide_joints(observed, 3, **at),
}
EVERYTHING = np.ones((50, 20), dtype=bool)


@pytest.mark.parametrize("name", OCCLUSIONS)
def test_only_what_was_measured_is_hidden_and_the_mask_is_left_alone(name):
    observed = np.random.default_rng(0).random((50, 20)) < 0.6
    before = observed.copy()
    for clip in range(20):
        hidden = OCCLUSIONS[name](observed, seed=0, clip=clip)
        assert not (hidden & ~observed).any()
        assert (observed & ~hidden).any()
    assert np.array_equal(before, observed)


@pytest.mark.parametrize("name", OCCLUSIONS)
def test_an_occlusion_depends_on_its_address_alone(name):
    at = {(s, c): OCCLUSIONS[name](EVERYTHING, seed=s, clip=c) for s in (0, 1) for c in range(6)}
    again = OCCLUSIONS[name](EVERYTHING, seed=1, clip=4)
    assert np.array_equal(at[1, 4], again)
    assert len({mask.tobytes() for mask in at.values()}) > 6


@pytest.mark.parametrize("count", [0, 1, 30, 1000, 2000])
def test_exactly_so_many_entries_are_hidden(count):
    hidden = hide_entries(EVERYTHING, count, seed=0, clip=0)
    assert hidden.sum() == min(count, 1000)


def test_entries_are_hidden_equally_often_everywhere():
    total = sum(hide_entries(EVERYTHING, 100, seed=0, clip=clip).astype(int) for clip in range(400))
    # binomial with n = 400, p = 0.1: mean 40, deviation 6; 1000 entries stay within 5 deviations
    assert abs(total - 40).max() < 30
    assert total.sum() == 40_000


def test_a_limb_is_hidden_for_so_many_frames_in_a_row():
    limb_of = set()
    for clip in range(40):
        hidden = hide_limb(EVERYTHING, LIMBS, 10, seed=0, clip=clip)
        frames = np.flatnonzero(hidden.any(axis=1))
        assert frames.tolist() == list(range(frames[0], frames[0] + 10))
        joints = tuple(np.flatnonzero(hidden.any(axis=0)))
        assert hidden.sum() == 10 * len(joints)
        limb_of.add(joints)
    assert limb_of == {tuple(sorted(limb)) for limb in LIMBS}


def test_the_body_is_hidden_as_a_whole_and_anywhere():
    starts = set()
    for clip in range(400):
        frames = np.flatnonzero(hide_body(EVERYTHING, 10, seed=0, clip=clip).all(axis=1))
        assert len(frames) == 10
        starts.add(frames[0])
    assert starts == set(range(41))


def test_hidden_joints_are_never_seen_and_one_is_left():
    hidden = hide_joints(EVERYTHING, 3, seed=0, clip=0)
    assert hidden.all(axis=0).sum() == 3
    assert hidden.sum() == 150
    assert hide_joints(EVERYTHING, 50, seed=0, clip=0).all(axis=0).sum() == 19


def test_a_layout_without_parts_has_limbs_too():
    bare = SkeletonLayout(name="bare", joints=("a", "b", "c"), parents=(-1, 0, 1))
    assert set().union(*limbs(bare)) == {0, 1, 2}
    assert limbs(get_layout("kinect_20")) == tuple(get_layout("kinect_20").parts.values())
