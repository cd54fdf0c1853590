from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skelaug.augment.configuration import PRESETS, AugmentationConfig
from skelaug.augment.drawing import draw
from skelaug.augment.operations import apply, augment
from skelaug.errors import DataError, UsageError
from skelaug.seeds import numpy_generator
from skelaug.skeleton.geometry import bone_lengths, heading_angle, resample
from skelaug.skeleton.layouts import get_layout

KINECT = get_layout("kinect_20")
ALL = AugmentationConfig(
    crop=0.4,
    speed=0.3,
    time_warp=0.4,
    bones=0.2,
    mirror=1.0,
    view_degrees=60,
    view_scale=0.5,
    scale=0.2,
    scale_axes=0.1,
    shear=0.3,
    rotation_x=0.3,
    rotation_y=3.0,
    rotation_z=0.3,
    translation=0.5,
    jitter=0.01,
    jitter_smoothing=2.0,
    joint_mask=0.3,
    frame_mask=0.3,
)
FLAT = ALL.model_copy(update={"view_degrees": 0, "rotation_x": 0.0, "rotation_y": 0.0})
SPATIAL = ("bones", "mirror", "view", "scale", "shear", "rotation", "translation")


def clip(*, frames=24, persons=2, channels=3, dtype=np.float64, seed=0):
    shape = (frames, persons, KINECT.num_joints, channels)
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def only(*ops, seed=0, frames=24):
    """The draws of those operations out of a draw of all."""
    draws = draw(ALL, layout=KINECT, frames=frames, generator=numpy_generator(seed))
    return [one for one in draws if one["op"] in ops]


def distances(positions):
    """Between all points of a frame, of all persons."""
    points = positions.reshape(len(positions), -1, positions.shape[-1])
    return np.linalg.norm(points[:, :, None] - points[:, None], axis=-1)


@settings(max_examples=25)
@given(
    st.integers(0, 2**32),
    st.integers(1, 30),
    st.integers(1, 2),
    st.sampled_from([2, 3]),
    st.sampled_from([np.float32, np.float64]),
)
def test_replay_gives_the_same_bits_and_the_input_stays(seed, frames, persons, channels, dtype):
    positions = clip(frames=frames, persons=persons, channels=channels, dtype=dtype)
    before = positions.copy()
    config = ALL if channels == 3 else FLAT
    varied, draws = augment(config, positions, KINECT, generator=numpy_generator(seed))
    replayed = apply(positions, KINECT, json.loads(json.dumps(draws)))
    assert varied.tobytes() == apply(positions, KINECT, draws).tobytes() == replayed.tobytes()
    np.testing.assert_array_equal(positions, before)
    assert not np.shares_memory(varied, positions)
    assert varied.dtype == dtype
    lengths = [one["frames"] for one in draws if one["op"] in ("crop", "speed")]
    assert varied.shape == (lengths[-1], *positions.shape[1:])
    assert np.isfinite(varied).all()


def test_at_zero_strength_a_clip_is_itself():
    positions = clip(dtype=np.float32)
    varied, draws = augment(AugmentationConfig(), positions, KINECT, generator=numpy_generator(0))
    assert draws == []
    np.testing.assert_array_equal(varied, positions)
    assert not np.shares_memory(varied, positions)
    nothing = [
        {"op": "crop", "start": 0, "frames": 24},
        {"op": "speed", "frames": 24},
        {"op": "time_warp", "log_tempo": [0.0] * 5},
        {"op": "bones", "factors": [1.0] * 20},
        {"op": "view", "degrees": [0, 0], "scale": 1.0},
        {"op": "scale", "factors": [1.0, 1.0, 1.0]},
        {"op": "shear", "matrix": np.eye(3).tolist()},
        {"op": "rotation", "angles": [0.0, 0.0, 0.0]},
        {"op": "translation", "shift": [0.0, 0.0, 0.0]},
        {"op": "jitter", "std": 0.0, "smoothing": 1.0, "seed": 0},
        {"op": "joint_mask", "joints": []},
        {"op": "frame_mask", "frames": []},
    ]
    np.testing.assert_array_equal(apply(positions, KINECT, nothing), positions)


@pytest.mark.parametrize("seed", range(5))
def test_a_rotation_keeps_all_distances_and_so_does_a_translation(seed):
    moved = apply(clip(), KINECT, only("rotation", "translation", seed=seed))
    np.testing.assert_allclose(distances(moved), distances(clip()), atol=1e-12)
    turned = apply(clip(), KINECT, only("rotation", seed=seed))
    assert np.linalg.norm(turned, axis=-1) == pytest.approx(np.linalg.norm(clip(), axis=-1))
    shifted = apply(clip(), KINECT, only("translation", seed=seed)) - clip()
    np.testing.assert_allclose(shifted, shifted[0, 0, 0] + np.zeros_like(shifted), atol=1e-12)
    assert np.abs(shifted).max() > 0


