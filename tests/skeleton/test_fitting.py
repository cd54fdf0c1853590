from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import torch

from skelaug.seeds import Stream, numpy_generator
from skelaug.skeleton.fitting import (
    Fit,
    crop_resized,
    looped,
    resampled,
    resized,
    scaled_picks,
    zero_padded,
)
from skelaug.skeleton.geometry import resample

FITS = {
    "crop_resized": crop_resized,
    "resampled": resampled,
    "looped": looped,
    "zero_padded": zero_padded,
    "scaled_picks": scaled_picks,
}
every_fit = pytest.mark.parametrize("fit", FITS.values(), ids=FITS)


def numbers(*address: int) -> np.random.Generator:
    return numpy_generator(0, Stream.AUGMENT, *address)


def clip(frames: int, *, persons: int = 2, joints: int = 5) -> np.ndarray:
    values = np.random.default_rng(frames).standard_normal((frames, persons, joints, 3))
    return values.astype(np.float32)


def ramp(frames: int) -> np.ndarray:
    """A clip whose every number is that of its frame, so that a result shows where it is from."""
    times = np.arange(frames, dtype=np.float32)
    return np.broadcast_to(times[:, None, None, None], (frames, 1, 2, 3)).copy()


def by_torch(positions: np.ndarray, frames: int) -> np.ndarray:
    rows = torch.from_numpy(positions.astype(np.float64).reshape(1, len(positions), -1))
    wide = torch.nn.functional.interpolate(
        rows.transpose(1, 2), size=frames, mode="linear", align_corners=False
    )
    return wide.transpose(1, 2).reshape(frames, *positions.shape[1:]).numpy()


