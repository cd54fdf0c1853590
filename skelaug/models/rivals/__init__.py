"""Rival generators, one file per paper: class-conditional autoencoders of skeleton images.

All are called ``network(x, labels, noise, ...)`` while they learn, with x: N C R F, and return the
reconstruction error and the divergence of each sample, N 2; ``network.sample(noise, labels)`` draws
images, with noise of ``network.noise_shape`` per sample.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import nn

from skelaug.models.rivals.action2motion import Action2Motion
from skelaug.models.rivals.actor import Actor

__all__ = ["RIVALS"]

RIVALS: Mapping[str, Callable[..., nn.Module]] = {
    "action2motion": Action2Motion,
    "actor": Actor,
}
