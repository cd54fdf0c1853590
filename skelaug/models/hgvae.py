"""HG-VAE, a hierarchical graph-convolutional autoencoder of motion (Bourached et al. 2022).

A window of motion is a graph: every coordinate of every joint is a node, its frequencies in time
are the node's features (appendix A.1). The encoder reads it bottom-up into ever smaller graphs, the
decoder draws z0, z1 ... top-down from them and adds each to one deterministic stream (fig. 2).
Letters: n samples, v nodes (3 j + c is coordinate c of joint j), t frames, f features, l levels
counted from the top. The published sizes, 54 nodes and 50 frames:

=============== ================= ==================
level           nodes x features  entries of z
=============== ================= ==================
bottom -> z3    54 x 128          6912
z2              24 x 128          3072
z1              8 x 128           1024
top -> z0       1 x 256           256
decoder stream  54 x 256
=============== ================= ==================

Departures from the publication, and why; "code" is what its authors published beside it:

- GCL has no GELU (eq. 4 has one): as the code. Heads could else give no negative mean.
- Biases are one per feature (the text: one per node and feature): as the code, and with them the
  sizes above make its 2.60 million parameters, where the text says 15 million.
- GCB weighs the transform, not the identity, with alpha (eq. 5 the identity): as the code and as
  ReZero, which eq. 5 cites. With alpha = 0 on the identity, nothing would pass unchanged.
- The code's topmost encoder level has a second graph convolution that nothing reads, 33,032
  parameters; it is left out.
- Log-variances are clamped to [-20, 3]: as the code.
- Weights start as in the code, but S with the identity added where the nodes stay as many. The
  code's S mixes all nodes at random, and what the top sees of x starts at 3e-5 of its size. After
  200 updates (63 nodes, width 64, 32 windows each, one seed) the evidence bound of held-out windows
  is -378 nats instead of -2768, their square error 0.26 instead of 0.76 of the variance.
- The transform in time is eq. 6. The code multiplies by its transpose, which gives no frequencies,
  and cuts frames instead of trajectories into nodes.
- The mean of the output is transformed back to time, its variance is that of a node and frame: as
  the code.
- A level that is switched off hands down the mean of its prior (sec. 5.3: "z = mu"). The mean of
  its posterior would carry x past the divergence, and one level would not be the "classical VAE" of
  sec. 6.
- One more input, off unless asked for: the encoder may read which entries it was shown.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor, nn

from skelaug.diffusion.spectral import cosine_basis
from skelaug.models.frequencies import encoder_input, in_time
from skelaug.models.gaussian import Gaussian
from skelaug.models.graph_layers import (
    GaussianHead,
    Graph,
    GraphBlock,
    GraphConvolution,
    ReZero,
)
from skelaug.models.latent_levels import (
    Inference,
    Level,
    MotionModel,
    one_hot,
    split_noise,
    standard_normal,
)
from skelaug.shapes import check_shape

__all__ = ["HGVAE", "DecoderLevel", "Encoder", "EncoderLevel", "TopLevel"]

_LEVEL_NODES = (24, 8, 1)  # above the bottom


class EncoderLevel(nn.Module):
    """Fig. 2, left: what a level keeps, and what it hands up."""

    def __init__(self, below: Graph, graph: Graph) -> None:
        super().__init__()
        self.keep = nn.Sequential(GraphConvolution(below, graph), GraphBlock(graph))
        self.reduce = GraphConvolution(below, graph)
        self.rezero = ReZero()

    def forward(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Y of the level below to this level's a and y."""
        a = self.keep(y)
        return a, self.rezero(self.reduce(y), a)


class Encoder(nn.Module):
    """The bottom-up pass: x to one graph of features per level (sec. 3.2)."""

    def __init__(self, source: Graph, levels: Sequence[Graph]) -> None:
        super().__init__()
        below = (source, *levels[:-1])
        pairs = list(zip(below, levels, strict=True))
        self.levels = nn.ModuleList(EncoderLevel(*pair) for pair in pairs[:-1])
        self.top = nn.Sequential(GraphConvolution(*pairs[-1]), GraphBlock(levels[-1]))

    def forward(self, x: Tensor) -> list[Tensor]:
        """X, V N F, to the graphs of the levels from the top, each V_l N F_l."""
        y, found = x, []
        for level in self.levels:
            a, y = level(y)
            found.append(a)
        return [self.top(y), *reversed(found)]


