"""What a denoiser is told, and how often it sees whom."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from skelaug.errors import DataError, UsageError
from skelaug.place import Place
from skelaug.workflows.diffusion_batches import (
    FavourConfig,
    Telling,
    denoising_batches,
    favoured,
    performer_indices,
)
from skelaug.workflows.training_clips import training_clips
from skelaug.workflows.training_images import (
    AugmentConfig,
    ImageTrainingConfig,
    TrainingImages,
    training_images,
)

CLASSES, SUBJECTS = 4, (1, 2, 3)
ALL = Telling(0.0, performers=True)


@pytest.fixture
def images(data_file, tmp_path) -> TrainingImages:
    return pictured(data_file, tmp_path)


def pictured(data, folder, **which) -> TrainingImages:
    config = ImageTrainingConfig(data=data, out=folder / "run")
    here = Place(torch.device("cpu"))
    clips = training_clips(data, **which)
    return training_images(clips, config, cache=folder / "images.h5", place=here)


def drawn(images, telling, favour=None, *, updates=1, batch=8, seed=0):
    batches = denoising_batches(
        images,
        telling,
        favour or FavourConfig(),
        AugmentConfig(),
        batch=batch,
        levels=1000,
        seed=seed,
    )
    return [torch.cat(parts) for parts in zip(*map(batches, range(updates)), strict=True)]


def numbers_of(images, x0) -> list[int]:
    """Which training clip each image is; no two are the same."""
    every, _ = images.batch(np.arange(len(images)))
    distances = torch.cdist(x0.flatten(1).double(), every.flatten(1).double())
    assert float(distances.min(dim=1).values.max()) < 1e-3
    return distances.argmin(dim=1).tolist()


def test_performers_are_told_beside_what_was_told_before(images):
    before = drawn(images, Telling(0.3), updates=5)
    now = drawn(images, Telling(0.3, performers=True, performer_drop=0.4), updates=5)
    assert (len(before), len(now)) == (4, 5)
    assert all(torch.equal(one, other) for one, other in zip(before, now, strict=False))


def test_every_sample_comes_with_its_own_class_and_performer(images):
    x0, _, _, labels, who = drawn(images, ALL, updates=3)
    clips = images.clips
    rows = numbers_of(images, x0)
    assert labels.tolist() == clips.labels[rows].tolist()
    told = [clips.subjects[place] for place in who]
    assert told == clips.file.subjects[clips.rows[rows]].tolist()


def test_a_sample_without_its_label_is_without_its_performer_and_some_with_it_are_too(images):
    telling = Telling(0.25, performers=True, performer_drop=0.4)
    _, _, _, labels, who = drawn(images, telling, updates=40, batch=100)
    no_label, nobody = labels == CLASSES, who == len(SUBJECTS)
    assert bool(nobody[no_label].all())
    assert float(no_label.double().mean()) == pytest.approx(0.25, abs=0.03)
    assert float(nobody[~no_label].double().mean()) == pytest.approx(0.4, abs=0.03)


def test_unknown_classes_and_performers_are_the_dropped_ones(
    tmp_path, make_sequence, write_file, labelled_clips
):
    strangers = [make_sequence("walk", name=f"s{i}", subject=-1, seed=40 + i) for i in range(3)]
    nameless = [make_sequence("", name=f"n{i}", subject=2, seed=50 + i) for i in range(3)]
    data = write_file(tmp_path / "some.h5", [*labelled_clips(), *strangers, *nameless])
    images = pictured(data, tmp_path)
    assert performer_indices(images.clips).tolist()[-6:] == [3, 3, 3, 1, 1, 1]
    x0, _, _, labels, who = drawn(images, ALL, updates=1, batch=30)
    rows = np.array(numbers_of(images, x0))
    assert sorted(rows) == list(range(30))
    assert set(who[np.isin(rows, [24, 25, 26])].tolist()) == {len(SUBJECTS)}
    assert set(labels[np.isin(rows, [27, 28, 29])].tolist()) == {CLASSES}
    assert set(who[np.isin(rows, [27, 28, 29])].tolist()) == {1}


def test_hidden_labels_are_dropped_and_their_performers_are_not(data_file, tmp_path):
    images = pictured(data_file, tmp_path, labelled="subject=1")
    _, _, _, labels, who = drawn(images, ALL, updates=1, batch=24)
    assert bool(((labels < CLASSES) == (who == 0)).all())
    assert sorted(who.tolist()) == [0] * 8 + [1] * 8 + [2] * 8


@pytest.mark.parametrize(("share", "batch"), [(0.75, 8), (0.3, 8), (0.5, 5)])
def test_favoured_clips_have_exactly_their_share_and_each_part_its_own_epochs(images, share, batch):
    favour = FavourConfig(rule="subject=2", share=share)
    updates = 160
    x0, *_, who = drawn(images, ALL, favour, updates=updates, batch=batch)
    is_favoured = who == 1
    assert int(is_favoured.sum()) == round(share * batch * updates)
    by_update = is_favoured.view(updates, batch).sum(dim=1)
    assert int(by_update.max() - by_update.min()) == (0 if share * batch % 1 == 0 else 1)
    rows = np.array(numbers_of(images, x0))
    for own, size in ((rows[is_favoured], 8), (rows[~is_favoured], 16)):
        epochs = own[: len(own) // size * size].reshape(-1, size)
        assert len(epochs) > 3
        assert all(sorted(epoch) == sorted(set(own)) for epoch in epochs)


def test_an_empty_rule_favours_none(images):
    plain = drawn(images, ALL, updates=3)
    again = drawn(images, ALL, FavourConfig(share=0.9), updates=3)
    assert all(torch.equal(one, other) for one, other in zip(plain, again, strict=True))


def test_a_rule_that_favours_all_or_none_or_nothing_known_is_refused(data_file):
    clips = training_clips(data_file, split="subject=1,2")
    assert favoured(clips, "subject=1,3").sum() == 8
    with pytest.raises(DataError, match="got none; choose another rule"):
        favoured(clips, "subject=3")
    with pytest.raises(DataError, match="some of the 16 training clips, got all"):
        favoured(clips, "subject=1,2")
    with pytest.raises(UsageError, match="no such split"):
        favoured(clips, "actor=1")
