import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skelaug.data.ntu import parse_ntu
from skelaug.errors import DataError, UsageError
from skelaug.image.codec import ImageCodec, ImageRecord, fitted_codec
from skelaug.skeleton.geometry import bone_lengths, heading_angle, rotate_about_y
from skelaug.skeleton.layout import SkeletonLayout
from skelaug.skeleton.layouts import LAYOUTS
from skelaug.skeleton.sequence import SkeletonSequence, Source

KINECT = LAYOUTS["kinect_20"]
EVERY = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)


def clip(layout=KINECT, *, frames=24, persons=1, seed=0, spread=1.0):
    """Joints anywhere within some metres: nothing that the codec may rely on."""
    rng = np.random.default_rng(seed)
    shape = (frames, persons, layout.num_joints, 3)
    positions = rng.normal(scale=spread, size=shape) + rng.uniform(-4, 4, size=3)
    observed = np.ones(shape[:3], np.bool_)
    return SkeletonSequence(positions.astype(np.float32), observed, layout, 30.0, f"clip {seed}")


def without(sequence, observed):
    """The clip with only these joints measured."""
    positions = np.where(observed[..., None], sequence.positions, np.float32(np.nan))
    return sequence.replaced(positions=positions, observed=observed)


def fitted(*sequences, **options):
    return fitted_codec(sequences, ImageCodec(sequences[0].layout, **options))


@EVERY
@pytest.mark.parametrize("persons", [1, 2])
def test_positions_come_back_within_a_hundredth_of_a_millimetre(layout, persons):
    sequence = clip(layout, persons=persons)
    codec = fitted(sequence, persons=persons)
    image = codec.encode(sequence)
    assert image.pixels.dtype == np.float32
    assert image.pixels.shape == codec.shape == (3, persons * codec.rows, 24)
    back = codec.decode(image.pixels, image.record)
    np.testing.assert_allclose(back.positions, sequence.positions, atol=1e-5, rtol=0)
    assert back.observed.all()


@given(st.data())
def test_measured_joints_come_back_and_others_are_nan(data):
    name = data.draw(st.sampled_from(sorted(LAYOUTS)))
    layout = LAYOUTS[name]
    frames = data.draw(st.integers(2, 40))
    persons = data.draw(st.integers(1, 2))
    sequence = clip(layout, frames=frames, persons=persons, seed=data.draw(st.integers(0, 99)))
    seen = np.array(
        data.draw(st.lists(st.booleans(), min_size=persons * len(layout.joints))), np.bool_
    )[: persons * layout.num_joints].reshape(1, persons, layout.num_joints)
    seen[0, 0, data.draw(st.integers(0, layout.num_joints - 1))] = True
    observed = np.repeat(seen, frames, axis=0)
    sequence = without(sequence, observed)
    codec = fitted(sequence, frames=frames, persons=persons)
    image = codec.encode(sequence)
    record = ImageRecord.from_json(image.record.to_json())
    assert record == image.record
    back = codec.decode(image.pixels, record)
    np.testing.assert_array_equal(back.observed, observed)
    np.testing.assert_allclose(back.positions, sequence.positions, atol=1e-5, rtol=0)


@EVERY
def test_the_image_is_what_a_loop_over_joints_and_frames_gives(layout):
    sequence = clip(layout, frames=24, persons=2)
    codec = dataclasses.replace(ImageCodec(layout, persons=2), scale=20.0)
    pixels = codec.encode(sequence).pixels.astype(np.float64)
    bodies = sequence.positions.astype(np.float64)
    angle = heading_angle(bodies[:, 0], layout)
    start = bodies[0, 0, layout.root]
    for person in range(2):
        for row, joint in enumerate(layout.tree_order):
            for frame in range(24):
                root = bodies[frame, person, layout.root]
                where = bodies[frame, person, joint]
                offset = root - start if joint == layout.root else where - root
                expected = rotate_about_y(offset, -angle) / 20
                got = pixels[:, person * codec.rows + row, frame]
                np.testing.assert_allclose(got, expected, atol=1e-6)
        padding = pixels[:, person * codec.rows + layout.num_joints : (person + 1) * codec.rows]
        assert (padding == 0).all()


