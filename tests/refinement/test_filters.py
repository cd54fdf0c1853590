"""Filters against their definitions; what each promises to leave alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from skelaug.refinement.filters import (
    FILTERS,
    butterworth,
    moving_median,
    one_euro,
    savitzky_golay,
)

FPS = 60.0


def noise(frames: int = 90, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=(frames, 4, 3))


def along(curve: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same course T of every coordinate, each of its own slope and height, T 4 3."""
    numbers = np.random.default_rng(1)
    return curve[:, None, None] * numbers.uniform(0.5, 1, (4, 3)) + numbers.normal(size=(4, 3))


@pytest.mark.parametrize("name", FILTERS)
def test_a_body_at_rest_stays_where_it_is(name) -> None:
    still = np.broadcast_to(noise(1), (90, 4, 3))
    np.testing.assert_allclose(FILTERS[name](still, FPS), still, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", FILTERS)
def test_a_root_at_zero_stays_at_zero(name) -> None:
    rooted = noise()
    rooted[:, 2] = 0
    found = FILTERS[name](rooted, FPS)
    assert not found[:, 2].any()
    assert (found[1:, [0, 1, 3]] != rooted[1:, [0, 1, 3]]).mean() > 0.5


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [("savitzky-golay", 1e-12), ("moving-median", 0.0), ("butterworth", 2e-4)],
)
def test_a_straight_line_is_not_changed(name, tolerance) -> None:
    line = along(np.arange(90) / FPS)
    np.testing.assert_allclose(FILTERS[name](line, FPS), line, rtol=0, atol=tolerance)


def test_a_cubic_is_not_changed_by_savitzky_and_golay() -> None:
    time = np.arange(90) / FPS
    cubic = along(1 - 2 * time + 3 * time**2 - time**3)
    np.testing.assert_allclose(savitzky_golay(cubic, FPS), cubic, rtol=0, atol=1e-11)
    assert np.abs(savitzky_golay(cubic, FPS, degree=2) - cubic).max() > 1e-5


@pytest.mark.parametrize("name", FILTERS)
def test_noise_is_reduced_and_the_mean_of_it_kept(name) -> None:
    jitter = 0.02 * noise(600)
    found = FILTERS[name](jitter, FPS)
    assert np.diff(found, axis=0).std() < 0.6 * np.diff(jitter, axis=0).std()
    assert np.abs(found.mean(0) - jitter.mean(0)).max() < 0.01


@pytest.mark.parametrize("frequency", [0.5, 3.0, 6.0, 9.0])
def test_butterworth_has_the_gain_of_its_definition_twice_and_no_delay(frequency) -> None:
    """The digital filter's gain 1 / (1 + (tan(pi f / F) / tan(pi f_c / F))^(2 n)), both runs."""
    wave = along(np.sin(2 * math.pi * frequency * np.arange(600) / FPS))
    middle = slice(200, 400)
    found, wanted = (x - x[middle].mean(0) for x in (butterworth(wave, FPS), wave))
    warped = math.tan(math.pi * frequency / FPS) / math.tan(math.pi * 6 / FPS)
    gain = 1 / (1 + warped**4)
    np.testing.assert_allclose(found[middle], gain * wanted[middle], rtol=0, atol=1e-3)


def test_savitzky_and_golay_fit_a_polynomial_around_each_frame() -> None:
    x = noise()
    found = savitzky_golay(x, FPS, window=9 / FPS)
    for t in (4, 30, 85):
        fit = np.polynomial.polynomial.polyfit(np.arange(-4, 5), x[t - 4 : t + 5].reshape(9, -1), 3)
        np.testing.assert_allclose(found[t].ravel(), fit[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["butterworth", "savitzky-golay", "moving-median"])
@pytest.mark.parametrize("frames", [10, 90])
def test_run_backwards_a_motion_is_filtered_alike(name, frames) -> None:
    """But for how the Butterworth filter swings in, of which little is left after three periods."""
    x = noise(frames)
    found, wanted = FILTERS[name](x[::-1], FPS)[::-1], FILTERS[name](x, FPS)
    if name != "butterworth":
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12)
    elif frames == 90:
        np.testing.assert_allclose(found, wanted, rtol=0, atol=5e-3)


