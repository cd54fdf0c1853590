"""``advise`` from a file to its report: the test part is never looked at, and it goes on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from skelaug.benchmark.advise import AdviseConfig, run
from skelaug.config import load
from skelaug.data.store import SequenceFile
from skelaug.errors import NotFoundError, UsageError
from skelaug.workflows import train_recognizer

TINY = {
    "split": "subject=1,2",
    "seeds": 2,
    "ratios": [1.0],
    "fractions": [0.5, 1.0],
    "recognizer_settings": {
        "model": {"name": "compact", "arguments": {"widths": [8, 8]}},
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


def config_of(data: Path, out: Path, **settings) -> AdviseConfig:
    return load(AdviseConfig, preset=TINY, flags={"data": data, "out": out, **settings})


def test_a_probe_ends_in_a_report_a_picture_and_the_same_when_it_goes_on(
    data_file, tmp_path, monkeypatch
):
    out = tmp_path / "a"
    report = run(config_of(data_file, out, seeds=1), device="cpu")
    assert (report.cells, report.remaining) == (3, 0)
    sizes = [(one.fraction, one.clips, one.draws) for one in report.curve]
    assert sizes == [(0.5, 1.0, 1), (1.0, 2.0, 1)]
    assert report.clips_per_class == 4
    assert {one.label for one in report.classes} == {"kick forward", "walk", "wave", "sit [slow]"}
    assert [one.ratio for one in report.synthesis] == [1.0]
    assert report.outcome is not None
    told = json.loads((out / "advice.json").read_text())
    assert told["sentences"] == list(report.sentences)
    text = (out / "advice.md").read_text()
    for sentence in (*report.sentences, *report.commands, *report.notes):
        assert sentence in text
    assert (out / "learning_curve.png").read_bytes().startswith(b"\x89PNG")

    def never(*_, **__):
        raise AssertionError("a finished training was made again")

    monkeypatch.setattr(train_recognizer, "run", never)
    again = run(config_of(data_file, out, seeds=1), device="cpu")
    kept = {"seconds"}
    assert again.model_dump(exclude=kept) == report.model_dump(exclude=kept)


def test_no_clip_of_the_test_part_is_learned_from_or_tested(data_file, tmp_path):
    out = tmp_path / "a"
    run(config_of(data_file, out, synthesis=False, seeds=2), device="cpu")
    file = SequenceFile(data_file)
    subject = dict(zip(file.names, file.subjects.tolist(), strict=True))
    named = {
        name for path in (out / "lists").glob("*.txt") for name in path.read_text().splitlines()
    }
    assert {subject[name] for name in named} == {1, 2}
    configs = [yaml.safe_load(path.read_text()) for path in out.glob("cell/*/config.yaml")]
    assert len(configs) == 4
    for config in configs:
        train, test = (
            set(Path(config[key].removeprefix("name=")).read_text().splitlines())
            for key in ("split", "test")
        )
        assert {subject[name] for name in train}.isdisjoint({subject[name] for name in test})


def test_a_dry_run_writes_nothing_and_counts(data_file, tmp_path):
    out = tmp_path / "a"
    report = run(config_of(data_file, out), dry_run=True)
    assert not out.exists()
    assert (report.cells, report.remaining, report.dry_run) == (6, 6, True)
    assert (report.curve, report.law, report.needed, report.commands) == ((), None, None, ())


def test_without_synthesis_no_generator_is_trained(data_file, tmp_path):
    config = config_of(data_file, tmp_path / "a", synthesis=False)
    report = run(config, dry_run=True)
    assert report.cells == 4
    assert report.outcome is None


def test_shares_that_round_to_the_same_clips_count_once(data_file, tmp_path):
    shares = {"fractions": [0.1, 0.3, 0.5, 1.0], "synthesis": False, "seeds": 1}
    config = config_of(data_file, tmp_path / "a", **shares)
    report = run(config, device="cpu")
    assert report.cells == 2, "one clip of each class, or both"
    assert [one.fraction for one in report.curve] == [0.5, 1.0]


def test_files_without_an_official_protocol_are_used_whole(data_file, tmp_path):
    report = run(AdviseConfig(data=data_file, out=tmp_path / "a"), dry_run=True)
    assert report.split == ""
    assert report.clips == 24
    assert "all are taken" in report.notes[0]


def test_short_schedules_give_way_to_what_is_said(data_file, tmp_path):
    config = AdviseConfig(data=data_file, out=tmp_path)
    assert config.resolved().recognizer_settings["optimisation"]["steps"] == 300
    said = {"optimisation": {"steps": 7}, "mixup": 0.0}
    resolved = config.model_copy(update={"recognizer_settings": said}).resolved()
    assert resolved.recognizer_settings == said
    assert resolved.resolved() == resolved


def test_a_finished_cell_counts_before_the_others_are(data_file, tmp_path):
    out = tmp_path / "a"
    config = config_of(data_file, out, synthesis=False, seeds=1)
    run(config, device="cpu")
    more = run(config_of(data_file, out, synthesis=False, seeds=2), dry_run=True)
    assert (more.cells, more.remaining) == (4, 2)
    assert len(more.curve) == 2
    assert more.law is not None


def test_mistakes_are_refused(data_file, tmp_path):
    with pytest.raises(NotFoundError, match="nowhere"):
        run(config_of(tmp_path / "nowhere.h5", tmp_path / "a"))
    with pytest.raises(UsageError, match="fractions: expected two"):
        run(config_of(data_file, tmp_path / "a", fractions=[0.5, 0.5]))
    with pytest.raises(UsageError, match="no clip has subject 9"):
        run(config_of(data_file, tmp_path / "a", split="subject=9"))
    with pytest.raises(UsageError, match="target"):
        config_of(data_file, tmp_path / "a", target=1.5)
