"""The step's waves, the conditioning, and attention against their definitions in float64."""

import math

import pytest
import torch

from skelaug.models.layers import (
    Conditioning,
    DropPath,
    SelfAttention,
    UnroundedLinear,
    sinusoid,
)
from skelaug.seeds import generator


def test_sinusoid_is_its_definition() -> None:
    steps = [0.0, 1.0, 36.5, 999.0]
    dim = 12
    wanted = [
        [math.cos(s * 10_000 ** (-k / 6)) for k in range(6)]
        + [math.sin(s * 10_000 ** (-k / 6)) for k in range(6)]
        for s in steps
    ]
    got = sinusoid(torch.tensor(steps, dtype=torch.float64), dim)
    torch.testing.assert_close(got, torch.tensor(wanted, dtype=torch.float64))


def test_inner_products_of_waves_depend_on_the_distance_alone() -> None:
    waves = sinusoid(torch.arange(50, dtype=torch.float64), 32)
    products = waves @ waves.T
    for lag in (0, 3, 20):
        diagonal = products.diagonal(lag)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal))
    torch.testing.assert_close(products.diagonal(), torch.full((50,), 16.0, dtype=torch.float64))


def test_sinusoid_refuses_an_odd_size() -> None:
    with pytest.raises(ValueError, match="even dim, got 7"):
        sinusoid(torch.zeros(2), 7)


def test_fractional_steps_stay_apart_in_half_precision() -> None:
    network = Conditioning(frequencies=64, dim=32).bfloat16()
    near = network(torch.tensor([900.0, 901.0]))
    assert near.dtype == torch.bfloat16
    assert not torch.equal(near[0], near[1])


def test_no_labels_are_the_dropped_label() -> None:
    network = Conditioning(frequencies=16, dim=8, num_classes=5)
    step = torch.tensor([3.0, 500.0])
    dropped = network(step, torch.tensor([5, 5]))
    torch.testing.assert_close(network(step), dropped)
    assert not torch.equal(network(step, torch.tensor([0, 4])), dropped)


def test_a_network_without_classes_ignores_labels() -> None:
    network = Conditioning(frequencies=16, dim=8)
    step = torch.tensor([3.0, 500.0])
    torch.testing.assert_close(network(step, torch.tensor([1, 2])), network(step))


def test_no_performers_are_the_dropped_performer() -> None:
    network = Conditioning(frequencies=16, dim=8, num_classes=5, num_subjects=3)
    assert network.subject is not None
    torch.nn.init.normal_(network.subject.weight, generator=generator(0, 8))
    step, labels = torch.tensor([3.0, 500.0]), torch.tensor([0, 5])
    dropped = network(step, labels, torch.tensor([3, 3]))
    torch.testing.assert_close(network(step, labels), dropped)
    told = network(step, labels, torch.tensor([0, 2]))
    torch.testing.assert_close(
        told - dropped, network.subject.weight[[0, 2]] - network.subject.weight[3]
    )


def test_performers_move_no_other_initial_weight_and_say_nothing_before_training() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        plain = Conditioning(frequencies=16, dim=8, num_classes=5)
        after = torch.rand(3)
        torch.manual_seed(0)
        network = Conditioning(frequencies=16, dim=8, num_classes=5, num_subjects=3)
        assert torch.equal(torch.rand(3), after)
    names = [*plain.state_dict(), "subject.weight"]
    assert sorted(network.state_dict()) == sorted(names)
    for name, weight in plain.state_dict().items():
        assert torch.equal(network.state_dict()[name], weight)
    step, labels = torch.tensor([3.0, 500.0]), torch.tensor([0, 4])
    assert torch.equal(network(step, labels, torch.tensor([0, 2])), plain(step, labels))


def _attention_by_loops(tokens: torch.Tensor, network: SelfAttention) -> torch.Tensor:
    (n, t, d), heads = tokens.shape, network.heads
    size = d // heads
    joined = tokens @ network.qkv.weight.T + network.qkv.bias
    mixed = torch.zeros_like(tokens)
    for i in range(n):
        for h in range(heads):
            place = slice(h * size, (h + 1) * size)
            q, k, v = (joined[i, :, j * d : (j + 1) * d][:, place] for j in range(3))
            for a in range(t):
                scores = torch.stack([q[a] @ k[b] / math.sqrt(size) for b in range(t)])
                weights = scores.exp() / scores.exp().sum()
                mixed[i, a, place] = sum(w * v[b] for b, w in enumerate(weights))
    return mixed @ network.out.weight.T + network.out.bias


def test_attention_is_softmax_of_scaled_products() -> None:
    network = SelfAttention(width=12, heads=3).double()
    tokens = torch.randn(2, 5, 12, dtype=torch.float64, generator=generator(0, 1))
    torch.testing.assert_close(network(tokens), _attention_by_loops(tokens, network))


def test_attention_is_the_same_on_both_of_its_paths() -> None:
    network = SelfAttention(width=32, heads=4).bfloat16()
    tokens = torch.randn(2, 24, 32, generator=generator(0, 2)).bfloat16()
    with torch.no_grad():
        fused = network(tokens)
    torch.testing.assert_close(network(tokens).detach(), fused, atol=2e-2, rtol=2e-2)


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match="width 10: expected a multiple of heads, got heads 4"):
        SelfAttention(width=10, heads=4)


def test_an_unrounded_layer_is_the_linear_layer_under_autocast_too() -> None:
    layer = UnroundedLinear(3, 4)
    x = 5 * torch.randn(6, 3, generator=generator(0, 9))
    wanted = x @ layer.weight.T + layer.bias
    with torch.autocast("cpu", torch.bfloat16):
        assert (torch.nn.functional.linear(x, layer.weight, layer.bias) - wanted).abs().max() > 1e-3
        torch.testing.assert_close(layer(x), wanted, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(layer(x.bfloat16()), layer(x.bfloat16().float()))


def test_drop_path_leaves_out_whole_samples_and_keeps_the_mean() -> None:
    branch = torch.randn(4000, 2, 3, generator=generator(0, 10))
    drop = DropPath(0.25)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        kept = drop(branch) / branch
    factors = kept[:, 0, 0]
    torch.testing.assert_close(kept, factors[:, None, None].expand_as(kept))
    assert bool(((factors == 0) | ((factors - 1 / 0.75).abs() < 1e-5)).all())
    assert abs(float(factors.mean()) - 1) < 5 * (0.25 / 0.75 / 4000) ** 0.5  # five standard errors
    assert torch.equal(drop.eval()(branch), branch)
