"""The mathematics of the operations: matrices on coordinates and joints, maps of time, noise.

Everything is float64. A matrix acts on columns: x' = A x. Rotations are right-handed and turn the
body, not the axes (public code turns the other way, which symmetric ranges hide).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from math import cos, radians, sin

import numpy as np
from numpy.typing import NDArray

from skelaug.errors import UsageError
from skelaug.skeleton.layout import SkeletonLayout

__all__ = [
    "bone_matrix",
    "jitter_noise",
    "mask_sources",
    "mirror_matrices",
    "rotation_matrix",
    "view_matrix",
    "warp_times",
]

Matrix = NDArray[np.float64]


def rotation_matrix(angles: Sequence[float], *, channels: int = 3) -> Matrix:
    """Rz Ry Rx of the angles (x, y, z) in radians, C C; in 2D the turn about z alone.

    Raises:
        UsageError: A clip of two coordinates shall be turned about x or y.
    """
    (cos_x, cos_y, cos_z), (sin_x, sin_y, sin_z) = map(cos, angles), map(sin, angles)
    if channels == 3:
        ss, sc = sin_y * sin_x, sin_y * cos_x
        return np.array(
            [
                [cos_z * cos_y, cos_z * ss - sin_z * cos_x, cos_z * sc + sin_z * sin_x],
                [sin_z * cos_y, sin_z * ss + cos_z * cos_x, sin_z * sc - cos_z * sin_x],
                [-sin_y, cos_y * sin_x, cos_y * cos_x],
            ]
        )
    if angles[0] or angles[1]:
        raise UsageError(
            "augmentation: expected 3 coordinates for a turn about x or y, got 2; "
            "set rotation_x, rotation_y and view_degrees to 0"
        )
    return np.array([[cos_z, -sin_z], [sin_z, cos_z]])


def view_matrix(degrees: Sequence[float], scale: float, *, channels: int = 3) -> Matrix:
    """A change of size after a turn about y and then one about x (degrees), scale Rx Ry.

    Chen et al. 2021 (their code for Northwestern-UCLA; the paper does not say).

    Raises:
        UsageError: As `rotation_matrix`.
    """
    x, y = map(radians, degrees)
    about_x = rotation_matrix((x, 0.0, 0.0), channels=channels)
    return scale * about_x @ rotation_matrix((0.0, y, 0.0), channels=channels)


def bone_matrix(factors: Sequence[float], layout: SkeletonLayout) -> Matrix:
    """S, V V, such that S positions has the bone that ends in joint j multiplied by factors[j].

    Each joint is the root plus the bones on the way to it: S = e_root + P diag(factors) B, where B
    takes joints to bones and P sums bones along the tree. The root's row is the root itself, so its
    path stays and its factor does not matter; all rows sum to 1, so S and a shift commute.
    """
    to_bones, from_bones, root = _tree_matrices(layout.parents)
    return root + (from_bones * np.asarray(factors, dtype=np.float64)) @ to_bones


@functools.lru_cache(maxsize=64)
def _tree_matrices(parents: tuple[int, ...]) -> tuple[Matrix, Matrix, Matrix]:
    """B (joints to bones), P (bones to joints), and what every joint takes from the root."""
    v = len(parents)
    to_bones, from_bones, root = np.zeros((v, v)), np.zeros((v, v)), np.zeros((v, v))
    root[:, parents.index(-1)] = 1
    for child, parent in enumerate(parents):
        if parent >= 0:
            to_bones[child, child], to_bones[child, parent] = 1, -1
        joint = child
        while parents[joint] >= 0:
            from_bones[child, joint] = 1
            joint = parents[joint]
    return _frozen(to_bones), _frozen(from_bones), _frozen(root)


def _frozen(matrix: Matrix) -> Matrix:
    matrix.flags.writeable = False
    return matrix


def mirror_matrices(layout: SkeletonLayout, *, channels: int = 3) -> tuple[Matrix, Matrix]:
    """What a mirror does to the joints, V V, and to the coordinates, C C: x is negated."""
    return _permutation(layout.mirrored), np.diag([-1.0, 1.0, 1.0][:channels])


@functools.lru_cache(maxsize=64)
def _permutation(sources: tuple[int, ...]) -> Matrix:
    return _frozen(np.eye(len(sources))[list(sources)])


def mask_sources(layout: SkeletonLayout, joints: Sequence[int]) -> NDArray[np.intp]:
    """For each joint V the one whose position it takes where `joints` are lost.

    A joint that is not lost keeps its own, a lost one takes that of its nearest ancestor that is
    not lost. The root has no ancestor and keeps its own.
    """
    sources = np.arange(layout.num_joints)
    lost = set(joints) - {layout.root}
    for joint in layout.tree_order:
        if joint in lost:
            sources[joint] = sources[layout.parents[joint]]
    return sources


def warp_times(log_tempo: Sequence[float], frames: int) -> Matrix:
    """The times (frames, from 0 to T - 1) at which a warped clip reads the clip, T, rising.

    The tempo is exp(log_tempo) at equally spaced knots and linear between them; time is its
    integral, by the trapezoid rule, stretched so that both ends stay. Equal tempi give 0, 1, 2 ...

    Args:
        log_tempo: Logarithm of the tempo at each of at least two knots.
        frames: Length T of the clip.
    """
    if frames == 1:
        return np.zeros(1)
    clock, knots = _clock(frames, len(log_tempo))
    tempo = np.interp(clock, knots, np.exp(log_tempo))
    times = np.zeros(frames)
    np.cumsum((tempo[1:] + tempo[:-1]) / 2, out=times[1:])
    times *= (frames - 1) / times[-1]
    times[-1] = frames - 1
    return times


@functools.lru_cache(maxsize=256)
def _clock(frames: int, knots: int) -> tuple[Matrix, Matrix]:
    """The frames 0 to T - 1, and as many equally spaced times as there are knots."""
    return _frozen(np.arange(float(frames))), _frozen(np.linspace(0, frames - 1, knots))


def jitter_noise(
    shape: tuple[int, ...], *, std: float, smoothing: float, generator: np.random.Generator
) -> Matrix:
    """Gaussian noise T ... that is smooth along T and has the given deviation in every frame.

    White noise is convolved around the clip with a Gaussian, in the frequency domain, so the noise
    is stationary: its size does not fade at the ends.

    Args:
        shape: T and further axes.
        std: Standard deviation.
        smoothing: Standard deviation of the Gaussian, in frames; 0 leaves the noise white.
        generator: Gives the white noise.
    """
    noise = generator.standard_normal(shape)
    if smoothing > 0 and shape[0] > 1:
        gain = np.exp(-2 * np.square(np.pi * smoothing * np.fft.fftfreq(shape[0])))
        gain /= np.sqrt(np.mean(np.square(gain)))
        half = gain[: shape[0] // 2 + 1].reshape(-1, *[1] * (len(shape) - 1))
        noise = np.fft.irfft(np.fft.rfft(noise, axis=0) * half, n=shape[0], axis=0)
    return std * noise
