"""HM-VAE: fixed pooling of joints into groups, and two levels that do not see each other."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from skelaug.models.hm_vae import HMVAE, pooling_matrix
from skelaug.seeds import generator

GROUPS = ((3, 0), (1,), (2, 4))


def _network() -> HMVAE:
    network = HMVAE(nodes=15, groups=GROUPS, frames=5, features=8, latent=3)
    with torch.no_grad():
        for i, parameter in enumerate(network.parameters()):
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator(0, i))
    return network.double().eval()


def _x() -> Tensor:
    return torch.randn(4, 15, 5, generator=generator(1, 0), dtype=torch.float64)


def test_pooling_is_the_mean_of_a_groups_joints_coordinate_by_coordinate() -> None:
    positions = torch.randn(5, 3, generator=generator(1, 1), dtype=torch.float64)  # joint, xyz
    pooled = (pooling_matrix(GROUPS, 15) @ positions.flatten()).view(3, 3)
    for group, found in zip(GROUPS, pooled, strict=True):
        torch.testing.assert_close(found, positions[list(group)].mean(0), rtol=1e-14, atol=0)


def test_spreading_gives_every_joint_what_its_group_has() -> None:
    network = _network()
    groups = torch.randn(3, 3, generator=generator(1, 2), dtype=torch.float64)
    spread = (network.spreading @ groups.flatten()).view(5, 3)
    for number, group in enumerate(GROUPS):
        for joint in group:
            assert torch.equal(spread[joint], groups[number])
    torch.testing.assert_close(network.pooling @ network.spreading, torch.eye(9).double())


def test_published_node_counts() -> None:
    groups = [range(3 * i, 3 * i + 3) for i in range(6)]
    network = HMVAE(nodes=54, groups=groups, features=16, latent=2)
    assert network.latent_shapes == ((18, 2), (54, 2))
    assert network.noise_shape == (144,)


def test_both_priors_are_standard_normal_and_posteriors_do_not_see_the_other_level() -> None:
    network, x = _network(), _x()
    noise = torch.randn(4, *network.noise_shape, generator=generator(1, 3), dtype=torch.float64)
    drawn, still = network.infer(x, noise=noise), network.infer(x)
    total = torch.zeros(4, dtype=torch.float64)
    for one, other in zip(drawn.levels, still.levels, strict=True):
        assert torch.equal(one.posterior.mean, other.posterior.mean)
        standard = Normal(torch.zeros_like(one.z), 1.0)
        total = total + standard.log_prob(one.posterior.mean).sum((1, 2))
    torch.testing.assert_close(network.log_densities(x).posterior, total, rtol=1e-12, atol=1e-12)


def test_the_top_level_reads_means_of_groups_alone() -> None:
    """Features of the bottom that leave every group's mean alone do not reach z0."""
    network = _network()
    bottom = torch.randn(15, 4, 8, generator=generator(1, 4), dtype=torch.float64)
    spread = (network.spreading @ network.pooling).to(bottom)
    flat = (spread @ bottom.flatten(1)).view_as(bottom)
    read = [network.pooling @ graph.flatten(1) for graph in (bottom, flat)]
    torch.testing.assert_close(read[0], read[1], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "groups",
    [((0, 1), (1, 2), (3, 4)), ((0, 1), (2, 3)), ((0, 1, 2, 3, 4), ()), ((0, 1, 2, 5, 4),)],
)
def test_groups_must_be_a_partition(groups: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(ValueError, match="groups: expected each of 5 joints once, got"):
        HMVAE(nodes=15, groups=groups)
