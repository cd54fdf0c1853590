"""The log-densities of clips."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from torch import Tensor

from skelaug.imputation.body_frame import fit_body_frames, reference_pose
from skelaug.imputation.tracks import Track
from skelaug.imputation.typicality import DENSITIES, log_densities
from skelaug.imputation.windows import WindowForm
from skelaug.models import MOTION_PRIORS, build
from skelaug.models.latent_levels import MotionModel
from skelaug.seeds import generator
from skelaug.skeleton.layouts import get_layout

NOISE = 0.5


class OneFactor(MotionModel):
    """x = W z + noise, with one z ~ N(0, 1) for a whole window, and its exact posterior."""

    def __init__(self) -> None:
        super().__init__()
        self.w = torch.randn(60, 10, generator=generator(1), dtype=torch.float64) / 5
        self.precision = 1 + float(self.w.square().sum()) / NOISE**2

    def infer(self, x: Tensor, **_: object) -> Any:
        def normal(mean: Tensor, variance: float) -> Any:
            return SimpleNamespace(mean=mean, logvar=torch.full_like(mean, np.log(variance)))

        z = (x * self.w).flatten(1).sum(dim=1, keepdim=True) / NOISE**2 / self.precision
        level = SimpleNamespace(
            posterior=normal(z, 1 / self.precision),
            prior=normal(0 * z, 1.0),
            z=z,
            is_stochastic=True,
        )
        off = SimpleNamespace(**{**vars(level), "is_stochastic": False})
        return SimpleNamespace(levels=(level, off), output=normal(z[..., None] * self.w, NOISE**2))


@pytest.fixture
def prior() -> Any:
    return OneFactor().eval()


@pytest.fixture
def tracks(make_sequence) -> list[Track]:
    clips = [make_sequence(seed=i, frames=n) for i, n in enumerate((30, 12, 7))]
    return [Track(clip.positions[:, 0], clip.observed[:, 0], 30.0) for clip in clips]


@pytest.fixture
def form(tracks) -> WindowForm:
    layout = get_layout("kinect_20")
    poses = tracks[0].positions
    reference = reference_pose(poses, np.ones(poses.shape[:2], bool), layout)
    return WindowForm(layout, 10, 30.0, reference, np.zeros(60), np.ones(60))


def _window(track: Track, form: WindowForm) -> Tensor:
    """The first window of a track without gaps."""
    positions = torch.from_numpy(track.positions[None, : form.frames]).float()
    observed = torch.from_numpy(track.observed[None, : form.frames])
    return form.features(positions, fit_body_frames(positions, observed, form))


def test_the_joint_density_is_that_of_the_window_times_the_posterior_s(prior, tracks, form) -> None:
    """Bayes, log p(x, z) = log p(x) + log p(z | x), with the marginal of the model in full."""
    track = Track(tracks[0].positions[:10], tracks[0].observed[:10], 30.0)
    x, w = _window(track, form).flatten().double().numpy(), prior.w.flatten().numpy()
    marginal = multivariate_normal(cov=np.outer(w, w) + NOISE**2 * np.eye(600)).logpdf(x)
    peak = 0.5 * np.log(prior.precision / (2 * np.pi))
    found = log_densities(prior, form, [track])
    assert found.joint[0] == pytest.approx(marginal + peak, rel=1e-6)
    z = x @ w / NOISE**2 / prior.precision
    assert found.posterior[0] == pytest.approx(-0.5 * (z**2 + np.log(2 * np.pi)), rel=1e-5)


@pytest.mark.parametrize("kind", MOTION_PRIORS)
def test_a_track_s_densities_are_the_model_s_own(kind, tracks, form) -> None:
    arguments: dict[str, Any] = {
        "hgvae": {
            "level_nodes": [60, 8, 1],
            "level_features": [8, 8, 16],
            "width": 16,
            "stochastic_levels": 2,
        },
        "motion-vae": {"hidden": [40, 20], "latent": 5},
        "hm-vae": {"groups": [[*range(10)], [*range(10, 20)]]},
    }[kind]
    network: Any = build(kind, {"nodes": 60, "frames": 10, **arguments}, generator=generator(3))
    network.eval()
    with torch.no_grad():
        for weight in network.parameters():  # some paths start switched off
            weight.add_(0.1 * torch.randn(weight.shape, generator=generator(4)))
        x = _window(tracks[0], form)
        expected = [float(one) for one in network.log_densities(x)]
    track = Track(tracks[0].positions[:10], tracks[0].observed[:10], 30.0)
    found = log_densities(network, form, [track])
    assert (found.joint[0], found.posterior[0]) == pytest.approx(expected, rel=1e-4)
    with pytest.raises(ValueError, match="evaluation mode"):
        log_densities(network.train(), form, [track])


@pytest.mark.parametrize("by", DENSITIES)
def test_a_track_s_value_is_the_mean_over_its_windows(by, prior, tracks, form) -> None:
    whole = getattr(log_densities(prior, form, tracks), by)
    assert np.isfinite(whole).all()
    cut = [Track(t.positions[s : s + 10], t.observed[s : s + 10], 30.0)
           for t in tracks[:1] for s in (0, 5, 10, 15, 20)]  # fmt: skip
    alone = getattr(log_densities(prior, form, cut), by)
    assert whole[0] == pytest.approx(alone.mean())


def test_what_was_not_measured_is_at_the_training_mean(prior, tracks, form) -> None:
    """Whatever the array holds there: an unmeasured entry is 0 in the window."""
    track = tracks[1]
    observed = track.observed.copy()
    observed[3:6, 4:12] = observed[6:8, 0] = False  # joint 0 is the root
    wild = np.where(observed[..., None], track.positions, 99.0)
    empty = np.where(observed[..., None], track.positions, np.nan)
    given: list[Tensor] = []
    inferred = prior.infer
    prior.infer = lambda x, **_: (given.append(x), inferred(x))[1]
    found = log_densities(prior, form, [Track(x, observed, 30.0) for x in (wild, empty)])
    assert found.joint[0] == found.joint[1]
    assert found.posterior[0] == found.posterior[1]
    (x,) = given
    missing = torch.from_numpy(~observed[:10]).T.repeat_interleave(3, dim=0)
    assert (x[0][missing] == 0).all()
    assert (x[0][~missing] != 0).all()


def test_where_nothing_was_measured_there_is_no_value(prior, tracks, form) -> None:
    track = tracks[0]
    nothing = Track(track.positions, np.zeros_like(track.observed), 30.0)
    for found in log_densities(prior, form, [nothing, track]):
        assert np.isnan(found[0])
        assert np.isfinite(found[1])
    assert [own.shape for own in log_densities(prior, form, [])] == [(0,), (0,)]


def test_a_clip_of_twice_the_rate_is_read_in_two_phases(prior, tracks, form) -> None:
    track = tracks[0]
    fast = Track(np.repeat(track.positions, 2, axis=0), np.repeat(track.observed, 2, axis=0), 60.0)
    for found in log_densities(prior, form, [track, fast]):
        assert found[0] == pytest.approx(found[1])


@pytest.mark.parametrize("chunk", [1, 3, 256])
def test_it_does_not_matter_which_tracks_are_asked_about_together(
    chunk, prior, tracks, form, monkeypatch
) -> None:
    monkeypatch.setattr("skelaug.imputation.typicality._CHUNK", chunk)
    sizes: list[int] = []
    inferred = prior.infer
    prior.infer = lambda x, **_: (sizes.append(len(x)), inferred(x))[1]
    together = log_densities(prior, form, tracks)
    assert sum(sizes) == 8  # of 30 frames 5 windows, of 12 two, of 7 one
    assert max(sizes) <= 2 * chunk
    assert len(sizes) <= -(-8 // chunk)
    alone = [log_densities(prior, form, [track]) for track in tracks]
    for n, by in enumerate(DENSITIES):
        assert together[n].tolist() == pytest.approx([getattr(one, by)[0] for one in alone])
    assert torch.is_grad_enabled()
