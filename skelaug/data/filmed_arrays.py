"""2D poses beside the 3D ones in a user's .npz: what a recipe's ``keypoints`` mean."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from skelaug.data.array_files import ArrayFile, numbers
from skelaug.data.camera_views import Filmed, Size, found_cameras, views
from skelaug.data.raw_clips import RawClip, RawFrame
from skelaug.data.reading import DamagedError
from skelaug.data.recipes import Recipe

__all__ = ["views_in"]


def views_in(
    arrays: ArrayFile, recipe: Recipe, clips: Sequence[RawClip], frame: RawFrame, *, path: str
) -> Iterator[RawClip]:
    """Each clip as each camera saw it, in metres and in the camera's frame.

    Args:
        arrays: Has the 2D poses in the same frames.
        recipe: Says where.
        clips: In the order of those frames.
        frame: What they share.
        path: The recipe, for messages.

    Raises:
        DamagedError: The 2D poses do not fit the clips.
    """
    films = _films(arrays, recipe, clips, frame, path)
    sizes = _sizes(arrays, recipe, len(films[0].pixels), path)
    return views(films, found_cameras(films, sizes, path=path))


def _films(
    arrays: ArrayFile, recipe: Recipe, clips: Sequence[RawClip], frame: RawFrame, path: str
) -> list[Filmed]:
    pixels = arrays.array(recipe.keypoints, asked="keypoints")
    starts = np.cumsum([0, *(len(clip.values) for clip in clips)])
    frames, joints = int(starts[-1]), frame.layout.num_joints
    is_alone = all(clip.values.shape[1] == 1 for clip in clips)
    if not (recipe.offsets and is_alone and frame.channels == "xyz"):
        reason = "expected 'offsets', one person and three coordinates beside 2D poses"
        raise DamagedError(path, f"key 'keypoints': {reason}")
    fits = pixels.ndim in (3, 4) and (len(pixels), *pixels.shape[-2:]) == (frames, joints, 2)
    if not fits or pixels.size == 0 or pixels.dtype.kind not in "fiu":
        got = " x ".join(map(str, pixels.shape))
        reason = f"expected {frames} [x cameras] x {joints} x 2 numbers, got {got} {pixels.dtype}"
        raise DamagedError(path, f"key 'keypoints': {reason}")
    by_camera = pixels.reshape(frames, -1, joints, 2).swapaxes(0, 1)
    return [
        Filmed(
            replace(clip, values=np.asarray(clip.values, dtype=np.float64) * frame.scale),
            by_camera[:, start:end],
        )
        for clip, (start, end) in zip(clips, pairwise(starts.tolist()), strict=True)
    ]


def _sizes(arrays: ArrayFile, recipe: Recipe, cameras: int, path: str) -> list[Size]:
    given = recipe.image_size
    array = arrays.array(given, asked="image_size") if isinstance(given, str) else np.array(given)
    found = numbers(array, asked="image_size", path=path)
    if len(found) not in (2, 2 * cameras) or min(found) < 1:
        reason = f"expected width and height, of all cameras or of each, got {found}"
        raise DamagedError(path, f"key 'image_size': {reason}")
    pairs = list(zip(found[::2], found[1::2], strict=True))
    return pairs if len(pairs) == cameras else pairs * cameras
