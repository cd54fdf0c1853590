import numpy as np
import pytest

from skelaug.imputation.gaps import GapKind, gap_kinds
from skelaug.skeleton.sequence import Source
from skelaug.workflows.imputation import complete
from skelaug.workflows.imputation_methods import Completer
from skelaug.workflows.imputation_report import ImputeConfig
from skelaug.workflows.imputation_trial import Choice
from skelaug.workflows.motion_prior import load_prior

CHOICES = {
    "short": Choice(kind="short", method="linear", reason="", rmse=0.02),
    "long": Choice(kind="long", method="hgvae", reason="", rmse=0.05, scale=2.0),
    "unseen": Choice(kind="unseen", method="hgvae", reason="", rmse=0.3, scale=0.5),
}


@pytest.fixture
def settings(tmp_path):
    return ImputeConfig(data=tmp_path / "a.h5", out=tmp_path / "b.h5", steps=2, samples=2)


@pytest.fixture
def completer(make_prior, settings):
    return Completer(load_prior(make_prior()), settings)


@pytest.fixture
def clip(make_sequence):
    """Two persons and an empty slot; gaps of three kinds, one of them a number that is no place."""
    clip = make_sequence(frames=30, persons=3)
    positions, observed = clip.positions.copy(), clip.observed.copy()
    observed[4:8, 0, 5:7] = observed[4:8, 1, 3] = False
    observed[10:25, 0, 8] = False
    observed[:, 1, 12] = False
    observed[:, 2] = False
    positions[~observed] = np.nan
    positions[5, 0, 5] = 9.0
    return clip.replaced(positions=positions, observed=observed)


def test_what_was_measured_stays_bit_for_bit_and_what_was_not_is_filled_and_marked(
    clip, completer, settings
):
    before = clip.positions.tobytes()
    ((done),) = complete({3: clip}, completer, CHOICES, settings)
    got = done.clip
    assert clip.positions.tobytes() == before
    assert got.positions[clip.observed].tobytes() == clip.positions[clip.observed].tobytes()
    np.testing.assert_array_equal(got.observed, clip.observed)
    assert np.isfinite(got.positions[:, :2]).all()
    assert np.abs(got.positions[5, 0, 5]).max() < 5
    assert got.source is Source.IMPUTED
    assert done.filled == {"short": 12, "long": 15, "unseen": 30}


def test_nobody_is_invented(clip, completer, settings):
    (done,) = complete({3: clip}, completer, CHOICES, settings)
    assert np.isnan(done.clip.positions[:, 2]).all()
    assert np.isnan(done.clip.uncertainty[:, 2]).all()
    assert not done.clip.observed[:, 2].any()
    empty = clip.replaced(observed=np.zeros_like(clip.observed))
    (done,) = complete({3: empty}, completer, CHOICES, settings)
    np.testing.assert_array_equal(done.clip.positions, empty.positions)
    assert (done.filled, done.clip.source) == ({}, Source.REAL)


def test_each_kind_of_gap_takes_its_own_method_and_its_own_uncertainty(clip, completer, settings):
    (done,) = complete({3: clip}, completer, CHOICES, settings)
    half = {kind: one.model_copy(update={"scale": 1.0}) for kind, one in CHOICES.items()}
    (plain,) = complete({3: clip}, completer, half, settings)
    for person in (0, 1):
        kinds = gap_kinds(clip.observed[:, person])
        got, raw = done.clip.uncertainty[:, person], plain.clip.uncertainty[:, person]
        assert (got[kinds == GapKind.MEASURED] == 0).all()
        np.testing.assert_array_equal(got[kinds == GapKind.SHORT], np.float32(0.02))
        for kind, scale in ((GapKind.LONG, 2.0), (GapKind.UNSEEN, 0.5)):
            assert (raw[kinds == kind] > 0).all()
            np.testing.assert_allclose(got[kinds == kind], scale * raw[kinds == kind], rtol=1e-6)
    frames, ends = slice(4, 8), clip.positions[[3, 8], 0, 5]
    line = ends[0] + np.arange(1, 5)[:, None] / 5 * (ends[1] - ends[0])
    np.testing.assert_allclose(done.clip.positions[frames, 0, 5], line, atol=1e-6)


