"""ACTOR, a transformer autoencoder that makes a motion at once (Petrovich et al. 2021).

The encoder reads two learned tokens of the class and one token per frame; what becomes of the two
are mean and log-variance of one vector z for the whole motion (fig. 2, left). The decoder's queries
are bare positions in time; all they can look at is one token, z shifted by a bias of the class
(right). Letters: n samples, f frames, k classes, d width, which is also the size of z.

Departures from the publication, and why:

- Poses are columns of skeleton images (the authors' xyz variant) instead of rotations of a body
  model, so the loss on that model's surface falls away; the authors found that variant weaker.
- All motions have the frames of the image; padding and its masks fall away.
- Sines and cosines of a position stand in two halves instead of alternating: the same numbers in
  another order of the width.

Attention to a single token is a constant: the queries and keys of the decoder's second attention
receive no gradient. That is so in the publication too.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from skelaug.models.gaussian import Gaussian, kl_divergence
from skelaug.models.layers import sinusoid
from skelaug.shapes import check_shape

__all__ = ["Actor", "ActorDecoder", "ActorEncoder", "Positions"]

_CHANNELS = 3


class Positions(nn.Module):
    """Adds the sinusoid of its place to every token, then drops out (Vaswani et al. 2017)."""

    table: Tensor

    def __init__(self, *, tokens: int, width: int, dropout: float) -> None:
        super().__init__()
        self.register_buffer("table", sinusoid(torch.arange(tokens), width), persistent=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens N T D to N T D."""
        placed: Tensor = self.dropout(tokens + self.table.to(tokens.dtype))
        return placed


class ActorEncoder(nn.Module):
    """Fig. 2, left: a motion and its class to the posterior of z."""

    def __init__(
        self,
        blocks: nn.TransformerEncoder,
        *,
        pose: int,
        frames: int,
        num_classes: int,
        width: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.mean_token = nn.Parameter(torch.randn(num_classes, width))
        self.logvar_token = nn.Parameter(torch.randn(num_classes, width))
        self.read = nn.Linear(pose, width)
        self.positions = Positions(tokens=frames + 2, width=width, dropout=dropout)
        self.blocks = blocks

    def forward(self, poses: Tensor, labels: Tensor) -> Gaussian:
        """Poses N F P and classes N to a Gaussian over N D."""
        classes = torch.stack([self.mean_token[labels], self.logvar_token[labels]], dim=1)
        tokens = self.positions(torch.cat([classes, self.read(poses).to(classes)], dim=1))
        out = self.blocks(tokens)
        return Gaussian(out[:, 0], out[:, 1])


class ActorDecoder(nn.Module):
    """Fig. 2, right: z and a class to a motion."""

    def __init__(
        self,
        blocks: nn.TransformerDecoder,
        *,
        pose: int,
        frames: int,
        num_classes: int,
        width: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.frames = frames
        self.bias = nn.Parameter(torch.randn(num_classes, width))
        self.positions = Positions(tokens=frames, width=width, dropout=dropout)
        self.blocks = blocks
        self.write = nn.Linear(width, pose)

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        """Z N D and classes N to poses N F P."""
        memory = (z + self.bias[labels])[:, None]
        queries = self.positions(z.new_zeros(len(z), self.frames, z.shape[1]))
        poses: Tensor = self.write(self.blocks(queries, memory))
        return poses


class Actor(nn.Module):
    """The sequence-level conditional variational autoencoder.

    Args:
        rows: Rows R of the image (joints of all persons).
        frames: Columns F of the image.
        num_classes: Number of classes K.
        width: Size D of tokens and of z; even.
        depth: Layers of the encoder, and of the decoder.
        heads: Attention heads; must divide `width`.
        hidden: Hidden size of the layers' MLPs.
        dropout: After positions, attention and MLP.

    Attributes:
        noise_shape: Shape (D,) of the noise of one sample.

    Raises:
        ValueError: `heads` does not divide `width`, or `width` is odd.
    """

    def __init__(  # noqa: PLR0913
        self,
        *,
        rows: int,
        frames: int,
        num_classes: int,
        width: int = 256,
        depth: int = 8,
        heads: int = 4,
        hidden: int = 1024,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width}: expected a multiple of heads, got heads {heads}")
        self.rows, self.frames = rows, frames
        self.noise_shape = (width,)
        reader = nn.TransformerEncoderLayer(
            width, heads, hidden, dropout, activation="gelu", batch_first=True
        )
        maker = nn.TransformerDecoderLayer(
            width, heads, hidden, dropout, activation="gelu", batch_first=True
        )
        sizes = {"pose": _CHANNELS * rows, "frames": frames, "num_classes": num_classes}
        self.encoder = ActorEncoder(
            nn.TransformerEncoder(reader, depth, enable_nested_tensor=False),
            **sizes,
            width=width,
            dropout=dropout,
        )
        self.decoder = ActorDecoder(
            nn.TransformerDecoder(maker, depth), **sizes, width=width, dropout=dropout
        )

    def posterior(self, x: Tensor, labels: Tensor) -> Gaussian:
        """Of z, over N D, given normalised images N 3 R F and their classes N."""
        check_shape(x, "N C R F", what="x", C=_CHANNELS, R=self.rows, F=self.frames)
        gaussian: Gaussian = self.encoder(x.flatten(1, 2).mT, labels)
        return gaussian

    def forward(self, x: Tensor, labels: Tensor, noise: Tensor) -> Tensor:
        """The two terms of each sample's loss, N 2.

        They are the mean square error of the motion, and the divergence of z's posterior from the
        standard normal, summed over D.

        Args:
            x: Normalised images, N 3 R F.
            labels: N, int64 in 0..K-1.
            noise: Standard normal, N D.
        """
        posterior = Gaussian(*(part.to(x.dtype) for part in self.posterior(x, labels)))
        error = (self.sample(posterior.at(noise), labels) - x).square().mean(dim=(1, 2, 3))
        return torch.stack([error, kl_divergence(posterior).sum(dim=1)], dim=1)

    def sample(self, noise: Tensor, labels: Tensor) -> Tensor:
        """Normalised images N 3 R F from z, N D, and classes N; z of the prior is bare noise."""
        poses: Tensor = self.decoder(noise, labels)
        return poses.mT.reshape(len(labels), _CHANNELS, self.rows, self.frames)
