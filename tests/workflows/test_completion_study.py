"""Errors and accelerations of methods that are known: what counts is what was hidden."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from skelaug.data.store import SequenceFile
from skelaug.imputation.ascent import ascend
from skelaug.imputation.tracks import Track, cut_windows
from skelaug.skeleton.layouts import get_layout
from skelaug.workflows.completion_study import WITHOUT_NETWORK, completions, rivals
from skelaug.workflows.imputation_methods import Completer
from skelaug.workflows.imputation_report import ImputeConfig
from skelaug.workflows.motion_prior import load_prior
from skelaug.workflows.study_occlusions import OCCLUSIONS, occluded, random_entries
from skelaug.workflows.study_windows import WholeWindow, whole_windows

LAYOUT = get_layout("kinect_20")


@pytest.fixture
def windows(data_file):
    with SequenceFile(data_file) as file:
        return whole_windows(file, range(6), frames=20, fps=30.0)


def moved(windows, by):
    """A method that moves every joint, the measured ones as well."""
    return lambda tracks: [one.track.positions + by for one in windows]


def linear(tracks):
    """Lines between what was measured, written down again; held at the ends."""
    filled = []
    for track in tracks:
        x, time = track.positions.copy(), np.arange(len(track.positions))
        for joint, axis in np.ndindex(*x.shape[1:]):
            seen = track.observed[:, joint]
            x[:, joint, axis] = np.interp(time, time[seen], x[seen, joint, axis])
        filled.append(x)
    return filled


def test_only_hidden_coordinates_count_and_all_methods_see_the_same_gaps(windows):
    asked = []

    def watched(by):
        def fill(tracks):
            asked.append([track.observed for track in tracks])
            return moved(windows, by)(tracks)

        return fill

    methods = {str(by): watched(by) for by in (0.0, 0.5, 2.0)}
    made = completions(methods, windows, random_entries(30), LAYOUT)
    assert made.hidden.tolist() == [30] * 6
    for by in (0.0, 0.5, 2.0):
        errors = made.methods[str(by)].errors
        np.testing.assert_allclose(errors, by**2 * made.hidden, rtol=1e-5)
        assert made.error(str(by)).value == pytest.approx(by)
    decrease = made.decrease("0.5", against="2.0")
    assert (decrease.mean, decrease.half_width) == pytest.approx((-15 / 16, 0), abs=1e-5)
    for other in asked[1:]:
        np.testing.assert_array_equal(other, asked[0])


def test_the_persons_of_a_clip_are_no_sample_of_their_own(windows):
    twice = [WholeWindow(one.row, one.track) for one in windows for _ in range(2)]
    doubled = replace(windows, windows=tuple(twice))
    sizes = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]

    def fill(windows, sizes):
        return lambda tracks: [w.track.positions + s for w, s in zip(windows, sizes, strict=True)]

    once = completions({"m": fill(windows, sizes)}, windows, random_entries(30), LAYOUT)
    both = np.repeat(sizes, 2)
    found = completions({"m": fill(doubled, both)}, doubled, random_entries(30), LAYOUT)
    assert found.error("m").clips == 6
    np.testing.assert_allclose(found.methods["m"].errors, 2 * once.methods["m"].errors, rtol=1e-5)
    assert found.error("m").high == pytest.approx(once.error("m").high)


def test_accelerations_are_second_derivatives_whatever_the_rate(windows):
    """A body that falls at 9.81 m/s^2, filmed at two rates, and as a method fills it."""
    for fps in (30.0, 120.0):
        time = np.arange(20) / fps
        fall = np.zeros((20, 20, 3))
        fall[:, :, 1] = 2.0 - 9.81 / 2 * time[:, None] ** 2
        track = Track(fall, np.ones((20, 20), dtype=bool), fps)
        falling = replace(windows, windows=(WholeWindow(0, track), WholeWindow(1, track)))
        made = completions({"linear": linear}, falling, OCCLUSIONS["all, 5 frames"], LAYOUT)
        assert made.acceleration().value == pytest.approx(9.81, rel=1e-6)


def test_a_bend_is_a_joint_in_three_frames_of_which_one_was_hidden(windows):
    hide = OCCLUSIONS["a limb, 10 frames"]
    made = completions({"linear": linear}, windows, hide, LAYOUT)
    tracks = occluded(windows, hide, LAYOUT)
    for clips, found in (
        ([track.positions for track in windows.tracks], made.acceleration()),
        (linear(tracks), made.acceleration("linear")),
    ):
        bends = [
            900 * (x[t - 1, v] - 2 * x[t, v] + x[t + 1, v])
            for x, track in zip(clips, tracks, strict=True)
            for t, v in np.ndindex(*track.observed.shape)
            if 0 < t < 19 and not track.observed[t - 1 : t + 2, v].all()
        ]
        assert int(made.bends.sum()) == len(bends)
        assert found.value == pytest.approx(np.sqrt(np.square(bends).sum(axis=1).mean()), rel=1e-4)


def test_a_rival_is_an_ascent_from_its_start_by_its_density(windows, make_prior, tmp_path):
    prior = load_prior(make_prior())
    config = ImputeConfig(data=tmp_path / "a.h5", out=tmp_path / "b.h5", steps=3, rate=0.2)
    fills = rivals(prior, config)
    tracks = occluded(windows, OCCLUSIONS["a limb, 10 frames"], LAYOUT)
    cut = cut_windows(prior.form, tracks)
    for start in ("mean", "reconstruction"):
        for climbs in ("posterior", "joint"):
            own = {"climbs": climbs, "span": 1 if (start, climbs) == ("mean", "posterior") else 9}
            expected = ascend(
                prior.network, cut, start=fills[start](tracks), steps=3, lr=0.2, **own
            )
            found = fills[f"log-{climbs} from the {start}"](tracks)
            for one, other in zip(found, expected.positions, strict=True):
                np.testing.assert_allclose(one, other, atol=1e-5)
    published = Completer(prior, config).fill("ascent", tracks)
    for one, other in zip(fills["log-posterior from the mean"](tracks), published, strict=True):
        np.testing.assert_array_equal(one, other)
    assert set(WITHOUT_NETWORK) < set(fills)