@given(st.floats(-3, 3), st.tuples(*[st.floats(-5, 5)] * 3), st.integers(0, 50))
def test_the_image_does_not_depend_on_place_and_direction(angle, shift, seed):
    sequence = clip(frames=30, persons=2, seed=seed)
    moved = rotate_about_y(sequence.positions, angle) + np.array(shift)
    codec = fitted(sequence, persons=2)
    image = codec.encode(sequence)
    other = codec.encode(sequence.replaced(positions=moved.astype(np.float32)), strict=False)
    np.testing.assert_allclose(other.pixels, image.pixels, atol=1e-5)
    turned = other.record.heading - image.record.heading - angle
    assert np.cos(turned) == pytest.approx(1, abs=1e-5)


def test_an_image_starts_at_the_origin_with_the_right_hip_at_plus_x():
    sequence = clip(frames=24)
    codec = fitted(sequence)
    pixels = codec.encode(sequence).pixels
    assert (pixels[:, 0, 0] == 0).all()
    left, right = codec.joint_rows[list(KINECT.hip_indices)]
    x, _, z = (pixels[:, right, :8] - pixels[:, left, :8]).mean(axis=1)
    assert x > 0
    assert z == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("frames", [1, 2, 3, 11, 24, 25, 100])
def test_only_the_resampling_of_time_is_lossy(frames):
    """Uniform motion survives any length; any motion keeps its length, rate, first and last."""
    rng = np.random.default_rng(frames)
    start, speed = rng.normal(size=(2, 20, 3))
    time = np.arange(frames)[:, None, None] / 30
    positions = (start + time * speed)[:, None].astype(np.float32)
    sequence = clip(frames=frames).replaced(positions=positions)
    codec = fitted(sequence)
    image = codec.encode(sequence)
    for interpolation in ("linear", "cubic", "pchip"):
        back = codec.decode(image.pixels, image.record, interpolation=interpolation)
        assert (back.num_frames, back.fps) == (frames, 30.0)
        np.testing.assert_allclose(back.positions, positions, atol=1e-5)
    wild = clip(frames=frames)
    codec = fitted(wild)
    image = codec.encode(wild)
    back = codec.decode(image.pixels, image.record)
    np.testing.assert_allclose(back.positions[0], wild.positions[0], atol=1e-5)
    np.testing.assert_allclose(back.positions[-1], wild.positions[-1], atol=1e-5)


def test_the_spline_gives_back_smooth_motion_better_than_straight_lines():
    time = np.linspace(0, 2 * np.pi, 90)
    positions = np.zeros((90, 1, 20, 3), np.float32)
    positions[:, 0, 7, 1] = np.sin(time)
    sequence = clip(frames=90).replaced(positions=positions)
    codec = fitted(sequence)
    image = codec.encode(sequence)

    def error(interpolation):
        back = codec.decode(image.pixels, image.record, interpolation=interpolation)
        return np.abs(np.diff(back.positions - positions, 2, axis=0)).mean()

    assert error("cubic") < 0.2 * error("linear")


def test_gaps_in_time_are_filled_and_a_joint_that_was_never_seen_stays_unmeasured():
    sequence = clip(frames=24)
    observed = sequence.observed.copy()
    observed[5:9, 0, 3] = False
    observed[:, 0, 7] = False
    codec = fitted(sequence)
    image = codec.encode(without(sequence, observed))
    back = codec.decode(image.pixels, image.record)
    line = sequence.positions[4, 0, 3] + (
        np.arange(1, 5)[:, None] / 5 * (sequence.positions[9, 0, 3] - sequence.positions[4, 0, 3])
    )
    np.testing.assert_allclose(back.positions[5:9, 0, 3], line, atol=1e-5)
    assert np.isnan(back.positions[:, 0, 7]).all()
    assert not back.observed[:, 0, 7].any()


def test_numbers_that_are_no_measurements_do_not_reach_the_image():
    sequence = clip(frames=24)
    observed = sequence.observed.copy()
    observed[3, 0, 5] = observed[:, 0, 11] = False
    codec = fitted(sequence)
    expected = codec.encode(without(sequence, observed)).pixels
    junk = np.where(observed[..., None], sequence.positions, np.float32(99))
    got = codec.encode(sequence.replaced(positions=junk, observed=observed))
    np.testing.assert_array_equal(got.pixels, expected)


def test_imputed_joints_reach_the_image():
    sequence = clip(frames=24)
    observed = np.zeros_like(sequence.observed)
    imputed = sequence.replaced(observed=observed, source=Source.IMPUTED)
    codec = fitted(sequence)
    np.testing.assert_array_equal(codec.encode(imputed).pixels, codec.encode(sequence).pixels)


