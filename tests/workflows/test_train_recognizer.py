from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from skelaug.augment import apply
from skelaug.augment.drawing import draw
from skelaug.checkpoint import load_checkpoint
from skelaug.config import load
from skelaug.data.store import SequenceFile
from skelaug.errors import DataError, NotFoundError, UsageError
from skelaug.models.recognizers import RECOGNIZERS
from skelaug.place import Place
from skelaug.seeds import Stream, numpy_generator
from skelaug.skeleton.preparation import PROFILES
from skelaug.workflows import train_recognizer
from skelaug.workflows.recognizer import load_recognizer
from skelaug.workflows.run_directory import resolve
from skelaug.workflows.train_recognizer import PRESETS, RecognizerLoss, TrainRecognizerConfig
from skelaug.workflows.training_clips import training_clips
from skelaug.workflows.training_motions import PreparationConfig, training_motions

HERE = Place(torch.device("cpu"))
SMALL = {
    "model": {"name": "compact", "arguments": {"widths": [8, 16]}},
    "streams": ["joint", "bone"],
    "augment": {"bones": 0.1, "rotation_y": 0.3},
    "optimisation": {"steps": 4, "batch": 8, "lr": 5e-3, "precision": "fp32"},
    "log_every": 2,
}


def train(data: Path, out: Path, *overrides: str, preset: object = None, **options):
    flags = {"data": data, "out": out}
    config = load(TrainRecognizerConfig, preset=preset or SMALL, overrides=overrides, flags=flags)
    return train_recognizer.run(config, device="cpu", **options)


def test_it_learns_and_is_tested_once_on_the_subjects_left_out(data_file, tmp_path):
    report = train(data_file, tmp_path / "run", "split=subject=1,2", "optimisation.steps=60")
    scores = report.scores
    assert scores["clips"] == 8
    assert scores["chance"] == pytest.approx(0.25)
    assert set(scores["classes"]) == {"kick forward", "walk", "wave", "sit [slow]"}
    assert (tmp_path / "run" / "confusion.png").stat().st_size > 1000
    assert json.loads((tmp_path / "run" / "scores.json").read_text()) == scores
    assert "test accuracy" in (tmp_path / "run" / "card.md").read_text()
    assert not (tmp_path / "run" / "motions.h5").exists()
    recognizer = load_recognizer(tmp_path / "run")
    with SequenceFile(data_file) as file:
        rows = np.flatnonzero(file.subjects == 3)
        answers = recognizer.logits(file[int(row)] for row in rows).argmax(axis=1)
        assert (answers == file.labels[rows]).mean() == pytest.approx(scores["accuracy"])


def test_the_checkpoint_says_how_clips_are_prepared(data_file, tmp_path):
    train(data_file, tmp_path / "run", "preparation.frames=20")
    model = load_checkpoint(tmp_path / "run" / "model.safetensors", expect="recognizer")
    assert model.meta["preparation"] == {"profile": "heading", "frames": 20, "persons": 1}
    assert model.meta["streams"] == ["joint", "bone"]
    assert model.arguments["channels"] == 6


@pytest.mark.parametrize("name", RECOGNIZERS)
def test_every_recognizer_trains_for_a_step(data_file, tmp_path, name):
    small = {"compact": {"widths": [8, 8]}}.get(name, {})
    preset = {
        "model": {"name": name, "arguments": small},
        "preparation": {"profile": "ctr", "frames": 16},
        "optimisation": {"steps": 1, "batch": 2, "optimizer": "sgd", "lr": 0.01},
    }
    report = train(data_file, tmp_path / "run", preset=preset)
    assert report.steps == 1
    assert report.skipped == 0


def test_a_batch_is_augmentation_then_fit_then_streams_of_its_own_address(data_file, tmp_path):
    clips = training_clips(data_file)
    motions = training_motions(
        clips, PreparationConfig(), ("joint", "bone"), cache=tmp_path / "m.h5", place=HERE
    )
    config = TrainRecognizerConfig(data=data_file, out=tmp_path, augment={"rotation_y": 0.5})
    which = np.array([3, 3, 0])
    x, labels = motions.batch(which, config.augment, seed=5, step=7)
    assert x.shape == (3, 6, 32, 20, 1)
    assert labels.tolist() == clips.labels[which].tolist()
    with SequenceFile(data_file) as file:
        for place, row in enumerate(which):
            placed = PROFILES["heading"].place(file[int(row)], 1)
            numbers = numpy_generator(5, Stream.AUGMENT, 7, place)
            draws = draw(config.augment, layout=file.layout, frames=len(placed), generator=numbers)
            fitted = PROFILES["heading"].fit(apply(placed, file.layout, draws), 32, numbers)
            np.testing.assert_array_equal(x[place, :3].permute(1, 3, 2, 0), fitted)
            parents = [max(parent, 0) for parent in file.layout.parents]
            bones = fitted - fitted[:, :, parents]
            np.testing.assert_allclose(x[place, 3:].permute(1, 3, 2, 0), bones, atol=1e-6)
    assert not torch.equal(x[0], x[1])  # the same clip, two places of the batch


