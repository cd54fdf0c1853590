"""The ordinary autoencoder: its published sizes, and that it is a VAE of one standard normal z."""

from __future__ import annotations

import torch
from torch import nn
from torch.distributions import Normal

from skelaug.models.motion_vae import MotionVAE
from skelaug.seeds import generator


def test_the_published_sizes() -> None:
    network = MotionVAE(nodes=54)
    linear = [m for m in network.modules() if isinstance(m, nn.Linear)]
    sizes = [(m.in_features, m.out_features) for m in linear]
    encoder = [(2700, 2000), (2000, 1000), (1000, 500), (500, 100), (100, 50)]
    decoder = [(50, 50), (50, 100), (100, 500), (500, 1000), (1000, 2000)]
    assert sizes == [*encoder, (50, 50), (50, 50), *decoder, (2000, 2700), (2000, 2700)]
    assert network.noise_shape == (50,)
    count = sum(parameter.numel() for parameter in network.parameters())
    assert round(count / 1e6, 1) == 21.3  # the text: 20.81


def test_each_hidden_layer_is_linear_batch_norm_gelu() -> None:
    network = MotionVAE(nodes=6, frames=5, hidden=(8, 4), latent=3)
    for stack in (network.encoder, network.decoder):
        kinds = [[type(part) for part in layer] for layer in stack]  # type: ignore[attr-defined]
        assert kinds == [[nn.Linear, nn.BatchNorm1d, nn.GELU]] * 2


def test_the_prior_is_the_standard_normal() -> None:
    network = MotionVAE(nodes=6, frames=5, hidden=(8, 4), latent=3).double().eval()
    x = torch.randn(4, 6, 5, generator=generator(0, 0), dtype=torch.float64)
    (level,) = network.infer(x).levels
    expected = Normal(torch.zeros_like(level.z), 1.0).log_prob(level.posterior.mean).sum(1)
    torch.testing.assert_close(network.log_densities(x).posterior, expected, rtol=1e-12, atol=1e-12)
    noise = torch.randn(4, 3, generator=generator(0, 1), dtype=torch.float64)
    drawn = network.infer(x, noise=noise)
    assert torch.equal(network.sample(drawn.levels[0].z), drawn.output.mean)
