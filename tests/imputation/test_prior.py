import pytest
import torch

from skelaug.imputation.prior import MotionPrior, check_evaluation_mode
from skelaug.models.hgvae import HGVAE


def test_the_networks_are_motion_priors():
    network: MotionPrior = HGVAE(nodes=6, frames=4, level_nodes=(6, 1), level_features=(4, 4))
    assert network.noise_shape == (28,)
    assert network.reads_mask is False
    with pytest.raises(ValueError, match="expected evaluation mode"):
        check_evaluation_mode(network)
    network.eval()
    check_evaluation_mode(network)
    assert network.log_densities(torch.zeros(2, 6, 4)).posterior.shape == (2,)
