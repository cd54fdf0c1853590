"""The log-posterior of clips."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from skelaug.imputation.body_frame import reference_pose
from skelaug.imputation.tracks import Track
from skelaug.imputation.typicality import log_posteriors
from skelaug.imputation.windows import WindowForm
from skelaug.skeleton.layouts import get_layout


class SumOfSquares:
    """A prior whose log-posterior is minus the sum of the squares of a window."""

    def log_posterior(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        del labels
        return -x.square().flatten(1).sum(dim=1)


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


def test_a_track_s_value_is_the_mean_over_its_windows(tracks, form) -> None:
    whole = log_posteriors(SumOfSquares(), form, tracks)  # type: ignore[arg-type]
    assert np.isfinite(whole).all()
    cut = [Track(t.positions[s : s + 10], t.observed[s : s + 10], 30.0)
           for t in tracks[:1] for s in (0, 5, 10, 15, 20)]  # fmt: skip
    alone = log_posteriors(SumOfSquares(), form, cut)  # type: ignore[arg-type]
    assert whole[0] == pytest.approx(alone.mean())


def test_what_was_not_measured_is_at_the_training_mean(tracks, form) -> None:
    """Entries at the mean add nothing to the sum of squares, whatever the array holds there."""
    track = tracks[1]
    observed = track.observed.copy()
    observed[3:6, 4:12] = False
    wild = np.where(observed[..., None], track.positions, 99.0)
    empty = np.where(observed[..., None], track.positions, np.nan)
    one, two = (Track(x, observed, 30.0) for x in (wild, empty))
    found = log_posteriors(SumOfSquares(), form, [one, two])  # type: ignore[arg-type]
    assert found[0] == found[1]
    assert found[0] > log_posteriors(SumOfSquares(), form, [track])[0]  # type: ignore[arg-type]


def test_where_nothing_was_measured_there_is_no_value(tracks, form) -> None:
    track = tracks[0]
    nothing = Track(track.positions, np.zeros_like(track.observed), 30.0)
    found = log_posteriors(SumOfSquares(), form, [nothing, track])  # type: ignore[arg-type]
    assert np.isnan(found[0])
    assert np.isfinite(found[1])


def test_a_clip_of_twice_the_rate_is_read_in_two_phases(tracks, form) -> None:
    track = tracks[0]
    fast = Track(np.repeat(track.positions, 2, axis=0), np.repeat(track.observed, 2, axis=0), 60.0)
    found = log_posteriors(SumOfSquares(), form, [track, fast])  # type: ignore[arg-type]
    assert found[0] == pytest.approx(found[1])


def test_it_does_not_matter_which_tracks_are_asked_about_together(tracks, form) -> None:
    together = log_posteriors(SumOfSquares(), form, tracks)  # type: ignore[arg-type]
    alone = [log_posteriors(SumOfSquares(), form, [t])[0] for t in tracks]  # type: ignore[arg-type]
    assert together.tolist() == alone
    assert torch.is_grad_enabled()
