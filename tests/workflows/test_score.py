"""From a file of clips to scores: what is written, what is counted, what is refused."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from skelaug.errors import DataError, NotFoundError, UsageError
from skelaug.imputation.tracks import Track
from skelaug.imputation.typicality import DENSITIES, log_densities
from skelaug.workflows import score
from skelaug.workflows.motion_prior import load_prior
from skelaug.workflows.score_report import ScoreConfig, ScoreReport


@pytest.fixture
def prior(make_prior: Callable[..., Path]) -> Path:
    return make_prior()


def run(data: Path, model: Path, **options: Any) -> ScoreReport:
    told = {key: options.pop(key) for key in ("force", "dry_run", "write") if key in options}
    config = ScoreConfig(data=data, model=str(model), **options)
    return score.run(config, device="cpu", **told)


@pytest.mark.parametrize("by", DENSITIES)
def test_the_training_clips_lie_around_0_with_a_deviation_of_1(by, data_file, prior):
    report = run(data_file, prior, by=by)
    assert report.by == by
    assert report.scores is not None
    standardised = [one.standardised for one in report.scores]
    assert np.mean(standardised) == pytest.approx(0, abs=1e-3)
    assert np.std(standardised) == pytest.approx(1, abs=1e-3)
    assert report.usual is not None
    assert (report.clips, report.persons, report.usual.clips, report.like) == (24, 24, 24, None)
    assert report.usual.threshold == pytest.approx(report.usual.mean - report.usual.std)
    flagged = [one for one in report.scores if one.standardised < -1]
    assert [one for one in report.scores if one.out_of_distribution] == flagged
    assert report.out_of_distribution == len(flagged)
    assert sum(one.out_of_distribution for one in report.labels) == len(flagged)
    assert sum(one.scores for one in report.labels) == 24


def test_lines_and_rows_hold_the_scores_in_the_order_of_the_clips(
    data_file, prior, tmp_path, labelled_clips
):
    kept = run(data_file, prior).scores
    assert kept is not None
    assert [one.name for one in kept] == [clip.name for clip in labelled_clips()]
    run(data_file, prior, out=tmp_path / "a.jsonl")
    lines = [json.loads(text) for text in (tmp_path / "a.jsonl").read_text().splitlines()]
    run(data_file, prior, out=tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for one, line, row in zip(kept, lines, rows, strict=True):
        assert one.name == line["name"] == row["name"]
        assert line["score"] == pytest.approx(one.score, rel=1e-5)
        assert float(row["score"]) == pytest.approx(one.score, rel=1e-5)
        assert row["out_of_distribution"] == str(one.out_of_distribution)
    streamed: list[str] = []
    run(data_file, prior, write=streamed.append)
    assert "".join(streamed) == (tmp_path / "a.jsonl").read_text()
    assert len(streamed) > 20, "lines are handed on as they are computed"
    record = json.loads((tmp_path / "a.csv.run.json").read_text())
    assert record["command"] == "score"
    assert set(record["inputs"]) == {"data.h5", "model.safetensors"}


def test_every_person_has_a_score_and_missing_joints_are_counted(
    write_file, make_sequence, prior, tmp_path
):
    pair = make_sequence(name="pair", persons=2, frames=20, missing=0.1)
    alone = make_sequence("wave", name="alone", frames=30)
    data = write_file(tmp_path / "two.h5", [pair, alone])
    report = run(data, prior)
    assert report.scores is not None
    found = [(one.name, one.person, one.label) for one in report.scores]
    assert found == [("pair", 0, "walk"), ("pair", 1, "walk"), ("alone", 0, "wave")]
    missing = [int((~pair.observed[:, person]).sum()) for person in (0, 1)]
    assert [one.missing for one in report.scores] == [*missing, 0]
    assert (report.clips, report.persons, report.missing) == (2, 3, sum(missing))
    model = load_prior(prior)
    tracks = [Track(pair.positions[:, 1], pair.observed[:, 1], 30.0)]
    expected = log_densities(model.network, model.form, tracks)
    assert expected.joint[0] != pytest.approx(expected.posterior[0], rel=1e-2)
    assert report.scores[1].score == pytest.approx(expected.joint[0], rel=1e-5)
    by_latents = run(data, prior, by="posterior").scores
    assert by_latents is not None
    assert by_latents[1].score == pytest.approx(expected.posterior[0], rel=1e-5)


def test_joints_of_less_confidence_are_missing(write_file, make_sequence, prior, tmp_path):
    clip = make_sequence(frames=20)
    sure = np.ones(clip.observed.shape, dtype=np.float32)
    sure[:5, 0, 3] = 0.2
    data = write_file(tmp_path / "a.h5", [clip.replaced(confidence=sure)], has_confidence=True)
    all_of_them, some = run(data, prior), run(data, prior, min_confidence=0.5)
    assert (all_of_them.missing, some.missing) == (0, 5)
    assert all_of_them.scores != some.scores


def test_a_clip_in_which_nothing_was_measured_is_told_and_has_no_line(
    write_file, make_sequence, prior, tmp_path
):
    empty = make_sequence(name="empty", frames=20, missing=1.1)
    data = write_file(tmp_path / "a.h5", [empty, make_sequence(name="full", frames=20)])
    report = run(data, prior)
    assert [(one.name, one.reason) for one in report.rejected] == [
        ("empty", "no joint was measured in any frame")
    ]
    assert [one.name for one in report.scores or ()] == ["full"]
    data = write_file(tmp_path / "b.h5", [empty])
    with pytest.raises(DataError, match="expected clips with measured joints, got none of 1"):
        run(data, prior, out=tmp_path / "b.csv")
    assert not (tmp_path / "b.csv").exists()


def test_persons_of_whom_nothing_is_sure_are_listed_by_their_place_in_the_file(
    write_file, make_sequence, prior, tmp_path
):
    pair, alone = make_sequence(name="pair", persons=2), make_sequence(name="alone")
    sure = np.ones(pair.observed.shape, dtype=np.float32)
    sure[:, 0] = 0.2
    clips = [pair.replaced(confidence=sure), alone.replaced(confidence=sure[:, :1])]
    data = write_file(tmp_path / "a.h5", clips, has_confidence=True)
    report = run(data, prior, min_confidence=0.5)
    assert [(one.name, one.person) for one in report.scores or ()] == [("pair", 1)]
    assert (report.clips, report.persons) == (1, 1)
    assert [(one.name, one.reason) for one in report.rejected] == [
        ("pair", "person 0: no joint has a confidence of 0.5"),
        ("alone", "no joint has a confidence of 0.5"),
    ]
    assert run(data, prior).rejected == []


@pytest.mark.parametrize("by", DENSITIES)
def test_the_clips_of_another_file_can_say_what_is_usual(
    by, data_file, write_file, make_sequence, prior, tmp_path
):
    """The density is the model's, the band is theirs."""
    good = [make_sequence("wave", name=f"{n}", seed=n, missing=0.2) for n in range(9)]
    like = write_file(tmp_path / "good.h5", [*good, make_sequence(name="empty", missing=1.1)])
    own, other = run(data_file, prior, by=by), run(data_file, prior, by=by, like=like)
    among = run(like, prior, by=by, like=like, out=tmp_path / "a.jsonl")
    values = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    mean, std = (float(f([one["score"] for one in values])) for f in (np.mean, np.std))
    assert other.usual is not None
    assert other.usual == among.usual
    assert (other.usual.mean, other.usual.std) == pytest.approx((mean, std), rel=1e-4)
    assert (other.like, other.usual.clips) == (str(like), 9)
    assert np.std([one["standardised"] for one in values]) == pytest.approx(1, abs=1e-3)
    assert own.usual != other.usual
    for one, two in zip(own.scores or (), other.scores or (), strict=True):
        assert one.score == two.score
        assert two.standardised == pytest.approx((two.score - mean) / std, abs=2e-3)
        assert two.out_of_distribution == (two.score < mean - std)
    record = json.loads((tmp_path / "a.jsonl.run.json").read_text())
    assert record["config"]["like"].endswith("good.h5")
    assert "good.h5" in record["inputs"]