def test_two_persons_keep_their_distance_and_a_missing_one_stays_missing():
    pair = clip(frames=24, persons=2)
    codec = fitted(pair, persons=2)
    alone = codec.encode(
        pair.replaced(positions=pair.positions[:, :1], observed=pair.observed[:, :1])
    )
    both = codec.encode(pair)
    np.testing.assert_array_equal(alone.pixels[:, : codec.rows], both.pixels[:, : codec.rows])
    assert (alone.pixels[:, codec.rows :] == 0).all()
    back = codec.decode(alone.pixels, alone.record)
    np.testing.assert_array_equal(back.present, [True, False])
    assert np.isnan(back.positions[:, 1]).all()
    absent = without(pair, pair.observed & np.array([True, False])[:, None])
    np.testing.assert_array_equal(codec.encode(absent).pixels, alone.pixels)


def test_a_second_person_alone_comes_back_too():
    pair = clip(frames=24, persons=2)
    only = without(pair, pair.observed & np.array([False, True])[:, None])
    codec = fitted(only, persons=2)
    image = codec.encode(only)
    assert (image.pixels[:, : codec.rows] == 0).all()
    back = codec.decode(image.pixels, image.record)
    np.testing.assert_allclose(back.positions, only.positions, atol=1e-5)


def test_an_empty_second_slot_fits_a_codec_of_one_person():
    pair = clip(frames=24, persons=2)
    only = without(pair, pair.observed & np.array([True, False])[:, None])
    image = fitted(only).encode(only)
    assert image.pixels.shape == (3, 20, 24)


def test_a_drawn_clip_stands_on_the_floor_above_the_origin():
    rng = np.random.default_rng(0)
    codec = ImageCodec(KINECT, persons=2, scale=1.5)
    pixels = rng.uniform(-1, 1, size=codec.shape).astype(np.float32)
    pixels[:, 0, 0] = 0
    drawn = codec.decode(pixels, codec.record(length=50, fps=25.0), name="a", label="kick")
    assert drawn.positions[..., 1].min() == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(drawn.positions[0, 0, 0, [0, 2]], 0, atol=1e-6)
    assert (drawn.num_frames, drawn.fps, drawn.name, drawn.label) == (50, 25.0, "a", "kick")
    assert drawn.observed.all()
    one = codec.decode(pixels, codec.record(length=50, fps=25.0, persons=1))
    np.testing.assert_array_equal(one.present, [True, False])
    assert one.positions[:, 0, :, 1].min() == pytest.approx(0, abs=1e-6)


def test_a_drawn_clip_has_the_shape_that_its_image_says():
    codec = ImageCodec(KINECT, scale=1.5)
    pixels = np.random.default_rng(0).uniform(-1, 1, size=codec.shape)
    drawn = codec.decode(pixels, codec.record(length=24, fps=25.0))
    placed = codec.decode(
        pixels, dataclasses.replace(codec.record(length=24, fps=25.0), origin=(1.0, 2.0, 3.0))
    )
    np.testing.assert_allclose(
        bone_lengths(drawn.positions, KINECT), bone_lengths(placed.positions, KINECT), atol=1e-5
    )


def test_decoding_a_batch_is_decoding_each():
    sequences = [clip(frames=f, seed=f) for f in (10, 24, 61)]
    codec = fitted(*sequences)
    images = [codec.encode(sequence) for sequence in sequences]
    clips = codec.decode_all(np.stack([i.pixels for i in images]), [i.record for i in images])
    for image, got in zip(images, clips, strict=True):
        expected = codec.decode(image.pixels, image.record)
        np.testing.assert_array_equal(got.positions, expected.positions)


def test_the_fitted_scale_is_the_least_that_holds_all_clips():
    sequences = [clip(frames=f, seed=f) for f in (10, 24, 61)]
    codec = fitted(*sequences)
    reach = [np.abs(codec.encode(sequence).pixels).max() for sequence in sequences]
    assert max(reach) == 1.0
    assert codec.scale == max(codec.reach(sequence) for sequence in sequences)


def test_a_clip_beyond_the_scale_is_refused_or_kept_but_never_clipped():
    near, far = clip(seed=1), clip(seed=2, spread=3.0)
    codec = fitted(near)
    with pytest.raises(DataError, match=r"clip 'clip 2': expected positions within .* m"):
        codec.encode(far)
    image = codec.encode(far, strict=False)
    assert np.abs(image.pixels).max() > 1
    back = codec.decode(image.pixels, image.record)
    np.testing.assert_allclose(back.positions, far.positions, atol=1e-5)


