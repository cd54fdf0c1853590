"""Statistics of joints against loops, and what they must not depend on."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.fft import dct
from torch import Tensor

from skelaug.models.recognizers.kinematics import Kinematics
from skelaug.models.transfer import Names, carry_weights
from skelaug.seeds import generator
from skelaug.skeleton.layouts import LAYOUTS

TREE = LAYOUTS["humaneva_15"].parents


def made(**arguments: object) -> Kinematics:
    return Kinematics(**{"parents": TREE, "num_classes": 7, **arguments}).double().eval()


def drawn(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def test_features_are_their_formula() -> None:
    x = drawn(2, 6, 9, 15, 1)
    expected = np.empty((2, 3, 15, 6))
    for n, c, v in np.ndindex(2, 6, 15):
        course = x[n, c, :, v, 0].numpy()
        change = [*(after - before for before, after in pairwise(course)), 0.0]
        expected[n, 0, v, c] = sum(abs(one - course.sum() / 9) for one in course) / 9
        expected[n, 1, v, c] = sum(abs(one - sum(change) / 9) for one in change) / 9
        expected[n, 2, v, c] = dct(course, norm="ortho")[1] / 3
    found = made(channels=6).features(x)
    np.testing.assert_allclose(found.numpy(), expected.reshape(2, -1), rtol=0, atol=1e-13)


def test_a_motion_and_its_reverse_differ_in_the_sign_of_their_trends_alone() -> None:
    x = drawn(3, 3, 12, 15, 1)
    x[:, :, -1] = x[:, :, 0]  # else their changes have other means
    forth, back = (made().features(one).view(3, 3, -1) for one in (x, x.flip(2)))
    torch.testing.assert_close(back[:, :2], forth[:, :2], rtol=0, atol=1e-13)
    torch.testing.assert_close(back[:, 2], -forth[:, 2], rtol=0, atol=1e-13)


def test_where_joints_are_does_not_count() -> None:
    x = drawn(3, 3, 12, 15, 1)
    moved = x + drawn(3, 3, 1, 15, 1, seed=2)
    torch.testing.assert_close(made().features(x), made().features(moved), rtol=0, atol=1e-13)


def test_moments_add_up_to_the_clip() -> None:
    x, network = drawn(2, 3, 32, 15, 1), made()
    sequence = network.feature_sequence(x)
    assert sequence.shape == (2, 8, 135)
    torch.testing.assert_close(sequence.mean(dim=1), network.features(x), rtol=0, atol=1e-13)
    assert not torch.allclose(sequence[:, 0], sequence[:, 7])


@pytest.mark.parametrize("frames", [1, 5, 33])
def test_any_number_of_frames_has_as_many_moments(frames: int) -> None:
    assert made().feature_sequence(drawn(2, 3, frames, 15, 1)).shape == (2, 8, 135)


def test_an_absent_person_does_not_count() -> None:
    x, network = drawn(2, 3, 10, 15, 1), made()
    two = torch.cat([x, torch.zeros_like(x)], dim=4)
    torch.testing.assert_close(network.features(two), network.features(x), rtol=0, atol=0)
    both = torch.cat([x, drawn(2, 3, 10, 15, 1, seed=3)], dim=4)
    assert not torch.allclose(network.features(both), network.features(x))


def test_it_learns_to_tell_classes() -> None:
    network = Kinematics(parents=TREE, num_classes=2)
    x = drawn(40, 3, 8, 15, 1).float()
    labels = torch.arange(40) % 2
    x[labels == 1, 1, ::2, 4] += 3.0  # one joint goes up and down
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(30):
        loss = torch.nn.functional.cross_entropy(network(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    said = network.eval()(x).argmax(dim=1)
    assert float((said == labels).double().mean()) == 1.0


def test_weights_follow_the_names_of_joints_and_classes() -> None:
    kinect, mocap = LAYOUTS["kinect_20"], LAYOUTS["humaneva_15"]
    network = Kinematics(parents=kinect.parents, num_classes=2)
    other = Kinematics(parents=mocap.parents, num_classes=2)
    carried = carry_weights(
        network,
        other.state_dict(),
        source=Names(mocap.joints, ["jump", "kick"]),
        target=Names(kinect.joints, ["kick", "wave"]),
    )
    assert "classify.weight" in carried.partly
    joint = carried.joints[0]
    ours, theirs = kinect.joints.index(joint), mocap.joints.index(joint)
    weights = [n.classify.weight.view(2, 3, -1, 3) for n in (network, other)]
    torch.testing.assert_close(weights[0][0, :, ours], weights[1][1, :, theirs], rtol=0, atol=0)
