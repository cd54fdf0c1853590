"""The two blocks that HG-VAE is made of, and its Gaussian heads (Bourached et al. 2022, sec. 3.3).

A graph is nodes x features. Nodes are the first axis of a batch, V N F, so that each matrix is one
product for all samples. Where these differ from the publication: see `skelaug.models.hgvae`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skelaug.models.gaussian import Gaussian
from skelaug.models.latent_levels import LOGVAR_RANGE, at_least_float32

__all__ = ["GaussianHead", "Graph", "GraphBlock", "GraphConvolution", "ReZero"]


class Graph(NamedTuple):
    """The size of a graph: A is nodes x features.

    Attributes:
        nodes: Number of nodes.
        features: Features of each.
    """

    nodes: int
    features: int


class ReZero(nn.Module):
    """``x + alpha y`` with one learned alpha that starts at 0 (Bachlechner et al. 2020)."""

    def __init__(self) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """The sum, in the type of x."""
        if not self.alpha.requires_grad:  # a number takes half as long as a tensor
            return torch.add(x, y.to(x.dtype), alpha=float(self.alpha))
        return torch.addcmul(x, self.alpha.to(x.dtype), y.to(x.dtype))


class GraphConvolution(nn.Module):
    """GCL, eq. 4 without its GELU: ``S A W + b``. S is dense and free, not a skeleton's.

    Nodes are the first axis, V N F, so that S and W are each one matrix product for all samples.
    S, W and b start uniform in +-F_out^-1/2, and S with the identity added where the nodes stay as
    many, so that a node starts from itself.
    """

    def __init__(self, source: Graph, target: Graph) -> None:
        super().__init__()
        self.S = nn.Parameter(torch.empty(target.nodes, source.nodes))
        self.W = nn.Parameter(torch.empty(source.features, target.features))
        self.b = nn.Parameter(torch.empty(target.features))
        bound = target.features**-0.5
        for parameter in (self.S, self.W, self.b):
            nn.init.uniform_(parameter, -bound, bound)
        if source.nodes == target.nodes:
            self.S.data += torch.eye(source.nodes)
        nodes_first = target.nodes * (source.nodes * source.features + math.prod(target))
        features_first = source.nodes * target.features * (source.features + target.nodes)
        self._nodes_first = nodes_first <= features_first  # whichever multiplies less

    def forward(self, A: Tensor) -> Tensor:
        """V_in N F_in to V_out N F_out."""
        product = self._mixed(A) @ self.W if self._nodes_first else self._mixed(A @ self.W)
        return product.add_(self.b)

    def _mixed(self, A: Tensor) -> Tensor:
        """S A, of every sample in one product."""
        return (self.S @ A.flatten(1)).view(len(self.S), *A.shape[1:])


class GraphBlock(nn.Module):
    """GCB, eq. 5 with alpha on the transform: ``A + alpha s(S2 s(S1 A W1 + b1) W2 + b2)``."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.first = GraphConvolution(graph, graph)
        self.second = GraphConvolution(graph, graph)
        self.rezero = ReZero()

    def forward(self, A: Tensor) -> Tensor:
        """V N F to V N F; the identity at the start of a training."""
        moved: Tensor = self.rezero(A, F.gelu(self.second(F.gelu(self.first(A)))))
        return moved


class GaussianHead(nn.Module):
    """Mean and log-variance, each a GCL; the log-variance is clamped to [-20, 3]."""

    def __init__(self, source: Graph, target: Graph) -> None:
        super().__init__()
        self.mean = GraphConvolution(source, target)
        self.logvar = GraphConvolution(source, target)

    def forward(self, A: Tensor) -> Gaussian:
        """V_in N F_in to a Gaussian over N V_out F_out, samples first."""
        mean, logvar = (
            at_least_float32(part(A)).transpose(0, 1) for part in (self.mean, self.logvar)
        )
        return Gaussian(mean, logvar.clamp(*LOGVAR_RANGE))