def test_what_is_usual_takes_eight_clips_that_fit(
    data_file, write_file, make_sequence, labelled_clips, prior, tmp_path
):
    some = [make_sequence(name=f"{n}", seed=n) for n in range(7)]
    few = write_file(tmp_path / "few.h5", [*some, make_sequence(name="empty", missing=1.1)])
    with pytest.raises(DataError, match=r"few.h5: expected at least 8 clips .*, got 7; .*--like"):
        run(data_file, prior, like=few)
    same = [make_sequence(name=f"{n}") for n in range(8)]
    with pytest.raises(DataError, match="expected clips of different log-joint"):
        run(data_file, prior, like=write_file(tmp_path / "same.h5", same))
    other = write_file(tmp_path / "other.h5", labelled_clips(layout="sbu_15"))
    with pytest.raises(DataError, match=r"other.h5: expected layout kinect_20"):
        run(data_file, prior, like=other, dry_run=True)
    with pytest.raises(NotFoundError, match="nowhere"):
        run(data_file, prior, like=tmp_path / "nowhere.h5")
    with pytest.raises(UsageError, match="is an input"):
        run(data_file, prior, like=few, out=few, force=True)


def test_a_model_that_does_not_know_its_training_clips_can_judge_like_others(data_file, make_prior):
    silent = make_prior("silent", meta={"typicality": None})
    assert run(data_file, silent, like=data_file).persons == 24


