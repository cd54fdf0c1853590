"""The tables say what was measured, once, and in the unit of their title."""

from __future__ import annotations

import numpy as np
import pytest

from skelaug.workflows import completion_report
from skelaug.workflows.completion_report import completion_tables, measure_completion
from skelaug.workflows.completion_study import Completion, Completions
from skelaug.workflows.imputation_report import ImputeConfig
from skelaug.workflows.study_occlusions import OCCLUSIONS


def made(**errors):
    """Two clips of ten hidden coordinates and five bends each; squared errors as given."""
    return Completions(
        hidden=np.array([10, 10]),
        bends=np.array([5, 5]),
        truth=Completion(np.zeros(2), np.full(2, 5 * 3.0**2)),
        methods={
            name: Completion(np.array(sums, dtype=float), np.full(2, 5 * 2.0**2))
            for name, sums in errors.items()
        },
    )


@pytest.fixture
def tables():
    one = made(mean=[4.0, 4.0], linear=[1.0, 1.0], reconstruction=[0.4, 0.4])
    other = made(mean=[8.0, 8.0], linear=[1.0, 1.0], reconstruction=[0.1, 0.1])
    what = ("30 entries", "all, 10 frames")
    text = completion_tables({"a": dict.fromkeys(what, one), "b": dict.fromkeys(what, other)})
    found = []
    for table in text.split("\n\n"):
        cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in table.split("\n")]
        assert len({len(row) for row in cells}) == 1
        head, _, *rows = cells
        found.append({one: [row[n] for row in rows] for n, one in enumerate(head)})
    return found


def test_a_decrease_is_against_the_mean_of_the_same_model(tables):
    assert tables[0]["linear"] == ["-75.0 ± 0.0"] * 2
    assert tables[0]["reconstruction, a"] == ["-90.0 ± 0.0"] * 2
    assert tables[0]["reconstruction, b"] == ["-98.8 ± 0.0"] * 2
    assert "mean" not in tables[0]


def test_errors_are_per_coordinate_in_millimetres_and_per_clip_in_square_metres(tables):
    assert tables[1]["reconstruction, a"] == ["200.0 [200.0, 200.0]"] * 2
    assert tables[2]["reconstruction, b"] == ["0.1"] * 2


def test_what_asks_no_network_is_told_once(tables):
    for table in tables[1:]:
        assert [one for one in table if one.startswith(("mean", "linear"))] == ["mean", "linear"]


def test_accelerations_stand_beside_the_truth_and_are_not_told_of_random_entries(tables):
    (title, occlusions), *columns = tables[3].items()
    assert "m/s^2" in title
    assert occlusions == ["all, 10 frames"]
    assert columns[:2] == [
        ("truth", ["3.0 [3.0, 3.0]"]),
        ("mean", ["2.0 [2.0, 2.0]"]),
    ]


@pytest.mark.parametrize("seconds", [None, 1.2])
def test_a_model_is_measured_on_the_test_part_and_what_was_left_out_is_told(
    seconds, write_file, make_sequence, make_prior, tmp_path, monkeypatch
):
    columns = {key: OCCLUSIONS[key] for key in ("3 entries", "all, 5 frames")}
    monkeypatch.setattr(completion_report, "TIMED_OCCLUSIONS" if seconds else "OCCLUSIONS", columns)
    clips = [make_sequence(name=f"{n}", frames=40, seed=n, subject=n % 2) for n in range(6)]
    clips.append(make_sequence(name="short", frames=9, subject=1))
    data = write_file(tmp_path / "a.h5", clips)
    model = str(make_prior("small", kind="motion-vae"))
    config = ImputeConfig(data=data, out=tmp_path / "o.h5", models=(model,), steps=1)
    text = measure_completion(config, split="subject=0", seconds=seconds, most=2)
    what = "1.2 seconds" if seconds else "16 frames at 30 per second"
    assert "small (motion-vae), a.h5: 2 stretches of 3, evenly spread" in text
    assert f"left out: 1 shorter than {what}\n" in text
    assert all(f"\n| {what} | " in text for what in columns)
    assert "| log-joint from the mean, small (motion-vae) |" in text