class TopLevel(nn.Module):
    """z0: its posterior, from the encoder alone, and the start of the decoder's stream."""

    def __init__(self, graph: Graph, stream: Graph, *, num_classes: int) -> None:
        super().__init__()
        self.posterior = GaussianHead(graph, graph)
        labelled = Graph(graph.nodes, graph.features + num_classes)
        self.expand = GraphConvolution(labelled, stream)

    def forward(self, z: Tensor, classes: Tensor) -> Tensor:
        """z0, N V_0 F_0, and one-hot classes, N K, to the stream h, V N F."""
        told = classes[:, None].expand(-1, z.shape[1], -1)
        h: Tensor = self.expand(torch.cat([z, told], dim=-1).transpose(0, 1))
        return h.to(z.dtype)  # the stream stays in full precision under autocast


class DecoderLevel(nn.Module):
    """Fig. 2, right: one level below the top, between the stream h and its z."""

    def __init__(self, graph: Graph, stream: Graph) -> None:
        super().__init__()
        both = Graph(graph.nodes, 2 * graph.features)
        self.block, self.rezero1 = GraphBlock(stream), ReZero()
        self.reduce = GraphConvolution(stream, graph)
        self.posterior = nn.Sequential(GraphBlock(both), GaussianHead(both, graph))
        self.foresee, self.rezero2 = GraphBlock(stream), ReZero()
        self.prior = GaussianHead(stream, graph)
        self.expand, self.rezero3 = GraphConvolution(graph, stream), ReZero()

    def refined(self, h: Tensor) -> Tensor:
        """The stream as posterior and prior read it."""
        refined: Tensor = self.rezero1(h, self.block(h))
        return refined

    def posterior_of(self, h: Tensor, a: Tensor) -> Gaussian:
        """q(z_l | x, z_<l) from the refined stream and the encoder's graph of this level."""
        q: Gaussian = self.posterior(torch.cat([self.reduce(h), a], dim=-1))
        return q

    def prior_of(self, h: Tensor) -> tuple[Gaussian, Tensor]:
        """p(z_l | z_<l) from the refined stream, and the stream after it."""
        foreseen = self.foresee(h)
        return self.prior(foreseen), self.rezero2(h, foreseen)

    def extended(self, h: Tensor, z: Tensor) -> Tensor:
        """The stream with z_l, N V_l F_l, added to it."""
        extended: Tensor = self.rezero3(h, self.expand(z.transpose(0, 1)))
        return extended