@pytest.mark.parametrize("frames", [1, 7, 64, 65, 150])
@pytest.mark.parametrize("length", [1, 2, 31, 64, 100])
def test_resizing_is_the_linear_interpolation_of_torch(length: int, frames: int) -> None:
    positions = clip(length)
    # float64 on both sides, so that only the rounding to float32 differs
    expected = by_torch(positions, frames)
    np.testing.assert_allclose(resized(positions, frames), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("length", [1, 2, 63, 64, 200])
def test_resizing_to_the_same_length_changes_nothing(length: int) -> None:
    positions = clip(length)
    np.testing.assert_array_equal(resized(positions, length), positions)


def test_a_training_crop_of_64_frames_or_less_is_the_whole_clip() -> None:
    positions = clip(64)
    for number in range(20):
        kept = crop_resized(positions, 64, numbers(number), crop=0.5)
        np.testing.assert_array_equal(kept, positions)
    short = crop_resized(clip(20), 64, numbers(0), crop=0.5)
    np.testing.assert_array_equal(short, resized(clip(20), 64))


@pytest.mark.parametrize(
    ("length", "skipped"), [(1, 0), (39, 0), (40, 1), (79, 1), (80, 2), (300, 7)]
)
def test_tests_see_the_middle_of_the_clip(length: int, skipped: int) -> None:
    # a fortieth is cut off at both ends, rounded down: 40 frames lose one each
    kept = clip(length)[skipped : length - skipped]
    fitted = crop_resized(clip(length), 64, None, crop=0.5)
    np.testing.assert_allclose(fitted, by_torch(kept, 64), rtol=1e-6, atol=1e-6)


def test_training_crops_keep_from_half_to_all_of_a_long_clip() -> None:
    length, share = 200, 0.5
    spans = []
    for number in range(400):
        # more frames than the clip has: the ends of the crop are not averaged away
        fitted = crop_resized(ramp(length), 400, numbers(number), crop=share)[:, 0, 0, 0]
        assert fitted[0] == round(fitted[0])
        spans.append((fitted[0], fitted[-1]))
    starts, ends = np.array(spans).T
    kept = ends - starts + 1
    assert kept.min() >= share * length
    assert kept.max() <= length
    # the mean of U[1/2, 1] of 200 is 150 with a deviation of 29 / sqrt(400) = 1.4
    assert kept.mean() == pytest.approx(150, abs=6)
    assert starts.min() >= 0
    assert ends.max() <= length - 1
    # a start is uniform in what is left over: half of 200 - kept on average
    assert (starts - (length - kept) / 2).mean() == pytest.approx(0, abs=5)


def test_crops_are_never_shorter_than_64_frames() -> None:
    kept = [
        np.ptp(crop_resized(ramp(80), 400, numbers(number), crop=0.5)) + 1 for number in range(200)
    ]
    assert min(kept) == 64
    assert max(kept) > 75


@pytest.mark.parametrize("length", [1, 2, 20, 90])
def test_the_whole_clip_resampled_keeps_its_ends(length: int) -> None:
    positions = clip(length)
    fitted = resampled(positions, 32, None, crop=0.7)
    np.testing.assert_allclose(fitted, resample(positions, 32), rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(fitted[[0, -1]], positions[[0, -1]])


def test_random_spans_of_a_clip_are_equally_spaced_and_of_the_right_size() -> None:
    spans = []
    for number in range(400):
        times = resampled(ramp(101), 32, numbers(number), crop=0.7)[:, 0, 0, 0]
        np.testing.assert_allclose(np.diff(times), np.ptp(times) / 31, atol=1e-4)
        spans.append((times[0], times[-1]))
    starts, ends = np.array(spans).T
    assert starts.min() >= 0
    assert ends.max() <= 100
    assert (ends - starts).min() >= 70
    assert (ends - starts).mean() == pytest.approx(85, abs=2)  # deviation 8.7 / sqrt(400) = 0.43
    # a start is uniform in what is left over, 15 on average
    assert starts.mean() == pytest.approx(7.5, abs=2)
    assert (starts - (100 - ends)).mean() == pytest.approx(0, abs=3)


def test_a_crop_share_of_one_keeps_everything() -> None:
    for fit in (resampled, crop_resized):
        whole = fit(ramp(100), 100, numbers(3), crop=1.0)
        np.testing.assert_allclose(whole, ramp(100), atol=1e-5)


def test_loops_repeat_the_clip_and_padding_is_zero() -> None:
    positions = clip(7)
    loops = looped(positions, 300, None, crop=1.0)
    for frame in range(300):
        np.testing.assert_array_equal(loops[frame], positions[frame % 7])
    padded = zero_padded(positions, 288, None, crop=1.0)
    np.testing.assert_array_equal(padded[:7], positions)
    assert not padded[7:].any()
    for fit in (looped, zero_padded):
        np.testing.assert_array_equal(fit(clip(310), 300, None, crop=1.0), clip(310)[:300])


def test_every_axis_extends_from_minus_one_to_one() -> None:
    positions = clip(40) * np.array([1, 20, 0.01], dtype=np.float32) + 5
    scaled = scaled_picks(positions, 40, None, crop=1.0)  # all frames in their order
    np.testing.assert_array_equal(scaled.min(axis=(0, 1, 2)), -1)
    np.testing.assert_array_equal(scaled.max(axis=(0, 1, 2)), 1)
    drawn = scaled_picks(positions, 52, numbers(0), crop=1.0)
    assert drawn.min() >= -1
    assert drawn.max() <= 1
    # an affine map per axis: differences keep their proportions, across persons too
    for axis in range(3):
        pairs = positions[..., axis].astype(np.float64).reshape(-1), scaled[..., axis].reshape(-1)
        slope, offset = np.polyfit(*pairs, 1)
        np.testing.assert_allclose(slope * pairs[0] + offset, pairs[1], atol=1e-5)


def test_scaling_forgets_size_and_place_of_each_axis() -> None:
    positions = clip(30)
    moved = positions * np.array([0.5, 1.5, 2], dtype=np.float32) + np.float32(3)
    one, other = (scaled_picks(x, 52, numbers(1), crop=1.0) for x in (positions, moved))
    np.testing.assert_allclose(one, other, atol=1e-5)


def test_an_axis_without_extent_becomes_zero() -> None:
    positions = clip(9)
    positions[..., 1] = 0.7
    scaled = scaled_picks(positions, 52, None, crop=1.0)
    assert not scaled[..., 1].any()
    assert np.ptp(scaled[..., 0]) > 1
    point = np.full((1, 1, 4, 3), 2.5, dtype=np.float32)
    assert not scaled_picks(point, 52, None, crop=1.0).any()


def test_an_absent_person_stays_zero_and_does_not_count() -> None:
    positions = clip(12) + 9
    positions[:, 1] = 0
    scaled = scaled_picks(positions, 12, None, crop=1.0)
    assert not scaled[:, 1].any()
    alone = scaled_picks(positions[:, :1], 12, None, crop=1.0)
    np.testing.assert_array_equal(scaled[:, :1], alone)
    assert not scaled_picks(np.zeros_like(positions), 12, None, crop=1.0).any()


def test_picks_are_whole_frames_in_their_order() -> None:
    for length in (1, 10, 52, 201):
        fitted = scaled_picks(ramp(length), 52, None, crop=1.0)[:, 0, 0, 0]
        whole = [int(i * (length - 1) / 51) for i in range(52)]
        expected = 2 * np.array(whole) / max(length - 1, 1) - (length > 1)
        np.testing.assert_allclose(fitted, expected, atol=1e-6)
    drawn = np.stack([scaled_picks(ramp(11), 52, numbers(i), crop=1.0) for i in range(50)])
    frames = (drawn[:, :, 0, 0, 0] + 1) * 5
    np.testing.assert_allclose(frames, frames.round(), atol=1e-5)
    assert (np.diff(frames, axis=1) >= -1e-5).all()
    # 2600 draws of 11 frames: 236 each, deviation 14.7
    counts = np.bincount(frames.round().astype(int).ravel(), minlength=11)
    assert np.abs(counts - 2600 / 11).max() < 5 * 14.7


@every_fit
@pytest.mark.parametrize("length", [1, 2, 40, 400])
def test_any_clip_gets_the_wanted_length_and_is_not_touched(fit: Fit, length: int) -> None:
    positions = clip(length)
    before = positions.copy()
    for generator in (None, numbers(0)):
        fitted = fit(positions, 33, generator, crop=0.6)
        assert fitted.shape == (33, 2, 5, 3)
        assert fitted.dtype == np.float32
        assert np.isfinite(fitted).all()
        fitted += 1  # a new array, not a view of the clip
    np.testing.assert_array_equal(positions, before)


@every_fit
def test_a_result_depends_on_the_address_of_its_generator_only(fit: Fit) -> None:
    positions = clip(150)
    one, again, other = (fit(positions, 64, numbers(i), crop=0.5) for i in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert (fit in (looped, zero_padded)) == bool(np.array_equal(one, other))
    plain = [fit(positions, 64, None, crop=0.5) for _ in range(2)]
    np.testing.assert_array_equal(*plain)


@every_fit
def test_both_persons_are_taken_from_the_same_frames(fit: Fit) -> None:
    positions = clip(150)
    positions[:, 1] = positions[:, 0]
    fitted = fit(positions, 64, numbers(4), crop=0.5)
    np.testing.assert_array_equal(fitted[:, 0], fitted[:, 1])


@every_fit
def test_a_memory_map_gives_a_plain_array(fit: Fit, tmp_path: Path) -> None:
    np.save(tmp_path / "clip.npy", clip(70))
    mapped = np.load(tmp_path / "clip.npy", mmap_mode="r")
    fitted = fit(np.asarray(mapped), 64, numbers(5), crop=0.5)
    assert type(fitted) is np.ndarray
    np.testing.assert_array_equal(fitted, fit(clip(70), 64, numbers(5), crop=0.5))


@pytest.mark.slow
@every_fit
def test_a_batch_is_fitted_in_four_milliseconds(fit: Fit) -> None:
    clips = [clip(60 + i, persons=1, joints=25) for i in range(32)]
    taken = []
    for turn in range(50):
        streams = [numbers(turn, i) for i in range(32)]
        start = time.perf_counter()
        for positions, generator in zip(clips, streams, strict=True):
            fit(positions, 64, generator, crop=0.5)
        taken.append(time.perf_counter() - start)
    assert min(taken) < 0.004
