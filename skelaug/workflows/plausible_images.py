"""How bodies move in skeleton images: measured, and the range in which training clips lie.

Images are measured as they are, on the frames of the codec, so that the numbers of drawn and of
real clips are about the same thing and do not depend on how long a clip lasts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skelaug.data.store import SequenceFile
from skelaug.errors import DataError
from skelaug.image.codec import ImageCodec
from skelaug.metrics.plausibility import bone_length_variation, mean_magnitude
from skelaug.skeleton.mapping import map_sequence
from skelaug.workflows.evaluation_clips import bones_of

__all__ = [
    "QUANTILES",
    "Bounds",
    "bounds_of_file",
    "bounds_of_images",
    "bounds_of_model",
    "measured",
]

QUANTILES = (0.01, 0.99)
_MOST = 4096
_CHUNK = 256
_BETTER_LOW = {"bone_length_variation"}

Bounds = dict[str, tuple[float, float]]


def measured(pixels: NDArray[np.float32], codec: ImageCodec) -> dict[str, NDArray[np.float64]]:
    """Bone-length variation (a fraction) and acceleration (metres per frame²) of images, N each.

    A person whose rows are all zeros is absent and counts nowhere.

    Args:
        pixels: N C R F in the codec's pixel values.
        codec: Whose images they are.
    """
    n, (_, _, f) = len(pixels), codec.shape
    v, root = codec.layout.num_joints, codec.layout.root
    grid = np.asarray(pixels, dtype=np.float64).reshape(n, 3, codec.persons, codec.rows, f)
    positions = grid[:, :, :, codec.joint_rows].transpose(0, 4, 2, 3, 1) * codec.scale  # N F M V C
    trajectory = positions[:, :, :, root].copy()
    positions[:, :, :, root] = 0
    positions += trajectory[:, :, :, None]
    absent = ~grid.any(axis=(1, 3, 4))
    positions.transpose(0, 2, 1, 3, 4)[absent] = np.nan
    flat = positions.reshape(n, f, codec.persons * v, 3)
    return {
        "bone_length_variation": bone_length_variation(flat, bones_of(codec.layout, codec.persons)),
        "acceleration": mean_magnitude(flat, order=2),
    }


def bounds_of_images(
    pixels: NDArray[np.float32], rows: NDArray[np.int64], codec: ImageCodec
) -> Bounds:
    """The 1st and the 99th percentile of each quantity, over at most 4096 images.

    Bones may keep their length better than those of any training clip: a body's are rigid, and what
    varies is the sensor.

    Args:
        pixels: N C R F; read in pieces.
        rows: Which of them count.
        codec: Whose images they are.
    """
    chosen = rows[np.linspace(0, len(rows) - 1, min(_MOST, len(rows))).astype(np.intp)]
    pieces = [
        measured(pixels[chosen[start : start + _CHUNK]], codec)
        for start in range(0, len(chosen), _CHUNK)
    ]
    found = {
        name: _range(np.concatenate([piece[name] for piece in pieces]))
        for name in (pieces[0] if pieces else {})
    }
    return {
        name: (0.0 if name in _BETTER_LOW else low, high) for name, (low, high) in found.items()
    }


def bounds_of_file(file: SequenceFile, codec: ImageCodec) -> Bounds:
    """The same of the clips of a sequence file, made into images like those of a model.

    Raises:
        DataError: The file has no clip, or clips of joints that the model's cannot be told from.
    """
    if not len(file):
        raise DataError(f"{file.path}: expected clips to take the plausible range from, got none")
    count = min(_MOST, len(file))
    images = np.empty((count, *codec.shape), dtype=np.float32)
    for number, row in enumerate(np.linspace(0, len(file) - 1, count).astype(int)):
        clip = map_sequence(file[int(row)], codec.layout)
        images[number] = codec.encode(clip, strict=False).pixels
    return bounds_of_images(images, np.arange(count), codec)


def bounds_of_model(meta: Mapping[str, Any]) -> Bounds | None:
    """The range that a model keeps of its training clips, or None if it keeps none."""
    kept = meta.get("plausibility")
    if not isinstance(kept, Mapping):
        return None
    return {str(name): (float(low), float(high)) for name, (low, high) in kept.items()}


def _range(values: NDArray[np.float64]) -> tuple[float, float]:
    """Percentiles; 0 to infinity where nothing could be measured."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return 0.0, float(np.finfo(np.float64).max)
    low, high = np.quantile(finite, QUANTILES)
    return float(low), float(high)
