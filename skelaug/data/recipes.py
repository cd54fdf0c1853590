"""The ten-line YAML that says what a user's own arrays or tables mean.

::

    file: poses.npz         # .npz, .npy or .csv beside the YAML
    layout: kinect_20       # a name, or the path of your own layout's YAML
    fps: 30
    axes: NCTVM             # clips, coordinates, frames, joints, persons; NT(MVC) joins three
    units: mm               # m, cm, mm; px for 2D
    up: y                   # the axis that points up: y, z, x, or -y, -z, -x
    labels: label           # an array in the .npz, a .npy or .txt file, or a list
    classes: [wave, kick]   # names of the numbers in labels
    subjects: subject       # like labels
    dataset: mine           # clips are named mine_00000 ...
    keypoints: pixels       # 2D poses in the same frames: one clip per camera that saw them
    image_size: [640, 480]  # of those cameras
"""

from __future__ import annotations

import json
import re
from typing import Any, Literal

import yaml
from pydantic import BaseModel, PositiveFloat, ValidationError, field_validator

from skelaug.data.reading import DamagedError, Fetch
from skelaug.errors import NotFoundError, SkelaugError
from skelaug.skeleton.layout import SkeletonLayout
from skelaug.skeleton.layouts import LAYOUTS, get_layout

__all__ = ["SCALES", "Recipe", "find_layout", "parse_recipe"]

SCALES = {"m": 1.0, "cm": 0.01, "mm": 0.001, "px": 1.0}
"""Metres per unit; pixels stay pixels."""

_AXES = re.compile(r"[NCTVM]*(?:\([CVM]{2,3}\))?[NCTVM]*")


class Recipe(BaseModel, frozen=True, extra="forbid"):
    """What arrays mean; the text of the module shows one.

    Attributes:
        file: The data: .npz, .npy or .csv, beside the YAML.
        layout: A layout's name, the path of a layout's YAML, or the layout itself; empty takes
            ``joint_names`` and ``parents`` of an .npz.
        fps: Frames per second; may be left out where an .npz has ``fps``.
        key: The array of an .npz; may be left out where there is one that fits.
        axes: One letter per axis: N clips, C coordinates, T frames, V joints, M persons. Letters
            in parentheses share one axis. Without N and ``offsets``, each array of an .npz is a
            clip.
        offsets: Array of N + 1 numbers: clip i is frames offsets[i] to offsets[i + 1].
        lengths: Array of the frames of each clip; without it, empty frames at the end are padding.
        channels: What C holds: ``xyz``, ``xy``, or with a confidence ``xyzc``, ``xyc``.
        units: Of the coordinates.
        up: The axis that points up; empty is ``up_axis`` of an .npz, else y.
        labels: Numbers, names or one-hot rows: an array's name, a file, or a list.
        classes: Names of the numbers: an array's name or a list.
        subjects: Like labels, numbers.
        cameras: Like subjects.
        names: Like labels; unique names of the clips.
        keypoints: With ``offsets``, the array of 2D poses in pixels that cameras saw in the same
            frames, F V 2 or F cameras V 2. Each clip is then read once per camera, in the frame of
            that camera, which is calibrated from the pairs of 3D and 2D points of each subject.
        image_size: Width and height of the images: two numbers, or an array of two per camera.
        columns: For .csv: names of its columns where they differ from clip, frame, person, joint,
            x, y, z, conf, label, subject, camera.
        dataset: Name of the data set; sources of the same name share their subjects.
    """

    file: str
    layout: str | dict[str, Any] = ""
    fps: PositiveFloat | None = None
    key: str = ""
    axes: str = ""
    offsets: str = ""
    lengths: str = ""
    channels: Literal["", "xyz", "xy", "xyzc", "xyc"] = ""
    units: Literal["", "m", "cm", "mm", "px"] = ""
    up: Literal["", "x", "y", "z", "-x", "-y", "-z"] = ""
    labels: str | list[int | str] = ""
    classes: str | list[str] = ""
    subjects: str | list[int] = ""
    cameras: str | list[int] = ""
    names: str | list[str] = ""
    keypoints: str = ""
    image_size: str | list[int] = ""
    columns: dict[str, str] = {}
    dataset: str = ""

    @field_validator("axes")
    @classmethod
    def _known_axes(cls, axes: str) -> str:
        axes = axes.replace(" ", "").upper()
        letters = axes.replace("(", "").replace(")", "")
        fits = _AXES.fullmatch(axes) and len(set(letters)) == len(letters)
        if axes and not (fits and {"C", "T", "V"} <= set(letters)):
            raise ValueError("expected each of C T V once, N and M at most once, e.g. NCTVM")
        return axes


def parse_recipe(text: bytes, *, path: str) -> Recipe:
    """The recipe in a YAML file.

    Raises:
        DamagedError: It is no YAML, or a key is unknown, missing or has a wrong value; all faults
            in one message.
    """
    try:
        values = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark is not None else 0
        raise DamagedError(path, f"expected YAML, got {error}", line=line) from error
    if not isinstance(values, dict):
        raise DamagedError(path, f"expected keys and values, got {type(values).__name__}")
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        faults = [
            f"key {'.'.join(map(str, fault['loc'][:1]))!r}: {fault['msg']}"
            for fault in error.errors()
        ]
        raise DamagedError(path, "; ".join(dict.fromkeys(faults))) from error


def find_layout(recipe: Recipe, fetch: Fetch, *, path: str) -> SkeletonLayout | None:
    """The layout that a recipe names; None if it names none.

    Raises:
        DamagedError: There is no such layout, or its YAML breaks a law of layouts.
    """
    if recipe.layout in ("", {}):
        return None
    try:
        if isinstance(recipe.layout, dict):
            return SkeletonLayout.from_json(json.dumps(recipe.layout))
        if recipe.layout in LAYOUTS or not recipe.layout.lower().endswith((".yaml", ".yml")):
            return get_layout(recipe.layout)
        beside = path[: path.rfind("/") + 1] + recipe.layout
        return SkeletonLayout.from_json(json.dumps(yaml.safe_load(fetch(beside))))
    except NotFoundError as error:
        raise DamagedError(path, f"key 'layout': {error}") from error
    except (SkelaugError, yaml.YAMLError, TypeError) as error:
        raise DamagedError(path, f"key 'layout': expected a layout, got {error}") from error
