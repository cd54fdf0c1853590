from types import SimpleNamespace

import numpy as np
import pytest
import torch

from skelaug.imputation.tracks import cut_windows
from skelaug.imputation.uncertainty import spread

ROOT = 0


class Shaking:
    """Rebuilds windows as they are, plus noise of its own size per node, plus a decoder's."""

    training = False

    def __init__(self, shake, logvar, *, reads_mask=False):
        self.shake, self.logvar, self.reads_mask = torch.from_numpy(shake), logvar, reads_mask
        self.noise_shape = (15 * 12,)
        self.seen: list[torch.Tensor | None] = []

    def reconstruct(self, x, *, seen=None, labels=None, noise=None):
        self.seen.append(seen)
        mean = x + self.shake[:, None] * noise.view(x.shape)
        return SimpleNamespace(mean=mean, logvar=torch.full_like(mean, self.logvar))


def filled(make_motion, *tracks):
    return [make_motion(len(track.positions)) for track in tracks]


def test_the_deviation_is_that_of_samples_and_decoder_together(form, make_track, make_motion):
    """Var = size^2 sum over x y z of std^2 (shake^2 + decoder), plus the root's where it is lost.

    400 samples of 3 coordinates: the relative error of a deviation is about 1 / sqrt(2 * 400).
    """
    shake = np.linspace(0.1, 1.5, 15)
    track = make_track(12, (slice(4, 9), 4), (slice(6, 9), 0))
    cut = cut_windows(form, [track])
    (found,) = spread(
        Shaking(shake, logvar=-1.0),
        cut,
        filled=filled(make_motion, track),
        addresses=[0],
        samples=400,
    )
    square = (float(cut.bodies.size[0]) * form.std) ** 2 * (shake**2 + np.exp(-1.0))
    head, root = square[12:].sum(), square[:3].sum()
    np.testing.assert_allclose(found[4:6, 4], np.sqrt(head), rtol=5 / np.sqrt(800))
    np.testing.assert_allclose(found[6:9, 4], np.sqrt(head + root), rtol=5 / np.sqrt(800))
    np.testing.assert_allclose(found[6:9, ROOT], np.sqrt(root), rtol=5 / np.sqrt(800))


def test_without_noise_of_the_samples_it_is_exactly_the_decoders(form, make_track, make_motion):
    track = make_track(30, (slice(4, 26), 4))
    cut = cut_windows(form, [track])
    (found,) = spread(
        Shaking(np.zeros(15), logvar=0.3), cut, filled=filled(make_motion, track), addresses=[0]
    )
    sizes = cut.bodies.size.numpy()
    own = np.sqrt(np.exp(0.3) * np.square(form.std[12:]).sum())
    assert (found[4:26, 4] >= own * sizes.min() * (1 - 1e-9)).all()
    assert (found[4:26, 4] <= own * sizes.max() * (1 + 1e-9)).all()


def test_what_was_measured_is_certain_and_nothing_is_said_of_nobody(form, make_track, make_motion):
    tracks = [
        make_track(30, (slice(4, 9), 4), (20, 0)),
        make_track(12),
        make_track(12, (slice(None), slice(None))),
        make_track(1, (0, 3)),
    ]
    cut = cut_windows(form, tracks)
    for some in (cut, cut_windows(form, tracks[1:])):
        of = filled(make_motion, *some.tracks)
        prior = Shaking(np.ones(15), logvar=0.0)
        found = spread(prior, some, filled=of, addresses=range(len(of)))
        for track, deviation in zip(some.tracks, found, strict=True):
            assert deviation.shape == track.observed.shape
            assert (deviation[track.observed] == 0).all()
        assert np.isnan(found[-2]).all()
        assert np.isnan(found[-1][0, 3])
    first = spread(prior, cut, filled=filled(make_motion, *tracks), addresses=range(4))[0]
    assert (first[~tracks[0].observed] > 0).all()


def test_the_noise_of_a_track_has_an_address(form, make_track, make_motion):
    tracks = [make_track(30, (slice(4, 9), 4)), make_track(20, (slice(4, 9), 4), seed=1)]
    prior = Shaking(np.ones(15), logvar=0.0)

    def of(tracks, addresses, **settings):
        cut = cut_windows(form, tracks)
        return spread(
            prior, cut, filled=filled(make_motion, *tracks), addresses=addresses, **settings
        )

    together = of(tracks, [7, 3])
    np.testing.assert_allclose(of(tracks[1:], [3])[0], together[1], rtol=1e-12)
    np.testing.assert_allclose(of(tracks, [7, 3], batch=1)[0], together[0], rtol=1e-12)
    assert np.abs(of(tracks[1:], [4])[0] - together[1]).max() > 1e-3
    assert np.abs(of(tracks[1:], [3], seed=1)[0] - together[1]).max() > 1e-3


@pytest.mark.parametrize("reads_mask", [False, True])
def test_a_prior_that_reads_masks_is_shown_what_was_measured(
    form, make_track, make_motion, reads_mask
):
    track = make_track(12, (slice(4, 9), 4))
    cut = cut_windows(form, [track])
    prior = Shaking(np.ones(15), logvar=0.0, reads_mask=reads_mask)
    spread(prior, cut, filled=filled(make_motion, track), addresses=[0], samples=3)
    assert len(prior.seen) == 3
    for seen in prior.seen:
        assert torch.equal(seen, cut.seen(cut.every)) if reads_mask else seen is None


def test_the_samples_of_a_gaussian_have_its_conditional_variance(form, linear_prior, make_track):
    """Second derivation: the precision's block of the missing frames, inverted."""
    track = make_track(12, (slice(4, 9), 4))
    cut = cut_windows(form, [track])
    of = [np.nan_to_num(track.positions)]
    (found,) = spread(linear_prior, cut, filled=of, addresses=[0], samples=400)
    lost = linear_prior.precision.numpy()[4:9, 4:9]
    size = float(cut.bodies.size[0])
    variance = np.diag(np.linalg.inv(lost))[:, None] * np.square(form.std[12:]).sum() * size**2
    np.testing.assert_allclose(found[4:9, 4], np.sqrt(variance[:, 0]), rtol=5 / np.sqrt(800))
    assert found[6, 4] > found[4, 4]  # the middle of a gap is the least certain


def test_too_few_samples_and_a_prior_in_training_mode_are_refused(form, linear_prior, make_track):
    track = make_track(12, (3, 2))
    cut = cut_windows(form, [track])
    with pytest.raises(ValueError, match="samples: expected at least 2, got 1"):
        spread(linear_prior, cut, filled=[track.positions], addresses=[0], samples=1)
    linear_prior.training = True
    with pytest.raises(ValueError, match="expected evaluation mode"):
        spread(linear_prior, cut, filled=[track.positions], addresses=[0])
