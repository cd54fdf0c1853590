import numpy as np
import pytest

from skelaug.metrics.protocol import plan_draws
from skelaug.metrics.spectrum import frequency_energy
from skelaug.skeleton.layouts import get_layout
from skelaug.workflows import evaluation_scores
from skelaug.workflows.evaluation_clips import PreparedClips, prepare_clips, roots_of
from skelaug.workflows.evaluation_network import RecognizerTraining
from skelaug.workflows.evaluation_panel import train_panel
from skelaug.workflows.evaluation_scores import HIGH_BAND, energy_key, evaluate_arrays

LAYOUT = get_layout("kinect_20")


@pytest.fixture
def sides(labelled_clips):
    """The clips of subjects 1 and 2, and those of subject 3."""
    clips = labelled_clips()
    index = {label: i for i, label in enumerate(dict.fromkeys(clip.label for clip in clips))}

    def prepared(subjects):
        chosen = [clip for clip in clips if clip.subject in subjects]
        return prepare_clips((clip, index[clip.label]) for clip in chosen)

    return prepared({1, 2}), prepared({3})


def quick_panel(train):
    return train_panel(train, layout=LAYOUT, training=RecognizerTraining(steps=2))


def evaluate(train, synthetic, held_out=None, **options):
    options = {"layout": LAYOUT, "panel": quick_panel(train), "draws": 4, **options}
    return evaluate_arrays(train, synthetic, held_out, **options)


def test_copies_of_training_clips_are_told_as_such(sides):
    train, held_out = sides
    result = evaluate(train, train, held_out)
    assert result.copies.synthetic == 1
    assert result.copies.real < 0.1
    assert result.copies.held_out == 0
    assert result.scores["nearest_mm.median"].synthetic.mean == 0
    assert result.scores["nearest_mm.median"].real.mean > 1


def test_held_out_clips_in_place_of_synthetic_ones_score_as_held_out_clips_do(sides):
    train, held_out = sides
    scores = evaluate(train, held_out, held_out).scores
    for name in ("bone_length_variation", "velocity_mm", "acceleration_mm", "nearest_mm"):
        assert scores[name].synthetic.mean == pytest.approx(scores[name].held_out.mean, rel=0.2)


def test_real_clips_are_judged_by_the_member_that_has_not_seen_them(sides):
    train, held_out = sides
    result = evaluate(train, held_out)
    folds = result.panel.folds(train)
    for fold, view in enumerate(result.views):
        np.testing.assert_array_equal(view.real.labels, train.labels[folds == fold])
        features = result.panel.members[fold].read(train.positions[folds == fold]).features
        np.testing.assert_allclose(view.real.features, features, atol=1e-6)
        assert len(view.synthetic) == len(held_out)


def test_bone_lengths_speeds_and_distances_are_those_of_the_metrics(sides):
    train, _ = sides
    stretched = PreparedClips(2 * train.positions, train.labels, train.native, train.names)
    scores = evaluate(train, stretched).scores
    plan = plan_draws(train.labels, train.labels)
    assert plan.counts == dict.fromkeys(range(4), 2)
    # the same clips at twice the size: lengths vary as much, everything moves twice as fast
    real = {name: scores[name].real.mean for name in scores}
    for name, factor in (("bone_length_variation", 1), ("velocity_mm", 2), ("acceleration_mm", 2)):
        assert scores[name].synthetic.mean == pytest.approx(factor * real[name], rel=0.15), name
    assert scores["velocity_m_s"].synthetic.mean == pytest.approx(real["velocity_m_s"], rel=0.15)


def test_smoothed_clips_lack_high_band_energy_which_is_that_of_its_frequencies(sides):
    train, _ = sides
    padded = np.pad(train.positions, ((0, 0), (2, 2), (0, 0), (0, 0)), mode="symmetric")
    smooth = np.mean([padded[:, i : i + 24] for i in range(5)], axis=0)
    result = evaluate(train, PreparedClips(smooth, train.labels, train.native, train.names))
    expected = 1e6 * frequency_energy(smooth, roots_of(LAYOUT))
    quantities = result.views[0].synthetic.quantities
    for k in range(24):
        np.testing.assert_allclose(quantities[energy_key(k)], expected[:, k])
    energies = [result.scores[energy_key(k)] for k in range(24)]
    high = result.scores[HIGH_BAND]
    assert high.real.mean == pytest.approx(sum(one.real.mean for one in energies[6:]))
    assert high.synthetic.mean == pytest.approx(sum(one.synthetic.mean for one in energies[6:]))
    assert high.ratio < 0.5


def test_of_many_clips_some_are_searched_for(sides, monkeypatch):
    train, held_out = sides
    monkeypatch.setattr(evaluation_scores, "_MOST_QUERIES", 5)
    result = evaluate(train, held_out)
    assert np.isfinite(result.views[0].synthetic.quantities["nearest_mm"]).sum() == 5
    known = sum(np.isfinite(view.real.quantities["nearest_mm"]).sum() for view in result.views)
    assert known == 5


def test_without_a_panel_one_is_trained(sides, monkeypatch):
    train, held_out = sides
    monkeypatch.setattr(evaluation_scores, "train_panel", lambda clips, **_: quick_panel(clips))
    result = evaluate(train, held_out, panel=None)
    assert len(result.panel.members) == len(result.views) == 2
    assert result.scores["fid"].held_out is None
