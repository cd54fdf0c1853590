"""HM-VAE as HG-VAE is compared with it (Li et al. 2021; Bourached et al. 2022, sec. 5.2).

Two stochastic levels: z1, the bottom, has one node per coordinate of a joint; z0, the top, one per
coordinate of a group of joints, 18 nodes for 6 groups. Groups are fixed: going up, a group has the
mean of its joints, coordinate by coordinate; going down, every joint has what its group has. Both
levels have a standard normal prior and a posterior that does not look at the other level (as Li et
al. train and draw them), which is what HG-VAE's ladder replaces. Letters: n samples, v nodes
(3 j + c is coordinate c of joint j), t frames, f features.

What the publications leave open, and departures: Li et al. convolve rotations in time over the
joints of a skeleton. Here all is made of HG-VAE's own blocks and frequencies ("we otherwise use the
same hyperparameters"), so that the two differ in hierarchy and pooling. The weight 0.003 of the
divergence belongs to the training.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from skelaug.diffusion.spectral import cosine_basis
from skelaug.models.frequencies import encoder_input, in_time
from skelaug.models.gaussian import Gaussian
from skelaug.models.graph_layers import GaussianHead, Graph, GraphBlock, GraphConvolution
from skelaug.models.latent_levels import (
    Inference,
    Level,
    MotionModel,
    one_hot,
    split_noise,
    standard_normal,
)
from skelaug.shapes import check_shape

__all__ = ["HMVAE", "pooling_matrix"]

_COORDINATES = 3


def pooling_matrix(groups: Sequence[Sequence[int]], nodes: int) -> Tensor:
    """The mean over the joints of each group, coordinate by coordinate, 3G V in float64.

    Row 3 g + c has 1 / size in the columns 3 j + c of the joints j of group g.

    Raises:
        ValueError: A joint is in no group or in two, or a group is empty.
    """
    joints = sorted(joint for group in groups for joint in group)
    if joints != list(range(nodes // _COORDINATES)) or nodes % _COORDINATES or not all(groups):
        raise ValueError(
            f"groups: expected each of {nodes / _COORDINATES:g} joints once, got {list(groups)}"
        )
    pooling = torch.zeros(len(groups), _COORDINATES, len(joints), _COORDINATES, dtype=torch.float64)
    for number, group in enumerate(groups):
        for c in range(_COORDINATES):
            pooling[number, c, list(group), c] = 1 / len(group)
    return pooling.flatten(2).flatten(0, 1)


class HMVAE(MotionModel):
    """The variational autoencoder with two levels and fixed pooling.

    Args:
        nodes: Nodes V, three per joint.
        groups: The joints of each of G groups; every joint is in exactly one.
        frames: Frames T of a window.
        features: Features F of the stream and of both levels' graphs.
        latent: Features Z of a node of z0 and z1.
        num_classes: Classes that are appended to z0 as a one-hot vector; 0 = none.
        reads_mask: Whether the encoder also reads which entries it was shown.

    Attributes:
        noise_shape: (S,), the flat size of the noise of one sample, z0 first.

    Raises:
        ValueError: The groups are no partition of the joints.
    """

    dct: Tensor
    pooling: Tensor
    spreading: Tensor

    def __init__(
        self,
        *,
        nodes: int,
        groups: Sequence[Sequence[int]],
        frames: int = 50,
        features: int = 256,
        latent: int = 128,
        num_classes: int = 0,
        reads_mask: bool = False,
    ) -> None:
        super().__init__()
        pooling = pooling_matrix(groups, nodes).float()
        self.nodes, self.frames = nodes, frames
        self.num_classes, self.reads_mask = num_classes, reads_mask
        bottom, top = Graph(nodes, features), Graph(len(pooling), features)
        self.latent_shapes = ((len(pooling), latent), (nodes, latent))
        self.noise_shape = (sum(math.prod(shape) for shape in self.latent_shapes),)
        z0, z1 = (Graph(*shape) for shape in self.latent_shapes)
        told = Graph(z0.nodes, latent + num_classes)
        source = Graph(nodes, frames * (2 if reads_mask else 1))
        self.read = nn.Sequential(GraphConvolution(source, bottom), GraphBlock(bottom))
        self.read_top = nn.Sequential(GraphConvolution(top, top), GraphBlock(top))
        self.posterior_top = GaussianHead(top, z0)
        self.posterior_bottom = GaussianHead(bottom, z1)
        self.write_top = nn.Sequential(GraphConvolution(told, top), GraphBlock(top))
        self.write_bottom = GraphConvolution(z1, bottom)
        self.output = nn.Sequential(
            GraphBlock(bottom), GraphBlock(bottom), GaussianHead(bottom, Graph(nodes, frames))
        )
        self.register_buffer("dct", cosine_basis(frames).float(), persistent=False)
        self.register_buffer("pooling", pooling, persistent=False)
        self.register_buffer("spreading", (pooling.mT > 0).to(pooling), persistent=False)

    def infer(
        self,
        x: Tensor,
        *,
        labels: Tensor | None = None,
        seen: Tensor | None = None,
        noise: Tensor | None = None,
    ) -> Inference:
        """Both levels and the output of windows; see `MotionModel.infer`."""
        top, bottom = self._levels(x, seen=seen, noise=noise)
        return Inference((top, bottom), self._output(top.z, bottom.z, labels))

    def sample(
        self, noise: Tensor, labels: Tensor | None = None, drawn_levels: int | None = None
    ) -> Tensor:
        """Windows N V T of the prior, the mean of p(x | z); levels that are not drawn are 0."""
        drawn = len(self.latent_shapes) if drawn_levels is None else drawn_levels
        z0, z1 = split_noise(noise, self.latent_shapes)
        return self._output(z0 * (drawn > 0), z1 * (drawn > 1), labels).mean

    def _levels(
        self, x: Tensor, *, seen: Tensor | None = None, noise: Tensor | None = None
    ) -> tuple[Level, Level]:
        check_shape(x, "N V T", what="x", V=self.nodes, T=self.frames)
        read = encoder_input(x, seen, self.dct, reads_mask=self.reads_mask)
        bottom = self.read(read.transpose(0, 1))
        top = self.read_top(_moved(self.pooling, bottom))
        q0: Gaussian = self.posterior_top(top)
        q1: Gaussian = self.posterior_bottom(bottom)
        z0, z1 = q0.mean, q1.mean
        if noise is not None:
            noise0, noise1 = split_noise(noise, self.latent_shapes)
            z0, z1 = q0.at(noise0), q1.at(noise1)
        return (
            Level(q0, standard_normal(q0), z0, is_stochastic=True),
            Level(q1, standard_normal(q1), z1, is_stochastic=True),
        )

    def _output(self, z0: Tensor, z1: Tensor, labels: Tensor | None) -> Gaussian:
        classes = one_hot(labels, self.num_classes, like=z0)
        told = torch.cat([z0, classes[:, None].expand(-1, z0.shape[1], -1)], dim=-1)
        h = _moved(self.spreading, self.write_top(told.transpose(0, 1)))
        mean, logvar = self.output(h + self.write_bottom(z1.transpose(0, 1)))
        return Gaussian(in_time(mean, self.dct), logvar)


def _moved(matrix: Tensor, graph: Tensor) -> Tensor:
    """A matrix of nodes times a graph V N F."""
    return (matrix.to(graph.dtype) @ graph.flatten(1)).view(len(matrix), *graph.shape[1:])
