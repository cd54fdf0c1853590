"""Scores as text say the same in JSON lines and CSV; counts are by class."""

from __future__ import annotations

import csv
import io
import json

import pytest

from skelaug.workflows.score_report import ClipScore, ScoreConfig, Tally, as_csv, as_lines


def _score(
    name: str = "a, b", *, label: str | None = "walk", standardised: float = 0.5
) -> ClipScore:
    return ClipScore(
        name=name,
        person=0,
        label=label,
        score=-9312.5,
        standardised=standardised,
        out_of_distribution=standardised < -1,
        frames=100,
        missing=7,
    )


def test_a_line_of_json_and_a_row_of_csv_say_the_same():
    scores = [_score(), _score("c", label=None, standardised=-2.0)]
    lines = [json.loads(line) for line in as_lines(scores).splitlines()]
    rows = list(csv.DictReader(io.StringIO(as_csv([], header=True) + as_csv(scores))))
    assert [row["name"] for row in rows] == [line["name"] for line in lines] == ["a, b", "c"]
    for line, row in zip(lines, rows, strict=True):
        assert {key: str(value) for key, value in line.items()} == {
            k: v for k, v in row.items() if v
        }
    assert "label" not in lines[1]
    assert rows[1]["label"] == ""


def test_a_tally_counts_by_class_and_puts_the_oddest_class_first():
    tally = Tally()
    tally.add([_score(), _score(standardised=-3.5)])
    tally.add([_score(label="wave", standardised=-2.0)])
    tally.add([_score(label=None, standardised=1.0)])
    assert (tally.clips, tally.flagged, tally.missing) == (3, 2, 28)
    assert tally.standardised == [0.5, -3.5, -2.0, 1.0]
    found = [(one.label, one.scores, one.out_of_distribution) for one in tally.labels()]
    assert found == [("wave", 1, 1), ("walk", 2, 1), ("", 1, 0)]
    assert tally.labels()[1].standardised == pytest.approx(-1.5)


@pytest.mark.parametrize(
    ("out", "form", "is_csv"),
    [
        ("a.csv", "auto", True),
        ("a.CSV", "auto", True),
        ("a.jsonl", "auto", False),
        ("a.csv", "jsonl", False),
        ("a.jsonl", "csv", True),
        (None, "auto", False),
    ],
)
def test_the_name_of_the_output_decides_the_form_unless_it_is_said(out, form, is_csv):
    assert ScoreConfig(data="d.h5", out=out, format=form).is_csv is is_csv
