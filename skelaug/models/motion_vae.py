"""The ordinary autoencoder that HG-VAE is compared with (Bourached et al. 2022, sec. 5.2).

Fully connected layers of 2000, 1000, 500, 100 and 50 numbers, the decoder their mirror image, and
one z of 50 numbers. It is used exactly as `HGVAE` is: one level, z0. Letters: n samples, v nodes,
t frames, z size of z.

What the publication leaves open: every hidden layer is linear, batch normalisation, GELU (the one
nonlinearity that it names); it reads and writes frequencies, as all its networks do (sec. 5.1); the
log-variance of the output is that of a node and frame, clamped as HG-VAE's. At its sizes that makes
21.3 million parameters, where the text says 20.81.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from skelaug.diffusion.spectral import cosine_basis
from skelaug.models.frequencies import encoder_input, in_time
from skelaug.models.gaussian import Gaussian
from skelaug.models.latent_levels import (
    LOGVAR_RANGE,
    Inference,
    Level,
    MotionModel,
    at_least_float32,
    one_hot,
    standard_normal,
)
from skelaug.shapes import check_shape

__all__ = ["LinearHead", "MotionVAE"]


class LinearHead(nn.Module):
    """Mean and log-variance, each linear; the log-variance is clamped."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.mean = nn.Linear(inputs, outputs)
        self.logvar = nn.Linear(inputs, outputs)

    def forward(self, y: Tensor) -> Gaussian:
        """N I to a Gaussian over N O."""
        mean, logvar = at_least_float32(self.mean(y)), at_least_float32(self.logvar(y))
        return Gaussian(mean, logvar.clamp(*LOGVAR_RANGE))


class MotionVAE(MotionModel):
    """The fully connected variational autoencoder.

    Args:
        nodes: Nodes V, three per joint.
        frames: Frames T of a window.
        hidden: Sizes of the encoder's layers; the decoder has them in reverse.
        latent: Size Z of z.
        num_classes: Classes that are appended to z as a one-hot vector; 0 = none.
        reads_mask: Whether the encoder also reads which entries it was shown.

    Attributes:
        noise_shape: (Z,), the size of the noise of one sample.
    """

    dct: Tensor

    def __init__(
        self,
        *,
        nodes: int,
        frames: int = 50,
        hidden: Sequence[int] = (2000, 1000, 500, 100, 50),
        latent: int = 50,
        num_classes: int = 0,
        reads_mask: bool = False,
    ) -> None:
        super().__init__()
        self.nodes, self.frames = nodes, frames
        self.num_classes, self.reads_mask = num_classes, reads_mask
        self.noise_shape = (latent,)
        entries = nodes * frames
        self.encoder = _layers(entries * (2 if reads_mask else 1), *hidden)
        self.posterior = LinearHead(hidden[-1], latent)
        self.decoder = _layers(latent + num_classes, *reversed(hidden))
        self.output = LinearHead(hidden[0], entries)
        self.register_buffer("dct", cosine_basis(frames).float(), persistent=False)

    def infer(
        self,
        x: Tensor,
        *,
        labels: Tensor | None = None,
        seen: Tensor | None = None,
        noise: Tensor | None = None,
    ) -> Inference:
        """The one level and the output of windows; see `MotionModel.infer`."""
        level = self._level(x, seen=seen, noise=noise)
        return Inference((level,), self._output(level.z, labels))

    def sample(
        self, noise: Tensor, labels: Tensor | None = None, drawn_levels: int | None = None
    ) -> Tensor:
        """Windows N V T of the prior, the mean of p(x | z); no drawn level means z = 0."""
        check_shape(noise, "N S", what="noise", S=self.noise_shape[0])
        return self._output(noise if drawn_levels != 0 else torch.zeros_like(noise), labels).mean

    def _level(
        self, x: Tensor, *, seen: Tensor | None = None, noise: Tensor | None = None
    ) -> Level:
        check_shape(x, "N V T", what="x", V=self.nodes, T=self.frames)
        read = encoder_input(x, seen, self.dct, reads_mask=self.reads_mask)
        q: Gaussian = self.posterior(self.encoder(read.flatten(1)))
        if noise is None:
            return Level(q, standard_normal(q), q.mean, is_stochastic=True)
        check_shape(noise, "N S", what="noise", S=self.noise_shape[0])
        return Level(q, standard_normal(q), q.at(noise), is_stochastic=True)

    def _output(self, z: Tensor, labels: Tensor | None) -> Gaussian:
        classes = one_hot(labels, self.num_classes, like=z)
        made: Gaussian = self.output(self.decoder(torch.cat([z, classes], dim=1)))
        mean, logvar = (part.view(-1, self.nodes, self.frames) for part in made)
        return Gaussian(in_time(mean, self.dct), logvar)


def _layers(*sizes: int) -> nn.Sequential:
    return nn.Sequential(
        *(
            nn.Sequential(
                nn.Linear(inputs, outputs, bias=False), nn.BatchNorm1d(outputs), nn.GELU()
            )
            for inputs, outputs in pairwise(sizes)
        )
    )
