"""Windows of clips: their frames, their features, and the way back."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import Tensor

from skelaug.errors import DataError
from skelaug.imputation.body_frame import fit_body_frames, reference_pose, turned_about_y
from skelaug.imputation.windows import WindowForm
from skelaug.skeleton.layouts import get_layout


@pytest.fixture
def windows(make_sequence) -> Tensor:
    clips = [make_sequence(seed=seed, frames=20).positions[:, 0] for seed in range(4)]
    return torch.from_numpy(np.stack(clips)).double()


@pytest.fixture
def form(windows) -> WindowForm:
    layout = get_layout("kinect_20")
    poses, numbers = windows.flatten(0, 1).numpy(), np.random.default_rng(0)
    return WindowForm(
        layout=layout,
        frames=20,
        fps=30.0,
        reference=reference_pose(poses, np.ones(poses.shape[:2], bool), layout),
        mean=numbers.normal(size=60),
        std=numbers.uniform(0.01, 1, size=60),
    )


def seen_all(windows: Tensor) -> Tensor:
    return torch.ones(windows.shape[:3], dtype=torch.bool)


def test_positions_are_the_exact_inverse_of_features(windows, form) -> None:
    frames = fit_body_frames(windows, seen_all(windows), form)
    x = form.features(windows, frames)
    assert x.shape == (4, 60, 20)
    torch.testing.assert_close(form.positions(x, frames), windows, rtol=0, atol=1e-12)
    again = torch.randn(4, 60, 20, generator=torch.Generator().manual_seed(0)).double()
    back = form.features(form.positions(again, frames), frames)
    torch.testing.assert_close(back, again, rtol=0, atol=1e-9)


def test_in_single_precision_the_way_back_ends_within_ten_micrometres(windows, form) -> None:
    x = windows.float() + torch.tensor([3.0, 1.0, 4.0])
    frames = fit_body_frames(x, seen_all(x), form)
    back = form.positions(form.features(x, frames), frames)
    torch.testing.assert_close(back, x, rtol=0, atol=1e-5)


def test_a_clip_that_moved_turned_and_grew_has_the_same_features(windows, form) -> None:
    observed = torch.from_numpy(np.random.default_rng(2).random(windows.shape[:3]) > 0.2)
    angles = torch.tensor([0.3, -2.0, 3.0, 1.0]).double()
    moved = turned_about_y(1.4 * windows, angles) + torch.tensor([3.0, -1.0, 2.0]).double()
    before, after = (form.features(x, fit_body_frames(x, observed, form)) for x in (windows, moved))
    torch.testing.assert_close(after, before, rtol=0, atol=1e-9)


def test_a_node_is_a_coordinate_of_a_joint_relative_to_the_root(windows, form) -> None:
    frames = fit_body_frames(windows, seen_all(windows), form)
    x = form.features(windows, frames)
    window, joint, t, root = 1, 7, 5, form.layout.root
    turn = -float(frames.yaw[window])
    across = turned_about_y(windows[window, t][None], torch.tensor([turn]).double())[0]
    apart = (across[joint] - across[root]) / frames.size[window]
    node = 3 * joint + 2
    wanted = (float(apart[2]) - form.mean[node]) / form.std[node]
    assert float(x[window, node, t]) == pytest.approx(wanted)
    height = (windows[window, t, root, 1] - frames.origin[window, 1]) / frames.size[window]
    node = 3 * root + 1
    wanted = (float(height) - form.mean[node]) / form.std[node]
    assert float(x[window, node, t]) == pytest.approx(wanted)


def test_features_carry_the_gradient_of_the_positions(windows, form) -> None:
    frames = fit_body_frames(windows, seen_all(windows), form)
    few = windows[:1, :3].clone().requires_grad_(True)
    own = type(frames)(*(part[:1] for part in frames))
    assert torch.autograd.gradcheck(lambda x: form.features(x, own), (few,))


def test_what_was_seen_is_shown_and_the_rest_is_zero(windows, form) -> None:
    x = form.features(windows, fit_body_frames(windows, seen_all(windows), form))
    seen = torch.rand(x.shape, generator=torch.Generator().manual_seed(1)) > 0.5
    seen[:, :3] = True  # the root of kinect_20
    assert torch.equal(form.shown(x, seen), torch.where(seen, x, 0.0))
    assert torch.equal(form.shown(x, torch.ones_like(seen)), x)


def test_what_is_shown_does_not_betray_a_root_that_was_not_seen(windows, form) -> None:
    """Whatever stands in for the positions of the unseen root, the model is told the same."""
    frames = fit_body_frames(windows, seen_all(windows), form)
    observed = seen_all(windows)
    observed[:, 3:9, form.layout.root] = False
    observed[:, 7, 5:12] = False
    seen = observed.repeat_interleave(3, dim=2).mT
    other = windows.clone()
    other[~observed] = 7.0
    one, two = (form.shown(form.features(x, frames), seen) for x in (windows, other))
    torch.testing.assert_close(one, two, rtol=0, atol=1e-9)


def test_the_stand_in_for_the_root_is_that_of_the_reference_laid_on_what_was_seen(form) -> None:
    """Seen apart from its root, the reference pose looks as if it had been seen whole."""
    pose = torch.from_numpy(form.reference).expand(2, 20, -1, -1) + 0.5
    frames = fit_body_frames(pose, seen_all(pose), form)
    seen = torch.ones(2, 60, 20, dtype=torch.bool)
    seen[:, :3, 4:] = False
    whole = form.features(pose, frames)
    shown = form.shown(whole, seen)
    torch.testing.assert_close(shown[:, 3:], whole[:, 3:], rtol=0, atol=1e-9)
    assert bool((shown[:, :3, 4:] == 0).all())


def test_json_keeps_the_form_to_the_last_bit(form) -> None:
    text = json.dumps(form.to_json())
    again = WindowForm.from_json(json.loads(text))
    assert json.dumps(again.to_json()) == text
    assert again.layout == form.layout
    for name in ("reference", "mean", "std"):
        assert getattr(again, name).tobytes() == getattr(form, name).tobytes()


@pytest.mark.parametrize("fault", [{"mean": [1.0]}, {"fps": None}, {"layout": "{}"}])
def test_another_form_is_refused_by_name(form, fault) -> None:
    with pytest.raises(DataError, match=r"windows|layout"):
        WindowForm.from_json({**form.to_json(), **fault})
    with pytest.raises(DataError, match="windows"):
        WindowForm.from_json({})


@pytest.mark.parametrize(
    ("fps", "stride"),
    [(30.0, 1), (25.0, 1), (60.0, 2), (120.0, 4), (110.0, 4), (100.0, 3), (10.0, 1)],
)
def test_a_clip_of_a_higher_rate_is_read_in_strides(form, fps, stride) -> None:
    assert form.stride(fps) == stride
