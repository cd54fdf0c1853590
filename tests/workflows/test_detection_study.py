"""Of scores whose distribution is known, what a band says of them is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from skelaug.data.store import SequenceFile
from skelaug.errors import DataError
from skelaug.imputation.typicality import log_densities
from skelaug.workflows.clip_scores import FEWEST
from skelaug.workflows.detection_study import cases, detect, usual_of
from skelaug.workflows.motion_prior import UsualDensity, load_prior
from skelaug.workflows.study_occlusions import OCCLUSIONS
from skelaug.workflows.study_windows import whole_windows


def test_usual_scores_leave_their_own_band_as_often_as_a_normal_variable_falls_below_minus_1():
    scores = np.random.default_rng(0).normal(-300, 40, 4000)
    found = detect(scores, usual_of(scores, where="a.h5"))
    assert found.below.low < norm.cdf(-1) < found.below.high
    assert found.deviations.mean == pytest.approx(0, abs=1e-9)
    assert found.clean is None


def test_scores_that_fall_by_d_deviations_are_told_to_and_stand_out_so_far():
    numbers = np.random.default_rng(1)
    clean, lower = numbers.normal(0, 1, 3000), numbers.normal(-1.5, 1, 3000)
    found = detect(50 * lower + 7, UsualDensity(7.0, 50.0, 100), clean=50 * clean + 7)
    assert found.deviations.mean == pytest.approx(-1.5, abs=0.05)
    assert found.below.low < norm.cdf(0.5) < found.below.high
    assert found.clean.low < norm.cdf(1.5 / np.sqrt(2)) < found.clean.high


def test_a_band_is_mean_and_deviation_of_the_clips_that_it_is_of():
    scores = np.arange(10.0)
    assert usual_of(scores, where="a.h5") == UsualDensity(4.5, scores.std(), 10)


@pytest.mark.parametrize("scores", [np.arange(FEWEST - 1.0), np.ones(20)])
def test_few_clips_or_equal_scores_say_nothing_about_what_is_usual(scores):
    with pytest.raises(DataError, match=rf"a.h5: .* got {len(scores)}"):
        usual_of(scores, where="a.h5")


def test_clean_clips_come_first_then_every_occlusion_then_the_others(
    data_file, make_prior, write_file, make_sequence, tmp_path
):
    prior = load_prior(make_prior())
    other = write_file(tmp_path / "o.h5", [make_sequence(name="o", frames=40, fps=15.0)])
    with SequenceFile(data_file) as file, SequenceFile(other) as there:
        form = {"frames": prior.form.frames, "fps": prior.form.fps}
        windows, odd = whole_windows(file, range(9), **form), whole_windows(there, [0], **form)
    first, *rest, last = cases(prior, windows, {"other": odd})
    expected = log_densities(prior.network, prior.form, windows.tracks)
    np.testing.assert_array_equal(first.scores.joint, expected.joint)
    assert (first.what, first.hidden, last.what, last.hidden) == ("clean", 0.0, "other", 0.0)
    assert len(last.scores.joint) == 1
    assert [case.what for case in rest] == list(OCCLUSIONS)
    entries = 3 * prior.form.frames * prior.form.layout.num_joints
    for case in rest:
        if case.what == "300 entries":
            assert case.hidden == pytest.approx(300 / entries)
        assert not np.array_equal(case.scores.joint, first.scores.joint)
