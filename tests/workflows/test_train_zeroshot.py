"""From clips of seen classes and texts of all to a model that names unseen ones."""

from __future__ import annotations

import json
import shutil
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml

from skelaug.checkpoint import load_checkpoint, save_checkpoint
from skelaug.config import load
from skelaug.data.store import SequenceFile
from skelaug.diffusion.schedule import scaled_linear_schedule
from skelaug.errors import DataError, InterruptedRunError, NotFoundError, UsageError
from skelaug.workflows import train_zeroshot as workflow
from skelaug.workflows.run_directory import resolve
from skelaug.workflows.train_zeroshot import PRESETS, TrainZeroshotConfig
from skelaug.workflows.zeroshot import load_zeroshot
from skelaug.workflows.zeroshot_material import taught_head
from skelaug.workflows.zeroshot_texts import encoded


@pytest.fixture
def train(unseen, zeroshot_settings):
    """``train(out, *overrides, data=None, **options)``."""

    def run(out, *overrides, data=None, **options):
        flags = {
            "data": data or unseen / "actions.h5",
            "out": unseen / out,
            "descriptions": str(unseen / "texts.yaml"),
        }
        config = load(
            TrainZeroshotConfig, preset=zeroshot_settings, overrides=overrides, flags=flags
        )
        return workflow.run(config, device="cpu", **options)

    return run


def weights(run):
    return load_checkpoint(run / "model.safetensors", expect="zeroshot").weights


def same(first, second):
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        torch.testing.assert_close(tensor, second[name], atol=0, rtol=0, equal_nan=True)


def test_a_run_holds_all_that_is_needed_and_its_test(unseen):
    run = unseen / "run"
    scores = json.loads((run / "scores.json").read_text())
    assert scores["unseen_clips"] == 4
    assert scores["chance"] == 0.5
    assert set(scores["classes"]) == {"jump", "throw"}
    for method in (scores, scores["last_step"], scores["ridge"], scores["alignment"]):
        assert 0 <= method["unseen_accuracy"] <= 1
        assert 0 <= method["gzsl_harmonic_mean"] <= 1
    assert "test unseen accuracy" in (run / "card.md").read_text()
    assert (run / "confusion.png").stat().st_size > 1000
    assert not (run / "features.npy").exists()
    model = load_zeroshot(run)
    assert model.told["unseen"] == ["jump", "throw"]
    assert model.temperature > 0
    assert [one.name for one in model.descriptions][-2:] == ["jump", "throw"]


def test_clips_of_unseen_classes_are_not_learnt_from(unseen, train):
    import h5py

    def spoil(path):
        with SequenceFile(path) as file:
            hidden = np.flatnonzero([file.label_name(i) in ("jump", "throw") for i in range(48)])
        with h5py.File(path, "r+") as file:
            offsets = file["offsets"][:]
            for row in hidden:
                span = slice(int(offsets[row]), int(offsets[row + 1]))
                file["positions"][span] = np.nan
                file["observed"][span] = False

    spoil(unseen / "actions.h5")
    with pytest.raises(DataError, match=r"actions\.h5"):  # the test at the end meets them
        train("again")
    spoilt = weights(unseen / "again")
    same(spoilt, weights(unseen / "run"))


def test_a_resumed_run_equals_an_uninterrupted_one(unseen, train, monkeypatch):
    made = []
    original = workflow.lesson_batches

    def interrupting(config, own, batch):
        batches = original(config, own, batch)

        def one(step):
            made.append(step)
            if len(made) == 5:
                signal.raise_signal(signal.SIGINT)
            return batches(step)

        return one

    monkeypatch.setattr(workflow, "lesson_batches", interrupting)
    with pytest.raises(InterruptedRunError, match="--resume"):
        train("again")
    report = train("again", resume=True)
    assert report.resumed_at == 5
    same(weights(unseen / "again"), weights(unseen / "run"))
    for name in ("log.jsonl", "scores.json"):
        assert (unseen / "again" / name).read_text() == (unseen / "run" / name).read_text()


