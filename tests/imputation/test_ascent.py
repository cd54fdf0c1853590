from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from skelaug.imputation.ascent import _Adam
from skelaug.imputation.ascent import ascend as ascend_together
from skelaug.imputation.fillers import fill_linear
from skelaug.imputation.tracks import Track, cut_windows, mean_motions

ROOT = 0

ascend = partial(ascend_together, span=1)  # each entry by itself


def linear_start(cut):
    return [
        fill_linear(t.positions, t.observed, mean, root=ROOT)
        for t, mean in zip(cut.tracks, mean_motions(cut), strict=True)
    ]


def score(prior, cut, positions):
    """Log-posterior summed over all windows of one track."""
    x = cut.features(torch.from_numpy(positions), torch.arange(len(cut.frames)))
    return float(prior.log_densities(x).posterior.sum())


def optimum(prior, cut, track):
    """Second derivation: the features are affine in the missing numbers, so least squares finds it.

    With Q = L L^T the log-posterior is -1/2 of the sum of the squares of L^T x over all windows.
    """
    missing = np.flatnonzero(np.repeat(~track.observed.ravel(), 3))
    root = np.linalg.cholesky(prior.precision.numpy())
    every = torch.arange(len(cut.frames))

    def residuals(unknown):
        flat = np.where(track.observed[..., None], track.positions, 0).ravel()
        flat[missing] = unknown
        x = cut.features(torch.from_numpy(flat.reshape(track.positions.shape)), every)
        return (x.numpy() @ root).ravel()

    at_zero = residuals(np.zeros(len(missing)))
    columns = [residuals(one) - at_zero for one in np.eye(len(missing))]
    solution = np.linalg.lstsq(np.stack(columns, axis=1), -at_zero, rcond=None)[0]
    flat = np.where(track.observed[..., None], track.positions, 0).ravel()
    flat[missing] = solution
    return flat.reshape(track.positions.shape)


