"""A user's own arrays: .npz and .npy, padded or ragged, and long .csv tables; never a pickle.

A `Recipe` (ten lines of YAML) says what they mean. Three forms of an .npz are understood:

- padded: one array with an axis N; frames at the end in which nothing was measured are padding;
- ragged: the frames of all clips one after the other, and ``offsets``;
- one array per clip, named by its key.

An .npz with ``joints``, ``offsets``, ``fps``, ``joint_names`` and ``parents`` describes itself.
With ``joints_2d`` and ``image_size`` as well, each clip is read as each camera saw it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skelaug.data.array_files import ArrayFile, numbers, values
from skelaug.data.filmed_arrays import views_in
from skelaug.data.raw_clips import RawClip, RawFrame, finished, in_natural_order
from skelaug.data.reading import Clip, DamagedError, Fetch, stem
from skelaug.data.recipes import SCALES, Recipe, find_layout, parse_recipe
from skelaug.data.tables import parse_table
from skelaug.errors import DataError
from skelaug.skeleton.layout import SkeletonLayout
from skelaug.skeleton.layouts import LAYOUTS
from skelaug.skeleton.sequence import UNKNOWN

__all__ = ["ArraysReader", "by_clip", "parse_arrays"]

_UNITS = {"metre": "m", "meter": "m", "millimetre": "mm", "millimeter": "mm", "pixel": "px"}
_PAIRED = re.compile(
    r"data_[23]d_.+\.npz", re.IGNORECASE
)  # those of VideoPose3D, which are pickles
_DESCRIBED = ("joints", "offsets", "joint_names", "parents")


def parse_arrays(path: str, fetch: Fetch) -> Iterator[Clip | DamagedError]:
    """The clips that a recipe describes, or those of an .npz that describes itself.

    Args:
        path: The YAML, or the .npz.
        fetch: Gives it and the files beside it.

    Raises:
        DamagedError: The file as a whole cannot be used; the message names file and key.
    """
    recipe = _recipe(path, fetch)
    beside = path[: path.rfind("/") + 1] + recipe.file
    layout = find_layout(recipe, fetch, path=path)
    if beside.lower().endswith(".csv"):
        raw, frame = _from_table(fetch(beside), recipe, layout, path=path, beside=beside)
    else:
        raw, frame = _from_arrays(ArrayFile(fetch(beside), beside), recipe, layout, fetch, path)
    seen: set[str] = set()
    for clip in raw:
        if isinstance(clip, DamagedError):
            yield clip
            continue
        where = f"{beside}[{clip.name}]"
        if clip.name in seen:
            yield DamagedError(where, "another clip of the file has the same name")
            continue
        seen.add(clip.name)
        try:
            yield finished(clip, frame, path=where)
        except DamagedError as error:
            yield error


def _recipe(path: str, fetch: Fetch) -> Recipe:
    if path.lower().endswith((".yaml", ".yml")):
        return parse_recipe(fetch(path), path=path)
    if not path.lower().endswith(".npz"):
        raise DamagedError(path, "expected a YAML that describes it (see `skelaug convert --help`)")
    arrays = ArrayFile(fetch(path), path)
    if any(key not in arrays for key in _DESCRIBED):
        known = ", ".join(arrays.keys)
        raise DamagedError(path, f"expected a YAML that says what its arrays ({known}) mean")
    labels = "label" if "label" in arrays else ""
    return Recipe(
        file=path.rsplit("/", 1)[-1],
        key="joints",
        offsets="offsets",
        labels=labels,
        classes="class_names" if "class_names" in arrays else "",
        subjects="subject" if "subject" in arrays else "",
        names="name" if "name" in arrays else "",
        keypoints="joints_2d" if "joints_2d" in arrays else "",
        image_size="image_size" if "image_size" in arrays else "",
    )


def _from_table(
    data: bytes, recipe: Recipe, layout: SkeletonLayout | None, *, path: str, beside: str
) -> tuple[Iterable[RawClip | DamagedError], RawFrame]:
    if layout is None or recipe.fps is None:
        missing = "layout" if layout is None else "fps"
        raise DamagedError(path, f"key {missing!r}: expected one for a table, got none")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DamagedError(beside, f"expected UTF-8 text, got {error}") from error
    channels, clips = parse_table(text, layout, path=beside, columns=recipe.columns)
    found = list(clips)
    given = np.array([c.label if isinstance(c, RawClip) else "" for c in found])
    classes = _classes(recipe, None, path)
    labels, classes = _labels(given, classes, path=path)
    named = [
        replace(clip, label=label) if isinstance(clip, RawClip) else clip
        for clip, label in zip(found, labels, strict=True)
    ]
    frame = RawFrame(
        layout=layout,
        fps=recipe.fps,
        channels=channels,
        scale=SCALES[recipe.units or "m"],
        up=recipe.up or "y",
        classes=classes,
    )
    return named, frame


def _from_arrays(
    arrays: ArrayFile,
    recipe: Recipe,
    layout: SkeletonLayout | None,
    fetch: Fetch,
    path: str,
) -> tuple[Iterable[RawClip], RawFrame]:
    layout = layout or _own_layout(arrays, path)
    found = _positions(arrays, recipe, layout, path)
    n = len(found)

    def per_clip(key: str) -> NDArray[Any] | None:
        given = values(getattr(recipe, key), asked=key, arrays=arrays, fetch=fetch, path=path)
        if given is not None and len(given) != n:
            raise DamagedError(path, f"key {key!r}: expected {n} values, got {len(given)}")
        return given

    def whole(key: str) -> list[int]:
        given = per_clip(key)
        return [UNKNOWN] * n if given is None else numbers(given, asked=key, path=path)

    given = per_clip("labels")
    labels, classes = [""] * n, _classes(recipe, arrays, path)
    if given is not None:
        labels, classes = _labels(given, classes, path=path)
    names = per_clip("names")
    titles = [name for name, _ in found] if names is None else [str(name) for name in names]
    subjects, cameras = whole("subjects"), whole("cameras")
    lengths = whole("lengths") if recipe.lengths else None
    if lengths and not all(0 < length <= len(found[i][1]) for i, length in enumerate(lengths)):
        raise DamagedError(path, "key 'lengths': expected numbers from 1 to the size of axis T")
    clips = (
        RawClip(
            values=array if lengths is None else array[: lengths[i]],
            name=titles[i],
            label=labels[i],
            subject=subjects[i],
            camera=cameras[i],
            is_padded="N" in recipe.axes and lengths is None,
        )
        for i, (_, array) in enumerate(found)
    )
    frame = _frame(arrays, recipe, layout, classes, path)
    if recipe.keypoints:
        return views_in(arrays, recipe, list(clips), frame, path=path), frame.in_camera
    return clips, frame


def _own_layout(arrays: ArrayFile, path: str) -> SkeletonLayout:
    """The layout that an .npz gives by joint names and parents: one that ships where it is."""
    if "joint_names" not in arrays or "parents" not in arrays:
        raise DamagedError(path, "key 'layout': expected the name of a layout, got none")
    joints = tuple(str(name) for name in arrays.array("joint_names", asked="layout").reshape(-1))
    for layout in LAYOUTS.values():
        if layout.joints == joints:
            return layout
    parents = numbers(arrays.array("parents", asked="layout"), asked="parents", path=path)
    try:
        return SkeletonLayout(stem(path), joints, tuple(parents), source=f"{stem(path)}.npz")
    except DataError as error:
        raise DamagedError(path, str(error)) from error


def _frame(
    arrays: ArrayFile, recipe: Recipe, layout: SkeletonLayout, classes: tuple[str, ...], path: str
) -> RawFrame:
    units = recipe.units or arrays.text("units") or "m"
    units = units.split()[0]  # "metre (3D); pixel (2D)"
    units = _UNITS.get(units.removesuffix("s"), units)
    if units not in SCALES:
        known = ", ".join(SCALES)
        raise DamagedError(path, f"key 'units': expected one of {known}, got {units!r}")
    fps = recipe.fps or _number(arrays.text("fps"))
    if not fps > 0:
        raise DamagedError(path, "key 'fps': expected frames per second, got none")
    return RawFrame(
        layout=layout,
        fps=fps,
        channels=_channels(recipe),
        scale=SCALES[units],
        up=recipe.up or arrays.text("up_axis") or "y",
        classes=classes,
    )


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _channels(recipe: Recipe) -> str:
    return recipe.channels or ("xy" if recipe.units == "px" else "xyz")


def _positions(
    arrays: ArrayFile, recipe: Recipe, layout: SkeletonLayout, path: str
) -> Sequence[tuple[str, NDArray[Any]]]:
    """Name and T M V C of each clip."""
    channels = len(_channels(recipe))
    title = recipe.dataset or stem(recipe.file)

    def ordered(key: str, axes: str) -> NDArray[Any]:
        array = arrays.array(key, asked="key")
        where = f"{arrays.path}: array {key!r}" if key else arrays.path
        return by_clip(array, axes, joints=layout.num_joints, channels=channels, path=where)

    if not recipe.offsets and recipe.axes and "N" not in recipe.axes:
        chosen = [recipe.key] if recipe.key else _of_rank(arrays, recipe)
        if arrays.keys == ("",):
            return [(title, ordered("", recipe.axes)[0])]
        return [(key, ordered(key, recipe.axes)[0]) for key in chosen]
    key = recipe.key or _only(_of_rank(arrays, recipe), arrays, path)
    if recipe.offsets:
        axes = recipe.axes or ("TVC" if arrays.array(key, asked="key").ndim == 3 else "TMVC")
        frames = ordered(key, axes)[0]
        offsets = arrays.array(recipe.offsets, asked="offsets")
        ends = numbers(offsets, asked="offsets", path=path)
        if not ends or ends[0] != 0 or ends[-1] != len(frames) or (np.diff(ends) < 1).any():
            reason = f"expected numbers that rise from 0 to {len(frames)}"
            raise DamagedError(path, f"key 'offsets': {reason}, got {ends[:3]} ... {ends[-1:]}")
        return [(f"{title}_{i:05d}", frames[a:b]) for i, (a, b) in enumerate(pairwise(ends))]
    if not recipe.axes:
        raise DamagedError(path, "key 'axes': expected a letter for each axis, e.g. NCTVM")
    return [(f"{title}_{i:05d}", clip) for i, clip in enumerate(ordered(key, recipe.axes))]


def _of_rank(arrays: ArrayFile, recipe: Recipe) -> list[str]:
    """The arrays that may hold positions: numbers with as many axes as the recipe names."""
    rank = len(re.sub(r"\(\w+\)", "G", recipe.axes)) if recipe.axes else 0
    found = []
    for key in arrays.keys:
        array = arrays.array(key, asked="key")
        if array.dtype.kind in "fiu" and (array.ndim == rank if rank else array.ndim >= 3):
            found.append(key)
    return found


def _only(keys: Sequence[str], arrays: ArrayFile, path: str) -> str:
    if len(keys) != 1:
        known = ", ".join(arrays.keys)
        raise DamagedError(path, f"key 'key': expected the name of one of the arrays {known}")
    return keys[0]


def by_clip(
    array: NDArray[Any], axes: str, *, joints: int, channels: int, path: str
) -> NDArray[Any]:
    """An array in the order N T M V C; a view where that is possible.

    Args:
        array: Numbers.
        axes: A letter per axis, e.g. ``NCTVM``; letters in parentheses share one axis, the last
            one running fastest, e.g. ``NT(MVC)``.
        joints: V.
        channels: C.
        path: The array, for messages.

    Raises:
        DamagedError: The sizes do not fit.
    """
    groups = re.findall(r"\((\w+)\)|(\w)", axes)
    names = [group or letter for group, letter in groups]
    shown = " x ".join(str(size) for size in array.shape)
    if array.dtype.kind not in "fiu" or array.ndim != len(names):
        reason = f"expected numbers with the {len(names)} axes {axes}, got {shown} {array.dtype}"
        raise DamagedError(path, reason)
    known = {"V": joints, "C": channels}
    shape: list[int] = []
    for name, size in zip(names, array.shape, strict=True):
        if len(name) == 1:
            shape.append(size)
            continue
        rest = size // int(np.prod([known.get(letter, 1) for letter in name]))
        shape.extend(known.get(letter, rest) for letter in name)
    letters = "".join(names)
    sizes = dict(zip(letters, shape, strict=True))
    if int(np.prod(shape)) != array.size or any(sizes[key] != known[key] for key in known):
        reason = f"expected {axes} with V = {joints} joints and C = {channels}, got {shown}"
        raise DamagedError(path, reason)
    full = array.reshape(shape)
    for letter in "NM":
        if letter not in letters:
            full, letters = full[None], letter + letters
    return full.transpose([letters.index(letter) for letter in "NTMVC"])


def _classes(recipe: Recipe, arrays: ArrayFile | None, path: str) -> tuple[str, ...]:
    if not isinstance(recipe.classes, str):
        return tuple(recipe.classes)
    if not recipe.classes:
        return ()
    if arrays is None:
        raise DamagedError(path, f"key 'classes': expected a list, got {recipe.classes!r}")
    return tuple(str(name) for name in arrays.array(recipe.classes, asked="classes").reshape(-1))


def _labels(
    given: NDArray[Any], classes: tuple[str, ...], *, path: str
) -> tuple[list[str], tuple[str, ...]]:
    """The class name of each clip, and all class names in order."""
    if given.ndim == 2:  # one-hot rows
        given = given.argmax(axis=1)
    texts = [str(int(v)) if given.dtype.kind == "f" and v == v // 1 else str(v) for v in given]
    if classes and all(re.fullmatch(r"-?\d*", text) for text in texts):
        chosen = [int(text or -1) for text in texts]
        if max(chosen, default=0) >= len(classes):
            reason = f"expected numbers below {len(classes)} (the classes), got {max(chosen)}"
            raise DamagedError(path, f"key 'labels': {reason}")
        return [classes[number] if number >= 0 else "" for number in chosen], classes
    texts = ["" if text in ("-1", "nan") else text for text in texts]
    unknown = sorted(set(texts) - {""} - set(classes)) if classes else []
    if unknown:
        raise DamagedError(path, f"key 'labels': {unknown[0]!r} is not one of the classes")
    return texts, classes or in_natural_order(text for text in texts if text)


class ArraysReader:
    """Reads a user's own arrays and tables."""

    name = "arrays"
    classes: tuple[str, ...] = ()
    subjects = (0, 999)
    layout = ""

    def claims(self, paths: Sequence[str]) -> list[str]:
        """The YAML files; where there is none, the .npz files."""
        recipes = [path for path in paths if path.lower().endswith((".yaml", ".yml"))]
        alone = [path for path in paths if not _PAIRED.fullmatch(path.rsplit("/", 1)[-1])]
        return recipes or [path for path in alone if path.lower().endswith(".npz")]

    def admits(self, paths: Sequence[str]) -> list[str]:
        """The same, and .npy and .csv files, which then lack their YAML."""
        lonely = [path for path in paths if path.lower().endswith((".npy", ".csv"))]
        return self.claims(paths) or lonely

    def skips(self, path: str) -> str:
        """No file is left out."""
        del path
        return ""

    def population(self, path: str, fetch: Fetch) -> str:
        """The ``dataset`` of the recipe, else the name of the data file without its suffix."""
        if not path.lower().endswith((".yaml", ".yml")):
            return stem(path)
        recipe = parse_recipe(fetch(path), path=path)
        return recipe.dataset or stem(recipe.file)

    def read(self, path: str, fetch: Fetch) -> Iterator[Clip | DamagedError]:
        """The clips of the file."""
        return parse_arrays(path, fetch)
