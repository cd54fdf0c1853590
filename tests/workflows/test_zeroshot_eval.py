"""A zero-shot model on the test part of its file, and of others."""

from __future__ import annotations

import json

import numpy as np
import pytest

from skelaug.config import load
from skelaug.errors import DataError, UsageError
from skelaug.workflows import zeroshot_eval as workflow
from skelaug.workflows.zeroshot_eval import ZeroshotEvalConfig
from skelaug.workflows.zeroshot_scores import Asked, scored, unseen_table


def evaluate(unseen, *, force=False, dry_run=False, **flags):
    flags = {"data": unseen / "actions.h5", "model": str(unseen / "run"), "draws": 2, **flags}
    config = load(ZeroshotEvalConfig, flags=flags)
    return workflow.run(config, device="cpu", force=force, dry_run=dry_run)


def value(report, method, measure):
    found = [one for one in report.scores if (one.method, one.measure) == (method, measure)]
    assert len(found) == 1
    return found[0]


def test_its_first_draw_repeats_the_test_of_the_training(unseen):
    scores = json.loads((unseen / "run" / "scores.json").read_text())
    report = evaluate(unseen, draws=1)
    for measure in ("unseen_accuracy", "gzsl_seen", "gzsl_unseen", "gzsl_harmonic_mean"):
        assert value(report, "fdsm", measure).mean == pytest.approx(scores[measure])
        for rival in ("ridge", "alignment"):
            assert value(report, rival, measure).mean == pytest.approx(scores[rival][measure])
    assert (report.clips, report.unseen_clips, report.chance) == (16, 4, 0.5)
    assert report.warnings == []


def test_several_draws_have_an_interval_and_a_picture(unseen):
    report = evaluate(unseen, picture=unseen / "p.png")
    assert value(report, "fdsm", "unseen_accuracy").draws == 2
    assert (unseen / "p.png").stat().st_size > 1000
    assert [(one.label, one.clips) for one in report.class_accuracy] == [("jump", 2), ("throw", 2)]
    with pytest.raises(UsageError, match="--force"):
        evaluate(unseen, picture=unseen / "p.png")


def test_another_file_is_tested_without_rivals(unseen, make_sequence, write_file):
    clips = [make_sequence("walk", name=f"w{subject}", subject=subject) for subject in (1, 2)]
    clips += [
        make_sequence(name, name=f"{name}{seed}", seed=seed, subject=3)
        for name in ("jump", "throw")
        for seed in range(3)
    ]
    report = evaluate(unseen, data=write_file(unseen / "o.h5", clips))
    assert report.unseen_clips == 6
    assert {one.method for one in report.scores} == {"fdsm"}
    assert "rivals" in report.warnings[0]


def test_a_file_without_unseen_classes_cannot_test(unseen, data_file):
    with pytest.raises(DataError, match="'jump', 'throw'"):
        evaluate(unseen, data=data_file)


def test_a_dry_run_counts_clips(unseen):
    report = evaluate(unseen, dry_run=True)
    assert report.scores == []
    assert report.unseen_clips == 4


def test_unseen_accuracy_looks_at_unseen_classes_alone():
    labels = np.array([0, 1, 2, 3])
    asked = Asked(np.arange(4), np.zeros((4, 1, 1), dtype=np.float32), labels, 2, 4)
    scores = np.array([[9, 1, 0, 0], [9, 1, 0, 0], [9, 0, 5, 1], [9, 0, 2, 1]], dtype=np.float64)
    learnt = np.array([True, True, False, False])
    found = scored(scores, asked, learnt, 7.5)
    assert found["unseen_accuracy"] == 0.5
    assert (found["gzsl_uncalibrated_seen"], found["gzsl_uncalibrated_unseen"]) == (0.5, 0)
    assert (found["gzsl_seen"], found["gzsl_unseen"]) == (0.5, 0.5)
    assert found["gzsl_harmonic_mean"] == 0.5
    np.testing.assert_array_equal(unseen_table(scores, asked), [[1, 0], [1, 0]])