def test_where_nothing_was_measured_about_a_method_its_uncertainty_is_unknown(
    clip, completer, settings
):
    choices = {
        kind: one.model_copy(update={"rmse": None, "scale": None}) for kind, one in CHOICES.items()
    }
    (done,) = complete({3: clip}, completer, choices, settings)
    kinds = gap_kinds(clip.observed[:, 0])
    assert np.isnan(done.clip.uncertainty[:, 0][kinds == GapKind.SHORT]).all()
    assert (done.clip.uncertainty[:, 0][kinds == GapKind.LONG] > 0).all()


def test_without_a_model_joints_that_are_never_seen_stay_missing(clip, settings):
    choices = {k: Choice(kind=k, method="linear", reason="", rmse=0.02) for k in CHOICES}
    (done,) = complete({3: clip}, Completer(None, settings), choices, settings)
    assert np.isnan(done.clip.positions[:, 1, 12]).all()
    assert np.isnan(done.clip.uncertainty[:, 1, 12]).all()
    assert done.filled == {"short": 12, "long": 15}


def test_what_is_too_unsure_is_replaced_and_no_longer_counts_as_measured(
    make_sequence, completer, settings
):
    clip = make_sequence(frames=30)
    confidence = np.ones(clip.observed.shape, np.float32)
    confidence[5:8, 0, 4] = 0.2
    clip = clip.replaced(confidence=confidence)
    sure = settings.model_copy(update={"min_confidence": 0.5})
    (done,) = complete({0: clip}, completer, CHOICES, sure)
    assert not done.clip.observed[5:8, 0, 4].any()
    assert done.clip.observed.sum() == clip.observed.size - 3
    assert not np.array_equal(done.clip.positions[5:8, 0, 4], clip.positions[5:8, 0, 4])
    np.testing.assert_array_equal(done.clip.confidence, confidence)
    (same,) = complete({0: clip}, completer, CHOICES, settings)
    assert same.clip.positions.tobytes() == clip.positions.tobytes()
    assert same.clip.source is Source.REAL


def test_a_person_of_whom_nothing_is_sure_is_not_measured(clip, completer, settings):
    confidence = np.ones(clip.observed.shape, np.float32)
    confidence[:, 1] = 0.2
    sure = settings.model_copy(update={"min_confidence": 0.5})
    (done,) = complete({0: clip.replaced(confidence=confidence)}, completer, CHOICES, sure)
    assert not done.clip.observed[:, 1].any()
    assert np.isnan(done.clip.uncertainty[:, 1]).all()
    np.testing.assert_array_equal(done.clip.positions[:, 1], clip.positions[:, 1])


def test_a_synthetic_clip_stays_one(clip, completer, settings):
    (done,) = complete({0: clip.replaced(source=Source.SYNTHETIC)}, completer, CHOICES, settings)
    assert done.filled
    assert done.clip.source is Source.SYNTHETIC


def test_what_nothing_fills_stays_missing_and_its_uncertainty_is_unknown(clip, completer, settings):
    choices = {**CHOICES, "unseen": Choice(kind="unseen", method=None, reason="")}
    (done,) = complete({3: clip}, completer, choices, settings)
    assert done.filled == {"short": 12, "long": 15}
    assert np.isnan(done.clip.positions[:, 1, 12]).all()
    assert np.isnan(done.clip.uncertainty[:, 1, 12]).all()


def test_a_single_frame_takes_the_mean_pose_and_says_nothing_of_how_sure_it_is(
    make_sequence, completer, settings
):
    clip = make_sequence(frames=1)
    observed = clip.observed.copy()
    observed[0, 0, 4] = False
    (done,) = complete({0: clip.replaced(observed=observed)}, completer, CHOICES, settings)
    assert np.isfinite(done.clip.positions).all()
    assert np.isnan(done.clip.uncertainty[0, 0, 4])


def test_gaps_without_a_method_stay_what_they_were(clip, completer, settings):
    (done,) = complete({3: clip}, completer, {"long": CHOICES["long"]}, settings)
    assert done.filled == {"long": 15}
    np.testing.assert_array_equal(done.clip.positions[4:8], clip.positions[4:8])
    assert np.isnan(done.clip.uncertainty[4:8, 0, 5:7]).all()
