from __future__ import annotations

import json
from math import pi

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from skelaug.augment.configuration import PRESETS, AugmentationConfig
from skelaug.augment.drawing import draw
from skelaug.errors import UsageError
from skelaug.seeds import Stream, numpy_generator
from skelaug.skeleton.layout import SkeletonLayout
from skelaug.skeleton.layouts import LAYOUTS, get_layout

KINECT = get_layout("kinect_20")
SHARE = st.floats(0, 0.99)
CONFIGS = st.builds(
    AugmentationConfig,
    crop=SHARE,
    speed=SHARE,
    time_warp=st.floats(0, 2),
    time_warp_knots=st.integers(2, 9),
    bones=SHARE,
    mirror=st.floats(0, 1),
    view_degrees=st.integers(0, 180),
    view_scale=SHARE,
    scale=SHARE,
    scale_axes=SHARE,
    shear=st.floats(0, 0.5),
    rotation_x=st.floats(0, pi),
    rotation_y=st.floats(0, pi),
    rotation_z=st.floats(0, pi),
    translation=st.floats(0, 3),
    jitter=st.floats(0, 0.1),
    joint_mask=SHARE,
    frame_mask=SHARE,
)
ORDER = [
    *("crop", "speed", "time_warp", "bones", "mirror", "view", "scale", "shear", "rotation"),
    *("translation", "jitter", "joint_mask", "frame_mask"),
]


def drawn(config, *, seed=0, frames=40, layout=KINECT):
    return draw(config, layout=layout, frames=frames, generator=numpy_generator(seed))


def within(values, most, around=0.0):
    return np.all(np.abs(np.asarray(values) - around) <= most * (1 + 1e-12))


@given(CONFIGS, st.integers(0, 2**32))
@settings(max_examples=50)
def test_parameters_of_bodies_and_space_stay_in_bounds(config, seed):
    ops = {one["op"]: one for one in drawn(config, seed=seed)}
    assert list(ops) == [op for op in ORDER if op in ops]
    nothing = {
        "bones": {"factors": [1.0]},
        "view": {"degrees": [0], "scale": 1.0},
        "shear": {"matrix": np.eye(3)},
        "rotation": {"angles": [0.0, 0.0, 0.0]},
        "translation": {"shift": [0.0]},
        "scale": {"factors": [1.0]},
        "joint_mask": {"joints": []},
    }
    of = {**nothing, **ops}
    assert within(of["bones"]["factors"], config.bones, around=1)
    assert within(of["view"]["degrees"], config.view_degrees)
    assert all(isinstance(angle, int) for angle in of["view"]["degrees"])
    assert within(of["view"]["scale"], config.view_scale, around=1)
    assert within(of["shear"]["matrix"] - np.eye(3), config.shear)
    assert np.linalg.det(of["shear"]["matrix"]) > 0
    largest = np.array([config.rotation_x, config.rotation_y, config.rotation_z])
    assert (np.abs(of["rotation"]["angles"]) <= largest).all()
    assert within(of["translation"]["shift"], config.translation)
    assert min(of["scale"]["factors"]) >= (1 - config.scale) * (1 - config.scale_axes) - 1e-12
    assert max(of["scale"]["factors"]) <= (1 + config.scale) * (1 + config.scale_axes) + 1e-12
    assert KINECT.root not in of["joint_mask"]["joints"]
    assert len(set(of["joint_mask"]["joints"])) <= config.joint_mask * 20


@given(CONFIGS, st.integers(0, 2**32), st.integers(1, 50))
@settings(max_examples=50)
def test_parameters_of_time_stay_in_bounds(config, seed, frames):
    of = {one["op"]: one for one in drawn(config, seed=seed, frames=frames)}
    crop = of.get("crop", {"start": 0, "frames": frames})
    assert frames * (1 - config.crop) - 1e-9 <= crop["frames"] <= frames
    assert 0 <= crop["start"] <= frames - crop["frames"]
    length = of.get("speed", crop)["frames"]
    assert length >= 1
    assert within(length, crop["frames"] * config.speed + 0.5, around=crop["frames"])
    if "time_warp" in of:
        assert len(of["time_warp"]["log_tempo"]) == config.time_warp_knots
        assert within(of["time_warp"]["log_tempo"], config.time_warp)
    if "frame_mask" in of:
        assert 0 < len(set(of["frame_mask"]["frames"])) <= config.frame_mask * length < length
        assert set(of["frame_mask"]["frames"]) <= set(range(length))


