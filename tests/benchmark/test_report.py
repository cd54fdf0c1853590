import json
from pathlib import Path

import pytest

from skelaug.benchmark.report import BenchReport, bench_report
from skelaug.benchmark.scores import CellScore
from skelaug.benchmark.settings import BenchConfig
from skelaug.errors import CheckFailedError

CONFIG = BenchConfig(mode="incremental", data=Path("utd.h5"), out=Path("bench"), regime="labels")


def arm(name, accuracies, *, ratio=0.0, **fields):
    return [
        CellScore(
            arm=name,
            ratio=ratio,
            seed=seed,
            repeat=0,
            accuracy=value,
            class_accuracy={"kick": value, "walk": 1 - value},
            chance=0.5,
            **{"steps": 10, "seconds": 2.0, "is_synthetic": name.startswith("synth"), **fields},
        )
        for seed, value in enumerate(accuracies)
    ]


CLASSICAL = arm("classical", [0.6, 0.62, 0.61, 0.64, 0.6])
SYNTHETIC = arm("synthetic", [0.65, 0.66, 0.66, 0.7, 0.64], ratio=1.0)
BOUND = arm("generator-clips", [0.8, 0.82, 0.81, 0.84, 0.8], is_bound=True)


def report_of(*arms, config=CONFIG, **fields):
    scores = [cell for one in arms for cell in one]
    return bench_report(scores, config=config, **{"cells": len(scores), **fields})


def test_the_report_says_what_the_cells_say():
    report = report_of(CLASSICAL, SYNTHETIC, BOUND, notes=["a note"])
    assert report.verdict.outcome == "helped"
    assert [(row.arm, row.draws, row.steps) for row in report.rows] == [
        ("classical", 5, 10),
        ("synthetic", 5, 10),
        ("generator-clips", 5, 10),
    ]
    assert report.rows[0].accuracy.mean == pytest.approx(0.614)
    assert [(gain.arm, gain.is_bound) for gain in report.gains] == [
        ("synthetic", False),
        ("generator-clips", True),
    ]
    assert report.gains[0].accuracy.mean == pytest.approx(0.048)
    assert report.gains[1].corrected_p is None
    assert report.control == "classical"
    assert [one.label for one in report.classes] == ["kick", "walk"]
    assert report.classes[1].gain.mean == pytest.approx(-0.048)
    assert report.chance == 0.5


def test_it_is_one_json_document_that_reads_back():
    report = report_of(CLASSICAL, SYNTHETIC)
    text = report.model_dump_json()
    assert "accuracy" in json.loads(text)["rows"][0]
    assert BenchReport.model_validate_json(text) == report


def test_a_single_draw_has_no_interval_and_no_p():
    report = report_of(CLASSICAL[:1], SYNTHETIC[:1])
    assert report.rows[0].accuracy.half_width is None
    (gain,) = report.gains
    assert (gain.accuracy.half_width, gain.p, gain.corrected_p) == (None, None, None)
    assert report.verdict.outcome == "undecided"


def test_rare_classes_have_a_verdict_of_their_own():
    config = CONFIG.model_copy(update={"regime": "rare"})
    classical = arm("classical", [0.6, 0.61, 0.6], rare_accuracy=0.1)
    synthetic = arm("synthetic", [0.5, 0.52, 0.5], ratio=0.5, rare_accuracy=0.4)
    report = report_of(classical, synthetic, config=config)
    assert report.verdict.outcome == "hurt"
    assert report.rare_verdict is not None
    assert report.rare_verdict.outcome == "helped"
    assert "50 % of what rare classes lack" in report.rare_verdict.sentence
    assert "rare" not in report.verdict.sentence.replace("rare classes lack", "")
    assert report.rare_gains[0].accuracy.mean == pytest.approx(0.3)
    assert report_of(CLASSICAL, SYNTHETIC).rare_verdict is None


def test_before_the_first_cell_there_is_nothing_to_say():
    report = report_of(dry_run=True, cells=30, remaining=30)
    assert (report.rows, report.gains, report.classes, report.chance) == ((), (), (), None)
    assert report.verdict.outcome == "undecided"
    assert report.control == ""


def test_arms_of_different_length_are_refused():
    with pytest.raises(CheckFailedError, match="updates"):
        report_of(CLASSICAL, arm("synthetic", [0.9], steps=99))
