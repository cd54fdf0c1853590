import numpy as np
import pytest

from skelaug.imputation.gaps import GapKind
from skelaug.imputation.tracks import Track
from skelaug.models import MOTION_PRIORS
from skelaug.workflows.imputation_methods import Completer, has_spread, needs_model
from skelaug.workflows.imputation_report import METHODS, ImputeConfig
from skelaug.workflows.motion_prior import load_prior, load_priors


@pytest.fixture
def completer(make_prior, tmp_path):
    """With one model of each kind; the HG-VAE is the main one."""
    settings = ImputeConfig(data=tmp_path / "a.h5", out=tmp_path / "b.h5", steps=2, samples=2)
    return Completer(load_priors([make_prior(kind, kind=kind) for kind in MOTION_PRIORS]), settings)


def changed(completer, **changes):
    priors = list(completer._priors.values())
    return Completer(priors, completer._config.model_copy(update=changes))


def tracks(make_sequence, frames=(20, 33, 9)):
    """A gap, a joint that is never seen, and a missing root."""
    found = []
    for number, t in enumerate(frames):
        clip = make_sequence(frames=t, seed=number)
        observed = clip.observed[:, 0].copy()
        observed[3:7, number : number + 3] = False
        observed[:, 12] = observed[:, 12] & (number != 1)
        found.append(Track(clip.positions[:, 0], observed, clip.fps))
    return found


@pytest.mark.parametrize("method", METHODS)
def test_every_method_fills_every_gap_and_keeps_what_was_measured(completer, make_sequence, method):
    given = tracks(make_sequence)
    for track, filled in zip(given, completer.fill(method, given), strict=True):
        assert filled.dtype == np.float32
        assert np.isfinite(filled).all()
        kept = filled[track.observed].tobytes() == track.positions[track.observed].tobytes()
        assert kept
        assert not np.array_equal(filled, track.positions)


@pytest.mark.parametrize("method", ["ascent", "hgvae", "linear"])
def test_a_clip_does_not_depend_on_those_beside_it(completer, make_sequence, method, monkeypatch):
    given = tracks(make_sequence)
    together = completer.fill(method, given)
    monkeypatch.setattr("skelaug.workflows.imputation_methods._FRAMES", 25)
    for one, other in zip(together, completer.fill(method, given), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5)


def test_without_a_model_there_are_the_methods_along_time(make_sequence, tmp_path):
    alone = Completer(None, ImputeConfig(data=tmp_path, out=tmp_path))
    assert alone.methods == ("hold", "linear", "cubic")
    assert [m for m in METHODS if not needs_model(m)] == ["hold", "linear", "cubic"]
    spreads = ["reconstruction", "ascent", "motion-vae", "hm-vae", "hgvae"]
    assert [m for m in METHODS if has_spread(m)] == spreads
    assert not has_spread(None)
    given = tracks(make_sequence)
    for track, filled in zip(given, alone.fill("cubic", given), strict=True):
        known = track.observed.any(axis=0)
        assert np.isfinite(filled[:, known]).all()
        assert np.isnan(filled[:, ~known]).all()
    with pytest.raises(ValueError, match="expected one of"):
        alone.fill("hgvae", given)
    with pytest.raises(ValueError, match="expected a model"):
        alone.spread(given, [], [])


def test_the_papers_ascent_starts_at_the_mean_and_ours_at_the_reconstruction(
    completer, make_sequence
):
    given = tracks(make_sequence)
    still = changed(completer, rate=1e-9)
    for method, start in [("ascent", "mean"), ("hgvae", "reconstruction")]:
        for one, other in zip(still.fill(method, given), still.fill(start, given), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-6)