def test_scale_multiplies_each_axis_by_its_factor_and_shear_keeps_the_diagonal():
    (one,) = only("scale")
    np.testing.assert_allclose(apply(clip(), KINECT, [one]), clip() * one["factors"])
    (one,) = only("shear")
    (_, a, b), (c, _, d), (e, f, _) = one["matrix"]
    x, y, z = np.moveaxis(clip(), -1, 0)
    expected = np.stack([x + a * y + b * z, c * x + y + d * z, e * x + f * y + z], axis=-1)
    np.testing.assert_allclose(apply(clip(), KINECT, [one]), expected, atol=1e-12)


def test_a_mirror_exchanges_hands_and_leaves_a_body(make_sequence):
    """Where the right hand was, the left one is on the other side, on a body with equal bones."""
    positions = make_sequence(frames=12).positions.astype(np.float64)
    right, left = KINECT.index("right_hand"), KINECT.index("left_hand")
    positions[:, :, right, 1] += np.sin(np.arange(12.0))[:, None]
    mirror = [{"op": "mirror"}]
    image = apply(positions, KINECT, mirror)
    np.testing.assert_array_equal(image[:, :, left], positions[:, :, right] * [-1, 1, 1])
    np.testing.assert_array_equal(apply(image, KINECT, mirror), positions)
    np.testing.assert_array_equal(apply(positions, KINECT, mirror * 2), positions)
    assert heading_angle(image[:, 0], KINECT) == pytest.approx(
        -heading_angle(positions[:, 0], KINECT), abs=1e-9
    )
    of_image, of_clip = (
        dict(zip(KINECT.bones, bone_lengths(one, KINECT).T, strict=True))
        for one in (image, positions)
    )
    for child, parent in KINECT.bones:
        twin = KINECT.mirrored[child], KINECT.mirrored[parent]
        np.testing.assert_allclose(of_image[child, parent], of_clip[twin], atol=1e-12)


def test_bones_get_their_factors_and_the_root_keeps_its_path():
    (one,) = only("bones")
    scaled = apply(clip(), KINECT, [one])
    factors = np.array(one["factors"])[[child for child, _ in KINECT.bones]]
    ratio = bone_lengths(scaled, KINECT) / bone_lengths(clip(), KINECT)
    np.testing.assert_allclose(ratio, np.broadcast_to(factors, ratio.shape), rtol=1e-12)
    np.testing.assert_array_equal(scaled[:, :, KINECT.root], clip()[:, :, KINECT.root])


def bone_stream(positions):
    parents = [joint if parent < 0 else parent for joint, parent in enumerate(KINECT.parents)]
    return positions - positions[:, :, parents]


@pytest.mark.parametrize("ops", [("scale",), ("shear",), ("rotation",), ("view",), ("mirror",)])
def test_bones_of_an_augmented_clip_are_augmented_bones(ops):
    draws = only(*ops)
    of_clip = bone_stream(apply(clip(), KINECT, draws))
    np.testing.assert_allclose(of_clip, apply(bone_stream(clip()), KINECT, draws), atol=1e-12)


@pytest.mark.parametrize("op", SPATIAL)
def test_motion_of_an_augmented_clip_is_augmented_motion(op):
    draws = [{**one, "shift": [0, 0, 0]} if op == "translation" else one for one in only(op)]
    motion = np.diff(apply(clip(), KINECT, only(op)), axis=0)
    np.testing.assert_allclose(motion, apply(np.diff(clip(), axis=0), KINECT, draws), atol=1e-12)


@settings(max_examples=25)
@given(st.integers(0, 2**32))
def test_all_persons_are_treated_alike_in_whatever_order(seed):
    positions = clip()
    _, draws = augment(ALL, positions, KINECT, generator=numpy_generator(seed))
    varied = apply(positions, KINECT, draws)
    exchanged = apply(positions[:, ::-1], KINECT, draws)
    np.testing.assert_allclose(varied[:, ::-1], exchanged, atol=1e-12)
    alone = apply(positions[:, :1], KINECT, draws)
    np.testing.assert_allclose(varied[:, :1], alone, atol=1e-12)


@settings(max_examples=25)
@given(st.integers(0, 2**32))
def test_an_absent_person_stays_absent(seed):
    positions = clip(dtype=np.float32)
    positions[:, 1] = 0
    varied, _ = augment(ALL, positions, KINECT, generator=numpy_generator(seed))
    assert (varied[:, 1] == 0).all()
    assert varied[:, 0].any()


@settings(max_examples=25)
@given(st.integers(0, 2**32))
def test_a_list_of_draws_is_one_after_the_other(seed):
    draws = only("crop", "speed", *SPATIAL, "jitter", "joint_mask", "frame_mask", seed=seed)
    stepwise = clip()
    for one in draws:
        stepwise = apply(stepwise, KINECT, [one])
    np.testing.assert_allclose(apply(clip(), KINECT, draws), stepwise, atol=1e-10)


