"""Those who use completed clips: the truth is worth as much as nothing hidden."""

from __future__ import annotations

import numpy as np
import pytest

from skelaug.data.store import SequenceFile
from skelaug.errors import DataError
from skelaug.imputation.tracks import Track
from skelaug.workflows import predict
from skelaug.workflows.downstream_study import DownstreamStudy, downstream_methods, recognised
from skelaug.workflows.imputation_report import ImputeConfig
from skelaug.workflows.motion_prior import load_prior

WHAT = "all, 25 frames"


@pytest.fixture
def data(write_file, make_sequence, tmp_path):
    return write_file(
        tmp_path / "long.h5",
        [
            make_sequence(label, name=f"{label} {n}", frames=80, subject=1 + n % 2, seed=n)
            for label in ("walk", "wave")
            for n in range(8)
        ],
    )


@pytest.fixture
def recognizer(make_recognizer):
    return make_recognizer(classes=("walk", "wave"))


def test_clips_as_they_are_are_recognised_as_by_predict(data, recognizer, tmp_path):
    expected = predict.run(predict.PredictConfig(data=data, models=(str(recognizer),)))
    with SequenceFile(data) as file:
        clips = {row: file[row].positions[:, 0] for row in range(len(file))}
        found = recognised(file, clips, recognizer=recognizer, scratch=tmp_path / "c.h5")
    assert (found.value, found.count) == (expected.accuracy, 16)


def test_clips_that_nobody_can_name_are_an_error(write_file, make_sequence, recognizer, tmp_path):
    path = write_file(tmp_path / "a.h5", [make_sequence("", name="nameless")])
    with SequenceFile(path) as file:
        clips = {0: file[0].positions[:, 0]}
        with pytest.raises(DataError, match="expected labelled clips"):
            recognised(file, clips, recognizer=recognizer, scratch=tmp_path / "c.h5")


def test_the_truth_is_worth_as_much_as_nothing_hidden_and_a_frozen_body_less(
    data, recognizer, make_prior, tmp_path
):
    prior = load_prior(make_prior())
    with SequenceFile(data) as file:
        study = DownstreamStudy(
            file, "subject=1", prior=prior, recognizer=recognizer, folder=tmp_path, most=6
        )
        assert len(study.recognisable) == len(study.continued) == 6
        assert {int(file.subjects[one.row]) for one in study.recognisable} == {2}
        truth = {80: study.recognisable.tracks, 50: study.continued.tracks}

        def oracle(tracks):
            frames = len(tracks[0].positions)
            return [one.positions[:frames] for one in truth[frames]]

        def frozen(tracks):
            return [np.repeat(x[:1], len(x), axis=0) for x in oracle(tracks)]

        nothing, known, still = study.rows({"oracle": oracle, "frozen": frozen}, [WHAT])
    assert (nothing.hidden, nothing.method) == ("nothing", "")
    assert (known.hidden, known.method, still.method) == (WHAT, "oracle", "frozen")
    assert (known.recognised, known.forecast) == (nothing.recognised, nothing.forecast)
    assert still.forecast.mean > nothing.forecast.mean


def test_the_methods_fill_all_gaps(data, make_prior, make_sequence, tmp_path):
    prior = load_prior(make_prior())
    methods = downstream_methods(prior, ImputeConfig(data=data, out=tmp_path / "o.h5", steps=1))
    assert list(methods) == ["mean", "linear", "cubic", "reconstruction", "hgvae"]
    with SequenceFile(data) as file:
        clip = file[0]
    observed = clip.observed[:, 0].copy()
    observed[5:15, :7] = False
    for fill in methods.values():
        (filled,) = fill([Track(clip.positions[:, 0], observed, clip.fps)])
        assert np.isfinite(filled).all()