def test_one_frame_and_a_clip_shorter_than_a_window_have_a_score(
    write_file, make_sequence, prior, tmp_path
):
    clips = [make_sequence(name=str(frames), frames=frames) for frames in (1, 2, 7)]
    report = run(write_file(tmp_path / "a.h5", clips), prior)
    assert report.persons == 3
    assert all(np.isfinite(one.score) for one in report.scores or ())


def test_only_clips_outside_the_training_part_of_a_split_are_scored(data_file, prior):
    report = run(data_file, prior, split="subject=1,2")
    assert report.scores is not None
    assert {one.name.split()[-1][0] for one in report.scores} == {"3"}


def test_a_rate_that_no_stride_reaches_is_told(write_file, make_sequence, prior, tmp_path):
    for fps, warns in ((30.0, False), (60.0, False), (25.0, True), (45.0, True), (119.0, False)):
        data = write_file(tmp_path / f"{fps}.h5", [make_sequence(fps=fps, frames=20)])
        warnings = run(data, prior, dry_run=True).warnings
        assert bool(warnings) is warns, (fps, warnings)
        assert run(data, prior, dry_run=True, like=data).warnings == 2 * warnings


def test_a_dry_run_computes_and_writes_nothing(data_file, prior, tmp_path):
    report = run(data_file, prior, dry_run=True, out=tmp_path / "a.csv")
    assert (report.clips, report.persons, report.scores) == (24, 0, None)
    assert report.usual is not None
    report = run(data_file, prior, dry_run=True, like=data_file)
    assert (report.usual, report.like) == (None, str(data_file))
    assert not (tmp_path / "a.csv").exists()


def test_a_picture_is_written_and_outputs_are_kept_without_force(data_file, prior, tmp_path):
    picture, out = tmp_path / "a.png", tmp_path / "a.csv"
    run(data_file, prior, picture=picture, out=out)
    assert picture.read_bytes().startswith(b"\x89PNG")
    for options in ({"picture": picture}, {"out": out}):
        with pytest.raises(UsageError, match="--force"):
            run(data_file, prior, **options)
    run(data_file, prior, picture=picture, out=out, force=True)


def test_models_that_are_no_prior_or_do_not_fit_are_refused(
    data_file, make_prior, make_model, make_recognizer, write_file, make_sequence, tmp_path
):
    with pytest.raises(NotFoundError, match="no motion prior; train one with `skelaug train hgvae"):
        run(data_file, make_model())
    with pytest.raises(DataError, match=r"expected a motion prior .hgvae.*, got compact"):
        run(data_file, make_recognizer())
    with pytest.raises(DataError, match="expected the log-joint of its training clips"):
        run(data_file, make_prior("a", meta={"typicality": None}))
    with pytest.raises(UsageError, match="trained to draw labelled clips"):
        run(data_file, make_prior("b", meta={"windows": None}))
    with pytest.raises(DataError, match=r"expected layout ntu_25 .*got kinect_20.*train hgvae"):
        run(data_file, make_prior("c", layout="ntu_25"))
    flat = make_sequence()
    data = write_file(
        tmp_path / "flat.h5", [flat.replaced(positions=flat.positions[..., :2])], channels=2
    )
    with pytest.raises(DataError, match="expected 3 coordinates per joint, got 2"):
        run(data, make_prior("d"))