def apart(one, other):
    """The greatest distance between two sets of clips, metres."""
    return max(np.abs(a - b).max() for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("kind", MOTION_PRIORS)
def test_a_method_named_by_a_kind_is_the_ascent_of_that_model_alone(
    completer, make_sequence, make_prior, kind
):
    given = tracks(make_sequence)
    alone = Completer(load_prior(make_prior(kind, kind=kind)), completer._config)
    assert set(alone.methods) == set(METHODS) - (set(MOTION_PRIORS) - {kind})
    np.testing.assert_allclose(apart(completer.fill(kind, given), alone.fill(kind, given)), 0)
    others = [completer.fill(other, given) for other in MOTION_PRIORS if other != kind]
    assert min(apart(completer.fill(kind, given), other) for other in others) > 1e-3


def test_the_first_model_is_the_main_one(completer, make_sequence, make_prior):
    given = tracks(make_sequence)
    turned = Completer(list(completer._priors.values())[::-1], completer._config)
    assert turned.prior.kind == "hm-vae"
    alone = Completer(load_prior(make_prior("hm-vae", kind="hm-vae")), completer._config)
    for method in ("reconstruction", "ascent"):
        assert apart(turned.fill(method, given), alone.fill(method, given)) == 0
        assert apart(turned.fill(method, given), completer.fill(method, given)) > 1e-3
    filled = completer.fill("linear", given)
    spreads = [one.spread(given, filled, [0, 1, 2]) for one in (turned, alone, completer)]
    assert apart(spreads[0], spreads[1]) == 0
    assert apart(spreads[0], spreads[2]) > 1e-4


@pytest.mark.parametrize("kind", MOTION_PRIORS)
def test_start_and_density_of_an_ascent_can_be_chosen_but_for_the_published_one(
    completer, make_sequence, kind
):
    given = tracks(make_sequence)
    for start in ("mean", "linear"):
        still = changed(completer, rate=1e-9, start=start)
        assert apart(still.fill(kind, given), still.fill(start, given)) < 1e-6
    other = changed(completer, climbs="posterior", start="mean", span=1)
    assert apart(other.fill("ascent", given), completer.fill("ascent", given)) == 0
    ours = changed(completer, start="mean", span=1).fill(kind, given)
    assert apart(ours, other.fill(kind, given)) > 1e-3
    if kind == completer.prior.kind:
        assert apart(other.fill(kind, given), completer.fill("ascent", given)) == 0
        together = changed(completer, climbs="posterior", start="mean", span=3)
        assert apart(together.fill(kind, given), completer.fill("ascent", given)) > 1e-3


def test_along_time_there_is_one_way_to_fill_a_joint_that_is_never_seen(
    completer, make_sequence, tmp_path
):
    given = tracks(make_sequence)
    never = [~track.observed.any(axis=0) for track in given]
    hold, linear, cubic = (completer.fill(m, given) for m in ("hold", "linear", "cubic"))
    for unseen, *filled in zip(never, hold, linear, cubic, strict=True):
        for other in filled[1:]:
            np.testing.assert_array_equal(filled[0][:, unseen], other[:, unseen])
    left_out = set(METHODS) - set(completer.methods_for(GapKind.UNSEEN))
    assert left_out == {"hold", "cubic"}
    assert completer.methods_for(GapKind.LONG) == METHODS
    alone = Completer(None, ImputeConfig(data=tmp_path, out=tmp_path))
    assert alone.methods_for(GapKind.UNSEEN) == ()


def test_spread_is_positive_where_something_was_filled_and_follows_the_address(
    completer, make_sequence
):
    given = tracks(make_sequence)
    filled = completer.fill("reconstruction", given)
    first = completer.spread(given, filled, [0, 1, 2])
    second = completer.spread(given[1:], filled[1:], [1, 5])
    for track, values in zip(given, first, strict=True):
        assert (values[~track.observed] > 0).all()
        assert (values[track.observed] == 0).all()
    np.testing.assert_allclose(first[1], second[0], rtol=1e-4)
    assert not np.allclose(first[2], second[1], rtol=1e-3)


def test_the_rate_of_the_ascent_is_what_was_asked_for(completer, make_sequence):
    given = tracks(make_sequence)
    wild = changed(completer, rate=3.0)
    start = completer.fill("mean", given)
    far = [np.abs(a - b).max() for a, b in zip(wild.fill("ascent", given), start, strict=True)]
    near = [
        np.abs(a - b).max() for a, b in zip(completer.fill("ascent", given), start, strict=True)
    ]
    assert max(far) > 3 * max(near)
