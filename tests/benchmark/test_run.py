"""``bench`` from a file to a verdict: resumed, shared by processes, refused where it must be."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from skelaug.benchmark.run import run
from skelaug.benchmark.settings import BenchConfig
from skelaug.config import load
from skelaug.errors import DataError, NotFoundError, UsageError

TINY = {
    "mode": "incremental",
    "split": "subject=1,2",
    "seeds": 2,
    "ratios": [1.0],
    "recognizer_settings": {
        "model": {"arguments": {"widths": [8, 8]}},
        "optimisation": {"steps": 3, "batch": 8},
        "preparation": {"frames": 16},
    },
    "generator_settings": {
        "optimisation": {"steps": 3, "batch": 8},
        "model": {"arguments": {"width": 24, "depth": 2, "heads": 2}},
        "codec": {"frames": 8},
    },
    "synth_settings": {"steps": 2},
}
TABLES = ("table.md", "table.csv")


def config_of(data: Path, out: Path, **settings) -> BenchConfig:
    return load(BenchConfig, preset=TINY, flags={"data": data, "out": out, **settings})


def test_the_report_has_a_row_for_every_arm_and_ratio(data_file, tmp_path):
    arms = ["classical", "oversampling", "synthetic+classical"]
    config = config_of(data_file, tmp_path / "b", arms=arms, ratios=[0.5, 1.0])
    report = run(config, device="cpu")
    rows = [(row.arm, row.ratio, row.draws) for row in report.rows]
    assert sorted(rows) == [
        ("classical", 0.0, 2),
        ("oversampling", 0.5, 2),
        ("oversampling", 1.0, 2),
        ("synthetic+classical", 0.5, 2),
        ("synthetic+classical", 1.0, 2),
    ]
    assert (report.cells, report.remaining) == (10, 0)
    assert report.verdict.sentence in (tmp_path / "b" / "table.md").read_text()
    for name in ("benchmark.png", "report.json", "table.csv", "config.yaml"):
        assert (tmp_path / "b" / name).stat().st_size > 100


def test_a_dry_run_counts_and_writes_nothing(data_file, tmp_path):
    report = run(config_of(data_file, tmp_path / "b"), device="cpu", dry_run=True)
    assert report.cells == report.remaining == 10
    assert not (tmp_path / "b").exists() or not any((tmp_path / "b").rglob("scores.json"))


def command(folder: Path, data: Path, out: str) -> list[str]:
    path = folder / "settings.yaml"
    path.write_text(yaml.safe_dump(TINY))
    return [
        *(sys.executable, "-m", "skelaug", "bench", "incremental", str(data)),
        *("--out", str(folder / out), "--config", str(path), "--device", "cpu", "--quiet"),
    ]


@pytest.mark.slow
def test_two_processes_and_a_killed_one_give_the_table_of_one(data_file, tmp_path):
    quiet = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(command(tmp_path, data_file, "one"), env=quiet, check=True)
    pair = [subprocess.Popen(command(tmp_path, data_file, "two"), env=quiet) for _ in range(2)]
    assert [process.wait(300) for process in pair] == [0, 0]
    victim = subprocess.Popen(command(tmp_path, data_file, "cut"), env=quiet)
    cells = tmp_path / "cut" / "cell"
    while not list(cells.glob("[!.]*/scores.json")):
        assert victim.poll() is None
    victim.kill()
    victim.wait()
    kept = {path: path.stat().st_mtime_ns for path in cells.glob("[!.]*/scores.json")}
    subprocess.run(command(tmp_path, data_file, "cut"), env=quiet, check=True)
    assert all(path.stat().st_mtime_ns == when for path, when in kept.items())
    tables = [_accuracies(tmp_path / name) for name in ("one", "two", "cut")]
    assert tables[0] == tables[1] == tables[2]


def _accuracies(out: Path) -> list[object]:
    report = json.loads((out / "report.json").read_text())
    return [(row["arm"], row["ratio"], row["accuracy"]) for row in report["rows"]]


def refusal(error, data, out, **settings) -> str:
    with pytest.raises(error) as caught:
        run(config_of(data, out, **settings), device="cpu")
    return str(caught.value)


def test_what_cannot_be_measured_is_refused_with_the_reason(data_file, tmp_path):
    def told(error, **settings):
        return refusal(error, data_file, tmp_path / "b", **settings)

    assert "expected less than 1" in told(UsageError, mode="replacement", ratios=[1.0])
    assert "add --other" in told(UsageError, regime="transfer")
    assert "did you mean 'ctr-gcn'" in told(UsageError, recognizers=["ctr-gnc"])
    assert "no packaged model" in told(NotFoundError, generators=["nothing"])
    assert "nothing is replaced" in told(UsageError, mode="replacement", regime="rare")
    assert "transfer alone" in told(UsageError, others=[data_file])


def test_settings_that_a_benchmark_decides_itself_are_refused(data_file, tmp_path):
    def told(**settings):
        return refusal(UsageError, data_file, tmp_path / "b", **settings)

    def recognizer(**settings):
        return told(recognizer_settings={**TINY["recognizer_settings"], **settings})

    assert "recognizer_settings.init_from" in recognizer(init_from="runs/a")
    assert "recognizer_settings.labelled" in recognizer(labelled="subject=1")
    assert "set steps and warmup" in recognizer(optimisation={"epochs": 2})
    assert "(compact), got st-gcn" in recognizer(model={"name": "st-gcn"})
    assert "generator_settings.split" in told(generator_settings={"split": "subject=3"})
    assert "synth_settings.n" in told(synth_settings={"n": 3})
    assert "flatter" in told(synth_settings={"where_it_hurts": "runs/a"})
    assert "--regime labels" in told(protocol="paper", regime="labels")
    assert "repeats" in told(repeats=101)  # seeds of trainings are 100 draw + repeat
    assert not (tmp_path / "b").exists()


def test_a_replacement_leaves_clips_to_tell_classes_apart_by(data_file, tmp_path):
    """One clip of each of four classes: three quarters of them leave one class."""
    some = {"mode": "replacement", "per_class": 1, "seeds": 1}
    message = refusal(UsageError, data_file, tmp_path / "b", ratios=[0.75], **some)
    assert "got 1 of the 4 classes with 4 clips of draw 0" in message
    assert run(config_of(data_file, tmp_path / "b", ratios=[0.5], **some), dry_run=True).cells


def test_a_class_without_training_clips_is_named(tmp_path, make_sequence, write_file):
    clips = [
        make_sequence(label, name=f"{label}{subject}{take}", subject=subject, seed=take)
        for label, subject in (("walk", 1), ("wave", 1), ("walk", 2), ("jump", 2))
        for take in range(2)
    ]
    path = write_file(tmp_path / "data.h5", clips)
    assert "'jump'" in refusal(DataError, path, tmp_path / "b", split="subject=1")
