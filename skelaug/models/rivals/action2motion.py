"""Action2Motion, a recurrent autoencoder that makes a motion frame by frame (Guo et al. 2020).

At frame t a prior ``p(z_t | x_<t, a)`` and, while training, a posterior ``q(z_t | x_<=t, a)`` are
Gaussians made by recurrent networks; a recurrent decoder makes the pose x_t from the pose before,
the action a and z_t. The posterior is pulled towards the prior, which alone is used for drawing.
All three are also told how much of the motion has passed. Letters: n samples, f frames, d numbers
of a pose, k classes, z size of the noise.

Departures from the publication, and why:

- Poses are columns of skeleton images (joints relative to their root, and the root's path, in
  units of the training set) instead of rotations of bones in a Lie algebra: the authors' variant
  without Lie, on the very data that the diffusion model sees, and without a real clip's bones.
- The pose before the first is zero as published, which in these units is the mean pose.
- The divergence is written with a difference of log-variances: the same number, without 0 / 0.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skelaug.models.gaussian import Gaussian, kl_divergence
from skelaug.shapes import check_shape

__all__ = ["Action2Motion", "GaussianGRU", "PoseGRU", "Reconstruction"]

_CHANNELS = 3


class GaussianGRU(nn.Module):
    """The prior's and the posterior's network: what it is shown, to a Gaussian."""

    def __init__(self, *, inputs: int, hidden: int, latent: int) -> None:
        super().__init__()
        self.embed = nn.Linear(inputs, hidden)
        self.cell = nn.GRUCell(hidden, hidden)
        self.mean = nn.Linear(hidden, latent)
        self.logvar = nn.Linear(hidden, latent)

    def forward(self, inputs: Tensor, state: Tensor) -> tuple[Gaussian, Tensor]:
        """One frame: inputs N I and state N H to a Gaussian over N Z and the next state."""
        state = self.cell(self.embed(inputs), state)
        return Gaussian(self.mean(state), self.logvar(state)), state


class PoseGRU(nn.Module):
    """The decoder: pose before, action, time and z to the pose."""

    def __init__(self, *, inputs: int, hidden: int, layers: int, outputs: int) -> None:
        super().__init__()
        self.embed = nn.Linear(inputs, hidden)
        self.cells = nn.ModuleList(nn.GRUCell(hidden, hidden) for _ in range(layers))
        self.write = nn.Linear(hidden, outputs)

    def forward(self, inputs: Tensor, states: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """One frame: inputs N I and a state N H per layer to a pose N D and the next states."""
        h, after = self.embed(inputs), []
        for cell, state in zip(self.cells, states, strict=True):
            h = cell(h, state)
            after.append(h)
        pose: Tensor = self.write(h)
        return pose, after


class Reconstruction(NamedTuple):
    """What the network makes of motions that it is shown.

    Attributes:
        poses: N F D.
        posterior: Over N F Z.
        prior: Over N F Z.
    """

    poses: Tensor
    posterior: Gaussian
    prior: Gaussian


class Action2Motion(nn.Module):
    """The frame-wise conditional variational autoencoder; hidden states start at zero.

    Args:
        rows: Rows R of the image (joints of all persons).
        frames: Columns F of the image.
        num_classes: Number of classes K.
        latent: Size Z of the noise of a frame.
        hidden: Size of every recurrent state.
        layers: Recurrent layers of the decoder; prior and posterior have one.

    Attributes:
        noise_shape: Shape F Z of the noise of one sample.
    """

    def __init__(
        self,
        *,
        rows: int,
        frames: int,
        num_classes: int,
        latent: int = 30,
        hidden: int = 128,
        layers: int = 2,
    ) -> None:
        super().__init__()
        self.rows, self.frames, self.num_classes = rows, frames, num_classes
        self.noise_shape = (frames, latent)
        pose = _CHANNELS * rows
        shown = pose + num_classes + 1
        self.prior = GaussianGRU(inputs=shown, hidden=hidden, latent=latent)
        self.posterior = GaussianGRU(inputs=shown, hidden=hidden, latent=latent)
        self.decoder = PoseGRU(inputs=shown + latent, hidden=hidden, layers=layers, outputs=pose)

    def reconstruct(self, x: Tensor, labels: Tensor, noise: Tensor, own: Tensor) -> Reconstruction:
        """Motions from their own posterior.

        Args:
            x: Normalised images, N 3 R F.
            labels: N, int64 in 0..K-1.
            noise: Standard normal, N F Z.
            own: N F, bool: whether prior and decoder see at frame f their own pose of frame f - 1
                (gradients pass through it) instead of the true one; frame 0 sees zeros.
        """
        check_shape(x, "N C R F", what="x", C=_CHANNELS, R=self.rows, F=self.frames)
        truth = x.flatten(1, 2).mT
        posterior = self._posterior(truth, labels)
        return self._unrolled(labels, noise, truth=truth, own=own, posterior=posterior)

    def forward(self, x: Tensor, labels: Tensor, noise: Tensor, own: Tensor) -> Tensor:
        """The two terms of each sample's loss, N 2; arguments as in `reconstruct`.

        Both are sums over the frames: of the mean square error of the pose, and of the divergence
        of the posterior from the prior, itself summed over Z.
        """
        made = self.reconstruct(x, labels, noise, own)
        error = (made.poses - x.flatten(1, 2).mT).square().mean(dim=2).sum(dim=1)
        q, p = (Gaussian(*(part.to(x.dtype) for part in g)) for g in (made.posterior, made.prior))
        return torch.stack([error, kl_divergence(q, p).sum(dim=(1, 2))], dim=1)

    def sample(self, noise: Tensor, labels: Tensor) -> Tensor:
        """Normalised images N 3 R F from noise N F Z of the prior and classes N."""
        poses = self._unrolled(labels, noise).poses
        return poses.mT.reshape(len(labels), _CHANNELS, self.rows, self.frames)

    def _posterior(self, truth: Tensor, labels: Tensor) -> list[Gaussian]:
        """Of every frame; it is never shown what the decoder makes."""
        n, f, _ = truth.shape
        state = truth.new_zeros(n, self.posterior.cell.hidden_size)
        found = []
        for t in range(f):
            shown = torch.cat([truth[:, t], self._condition(labels, t, like=truth)], dim=1)
            gaussian, state = self.posterior(shown, state)
            found.append(gaussian)
        return found

    def _unrolled(
        self,
        labels: Tensor,
        noise: Tensor,
        *,
        truth: Tensor | None = None,
        own: Tensor | None = None,
        posterior: list[Gaussian] | None = None,
    ) -> Reconstruction:
        """Frame after frame; without truth and posterior, from the own poses and the prior."""
        n, width = len(labels), self.prior.cell.hidden_size
        before = noise.new_zeros(n, _CHANNELS * self.rows)
        state = noise.new_zeros(n, width)
        states = [noise.new_zeros(n, width) for _ in self.decoder.cells]
        poses, priors = [], []
        for t in range(self.frames):
            if truth is not None and own is not None and t > 0:
                before = torch.where(own[:, t, None], before, truth[:, t - 1])
            shown = torch.cat([before, self._condition(labels, t, like=noise)], dim=1)
            prior, state = self.prior(shown, state)
            z = (posterior[t] if posterior else prior).at(noise[:, t])
            before, states = self.decoder(torch.cat([shown, z], dim=1), states)
            poses.append(before)
            priors.append(prior)
        stacked = _stacked(priors)
        return Reconstruction(
            torch.stack(poses, dim=1), _stacked(posterior) if posterior else stacked, stacked
        )

    def _condition(self, labels: Tensor, t: int, *, like: Tensor) -> Tensor:
        """The class as one of K, and the share of the motion that has passed: N K+1."""
        classes = F.one_hot(labels, self.num_classes).to(like)
        passed = like.new_full((len(labels), 1), t / max(self.frames - 1, 1))
        return torch.cat([classes, passed], dim=1)


def _stacked(frames: list[Gaussian]) -> Gaussian:
    means, logvars = zip(*frames, strict=True)
    return Gaussian(torch.stack(means, dim=1), torch.stack(logvars, dim=1))