def test_a_refitted_model_learns_from_all_classes_and_is_calibrated_by_held_out_ones(unseen, train):
    train("again", "refit=true")
    train("whole", "validation_classes=0")
    same(weights(unseen / "again"), weights(unseen / "whole"))
    model, first = load_zeroshot(unseen / "again"), load_zeroshot(unseen / "run")
    same(weights(unseen / "again" / "validation"), weights(unseen / "run"))
    assert (model.temperature, model.constant) == (first.temperature, first.constant)
    assert model.temperature != 1
    assert model.told["held"] == []
    assert model.is_learnt.sum() == len(model.told["seen"])
    scores = json.loads((unseen / "again" / "scores.json").read_text())
    assert not (unseen / "again" / "validation" / "scores.json").exists()
    whole = json.loads((unseen / "whole" / "scores.json").read_text())
    for one, other in ((scores, whole), (scores["ridge"], whole["ridge"])):
        assert one["unseen_accuracy"] == other["unseen_accuracy"]


def test_a_refitting_run_that_stops_while_it_validates_goes_on(unseen, train, monkeypatch):
    original = workflow.lesson_batches

    def interrupting(config, own, batch):
        batches = original(config, own, batch)

        def one(step):
            if step == 3:
                signal.raise_signal(signal.SIGINT)
            return batches(step)

        return one

    with monkeypatch.context() as patch:
        patch.setattr(workflow, "lesson_batches", interrupting)
        with pytest.raises(InterruptedRunError, match="--resume"):
            train("again", "refit=true")
    assert not (unseen / "again" / "state.pt").exists()
    with pytest.raises(UsageError, match="--resume"):
        train("again", "refit=true")
    train("again", "refit=true", resume=True)
    train("straight", "refit=true")
    same(weights(unseen / "again"), weights(unseen / "straight"))
    assert load_zeroshot(unseen / "again").constant == load_zeroshot(unseen / "straight").constant


def test_with_too_few_classes_to_hold_one_out_there_is_one_network(unseen, train):
    named = list(SequenceFile(unseen / "actions.h5").classes)
    report = train("few", "refit=true", f"classes=unseen={','.join(named[3:])}")
    assert not (unseen / "few" / "validation").exists()
    assert any("no seen class is held out" in warning for warning in report.warnings)
    assert load_zeroshot(unseen / "few").told["refit"] is False


def test_a_dry_run_counts_both_networks(train):
    once, twice = (train("dry", one, dry_run=True) for one in ("refit=false", "refit=true"))
    rates = [one.estimated_seconds * one.steps_per_second / one.steps for one in (once, twice)]
    np.testing.assert_allclose(rates, [1, 2], rtol=0.01)


def test_force_does_not_delete_the_encoder_that_is_asked_for(unseen, train):
    with pytest.raises(UsageError, match="another --out"):
        train("run", f"encoder={unseen / 'run' / 'encoder'}", force=True)
    assert (unseen / "run" / "encoder" / "model.safetensors").exists()


def test_one_clip_of_each_class_is_too_few_to_whiten_by(unseen, train):
    with pytest.raises(UsageError, match="standardise=scale"):
        train("few", "standardise=whiten", "fraction=0.01")


def test_a_given_encoder_is_used_as_it_is(unseen, train):
    report = train("again", f"encoder={unseen / 'run' / 'encoder'}")
    assert not (unseen / "again" / "encoder").exists()
    same(weights(unseen / "again"), weights(unseen / "run"))
    assert report.scores == json.loads((unseen / "run" / "scores.json").read_text())


def test_force_trains_the_encoder_anew_and_other_settings_do_not_resume(unseen, train):
    with pytest.raises(UsageError, match="--force"):
        train("run")
    with pytest.raises(UsageError, match="curriculum"):
        train("run", "curriculum=linear", resume=True)
    train("run", "recognizer.optimisation.steps=3", force=True)
    config = yaml.safe_load((unseen / "run" / "encoder" / "config.yaml").read_text())
    assert config["optimisation"]["steps"] == 3


