"""Human3.6M and HumanEva as `facebookresearch/VideoPose3D` and its successors store them.

``data_3d_SET.npz`` holds the motions in the world's frame in metres, by subject and action;
``data_2d_SET_DETECTOR.npz`` the 2D poses in pixels, by subject, action and camera (Pavllo et al.
2019). The 2D file is what is read, once per camera, in that camera's frame; in a folder with
detections, the exact 2D poses (DETECTOR = gt) only calibrate the cameras. In their place a table
``cameras_SET.yaml`` may lie beside the files: for each subject a list of cameras as
`camera_from_mapping` takes them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import yaml

from skelaug.data.camera_views import Filmed, Size, found_cameras, views
from skelaug.data.plain_pickles import plain_object
from skelaug.data.raw_clips import RawClip, RawFrame, finished
from skelaug.data.reading import Clip, DamagedError, Fetch
from skelaug.errors import DataError, UsageError, did_you_mean
from skelaug.skeleton.camera import Camera, camera_from_mapping
from skelaug.skeleton.layouts import get_layout

__all__ = ["VideoPose3DReader", "parse_videopose3d"]

_NAME = re.compile(r"data_2d_([^_]+)_(.+)\.npz", re.IGNORECASE)


@dataclass(frozen=True)
class _DataSet:
    """A data set: its layout, frame rate and images, and the joints of longer lists to keep."""

    layout: str
    fps: float
    sizes: tuple[Size, ...]
    kept: tuple[int, ...] = ()


_SETS: Mapping[str, _DataSet] = {
    "h36m": _DataSet(
        layout="h36m_17",
        fps=50.0,
        sizes=((1000, 1002), (1000, 1000), (1000, 1000), (1000, 1002)),
        kept=(0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27),
    ),
    "humaneva15": _DataSet(layout="humaneva_15", fps=60.0, sizes=((640, 480),) * 3),
}

_Poses = dict[tuple[str, str], Any]  # by subject and action


def parse_videopose3d(path: str, fetch: Fetch) -> Iterator[Clip | DamagedError]:
    """The clips of a file of 2D poses, one per camera.

    Args:
        path: ``data_2d_SET_DETECTOR.npz``.
        fetch: Gives it and the files beside it.

    Raises:
        DamagedError: A file is not as above, or one that is needed is not there.
    """
    title, detector = _parts(path)
    data_set = _SETS[title]
    folder = path[: path.rfind("/") + 1]
    world = f"{folder}data_3d_{title}.npz"
    motions = _poses(fetch(world), "positions_3d", world)
    frame = RawFrame(layout=get_layout(data_set.layout), fps=data_set.fps, channels="xyz")
    films: list[Filmed] = []
    for film in _films(motions, _poses(fetch(path), "positions_2d", path), data_set, path):
        if isinstance(film, DamagedError):
            yield film
        else:
            films.append(film)
    cameras = _table(f"{folder}cameras_{title}.yaml", fetch)
    if not cameras:
        exact = f"{folder}data_2d_{title}_gt.npz"
        pairs = films if detector == "gt" else _exact(motions, exact, data_set, fetch)
        cameras = found_cameras(pairs, data_set.sizes, path=exact)
    for film in films:
        known = len(cameras.get(film.clip.subject, ()))
        if known != len(film.pixels):
            reason = f"expected {len(film.pixels)} cameras of subject {film.clip.subject}"
            yield DamagedError(f"{path}[{film.clip.name}]", f"{reason}, got {known}")
    whole = [f for f in films if len(cameras.get(f.clip.subject, ())) == len(f.pixels)]
    for raw in views(whole, cameras):
        try:
            yield finished(raw, frame, path=f"{path}[{raw.name}]")
        except DamagedError as error:
            yield error


def _parts(path: str) -> tuple[str, str]:
    """The data set and the detector that the name of a file says."""
    match = _NAME.fullmatch(path.rsplit("/", 1)[-1])
    if not match:
        raise DamagedError(path, "expected a name data_2d_SET_DETECTOR.npz")
    title = match[1].lower()
    if title not in _SETS:
        raise DamagedError(path, f"no data set {title!r}; {did_you_mean(title, _SETS)}")
    return title, match[2].lower()


def _poses(data: bytes, key: str, path: str) -> _Poses:
    found = plain_object(data, key, path=path)
    try:
        return {
            (str(subject), str(action)): value
            for subject, actions in found.items()
            for action, value in actions.items()
        }
    except AttributeError as error:
        raise DamagedError(path, f"{key}: expected a dictionary of dictionaries") from error


def _exact(motions: _Poses, path: str, data_set: _DataSet, fetch: Fetch) -> list[Filmed]:
    """What the cameras saw exactly, to calibrate them."""
    try:
        data = fetch(path)
    except DamagedError as error:
        reason = "expected it beside the detections, to calibrate the cameras, or a camera table"
        raise DamagedError(path, reason) from error
    found = _films(motions, _poses(data, "positions_2d", path), data_set, path)
    return [film for film in found if isinstance(film, Filmed)]


def _films(
    motions: _Poses, image: _Poses, data_set: _DataSet, path: str
) -> Iterator[Filmed | DamagedError]:
    for (subject, action), pixels in image.items():
        where = f"{path}[{subject}/{action}]"
        try:
            yield _film(subject, action, motions.get((subject, action)), pixels, data_set)
        except DamagedError as error:
            yield DamagedError(where, error.reason)
        except (TypeError, ValueError, IndexError) as error:
            yield DamagedError(where, f"expected arrays of numbers, got {error}")


def _film(subject: str, action: str, motion: Any, pixels: Any, data_set: _DataSet) -> Filmed:
    if motion is None:
        raise DamagedError(action, "there are no 3D poses of this action")
    joints = get_layout(data_set.layout).num_joints
    world = np.asarray(motion, dtype=np.float64)
    if world.ndim == 3 and data_set.kept and world.shape[1] > max(data_set.kept):
        world = world[:, list(data_set.kept)]
    if world.shape[1:] != (joints, 3) or len(world) == 0:
        got = " x ".join(map(str, world.shape))
        raise DamagedError(action, f"expected frames x {joints} x 3 numbers, got {got}")
    if len(pixels) != len(data_set.sizes):
        reason = f"expected 2D poses of {len(data_set.sizes)} cameras, got {len(pixels)}"
        raise DamagedError(action, reason)
    number = re.search(r"S(\d+)$", subject)
    clip = RawClip(
        values=world[:, None],
        name=f"{subject}/{action}",
        label=action.split(" ")[0],
        subject=int(number[1]) if number else -1,
    )
    # videos of Human3.6M go on for some frames after the motion
    return Filmed(clip, [np.asarray(view, np.float64)[: len(world), :, :2] for view in pixels])


def _table(path: str, fetch: Fetch) -> dict[int, tuple[tuple[Camera, str], ...]]:
    """The cameras of each subject that a table gives; empty if there is none."""
    try:
        text = fetch(path)
    except DamagedError:
        return {}
    try:
        return {
            int(str(subject).removeprefix("S")): tuple(
                (camera_from_mapping(camera), "") for camera in cameras
            )
            for subject, cameras in yaml.safe_load(text).items()
        }
    except (yaml.YAMLError, AttributeError, TypeError, ValueError, DataError) as error:
        raise DamagedError(path, f"expected a list of cameras for each subject: {error}") from error


class VideoPose3DReader:
    """Reads Human3.6M and HumanEva in the form of VideoPose3D."""

    name = "videopose3d"
    classes: tuple[str, ...] = ()
    subjects = (1, 11)
    layout = ""

    def claims(self, paths: Sequence[str]) -> list[str]:
        """The files of 2D poses; beside detections not the exact ones.

        Raises:
            UsageError: There are several detections of one data set.
        """
        found: dict[str, list[str]] = {}
        for path in paths:
            match = _NAME.fullmatch(path.rsplit("/", 1)[-1])
            if match and match[1].lower() in _SETS:
                found.setdefault(match[1].lower(), []).append(path)
        chosen = []
        for title, files in found.items():
            detected = [file for file in files if not file.lower().endswith("_gt.npz")] or files
            if len(detected) > 1:
                raise UsageError(
                    f"expected one file of 2D poses of {title}, got {', '.join(detected)}; "
                    f"give the path of the one to read"
                )
            chosen += detected
        return sorted(chosen)

    def admits(self, paths: Sequence[str]) -> list[str]:
        """The same."""
        return self.claims(paths)

    def skips(self, path: str) -> str:
        """No file is left out."""
        del path
        return ""

    def population(self, path: str, fetch: Fetch) -> str:
        """The data set: its subjects are the same in every file of it."""
        del fetch
        return _parts(path)[0]

    def read(self, path: str, fetch: Fetch) -> Iterator[Clip | DamagedError]:
        """The clips of the file."""
        return parse_videopose3d(path, fetch)
