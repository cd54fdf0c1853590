from __future__ import annotations

import contextlib
import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from skelaug.checkpoint import load_checkpoint
from skelaug.config import load
from skelaug.errors import DataError, InterruptedRunError
from skelaug.image.normalizer import ImageNormalizer
from skelaug.image.store import ImageFile
from skelaug.models import GUIDES, build
from skelaug.workflows import images as make_images
from skelaug.workflows import train_guide
from skelaug.workflows.run_directory import resolve
from skelaug.workflows.train_guide import PRESETS, GuideLoss, TrainGuideConfig

SMALL = {
    "st-trans": {"variant": "xxs"},
    "frame": {"width": 32, "depth": 1},
    "cnn": {"width_factor": 0.25, "depth_factor": 0.3},
    "vit": {"width": 16, "depth": 1, "heads": 2, "patch": 4},
    "noisy-unet": {"width": 32, "multipliers": [1, 1], "blocks": 1, "attention_factors": [2]},
}


def settings(name: str, **optimisation: object) -> dict[str, object]:
    return {
        "model": {"name": name, "arguments": SMALL[name]},
        "optimisation": {"steps": 4, "batch": 8, "lr": 3e-3, **optimisation},
        "held_out": 0.25,
        "evaluate_every": 2,
        "log_every": 2,
    }


def train(data: Path, out: Path, preset: dict[str, object], *overrides: str, **options):
    flags = {"data": data, "out": out}
    config = load(TrainGuideConfig, preset=preset, overrides=overrides, flags=flags)
    return train_guide.run(config, device="cpu", **options)