def test_the_moving_median_is_the_median_of_the_frames_around() -> None:
    x = noise()
    found = moving_median(x, FPS, window=5 / FPS)
    held = np.concatenate([x[:1], x[:1], x, x[-1:], x[-1:]])
    for t in range(90):
        assert np.array_equal(found[t], np.median(held[t : t + 5], axis=0))


def test_of_an_outlier_the_moving_median_leaves_no_trace() -> None:
    line = along(np.arange(90) / FPS)
    hit = line.copy()
    hit[40, 1] += 5
    np.testing.assert_allclose(moving_median(hit, FPS), line, rtol=0, atol=1.1 / FPS)


def test_the_one_euro_filter_is_two_first_order_low_passes() -> None:
    """Casiez et al. 2012, algorithm 1, one number after the other."""
    x = 0.05 * noise(30)

    def alpha(cutoff: float) -> float:
        tau, period = 1 / (2 * math.pi * cutoff), 1 / FPS
        return 1 / (1 + tau / period)

    wanted = np.empty_like(x)
    for joint in range(4):
        for axis in range(3):
            smooth, speed = x[0, joint, axis], 0.0
            wanted[0, joint, axis] = smooth
            for t in range(1, 30):
                raw = (x[t, joint, axis] - smooth) * FPS
                speed = alpha(2.0) * raw + (1 - alpha(2.0)) * speed
                share = alpha(1.5 + 0.7 * abs(speed))
                smooth = share * x[t, joint, axis] + (1 - share) * smooth
                wanted[t, joint, axis] = smooth
    found = one_euro(x, FPS, least_cutoff=1.5, slope=0.7, speed_cutoff=2.0)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-14)


def test_the_one_euro_filter_lags_less_the_faster_the_motion() -> None:
    ends = [along(speed * np.arange(90) / FPS) for speed in (0.1, 10.0)]
    lags = [np.abs(one_euro(x, FPS)[-1] - x[-1]) / np.abs(x[-1] - x[-2]) for x in ends]
    assert (lags[1] < 0.2 * lags[0]).all()


@pytest.mark.parametrize("name", FILTERS)
def test_filters_do_not_depend_on_the_rate_at_which_a_motion_is_seen(name) -> None:
    def motion(rate: float) -> NDArray[np.float64]:
        return along(0.3 * np.sin(2 * math.pi * np.arange(int(3 * rate)) / rate))

    slow, fast = FILTERS[name](motion(60.0), 60.0), FILTERS[name](motion(240.0), 240.0)
    one_frame = 0.3 * 2 * math.pi / 60  # how far the motion goes in it
    np.testing.assert_allclose(slow[30:150], fast[120:600:4], rtol=0, atol=one_frame)


@pytest.mark.parametrize("name", FILTERS)
def test_clips_of_any_length_keep_length_and_dtype(name) -> None:
    for frames in (*range(1, 10), 15, 16, 31):
        x = noise(frames).astype(np.float32)
        before = x.copy()
        for rate in (5.0, 30.0, 120.0):
            found = FILTERS[name](x, rate)
            assert found.shape == x.shape
            assert found.dtype == np.float32
            assert np.isfinite(found).all()
            assert found is not x
            if frames <= 2:
                assert np.array_equal(found, x)
        assert np.array_equal(x, before)


@pytest.mark.parametrize("name", FILTERS)
def test_gaps_and_rates_that_are_none_are_refused(name) -> None:
    holed = noise(5)
    holed[2, 1] = np.nan
    with pytest.raises(ValueError, match="positions: expected finite numbers"):
        FILTERS[name](holed, FPS)
    with pytest.raises(ValueError, match="fps: expected frames per second above 0"):
        FILTERS[name](noise(5), 0.0)
    with pytest.raises(ValueError, match="positions: expected T V C with C = 3"):
        FILTERS[name](noise(5)[0], FPS)