def test_clips_that_do_not_move_have_a_scale_all_the_same():
    dot = SkeletonLayout(name="dot", joints=("a",), parents=(-1,))
    still = clip(dot).replaced(positions=np.full((24, 1, 1, 3), 3.0, np.float32))
    codec = fitted(still)
    assert codec.scale == 1.0
    image = codec.encode(still)
    np.testing.assert_allclose(codec.decode(image.pixels, image.record).positions, 3.0)


@pytest.mark.parametrize(("name", "rows"), [("ntu_25", 28), ("kinect_20", 20), ("coco_17", 20)])
def test_rows_are_the_joints_rounded_up_to_a_multiple_of_four(name, rows):
    codec = ImageCodec(LAYOUTS[name])
    assert codec.rows == rows
    assert codec.shape == (3, rows, 24)


@pytest.mark.parametrize("name", ["ntu_24", "kinect_20"])
def test_the_papers_image_is_24_by_24(name):
    sequence = clip(LAYOUTS[name])
    codec = fitted(sequence, rows=24)
    image = codec.encode(sequence)
    assert image.pixels.shape == (3, 24, 24)
    back = codec.decode(image.pixels, image.record)
    np.testing.assert_allclose(back.positions, sequence.positions, atol=1e-5)


def test_a_codec_survives_json():
    codec = ImageCodec(LAYOUTS["ntu_24"], frames=48, rows=32, persons=2, scale=0.1 + 0.2)
    assert ImageCodec.from_json(codec.to_json()) == codec
    assert ImageCodec.from_json(json.dumps(json.loads(codec.to_json()))) == codec
    drawn = codec.record(length=7, fps=12.5, persons=1)
    assert ImageRecord.from_json(drawn.to_json()) == drawn


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"layout": {}}', '{"length": "x"}'])
def test_json_of_something_else_is_a_data_error(text):
    with pytest.raises(DataError, match=r"codec|layout"):
        ImageCodec.from_json(text)
    with pytest.raises(DataError, match="image record"):
        ImageRecord.from_json(text)


def test_a_clip_that_does_not_fit_is_refused_by_name():
    codec = ImageCodec(KINECT, scale=9.0)
    nobody = without(clip(), np.zeros((24, 1, 20), np.bool_))
    empty = clip().replaced(
        positions=np.zeros((0, 1, 20, 3), np.float32), observed=np.zeros((0, 1, 20), np.bool_)
    )
    for sequence, says in [
        (clip(LAYOUTS["ntu_25"]), "expected layout kinect_20, got ntu_25"),
        (clip(persons=2), "expected at most 1 persons, got 2"),
        (nobody, "expected a measured joint, got none"),
        (empty, "got 0 of 3"),
        (clip().replaced(positions=clip().positions[..., :2]), "got 24 of 2"),
    ]:
        with pytest.raises(DataError, match=rf"clip 'clip 0'.*{says}"):
            codec.encode(sequence)


def test_a_codec_that_cannot_be_is_a_usage_error():
    with pytest.raises(UsageError, match=r"rows: expected at least the 25 joints .* got 24"):
        ImageCodec(LAYOUTS["ntu_25"], rows=24)
    for options in ({"frames": 1}, {"persons": 0}, {"scale": 0.0}, {"scale": np.nan}):
        with pytest.raises(UsageError, match="codec: expected"):
            ImageCodec(KINECT, **options)


def test_there_is_no_scale_of_no_clips():
    with pytest.raises(DataError, match="at least one clip"):
        fitted_codec([], ImageCodec(KINECT))


def test_pixels_of_another_size_are_refused():
    codec = ImageCodec(KINECT)
    with pytest.raises(ValueError, match="pixels: expected C R F"):
        codec.decode(np.zeros((3, 24, 24)), codec.record(length=24, fps=30.0))


def test_encoding_leaves_the_clip_alone():
    sequence = clip(persons=2)
    before = sequence.positions.copy()
    fitted(sequence, persons=2).encode(sequence)
    np.testing.assert_array_equal(sequence.positions, before)


@pytest.mark.data
def test_real_clips_come_back(shared_data):
    for path in sorted((shared_data / "raw_samples/ntu_skeleton").glob("*.skeleton")):
        sequence = parse_ntu(path.read_bytes(), path=path.name).sequence
        persons = sequence.num_persons
        codec = fitted(sequence, frames=sequence.num_frames, persons=persons)
        image = codec.encode(sequence)
        back = codec.decode(image.pixels, image.record)
        seen = sequence.observed
        np.testing.assert_allclose(back.positions[seen], sequence.positions[seen], atol=1e-5)
