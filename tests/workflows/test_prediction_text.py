from __future__ import annotations

import csv
import io
import json

import pytest

from skelaug.workflows.prediction_text import Prediction, csv_header, csv_row, json_line

CLASSES = ("kick", 'say "hi", wave', "label", "jump\nup")
WHOLE = Prediction(
    name="clip, 1",
    label='say "hi", wave',
    probability=0.7,
    truth="kick",
    probabilities={'say "hi", wave': 0.7, "label": 0.2, "jump\nup": 0.1, "kick": 0.0},
)
TIMES = {"start_frame": 8, "end_frame": 24, "start_seconds": 0.25, "end_seconds": 0.75}
WINDOW = WHOLE.model_copy(update={**TIMES, "truth": None, "probabilities": {"kick": 0.5}})


@pytest.mark.parametrize("prediction", [WHOLE, WINDOW])
def test_a_line_of_json_is_the_prediction_without_what_is_unknown(prediction):
    line = json_line(prediction)
    assert line.endswith("}\n")
    assert line.count("\n") == 1
    values = json.loads(line)
    assert None not in values.values()
    assert Prediction(**values) == prediction
    assert list(values["probabilities"]) == list(prediction.probabilities)


@pytest.mark.parametrize(("prediction", "windows"), [(WHOLE, False), (WINDOW, True)])
def test_a_row_of_csv_says_the_same_under_the_names_of_the_classes(prediction, windows):
    text = csv_header(CLASSES, windows=windows) + csv_row(prediction, CLASSES, windows=windows)
    (row,) = csv.DictReader(io.StringIO(text))
    columns = dict(zip(CLASSES, ["kick", 'say "hi", wave', "p(label)", "jump\nup"], strict=True))
    assert len(row) == len(set(row)) == len(CLASSES) + (8 if windows else 4)
    assert {name: float(row[column]) for name, column in columns.items() if row[column]} == {
        **prediction.probabilities
    }
    for key, value in prediction.model_dump(exclude={"probabilities"}).items():
        assert row.get(key, "") == ("" if value is None else str(value))
