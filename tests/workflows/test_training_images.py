from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from skelaug.errors import DataError, NotFoundError
from skelaug.image.codec import ImageCodec
from skelaug.image.store import ImageFile
from skelaug.place import Place
from skelaug.workflows import images as make_images
from skelaug.workflows.training_clips import training_clips
from skelaug.workflows.training_images import (
    AugmentConfig,
    CodecConfig,
    ImageTrainingConfig,
    TrainingImages,
    stand_in_images,
    training_images,
)

HERE = Place(torch.device("cpu"))


def loaded(data: Path, cache: Path, *, split: str = "", **codec: int) -> TrainingImages:
    clips = training_clips(data, split=split)
    config = ImageTrainingConfig(data=data, out=cache.parent / "run", codec=CodecConfig(**codec))
    return training_images(clips, config, cache=cache, place=HERE)


def test_images_are_those_of_the_training_clips_in_their_order(data_file, tmp_path, labelled_clips):
    images = loaded(data_file, tmp_path / "images.h5", split="subject=1,3")
    chosen = [clip for clip in labelled_clips() if clip.subject in (1, 3)]
    assert len(images) == len(chosen) == 16
    assert isinstance(images.pixels, np.memmap)
    codec = ImageCodec(chosen[0].layout, scale=images.codec.scale)
    for i, clip in enumerate(chosen):
        np.testing.assert_allclose(images.pixels[i], codec.encode(clip).pixels, atol=1e-6)
        assert images.clips.classes[images.clips.labels[i]] == clip.label
    assert np.abs(images.pixels).max() == pytest.approx(1.0)  # the scale fits these clips


def test_an_images_file_is_used_in_place_and_only_its_training_part_counts(data_file, tmp_path):
    made = make_images.ImagesConfig(data=data_file, out=tmp_path / "made.h5")
    make_images.run(made)
    images = loaded(made.out, tmp_path / "never.h5", split="subject=2")
    assert not (tmp_path / "never.h5").exists()
    file = ImageFile(made.out)
    rows = np.flatnonzero(file.subjects == 2)
    seen, labels = images.batch(np.arange(len(images)))
    expected = images.normalizer.normalize(torch.from_numpy(file.pixels[rows]))
    torch.testing.assert_close(seen, expected)
    assert labels.tolist() == file.labels[rows].tolist()
    assert float(seen.double().mean()) == pytest.approx(0, abs=1e-5)


def test_durations_are_at_most_64_quantiles_from_shortest_to_longest(
    tmp_path, make_sequence, write_file
):
    clips = [make_sequence("walk", name=f"w{n}", frames=n, seed=n) for n in range(20, 120)]
    clips += [make_sequence("wave", name=f"v{n}", frames=n, fps=15.0) for n in (40, 30)]
    facts = training_clips(write_file(tmp_path / "data.h5", clips))
    table = facts.durations
    assert table["wave"] == [2.0, pytest.approx(40 / 15, abs=1e-4)]
    assert len(table["walk"]) == 64
    assert (table["walk"][0], table["walk"][-1]) == pytest.approx((20 / 30, 119 / 30), abs=1e-4)
    assert table["walk"] == sorted(table["walk"])
    assert facts.fps == 30.0  # the most frequent rate


def test_the_papers_rows_take_ntu_25_as_ntu_24(tmp_path, make_sequence, write_file):
    clips = [make_sequence("walk", name=f"w{i}", layout="ntu_25", seed=i) for i in range(3)]
    data = write_file(tmp_path / "data.h5", clips)
    images = loaded(data, tmp_path / "images.h5", rows=24)
    assert (images.codec.layout.name, images.shape) == ("ntu_24", (3, 24, 24))
    assert loaded(data, tmp_path / "own.h5").shape == (3, 28, 24)


def test_variation_turns_and_resizes_and_depends_on_its_generator_alone(data_file, tmp_path):
    images = loaded(data_file, tmp_path / "images.h5")
    which = np.arange(6)

    def drawn(seed: int, **options: float) -> torch.Tensor:
        numbers = torch.Generator().manual_seed(seed)
        normal, _ = images.batch(which, AugmentConfig(**options), numbers)
        return images.normalizer.denormalize(normal)

    plain = drawn(0)
    assert torch.equal(drawn(0, turn=0.3, size=0.2), drawn(0, turn=0.3, size=0.2))
    assert not torch.equal(drawn(0, turn=0.3), drawn(1, turn=0.3))
    turned = drawn(0, turn=0.3)
    torch.testing.assert_close(turned.norm(dim=1), plain.norm(dim=1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(turned[:, 1], plain[:, 1], rtol=1e-4, atol=1e-5)
    ratio = drawn(0, size=0.2).flatten(1).norm(dim=1) / plain.flatten(1).norm(dim=1)
    assert ((ratio > 0.8) & (ratio < 1.2)).all()
    assert len(set(ratio.tolist())) == 6


def test_stand_ins_have_the_size_of_the_images_and_touch_no_disk(data_file, tmp_path):
    clips = training_clips(data_file)
    images = stand_in_images(clips, CodecConfig(rows=24), count=5)
    assert (len(images.pixels), images.shape) == (5, (3, 24, 24))
    assert len(images) == len(clips.rows) == 24  # labels and parts are the real ones
    assert images.batch(np.arange(24))[1].tolist() == clips.labels.tolist()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.h5"]


def test_files_that_hold_no_clips_are_refused(tmp_path, write_file, make_sequence):
    with pytest.raises(NotFoundError):
        training_clips(tmp_path / "none.h5")
    for junk in (b"", b"junk", b"\x89HDF\r\n\x1a\n" + b"\x00" * 64):
        (tmp_path / "junk.h5").write_bytes(junk)
        with pytest.raises(DataError, match="expected an HDF5 file"):
            training_clips(tmp_path / "junk.h5")
    data = write_file(tmp_path / "data.h5", [make_sequence("walk")])
    with pytest.raises(DataError, match="no test clip"):
        training_clips(data, split="subject=1")
