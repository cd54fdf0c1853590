"""HDM05 and CMU as data sets: what the names of their Acclaim files say.

HDM05 (Mueller et al. 2007): ``HDM_<actor>_<motion>_<take>_<fps>.amc`` beside ``HDM_<actor>.asf``.
The data used in this project was obtained from HDM05 (CC BY-SA 3.0).
CMU (mocap.cs.cmu.edu): ``<subject>_<trial>.amc`` beside ``<subject>.asf``, 120 frames per second;
its names tell no class.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np

from skelaug.data.acclaim import AcclaimSkeleton, forward_kinematics, parse_amc, parse_asf
from skelaug.data.reading import Clip, DamagedError, Fetch, in_order, stem, value_problems
from skelaug.skeleton.layouts import get_layout
from skelaug.skeleton.sequence import SkeletonSequence

__all__ = ["ACTORS", "CLASSES", "CMUReader", "HDM05Reader", "class_name"]

ACTORS = {"bd": 101, "bk": 102, "dg": 103, "mm": 104, "tr": 105}
"""Subject numbers of the five actors: above those of the Kinect sets with which they are merged."""

_MOTIONS = {
    "depositFloorR": "deposit on floor",
    "elbowToKnee1RepsLelbowStart": "elbow to knee",
    "grabHighR": "grab high",
    "hopBothLegs1hops": "hop on both legs",
    "jogLeftCircle4StepsRstart": "jog in a circle",
    "kickLFront1Reps": "kick forward",
    "lieDownFloor": "lie down on floor",
    "rotateArmsBothBackward1Reps": "rotate both arms backward",
    "sneak2StepsLStart": "sneak",
    "squat1Reps": "squat once",
    "throwBasketball": "throw basketball",
}
CLASSES = tuple(_MOTIONS.values())
"""The classes of the subset that is used in recognition, in the order of its folders 1 to 11."""

_HDM = re.compile(r"HDM_([a-z]{2})_(\w+?)_(\d+)_(\d+)", re.IGNORECASE)
_CMU = re.compile(r"(\d{1,3})_(\d{1,3})")
_CMU_FPS = 120.0


def class_name(motion: str) -> str:
    """The class of a motion as HDM05 names it; one that is not known is split into its words."""
    if motion in _MOTIONS:
        return _MOTIONS[motion]
    return " ".join(re.findall(r"[A-Z]?[a-z]+|\d+|[A-Z]+(?![a-z])", motion)).lower()


def _read_acclaim(path: str, fetch: Fetch, *, skeleton: str, fps: float) -> Clip:
    """The clip of an .amc file with the skeleton of that name beside it; without label."""
    beside = f"{path[: path.rfind('/') + 1]}{skeleton}"
    asf = _skeleton(_first(fetch, f"{beside}.asf", f"{beside}.ASF"), beside)
    motion = parse_amc(fetch(path).decode("utf-8", errors="replace"), path=path)
    layout = get_layout("hdm05_31")
    if set(asf.joints) != set(layout.joints):
        odd = ", ".join(sorted(set(asf.joints) ^ set(layout.joints)))
        raise DamagedError(path, f"expected the 31 joints of hdm05_31, got a difference in {odd}")
    try:
        joints = forward_kinematics(asf, motion)
    except ValueError as error:
        raise DamagedError(path, f"does not fit {skeleton}.asf: {error}") from error
    positions = in_order(joints[:, None], asf.joints, layout)
    return Clip(
        SkeletonSequence(
            positions=positions,
            observed=np.asarray(np.isfinite(positions).all(axis=-1), dtype=np.bool_),
            layout=layout,
            fps=fps,
            name=stem(path),
        ),
        problems=(*motion.problems, *value_problems(positions, zeros=False)),
    )


def _first(fetch: Fetch, name: str, other: str) -> bytes:
    try:
        return fetch(name)
    except DamagedError:
        return fetch(other)


@lru_cache(maxsize=256)
def _skeleton(data: bytes, path: str) -> AcclaimSkeleton:
    return parse_asf(data.decode("utf-8", errors="replace"), path=path)


def _amc(paths: Sequence[str]) -> list[str]:
    return [path for path in paths if path.lower().endswith(".amc")]


class HDM05Reader:
    """Reads the cut motions of HDM05, whatever folders they are in."""

    name = "hdm05"
    classes = CLASSES
    subjects = (101, 105)
    layout = "hdm05_31"

    def claims(self, paths: Sequence[str]) -> list[str]:
        """The .amc files whose names begin with HDM and an actor."""
        return [path for path in _amc(paths) if _HDM.fullmatch(stem(path))]

    def admits(self, paths: Sequence[str]) -> list[str]:
        """The .amc files."""
        return _amc(paths)

    def skips(self, path: str) -> str:
        """No file is left out."""
        del path
        return ""

    def population(self, path: str, fetch: Fetch) -> str:
        """The data set's name."""
        del path, fetch
        return self.name

    def read(self, path: str, fetch: Fetch) -> Iterator[Clip | DamagedError]:
        """The one clip of the file; a motion outside `CLASSES` is named by its words."""
        match = _HDM.fullmatch(stem(path))
        if not match or match[1].lower() not in ACTORS:
            known = ", ".join(ACTORS)
            raise DamagedError(path, f"expected HDM_actor_motion_take_fps.amc, actor of {known}")
        clip = _read_acclaim(path, fetch, skeleton=f"HDM_{match[1]}", fps=float(match[4]))
        subject = ACTORS[match[1].lower()]
        labelled = clip.sequence.replaced(label=class_name(match[2]), subject=subject)
        yield replace(clip, sequence=labelled)


class CMUReader:
    """Reads the trials of the CMU motion capture library; its files name no class."""

    name = "cmu"
    classes: tuple[str, ...] = ()
    subjects = (1, 144)
    layout = "hdm05_31"

    def claims(self, paths: Sequence[str]) -> list[str]:
        """The .amc files named subject_trial."""
        return [path for path in _amc(paths) if _CMU.fullmatch(stem(path))]

    def admits(self, paths: Sequence[str]) -> list[str]:
        """The .amc files."""
        return _amc(paths)

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
        match = _CMU.fullmatch(stem(path))
        if not match:
            raise DamagedError(path, "expected a name subject_trial.amc, e.g. 02_01.amc")
        clip = _read_acclaim(path, fetch, skeleton=match[1], fps=_CMU_FPS)
        yield replace(clip, sequence=clip.sequence.replaced(subject=int(match[1])))
