"""Autoencoders of features and of texts that share a code: a rival to compare with."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from skelaug.seeds import Stream, generator

__all__ = ["Alignment", "fit_alignment"]

Array = NDArray[np.float64]


class _Autoencoder(nn.Module):
    """A Gaussian code and back, one hidden layer each way."""

    def __init__(self, size: int, hidden: int, latent: int) -> None:
        super().__init__()
        self.encode = nn.Sequential(
            nn.Linear(size, hidden), nn.ReLU(), nn.Linear(hidden, 2 * latent)
        )
        self.decode = nn.Sequential(nn.Linear(latent, hidden), nn.ReLU(), nn.Linear(hidden, size))

    def code(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation, N H each."""
        mean, logarithm = self.encode(x).chunk(2, dim=1)
        return mean, (0.5 * logarithm.clamp(-10, 10)).exp()


class Alignment(nn.Module):
    """Variational autoencoders of features and of texts that share a code, like CADA-VAE.

    Each decoder must understand the other's code too (cross-alignment), and the two codes of a
    clip and its text should be one Gaussian (distribution alignment: the 2-Wasserstein distance).
    Schoenfeld et al. 2019. In place of a further classifier trained on drawn codes, a class is
    scored by how near the mean code of its text is to that of a clip: by the density that its
    text's code gives to it, classes with wide codes would win whatever is asked.

    Args:
        features: Size D.
        texts: Size E.
        hidden: Width of the hidden layers.
        latent: Size of the code.
    """

    def __init__(self, features: int, texts: int, *, hidden: int = 256, latent: int = 64) -> None:
        super().__init__()
        self.latent = latent
        self.clips = _Autoencoder(features, hidden, latent)
        self.texts = _Autoencoder(texts, hidden, latent)
        for name, size in (("clip", features), ("text", texts)):
            self.register_buffer(f"{name}_mean", torch.zeros(size))
            self.register_buffer(f"{name}_scale", torch.ones(()))

    def standardise(self, features: Tensor, texts: Tensor) -> None:
        """Learn means, and one scale each, of features N D and texts Y E."""
        for name, x in (("clip", features), ("text", texts)):
            mean = x.mean(dim=0)
            getattr(self, f"{name}_mean").copy_(mean)
            getattr(self, f"{name}_scale").copy_((x - mean).square().mean().sqrt().clamp(min=1e-6))

    def _scaled(self, x: Tensor, name: str) -> Tensor:
        return torch.as_tensor((x - getattr(self, f"{name}_mean")) / getattr(self, f"{name}_scale"))

    def forward(
        self, features: Tensor, texts: Tensor, noise: Tensor, beta: float, cross: float
    ) -> Tensor:
        """The loss: reconstructions, cross-reconstructions, divergences and Wasserstein distances.

        Args:
            features: N D.
            texts: The text of each clip, N E.
            noise: White, 2 N H.
            beta: Weight of the divergences from the standard Gaussian.
            cross: Weight of the two alignments.
        """
        told = (self._scaled(features, "clip"), self._scaled(texts, "text"))
        codes = (self.clips.code(told[0]), self.texts.code(told[1]))
        drawn = [mean + std * own for (mean, std), own in zip(codes, noise, strict=True)]
        parts = (self.clips, self.texts)
        pairs = list(zip(parts, told, strict=True))
        own = sum((p.decode(z) - x).abs().mean(1) for (p, x), z in zip(pairs, drawn, strict=True))
        other = sum(
            (p.decode(z) - x).abs().mean(1) for (p, x), z in zip(pairs, drawn[::-1], strict=True)
        )
        divergence = sum(
            0.5 * (m.square() + s.square() - 1 - 2 * s.log()).mean(1) for m, s in codes
        )
        (m1, s1), (m2, s2) = codes
        distance = ((m1 - m2).square() + (s1 - s2).square()).mean(1).add(1e-12).sqrt()
        loss = own + cross * (other + distance) + beta * divergence
        return torch.as_tensor(loss).mean()

    @torch.no_grad()
    def scores(self, features: NDArray[np.floating], texts: NDArray[np.floating]) -> Array:
        """Minus the distances of mean codes: features N D and texts Y E to N Y."""
        x, y = (torch.as_tensor(np.asarray(own, dtype=np.float32)) for own in (features, texts))
        clips, _ = self.clips.code(self._scaled(x, "clip"))
        classes, _ = self.texts.code(self._scaled(y, "text"))
        return np.asarray(-torch.cdist(clips, classes).double().numpy())


def fit_alignment(
    features: NDArray[np.floating],
    labels: NDArray[np.integer],
    texts: NDArray[np.floating],
    *,
    seed: int = 0,
    steps: int = 600,
    batch: int = 64,
) -> Alignment:
    """An alignment model trained on clips and the texts of their classes.

    Args:
        features: N D.
        labels: Class of each, N.
        texts: Of all classes, Y E; those without clips are not looked at.
        seed: Root of every random number.
        steps: Updates of Adam at rate 1e-3; the divergence and the alignments fade in over the
            first half.
        batch: Clips per update.
    """
    x, y = (torch.as_tensor(np.asarray(own, dtype=np.float32)) for own in (features, texts))
    own = torch.as_tensor(np.asarray(labels, dtype=np.int64))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(generator(seed, Stream.INITIAL_WEIGHTS).initial_seed())
        model = Alignment(x.shape[1], y.shape[1])
    model.standardise(x, y[np.unique(labels)])
    numbers = generator(seed, Stream.TRAIN_NOISE)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for step in range(steps):
        rows = torch.randint(len(x), (batch,), generator=numbers)
        noise = torch.randn(2, batch, model.latent, generator=numbers)
        rising = min(1.0, 2 * step / steps)
        loss = model(x[rows], y[own[rows]], noise, 0.01 * rising, rising)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()
