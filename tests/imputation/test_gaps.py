import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from skelaug.imputation.gaps import (
    SHORT_FRAMES,
    Gap,
    GapKind,
    find_gaps,
    gap_kinds,
    hide_gap,
    standard_gaps,
)
from skelaug.skeleton.layouts import get_layout

masks = arrays.arrays(np.bool_, st.tuples(st.integers(1, 40), st.integers(1, 4)))
kinds_to_hide = st.sampled_from([k for k in GapKind if k is not GapKind.MEASURED])


def kind_by_walking(observed, frame, joint):
    """Second derivation: walk from the entry to the nearest measured ones."""
    column = observed[:, joint]
    if column[frame]:
        return GapKind.MEASURED
    if not column.any():
        return GapKind.UNSEEN
    first, last = frame, frame
    while first >= 0 and not column[first]:
        first -= 1
    while last < len(column) and not column[last]:
        last += 1
    if first < 0 or last == len(column):
        return GapKind.OPEN
    return GapKind.SHORT if last - first - 1 <= 10 else GapKind.LONG


@given(masks)
def test_the_kind_of_an_entry_is_what_walking_to_its_neighbours_finds(observed):
    kinds = gap_kinds(observed)
    assert kinds.dtype == np.int8
    for index in np.ndindex(observed.shape):
        assert kinds[index] == kind_by_walking(observed, *index)


def test_ten_frames_are_short_and_eleven_long():
    observed = np.ones((40, 2), dtype=bool)
    observed[5:15, 0] = observed[5:16, 1] = False
    assert SHORT_FRAMES == 10
    assert set(gap_kinds(observed)[5:15, 0]) == {GapKind.SHORT}
    assert set(gap_kinds(observed)[5:16, 1]) == {GapKind.LONG}


@given(masks)
def test_the_gaps_of_a_clip_are_all_that_is_missing(observed):
    gaps = find_gaps(observed)
    if not observed.any():
        assert gaps == ()
        return
    assert sum(len(gap.joints) * gap.frames for gap in gaps) == (~observed).sum()
    kinds = gap_kinds(observed)
    for kind in GapKind:
        of_kind = sum(len(gap.joints) * gap.frames for gap in gaps if gap.kind == kind)
        assert of_kind == (kinds == kind).sum() * (kind != GapKind.MEASURED)


def test_joints_that_vanish_and_return_together_are_one_gap():
    observed = np.ones((20, 4), dtype=bool)
    observed[3:6, [0, 2]] = False
    observed[3:7, 1] = False
    observed[15:, 0] = False
    assert find_gaps(observed) == (
        Gap(GapKind.SHORT, (0, 2), 3),
        Gap(GapKind.SHORT, (1,), 4),
        Gap(GapKind.OPEN, (0,), 5),
    )


@given(
    masks,
    st.builds(
        Gap,
        kinds_to_hide,
        st.lists(st.integers(0, 3), min_size=1, unique=True).map(tuple),
        st.integers(1, 30),
    ),
    st.integers(0, 5),
)
def test_what_is_hidden_was_measured_and_is_of_the_kind(observed, gap, clip):
    gap = Gap(gap.kind, tuple(j for j in gap.joints if j < observed.shape[1]) or (0,), gap.frames)
    before = observed.copy()
    hidden = hide_gap(observed, gap, seed=1, clip=clip)
    assert np.array_equal(before, observed)
    assert not (hidden & ~observed).any()
    assert set(gap_kinds(observed & ~hidden)[hidden].tolist()) <= {int(gap.kind)}
    if hidden.any():
        assert (observed & ~hidden).any()


@pytest.mark.parametrize("gap", standard_gaps(get_layout("kinect_20")))
def test_a_whole_clip_has_room_for_every_standard_gap(gap):
    observed = np.ones((60, 20), dtype=bool)
    hidden = hide_gap(observed, gap, seed=0, clip=3)
    assert tuple(np.flatnonzero(hidden.any(axis=0))) == tuple(sorted(gap.joints))
    assert hidden.any(axis=1).sum() == (gap.frames or 60)


def test_the_standard_gaps_are_of_every_kind():
    kinds = {gap.kind for gap in standard_gaps(get_layout("kinect_20"))}
    assert kinds == set(GapKind) - {GapKind.MEASURED}


def test_a_gap_is_hidden_at_its_address_and_nowhere_else():
    observed = np.ones((80, 4), dtype=bool)
    gap = Gap(GapKind.SHORT, (1,), 5)
    places = {
        (seed, clip): hide_gap(observed, gap, seed=seed, clip=clip).tobytes()
        for seed in range(3)
        for clip in range(3)
    }
    assert places[0, 1] == hide_gap(observed, gap, seed=0, clip=1).tobytes()
    assert len(set(places.values())) > 5


def test_a_long_gap_shrinks_to_the_clip_but_never_becomes_a_short_one():
    gap = Gap(GapKind.LONG, (0,), 40)
    hidden = hide_gap(np.ones((30, 2), dtype=bool), gap, seed=0, clip=0)
    assert hidden.sum() == 28
    assert not hide_gap(np.ones((12, 2), dtype=bool), gap, seed=0, clip=0).any()
    assert hide_gap(np.ones((13, 2), dtype=bool), gap, seed=0, clip=0).sum() == 11


def test_joints_that_cannot_be_hidden_are_stood_in_for_by_as_many_others():
    observed = np.ones((30, 5), dtype=bool)
    observed[:, :2] = False
    for kind in (GapKind.SHORT, GapKind.OPEN, GapKind.UNSEEN):
        hidden = hide_gap(observed, Gap(kind, (0, 1), 4), seed=0, clip=0)
        assert hidden.any(axis=0).sum() == 2


def test_the_last_joint_is_never_hidden_altogether():
    observed = np.zeros((10, 3), dtype=bool)
    observed[:, 1] = True
    assert not hide_gap(observed, Gap(GapKind.UNSEEN, (1,), 10), seed=0, clip=0).any()