def test_crop_and_speed_are_slices_and_resampling():
    crop, speed = only("crop", "speed")
    part = clip()[crop["start"] : crop["start"] + crop["frames"]]
    np.testing.assert_array_equal(apply(clip(), KINECT, [crop]), part)
    expected = resample(part, speed["frames"])
    np.testing.assert_allclose(apply(clip(), KINECT, [crop, speed]), expected, atol=1e-12)


def test_a_warped_clip_keeps_its_ends_and_its_path():
    straight = np.arange(24.0)[:, None, None, None] + np.zeros((1, 1, 20, 3))
    warped = apply(straight, KINECT, only("time_warp"))
    assert (np.diff(warped[:, 0, 0, 0]) > 0).all()
    np.testing.assert_array_equal(warped[[0, -1]], straight[[0, -1]])
    assert np.abs(warped - straight).max() > 0.3


def test_jitter_has_the_drawn_size_and_the_same_noise_for_a_copied_person():
    noise = apply(clip(frames=400), KINECT, only("jitter", frames=400)) - clip(frames=400)
    assert noise.std() == pytest.approx(0.01, rel=0.05)
    np.testing.assert_allclose(noise[:, 0], noise[:, 1], atol=1e-12)
    white = [{"op": "jitter", "std": 0.01, "smoothing": 0.0, "seed": 7}]
    rough = apply(clip(frames=400), KINECT, white) - clip(frames=400)
    assert np.diff(noise, axis=0).std() < 0.5 * np.diff(rough, axis=0).std()


def test_a_lost_joint_lies_on_its_parent_and_the_others_stay():
    hand, wrist = KINECT.index("left_hand"), KINECT.index("left_wrist")
    elbow, spine = KINECT.index("left_elbow"), KINECT.index("spine")
    varied = apply(clip(), KINECT, [{"op": "joint_mask", "joints": [hand, wrist, spine]}])
    np.testing.assert_array_equal(varied[:, :, hand], clip()[:, :, elbow])
    np.testing.assert_array_equal(varied[:, :, wrist], clip()[:, :, elbow])
    np.testing.assert_array_equal(varied[:, :, spine], clip()[:, :, KINECT.root])
    kept = [joint for joint in range(20) if joint not in (hand, wrist, spine)]
    np.testing.assert_array_equal(varied[:, :, kept], clip()[:, :, kept])


def test_lost_frames_are_interpolated_and_held_at_the_ends():
    varied = apply(clip(frames=8), KINECT, [{"op": "frame_mask", "frames": [0, 3, 4, 7]}])
    kept = np.array([1, 2, 5, 6])
    by_joint = clip(frames=8).reshape(8, -1)
    expected = np.stack([np.interp(np.arange(8), kept, one[kept]) for one in by_joint.T], axis=1)
    np.testing.assert_allclose(varied.reshape(8, -1), expected, atol=1e-12)
    np.testing.assert_array_equal(varied[kept], clip(frames=8)[kept])


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_but_none_varies_a_clip(name, make_sequence):
    positions = make_sequence(frames=60).positions
    varied, draws = augment(PRESETS[name], positions, KINECT, generator=numpy_generator(0))
    assert varied.dtype == np.float32
    assert np.isfinite(varied).all()
    assert bool(draws) == (name != "none")


def test_flat_clips_are_varied_in_their_plane():
    flat, solid = clip(channels=2), clip()
    solid[..., :2], solid[..., 2] = flat, 0
    draws = draw(FLAT, layout=KINECT, frames=24, generator=numpy_generator(0))
    draws = [one for one in draws if one["op"] != "jitter"]
    got, expected = apply(flat, KINECT, draws), apply(solid, KINECT, draws)
    np.testing.assert_allclose(got, expected[..., :2], atol=1e-12)
    with pytest.raises(UsageError, match="expected 3 coordinates"):
        augment(PRESETS["light"], flat, KINECT, generator=numpy_generator(0))


@pytest.mark.parametrize(
    ("one", "message"),
    [
        ({"op": "rotate"}, "got 'rotate'; did you mean 'rotation'"),
        ({"op": "crop", "start": 20, "frames": 9}, "at least 29 frames, got 24; replay it on"),
        ({"op": "bones", "factors": [1.0] * 25}, "a clip of 25 joints, got 20"),
        ({"op": "joint_mask", "joints": [20]}, r"joints \[20\], got 20"),
        ({"op": "frame_mask", "frames": [24]}, r"frames \[24\], got 24"),
        ({"op": "frame_mask", "frames": list(range(24))}, "got 24"),
    ],
)
def test_a_draw_of_another_clip_is_refused(one, message):
    with pytest.raises(DataError, match=message):
        apply(clip(), KINECT, [one])


def test_broken_positions_are_refused():
    with pytest.raises(ValueError, match="T M V C with V = 20"):
        apply(np.zeros((3, 1, 25, 3)), KINECT, [])
    with pytest.raises(ValueError, match="T >= 1"):
        apply(np.zeros((0, 1, 20, 3)), KINECT, [])
    with pytest.raises(ValueError, match="no gaps, got NaN"):
        apply(np.full((3, 1, 20, 3), np.nan), KINECT, [])
