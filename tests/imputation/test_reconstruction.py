from types import SimpleNamespace

import numpy as np
import pytest
import torch

from skelaug.imputation.reconstruction import join, reconstruct
from skelaug.imputation.tracks import Track, cut_windows

ROOT = 0


class Remembering:
    """A prior that rebuilds windows from their number: the truth, plus an error of its own."""

    reads_mask = True
    training = False

    def __init__(self, cut, truth, error=0.0):
        x = cut.features(torch.from_numpy(truth), cut.every)
        self.windows = list(x + error)
        self.shown: list[torch.Tensor] = []

    def reconstruct(self, x, *, seen=None, labels=None, noise=None):
        self.shown.append(x)
        mean = torch.stack([self.windows.pop(0) for _ in x])
        return SimpleNamespace(mean=mean, logvar=torch.zeros_like(mean))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_measured_coordinates_keep_their_bits(form, linear_prior, make_track, dtype):
    track = make_track(30, (slice(4, 9), 4), (slice(7, 10), 0), (slice(None), 1), dtype=dtype)
    before = track.positions.copy()
    (found,) = reconstruct(linear_prior, cut_windows(form, [track]))
    assert found.dtype == dtype
    assert found[track.observed].tobytes() == before[track.observed].tobytes()
    assert np.isfinite(found).all()
    assert track.positions.tobytes() == before.tobytes()


@pytest.mark.parametrize("frames", [5, 12, 31])
def test_what_is_rebuilt_truly_is_filled_in_truly(form, make_track, make_motion, frames):
    truth = make_motion(frames)
    track = make_track(frames, (slice(2, 4), slice(None)), (slice(None), 4), (slice(3, None), 2))
    cut = cut_windows(form, [track])
    (found,) = reconstruct(Remembering(cut, truth), cut)
    np.testing.assert_allclose(found, truth, atol=1e-9)


def test_one_window_is_conditioned_on_what_was_measured(form, linear_prior, make_track):
    """For a Gaussian the one pass is its conditional mean, and that is where an ascent ends."""
    track = make_track(12, (slice(4, 9), 4), (slice(8, None), 1), (2, 3))
    cut = cut_windows(form, [track])
    (found,) = reconstruct(linear_prior, cut)
    x = cut.features(torch.from_numpy(found), cut.every).requires_grad_()
    (slope,) = torch.autograd.grad(linear_prior.log_densities(x).posterior.sum(), x)
    assert slope[~cut.seen(cut.every)].abs().max() < 1e-9
    assert slope[cut.seen(cut.every)].abs().max() > 1e-2


def test_the_prior_is_shown_nothing_of_what_is_missing(form, make_track, make_motion):
    track = make_track(12, (slice(4, 9), 4), (7, 0))
    cut = cut_windows(form, [track])
    prior = Remembering(cut, make_motion(12))
    reconstruct(prior, cut)
    seen = cut.seen(cut.every)
    assert (prior.shown[0][~seen] == 0).all()
    other = Track(np.where(track.observed[..., None], track.positions, 50.0), track.observed, 30.0)
    again = Remembering(cut, make_motion(12))
    reconstruct(again, cut_windows(form, [other]))
    assert torch.equal(again.shown[0], prior.shown[0])


def test_a_rebuilt_motion_that_is_off_by_a_line_in_time_is_joined_exactly(make_track, make_motion):
    """The residual is carried linearly across the gap, so what is linear in time cancels."""
    truth = make_motion(30)
    track = make_track(30, (slice(5, 12), 4), (slice(20, 26), 2))
    time = np.arange(30)[:, None, None]
    rebuilt = truth + 0.3 + 0.02 * time * np.arange(5)[:, None]
    np.testing.assert_allclose(
        join(track.positions, track.observed, rebuilt, root=ROOT), truth, atol=1e-12
    )


def test_the_filled_stretch_leaves_from_and_arrives_at_what_was_measured(make_track, make_motion):
    """At a gap's edges its course is that of the rebuilt motion through the measured places."""
    truth, rebuilt = make_motion(30), make_motion(30, seed=7)
    track = make_track(30, (slice(5, 12), 4))
    found = join(track.positions, track.observed, rebuilt, root=ROOT)
    offsets = rebuilt[:, 4] - rebuilt[:, ROOT] + truth[:, ROOT]
    lack = truth[:, 4] - offsets
    slope = (lack[12] - lack[4]) / 8
    for edge, inside, sign in ((4, 5, 1), (12, 11, -1)):
        step = found[inside, 4] - truth[edge, 4]
        expected = offsets[inside] - offsets[edge] + sign * slope
        np.testing.assert_allclose(step, expected, atol=1e-12)
    assert np.abs(truth[4, 4] - rebuilt[4, 4]).max() > 0.02  # without it, there is a jump


def test_an_open_gap_holds_the_residual_of_its_one_edge(make_track, make_motion):
    truth, rebuilt = make_motion(30), make_motion(30, seed=7)
    track = make_track(30, (slice(20, None), 4))
    found = join(track.positions, track.observed, rebuilt, root=ROOT)
    relative = rebuilt[:, 4] - rebuilt[:, ROOT]
    lack = truth[19, 4] - truth[19, ROOT] - relative[19]
    np.testing.assert_allclose(found[20:, 4], truth[20:, ROOT] + relative[20:] + lack, atol=1e-12)


def test_an_unseen_joint_has_no_residual(make_track, make_motion):
    truth, rebuilt = make_motion(30), make_motion(30, seed=7)
    track = make_track(30, (slice(None), 3))
    found = join(track.positions, track.observed, rebuilt, root=ROOT)
    np.testing.assert_allclose(
        found[:, 3] - truth[:, ROOT], rebuilt[:, 3] - rebuilt[:, ROOT], atol=1e-12
    )