class HGVAE(MotionModel):
    """The hierarchical graph-convolutional variational autoencoder.

    Args:
        nodes: Nodes V, three per joint.
        frames: Frames T of a window.
        level_nodes: Nodes of the levels from the bottom to the top, which never grow; () is
            (V, 24, 8, 1), each at most the one before.
        level_features: Features of these levels.
        width: Features of the decoder's stream.
        num_classes: Classes K that are appended to z0 as a one-hot vector; 0 = none.
        reads_mask: Whether the encoder also reads which entries it was shown, T features more.
        stochastic_levels: How many levels, from the top, are stochastic; the others hand down the
            mean of their prior and carry no divergence (sec. 5.3). None = all.

    Attributes:
        noise_shape: (S,), the flat size of the noise of one sample, all levels, the top first.

    Raises:
        ValueError: The levels do not fit one another.
    """

    dct: Tensor

    def __init__(  # noqa: PLR0913
        self,
        *,
        nodes: int,
        frames: int = 50,
        level_nodes: Sequence[int] = (),
        level_features: Sequence[int] = (128, 128, 128, 256),
        width: int = 256,
        num_classes: int = 0,
        reads_mask: bool = False,
        stochastic_levels: int | None = None,
    ) -> None:
        super().__init__()
        level_nodes = tuple(level_nodes) or tuple(accumulate((nodes, *_LEVEL_NODES), min))
        _check_levels(level_nodes, level_features, stochastic_levels)
        self.nodes, self.frames = nodes, frames
        self.num_classes, self.reads_mask = num_classes, reads_mask
        graphs = [Graph(*sizes) for sizes in zip(level_nodes, level_features, strict=True)]
        top_down = graphs[::-1]
        self.stochastic_levels = len(graphs) if stochastic_levels is None else stochastic_levels
        self.latent_shapes = tuple(tuple(graph) for graph in top_down)
        self.noise_shape = (sum(math.prod(graph) for graph in graphs),)
        stream = Graph(nodes, width)
        self.encoder = Encoder(Graph(nodes, frames * (2 if reads_mask else 1)), graphs)
        self.top = TopLevel(top_down[0], stream, num_classes=num_classes)
        self.decoder = nn.ModuleList(DecoderLevel(graph, stream) for graph in top_down[1:])
        self.output = nn.Sequential(GraphBlock(stream), GaussianHead(stream, Graph(nodes, frames)))
        self.register_buffer("dct", cosine_basis(frames).float(), persistent=False)

    def infer(
        self,
        x: Tensor,
        *,
        labels: Tensor | None = None,
        seen: Tensor | None = None,
        noise: Tensor | None = None,
    ) -> Inference:
        """The levels and the output of windows; see `MotionModel.infer`."""
        check_shape(x, "N V T", what="x", V=self.nodes, T=self.frames)
        classes = one_hot(labels, self.num_classes, like=x)
        noises: tuple[Tensor | None, ...] = (None,) * len(self.latent_shapes)
        if noise is not None:
            noises = split_noise(noise, self.latent_shapes)
        read = encoder_input(x, seen, self.dct, reads_mask=self.reads_mask)
        kept = self.encoder(read.transpose(0, 1))
        q: Gaussian = self.top.posterior(kept[0])
        levels = [self._level(0, q, standard_normal(q), noises[0])]
        h: Tensor = self.top(levels[0].z, classes)
        for number, level in enumerate(self._decoder_levels, start=1):
            h = level.refined(h)
            q = level.posterior_of(h, kept[number])
            p, h = level.prior_of(h)
            levels.append(self._level(number, q, p, noises[number]))
            h = level.extended(h, levels[number].z)
        return Inference(tuple(levels), self._output(h))

    def sample(
        self, noise: Tensor, labels: Tensor | None = None, drawn_levels: int | None = None
    ) -> Tensor:
        """Windows N V T of the prior (eq. 2), the mean of p(x | z).

        Args:
            noise: Standard normal, N S.
            labels: As in `infer`.
            drawn_levels: How many levels, from the top, are drawn; those below take the mean of
                their prior (fig. 5). None = all that are stochastic.
        """
        drawn = self.stochastic_levels if drawn_levels is None else drawn_levels
        drawn = min(drawn, self.stochastic_levels)
        noises = split_noise(noise, self.latent_shapes)
        h = self.top(noises[0] * (drawn > 0), one_hot(labels, self.num_classes, like=noise))
        for number, level in enumerate(self._decoder_levels, start=1):
            prior, h = level.prior_of(level.refined(h))
            z = prior.at(noises[number]) if number < drawn else prior.mean
            h = level.extended(h, z)
        return self._output(h).mean

    @property
    def _decoder_levels(self) -> tuple[DecoderLevel, ...]:
        return tuple(level for level in self.decoder if isinstance(level, DecoderLevel))

    def _level(self, number: int, q: Gaussian, p: Gaussian, noise: Tensor | None) -> Level:
        is_stochastic = number < self.stochastic_levels
        if not is_stochastic:
            return Level(q, p, p.mean, is_stochastic)
        return Level(q, p, q.mean if noise is None else q.at(noise), is_stochastic)

    def _output(self, h: Tensor) -> Gaussian:
        """p(x | z): the mean back in time, the variance that of a node and frame."""
        mean, logvar = self.output(h)
        return Gaussian(in_time(mean, self.dct), logvar)


def _check_levels(
    nodes: Sequence[int], features: Sequence[int], stochastic_levels: int | None
) -> None:
    if len(nodes) != len(features):
        raise ValueError(
            f"level_features: expected one for each of {len(nodes)} levels, got {len(features)}"
        )
    if min(*nodes, *features) < 1 or list(nodes) != sorted(nodes, reverse=True):
        raise ValueError(f"level_nodes: expected sizes that never grow upwards, got {list(nodes)}")
    if stochastic_levels is not None and not 0 <= stochastic_levels <= len(nodes):
        raise ValueError(f"stochastic_levels: expected 0 to {len(nodes)}, got {stochastic_levels}")
