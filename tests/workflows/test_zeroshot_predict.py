"""Names of clips by labels that a model was never trained on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import softmax

from skelaug.config import load
from skelaug.data.store import SequenceFile
from skelaug.errors import DataError, NotFoundError, UsageError
from skelaug.workflows import zeroshot_predict as workflow
from skelaug.workflows.zeroshot import ClipMatcher, load_zeroshot
from skelaug.workflows.zeroshot_features import features_of
from skelaug.workflows.zeroshot_predict import ZeroshotPredictConfig, label_texts, read_labels

LABELS = ("raise an arm and wave", "jump up", "sit down")


@pytest.fixture
def predict(unseen):
    """``predict(*labels, **settings)``: probabilities by clip and label."""

    def run(*labels, **flags):
        flags = {"data": unseen / "actions.h5", "models": (str(unseen / "run"),), **flags}
        config = load(ZeroshotPredictConfig, flags={"labels": labels, **flags})
        return workflow.run(config, device="cpu")

    return run


def table(report, labels):
    return np.array([[p["probabilities"][name] for name in labels] for p in report.predictions])


def test_probabilities_are_those_of_the_noise_errors(unseen, predict):
    report = predict(*LABELS)
    model = load_zeroshot(unseen / "run")
    with SequenceFile(unseen / "actions.h5") as file:
        features = features_of(model.encoder, file, range(len(file)), model.mode)
    errors = model.errors_of(features, model.texts(label_texts(LABELS, model)), draw=0)
    expected = softmax(-errors / model.temperature, axis=1)
    np.testing.assert_allclose(table(report, LABELS), expected, atol=2e-6)
    assert report.clips == 48
    assert report.classes == list(LABELS)
    assert [p["label"] for p in report.predictions] == [LABELS[i] for i in expected.argmax(axis=1)]


def test_answers_depend_neither_on_the_batch_nor_on_the_order_of_labels(predict):
    whole = table(predict(*LABELS), LABELS)
    np.testing.assert_allclose(table(predict(*LABELS, batch=5), LABELS), whole, atol=2e-6)
    np.testing.assert_allclose(table(predict(*LABELS[::-1]), LABELS), whole, atol=2e-6)


def test_odds_of_two_labels_do_not_depend_on_a_third(unseen):
    model = load_zeroshot(unseen / "run")
    z = torch.randn(6, 1, len(model.scale.mean), generator=torch.Generator().manual_seed(0))
    noises = model.noises(3, 1)
    whole = model.errors(z, model.texts(label_texts(LABELS, model)), noises)
    pair = model.errors(z, model.texts(label_texts(LABELS[:2], model)), noises)
    assert torch.equal(whole[:, :2], pair)


def test_without_labels_the_classes_of_the_data_are_the_labels(predict):
    report = predict()
    assert set(report.classes) == {*report.classes, "jump", "throw"}
    assert report.accuracy is not None
    assert report.training_clips == 24  # two performers, two takes, six seen classes
    assert report.unseen_accuracy is not None


def test_without_labels_learnt_classes_have_the_handicap_of_the_calibration(unseen):
    model = load_zeroshot(unseen / "run")
    held = set(model.told["held"])
    assert held
    position = torch.randn(3, 3, 16, 20, 1, generator=torch.Generator().manual_seed(0))
    plain, other = (
        ClipMatcher(one, model.descriptions, 2)(position).log_softmax(dim=1)
        for one in (_calibrated(model, 0.0), _calibrated(model, 0.5))
    )
    odds = (other - plain) - (other - plain)[:, -1:]  # against an unseen class
    learnt = [one.name in {*model.told["seen"]} - held for one in model.descriptions]
    expected = torch.tensor([-0.25 if own else 0.0 for own in learnt], dtype=odds.dtype)
    torch.testing.assert_close(odds, expected.expand(3, -1), atol=1e-5, rtol=0)


def _calibrated(model, constant):
    told = {**model.told, "constant": constant, "temperature": 2.0}
    meta = {**model.checkpoint.meta, "zeroshot": told}
    return replace(model, checkpoint=replace(model.checkpoint, meta=meta))


def test_a_description_stands_for_a_label_of_its_name(unseen, predict):
    model = load_zeroshot(unseen / "run")
    source = str(unseen / "texts.yaml")
    told = label_texts(("Wave", "hop"), model, source)
    assert [one.sparse for one in told] == ["wave once", "hop"]
    assert [one.name for one in told] == ["Wave", "hop"]
    assert [one.name for one in label_texts((), model, source)][:2] == ["kick forward", "walk"]
    assert predict("Wave", "hop", descriptions=source).classes == ["Wave", "hop"]


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (("wave", " "), "nothing as label 2 of 2"),
        (("wave", "jump", "Wave "), "'wave' twice"),
        (("wave",), "two labels or more"),
    ],
)
def test_labels_must_be_words_and_different(predict, labels, words):
    with pytest.raises(UsageError, match=words):
        predict(*labels)


def test_another_layout_and_another_model_are_refused(unseen, predict, write_file, labelled_clips):
    other = write_file(unseen / "sbu.h5", labelled_clips(layout="sbu_15"))
    with pytest.raises(DataError, match="expected layout kinect_20"):
        predict(*LABELS, data=other)
    with pytest.raises(DataError, match="expected a zeroshot model"):
        predict(*LABELS, models=(str(unseen / "run" / "encoder"),))
    with pytest.raises(NotFoundError, match="nowhere"):
        predict(*LABELS, models=("nowhere",))
    with pytest.raises(UsageError, match="one model"):
        predict(*LABELS, models=(str(unseen / "run"),) * 2)


def test_a_text_encoder_of_another_size_is_refused(unseen, predict):
    np.savez(
        unseen / "t.npz",
        sentences=np.array(list(LABELS)),
        pooled=np.ones((3, 7), dtype=np.float32),
    )
    with pytest.raises(DataError, match="64 features"):
        predict(*LABELS, text=str(unseen / "t.npz"))


def test_a_clip_without_any_joint_is_rejected(unseen, predict, make_sequence, write_file):
    clips = [make_sequence("walk", name="good"), make_sequence("walk", name="bad", missing=1.0)]
    report = predict(*LABELS, data=write_file(unseen / "gaps.h5", clips))
    assert [one.name for one in report.rejected] == ["bad"]
    assert report.clips == 1


def test_labels_of_a_file_are_its_lines(tmp_path):
    (tmp_path / "l.txt").write_text("draw a circle\n\n  squat \n")
    assert read_labels(tmp_path / "l.txt") == ["draw a circle", "squat"]
