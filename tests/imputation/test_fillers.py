import numpy as np
import pytest
from scipy.interpolate import CubicSpline

from skelaug.imputation.fillers import FILLERS, fill_mean, root_by_joints

ROOT = 0


@pytest.fixture
def clip(make_track):
    """Every kind of gap in joints other than the root, and one in it."""
    return make_track(30, (slice(3, 6), 1), (slice(8, 22), 2), (slice(24, None), 3), (5, 0))


@pytest.fixture
def mean(make_motion):
    return make_motion(30, seed=5)


@pytest.mark.parametrize("name", FILLERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_measured_coordinates_keep_their_bits_and_nothing_is_left_missing(clip, mean, name, dtype):
    positions = clip.positions.astype(dtype)
    before = positions.copy()
    filled = FILLERS[name](positions, clip.observed, mean, root=ROOT)
    assert filled.dtype == dtype
    assert filled[clip.observed].tobytes() == before[clip.observed].tobytes()
    assert np.isfinite(filled).all()
    assert positions.tobytes() == before.tobytes()


@pytest.mark.parametrize("name", FILLERS)
def test_what_stands_where_nothing_was_measured_is_never_read(clip, mean, name):
    other = np.where(clip.observed[..., None], clip.positions, 1e6)
    found = [FILLERS[name](p, clip.observed, mean, root=ROOT) for p in (clip.positions, other)]
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("joint", range(4))
def test_linear_is_numpys_interp(clip, mean, joint):
    filled = FILLERS["linear"](clip.positions, clip.observed, mean, root=ROOT)
    frames = np.flatnonzero(clip.observed[:, joint])
    for c in range(3):
        expected = np.interp(np.arange(30), frames, clip.positions[frames, joint, c])
        np.testing.assert_array_equal(filled[:, joint, c], expected)


@pytest.mark.parametrize("joint", range(4))
def test_cubic_is_scipys_natural_spline_between_the_measured_ends(clip, mean, joint):
    filled = FILLERS["cubic"](clip.positions, clip.observed, mean, root=ROOT)
    frames = np.flatnonzero(clip.observed[:, joint])
    spline = CubicSpline(frames, clip.positions[frames, joint], bc_type="natural")
    inside = slice(frames[0], frames[-1] + 1)
    np.testing.assert_allclose(filled[inside, joint], spline(np.arange(30))[inside], rtol=1e-12)
    beyond = filled[frames[-1] + 1 :, joint]
    np.testing.assert_allclose(
        beyond, filled[frames[-1:], joint].repeat(len(beyond), 0), rtol=1e-12
    )


def test_hold_is_the_last_measured_place_and_before_it_the_first(make_track, mean):
    track = make_track(30, (slice(0, 4), 1), (slice(10, 13), 1), (slice(28, None), 1))
    filled = FILLERS["hold"](track.positions, track.observed, mean, root=ROOT)
    last = track.positions[4, 1]
    for frame in range(30):
        last = track.positions[frame, 1] if track.observed[frame, 1] else last
        np.testing.assert_array_equal(filled[frame, 1], last)


def test_the_mean_is_the_root_plus_the_mean_offset(clip, mean):
    filled = fill_mean(clip.positions, clip.observed, mean, root=ROOT)
    np.testing.assert_allclose(
        filled[9, 2], clip.positions[9, ROOT] + mean[9, 2] - mean[9, ROOT], rtol=1e-12
    )
    np.testing.assert_array_equal(filled[5, ROOT], mean[5, ROOT])


@pytest.mark.parametrize("name", ["hold", "linear", "cubic"])
def test_an_unseen_joint_goes_with_the_root_at_its_mean_offset(make_track, mean, name):
    track = make_track(30, (slice(None), 4), (slice(9, 12), 0))
    filled = FILLERS[name](track.positions, track.observed, mean, root=ROOT)
    np.testing.assert_allclose(
        filled[:, 4] - filled[:, ROOT], mean[:, 4] - mean[:, ROOT], atol=1e-12
    )


@pytest.mark.parametrize("name", ["hold", "linear", "cubic"])
def test_an_unseen_root_is_where_the_measured_joints_put_it(make_track, make_motion, name):
    """A body that is the mean pose itself has its root found exactly."""
    truth = make_motion(30)
    track = make_track(30, (slice(None), 0), (slice(4, 8), 2))
    filled = FILLERS[name](
        track.positions, track.observed, truth + np.array([0.3, 0.1, -2]), root=ROOT
    )
    np.testing.assert_allclose(filled[:, ROOT], truth[:, ROOT], atol=1e-12)


def test_near_joints_say_more_about_the_root(make_motion):
    truth = make_motion(10)
    offsets = truth - truth[:, :1]
    moved = truth.copy()
    moved[:, 4] += 1.0  # the head is far from the pelvis, and wrong
    everything = np.ones((10, 5), dtype=bool)
    votes, are_any = root_by_joints(moved, everything, offsets, root=ROOT)
    assert are_any.all()
    weight = 1 / np.square(offsets[:, 1:]).sum(-1).mean(0)
    expected = truth[:, 0] + weight[3] / weight.sum()
    np.testing.assert_allclose(votes, expected, rtol=1e-12)
    nothing = root_by_joints(moved, ~everything, offsets, root=ROOT)
    assert not nothing[1].any()


@pytest.mark.parametrize("name", FILLERS)
def test_where_nothing_was_measured_nothing_is_invented(make_track, mean, name):
    track = make_track(30, (slice(None), slice(None)))
    assert np.isnan(FILLERS[name](track.positions, track.observed, mean, root=ROOT)).all()


@pytest.mark.parametrize("name", FILLERS)
def test_a_single_frame_is_filled_with_the_mean_pose(make_track, make_motion, name):
    track, mean = make_track(1, (0, 3)), make_motion(1, seed=5)
    filled = FILLERS[name](track.positions, track.observed, mean, root=ROOT)
    np.testing.assert_allclose(
        filled[0, 3], track.positions[0, ROOT] + mean[0, 3] - mean[0, ROOT], rtol=1e-12
    )


@pytest.mark.parametrize("name", ["hold", "linear", "cubic"])
@pytest.mark.parametrize("lost", [0, 4])
def test_without_a_mean_motion_only_unseen_joints_stay_missing(make_track, name, lost):
    track = make_track(20, (slice(None), lost), (slice(2, 5), 2))
    unknown = np.full((20, 5, 3), np.nan)
    filled = FILLERS[name](track.positions, track.observed, unknown, root=ROOT)
    assert np.isnan(filled[:, lost]).all()
    assert np.isfinite(np.delete(filled, lost, axis=1)).all()


def test_shapes_that_do_not_belong_together_are_refused(clip, mean):
    with pytest.raises(ValueError, match="mean: expected T V C"):
        FILLERS["linear"](clip.positions, clip.observed, mean[:-1], root=ROOT)
    with pytest.raises(ValueError, match="observed: expected T V"):
        FILLERS["linear"](clip.positions, clip.observed[:, :-1], mean, root=ROOT)