def log(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("name", GUIDES)
def test_every_guide_trains_and_its_checkpoint_gives_logits_with_a_gradient(
    data_file, tmp_path, name
):
    report = train(data_file, tmp_path / "run", settings(name))
    model = load_checkpoint(tmp_path / "run" / "model.safetensors", expect="guide")
    assert model.kind == name
    network = build(model.kind, model.arguments).eval()
    network.load_state_dict(dict(model.weights))
    x = torch.randn(2, 3, 20, 24, requires_grad=True)
    extra = (torch.tensor([3.0, 700.0]),) if name == "noisy-unet" else ()
    assert model.meta["is_noisy"] is (name == "noisy-unet")
    logits = network(x, *extra)
    assert logits.shape == (2, 4)
    (gradient,) = torch.autograd.grad(functional.log_softmax(logits, 1)[:, 0].sum(), x)
    assert torch.isfinite(gradient).all()
    assert float(gradient.abs().max()) > 0
    assert report.best["step"] in (2, 4)
    assert model.meta["step"] == report.best["step"]


def test_it_learns_the_classes_and_keeps_the_best_weights(data_file, tmp_path):
    report = train(
        data_file,
        tmp_path / "run",
        settings("frame", steps=40, batch=16, clip=1.0),
        *("evaluate_every=10", "smoothed=0.5", "augment.turn=0.1", "augment.size=0.05"),
    )
    lines = log(tmp_path / "run")
    judged = [line for line in lines if "score" in line]
    assert [line["step"] for line in judged] == [10, 20, 30, 40]
    assert set(judged[0]) == {
        *("step", "score", "accuracy_at_0", "accuracy_at_100", "accuracy_at_300"),
        *("accuracy_at_500", "accuracy_at_699", "accuracy_at_899"),
    }
    assert report.best["score"] == max(line["score"] for line in judged)
    assert report.best["accuracy_at_0"] >= 0.8  # chance is 0.25


def test_the_kept_weights_have_the_score_that_is_reported(data_file, tmp_path):
    """Second derivation: the held-out loss again, from the files alone."""
    made = make_images.ImagesConfig(data=data_file, out=tmp_path / "images.h5")
    make_images.run(made)
    config = load(
        TrainGuideConfig,
        preset=settings("st-trans", steps=6),
        flags={"data": made.out, "out": tmp_path / "run"},
    )
    report = train_guide.run(config, device="cpu")
    from skelaug.seeds import Stream, numpy_generator

    file = ImageFile(made.out)
    held = np.sort(numpy_generator(0, Stream.SPLIT).permutation(np.arange(24))[:6])
    model = load_checkpoint(tmp_path / "run" / "model.safetensors")
    network = build(model.kind, model.arguments).eval()
    network.load_state_dict(dict(model.weights))
    normalizer = ImageNormalizer.from_json(model.meta["normalizer"])
    with torch.no_grad():
        logits = network(normalizer.normalize(torch.from_numpy(file.pixels[held])))
    truth = torch.from_numpy(file.labels[held].astype(np.int64))
    assert report.best["score"] == pytest.approx(-float(functional.cross_entropy(logits, truth)))


def test_held_out_clips_teach_nothing(tmp_path, labelled_clips, write_file):
    from skelaug.seeds import Stream, numpy_generator

    clips = labelled_clips()
    held = set(numpy_generator(0, Stream.SPLIT).permutation(np.arange(24))[:6].tolist())
    relabelled = [
        clip.replaced(label="walk" if clip.label == "wave" else "wave") if i in held else clip
        for i, clip in enumerate(clips)
    ]
    finals = []
    for name, part in (("one", clips), ("two", relabelled)):
        data = write_file(tmp_path / name / "data.h5", part, classes=CLASSES)
        train(data, tmp_path / name / "run", settings("frame"))
        finals.append([line for line in log(tmp_path / name / "run") if "loss" in line])
    assert finals[0] == finals[1]


CLASSES = ("kick forward", "walk", "wave", "sit [slow]")


def test_without_held_out_clips_the_last_weights_are_kept(data_file, tmp_path):
    report = train(data_file, tmp_path / "run", settings("frame"), "held_out=0")
    assert report.best == {}
    assert load_checkpoint(tmp_path / "run" / "model.safetensors").meta["step"] == 4


def test_an_interrupted_guide_goes_on_to_the_same_files(data_file, tmp_path):
    @contextlib.contextmanager
    def ctrl_c_after_three(description, *, total, done=0):
        count = done

        def advance(more=1, /, *, note=""):
            nonlocal count
            count += more
            if description == "training" and count == 3:
                os.kill(os.getpid(), signal.SIGINT)

        yield advance

    preset = settings("st-trans", ema_decay=0.9)
    train(data_file, tmp_path / "whole", preset, "augment.turn=0.2", "smoothed=0.5")
    with pytest.raises(InterruptedRunError):
        train(
            data_file,
            tmp_path / "cut",
            preset,
            *("augment.turn=0.2", "smoothed=0.5"),
            progress=ctrl_c_after_three,
        )
    train(data_file, tmp_path / "cut", preset, "augment.turn=0.2", "smoothed=0.5", resume=True)
    for name in ("model.safetensors", "log.jsonl", "state.pt", "card.md", "run.json"):
        files = [(tmp_path / run / name).read_bytes() for run in ("whole", "cut")]
        assert files[0] == files[1], name


def test_one_class_cannot_be_told_apart(tmp_path, make_sequence, write_file):
    clips = [make_sequence("walk", name=f"walk {i}", seed=i) for i in range(4)]
    data = write_file(tmp_path / "data.h5", clips)
    with pytest.raises(DataError, match="two or more classes to tell apart, got 1"):
        train(data, tmp_path / "run", settings("frame"))


def test_clips_without_a_label_are_left_out(tmp_path, labelled_clips, make_sequence, write_file):
    extra = [make_sequence("", name=f"unknown {i}", seed=i) for i in range(3)]
    data = write_file(tmp_path / "data.h5", [*labelled_clips(), *extra], classes=CLASSES)
    train(data, tmp_path / "run", settings("frame"))
    assert all(np.isfinite(line["loss"]) for line in log(tmp_path / "run") if "loss" in line)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.4])
