import csv
import io
from pathlib import Path

import pytest
from PIL import Image

from skelaug.benchmark.report import bench_report
from skelaug.benchmark.report_files import csv_table, markdown_table, write_report
from skelaug.benchmark.scores import CellScore
from skelaug.benchmark.settings import BenchConfig

CONFIG = BenchConfig(mode="incremental", data=Path("utd.h5"), out=Path("bench"), regime="subjects")


def arm(name, accuracies, *, ratio=0.0, **fields):
    return [
        CellScore(
            arm=name,
            ratio=ratio,
            seed=seed,
            repeat=0,
            accuracy=value,
            class_accuracy={"kick | high": value, "walk": 1 - value},
            chance=0.5,
            steps=10,
            seconds=2.0,
            is_synthetic=name.startswith("synth"),
            **fields,
        )
        for seed, value in enumerate(accuracies)
    ]


CLASSICAL = [0.6, 0.62, 0.61, 0.64, 0.6]
SYNTHETIC = [0.65, 0.66, 0.66, 0.7, 0.64]


def report_of(*, recognizer="", remaining=0, **fields):
    scores = [
        *arm("classical", CLASSICAL, recognizer=recognizer, **fields),
        *arm("synthetic", SYNTHETIC, ratio=0.5, recognizer=recognizer, **fields),
        *arm("generator-clips", SYNTHETIC, is_bound=True, recognizer=recognizer, **fields),
    ]
    config = CONFIG.model_copy(update={"regime": "rare"}) if fields else CONFIG
    return bench_report(
        scores, config=config, cells=15, remaining=remaining, notes=["95 test clips are left out"]
    )


def table_lines(text: str) -> list[list[str]]:
    rows = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


@pytest.mark.parametrize("fields", [{}, {"rare_accuracy": 0.2}])
def test_the_table_has_a_line_per_row_and_all_lines_have_its_columns(fields):
    text = markdown_table(report_of(**fields))
    rows = table_lines(text)
    assert {len(row) for row in rows[:5]} == {len(rows[0])}
    assert [row[0] for row in rows[2:5]] == [
        "classical",
        "synthetic",
        "generator-clips (upper bound)",
    ]
    assert rows[3][1] == "50 %"
    assert rows[2][2] == "61.4 ± 2.1"
    assert text.startswith("Synthetic data helped: 'synthetic'")
    assert "- 95 test clips are left out" in text


def test_classes_follow_with_their_gains_whatever_their_names():
    rows = table_lines(markdown_table(report_of()))
    assert [row[0] for row in rows[-2:]] == ["kick / high", "walk"]
    assert rows[-2][-1].startswith("+4.8 ± ")


def test_an_unfinished_grid_says_so():
    assert "4 of 15 trainings are not finished" in markdown_table(report_of(remaining=4))
    assert "not finished" not in markdown_table(report_of())


def test_programs_read_the_same_numbers():
    report = report_of()
    rows = list(csv.DictReader(io.StringIO(csv_table(report))))
    assert [row["arm"] for row in rows] == ["classical", "synthetic", "generator-clips"]
    assert float(rows[1]["accuracy"]) == report.rows[1].accuracy.mean
    assert float(rows[1]["gain"]) == report.gains[0].accuracy.mean
    assert float(rows[1]["gain_half_width"]) == report.gains[0].accuracy.half_width
    assert float(rows[1]["p"]) == report.gains[0].p
    assert rows[0]["gain"] == rows[0]["rare_accuracy"] == rows[2]["corrected_p"] == ""


def test_tables_and_pictures_lie_in_the_folder(tmp_path):
    write_report(report_of(rare_accuracy=0.2), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "report.json",
        "table.md",
        "table.csv",
        "benchmark.png",
        "rare.png",
        "classes.png",
    }
    with Image.open(tmp_path / "benchmark.png") as image:
        assert image.width > 600


def test_every_recognizer_has_a_picture(tmp_path):
    scores = [
        cell
        for name in ("ctr_gcn", "a/b")
        for kind, accuracies in (("classical", CLASSICAL), ("synthetic", SYNTHETIC))
        for cell in arm(kind, accuracies, recognizer=name)
    ]
    write_report(bench_report(scores, config=CONFIG, cells=20), tmp_path)
    assert {path.name for path in tmp_path.glob("benchmark*.png")} == {
        "benchmark-ctr_gcn.png",
        "benchmark-a_b.png",
    }


def test_a_grid_of_one_draw_and_one_arm_is_drawn_too(tmp_path):
    write_report(bench_report(arm("real", [0.5]), config=CONFIG, cells=1), tmp_path)
    assert (tmp_path / "benchmark.png").is_file()
    assert not (tmp_path / "classes.png").exists()


def test_equal_grids_write_equal_files(tmp_path):
    for name in ("one", "two"):
        write_report(report_of(), tmp_path / name)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