@pytest.mark.parametrize("frames", [slice(None), slice(8, 20), slice(15, None)])
def test_a_missing_root_is_where_the_measured_joints_put_it(make_track, make_motion, frames):
    """With true offsets it is found exactly, however far off the rebuilt motion is as a whole."""
    truth = make_motion(30)
    track = make_track(30, (frames, 0), (slice(3, 9), 2))
    away = truth + np.cumsum(np.ones((30, 1, 3)), axis=0)
    np.testing.assert_allclose(
        join(track.positions, track.observed, away, root=ROOT), truth, atol=1e-12
    )


def test_offsets_that_are_off_by_a_constant_still_place_the_root(make_track, make_motion):
    truth = make_motion(30)
    track = make_track(30, (slice(8, 20), 0))
    rebuilt = truth + 0.1 * np.arange(5)[:, None]
    np.testing.assert_allclose(
        join(track.positions, track.observed, rebuilt, root=ROOT), truth, atol=1e-12
    )


def test_frames_without_anything_are_bridged_by_the_rebuilt_way_of_the_root(
    make_track, make_motion
):
    truth = make_motion(30)
    track = make_track(30, (slice(8, 20), slice(None)))
    rebuilt = truth + 0.4 + 0.01 * np.arange(30)[:, None, None]
    np.testing.assert_allclose(
        join(track.positions, track.observed, rebuilt, root=ROOT), truth, atol=1e-12
    )


def test_nothing_jumps_where_a_window_ends(form, make_track, make_motion):
    """Windows that disagree by a constant are blended over their overlap."""
    frames = 42
    truth = make_motion(frames)
    truth[:] = truth[:1]  # nobody moves
    observed = np.ones((frames, 5), dtype=bool)
    observed[1:-1, 4] = False
    track = Track(truth, observed, 30.0)
    cut = cut_windows(form, [track])
    level = torch.arange(len(cut.frames), dtype=torch.float64)[:, None, None] % 2
    at_head = (torch.arange(15) == 13)[None, :, None]
    (found,) = reconstruct(Remembering(cut, truth, error=3 * level * at_head), cut)
    speed = np.abs(np.diff(found[:, 4, 1]))
    height = 3 * form.std[13] * float(cut.bodies.size[0])
    assert np.ptp(found[:, 4, 1]) > 0.5 * height
    assert speed.max() < height / 4


def test_phases_that_are_rebuilt_differently_do_not_shiver(form, make_track, make_motion):
    """At four times the model's rate each phase has its own windows, here with its own error."""
    truth = make_motion(60)
    track = make_track(60, (slice(20, 41), 4), fps=120.0)
    cut = cut_windows(form, [track])
    phase = cut.frames[:, 0] % 4
    error = torch.tensor([0.5, -0.5, 0.3, -0.3], dtype=torch.float64)[phase][:, None, None]
    ramp = torch.linspace(0, 1, cut.frames.shape[1], dtype=torch.float64)
    (found,) = reconstruct(Remembering(cut, truth, error * ramp), cut)
    (true,) = reconstruct(Remembering(cut, truth), cut)
    inside = slice(22, 39)
    rough, smooth = (np.abs(np.diff(x[inside, 4], n=2, axis=0)).max() for x in (found, true))
    assert smooth < 0.01
    assert rough < smooth + 0.01


def test_a_track_does_not_depend_on_its_company(form, linear_prior, make_track):
    tracks = [
        make_track(30, (slice(4, 16), 4), (20, 0)),
        make_track(7, (2, 3), seed=1),
        make_track(12, (slice(None), slice(None))),
        make_track(40, (slice(0, 9), 2), seed=2, fps=60.0),
    ]
    together = reconstruct(linear_prior, cut_windows(form, tracks), batch=3)
    for track, found in zip(tracks, together, strict=True):
        (alone,) = reconstruct(linear_prior, cut_windows(form, [track]))
        np.testing.assert_allclose(found, alone, rtol=0, atol=1e-12)


def test_what_is_no_motion_is_left_or_put_in_the_mean_pose(form, linear_prior, make_track):
    whole, empty = make_track(12), make_track(12, (slice(None), slice(None)))
    single = make_track(1, (0, 3))
    cut = cut_windows(form, [whole, empty, single])
    found = reconstruct(linear_prior, cut)
    assert found[0].tobytes() == whole.positions.tobytes()
    assert np.isnan(found[1]).all()
    size, yaw = float(cut.bodies.size[-1]), float(cut.bodies.yaw[-1])
    x, y, z = form.mean[9:12] * size
    offset = [np.cos(yaw) * x + np.sin(yaw) * z, y, np.cos(yaw) * z - np.sin(yaw) * x]
    np.testing.assert_allclose(found[2][0, 3], single.positions[0, ROOT] + offset, atol=1e-12)


def test_a_prior_in_training_mode_is_refused(form, linear_prior, make_track):
    linear_prior.training = True
    with pytest.raises(ValueError, match="expected evaluation mode"):
        reconstruct(linear_prior, cut_windows(form, [make_track(12, (3, 2))]))


def test_measured_bits_survive_a_rebuilt_motion_that_is_far_off(make_track, make_motion):
    track = make_track(12, (slice(4, 9), 4), (slice(7, 10), 0))
    found = join(track.positions, track.observed, make_motion(12, seed=3) * 1e5, root=ROOT)
    assert found[track.observed].tobytes() == track.positions[track.observed].tobytes()
