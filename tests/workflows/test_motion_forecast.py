"""Ridge regression against its definition; forecasts that do not care where somebody stands."""

from __future__ import annotations

import numpy as np
import pytest

from skelaug.imputation.tracks import Track
from skelaug.imputation.windows import WindowForm
from skelaug.skeleton.layouts import get_layout
from skelaug.workflows.motion_forecast import Forecaster, fit_ridge

LAYOUT = get_layout("kinect_20")


def data(samples, features, *, seed=0):
    numbers = np.random.default_rng(seed)
    x = numbers.standard_normal((samples, features)) + 3
    y = x[:, :2] @ numbers.standard_normal((2, 4)) + numbers.standard_normal((samples, 4)) - 1
    return x, y


def by_least_squares(x, y, strength):
    """The same minimum as ordinary least squares with one more row for each weight."""
    n, d = x.shape
    held_down = np.hstack([np.sqrt(strength) * np.eye(d), np.zeros((d, 1))])
    rows = np.vstack([np.hstack([x, np.ones((n, 1))]), held_down])
    solved, *_ = np.linalg.lstsq(rows, np.vstack([y, np.zeros((d, y.shape[1]))]), rcond=None)
    return lambda z: z @ solved[:-1] + solved[-1]


@pytest.mark.parametrize(("samples", "features"), [(6, 20), (30, 5)])
@pytest.mark.parametrize("strength", [0.1, 40.0])
def test_it_is_the_minimum_of_what_it_says(samples, features, strength):
    x, y = data(samples, features)
    found, asked = fit_ridge(x, y, strengths=[strength]), data(7, features, seed=1)[0]
    expected = by_least_squares(x, y, strength)
    np.testing.assert_allclose(found(asked), expected(asked), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("samples", "features"), [(6, 20), (15, 5)])
def test_leaving_one_out_is_fitting_without_it(samples, features):
    x, y = data(samples, features)
    strengths = [0.01, 1.0, 100.0]
    found = fit_ridge(x, y, strengths=strengths)
    for strength in strengths:
        errors = []
        for n in range(samples):
            rest = np.arange(samples) != n
            errors.append(by_least_squares(x[rest], y[rest], strength)(x[n]) - y[n])
        assert found.left_out[strength] == pytest.approx(np.square(errors).mean(), rel=1e-9)
    assert found.strength == min(found.left_out, key=found.left_out.get)


def test_samples_that_are_all_alike_predict_their_mean():
    y = np.arange(6.0).reshape(3, 2)
    found = fit_ridge(np.ones((3, 4)), y)
    np.testing.assert_allclose(found(np.zeros((1, 4)))[0], y.mean(axis=0))


def test_one_sample_is_too_few():
    with pytest.raises(ValueError, match="at least 2 samples, got 1"):
        fit_ridge(np.ones((1, 4)), np.ones((1, 2)))


@pytest.fixture
def form(make_sequence):
    pose = make_sequence(frames=1).positions[0, 0].astype(np.float64)
    reference = pose - pose[LAYOUT.root]
    return WindowForm(LAYOUT, 12, 30.0, reference, np.zeros(60), np.ones(60))


def motions(make_sequence, count, *, seed=0):
    clips = [make_sequence(frames=18, seed=seed + n) for n in range(count)]
    return [Track(clip.positions[:, 0], clip.observed[:, 0], clip.fps) for clip in clips]


def turned(track, angle, shift):
    x, y, z = np.moveaxis(track.positions.astype(np.float64), -1, 0)
    rotated = [np.cos(angle) * x + np.sin(angle) * z, y, np.cos(angle) * z - np.sin(angle) * x]
    return Track(np.stack(rotated, axis=-1) + shift, track.observed, track.fps)


def test_a_forecast_does_not_depend_on_where_somebody_stands_and_faces(make_sequence, form):
    forecaster = Forecaster(motions(make_sequence, 12), form, seen=12)
    tracks = motions(make_sequence, 4, seed=50)
    elsewhere = [turned(track, 1.0 + n, [n, 0.3, 2.0]) for n, track in enumerate(tracks)]
    errors = forecaster.errors(tracks)
    np.testing.assert_allclose(forecaster.errors(elsewhere), errors, rtol=1e-3)


def test_it_beats_standing_still_and_hears_of_a_wrong_past(make_sequence, form):
    forecaster = Forecaster(motions(make_sequence, 40), form, seen=12)
    tracks = motions(make_sequence, 6, seed=90)
    still = [np.linalg.norm(t.positions[12:] - t.positions[11], axis=-1).mean() for t in tracks]
    errors = forecaster.errors(tracks)
    assert errors.mean() < 0.5 * np.mean(still)
    frozen = [np.repeat(t.positions[:1], 12, axis=0) for t in tracks]
    assert forecaster.errors(tracks, frozen).mean() > 2 * errors.mean()
    known = [t.positions[:12] for t in tracks]
    np.testing.assert_array_equal(forecaster.errors(tracks, known), errors)


def test_a_forecast_error_is_in_metres_per_joint(make_sequence, form):
    """Of motions that stand still the forecast stands still: what moves off is missed by that."""
    tracks = motions(make_sequence, 6)
    still = [Track(np.repeat(t.positions[:1], 18, axis=0), t.observed, t.fps) for t in tracks]
    moved = [Track(t.positions.copy(), t.observed, t.fps) for t in still]
    for track in moved:
        track.positions[12:] += np.float32([0.3, 0.0, 0.4])
    found = Forecaster(still, form, seen=12).errors(moved)
    np.testing.assert_allclose(found, 0.5, rtol=1e-5)
