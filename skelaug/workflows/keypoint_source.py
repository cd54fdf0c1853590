"""Where 2D poses come from: a sequence file, or arrays of pixels that a detector wrote."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skelaug.data.array_files import ArrayFile
from skelaug.data.reading import DamagedError
from skelaug.data.store import SequenceFile
from skelaug.errors import DataError, UsageError
from skelaug.files import require_file
from skelaug.skeleton.camera import normalised_keypoints
from skelaug.skeleton.layout import SkeletonLayout
from skelaug.skeleton.sequence import UNKNOWN, SkeletonSequence

__all__ = ["KeypointSource", "image_size", "open_keypoints"]


@dataclass(frozen=True, eq=False)
class KeypointSource(AbstractContextManager["KeypointSource"]):
    """Clips with normalised 2D poses.

    Attributes:
        path: The file.
        layout: The joints.
        classes: Class names of the file.
        persons: Person slots of the clip with the most.
        has_confidence: Whether clips carry a confidence.
        names: Of the clips.
        subjects: One per clip, -1 = unknown.
        cameras: One per clip, -1 = unknown.
        setups: One per clip, -1 = unknown.
        fps: Frames per second of each clip.
        provenance: One record per command that made the file.
        load: From a clip's place to the clip; its keypoints are there.
        close: Gives the file back.
    """

    path: Path
    layout: SkeletonLayout
    classes: tuple[str, ...]
    persons: int
    has_confidence: bool
    names: Sequence[str]
    subjects: NDArray[np.int32]
    cameras: NDArray[np.int32]
    setups: NDArray[np.int32]
    fps: NDArray[np.float32]
    provenance: Sequence[Mapping[str, Any]]
    load: Callable[[int], SkeletonSequence]
    close: Callable[[], None]

    def __len__(self) -> int:
        return len(self.names)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def image_size(text: str) -> tuple[int, int]:
    """Width and height of an image from ``1920x1080``.

    Raises:
        UsageError: It is no such text.
    """
    match = re.fullmatch(r"\s*(\d+)\s*[xX×]\s*(\d+)\s*", text)
    if not match or not int(match[1]) or not int(match[2]):
        raise UsageError(f"--size {text}: expected width x height in pixels, for example 1920x1080")
    return int(match[1]), int(match[2])


def open_keypoints(
    path: Path, *, layout: SkeletonLayout, size: str = "", fps: float | None = None
) -> KeypointSource:
    """The 2D poses of a file.

    Args:
        path: A sequence file, normalised, with /keypoints or with positions of 2 coordinates; or an
            .npz of one array T V 2 or T M V 2 per clip, in pixels, NaN where not detected.
        layout: The joints of an .npz.
        size: Of the image of an .npz, ``WxH``.
        fps: Frames per second of an .npz.

    Raises:
        NotFoundError: There is no such file.
        UsageError: An .npz lacks size or fps, or a sequence file, which needs neither, has them.
        DataError: The file is damaged, has no clips, or no 2D poses.
    """
    require_file(path)
    if path.suffix.lower() == ".npz":
        if not size or fps is None:
            raise UsageError(
                f"{path}: expected --size WxH of the image in pixels and --fps for an .npz of "
                f"keypoints; give both"
            )
        return _arrays(path, layout, image_size(size), fps)
    if size or fps is not None:
        raise UsageError(
            f"{path}: expected --size and --fps with an .npz alone: a sequence file says its frame "
            f"rates and holds normalised keypoints; leave them out"
        )
    return _sequences(path)


def _sequences(path: Path) -> KeypointSource:
    file = SequenceFile(path)
    is_flat = file.channels == 2

    def load(row: int) -> SkeletonSequence:
        clip = file[row]
        if clip.keypoints is not None:
            return clip
        seen = np.where(clip.observed[..., None], clip.positions, np.float32(np.nan))
        return clip.replaced(keypoints=seen)

    if not len(file) or not (is_flat or file.has_keypoints):
        file.close()
        got = "3D poses alone" if len(file) else "no clip"
        raise DataError(
            f"{path}: expected clips with 2D poses, got {got}; give an .npz of keypoints, or clips "
            f"that `skelaug convert` made of Human3.6M or HumanEva"
        )
    return KeypointSource(
        path=path,
        layout=file.layout,
        classes=file.classes,
        persons=file.persons,
        has_confidence=file.has_confidence,
        names=file.names,
        subjects=file.subjects,
        cameras=file.cameras,
        setups=file.setups,
        fps=file.fps,
        provenance=file.provenance,
        load=load,
        close=file.close,
    )


def _arrays(
    path: Path, layout: SkeletonLayout, size: tuple[int, int], fps: float
) -> KeypointSource:
    try:
        arrays = ArrayFile(path.read_bytes(), path.name)
        clips = {key: _pixels(arrays.array(key, asked=key), layout, key) for key in arrays.keys}
    except DamagedError as error:
        raise DataError(f"{path}: {error.reason}; save one array T V 2 per clip") from error
    if not clips:
        raise DataError(f"{path}: expected an array of keypoints per clip, got none")
    names = [*clips]
    unknown = np.full(len(names), UNKNOWN, dtype=np.int32)

    def load(row: int) -> SkeletonSequence:
        seen = normalised_keypoints(clips[names[row]], size).astype(np.float32)
        observed = np.asarray(np.isfinite(seen).all(axis=-1), dtype=np.bool_)
        return SkeletonSequence(
            positions=seen,
            observed=observed,
            layout=layout,
            fps=fps,
            name=names[row],
            keypoints=seen,
        )

    return KeypointSource(
        path=path,
        layout=layout,
        classes=(),
        persons=max(clip.shape[1] for clip in clips.values()),
        has_confidence=False,
        names=names,
        subjects=unknown,
        cameras=unknown,
        setups=unknown,
        fps=np.full(len(names), fps, dtype=np.float32),
        provenance=[],
        load=load,
        close=lambda: None,
    )


def _pixels(array: NDArray[Any], layout: SkeletonLayout, key: str) -> NDArray[np.float64]:
    """An array as T M V 2.

    Raises:
        DamagedError: It has another shape, or no numbers.
    """
    got = " x ".join(map(str, array.shape))
    if array.dtype.kind not in "fiu":
        raise DamagedError(key, f"array {key!r}: expected numbers, got {array.dtype}")
    values = array[:, None] if array.ndim == 3 else array
    if values.ndim != 4 or values.shape[2:] != (layout.num_joints, 2) or 0 in values.shape:
        raise DamagedError(
            key,
            f"array {key!r}: expected T x {layout.num_joints} x 2 pixels of layout {layout.name}, "
            f"got {got}",
        )
    return np.asarray(values, dtype=np.float64)
