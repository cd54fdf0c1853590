"""HG-VAE against a second derivation of its paper, and what the paper says of its levels."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import scipy.fft
import torch
from torch import Tensor
from torch.distributions import Normal

from skelaug.diffusion.spectral import cosine_basis
from skelaug.models.hgvae import HGVAE
from skelaug.seeds import generator

V, T, K, N = 6, 5, 3, 4
LEVELS = {"level_nodes": (6, 4, 2, 1), "level_features": (5, 4, 3, 7), "width": 8}
STANDARD = Normal(torch.zeros((), dtype=torch.float64), torch.ones((), dtype=torch.float64))


def _network(*, awake: bool = True, **arguments: object) -> HGVAE:
    """A small network in float64; awake means that it has left its initial zeros."""
    network = HGVAE(nodes=V, frames=T, **{**LEVELS, **arguments})  # type: ignore[arg-type]
    with torch.no_grad():
        for i, parameter in enumerate(network.parameters()):
            noise = torch.randn(parameter.shape, generator=generator(0, i))
            parameter.copy_(parameter + 0.4 * noise if awake else parameter)
    network = network.double()
    network.dct = cosine_basis(T)
    return network.eval().requires_grad_(requires_grad=False)


def _windows(stream: int = 0) -> Tensor:
    return torch.randn(N, V, T, generator=generator(1, stream), dtype=torch.float64)


def _noise(network: HGVAE, stream: int = 0) -> Tensor:
    shape = (N, *network.noise_shape)
    return torch.randn(shape, generator=generator(2, stream), dtype=torch.float64)


LABELS = torch.tensor([0, 2, -1, 1])
ALL = torch.ones(N, V, T, dtype=torch.bool)


class ByHand:
    """The paper's network from bare weights: samples first, one contraction per equation."""

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        self.w = weights

    def gcl(self, name: str, A: Tensor) -> Tensor:
        S, W, b = (self.w[f"{name}.{part}"] for part in "SWb")
        return torch.einsum("vu,nuf,fg->nvg", S, A, W) + b

    def gcb(self, name: str, A: Tensor) -> Tensor:
        y = A
        for part in ("first", "second"):
            y = self.gcl(f"{name}.{part}", y)
            y = y * STANDARD.cdf(y)
        return A + self.w[f"{name}.rezero.alpha"] * y

    def head(self, name: str, A: Tensor) -> tuple[Tensor, Tensor]:
        return self.gcl(f"{name}.mean", A), self.gcl(f"{name}.logvar", A).clamp(-20, 3)

    def encode(self, x: Tensor) -> list[Tensor]:
        y = torch.from_numpy(scipy.fft.dct(x.numpy(), norm="ortho"))
        kept = []
        for level in range(3):
            a = self.gcb(
                f"encoder.levels.{level}.keep.1", self.gcl(f"encoder.levels.{level}.keep.0", y)
            )
            alpha = self.w[f"encoder.levels.{level}.rezero.alpha"]
            y = self.gcl(f"encoder.levels.{level}.reduce", y) + alpha * a
            kept.append(a)
        return [self.gcb("encoder.top.1", self.gcl("encoder.top.0", y)), *kept[::-1]]

    def start(self, z: Tensor, labels: Tensor) -> Tensor:
        told = torch.stack([labels == k for k in range(K)], dim=1).double()[:, None]
        return self.gcl("top.expand", torch.cat([z, told], dim=2))

    def down(self, number: int, h: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
        """h as the posterior reads it, h after the prior, and the prior."""
        name = f"decoder.{number}"
        h = h + self.w[f"{name}.rezero1.alpha"] * self.gcb(f"{name}.block", h)
        p = self.gcb(f"{name}.foresee", h)
        return h, h + self.w[f"{name}.rezero2.alpha"] * p, self.head(f"{name}.prior", p)

    def posterior(self, number: int, h: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
        name = f"decoder.{number}"
        both = torch.cat([self.gcl(f"{name}.reduce", h), a], dim=2)
        return self.head(f"{name}.posterior.1", self.gcb(f"{name}.posterior.0", both))

    def extend(self, number: int, h: Tensor, z: Tensor) -> Tensor:
        name = f"decoder.{number}"
        return h + self.w[f"{name}.rezero3.alpha"] * self.gcl(f"{name}.expand", z)

    def write(self, h: Tensor) -> tuple[Tensor, Tensor]:
        mean, logvar = self.head("output.1", self.gcb("output.0", h))
        return torch.from_numpy(scipy.fft.idct(mean.numpy(), norm="ortho")), logvar


def _normal(gaussian: tuple[Tensor, Tensor]) -> Normal:
    return Normal(gaussian[0], (gaussian[1] / 2).exp())


def test_log_posterior_and_output_are_those_of_the_paper_by_hand() -> None:
    network, x = _network(num_classes=K), _windows()
    hand = ByHand(network.state_dict())
    kept = hand.encode(x)
    z, _ = hand.head("top.posterior", kept[0])
    total = STANDARD.log_prob(z).sum((1, 2))
    h = hand.start(z, LABELS)
    for number in range(3):
        read, h, prior = hand.down(number, h)
        z, _ = hand.posterior(number, read, kept[1 + number])
        total = total + _normal(prior).log_prob(z).sum((1, 2))
        h = hand.extend(number, h, z)
    torch.testing.assert_close(
        network.log_densities(x, LABELS).posterior, total, rtol=1e-10, atol=1e-10
    )
    output = network.reconstruct(x, labels=LABELS)
    for found, expected in zip(output, hand.write(h), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("drawn", [None, 0, 1, 3])
def test_samples_are_ancestral_with_means_below_the_drawn_levels(drawn: int | None) -> None:
    network = _network(num_classes=K)
    noise, hand = _noise(network), ByHand(network.state_dict())
    eps = [
        part.unflatten(1, shape)
        for part, shape in zip(
            noise.split([7, 6, 16, 30], 1), [(1, 7), (2, 3), (4, 4), (6, 5)], strict=True
        )
    ]
    levels = 4 if drawn is None else drawn
    h = hand.start(eps[0] if levels > 0 else 0 * eps[0], LABELS)
    for number in range(3):
        _, h, (mean, logvar) = hand.down(number, h)
        z = mean + (logvar / 2).exp() * eps[1 + number] if 1 + number < levels else mean
        h = hand.extend(number, h, z)
    found = network.sample(noise, LABELS, drawn)
    torch.testing.assert_close(found, hand.write(h)[0], rtol=1e-10, atol=1e-10)


def test_inference_hands_down_what_it_reports() -> None:
    """Each z is the draw of its own posterior, and each posterior is that of the z above."""
    network, x = _network(), _windows()
    noise = _noise(network)
    made = network.infer(x, noise=noise)
    start = 0
    for level in made.levels:
        size = level.z[0].numel()
        eps = noise[:, start : start + size].view_as(level.z)
        expected = level.posterior.mean + (level.posterior.logvar / 2).exp() * eps
        torch.testing.assert_close(level.z, expected, rtol=1e-12, atol=1e-12)
        start += size
    assert start == noise.shape[1]
    still = network.infer(x)
    assert all(torch.equal(level.z, level.posterior.mean) for level in still.levels)
    # the noise of a level moves the priors below it, not its own
    moved = noise.clone()
    moved[:, 7:13] += 1  # z1
    other = network.infer(x, noise=moved).levels
    assert torch.equal(other[1].prior.mean, made.levels[1].prior.mean)
    assert not torch.allclose(other[2].prior.mean, made.levels[2].prior.mean)


def test_the_gradient_of_the_log_posterior_is_that_of_finite_differences() -> None:
    network, x = _network(), _windows().requires_grad_()
    (gradient,) = torch.autograd.grad(network.log_densities(x).posterior.sum(), x)
    for stream in range(3):
        direction, step = _windows(10 + stream), 1e-5
        up, down = (
            network.log_densities(x + s * direction).posterior.detach() for s in (step, -step)
        )
        slope = (gradient * direction).sum((1, 2))
        # the error of the quotient: rounding 1e-16 * 1e2 / 1e-5, and step^2
        torch.testing.assert_close((up - down) / (2 * step), slope, rtol=1e-6, atol=1e-7)


def test_node_counts_and_parameters_of_the_published_network() -> None:
    network = HGVAE(nodes=54)
    assert network.latent_shapes == ((1, 256), (8, 128), (24, 128), (54, 128))
    assert network.noise_shape == (11264,)
    count = {
        name: sum(parameter.numel() for parameter in part.parameters())
        for name, part in (("encoder", network.encoder), ("whole", network))
    }
    unread = 1 * 8 + 128 * 256 + 256 + 1  # GCL' and alpha of the top, which nothing reads
    assert round((count["encoder"] + unread) / 1e6, 2) == 0.39
    assert round((count["whole"] - count["encoder"]) / 1e6, 2) == 2.21
    assert round((count["whole"] + unread) / 1e6, 2) == 2.60


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [(54, (54, 24, 8, 1)), (75, (75, 24, 8, 1)), (15, (15, 15, 8, 1)), (3, (3, 3, 3, 1))],
)
def test_levels_never_grow_upwards(nodes: int, expected: tuple[int, ...]) -> None:
    shapes = HGVAE(nodes=nodes, width=4, level_features=(2, 2, 2, 2)).latent_shapes
    assert tuple(nodes for nodes, _ in shapes) == expected[::-1]


@pytest.mark.parametrize("depth", [1, 2, 8, 16])
def test_any_number_of_levels_at_equal_capacity(depth: int) -> None:
    nodes = [max(V - i // 3, 1) for i in range(15)] + [1]
    sizes = {"level_nodes": nodes, "level_features": [3] * 16, "stochastic_levels": depth}
    network = _network(**sizes)
    whole = _network(**{**sizes, "stochastic_levels": None})
    assert sum(p.numel() for p in network.parameters()) == sum(
        p.numel() for p in whole.parameters()
    )
    terms = network(_windows(), ALL, ALL, None, _noise(network))
    assert terms.shape == (N, 17)
    assert bool((terms[:, 1 : 1 + depth] > 0).all())
    assert not terms[:, 1 + depth :].any()


def test_a_single_level_is_an_ordinary_autoencoder() -> None:
    network = _network(level_nodes=(1,), level_features=(7,))
    assert network(_windows(), ALL, ALL, None, _noise(network)).shape == (N, 2)
    assert network.sample(_noise(network)).shape == (N, V, T)
    assert network.log_densities(_windows()).posterior.shape == (N,)


@pytest.mark.parametrize("on", [0, 1, 2, 4])
def test_switched_off_levels_ignore_noise_and_hand_down_the_mean_of_their_prior(on: int) -> None:
    network, x = _network(stochastic_levels=on), _windows()
    heard = sum(rows * features for rows, features in network.latent_shapes[:on])
    noise = _noise(network)
    other = noise.clone()
    other[:, heard:] = _noise(network, 1)[:, heard:]
    made, again = network.infer(x, noise=noise), network.infer(x, noise=other)
    assert torch.equal(made.output.mean, again.output.mean)
    assert torch.equal(network.sample(noise), network.sample(other))
    for number, level in enumerate(made.levels):
        assert level.is_stochastic == (number < on)
        assert torch.equal(level.z, level.prior.mean) == (number >= on)
    assert bool(network(x, ALL, ALL, None, noise)[:, 1:].any()) == (on > 0)


def test_nothing_of_a_window_goes_through_a_level_that_is_switched_off() -> None:
    network, x = _network(stochastic_levels=1), _windows()
    noise, other = _noise(network), x + torch.randn(x.shape, generator=generator(0, 9)).to(x)
    top = network.infer(x).levels[0].posterior
    same = network.infer(other).levels[0].posterior
    assert not torch.allclose(top.mean, same.mean)
    # with z0 of the one window, the lower levels of the other give the same output
    drawn = torch.zeros_like(noise)
    drawn[:, :7] = (top.mean - same.mean).flatten(1) / (same.logvar / 2).exp().flatten(1)
    found = network.reconstruct(other, noise=drawn)
    torch.testing.assert_close(found.mean, network.reconstruct(x).mean, rtol=1e-9, atol=1e-9)


def test_every_weight_has_a_gradient_with_levels_switched_off() -> None:
    network = _network(stochastic_levels=2).requires_grad_()
    network(_windows(), ALL, ALL, None, _noise(network)).sum().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []


def test_before_training_only_the_top_level_reaches_the_output() -> None:
    network, x = _network(awake=False), _windows()
    noise = _noise(network)
    below, top = noise.clone(), noise.clone()
    below[:, 7:] = 0
    top[:, :7] = 0
    drawn = network.reconstruct(x, noise=noise)
    assert torch.equal(network.reconstruct(x, noise=below).mean, drawn.mean)
    assert torch.equal(network.reconstruct(x, noise=below).logvar, drawn.logvar)
    assert not torch.allclose(network.reconstruct(x, noise=top).mean, drawn.mean)


def test_levels_must_fit_one_another() -> None:
    for arguments, message in (
        ({"level_nodes": (6, 2)}, "expected one for each of 2 levels, got 4"),
        ({"level_nodes": (6, 2, 4, 1)}, "sizes that never grow upwards, got .6, 2, 4, 1."),
        ({"level_nodes": (6, 4, 2, 0)}, "sizes that never grow upwards"),
        ({"stochastic_levels": 5}, "expected 0 to 4, got 5"),
    ):
        with pytest.raises(ValueError, match=message):
            _network(**arguments)
