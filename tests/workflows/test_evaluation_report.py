import json
import math

import numpy as np
import pytest

from skelaug.metrics.intervals import Interval
from skelaug.metrics.protocol import Comparison, ScoredClips, View
from skelaug.workflows.evaluation_panel import Panel
from skelaug.workflows.evaluation_report import (
    EvaluationReport,
    class_rows,
    confusions,
    score_fields,
    spectrum_report,
)
from skelaug.workflows.evaluation_scores import HIGH_BAND, ArrayScores, Copies, energy_key

KEYS = [
    *("fid", "accuracy", "diversity", "action_diversity", "bone_length_variation", "velocity_mm"),
    *("acceleration_mm", "velocity_m_s", "acceleration_m_s2", "nearest_mm.median"),
    "nearest_mm.p05",
]


def scored(labels, predictions):
    labels, predictions = np.array(labels), np.array(predictions)
    return ScoredClips(np.zeros((len(labels), 2)), labels, predictions)


def result(*views):
    return ArrayScores({}, Copies(1.0, 0.0, 0.0, None), views, Panel((), 3))


class Side:
    def __init__(self, labels):
        self.labels = np.array(labels)


class Data:
    classes = ("kick", "walk", "wave")
    train, synthetic, held_out = Side([0, 0, 1, 2]), Side([0, 0, 2]), Side([0, 1])


def test_every_score_has_its_field_unit_and_ratio():
    comparison = Comparison(Interval(3.0, 0.1, 20), Interval(2.0, 0.2, 20))
    fields = score_fields(dict.fromkeys(KEYS, comparison))
    assert set(fields) < set(EvaluationReport.model_fields)
    for score in fields.values():
        assert score.ratio == 1.5
        assert (score.synthetic.mean, score.synthetic.half_width) == (3.0, 0.1)
        assert score.held_out is None
    assert fields["nearest_p05_mm"].unit == "mm"
    assert fields["fid"].unit == ""


def test_a_ratio_to_zero_is_null_and_the_report_stays_json():
    nothing = Comparison(Interval(1.0, 0.0, 20), Interval(0.0, 0.0, 20))
    score = score_fields(dict.fromkeys(KEYS, nothing))["fid"]
    assert score.ratio is None
    assert json.loads(score.model_dump_json())["ratio"] is None


@pytest.mark.parametrize("held_out", [None, Interval(5.0, 0.3, 20)])
def test_the_spectrum_has_an_estimate_per_frequency_and_side(held_out):
    scores = {
        energy_key(k): Comparison(Interval(k, 0.1, 20), Interval(2.0, 0.2, 20), held_out)
        for k in range(8)
    }
    scores[HIGH_BAND] = Comparison(Interval(3.0, 0.1, 20), Interval(4.0, 0.2, 20), held_out)
    found = spectrum_report(scores, 8)
    assert (found.low, found.unit, found.high_band.ratio) == (2, "mm²", 0.75)
    assert [one.mean for one in found.synthetic] == list(range(8))
    assert [one.mean for one in found.real] == [2.0] * 8
    assert (found.held_out is None) == (held_out is None)


def test_confusions_count_every_clip_once_per_recognizer():
    first = View(scored([0], [0]), scored([0, 0, 2], [0, 1, 2]), scored([0, 1], [0, 1]))
    second = View(scored([0], [0]), scored([0, 0, 2], [0, 0, 0]), scored([0, 1], [1, 1]))
    found = confusions(result(first, second), 3)
    assert found["synthetic"].tolist() == [[3, 1, 0], [0, 0, 0], [1, 0, 1]]
    assert found["held-out"].tolist() == [[1, 1, 0], [0, 2, 0], [0, 0, 0]]


def test_class_rows_are_of_the_classes_both_sides_have():
    view = View(scored([0], [0]), scored([0, 0, 2], [0, 1, 2]), scored([0, 1], [1, 1]))
    kick, wave = class_rows(Data, result(view))
    assert (kick.label, kick.train, kick.synthetic, kick.held_out) == ("kick", 2, 2, 1)
    assert (kick.synthetic_accuracy, kick.held_out_accuracy) == (0.5, 0.0)
    assert (wave.label, wave.held_out, wave.held_out_accuracy) == ("wave", 0, None)


def test_without_a_test_part_there_is_none_to_be_accurate_on():
    view = View(scored([0], [0]), scored([0, 2], [0, 2]))
    rows = class_rows(Data, result(view))
    assert [row.held_out_accuracy for row in rows] == [None, None]
    assert "held-out" not in confusions(result(view), 3)
    assert not any(math.isnan(row.synthetic_accuracy) for row in rows)


@pytest.mark.parametrize("name", ["fid", "accuracy"])
def test_the_fields_of_the_report_are_documented(name):
    assert f"        {name}: " in EvaluationReport.__doc__