def test_the_loss_is_cross_entropy_with_smoothed_labels(smoothing):
    numbers = np.random.default_rng(0)
    logits, labels = numbers.normal(size=(5, 3)), np.array([0, 1, 2, 1, 0])
    target = np.full((5, 3), smoothing / 3)
    target[np.arange(5), labels] += 1 - smoothing
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    expected = -(target * log_p).sum(axis=1).mean()
    terms = GuideLoss(label_smoothing=smoothing)(
        lambda images: torch.from_numpy(logits),
        torch.zeros(5, 3, 4, 4),
        torch.from_numpy(labels),
        torch.zeros(5),
    )
    assert float(terms["loss"]) == pytest.approx(expected)
    assert float(terms["accuracy"]) == pytest.approx((logits.argmax(1) == labels).mean())


def test_a_dry_run_writes_nothing(data_file, tmp_path):
    report = train(data_file, tmp_path / "run", settings("frame"), dry_run=True)
    assert report.estimated_seconds > 0
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", [name for name in GUIDES if name != "st-trans"])
def test_another_guide_is_chosen_by_its_name_alone(tmp_path, name):
    flags = {"data": tmp_path / "d.h5", "out": tmp_path / "run"}
    config = resolve(TrainGuideConfig, PRESETS, overrides=[f"model.name={name}"], flags=flags)
    sizes = {"rows": 24, "frames": 24, "num_classes": 3, "dropout": config.model.dropout}
    build(config.model.name, {**sizes, **config.model.arguments})


def test_the_paper_preset_is_the_papers():
    flags = {"data": Path("d.h5"), "out": Path("run")}
    paper = load(TrainGuideConfig, preset=PRESETS["paper"], flags=flags)
    assert (paper.model.name, paper.model.arguments) == ("st-trans", {"variant": "xs"})
    assert (paper.optimisation.lr, paper.optimisation.batch) == (1e-4, 1024)
    assert paper.optimisation.steps == 500_000
    assert paper.optimisation.weight_decay == 0.01
    assert (paper.label_smoothing, paper.held_out, paper.smoothed) == (0.1, 0.05, 0.0)


def test_hidden_labels_never_reach_the_loss(tmp_path, labelled_clips, write_file, monkeypatch):
    seen: list[torch.Tensor] = []
    truly = GuideLoss.__call__

    def spying(self, network, images, labels, steps, /):
        seen.append(labels)
        return truly(self, network, images, labels, steps)

    monkeypatch.setattr(GuideLoss, "__call__", spying)
    clips = labelled_clips()
    mixed = [
        clip if clip.subject == 1 else clip.replaced(label=CLASSES[i % 4])
        for i, clip in enumerate(clips)
    ]
    weights = []
    for name, part in (("one", clips), ("two", mixed)):
        data = write_file(tmp_path / name / "data.h5", part, classes=CLASSES)
        train(data, tmp_path / name, settings("frame"), "labelled=subject=1")
        weights.append(load_checkpoint(tmp_path / name / "model.safetensors").weights)
    assert int(torch.cat(seen).min()) == 0
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


def test_no_class_is_held_out_whole(data_file):
    from skelaug.workflows.training_clips import training_clips
    from skelaug.workflows.training_images import CodecConfig, stand_in_images

    clips = training_clips(data_file, labelled="subject=1")  # two of each class
    images = stand_in_images(clips, CodecConfig(), count=3)
    for seed in range(20):
        config = TrainGuideConfig(data=data_file, out=data_file, held_out=0.6, seed=seed)
        parts = train_guide._parts(config, images)
        labels = clips.labels[parts.taught]
        assert set(labels.tolist()) == {0, 1, 2, 3}
        both = np.concatenate([parts.taught, parts.held_out])
        assert sorted(both) == np.flatnonzero(clips.labels >= 0).tolist()
        assert len(parts.held_out) <= 5


def test_labels_all_hidden_but_one_class_are_refused(data_file, tmp_path):
    (tmp_path / "names.txt").write_text("walk 1-0\nwalk 1-1\n")
    rule = f"labelled=name={tmp_path / 'names.txt'}"
    with pytest.raises(DataError, match="two or more classes to tell apart, got 1"):
        train(data_file, tmp_path / "run", settings("frame"), rule, dry_run=True)
    report = train(
        data_file, tmp_path / "run", settings("frame"), "labelled=subject=3", dry_run=True
    )
    assert report.estimated_seconds > 0