def test_mixup_blends_inputs_and_targets(data_file, tmp_path):
    report = train(data_file, tmp_path / "run", "mixup=0.4", "label_smoothing=0.1")
    assert report.log["loss"] is not None


def test_the_loss_of_probabilities_is_that_of_classes():
    logits = torch.randn(5, 4, dtype=torch.float64)
    labels = torch.tensor([0, 3, 1, 1, 2])
    exact = torch.nn.functional.one_hot(labels, 4).double()
    one, other = (RecognizerLoss(0.1)(lambda _: logits, logits, t) for t in (labels, exact))
    torch.testing.assert_close(one["loss"], other["loss"])
    smooth = 0.9 * exact + 0.1 / 4
    torch.testing.assert_close(one["loss"], -(smooth * logits.log_softmax(dim=1)).sum(dim=1).mean())


def test_a_killed_and_resumed_run_equals_an_uninterrupted_one(data_file, tmp_path):
    settings = {**SMALL, "checkpoint_every": 3, "mixup": 0.3}
    settings["optimisation"] = {**SMALL["optimisation"], "steps": 6}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings))

    def command(out, *options):
        return [
            *(sys.executable, "-m", "skelaug", "train", "recognizer", str(data_file), "--quiet"),
            *("--device", "cpu", "--config", str(tmp_path / "config.yaml")),
            *("--out", str(tmp_path / out), *options),
        ]

    # Another number of threads adds in another order, which Adam makes visible where a
    # gradient is zero but for rounding; so every process here has one.
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(command("whole"), env=one_thread, check=True)
    process = subprocess.Popen(command("killed"), env=one_thread)
    state = tmp_path / "killed" / "state.pt"
    deadline = time.monotonic() + 120
    while not state.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    subprocess.run(command("killed", "--resume"), env=one_thread, check=True)

    whole, resumed = (tmp_path / name for name in ("whole", "killed"))
    steps = [
        [json.loads(line)["step"] for line in (run / "log.jsonl").read_text().splitlines()]
        for run in (whole, resumed)
    ]
    assert steps[0] == steps[1]
    first, second = (load_checkpoint(r / "model.safetensors").weights for r in (whole, resumed))
    for name, tensor in first.items():
        torch.testing.assert_close(tensor, second[name], atol=0, rtol=0)


