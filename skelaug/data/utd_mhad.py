"""UTD-MHAD: ``aX_sY_tZ_skeleton.mat`` with ``d_skel``, 20 joints x 3 x frames, Kinect v1, metres.

Chen, Jafari, Kehtarnavaz 2015 (ICIP): 27 actions, 8 subjects, 861 clips at 30 frames per second.
The joints come head first; they are put in the order of ``kinect_20`` by name.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat
from scipy.io.matlab import MatReadError, MatReadWarning

from skelaug.data.reading import (
    Clip,
    DamagedError,
    Fetch,
    in_order,
    measured,
    stem,
    value_problems,
)
from skelaug.skeleton.layouts import get_layout
from skelaug.skeleton.sequence import SkeletonSequence

__all__ = ["CLASSES", "JOINTS", "UTDMHADReader", "parse_utd_mhad"]

CLASSES = (
    "swipe left",
    "swipe right",
    "wave",
    "clap",
    "throw",
    "arm cross",
    "basketball shoot",
    "draw x",
    "draw circle clockwise",
    "draw circle counter clockwise",
    "draw triangle",
    "bowling",
    "boxing",
    "baseball swing",
    "tennis swing",
    "arm curl",
    "tennis serve",
    "push",
    "knock",
    "catch",
    "pick up and throw",
    "jog",
    "walk",
    "sit to stand",
    "stand to sit",
    "lunge",
    "squat",
)
"""The actions 1 to 27 in the short names of the data set's page."""

JOINTS = (
    "head",
    "shoulder_center",
    "spine",
    "hip_center",
    "left_shoulder",
    "left_elbow",
    "left_wrist",
    "left_hand",
    "right_shoulder",
    "right_elbow",
    "right_wrist",
    "right_hand",
    "left_hip",
    "left_knee",
    "left_ankle",
    "left_foot",
    "right_hip",
    "right_knee",
    "right_ankle",
    "right_foot",
)
"""The order in the files (Skeleton_joint_order.txt of the data set)."""

FPS = 30.0
_NAME = re.compile(r"a(\d+)_s(\d+)_t(\d+)_skeleton", re.IGNORECASE)
_UNREADABLE = (
    MatReadError,
    MatReadWarning,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    EOFError,
    OSError,
    MemoryError,
    OverflowError,
    NotImplementedError,
    zlib.error,
    struct.error,
)


def parse_utd_mhad(data: bytes, *, path: str) -> Clip:
    """The clip of one .mat file; action, subject and name from the file's name.

    Raises:
        DamagedError: The name or the content is not as above.
    """
    match = _NAME.fullmatch(stem(path))
    if not match or not 1 <= int(match[1]) <= len(CLASSES):
        raise DamagedError(path, "expected a name aX_sY_tZ_skeleton.mat with X from 1 to 27")
    skeleton = _skeleton(data, path)
    layout = get_layout("kinect_20")
    positions = in_order(skeleton.transpose(2, 0, 1)[:, None], JOINTS, layout)
    return Clip(
        SkeletonSequence(
            positions=positions,
            observed=measured(positions),
            layout=layout,
            fps=FPS,
            name=f"a{match[1]}_s{match[2]}_t{match[3]}",
            label=CLASSES[int(match[1]) - 1],
            subject=int(match[2]),
        ),
        problems=tuple(value_problems(positions)),
    )


def _skeleton(data: bytes, path: str) -> NDArray[np.floating]:
    try:
        file: Any = io.BytesIO(data)  # loadmat's type stub knows paths only
        value = loadmat(file, variable_names=["d_skel"]).get("d_skel")
    except _UNREADABLE as error:
        raise DamagedError(path, f"expected a MATLAB file, got one that breaks: {error}") from error
    if value is None:
        raise DamagedError(path, "expected a variable d_skel, got none")
    array = np.asarray(value)
    if array.dtype.kind not in "fiu" or array.ndim not in (2, 3) or array.shape[:2] != (20, 3):
        got = " x ".join(str(size) for size in array.shape)
        raise DamagedError(path, f"expected d_skel of 20 x 3 x frames, got {got} {array.dtype}")
    if array.ndim == 2:
        array = array[:, :, None]
    if array.shape[2] == 0:
        raise DamagedError(path, "expected at least one frame, got none")
    return array.astype(np.float64)


class UTDMHADReader:
    """Reads the skeleton files of UTD-MHAD."""

    name = "utd-mhad"
    classes = CLASSES
    subjects = (1, 8)
    layout = "kinect_20"

    def claims(self, paths: Sequence[str]) -> list[str]:
        """The files named aX_sY_tZ_skeleton.mat."""
        return [path for path in self.admits(paths) if _NAME.fullmatch(stem(path))]

    def admits(self, paths: Sequence[str]) -> list[str]:
        """The .mat files."""
        return [path for path in paths if path.lower().endswith(".mat")]

    def skips(self, path: str) -> str:
        """No file is left out."""
        del path
        return ""

    def population(self, path: str, fetch: Fetch) -> str:
        """The data set's name."""
        del path, fetch
        return self.name

    def read(self, path: str, fetch: Fetch) -> Iterator[Clip | DamagedError]:
        """The one clip of the file."""
        yield parse_utd_mhad(fetch(path), path=path)
