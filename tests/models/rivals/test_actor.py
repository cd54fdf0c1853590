"""The transformer autoencoder: what its posterior reads, and what decides a motion."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from skelaug.models.rivals.actor import Actor, Positions
from skelaug.seeds import generator

N, CLASSES, ROWS, FRAMES, WIDTH = 5, 3, 4, 6, 16


def _network(dropout: float = 0.0) -> Actor:
    with torch.random.fork_rng(devices=[]):
        torch.random.set_rng_state(generator(4).get_state())
        sizes = {"rows": ROWS, "frames": FRAMES, "num_classes": CLASSES}
        small = {"width": WIDTH, "depth": 2, "heads": 2, "hidden": 32}
        return Actor(**sizes, **small, dropout=dropout).double()


def _lesson() -> tuple[Tensor, Tensor, Tensor]:
    x = torch.randn(N, 3, ROWS, FRAMES, generator=generator(1), dtype=torch.float64)
    noise = torch.randn(N, WIDTH, generator=generator(2), dtype=torch.float64)
    return x, torch.arange(N) % CLASSES, noise


def test_the_posterior_reads_every_frame_their_order_and_the_class() -> None:
    network, (x, labels, _) = _network(), _lesson()
    seen = network.posterior(x, labels)
    swapped = x[..., [0, 1, 3, 2, 4, 5]]
    others = [network.posterior(swapped, labels), network.posterior(x, (labels + 1) % CLASSES)]
    for frame in range(FRAMES):
        moved = x.clone()
        moved[..., frame] += 0.1
        others.append(network.posterior(moved, labels))
    for other in others:
        for part, changed in zip(seen, other, strict=True):
            assert bool(((part - changed).abs().amax(dim=1) > 1e-6).all())


def test_loss_terms_are_mean_error_and_summed_divergence() -> None:
    network, (x, labels, noise) = _network(), _lesson()
    q = network.posterior(x, labels)
    normal = Normal(q.mean.detach(), q.logvar.detach().exp().sqrt())
    made = network.sample(normal.mean + normal.stddev * noise, labels).detach()
    found = network(x, labels, noise).detach()
    for i in range(N):
        error = sum(e**2 for e in (made - x)[i].flatten().tolist()) / x[i].numel()
        divergence = float(kl_divergence(normal, Normal(0.0, 1.0))[i].sum())
        wanted = torch.tensor([error, divergence], dtype=torch.float64)
        torch.testing.assert_close(found[i], wanted, rtol=1e-10, atol=0)


def test_the_class_acts_as_a_shift_of_z() -> None:
    network, (_, labels, noise) = _network(), _lesson()
    other = (labels + 1) % CLASSES
    bias = network.decoder.bias.detach()
    moved = noise + bias[labels] - bias[other]
    torch.testing.assert_close(
        network.sample(moved, other), network.sample(noise, labels), rtol=1e-9, atol=1e-9
    )


def test_frames_of_a_sample_differ_by_their_position_alone() -> None:
    network, (_, labels, noise) = _network(), _lesson()
    drawn = network.sample(noise, labels)
    network.decoder.positions.table.copy_(network.decoder.positions.table.flip(0))
    torch.testing.assert_close(network.sample(noise, labels), drawn.flip(3), rtol=1e-9, atol=1e-9)
    network.decoder.positions.table.zero_()
    still = network.sample(noise, labels)
    torch.testing.assert_close(still, still[..., :1].expand_as(still), rtol=1e-9, atol=1e-9)


def test_positions_hold_the_published_sines_and_cosines() -> None:
    table = Positions(tokens=7, width=8, dropout=0.0).table
    for place in range(7):
        waves = [place * 10_000 ** (-2 * k / 8) for k in range(4)]
        published = [f(angle) for angle in waves for f in (math.sin, math.cos)]
        found, wanted = sorted(table[place].tolist()), sorted(published)
        torch.testing.assert_close(torch.tensor(found), torch.tensor(wanted), rtol=0, atol=1e-6)


def test_dropout_acts_in_training_alone() -> None:
    network, (x, labels, noise) = _network(dropout=0.5), _lesson()
    with torch.random.fork_rng(devices=[]):
        assert not torch.equal(network(x, labels, noise), network(x, labels, noise))
    network.eval()
    assert torch.equal(network(x, labels, noise), network(x, labels, noise))
