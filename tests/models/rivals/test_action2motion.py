"""The frame-wise autoencoder against an unrolling written by hand, and what feeds what."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from skelaug.models.rivals.action2motion import Action2Motion
from skelaug.seeds import generator

N, CLASSES, ROWS, FRAMES, LATENT = 5, 3, 4, 6, 2


def _network() -> Action2Motion:
    with torch.random.fork_rng(devices=[]):
        torch.random.set_rng_state(generator(4).get_state())
        sizes = {"rows": ROWS, "frames": FRAMES, "num_classes": CLASSES}
        return Action2Motion(**sizes, latent=LATENT, hidden=16).double()


def _lesson() -> tuple[Tensor, Tensor, Tensor]:
    x = torch.randn(N, 3, ROWS, FRAMES, generator=generator(1), dtype=torch.float64)
    noise = torch.randn(N, FRAMES, LATENT, generator=generator(2), dtype=torch.float64)
    return x, torch.arange(N) % CLASSES, noise


def _fed(network: Action2Motion) -> list[Tensor]:
    """Fills with the pose before, as the prior is shown it in each frame."""
    shown: list[Tensor] = []
    network.prior.register_forward_pre_hook(
        lambda _, inputs: shown.append(inputs[0][:, : 3 * ROWS].detach())
    )
    return shown


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_each_frame_is_fed_its_own_pose_or_the_true_one_as_told(share: float) -> None:
    network, (x, labels, noise) = _network(), _lesson()
    own = torch.rand(N, FRAMES, generator=generator(3)) < share
    shown = _fed(network)
    made = network.reconstruct(x, labels, noise, own).poses
    assert torch.equal(shown[0], torch.zeros(N, 3 * ROWS, dtype=torch.float64))
    for t in range(1, FRAMES):
        for i in range(N):
            wanted = made[i, t - 1] if own[i, t] else x[i, :, :, t - 1].flatten()
            torch.testing.assert_close(shown[t][i], wanted, rtol=0, atol=0)


def test_the_own_pose_passes_gradients_and_the_true_one_none() -> None:
    network, (x, labels, noise) = _network(), _lesson()
    grads = []
    for own in (False, True):
        network.zero_grad()
        # the prior of the last frame sees the decoder only through the pose that it is fed
        prior = network.reconstruct(x, labels, noise, torch.full((N, FRAMES), own)).prior
        prior.mean[:, -1].sum().backward()
        grad = network.decoder.write.weight.grad
        assert grad is not None
        grads.append(bool(grad.any()))
    assert grads == [False, True]


def test_loss_terms_are_those_of_an_unrolling_by_hand() -> None:
    network, (x, labels, noise) = _network(), _lesson()
    own = torch.rand(N, FRAMES, generator=generator(3)) < 0.6
    found = network(x, labels, noise, own)
    for i in range(N):
        error = divergence = torch.zeros((), dtype=torch.float64)
        before = torch.zeros(3 * ROWS, dtype=torch.float64)
        s_p = s_q = torch.zeros(16, dtype=torch.float64)
        states = [torch.zeros(16, dtype=torch.float64)] * 2
        one = torch.eye(CLASSES, dtype=torch.float64)[labels[i]]
        made = before
        for t in range(FRAMES):
            truth = torch.cat([x[i, 0, :, t], x[i, 1, :, t], x[i, 2, :, t]])
            if t:
                last = torch.cat([x[i, 0, :, t - 1], x[i, 1, :, t - 1], x[i, 2, :, t - 1]])
                before = made if own[i, t] else last
            passed = torch.tensor([t / (FRAMES - 1)], dtype=torch.float64)
            s_p = network.prior.cell(network.prior.embed(torch.cat([before, one, passed])), s_p)
            told = network.posterior.embed(torch.cat([truth, one, passed]))
            s_q = network.posterior.cell(told, s_q)
            p = Normal(network.prior.mean(s_p), network.prior.logvar(s_p).exp().sqrt())
            q = Normal(network.posterior.mean(s_q), network.posterior.logvar(s_q).exp().sqrt())
            z = q.mean + q.stddev * noise[i, t]
            h = network.decoder.embed(torch.cat([before, one, passed, z]))
            for layer, cell in enumerate(network.decoder.cells):
                states[layer] = h = cell(h, states[layer])
            made = network.decoder.write(h)
            error = error + (made - truth).square().mean()
            divergence = divergence + kl_divergence(q, p).sum()
        torch.testing.assert_close(found[i], torch.stack([error, divergence]), rtol=1e-10, atol=0)


def test_drawing_is_reconstruction_from_own_poses_with_the_prior_in_the_posteriors_place() -> None:
    network, (x, labels, noise) = _network(), _lesson()
    network.posterior.load_state_dict(network.prior.state_dict())
    drawn = network.sample(noise, labels)
    # a posterior with the prior's weights that is shown the pose before is the prior
    before = torch.cat([torch.zeros_like(drawn[..., :1]), drawn[..., :-1]], dim=3)
    made = network.reconstruct(before, labels, noise, torch.ones(N, FRAMES, dtype=torch.bool))
    torch.testing.assert_close(made.poses.mT.reshape(x.shape), drawn, rtol=1e-10, atol=1e-12)


def test_a_pose_does_not_depend_on_later_noise() -> None:
    network, (_, labels, noise) = _network(), _lesson()
    drawn = network.sample(noise, labels)
    later = noise.clone()
    later[:, 3] += 1.0
    other = network.sample(later, labels)
    assert torch.equal(other[..., :3], drawn[..., :3])
    assert bool(((other - drawn)[..., 3:].abs().amax(dim=(1, 2)) > 1e-6).all())