def test_the_ascent_of_a_linear_prior_ends_in_its_optimum(form, linear_prior, make_track):
    track = make_track(18, (slice(4, 9), 4), (slice(7, 10), 0), (11, slice(None)))
    cut = cut_windows(form, [track])
    expected = optimum(linear_prior, cut, track)
    start = linear_start(cut)
    for lr in (0.1, 0.02, 0.004):
        found = ascend(linear_prior, cut, start=start, steps=60, lr=lr)
        start = found.positions
    highest = score(linear_prior, cut, expected)
    assert highest - score(linear_prior, cut, found.positions[0]) < 1e-4
    assert highest - found.log_density[0, found.best[0]] < 1e-4
    np.testing.assert_allclose(found.positions[0], expected, atol=2e-3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_measured_coordinates_keep_their_bits(form, linear_prior, make_track, dtype):
    track = make_track(18, (slice(4, 9), 4), (slice(7, 10), 0), dtype=dtype)
    track.positions[2, 1, 0] = -0.0  # which adding nothing would make 0.0
    cut = cut_windows(form, [track])
    start = linear_start(cut)
    (expected,) = ascend(linear_prior, cut, start=start).positions
    start[0][track.observed] += 5.0  # what a start says of measured entries is not used
    before = track.positions.copy()
    (found,) = ascend(linear_prior, cut, start=start).positions
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == dtype
    assert (found[track.observed] == before[track.observed]).all()
    assert found[track.observed].tobytes() == before[track.observed].tobytes()
    assert np.isfinite(found).all()
    assert track.positions.tobytes() == before.tobytes()


@pytest.mark.parametrize("lr", [1e-3, 0.1, 100.0])
def test_the_ascent_never_ends_below_any_of_its_iterates(form, linear_prior, make_track, lr):
    tracks = [make_track(18, (slice(4, 9), 4), seed=n) for n in range(3)]
    cut = cut_windows(form, tracks)
    found = ascend(linear_prior, cut, start=linear_start(cut), lr=lr)
    for n, track in enumerate(tracks):
        alone = cut_windows(form, [track])
        touched = alone.with_gaps
        x = alone.features(torch.from_numpy(found.positions[n]), touched)
        highest = float(linear_prior.log_densities(x).posterior.sum())
        assert highest == pytest.approx(found.log_density[n].max(), rel=1e-9)
        assert found.log_density[n, found.best[n]] == found.log_density[n].max()


def test_a_start_that_nothing_beats_is_kept(form, linear_prior, make_track):
    track = make_track(18, (slice(4, 9), 4))
    cut = cut_windows(form, [track])
    best = optimum(linear_prior, cut, track)
    found = ascend(linear_prior, cut, start=[best], lr=0.5)
    assert found.best[0] == 0
    np.testing.assert_array_equal(found.positions[0], best)


def test_the_result_of_the_last_step_is_evaluated(form, linear_prior, make_track):
    """Far from the top each small step goes up, so the last iterate is the best one."""
    track = make_track(12, (slice(4, 9), 4))
    cut = cut_windows(form, [track])
    start = [s + ~track.observed[..., None] * 1.0 for s in linear_start(cut)]
    found = ascend(linear_prior, cut, start=start, steps=4, lr=0.01)
    assert found.log_density.shape == (1, 5)
    assert (np.diff(found.log_density[0]) > 0).all()
    assert found.best[0] == 4
    last = score(linear_prior, cut, found.positions[0])
    assert last == pytest.approx(found.log_density[0, 4], rel=1e-12)
    assert last > found.log_density[0, 3]


def test_the_first_step_goes_one_rate_along_every_free_node(form, linear_prior, make_track):
    """Adam's first step has the size lr in each variable: standard deviations, not metres."""
    track = make_track(12, (slice(4, 6), 4))
    cut = cut_windows(form, [track])
    start = [s + ~track.observed[..., None] * 0.5 for s in linear_start(cut)]
    found = ascend(linear_prior, cut, start=start, steps=1, lr=0.05)
    assert found.best[0] == 1
    every = torch.arange(1)
    before, after = (
        cut.features(torch.from_numpy(p), every) for p in (start[0], found.positions[0])
    )
    moved = (after - before)[0].abs()
    free = ~cut.seen(every)[0]
    torch.testing.assert_close(moved[free], torch.full_like(moved[free], 0.05), rtol=1e-5, atol=0)
    assert moved[~free].max() < 1e-12


def test_missing_joints_go_along_with_a_missing_root(form, linear_prior, make_track):
    """In a frame without anything only the root's own step moves the body as a whole."""
    track = make_track(12, (5, slice(None)))
    cut = cut_windows(form, [track])
    start = linear_start(cut)
    start[0][5] += [0.5, 0.0, 0.0]
    found = ascend(linear_prior, cut, start=start, steps=1, lr=0.1)
    shift = found.positions[0][5] - start[0][5]
    apart = (shift - shift[ROOT])[1:]
    largest = 0.1 * np.sqrt(3) * np.asarray(form.std).max()
    size = float(cut.bodies.size[0])
    assert np.linalg.norm(shift[ROOT]) > 0.01
    assert np.abs(apart).max() <= largest * size
    before, after = (
        cut.features(torch.from_numpy(p), torch.arange(1)) for p in (start[0], found.positions[0])
    )
    step = (after - before)[0, :, 5].abs()
    assert (step[step > 1e-9] <= 0.1 + 1e-6).all()


def test_a_track_does_not_depend_on_its_company(form, linear_prior, make_track):
    tracks = [
        make_track(30, (slice(4, 16), 4), (20, 0)),
        make_track(7, (2, 3), seed=1),
        make_track(40, (slice(0, 9), 2), seed=2, fps=60.0),
        make_track(18, (slice(None), 1), seed=3),
    ]
    cut = cut_windows(form, tracks)
    together = ascend(linear_prior, cut, start=linear_start(cut), batch=3)
    for n, track in enumerate(tracks):
        alone_cut = cut_windows(form, [track])
        alone = ascend(linear_prior, alone_cut, start=linear_start(alone_cut))
        np.testing.assert_allclose(together.positions[n], alone.positions[0], rtol=0, atol=1e-9)
        np.testing.assert_allclose(
            together.log_density[n], alone.log_density[0], rtol=1e-9, atol=1e-9
        )
        assert together.best[n] == alone.best[0]


def test_windows_go_through_the_prior_some_at_a_time_and_only_where_something_is_missing(
    form, linear_prior, make_track
):
    cut = cut_windows(form, [make_track(40, (slice(4, 6), 4)), make_track(12)])
    assert len(cut.frames) == 7
    ascend(linear_prior, cut, start=linear_start(cut), steps=2, batch=1)
    assert linear_prior.sizes == [1, 1, 1][: len(cut.with_gaps)] * 3


def test_windows_agree_on_the_seams(form, linear_prior, make_track):
    """A gap over several windows becomes one motion, also where each window started elsewhere.

    The prior wants slow motion. Filled window by window, the joint would jump where one ends; in
    the optimum of their sum it moves no faster there than elsewhere.
    """
    gap = slice(4, 38)
    track = make_track(42, (gap, 4))
    cut = cut_windows(form, [track])
    borders = [b for b in cut.frames[:, 0].tolist() if gap.start < b < gap.stop]
    assert len(borders) >= 3
    start = linear_start(cut)
    for number, border in enumerate(borders):
        start[0][border : gap.stop, 4, 1] += 0.2 * (-1) ** number
    at_borders = np.isin(np.arange(1, 42), borders)
    assert np.abs(np.diff(start[0][:, 4, 1]))[at_borders].min() > 0.15
    for lr in (0.1, 0.03):
        found = ascend(linear_prior, cut, start=start, steps=60, lr=lr)
        start = found.positions
    np.testing.assert_allclose(start[0], optimum(linear_prior, cut, track), atol=0.01)
    speed = np.abs(np.diff(start[0][:, 4, 1]))
    assert speed[at_borders].max() <= 1.1 * speed[~at_borders].max()


def test_the_steps_of_phases_are_averaged(form, linear_prior, make_track):
    """One phase of four would go up alone; all move together, where most of them want to go."""
    track = make_track(40, (slice(10, 31), 4), fps=120.0)
    cut = cut_windows(form, [track])
    start = linear_start(cut)
    start[0][10:31, 4, 1] += np.where(np.arange(10, 31) % 4 == 0, -2.0, 2.0)
    found = ascend(linear_prior, cut, start=start, steps=1, lr=0.05)
    assert found.best[0] == 1
    step = (found.positions[0] - start[0])[10:31, 4, 1]
    one = 0.05 * form.std[3 * 4 + 1] * float(cut.bodies.size.mean())
    np.testing.assert_allclose(step[2:-2], -one, rtol=0.02)


def test_the_ascent_moves_and_turns_with_the_body(form, linear_prior, make_track):
    track = make_track(18, (slice(4, 9), 4), (7, slice(None)))
    angle = 2.1
    turn = np.array(
        [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    )
    moved = Track(track.positions @ turn.T + [3, 0, -2], track.observed, track.fps)
    found = []
    for one in (track, moved):
        cut = cut_windows(form, [one])
        found.append(ascend(linear_prior, cut, start=linear_start(cut)).positions[0])
    np.testing.assert_allclose(found[1], found[0] @ turn.T + [3, 0, -2], atol=1e-8)


def test_what_is_no_motion_is_left_as_it_starts(form, linear_prior, make_track):
    whole, empty = make_track(12), make_track(12, (slice(None), slice(None)))
    single = make_track(1, (0, 3))
    tracks = [whole, empty, single, make_track(12, (3, 2))]
    cut = cut_windows(form, tracks)
    start = linear_start(cut)
    found = ascend(linear_prior, cut, start=start)
    assert found.positions[0].tobytes() == whole.positions.tobytes()
    assert np.isnan(found.positions[1]).all()
    np.testing.assert_array_equal(found.positions[2], start[2])
    assert np.isnan(found.log_density[:3]).all()
    assert np.isfinite(found.log_density[3]).all()
    assert found.best[:3].tolist() == [0, 0, 0]


def test_tracks_of_which_none_can_be_filled_need_no_prior(form, linear_prior, make_track):
    cut = cut_windows(form, [make_track(12), make_track(12, (slice(None), slice(None)))])
    found = ascend(linear_prior, cut, start=linear_start(cut))
    assert linear_prior.sizes == []
    assert np.isnan(found.positions[1]).all()


@pytest.mark.parametrize("climbs", ["joint", "posterior"])
def test_what_is_climbed_is_what_was_asked_for(form, linear_prior, make_track, climbs):
    """The other density falls all along, so that climbing it would keep the start."""

    class TwoFaced(type(linear_prior)):
        def log_densities(self, x, labels=None):
            found = super().log_densities(x).joint
            return SimpleNamespace(**{"joint": -found, "posterior": -found, climbs: found})

    cut = cut_windows(form, [make_track(12, (3, 2))])
    prior = TwoFaced(linear_prior.precision.numpy())
    found = ascend(prior, cut, start=linear_start(cut), lr=0.004, climbs=climbs)
    best = ascend(linear_prior, cut, start=linear_start(cut), lr=0.004)
    assert found.best[0] > 0
    np.testing.assert_array_equal(found.log_density, best.log_density)


def test_an_iterate_without_a_number_is_never_kept(form, linear_prior, make_track):
    class Fragile(type(linear_prior)):
        def log_densities(self, x, labels=None):
            found = super().log_densities(x).joint
            return SimpleNamespace(joint=found if len(self.sizes) == 1 else found * torch.nan)

    track = make_track(12, (3, 2))
    cut = cut_windows(form, [track])
    start = linear_start(cut)
    found = ascend(Fragile(linear_prior.precision.numpy()), cut, start=start)
    np.testing.assert_array_equal(found.positions[0], start[0])
    assert np.isneginf(found.log_density[0, 1:]).all()


def test_a_prior_in_training_mode_is_refused(form, linear_prior, make_track):
    cut = cut_windows(form, [make_track(12, (3, 2))])
    linear_prior.training = True
    with pytest.raises(ValueError, match="expected evaluation mode"):
        ascend(linear_prior, cut, start=linear_start(cut))


def test_a_start_with_gaps_or_of_another_shape_is_refused(form, linear_prior, make_track):
    track = make_track(12, (3, 2))
    cut = cut_windows(form, [track])
    with pytest.raises(ValueError, match="start: expected finite numbers"):
        ascend(linear_prior, cut, start=[track.positions])
    with pytest.raises(ValueError, match="start: expected the shape"):
        ascend(linear_prior, cut, start=[track.positions[:5]])


def test_entries_of_a_span_move_together_and_measured_ones_count_as_still(
    form, linear_prior, make_track
):
    """Adam's first step is one rate for each free variable; a joint moves by their mean."""
    track = make_track(12, (slice(2, 5), 4), (8, 3))
    cut = cut_windows(form, [track])
    start = [s + ~track.observed[..., None] * 0.5 for s in linear_start(cut)]
    found = ascend_together(linear_prior, cut, start=start, steps=1, lr=0.05, span=3)
    assert found.best[0] == 1
    every = torch.arange(1)
    before, after = (
        cut.features(torch.from_numpy(p), every)[0] for p in (start[0], found.positions[0])
    )
    share = torch.zeros(15, 12, dtype=torch.float64)
    share[12:15, 2:5] = torch.tensor([2 / 3, 1, 2 / 3], dtype=torch.float64)
    share[9:12, 8] = 1 / 3
    torch.testing.assert_close((after - before).abs(), 0.05 * share, rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize("span", [0, 4])
def test_a_span_that_has_no_middle_is_refused(form, linear_prior, make_track, span):
    cut = cut_windows(form, [make_track(12, (3, 2))])
    with pytest.raises(ValueError, match="span: expected an odd number of frames, got"):
        ascend_together(linear_prior, cut, start=linear_start(cut), span=span)


def test_the_steps_are_those_of_adam_in_pytorch():
    free, slopes = torch.zeros(5, 3, 1, dtype=torch.float64), torch.randn(12, 5, 3, 1).double()
    theirs = free.clone().requires_grad_()
    ours, adam = _Adam(free, 0.1), torch.optim.Adam([theirs], lr=0.1)
    for slope in slopes:
        ours.climb(slope)
        theirs.grad = -slope
        adam.step()
        torch.testing.assert_close(free, theirs.detach(), rtol=1e-12, atol=1e-12)
