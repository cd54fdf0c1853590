"""What a model remembers of its training clips in order not to copy them: random projections.

A few dozen random projections of an image keep distances between images (Johnson and Lindenstrauss
1984): with D projections the relative error of a distance is about ``1 / sqrt(2 D)``. So a model
can tell how near a drawn clip is to its training clips without carrying the clips.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from skelaug.image.codec import ImageCodec
from skelaug.seeds import Stream, numpy_generator

__all__ = ["DIMENSIONS", "LARGEST", "CopyDetector", "detector", "sketch"]

DIMENSIONS = 128
LARGEST = 4096
_PERCENTILE = 5.0


def sketch(pixels: NDArray[np.float32], codec: ImageCodec) -> NDArray[np.float32]:
    """Random projections N D of root-relative images, in metres per joint.

    The Euclidean distance of two sketches estimates the root mean square over joints and frames of
    the distance between the two clips' joints, each relative to its root.

    Args:
        pixels: N C R F in the codec's pixel values.
        codec: Whose images they are.
    """
    c, r, f = codec.shape
    joints = np.delete(np.arange(r), np.arange(codec.persons) * codec.rows)
    size = c * len(joints) * f
    numbers = numpy_generator(0, Stream.SKETCH, size)
    matrix = numbers.standard_normal((size, DIMENSIONS)).astype(np.float32)
    per_joint = codec.persons * (codec.layout.num_joints - 1) * f
    flat = pixels[:, :, joints].reshape(len(pixels), size)
    return np.asarray(flat @ matrix * (codec.scale / np.sqrt(DIMENSIONS * per_joint)), np.float32)


@dataclass(frozen=True)
class CopyDetector:
    """Tells samples that are nearer to a training clip than training clips are to each other.

    Attributes:
        reference: Sketches of training clips, N D.
        codec: Whose images they are sketches of.
        threshold: Metres; 95 % of the training clips are farther than this from their nearest
            other training clip.
        typical: Metres; half of them are.
    """

    reference: NDArray[np.float32]
    codec: ImageCodec
    threshold: float
    typical: float

    def distances(self, pixels: NDArray[np.float32]) -> NDArray[np.float64]:
        """Metres from each image to its nearest training clip."""
        return np.asarray(cdist(sketch(pixels, self.codec), self.reference).min(axis=1))

    def is_copy(self, pixels: NDArray[np.float32]) -> NDArray[np.bool_]:
        """For each image whether it is too near to a training clip."""
        return np.asarray(self.distances(pixels) < self.threshold)


def detector(reference: NDArray[np.float32], codec: ImageCodec) -> CopyDetector:
    """A detector whose threshold comes from the training clips' distances to each other.

    Args:
        reference: Sketches of at least two training clips, N D.
        codec: Whose images they are sketches of.
    """
    nearest = np.empty(len(reference))
    for start in range(0, len(reference), 256):
        block = cdist(reference[start : start + 256], reference)
        rows = np.arange(len(block))
        block[rows, start + rows] = np.inf
        nearest[start : start + len(block)] = block.min(axis=1)
    threshold, typical = np.percentile(nearest, (_PERCENTILE, 50.0))
    return CopyDetector(reference, codec, float(threshold), float(typical))
