import numpy as np
import pytest

from skelaug.image.codec import ImageCodec
from skelaug.image.sketch import DIMENSIONS, detector, sketch
from skelaug.skeleton.layouts import get_layout

CODEC = ImageCodec(get_layout("kinect_20"), frames=24, scale=2.0)


def _images(count: int, *, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, (count, *CODEC.shape)).astype(np.float32)


def _rms_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Root mean square distance of the joints that are not the root, in metres, by a loop."""
    total, count = 0.0, 0
    for row in range(1, CODEC.layout.num_joints):
        for frame in range(CODEC.frames):
            total += float(((a[:, row, frame] - b[:, row, frame]) ** 2).sum()) * CODEC.scale**2
            count += 1
    return float(np.sqrt(total / count))


def test_distance_of_sketches_is_the_rms_joint_distance_within_its_error() -> None:
    images = _images(60)
    images[:, :, CODEC.layout.num_joints :] = 0  # padding
    drawn = sketch(images, CODEC)
    assert drawn.shape == (60, DIMENSIONS)
    ratios = [
        np.linalg.norm(drawn[i] - drawn[i + 1]) / _rms_distance(images[i], images[i + 1])
        for i in range(0, 60, 2)
    ]
    # the relative error of one distance is 1 / sqrt(2 D) = 6 %, of the mean of 30 about 1 %
    assert np.mean(ratios) == pytest.approx(1, abs=0.05)
    assert np.std(ratios) < 3 / np.sqrt(2 * DIMENSIONS)


def test_the_path_of_the_root_does_not_count() -> None:
    images = _images(2)
    moved = images.copy()
    moved[:, :, 0] += 0.5
    np.testing.assert_array_equal(sketch(images, CODEC), sketch(moved, CODEC))


def test_a_copy_is_told_from_a_new_clip() -> None:
    training, new = _images(200), _images(50, seed=1)
    copies = detector(sketch(training, CODEC), CODEC)
    near = training[:50] + 0.01 * new
    assert copies.is_copy(near).all()
    assert copies.is_copy(new).mean() < 0.3


def test_threshold_and_typical_are_percentiles_of_distances_to_the_nearest_other_clip() -> None:
    training = _images(300)
    drawn = sketch(training, CODEC)
    nearest = [
        min(np.linalg.norm(drawn[i] - drawn[j]) for j in range(300) if j != i) for i in range(300)
    ]
    found = detector(drawn, CODEC)
    assert found.threshold == pytest.approx(np.percentile(nearest, 5), rel=1e-5)
    assert found.typical == pytest.approx(np.median(nearest), rel=1e-5)