@given(CONFIGS, st.integers(0, 2**32))
@settings(max_examples=30)
def test_draws_are_what_json_can_keep(config, seed):
    draws = drawn(config, seed=seed)
    assert json.loads(json.dumps(draws)) == draws


def test_nothing_is_drawn_where_nothing_is_on():
    assert drawn(AugmentationConfig()) == []
    alone = AugmentationConfig(time_warp_knots=9, jitter_smoothing=3)
    assert drawn(alone) == []


def test_draws_depend_on_the_address_of_the_generator_and_on_nothing_else():
    def at(*address):
        generator = numpy_generator(*address)
        return draw(PRESETS["classical"], layout=KINECT, frames=40, generator=generator)

    assert at(0, Stream.AUGMENT, 5) == at(0, Stream.AUGMENT, 5)
    assert at(0, Stream.AUGMENT, 5) != at(0, Stream.AUGMENT, 6)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_left_bones_have_the_factors_of_right_ones_and_others_their_own(layout):
    (one,) = drawn(AugmentationConfig(bones=0.2), layout=layout)
    factors = np.array(one["factors"])
    np.testing.assert_array_equal(factors, factors[list(layout.mirrored)])
    assert len(set(factors)) == layout.num_joints - len(layout.mirror)


def test_numbers_are_uniform():
    config = AugmentationConfig(rotation_y=0.5, bones=0.15, view_degrees=60, view_scale=0.5)
    draws = [{one["op"]: one for one in drawn(config, seed=seed)} for seed in range(2000)]
    for values, least, width in (
        ([one["rotation"]["angles"][1] for one in draws], -0.5, 1.0),
        ([one["bones"]["factors"][7] for one in draws], 0.85, 0.3),
        ([one["view"]["scale"] for one in draws], 0.5, 1.0),
    ):
        assert scipy.stats.kstest(values, "uniform", args=(least, width)).pvalue > 1e-3
    degrees = [angle for one in draws for angle in one["view"]["degrees"]]
    assert set(degrees) == set(range(-60, 61))


def test_a_mirror_happens_as_often_as_said():
    config = AugmentationConfig(mirror=0.3)
    count = sum(bool(drawn(config, seed=seed)) for seed in range(1000))
    assert abs(count - 300) < 5 * np.sqrt(1000 * 0.3 * 0.7)
    assert all(drawn(AugmentationConfig(mirror=1.0), seed=seed) for seed in range(20))


def test_a_layout_without_mirror_pairs_cannot_be_mirrored():
    chain = SkeletonLayout(name="chain", joints=("a", "b"), parents=(-1, 0))
    with pytest.raises(UsageError, match=r"mirror pairs .* got 'chain' without any; set mirror to"):
        drawn(AugmentationConfig(mirror=0.1), layout=chain)
    assert len(drawn(AugmentationConfig(bones=0.1), layout=chain)[0]["factors"]) == 2


def test_every_length_of_a_crop_is_reached_and_every_place():
    config = AugmentationConfig(crop=0.5)
    crops = [drawn(config, seed=seed, frames=4)[0] for seed in range(300)]
    places = {(one["start"], one["frames"]) for one in crops}
    assert places == {(0, 4), (0, 3), (1, 3), (0, 2), (1, 2), (2, 2)}


def test_a_clip_of_one_frame_keeps_it():
    config = AugmentationConfig(crop=0.9, speed=0.9, time_warp=1.0, frame_mask=0.9)
    for seed in range(20):
        of = {one["op"]: one for one in drawn(config, seed=seed, frames=1)}
        assert of["crop"] == {"op": "crop", "start": 0, "frames": 1}
        assert of["speed"]["frames"] >= 1
        assert len(of.get("frame_mask", {"frames": []})["frames"]) < of["speed"]["frames"]
