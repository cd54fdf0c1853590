"""What is measured on images is what the clips do, and the range is that of the training clips."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from skelaug.data.store import Schema, SequenceFile, write_sequences
from skelaug.errors import DataError
from skelaug.image.codec import ImageCodec
from skelaug.skeleton.layouts import get_layout
from skelaug.skeleton.sequence import SkeletonSequence
from skelaug.workflows.plausible_images import (
    bounds_of_file,
    bounds_of_images,
    bounds_of_model,
    measured,
)

CODEC = ImageCodec(get_layout("kinect_20"), frames=9, persons=2, scale=4.0)


def _by_loop(clip: SkeletonSequence) -> tuple[float, float]:
    """Bone-length variation and acceleration of the present persons, frame by frame."""
    ratios, steps = [], []
    for person in np.flatnonzero(clip.present):
        positions = clip.positions[:, person].astype(np.float64)
        for child, parent in clip.layout.bones:
            lengths = [float(np.linalg.norm(p[child] - p[parent])) for p in positions]
            ratios.append(np.std(lengths) / np.mean(lengths))
        for before, now, after in zip(positions, positions[1:], positions[2:], strict=False):
            steps += np.linalg.norm(after - 2 * now + before, axis=-1).tolist()
    return float(np.mean(ratios)), float(np.mean(steps))


@pytest.mark.parametrize("persons", [1, 2])
def test_an_image_is_measured_as_its_clip_is(make_sequence: Callable, persons: int) -> None:
    clips = [make_sequence("kick forward", frames=9, persons=persons, seed=s) for s in (1, 2)]
    pixels = np.stack([CODEC.encode(clip).pixels for clip in clips])
    found = measured(pixels, CODEC)
    for number, clip in enumerate(clips):
        variation, acceleration = _by_loop(clip)
        assert found["bone_length_variation"][number] == pytest.approx(variation, rel=1e-4)
        assert found["acceleration"][number] == pytest.approx(acceleration, rel=1e-4)


def test_bounds_are_percentiles_of_the_rows_that_count() -> None:
    pixels = np.random.default_rng(0).normal(0, 0.1, (300, *CODEC.shape)).astype(np.float32)
    rows = np.arange(0, 300, 2)
    values = measured(pixels[rows], CODEC)["acceleration"]
    low, high = bounds_of_images(pixels, rows, CODEC)["acceleration"]
    assert (low, high) == pytest.approx(tuple(np.quantile(values, [0.01, 0.99])))
    assert 145 <= ((low <= values) & (values <= high)).sum() < 150


def test_bones_may_be_more_rigid_than_those_of_training_clips() -> None:
    pixels = np.random.default_rng(0).normal(0, 0.1, (20, *CODEC.shape)).astype(np.float32)
    low, high = bounds_of_images(pixels, np.arange(20), CODEC)["bone_length_variation"]
    assert low == 0 < high


def test_a_model_keeps_its_range_and_an_old_one_has_none() -> None:
    assert bounds_of_model({}) is None
    assert bounds_of_model({"plausibility": {"acceleration": [0, 1]}}) == {"acceleration": (0, 1)}


def test_a_file_gives_the_range_of_its_images(
    tmp_path: Path, make_sequence: Callable, write_file: Callable[..., Path]
) -> None:
    clips = [make_sequence("walk", name=str(s), frames=20 + s, seed=s) for s in range(6)]
    with SequenceFile(write_file(tmp_path / "like.h5", clips)) as file:
        found = bounds_of_file(file, CODEC)
    pixels = np.stack([CODEC.encode(clip).pixels for clip in clips])
    assert found == bounds_of_images(pixels, np.arange(6), CODEC)


def test_a_file_without_clips_gives_no_range(tmp_path: Path) -> None:
    empty = tmp_path / "none.h5"
    write_sequences(empty, [], Schema(CODEC.layout, ("walk",)), provenance=[])
    with SequenceFile(empty) as file, pytest.raises(DataError, match="expected clips to take"):
        bounds_of_file(file, CODEC)
