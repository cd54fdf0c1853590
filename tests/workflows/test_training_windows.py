"""From clips to windows that a model of motion learns from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from skelaug.errors import DataError, UsageError
from skelaug.place import Place
from skelaug.seeds import generator
from skelaug.skeleton.windows import window_frames
from skelaug.workflows.training_clips import training_clips
from skelaug.workflows.training_windows import TrainingWindows, VariationConfig, WindowConfig
from skelaug.workflows.window_cache import stand_in_windows, training_windows

CONFIG = WindowConfig(frames=12, hop=4)
STILL = VariationConfig()


def windows(path: Path, config: WindowConfig = CONFIG, *, split: str = "") -> TrainingWindows:
    place = Place(torch.device("cpu"))
    clips = training_clips(path, split=split)
    return training_windows(clips, config, cache=path.with_suffix(".cache"), place=place)


@pytest.fixture
def gappy(tmp_path: Path, write_file: Callable, labelled_clips: Callable) -> Path:
    return write_file(tmp_path / "gappy.h5", labelled_clips(missing=0.2, persons=2))


def test_every_person_of_every_clip_is_a_track(data_file, gappy) -> None:
    made = windows(data_file)
    assert len(made) == 24
    assert made.clip.tolist() == list(range(24))
    for (start, length, stride), row in zip(made.tracks, made.clips.rows, strict=True):
        clip = made.clips.file[int(row)]  # type: ignore[union-attr]
        assert np.array_equal(made.positions[start : start + length], clip.positions[:, 0])
        assert stride == 1
    two = windows(gappy)
    assert len(two) == 48
    assert two.clip.tolist() == [i // 2 for i in range(48)]
    assert np.isfinite(two.positions).all()
    assert 0.7 < two.observed.mean() < 0.9


def test_persons_of_whom_nothing_was_measured_are_no_tracks(
    tmp_path, write_file, make_sequence
) -> None:
    clips = [make_sequence(name=f"{i}", persons=1 + i % 2, seed=i) for i in range(4)]
    assert len(windows(write_file(tmp_path / "some.h5", clips))) == 6


def test_what_is_no_number_was_not_measured_whatever_the_file_says(
    tmp_path, write_file, labelled_clips
) -> None:
    torn = labelled_clips(missing=0.2)
    for clip in torn:
        clip.positions[3, 0, 2], clip.observed[3, 0, 2] = np.nan, True
    made = windows(write_file(tmp_path / "torn.h5", torn))
    assert np.isfinite(made.positions).all()
    assert not made.observed[made.tracks[:, 0] + 3, 2].any()
    assert np.isfinite(made.form.mean).all()


def test_known_entries_of_the_training_windows_are_standardised(data_file, gappy) -> None:
    for path in (data_file, gappy):
        made = windows(path)
        batches = [made.batch(x, seen) for x, seen in made.spread(np.arange(len(made)), 10_000)]
        x = torch.cat([batch.x for batch in batches])
        known = torch.cat([batch.known for batch in batches])
        count = known.sum(dim=(0, 2))
        mean = torch.where(known, x, 0).sum(dim=(0, 2)) / count
        std = (torch.where(known, (x - mean[:, None]) ** 2, 0).sum(dim=(0, 2)) / count).sqrt()
        assert float(mean.abs().max()) < 0.02
        floored = torch.from_numpy(made.form.std <= 0.02)
        assert float((std[~floored] - 1).abs().max()) < 0.02


def test_statistics_see_the_training_part_only(
    tmp_path, write_file, make_sequence, data_file
) -> None:
    own = [make_sequence(name=f"{i}", subject=1, seed=i) for i in range(4)]
    other = [make_sequence("wave", name=f"o{i}", subject=2, seed=i) for i in range(4)]
    alone = windows(write_file(tmp_path / "own.h5", own))
    among = windows(write_file(tmp_path / "all.h5", own + other), split="subject=1")
    assert among.form.to_json() == alone.form.to_json()


def test_windows_that_are_not_varied_are_those_of_the_form(data_file) -> None:
    """Without chance a window is some frames in a row, of which `window_frames` has all."""
    made = windows(data_file)
    track = np.full(int(made.counts[3]), 3)
    number, first = made.located(np.arange(made.counts[3]), np.array([3]))
    assert number.tolist() == track.tolist()
    found = made.times(number, first, STILL, None)
    wanted = window_frames(int(made.tracks[3, 1]), 12, 1, 4)
    rows = {tuple(row) for row in wanted.tolist()}
    assert {tuple(row) for row in found.astype(int).tolist()} <= rows
    x, observed = made.read(number, found)
    clip = made.clips.file[3]  # type: ignore[index]
    assert np.array_equal(x.numpy(), clip.positions[found.astype(int), 0])
    assert bool(observed.all())


def test_each_window_number_names_one_place_of_one_track(data_file) -> None:
    made = windows(data_file)
    among = np.array([2, 5, 11])
    total = int(made.counts[among].sum())
    track, first = made.located(np.arange(total), among)
    assert len({(t, f) for t, f in zip(track.tolist(), first.tolist(), strict=True)}) == total
    assert set(track.tolist()) == set(among.tolist())
    assert (np.bincount(track)[among] == made.counts[among]).all()


@pytest.mark.parametrize("fps", [30.0, 120.0])
def test_a_varied_window_stays_within_its_track_and_keeps_its_steps(
    tmp_path, write_file, make_sequence, fps
) -> None:
    clips = [make_sequence(name=f"{n}", frames=n, fps=fps) for n in (1, 2, 5, 40, 120)]
    made = windows(write_file(tmp_path / "some.h5", clips))
    track, first = made.located(np.arange(made.counts.sum()), np.arange(5))
    for step in range(20):
        varied = VariationConfig(tempo=0.3)
        times = made.times(track, first, varied, generator(step))
        length = made.tracks[track, 1][:, None]
        assert ((times >= 0) & (times <= length - 1)).all()
        plain = made.times(track, first, STILL, generator(step))
        assert (plain == np.floor(plain)).all()
        kept = (np.abs(times - plain) < 1e-9).all(axis=1)
        assert kept.any()
        inside = made.tracks[track, 1] >= 12 * fps / 30
        assert (np.diff(plain[inside]) == fps / 30).all()
        x, _ = made.read(track, times)
        assert bool(torch.isfinite(x).all())


def test_in_between_frames_positions_are_linear_and_need_both(data_file) -> None:
    made = windows(data_file)
    x, observed = made.read(np.array([0]), np.array([[2.25, 3.0]]))
    clip = made.positions[: made.tracks[0, 1]]
    np.testing.assert_allclose(x[0, 0], 0.75 * clip[2] + 0.25 * clip[3], rtol=1e-5)
    np.testing.assert_array_equal(x[0, 1], clip[3])
    assert bool(observed.all())
    object.__setattr__(made, "observed", made.observed.copy())
    made.observed[4, 7] = False
    _, observed = made.read(np.array([0]), np.array([[3.0, 3.5, 4.5]]))
    assert observed[0, :, 7].tolist() == [True, False, False]


def test_a_mirrored_window_has_the_features_of_the_mirrored_clip(data_file) -> None:
    """Mirrored twice it is the same; mirrored once, left is right and x is negated."""
    made = windows(data_file)
    track, first = made.located(np.arange(6), np.arange(24))
    x, observed = made.read(track, made.times(track, first, STILL, None))
    which = torch.tensor([True, False] * 3)
    once, seen = made.mirrored(x, observed, which)
    assert torch.equal(made.mirrored(once, seen, which)[0], x)
    assert torch.equal(once[1::2], x[1::2])
    left, right = made.layout.mirror[0]
    assert torch.equal(once[0, :, left], x[0, :, right] * torch.tensor([-1.0, 1.0, 1.0]))


def test_hidden_entries_are_learnt_but_neither_seen_nor_used_for_the_body_frame(gappy) -> None:
    made = windows(gappy)
    track, first = made.located(np.arange(8), np.arange(48))
    x, observed = made.read(track, made.times(track, first, STILL, None))
    hidden = torch.rand(observed.shape, generator=generator(0)) < 0.3
    batch = made.batch(x, observed, hidden)
    root = 3 * made.layout.root
    assert torch.equal(batch.known[:, root : root + 1], observed.mT[:, :1])
    assert bool((batch.known <= batch.known[:, root : root + 1]).all())
    assert torch.equal(batch.seen, (observed & ~hidden).mT.repeat_interleave(3, dim=1))
    assert bool((batch.shown[~batch.seen] == 0).all())
    other = torch.where((observed & ~hidden)[..., None], x, x + 1)
    again = made.batch(other, observed, hidden)
    torch.testing.assert_close(again.shown, batch.shown, rtol=0, atol=1e-4)
    assert not torch.allclose(again.x, batch.x)


def test_a_model_that_reads_no_mask_is_shown_everything(gappy) -> None:
    made = windows(gappy)
    x, observed = next(made.spread(np.arange(48), 8))
    batch = made.batch(x, observed)
    assert bool(batch.seen.all())
    assert torch.equal(batch.shown, batch.x)
    assert not bool(batch.known.all())


def test_the_number_of_windows_is_known_from_the_lengths_alone(data_file) -> None:
    made = windows(data_file, WindowConfig(frames=12, hop=1))
    assert (made.counts == made.tracks[:, 1] - 11).all()


def test_files_that_are_no_sequences_of_positions_are_refused(
    tmp_path, write_file, make_sequence
) -> None:
    flat = make_sequence(name="flat")
    flat = flat.replaced(positions=flat.positions[..., :2])
    path = write_file(tmp_path / "flat.h5", [flat], channels=2)
    with pytest.raises(DataError, match="3 coordinates, got 2"):
        stand_in_windows(training_clips(path), CONFIG)
    clip = make_sequence(name="empty")
    nothing = clip.replaced(
        positions=np.full_like(clip.positions, np.nan), observed=np.zeros_like(clip.observed)
    )
    path = write_file(tmp_path / "empty.h5", [nothing])
    with pytest.raises(DataError, match="in which a joint was measured, got none"):
        windows(path)
    rootless = clip.observed.copy()
    rootless[:, :, clip.layout.root] = False
    positions = np.where(rootless[..., None], clip.positions, np.nan)
    path = write_file(
        tmp_path / "rootless.h5", [clip.replaced(observed=rootless, positions=positions)]
    )
    with pytest.raises(DataError, match=r"rootless.h5.*hips"):
        windows(path)


def test_images_are_refused_with_what_to_do(data_file, tmp_path) -> None:
    from skelaug.data.store import SequenceFile
    from skelaug.image.codec import ImageCodec, fitted_codec
    from skelaug.image.store import ImageSchema, write_images

    with SequenceFile(data_file) as data:
        codec = fitted_codec(data, ImageCodec(data.layout))
        schema = ImageSchema(codec=codec, classes=data.classes, count=len(data))
        write_images(tmp_path / "images.h5", data, schema, provenance=data.provenance)
    with pytest.raises(UsageError, match="conditional=true"):
        stand_in_windows(training_clips(tmp_path / "images.h5"), CONFIG)