@pytest.mark.parametrize(
    "overrides",
    [
        ("method=tdsm",),
        ("prior=ridge",),
        ("prior=ridge", "method=tdsm", "standardise=none"),
        (
            *("prior=ridge", "mode=temporal", "recognizer.model.name=kinematics"),
            "recognizer.model.arguments={}",
        ),
        (
            *("mode=temporal", "recognizer.model.name=st-gcn"),
            *("recognizer.model.arguments={}", "recognizer.model.arguments.width=4"),
        ),
        ("spectral=stream", "spectral_loss.weight=0", "curriculum=fixed"),
        ("validation_classes=0",),
    ],
)
def test_every_method_trains_and_is_loaded_again(unseen, train, overrides):
    report = train("again", *overrides)
    assert report.skipped == 0
    model = load_zeroshot(unseen / "again")
    features = np.zeros((2, model.checkpoint.arguments["positions"] or 1, len(model.scale.mean)))
    errors = model.errors_of(features.astype(np.float32), model.texts(model.descriptions), draw=0)
    assert errors.shape == (2, 8)
    assert np.isfinite(errors).all()
    assert (model.prior is not None) == ("prior=ridge" in overrides)


def test_batches_are_noised_features_and_texts_of_their_classes(unseen, zeroshot_settings):
    from skelaug.place import Place
    from skelaug.progress import silent
    from skelaug.workflows.run_directory import RunDirectory
    from skelaug.workflows.training_clips import training_clips

    flags = {
        "data": unseen / "actions.h5",
        "out": unseen / "again",
        "descriptions": str(unseen / "texts.yaml"),
    }
    config = load(TrainZeroshotConfig, preset=zeroshot_settings, flags=flags)
    source = workflow._Source(config)
    clips = source.narrow(training_clips(config.data, split=config.split))
    directory = RunDirectory(unseen / "run")
    own = source.prepare(clips, directory, Place(torch.device("cpu")), silent)
    assert {clips.classes[label] for label in clips.labels} == set(own.classes.seen)
    batches = workflow.lesson_batches(config, own, 8)
    x, t, noise, local, mask, pooled, gain = batches(0)
    alpha_bar = scaled_linear_schedule(50).alpha_bars[t][:, None, None].float()
    z = (x - (1 - alpha_bar).sqrt() * noise) / alpha_bar.sqrt()
    taught = own.z[own.parts.taught]
    nearest = (z[:, None] - taught).flatten(2).norm(dim=2)
    assert nearest.min(dim=1).values.max() < 1e-4
    labels = own.labels[own.parts.taught][nearest.argmin(dim=1)]

    def books(sentences) -> np.ndarray:
        return own.text_scale.applied(encoded(own.text, list(sentences))).pooled.numpy()

    # at the first step all texts are rich ones of their class
    for row, label in enumerate(labels):
        rich = books(own.texts[label].rich)
        assert np.abs(rich - pooled[row].numpy()).max(axis=1).min() < 1e-5
    known = books(one.sparse for one in own.texts)
    for row in batches(config.optimisation.steps)[5]:
        assert np.abs(known - row.numpy()).max(axis=1).min() < 1e-5
    assert mask.any(dim=1).all()
    assert local.shape[1] == mask.shape[1]
    assert ((gain > 0) & (gain < 1)).all()
    assert [torch.equal(a, b) for a, b in zip(batches(3), batches(3), strict=True)] == [True] * 7


def test_nothing_is_written_where_nothing_can_be_trained(unseen, train):
    shutil.copytree(unseen / "run" / "encoder", unseen / "knows")
    weights = load_checkpoint(unseen / "knows" / "model.safetensors")
    meta = {**weights.meta, "clips": {"jump": 3, "throw": 2, "wave": 1}}
    save_checkpoint(unseen / "knows" / "model.safetensors", replace(weights, meta=meta))
    for overrides, error, words in (
        (("classes=''",), UsageError, "purls/utd-mhad/22-5"),
        (("classes=unseen=jmup",), UsageError, "jump"),
        (("classes=purls/utd-mhad/22-6",), NotFoundError, "purls/utd-mhad/22-5"),
        (("classes=purls/utd-mhad/22-5",), DataError, "unseen=A,B"),
        (("text=magic",), NotFoundError, "minilm"),
        (("error_step=50",), UsageError, "0 to 49"),
        (("mode=temporal",), UsageError, "kinematics"),
        (("curriculum=blend", "words=true"), UsageError, "words=false"),
        (("ask=mean", "words=true"), UsageError, "ask=sparse"),
        (("model.arguments.features=3",), UsageError, "follow from other settings"),
        (("labelled=subject=1",), UsageError, "expected nothing"),
        (("encoder=" + str(unseen / "knows"),), UsageError, "'jump' and 1 more"),
    ):
        with pytest.raises(error, match=words):
            train("again", *overrides)
        assert not (unseen / "again").exists()


