"""Northwestern-UCLA: ``aSS_sSS_eEE_vVV.json`` with ``skeletons``, frames x 20 x 3, Kinect v1.

Wang, Nie, Xia, Wu, Zhu 2014 (CVPR): 10 actions, 10 subjects, 3 views. The nominal rate is 30 frames
per second; the speed of the walkers suggests that the true one is nearer 15. Of the 464 clips of
view 3, which are the official test part, 95 are bit-identical to the clip of view 2 of the same
take, which is training data: scores on this split contain that leak.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from skelaug.data.reading import (
    Clip,
    DamagedError,
    Fetch,
    as_float32,
    measured,
    stem,
    value_problems,
)
from skelaug.skeleton.layouts import get_layout
from skelaug.skeleton.sequence import SkeletonSequence

__all__ = ["CLASSES", "NWUCLAReader", "parse_nw_ucla"]

_CLASS_OF: Mapping[int, str] = {
    1: "pick up with one hand",
    2: "pick up with two hands",
    3: "drop trash",
    4: "walk around",
    5: "sit down",
    6: "stand up",
    8: "donning",
    9: "doffing",
    11: "throw",
    12: "carry",
}
CLASSES = tuple(_CLASS_OF.values())
"""The ten actions in the order of their codes a01 to a12 (7 and 10 do not exist)."""

FPS = 30.0
_NAME = re.compile(r"a(\d+)_s(\d+)_e(\d+)_v(\d+)")


def parse_nw_ucla(data: bytes, *, path: str) -> Clip:
    """The clip of one JSON file; action, subject, view and name from the file's name.

    Raises:
        DamagedError: The name or the content is not as above.
    """
    match = _NAME.fullmatch(stem(path))
    if not match or int(match[1]) not in _CLASS_OF:
        raise DamagedError(path, "expected a name aSS_sSS_eEE_vVV.json with one of ten actions")
    positions = _skeletons(data, path)[:, None]
    return Clip(
        SkeletonSequence(
            positions=positions,
            observed=measured(positions),
            layout=get_layout("kinect_20"),
            fps=FPS,
            name=match[0],
            label=_CLASS_OF[int(match[1])],
            subject=int(match[2]),
            camera=int(match[4]),
        ),
        problems=tuple(value_problems(positions)),
    )


def _skeletons(data: bytes, path: str) -> NDArray[np.float32]:
    try:
        content = json.loads(data)
    except json.JSONDecodeError as error:
        reason = f"expected JSON, got text that breaks: {error.msg}"
        raise DamagedError(path, reason, line=error.lineno) from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise DamagedError(path, f"expected JSON, got {error}") from error
    if not isinstance(content, dict) or "skeletons" not in content:
        raise DamagedError(path, "expected a key 'skeletons', got none")
    try:
        array = np.array(content["skeletons"], dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise DamagedError(path, f"expected frames x 20 x 3 numbers, got {error}") from error
    if array.ndim != 3 or array.shape[1:] != (20, 3) or len(array) == 0:
        got = " x ".join(str(size) for size in array.shape)
        raise DamagedError(path, f"expected frames x 20 x 3 numbers, got {got}")
    return as_float32(array)


class NWUCLAReader:
    """Reads the JSON files of Northwestern-UCLA."""

    name = "nw-ucla"
    classes = CLASSES
    subjects = (1, 10)
    layout = "kinect_20"

    def claims(self, paths: Sequence[str]) -> list[str]:
        """The .json files named aSS_sSS_eEE_vVV."""
        return [path for path in self.admits(paths) if _NAME.fullmatch(stem(path))]

    def admits(self, paths: Sequence[str]) -> list[str]:
        """The .json files."""
        return [path for path in paths if path.lower().endswith(".json")]

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
        yield parse_nw_ucla(fetch(path), path=path)
