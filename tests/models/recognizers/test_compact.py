from __future__ import annotations

import pytest
import torch

from skelaug.models.recognizers.compact import Compact, Unit
from skelaug.seeds import generator
from skelaug.skeleton.graph import directed_subsets
from skelaug.skeleton.layouts import LAYOUTS

TREE = LAYOUTS["humaneva_15"].parents


def made(seed: int = 0, **arguments: object) -> Compact:
    with torch.random.fork_rng(devices=[]):
        torch.random.set_rng_state(generator(seed).get_state())
        return Compact(**{"parents": TREE, "num_classes": 11, **arguments})


def drawn(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, generator=generator(seed))


@pytest.mark.parametrize("layout", ["ntu_25", "kinect_20", "coco_17"])
@pytest.mark.parametrize(("frames", "persons"), [(1, 1), (3, 2), (32, 1), (61, 2)])
def test_any_layout_length_and_number_of_persons(layout, frames, persons):
    parents = LAYOUTS[layout].parents
    network = made(parents=parents, channels=9, widths=(8, 16)).eval()
    assert network(drawn(2, 9, frames, len(parents), persons)).shape == (2, 11)


def test_a_unit_is_its_formula():
    """Sum over subsets of A_k x W_k, normalised, then a convolution over time, in float64."""
    adjacency = torch.from_numpy(directed_subsets(TREE))
    unit = Unit(3, 4, adjacency, kernel=3).double().eval()
    with torch.no_grad():
        for norm in (unit.norm_space, unit.norm_time):
            norm.weight.copy_(drawn(4).double())
            norm.bias.copy_(drawn(4, seed=2).double())
            norm.running_mean.copy_(drawn(4, seed=3).double())
            norm.running_var.copy_(drawn(4, seed=4).double().abs() + 0.5)
        unit.adjacency.add_(0.1 * drawn(*unit.adjacency.shape, seed=5).double())
    x = drawn(2, 3, 5, 15, seed=6).double()
    weight = unit.spread.weight.view(3, 4, 3)  # subsets, out, in
    z = torch.zeros(2, 4, 5, 15, dtype=torch.float64)
    for k in range(3):
        for u in range(15):
            for v in range(15):
                z[:, :, :, u] += unit.adjacency[u, v, k] * torch.einsum(
                    "dc,nct->ndt", weight[k], x[:, :, :, v]
                )

    def normed(y: torch.Tensor, norm: torch.nn.BatchNorm2d) -> torch.Tensor:
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        return (y - norm.running_mean[:, None, None]) * scale[:, None, None] + norm.bias[
            :, None, None
        ]

    z = normed(z, unit.norm_space).relu()
    padded = torch.nn.functional.pad(z, (0, 0, 1, 1))
    taps = unit.time.weight[..., 0]  # out, in, kernel
    y = sum(torch.einsum("dc,nctv->ndtv", taps[..., j], padded[:, :, j : j + 5]) for j in range(3))
    shortcut = torch.einsum("dc,nctv->ndtv", unit.shortcut.weight[..., 0, 0], x)
    expected = (normed(y, unit.norm_time) + shortcut).relu()
    torch.testing.assert_close(unit(x), expected, atol=1e-12, rtol=1e-10)


def test_the_order_of_persons_does_not_matter_and_an_absent_one_counts_for_nothing():
    network = made(widths=(8, 8)).eval()
    two = drawn(3, 3, 20, 15, 2)
    torch.testing.assert_close(network(two), network(two.flip(-1)), atol=1e-5, rtol=0)
    alone = two[..., :1]
    absent = torch.cat([alone, torch.zeros_like(alone)], dim=-1)
    torch.testing.assert_close(network(absent), network(alone), atol=1e-5, rtol=0)
    assert not torch.allclose(network(two), network(alone))


def test_nobody_at_all_is_still_a_finite_answer():
    assert torch.isfinite(made().eval()(torch.zeros(1, 3, 8, 15, 2))).all()


def test_gradient_reaches_every_parameter():
    network = made(widths=(8, 16))
    network(drawn(4, 3, 16, 15, 1)).logsumexp(dim=1).sum().backward()
    silent = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


def test_eight_clips_are_learnt_by_heart():
    network = made(widths=(16, 16), dropout=0.0)
    x, labels = drawn(8, 3, 16, 15, 1), torch.arange(8)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(x), labels).backward()
        optimizer.step()
    assert (network.eval()(x).argmax(dim=1) == labels).all()


def test_axes_name_every_parameter_with_a_joint_or_class_axis():
    network = made(parents=LAYOUTS["humaneva_15"].parents, num_classes=11, widths=(8, 16))
    for name, tensor in network.state_dict().items():
        touches = any(size in (15, 45, 11) for size in tensor.shape)
        listed = any(name == key or name.endswith(f".{key}") for key in network.AXES)
        assert touches == listed, name


def test_a_wrong_shape_is_refused():
    with pytest.raises(ValueError, match="x"):
        made()(torch.zeros(1, 4, 8, 15, 1))
