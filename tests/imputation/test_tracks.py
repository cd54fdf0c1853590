import numpy as np
import pytest
import torch

from skelaug.imputation.body_frame import BodyFrames, fit_body_frames
from skelaug.imputation.tracks import Track, cut_windows, mean_motions


@pytest.fixture
def tracks(make_track):
    return [
        make_track(30, (slice(3, 6), 1)),
        make_track(5, seed=1),
        make_track(40, (4, 2), seed=2, fps=60.0),
        make_track(1, seed=3),
    ]


def test_windows_are_the_clips_frames_and_never_mix_clips(form, tracks):
    cut = cut_windows(form, tracks)
    flat = cut.flat([np.arange(len(t.positions)) + 1000.0 * n for n, t in enumerate(tracks)])
    windows = flat[cut.frames]
    assert torch.equal((windows // 1000).long(), cut.track[:, None].expand(-1, form.frames))
    assert sorted(set(cut.frames.flatten().tolist())) == list(range(76))
    steps = windows[cut.track == 2].diff(dim=1)
    assert (steps == 2).all()  # 60 frames per second, read at 30
    assert [len(part) for part in cut.split(flat)] == [30, 5, 40, 1]


def test_body_frames_are_fitted_on_what_was_observed(form, make_track, make_motion):
    holed = make_track(12, (slice(3, 6), 4))
    truth, mask = torch.from_numpy(make_motion(12))[None], torch.from_numpy(holed.observed)[None]
    expected = fit_body_frames(truth, mask, form)
    for one, other in zip(cut_windows(form, [holed]).bodies, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=0)


def test_blending_what_agrees_changes_nothing(form, tracks):
    cut = cut_windows(form, tracks)
    every = torch.arange(len(cut.frames))
    values = torch.rand(76, 4, dtype=torch.float64)
    blended = cut.blend(values[cut.frames], every)
    torch.testing.assert_close(blended, values, rtol=1e-12, atol=0)


def test_a_window_counts_by_its_distance_from_its_ends(form, make_track):
    cut = cut_windows(form, [make_track(18)])
    assert cut.frames[:, 0].tolist() == [0, 6]
    numbers = torch.tensor([0.0, 1.0], dtype=torch.float64)
    blended = cut.blend(numbers[:, None].expand(2, 12), torch.arange(2))
    middle = [w / (w + v) for w, v in zip((1, 2, 3, 4, 5, 6), (6, 5, 4, 3, 2, 1), strict=True)]
    expected = torch.tensor([0.0] * 6 + middle + [1.0] * 6, dtype=torch.float64)
    torch.testing.assert_close(blended, expected)


def test_frames_in_no_window_that_counts_are_not_known(form, make_track):
    cut = cut_windows(form, [make_track(18)])
    blended = cut.blend(torch.ones(1, 12), torch.tensor([0]))
    assert blended[:12].isfinite().all()
    assert blended[12:].isnan().all()


def test_each_frame_has_the_body_frame_of_the_window_around_it(form, make_track):
    cut = cut_windows(form, [make_track(18), make_track(3)])
    number = BodyFrames(*(torch.arange(3.0) for _ in range(3)))
    marked = type(cut)(**{**vars(cut), "bodies": number})
    home = marked.body_of_frame().yaw.tolist()
    assert home[:8] == [0.0] * 8  # 6 and 7 lie nearer to the middle of the first
    assert home[10:18] == [1.0] * 8
    assert home[18:] == [2.0] * 3


def test_only_windows_in_which_something_can_be_filled_have_gaps(form, make_track):
    tracks = [
        make_track(12),
        make_track(18, (1, 2)),
        make_track(12, (slice(None), slice(None))),
        make_track(1, (0, 1)),
    ]
    cut = cut_windows(form, tracks)
    assert [track.is_motion for track in tracks] == [False, True, False, False]
    assert cut.with_gaps.tolist() == [1]


def test_features_of_the_mean_motion_are_0(form, make_track):
    track = make_track(12, (slice(3, 6), 1))
    (mean,) = mean_motions(cut_windows(form, [track]))
    cut = cut_windows(form, [track])
    x = cut.features(torch.from_numpy(mean), torch.tensor([0]))
    torch.testing.assert_close(x, torch.zeros_like(x), rtol=0, atol=1e-12)


def test_seen_says_of_each_node_what_was_measured(form, make_track):
    cut = cut_windows(form, [make_track(12, (slice(3, 6), 1))])
    seen = cut.seen(torch.tensor([0]))
    assert seen.shape == (1, 15, 12)
    assert seen.sum() == 15 * 12 - 9
    assert not seen[0, 3:6, 3:6].any()


def test_what_no_reader_should_hand_over_is_refused(form, make_track):
    with pytest.raises(ValueError, match="expected finite numbers where observed"):
        Track(np.full((3, 5, 3), np.nan), np.ones((3, 5), dtype=bool), 30.0)
    with pytest.raises(ValueError, match="tracks: expected at least one"):
        cut_windows(form, [])
    other = Track(np.zeros((3, 4, 3)), np.ones((3, 4), dtype=bool), 30.0)
    with pytest.raises(ValueError, match="positions: expected F V C with V = 5"):
        cut_windows(form, [other])


@pytest.mark.parametrize("stride", [2, 3, 4])
def test_the_mean_over_phases_counts_them_alike_and_keeps_lines(form, make_track, stride):
    tracks = [make_track(20), make_track(21, fps=30.0 * stride)]
    cut = cut_windows(form, tracks)
    phase = torch.arange(41, dtype=torch.float64) - 20
    of_phase = torch.tensor([1.0, 7.0, -3.0, 11.0], dtype=torch.float64)[:stride]
    own = of_phase[(phase.long() % stride)]
    found = cut.moving_mean(torch.stack([own, 2 * phase], dim=1))
    assert torch.equal(found[:20], torch.stack([own, 2 * phase], dim=1)[:20])
    inside = slice(20 + stride, 41 - stride)
    torch.testing.assert_close(found[inside, 0], of_phase.mean().expand(21 - 2 * stride))
    torch.testing.assert_close(found[inside, 1], 2 * phase[inside])
