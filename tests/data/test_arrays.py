"""A user's own arrays: every form gives the same clips, and mistakes name file and key."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from skelaug.data.arrays import ArraysReader, by_clip, parse_arrays
from skelaug.data.reading import Clip, DamagedError, Fetch

N, T, V, M = 4, 9, 20, 2
LENGTHS = [9, 5, 7, 1]
LABELS = [1, 0, 1, 2]
CLASSES = ["wave", "kick", "sit"]
RNG = np.random.default_rng(5)


def clips() -> list[NDArray[np.float64]]:
    """T M V 3 in metres, of different lengths."""
    return [RNG_CLIP.uniform(1, 3, (length, M, V, 3)) for length in LENGTHS]


RNG_CLIP = np.random.default_rng(7)
CLIPS = clips()


def padded(axes: str = "NTMVC", *, scale: float = 1.0) -> NDArray[np.float64]:
    whole = np.zeros((N, T, M, V, 3))
    for i, clip in enumerate(CLIPS):
        whole[i, : len(clip)] = clip * scale
    return whole.transpose(["NTMVC".index(letter) for letter in axes])


def npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def fetch_from(files: dict[str, bytes]) -> Fetch:
    def fetch(name: str) -> bytes:
        if name not in files:
            raise DamagedError(name, "no such file")
        return files[name]

    return fetch


def parsed(recipe: dict[str, Any], **files: bytes) -> list[Clip]:
    named = {name.replace("__", "."): content for name, content in files.items()}
    named["r.yaml"] = yaml.safe_dump(recipe).encode()
    found = list(parse_arrays("r.yaml", fetch_from(named)))
    errors = [item for item in found if isinstance(item, DamagedError)]
    if errors:
        raise errors[0]
    return [item for item in found if isinstance(item, Clip)]


BASE = {"file": "a.npz", "layout": "kinect_20", "fps": 25, "axes": "NTMVC"}


def assert_are_the_clips(found: list[Clip]) -> None:
    assert len(found) == N
    for clip, wanted in zip(found, CLIPS, strict=True):
        np.testing.assert_allclose(clip.sequence.positions, wanted, rtol=1e-6)
        assert clip.sequence.observed.all()
        assert clip.problems == ()


@pytest.mark.parametrize("axes", ["NCTVM", "NTMVC", "MNVCT", "nctvm", "N C T V M"])
def test_any_order_of_axes_gives_the_clips_without_their_padding(axes: str) -> None:
    array = padded(axes.upper().replace(" ", ""))
    assert_are_the_clips(parsed({**BASE, "axes": axes}, a__npz=npz(data=array)))


def test_joined_axes_are_taken_apart() -> None:
    flat = padded().reshape(N, T, M * V * 3)
    assert_are_the_clips(parsed({**BASE, "axes": "NT(MVC)"}, a__npz=npz(x_train=flat)))


def test_an_array_alone_needs_no_key() -> None:
    assert_are_the_clips(parsed({**BASE, "file": "a.npy"}, a__npy=npy(padded())))


def test_ragged_clips_go_by_offsets() -> None:
    arrays = {"poses": np.concatenate(CLIPS), "ends": np.cumsum([0, *LENGTHS])}
    recipe = {"file": "a.npz", "layout": "kinect_20", "fps": 25, "key": "poses", "offsets": "ends"}
    assert_are_the_clips(parsed(recipe, a__npz=npz(**arrays)))


def test_one_array_per_clip_is_named_by_its_key() -> None:
    recipe = {**BASE, "axes": "TMVC", "labels": ["b", "a", "b", "c"]}
    found = parsed(recipe, a__npz=npz(**{f"take {i}": clip for i, clip in enumerate(CLIPS)}))
    assert_are_the_clips(found)
    assert [clip.sequence.name for clip in found] == [f"take {i}" for i in range(N)]
    assert [clip.sequence.label for clip in found] == ["b", "a", "b", "c"]


def test_one_person_needs_no_axis() -> None:
    found = parsed({**BASE, "axes": "NTVC"}, a__npz=npz(data=padded()[:, :, 0]))
    assert [clip.sequence.positions.shape for clip in found] == [(n, 1, V, 3) for n in LENGTHS]


def test_lengths_keep_empty_frames_at_the_end() -> None:
    array = padded()
    array[0, 6:] = 0
    recipe = {**BASE, "lengths": "n"}
    found = parsed(recipe, a__npz=npz(data=array, n=np.array(LENGTHS)))
    assert found[0].sequence.num_frames == 9
    assert found[0].problems[0].reason == "3 frames without anybody, the first is 6"


@pytest.mark.parametrize(("units", "scale"), [("mm", 1000), ("cm", 100), ("m", 1)])
def test_units_become_metres(units: str, scale: float) -> None:
    assert_are_the_clips(parsed({**BASE, "units": units}, a__npz=npz(d=padded(scale=scale))))


UP = {"y": (0, 1, 0), "-y": (0, -1, 0), "z": (0, 0, 1), "-z": (0, 0, -1), "x": (1, 0, 0)}


@pytest.mark.parametrize("up", [*UP, "-x"])
def test_the_axis_that_points_up_becomes_y_by_a_rotation(up: str) -> None:
    axis = np.array(UP.get(up, (-1, 0, 0)), dtype=float)
    array = padded()
    array[0, 0, 0, :3] = np.eye(3)
    array[0, 0, 0, 3] = axis
    (first, *_) = parsed({**BASE, "up": up}, a__npz=npz(d=array))
    turned = first.sequence.positions[0, 0, :4]
    np.testing.assert_allclose(turned[3], [0, 1, 0], atol=1e-7)
    assert np.linalg.det(turned[:3]) == pytest.approx(1)
    np.testing.assert_allclose(turned[:3] @ turned[:3].T, np.eye(3), atol=1e-7)


def test_two_coordinates_are_enough() -> None:
    recipe = {**BASE, "layout": "coco_17", "units": "px", "up": "-y", "axes": "NTVC"}
    array = RNG.uniform(10, 600, (2, 5, 17, 2))
    array[0, 2, 3] = 0
    found = parsed(recipe, a__npz=npz(d=array))
    assert found[1].sequence.positions.shape == (5, 1, 17, 2)
    np.testing.assert_allclose(found[1].sequence.positions[:, 0], array[1] * [1, -1], rtol=1e-6)
    assert np.argwhere(~found[0].sequence.observed).tolist() == [[2, 0, 3]]


def test_a_third_channel_may_be_the_confidence() -> None:
    recipe = {**BASE, "layout": "coco_17", "channels": "xyc", "axes": "NTVC"}
    array = RNG.uniform(0.1, 1, (1, 5, 17, 3))
    array[0, 1, 1, 2] = 0
    (clip,) = parsed(recipe, a__npz=npz(d=array))
    assert clip.sequence.confidence is not None
    np.testing.assert_allclose(clip.sequence.confidence[:, 0], array[0, ..., 2], rtol=1e-6)
    assert not clip.sequence.observed[1, 0, 1]


LABELLED: dict[str, Callable[[], tuple[dict[str, Any], dict[str, bytes]]]] = {
    "numbers and names": lambda: (
        {"labels": "y", "classes": "names"},
        {"a__npz": npz(d=padded(), y=np.array(LABELS), names=np.array(CLASSES))},
    ),
    "numbers and a list": lambda: (
        {"labels": "y", "classes": CLASSES},
        {"a__npz": npz(d=padded(), y=np.array(LABELS, dtype=np.float32))},
    ),
    "one-hot rows": lambda: (
        {"labels": "y", "classes": CLASSES},
        {"a__npz": npz(d=padded(), y=np.eye(3)[LABELS])},
    ),
    "names": lambda: (
        {"labels": "y", "classes": CLASSES},
        {"a__npz": npz(d=padded(), y=np.array([CLASSES[i] for i in LABELS]))},
    ),
    "a text file": lambda: (
        {"labels": "y.txt", "classes": CLASSES},
        {"a__npz": npz(d=padded()), "y__txt": "\n".join(CLASSES[i] for i in LABELS).encode()},
    ),
    "another array file": lambda: (
        {"labels": "y.npy", "classes": CLASSES},
        {"a__npz": npz(d=padded()), "y__npy": npy(np.array(LABELS))},
    ),
    "a list": lambda: ({"labels": LABELS, "classes": CLASSES}, {"a__npz": npz(d=padded())}),
}


@pytest.mark.parametrize("form", LABELLED)
def test_labels_come_in_any_form(form: str) -> None:
    keys, files = LABELLED[form]()
    found = parsed({**BASE, **keys}, **files)
    assert [clip.sequence.label for clip in found] == [CLASSES[i] for i in LABELS]
    assert found[0].classes == tuple(CLASSES)


def test_numbers_without_names_keep_their_order() -> None:
    labels = np.array([10, 2, -1, 0])
    found = parsed({**BASE, "labels": "y"}, a__npz=npz(d=padded(), y=labels))
    assert [clip.sequence.label for clip in found] == ["10", "2", "", "0"]
    assert found[0].classes == ("0", "2", "10")


def test_subjects_cameras_and_names_are_taken() -> None:
    recipe = {**BASE, "subjects": "s", "cameras": [1, 1, 2, 2], "names": list("wxyz")}
    found = parsed(recipe, a__npz=npz(d=padded(), s=np.array([3, 3, 4, 5])))
    assert [clip.sequence.subject for clip in found] == [3, 3, 4, 5]
    assert [clip.sequence.camera for clip in found] == [1, 1, 2, 2]
    assert [clip.sequence.name for clip in found] == ["w", "x", "y", "z"]


def test_clips_are_named_after_the_data_set() -> None:
    found = parsed({**BASE, "dataset": "mine"}, a__npz=npz(d=padded()))
    assert [clip.sequence.name for clip in found] == [f"mine_{i:05d}" for i in range(N)]


def test_a_name_that_comes_twice_loses_the_later_clip() -> None:
    files = {"r.yaml": yaml.safe_dump({**BASE, "names": ["a", "b", "a", "c"]}).encode()}
    found = list(parse_arrays("r.yaml", fetch_from({**files, "a.npz": npz(d=padded())})))
    assert [isinstance(item, DamagedError) for item in found] == [False, False, True, False]


def test_an_absent_person_is_no_problem_and_an_empty_slot_goes() -> None:
    array = padded()
    array[0, 3:, 1] = 0
    array[1, :, 0] = np.nan
    found = parsed(BASE, a__npz=npz(d=array))
    assert found[0].problems == ()
    assert found[0].sequence.observed[:, 1].any(axis=1).tolist() == [True] * 3 + [False] * 6
    assert found[1].sequence.num_persons == 1


def test_a_second_person_that_copies_the_first_goes() -> None:
    array = padded()
    array[:, :, 1] = array[:, :, 0]
    found = parsed(BASE, a__npz=npz(d=array))
    assert {clip.sequence.num_persons for clip in found} == {1}
    assert "a copy" in found[0].decisions[0]


def test_single_joints_at_zero_are_gaps() -> None:
    array = padded()
    array[0, 2, 0, 5] = 0
    array[0, 3, 1, 6, 1] = np.nan
    (first, *_) = parsed(BASE, a__npz=npz(d=array))
    assert np.argwhere(~first.sequence.observed).tolist() == [[2, 0, 5], [3, 1, 6]]
    assert first.problems[0].reason == "2 joints were not measured, the first in frame 2"


def test_the_root_of_centred_data_is_no_gap() -> None:
    array = RNG.uniform(-0.9, 0.9, (2, T, V, 3))
    array[:, :, 0] = 0
    found = parsed({**BASE, "axes": "NTVC"}, a__npz=npz(d=array))
    assert all(clip.sequence.observed.all() for clip in found)


def test_a_clip_without_anybody_is_refused_alone() -> None:
    array = padded()
    array[2] = 0
    files = {"r.yaml": yaml.safe_dump(BASE).encode(), "a.npz": npz(d=array)}
    found = list(parse_arrays("r.yaml", fetch_from(files)))
    assert [isinstance(item, DamagedError) for item in found] == [False, False, True, False]


def test_a_layout_of_ones_own_lies_beside() -> None:
    own = {"name": "mine_2", "joints": ["hip", "head"], "parents": [None, "hip"]}
    array = RNG.uniform(1, 2, (1, 4, 2, 3))
    files = {"a__npz": npz(d=array), "own__yaml": yaml.safe_dump(own).encode()}
    for layout in ("own.yaml", own):
        (clip,) = parsed({**BASE, "axes": "NTVC", "layout": layout}, **files)
        assert clip.sequence.layout.joints == ("hip", "head")
        assert clip.sequence.layout.parents == (-1, 0)


def self_describing(**changes: Any) -> bytes:
    from skelaug.skeleton.layouts import get_layout

    layout = get_layout("kinect_20")
    arrays: dict[str, Any] = {
        "joints": np.concatenate(CLIPS).astype(np.float32),
        "offsets": np.cumsum([0, *LENGTHS]),
        "label": np.array(LABELS),
        "class_names": np.array(CLASSES),
        "subject": np.array([1, 2, 1, 2]),
        "name": np.array(["a/1", "a/2", "b/1", "b/2"]),
        "joint_names": np.array(layout.joints),
        "parents": np.array(layout.parents),
        "fps": np.float32(30),
        "units": np.array("metre"),
    }
    return npz(**{k: v for k, v in {**arrays, **changes}.items() if v is not None})


def test_an_npz_that_describes_itself_needs_no_recipe() -> None:
    found = list(parse_arrays("x/s.npz", fetch_from({"x/s.npz": self_describing()})))
    whole = [item for item in found if isinstance(item, Clip)]
    assert_are_the_clips(whole)
    first = whole[0].sequence
    assert (first.layout.name, first.fps, first.name, first.label) == (
        "kinect_20",
        30,
        "a/1",
        "kick",
    )
    assert [clip.sequence.subject for clip in whole] == [1, 2, 1, 2]


def test_a_recipe_beside_it_adds_what_it_does_not_say() -> None:
    recipe = {"file": "s.npz", "key": "joints", "offsets": "offsets", "up": "z", "fps": 15}
    found = parsed(recipe, s__npz=self_describing())
    np.testing.assert_allclose(
        found[0].sequence.positions, CLIPS[0][..., [0, 2, 1]] * [1, 1, -1], rtol=1e-6
    )
    assert found[0].sequence.fps == 15


# key -> what is wrong, and what the message must say
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "unknown key": ({"fsp": 30}, "key 'fsp'"),
    "fps": ({"fps": 0}, "key 'fps'"),
    "no fps": ({"fps": None}, "key 'fps': expected frames per second, got none"),
    "axes twice": ({"axes": "NTVVC"}, "key 'axes'"),
    "axes too few": ({"axes": "NTVC"}, "4 axes NTVC, got 4 x 9 x 2 x 20 x 3"),
    "axes of other letters": ({"axes": "NTMVX"}, "key 'axes'"),
    "no axes": ({"axes": ""}, "key 'axes': expected a letter for each axis"),
    "joints": ({"layout": "ntu_25"}, "V = 25 joints and C = 3, got 4 x 9 x 2 x 20 x 3"),
    "channels": ({"channels": "xyzc"}, "C = 4"),
    "layout": ({"layout": "kinect"}, "did you mean 'kinect_20'"),
    "layout file": ({"layout": "own.yaml"}, r"own\.yaml: no such file"),
    "no layout": ({"layout": ""}, "key 'layout'"),
    "layout that is none": ({"layout": {"name": "x"}}, "key 'layout'"),
    "units": ({"units": "inch"}, "key 'units'"),
    "up": ({"up": "w"}, "key 'up'"),
    "key": ({"key": "dta"}, "no array 'dta'; did you mean 'data'"),
    "labels": ({"labels": "z"}, "key 'labels': no array 'z'"),
    "labels too few": ({"labels": [0, 1]}, "key 'labels': expected 4 values, got 2"),
    "labels too large": ({"labels": [0, 1, 2, 3], "classes": CLASSES}, "numbers below 3"),
    "labels unknown": ({"labels": ["a"] * 4, "classes": CLASSES}, "'a' is not one of the classes"),
    "labels file": ({"labels": "y.txt"}, r"y\.txt: no such file"),
    "pickle": ({"labels": "y.pkl"}, "pickles are never loaded"),
    "subjects": ({"subjects": "words"}, "key 'subjects': expected whole numbers"),
    "lengths": ({"lengths": "long"}, "key 'lengths': expected numbers from 1"),
    "offsets": ({"offsets": "long", "axes": "", "key": "flat"}, "key 'offsets'"),
    "file": ({"file": "b.npz"}, r"b\.npz: no such file"),
    "which array": ({"axes": "", "key": ""}, "key 'key': expected the name of one of the arrays"),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_a_mistake_names_file_key_and_what_was_expected(mistake: str) -> None:
    change, message = WRONG[mistake]
    recipe = {**BASE, "key": "data", **change}
    arrays = {
        "data": padded(),
        "flat": np.concatenate(CLIPS),
        "words": np.array(list("abcd")),
        "long": np.array([9, 99, 9, 9]),
    }
    with pytest.raises(DamagedError, match=message):
        parsed({k: v for k, v in recipe.items() if v is not None}, a__npz=npz(**arrays))


@pytest.mark.parametrize(
    "text", [b"", b"[1, 2]", b"file: [", b"\xff\xfe\x00", b"just words", b"file: a.npz\n\tx: 1"]
)
def test_a_recipe_that_is_no_yaml_of_keys_is_refused(text: bytes) -> None:
    with pytest.raises(DamagedError, match=r"^r\.yaml"):
        list(parse_arrays("r.yaml", fetch_from({"r.yaml": text})))


def test_pickles_inside_arrays_are_never_loaded() -> None:
    objects = np.array([np.zeros((3, 20, 3)), np.zeros((4, 20, 3))], dtype=object)
    for files in ({"a__npz": npz(data=objects)}, {"a__npy": npy(objects)}):
        name = next(iter(files)).replace("__", ".")
        with pytest.raises(DamagedError, match="pickles and are never loaded"):
            parsed({**BASE, "file": name, "key": "data" if name == "a.npz" else ""}, **files)


@pytest.mark.parametrize("data", [b"", b"junk", npz(d=padded())[:900], b"\x93NUMPY\x01\x00"])
def test_a_broken_array_file_is_refused(data: bytes) -> None:
    with pytest.raises(DamagedError, match=r"a\.npz"):
        parsed({**BASE, "key": "d"}, a__npz=data)


def test_arrays_without_a_recipe_are_refused_with_a_hint() -> None:
    with pytest.raises(DamagedError, match="a YAML that says what its arrays"):
        list(parse_arrays("a.npz", fetch_from({"a.npz": npz(d=padded())})))
    with pytest.raises(DamagedError, match="a YAML that describes it"):
        list(parse_arrays("a.npy", fetch_from({"a.npy": npy(padded())})))


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_no_damage_is_anything_but_an_error_or_clips(draw: st.DataObject) -> None:
    good = self_describing()
    start = draw.draw(st.integers(0, len(good)))
    junk = draw.draw(st.binary(max_size=12))
    cut = draw.draw(st.integers(0, 60))
    try:
        list(
            parse_arrays("s.npz", fetch_from({"s.npz": good[:start] + junk + good[start + cut :]}))
        )
    except DamagedError:
        return


def test_subjects_of_one_data_set_are_one_population() -> None:
    fetch = fetch_from({"a.yaml": b"file: x.npz\ndataset: mine", "b.yaml": b"file: y.npz"})
    reader = ArraysReader()
    assert reader.population("a.yaml", fetch) == "mine"
    assert reader.population("b.yaml", fetch) == "y"
    assert reader.population("c/z.npz", fetch) == "z"


@pytest.mark.parametrize("axes", ["NCTVM", "VMTCN", "NT(MVC)", "(MV)CT", "T(VC)", "CTV"])
def test_axes_are_undone_by_what_made_them(axes: str) -> None:
    sizes = {"N": 3, "C": 3, "T": 4, "V": 5, "M": 2}
    letters = axes.replace("(", "").replace(")", "")
    full = RNG.uniform(size=[sizes[letter] for letter in letters])
    groups = [g if len(g) == 1 else g[1:-1] for g in _groups(axes)]
    packed = full.reshape([int(np.prod([sizes[letter] for letter in g])) for g in groups])
    found = by_clip(packed, axes, joints=5, channels=3, path="a")
    wanted = np.einsum(
        full, [ord(x) - 64 for x in letters], [ord(x) - 64 for x in "NTMVC" if x in letters]
    )
    np.testing.assert_array_equal(found.reshape(wanted.shape), wanted)


def _groups(axes: str) -> list[str]:
    groups, open_group = [], ""
    for letter in axes:
        open_group += letter
        if "(" not in open_group or letter == ")":
            groups.append(open_group)
            open_group = ""
    return groups


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "count", "layout"),
    [("cmu_mocap8", 96, "cmu_mocap8"), ("sbu_kinect_interaction", 282, "sbu_15")],
)
def test_shared_arrays_describe_themselves(
    shared_data: Path, name: str, count: int, layout: str
) -> None:
    path = shared_data / name / f"{name}.npz"
    found = list(parse_arrays(path.name, lambda file: (path.parent / file).read_bytes()))
    sequences = [item.sequence for item in found if isinstance(item, Clip)]
    assert len(sequences) == len(found) == count
    assert sequences[0].layout.name == layout
    assert all(sequence.observed.any() for sequence in sequences)
