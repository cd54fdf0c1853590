"""One body that several cameras see becomes one clip per camera, in that camera's frame.

Where the cameras are comes from a table, or from the pairs of 3D and 2D points themselves: with
exact 2D poses a calibration is exact to hundredths of a pixel, with detected ones it averages over
thousands of joints. It is made once for each subject and camera, because a recording session has
its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from skelaug.data.raw_clips import RawClip
from skelaug.data.reading import DamagedError
from skelaug.errors import DataError
from skelaug.skeleton.camera import Camera, calibrated, normalised_keypoints, to_camera

__all__ = ["Filmed", "Size", "found_cameras", "views"]

Size = tuple[int, int]
"""Width and height of an image in pixels."""

_MOST_OFF = 0.2  # of the spread of the 2D points: beyond, 3D and 2D are not of the same motion


@dataclass(frozen=True)
class Filmed:
    """A clip in the world's frame and what each camera saw of it.

    Attributes:
        clip: Its values are T 1 V 3 in metres.
        pixels: For each camera T V 2; NaN, or both zero, where a joint was not detected.
    """

    clip: RawClip
    pixels: Sequence[NDArray[np.floating]] | NDArray[np.floating]

    def __post_init__(self) -> None:
        t, _, v, _ = self.clip.values.shape
        for number, points in enumerate(self.pixels, start=1):
            if points.shape != (t, v, 2):
                got = " x ".join(map(str, points.shape))
                raise DamagedError(
                    self.clip.name, f"camera {number}: expected 2D poses {t} x {v} x 2, got {got}"
                )

    def seen_by(self, camera: int) -> NDArray[np.float64]:
        """The pixels T V 2 of a camera, NaN where nothing was detected."""
        points = np.asarray(self.pixels[camera], dtype=np.float64)
        return np.where((points == 0).all(axis=-1, keepdims=True), np.nan, points)


def found_cameras(
    films: Sequence[Filmed], sizes: Sequence[Size], *, path: str
) -> dict[int, tuple[tuple[Camera, str], ...]]:
    """The cameras of each subject, calibrated from all that they saw of it, each with a note.

    Args:
        films: The clips of all subjects.
        sizes: Of each camera's image.
        path: The file, for messages.

    Raises:
        DamagedError: The pairs of a subject and a camera are not enough, or do not belong together.
    """
    found = {}
    for subject in dict.fromkeys(film.clip.subject for film in films):
        own = [film for film in films if film.clip.subject == subject]
        world = np.concatenate([film.clip.values[:, 0].reshape(-1, 3) for film in own])
        cameras = []
        for number, size in enumerate(sizes):
            image = np.concatenate([film.seen_by(number).reshape(-1, 2) for film in own])
            where = f"camera {number + 1} of subject {subject}"
            try:
                result = calibrated(world, image, size=size)
            except DataError as error:
                raise DamagedError(path, f"{where}: {error}") from error
            spread = float(np.sqrt(np.nanvar(image, axis=0).sum()))
            if result.rms_px > _MOST_OFF * spread:
                raise DamagedError(
                    path,
                    f"{where}: expected 2D poses of the same frames and joints as the 3D ones, got "
                    f"{result.rms_px:.0f} px between them by the best camera",
                )
            note = f"{where} was calibrated from its 2D poses: {result.rms_px:.3f} px off (rms)"
            cameras.append((result.camera, note))
        found[subject] = tuple(cameras)
    return found


def views(
    films: Sequence[Filmed], cameras: Mapping[int, Sequence[tuple[Camera, str]]]
) -> Iterator[RawClip]:
    """Each clip as each camera sees it: in its frame, y up, with normalised 2D poses.

    A clip is named ``NAME/C1``; the first one of a subject and a camera carries the camera's note.

    Args:
        films: The clips.
        cameras: The cameras of each subject, and a note on each; an empty note is left out.
    """
    told: set[str] = {""}
    for film in films:
        clip = film.clip
        for number, (camera, note) in enumerate(cameras[clip.subject]):
            yield replace(
                clip,
                values=to_camera(clip.values, camera),
                name=f"{clip.name}/C{number + 1}",
                camera=number + 1,
                keypoints=normalised_keypoints(film.seen_by(number), camera.size)[:, None],
                decisions=() if note in told else (note,),
            )
            told.add(note)