def test_a_share_of_every_class_is_drawn_by_the_seed(data_file):
    whole = training_clips(data_file, split="subject=1,2")
    half = training_clips(data_file, split="subject=1,2", fraction=0.5, seed=1)
    assert set(half.rows) < set(whole.rows)
    assert all(count == whole.counts[name] // 2 for name, count in half.counts.items())
    assert half.split.hash != whole.split.hash
    np.testing.assert_array_equal(half.split.test, whole.split.test)
    np.testing.assert_array_equal(
        half.rows, training_clips(data_file, split="subject=1,2", fraction=0.5, seed=1).rows
    )
    draws = {
        tuple(training_clips(data_file, split="subject=1,2", fraction=0.5, seed=seed).rows)
        for seed in range(5)
    }
    assert len(draws) > 1
    least = training_clips(data_file, split="subject=1,2", fraction=0.01)
    assert set(least.counts.values()) == {1}


def test_weights_of_another_run_are_taken_over_by_name(
    data_file, tmp_path, labelled_clips, write_file
):
    train(data_file, tmp_path / "first")
    classes = ("wave", "walk", "clap")
    clips = [clip for clip in labelled_clips() if clip.label in classes]
    clips += [clip.replaced(label="clap", name=f"{clip.name}b") for clip in clips[:4]]
    other = write_file(tmp_path / "other.h5", clips, classes=classes)
    report = train(
        other, tmp_path / "second", f"init_from={tmp_path / 'first'}", "optimisation.lr=1e-9"
    )
    assert "classes known by name: 2 of 3 (wave, walk)" in report.start
    first, second = (
        load_checkpoint(tmp_path / n / "model.safetensors") for n in ("first", "second")
    )
    wave = first.classes.index("wave")
    torch.testing.assert_close(
        second.weights["classify.weight"][0],
        first.weights["classify.weight"][wave],
        atol=1e-6,
        rtol=0,
    )
    with pytest.raises(UsageError, match=r"expected a ctr-gcn network, got compact"):
        train(
            other,
            tmp_path / "third",
            f"init_from={tmp_path / 'first'}",
            *("model.name=ctr-gcn", "model.arguments={}"),
        )
    with pytest.raises(NotFoundError, match="nowhere"):
        train(other, tmp_path / "third", "init_from=nowhere")


def test_one_class_or_one_clip_cannot_be_learnt(tmp_path, make_sequence, write_file):
    same = [make_sequence("walk", name=f"w{i}") for i in range(4)]
    with pytest.raises(DataError, match=r"two or more classes.*'walk'"):
        train(write_file(tmp_path / "same.h5", same, classes=("walk",)), tmp_path / "run")
    with pytest.raises(DataError, match="two clips or more"):
        train(write_file(tmp_path / "one.h5", same[:1], classes=("walk",)), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_class_that_only_the_test_part_has_is_told(tmp_path, make_sequence, write_file):
    clips = [
        make_sequence(label, name=f"{label}{subject}{i}", subject=subject)
        for label in ("walk", "wave")
        for subject in (1, 2)
        for i in range(3)
    ]
    clips.append(make_sequence("jump", name="j", subject=2))
    data = write_file(tmp_path / "d.h5", clips, classes=("walk", "wave", "jump"))
    report = train(data, tmp_path / "run", "split=subject=1")
    assert any("lacks: 'jump'" in warning for warning in report.warnings)
    assert any("fewer than 5 clips in 'walk', 'wave'" in warning for warning in report.warnings)
    assert report.scores["classes"]["jump"] == 0


def test_clips_of_one_frame_and_gaps_are_learnt_from(tmp_path, make_sequence, write_file):
    clips = [
        make_sequence(label, name=f"{label}{i}", frames=1 + 9 * (i % 2), missing=0.3, seed=i)
        for label in ("walk", "wave")
        for i in range(4)
    ]
    report = train(write_file(tmp_path / "d.h5", clips, classes=("walk", "wave")), tmp_path / "run")
    assert report.skipped == 0
    assert np.isfinite(report.log["loss"])


def test_nothing_is_left_for_a_test_without_a_split(data_file, tmp_path):
    report = train(data_file, tmp_path / "run")
    assert report.scores == {}
    assert any("--split" in warning for warning in report.warnings)


@pytest.mark.parametrize("network", sorted(set(RECOGNIZERS) - {"compact", "kinematics"}))
def test_the_paper_preset_is_that_of_the_chosen_network(network, data_file, tmp_path):
    flags = {"data": data_file, "out": tmp_path / "run"}
    config = resolve(
        TrainRecognizerConfig,
        PRESETS,
        preset="paper",
        overrides=[f"model.name={network}"],
        flags=flags,
    )
    expected = load(TrainRecognizerConfig, preset=PRESETS[f"paper/{network}"], flags=flags)
    assert config == expected
    assert config.optimisation.optimizer == "sgd"


def test_a_dry_run_estimates_and_writes_nothing(data_file, tmp_path):
    report = train(data_file, tmp_path / "run", dry_run=True)
    assert report.dry_run
    assert report.estimated_seconds > 0
    assert not (tmp_path / "run").exists()


def test_images_are_refused(data_file, tmp_path):
    from skelaug.workflows import images

    images.run(images.ImagesConfig(data=data_file, out=tmp_path / "images.h5"))
    with pytest.raises(UsageError, match="file of sequences"):
        train(tmp_path / "images.h5", tmp_path / "run")


def test_test_clips_that_are_copies_of_training_clips_are_counted(
    data_file, tmp_path, labelled_clips, write_file
):
    clips = labelled_clips()
    taught = next(clip for clip in clips if clip.subject == 1)
    clips.append(taught.replaced(name="copy", subject=3))
    classes = tuple(dict.fromkeys(clip.label for clip in clips))
    data = write_file(tmp_path / "d.h5", clips, classes=classes)
    assert training_clips(data, split="subject=1,2").leaked == {len(clips) - 1}
    scores = train(data, tmp_path / "run", "split=subject=1,2").scores
    assert (scores["clips"], scores["copies"]) == (9, 1)
    assert round(scores["accuracy_without_copies"] * 8) in (
        round(scores["accuracy"] * 9),
        round(scores["accuracy"] * 9) - 1,
    )
    assert (
        "accuracy_without_copies"
        not in train(data_file, tmp_path / "clean", "split=subject=1,2").scores
    )
