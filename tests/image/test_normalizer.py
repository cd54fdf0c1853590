from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from skelaug.errors import DataError
from skelaug.image.normalizer import ImageNormalizer, fit_normalizer

N, R, F = 700, 5, 6  # more images than are read at once


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    numbers = np.random.default_rng(0)
    spread = numbers.uniform(0.05, 0.6, (3, R, 1))
    pixels = numbers.normal(numbers.uniform(-1, 1, (3, R, 1)), spread, (N, 3, R, F))
    pixels[:, :, -1] = 0.0  # a padding row
    return pixels.astype(np.float32)


def everything(images: np.ndarray) -> np.ndarray:
    return np.arange(len(images))


def test_the_mean_pose_vanishes_and_what_moves_has_one_deviation_in_all(images):
    normal = fit_normalizer(images, everything(images)).normalize(images).astype(np.float64)
    np.testing.assert_allclose(normal.mean(axis=(0, 3)), 0, atol=1e-5)
    moving = normal[:, :, :-1]
    assert np.sqrt((moving**2).mean()) == pytest.approx(1.0, rel=1e-5)
    # one number divides all, so that the proportions of the body survive
    own, before = moving.std(axis=(0, 3)), images[:, :, :-1].std(axis=(0, 3))
    np.testing.assert_allclose(own / before, (own / before)[0, 0], rtol=1e-4)


def test_per_joint_every_moving_row_has_a_deviation_of_one(images):
    normalizer = fit_normalizer(images, everything(images), per_joint=True)
    normal = normalizer.normalize(images)
    np.testing.assert_allclose(normal[:, :, :-1].std(axis=(0, 3)), 1, rtol=1e-4)
    np.testing.assert_array_equal(normal[:, :, -1], 0)


@pytest.mark.parametrize("per_joint", [False, True])
def test_denormalize_is_the_inverse_for_arrays_and_tensors(images, per_joint):
    normalizer = fit_normalizer(images, everything(images), per_joint=per_joint)
    back = normalizer.denormalize(normalizer.normalize(images))
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, images, atol=1e-6)
    tensor = torch.from_numpy(images)
    torch.testing.assert_close(
        normalizer.normalize(tensor), torch.from_numpy(normalizer.normalize(images))
    )
    torch.testing.assert_close(normalizer.denormalize(normalizer.normalize(tensor)), tensor)


def test_the_bounds_hold_every_training_image_and_little_more(images):
    normalizer = fit_normalizer(images, everything(images))
    normal = normalizer.normalize(images)
    lower, upper = normalizer.bounds(normal)
    assert lower.shape == upper.shape == (3, R, 1)
    assert (normal >= lower).all()
    assert (normal <= upper).all()
    reach = normal.max(axis=(0, 3)) - normal.min(axis=(0, 3))
    np.testing.assert_allclose((upper - lower)[..., 0], 1.1 * reach, rtol=1e-4, atol=1e-6)
    assert (lower[:, -1] == 0).all()
    assert (upper[:, -1] == 0).all()


def test_only_the_chosen_images_count_and_their_order_does_not(images):
    chosen = np.arange(0, N, 3)
    normalizer = fit_normalizer(images, chosen)
    assert normalizer == fit_normalizer(images[chosen], np.arange(len(chosen)))
    assert normalizer != fit_normalizer(images, everything(images))
    turned = fit_normalizer(images, chosen[::-1])
    np.testing.assert_allclose(turned.mean, normalizer.mean, atol=1e-7)


def test_it_survives_json_to_the_last_bit(images):
    normalizer = fit_normalizer(images, everything(images))
    back = ImageNormalizer.from_json(json.loads(json.dumps(normalizer.to_json())))
    assert back == normalizer
    np.testing.assert_array_equal(back.normalize(images), normalizer.normalize(images))


@given(shift=st.floats(-2, 2), size=st.floats(0.1, 4))
def test_a_shift_and_a_scale_of_the_pixels_do_not_show(shift, size):
    pixels = np.random.default_rng(1).normal(size=(20, 3, R, F)).astype(np.float32)
    rows = np.arange(20)
    other = (size * pixels + shift).astype(np.float32)
    np.testing.assert_allclose(
        fit_normalizer(other, rows).normalize(other),
        fit_normalizer(pixels, rows).normalize(pixels),
        atol=2e-4 * (1 + abs(shift) / size),
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda pixels: (pixels, []), "expected at least one image"),
        (lambda pixels: (np.full_like(pixels, 0.3), [0, 1]), "the same constant"),
        (lambda pixels: (np.full_like(pixels, np.nan), [0, 1]), "NaN or infinity"),
    ],
)
def test_data_that_cannot_be_normalised_is_refused(images, change, message):
    with pytest.raises(DataError, match=message):
        fit_normalizer(*change(images[:10]))


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"mean": [[1.0]], "std": [[1.0]], "lower": [[1.0]]},
        {"mean": [[1.0]], "std": [[1.0]], "lower": [[1.0]], "upper": [[1.0, 2.0]]},
        {"mean": "x", "std": [[1.0]], "lower": [[1.0]], "upper": [[1.0]]},
        {"mean": [1.0], "std": [1.0], "lower": [1.0], "upper": [1.0]},
    ],
)
def test_a_broken_record_is_refused(broken):
    with pytest.raises(DataError, match="normalizer: expected"):
        ImageNormalizer.from_json(broken)


def test_images_of_another_size_are_refused(images):
    normalizer = fit_normalizer(images, everything(images))
    with pytest.raises(ValueError, match="images: expected N C R F with C = 3, R = 5"):
        normalizer.normalize(images[:, :, :4])
