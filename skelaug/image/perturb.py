"""Small changes of skeleton images that keep the action: turned, resized, or smoothed in time.

All are linear maps of the pixels. Letters: n samples, c channels (x, y, z), r rows, f frames.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from skelaug.shapes import check_shape

__all__ = ["cosine_transform", "low_passed", "resized", "temporal_power", "turned"]


def turned(pixels: Tensor, angles: Tensor) -> Tensor:
    """Images whose persons and paths are turned about the vertical.

    Args:
        pixels: N 3 R F, before normalisation.
        angles: N, radians, from z towards x (right-handed about y).
    """
    check_shape(pixels, "N C R F", what="pixels", C=3)
    cos, sin = angles.cos()[:, None, None], angles.sin()[:, None, None]
    x, y, z = pixels.unbind(1)
    return torch.stack([cos * x + sin * z, y, cos * z - sin * x], dim=1)


def resized(pixels: Tensor, factors: Tensor) -> Tensor:
    """Images whose persons and paths are larger or smaller; `factors` is N."""
    return pixels * factors[:, None, None, None]


def cosine_transform(frames: int) -> Tensor:
    """The orthonormal DCT-II of length F as a matrix (frequency x frame)."""
    k, t = torch.arange(frames)[:, None], torch.arange(frames)[None, :]
    matrix = torch.cos(math.pi / frames * (t + 0.5) * k) * math.sqrt(2 / frames)
    matrix[0] /= math.sqrt(2)
    return matrix


def temporal_power(images: Tensor) -> Tensor:
    """Mean squared amplitude of each frequency of time, F, of normalised images N C R F."""
    spectrum = images @ cosine_transform(images.shape[-1]).T.to(images)
    return spectrum.square().mean(dim=(0, 1, 2))


def low_passed(images: Tensor, power: Tensor, ratio: Tensor) -> Tensor:
    """Images as the best linear denoiser would return them, without the noise.

    The estimate of a clean image that a guide is asked about is a posterior mean: details that the
    noise drowns are missing. For a Gaussian process in time that mean multiplies each frequency by
    the Wiener gain ``power / (power + noise)``.

    Args:
        images: N C R F, normalised.
        power: F, from `temporal_power`.
        ratio: N, variance of the noise beside a signal of full size: ``(1 - a) / a`` at noise
            level alpha_bar a; 0 leaves an image as it is.
    """
    basis = cosine_transform(images.shape[-1]).to(images)
    floor = torch.finfo(images.dtype).tiny
    gain = (power.to(images) + floor) / (power.to(images) + floor + ratio[:, None].to(images))
    return (images @ basis.T * gain[:, None, None, :]) @ basis