def test_an_encoder_that_took_hours_is_not_thrown_away(unseen, train):
    shutil.copytree(unseen / "run" / "encoder", unseen / "again" / "encoder")
    with pytest.raises(UsageError, match="--resume"):
        train("again")


def test_without_held_out_classes_it_says_what_is_not_calibrated(train):
    assert "not calibrated" in " ".join(train("again", "validation_classes=0").warnings)


def test_without_a_split_only_clips_of_unseen_classes_are_tested(unseen, train):
    scores = train("again", "split=''").scores
    assert scores["unseen_clips"] == 12
    assert not any(key.startswith("gzsl") for key in scores)


def test_the_head_learns_how_lively_the_described_motions_are(unseen):
    run = load_zeroshot(unseen / "run")
    head = taught_head(run.text, run.descriptions, epochs=200, seed=0)
    gain = head(torch.from_numpy(run.text.encode([t.sparse for t in run.descriptions]).pooled))
    lively = torch.tensor([bool(t.intensity) for t in run.descriptions])
    assert gain[lively].min() > 0 > gain[~lively].max()


def test_a_class_without_a_description_shows_what_to_fill_in(unseen, train):
    text = (unseen / "texts.yaml").read_text()
    (unseen / "texts.yaml").write_text(text[: text.index('"bow"')])
    with pytest.raises(NotFoundError, match='"bow":\n  sparse: '):
        train("again")


def test_a_dry_run_estimates_and_writes_nothing(unseen, train):
    report = train("again", dry_run=True)
    assert report.estimated_seconds > 0
    assert not (unseen / "again").exists()


def test_another_recognizer_does_not_take_the_arguments_of_the_preset(unseen):
    presets = {"cpu": {"recognizer": {"model": {"name": "compact", "arguments": {"stem": [3, 1]}}}}}
    flags = {"data": unseen, "out": unseen / "x"}
    for name, expected in (("compact", {"stem": [3, 1]}), ("st-gcn", {})):
        config = resolve(
            TrainZeroshotConfig,
            presets,
            overrides=[f"recognizer.model.name={name}"],
            flags=flags,
        )
        assert config.recognizer.model.arguments == expected


def test_the_paper_preset_is_that_of_the_paper(unseen):
    flags = {"data": unseen, "out": unseen / "x"}
    config = resolve(TrainZeroshotConfig, PRESETS, preset="paper", flags=flags)
    assert (config.optimisation.steps, config.optimisation.batch) == (50_000, 256)
    assert (config.optimisation.lr, config.optimisation.weight_decay) == (1e-4, 0.01)
    assert config.model.arguments == {"width": 768, "depth": 12, "heads": 12}
    assert (config.diffusion_steps, config.error_step, config.head_epochs) == (50, 25, 500)


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.timeout(1800)
def test_a_published_split_of_utd_mhad_is_learnt_and_tested(shared_data, tmp_path):
    from skelaug.workflows import convert

    data = tmp_path / "utd.h5"
    archive = shared_data / "utd_mhad_skeleton.tar.xz"
    convert.run(convert.ConvertConfig(sources=(archive,), out=data))
    flags = {"data": data, "out": tmp_path / "run", "split": "official"}
    flags |= {"classes": "purls/utd-mhad/22-5"}
    scores = workflow.run(resolve(TrainZeroshotConfig, PRESETS, flags=flags), device="cpu").scores
    assert scores["unseen_clips"] == 80
    assert scores["last_step"]["unseen_accuracy"] > 0.3  # chance is 0.2
    assert scores["last_step"]["gzsl_uncalibrated_seen"] > 0.25
