"""FrameEstimate: a linear map per step, a perceptron, and nothing at first."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from skelaug.models.frame_estimate import FrameEstimate
from skelaug.models.pose_denoiser import PoseDenoiser
from skelaug.seeds import generator

N, T, V, STEPS = 3, 4, 5, 10


def _random(*shape: int, address: int) -> Tensor:
    return torch.randn(*shape, generator=generator(3, address), dtype=torch.float64)


def _estimate(width: int = 6) -> FrameEstimate:
    estimate = FrameEstimate(V, channels=5, steps=STEPS, width=width).double()
    with torch.no_grad():
        for i, value in enumerate(estimate.state_dict().values()):
            value += 0.3 * _random(*value.shape, address=i)
    return estimate


def _inputs() -> tuple[Tensor, Tensor, Tensor]:
    step = torch.tensor([0, 4, STEPS])
    return _random(N, T, V, 3, address=100), step, _random(N, T, V, 2, address=101)


def test_a_new_one_finds_no_error() -> None:
    x, step, y = _inputs()
    assert not FrameEstimate(V, channels=5, steps=STEPS, width=6).double()(x, step, y).any()


def test_it_is_the_linear_map_of_the_step_and_the_perceptron_of_the_standardised_frame() -> None:
    estimate, (x, step, y) = _estimate(), _inputs()
    found = estimate(x, step, y)
    first, _, second, _, last = estimate.perceptron  # type: ignore[misc]
    for n in range(N):
        s = int(step[n])
        for t in range(T):
            told = torch.cat([x[n, t].flatten(), y[n, t].flatten()])
            seen = torch.cat([(told - estimate.mean) / estimate.scale, torch.tensor([s / 5 - 1.0])])
            hidden = F.gelu(first.weight @ seen.double() + first.bias)
            hidden = F.gelu(second.weight @ hidden + second.bias)
            expected = estimate.weight[s] @ told + estimate.bias[s]
            expected = expected + last.weight @ hidden + last.bias
            torch.testing.assert_close(found[n, t].flatten(), expected)


def test_a_frame_does_not_depend_on_the_others() -> None:
    estimate, (x, step, y) = _estimate(), _inputs()
    before = estimate(x, step, y)
    x[:, 1:] += 1
    torch.testing.assert_close(estimate(x, step, y)[:, 0], before[:, 0])


def test_autocast_does_not_round_it() -> None:
    estimate, (x, step, y) = _estimate().float(), _inputs()
    told = x.float(), step, y.float()
    with torch.autocast("cpu", torch.bfloat16):
        rounded = estimate(*told)
    torch.testing.assert_close(rounded, estimate(*told), rtol=0, atol=0)


def test_an_untrained_refiner_answers_what_its_frame_estimate_does() -> None:
    network = PoseDenoiser(
        V, features=16, depth=1, heads=2, frame_estimate={"steps": STEPS, "width": 6}
    ).double()
    assert network.estimate is not None
    network.estimate.load_state_dict(_estimate().state_dict())
    x, step, y = _inputs()
    torch.testing.assert_close(network(x, step, y), network.estimate(x, step, y))
