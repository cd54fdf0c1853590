from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from skelaug.errors import DataError, UsageError
from skelaug.seeds import numpy_generator
from skelaug.skeleton.geometry import fill_missing, resample
from skelaug.skeleton.layouts import LAYOUTS, get_layout
from skelaug.skeleton.preparation import PROFILES, body_turn, get_profile, spine_of
from skelaug.skeleton.sequence import SkeletonSequence

every_profile = pytest.mark.parametrize("name", PROFILES)


def moved(clip: SkeletonSequence, turn: np.ndarray, shift: object = 0) -> SkeletonSequence:
    """The clip turned by a matrix for column vectors and then shifted."""
    positions = clip.positions.astype(np.float64) @ turn.T + np.asarray(shift)
    return clip.replaced(positions=positions.astype(np.float32))


def about_y(angle: float) -> np.ndarray:
    return np.asarray(Rotation.from_rotvec([0, angle, 0]).as_matrix())


def distances(frames: np.ndarray) -> np.ndarray:
    """Between all joints of all persons in each frame: T MV MV."""
    points = frames.astype(np.float64).reshape(len(frames), -1, 3)
    return np.asarray(np.linalg.norm(points[:, :, None] - points[:, None], axis=-1))


def smallest_turn(vector: np.ndarray, target: np.ndarray) -> np.ndarray:
    axis = np.cross(vector, target)
    sine = np.linalg.norm(axis)
    return np.asarray(
        Rotation.from_rotvec(axis / sine * np.arctan2(sine, vector @ target)).as_matrix()
    )


def upright(seed: int, *, perpendicular: bool) -> np.ndarray:
    """A pose of ntu_25 of somebody at random, with the joints that the agcn profile turns by."""
    values = np.random.default_rng(seed)
    pose = values.standard_normal((25, 3))
    if perpendicular:
        across, along = pose[8] - pose[4], pose[1] - pose[0]
        pose[1] -= (along @ across) / (across @ across) * across
    return pose


# --- what is placed where


@pytest.mark.parametrize(
    ("layout", "joint"),
    [
        ("ntu_25", "spine_mid"),
        ("ntu_24", "spine_mid"),
        ("kinect_20", "spine"),
        ("smpl_24", "spine1"),
        ("h36m_17", "spine"),
        ("hdm05_31", "lowerback"),
        ("humaneva_15", "thorax"),
        ("coco_17", "nose"),  # the root: it is the centre itself
        ("openpose_18", "neck"),
    ],
)
def test_clips_are_centred_on_the_joint_next_to_the_root(layout: str, joint: str) -> None:
    assert get_layout(layout).joints[spine_of(get_layout(layout))] == joint


def test_the_published_codes_centre_on_joint_one() -> None:
    assert spine_of(get_layout("ntu_25")) == spine_of(get_layout("kinect_20")) == 1


@pytest.mark.parametrize("name", ["ctr", "ucla"])
def test_the_first_frame_s_spine_of_the_first_person_is_the_origin(name, make_sequence) -> None:
    clip = make_sequence(persons=2, layout="ntu_25")
    placed = PROFILES[name].place(clip, 2)
    shift = clip.positions[0, 0, 1].astype(np.float64)
    np.testing.assert_allclose(placed, clip.positions - shift, atol=1e-6)
    assert not placed[0, 0, 1].any()


def test_agcn_centres_every_frame_on_the_first_person(make_sequence) -> None:
    placed = PROFILES["agcn"].place(make_sequence(persons=2, layout="ntu_25"), 2)
    np.testing.assert_array_equal(placed[:, 0, 1], 0)
    assert np.abs(placed[:, 1, 1]).max() > 0.5


def test_efficient_leaves_positions_as_they_are(make_sequence) -> None:
    clip = make_sequence(persons=2, layout="ntu_25")
    np.testing.assert_array_equal(PROFILES["efficient"].place(clip, 2), clip.positions)


# --- turns


@pytest.mark.parametrize("seed", range(5))
def test_the_turned_body_has_its_shoulders_on_x_and_its_spine_on_z(seed: int) -> None:
    pose = upright(seed, perpendicular=True)
    turn = body_turn(pose, get_layout("ntu_25"))
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-14)
    assert np.linalg.det(turn) == pytest.approx(1, abs=1e-14)
    across, along = turn @ (pose[8] - pose[4]), turn @ (pose[1] - pose[0])
    np.testing.assert_allclose(across, [np.linalg.norm(across), 0, 0], atol=1e-13)
    np.testing.assert_allclose(along, [0, 0, np.linalg.norm(along)], atol=1e-13)


@pytest.mark.parametrize("seed", range(5))
def test_the_turn_is_the_published_one_where_spine_and_shoulders_are_perpendicular(seed) -> None:
    pose = upright(seed, perpendicular=True)
    first = smallest_turn(pose[1] - pose[0], np.array([0.0, 0, 1]))
    second = smallest_turn(first @ (pose[8] - pose[4]), np.array([1.0, 0, 0]))
    np.testing.assert_allclose(body_turn(pose, get_layout("ntu_25")), second @ first, atol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_the_turn_differs_from_the_published_one_by_a_turn_about_the_shoulders(seed: int) -> None:
    pose = upright(seed, perpendicular=False)
    turn = body_turn(pose, get_layout("ntu_25"))
    first = smallest_turn(pose[1] - pose[0], np.array([0.0, 0, 1]))
    second = smallest_turn(first @ (pose[8] - pose[4]), np.array([1.0, 0, 0]))
    np.testing.assert_allclose(turn @ (second @ first).T @ [1, 0, 0], [1, 0, 0], atol=1e-12)
    along = turn @ (pose[1] - pose[0])
    assert along[1] == pytest.approx(0, abs=1e-13)
    assert along[2] > 0


def test_a_body_without_extent_is_not_turned() -> None:
    layout = get_layout("ntu_25")
    np.testing.assert_array_equal(body_turn(np.zeros((25, 3)), layout), np.eye(3))
    line = np.outer(np.arange(25.0), [1, 2, 3])
    np.testing.assert_array_equal(body_turn(line, layout), np.eye(3))


@pytest.mark.parametrize("layout", ["ntu_25", "kinect_20", "hdm05_31", "bandai_21", "sbu_15"])
@pytest.mark.parametrize("seed", range(3))
def test_agcn_forgets_how_the_clip_was_turned_and_moved(seed, layout, make_sequence) -> None:
    clip = make_sequence(persons=2, layout=layout, seed=seed)
    turn = np.asarray(Rotation.random(random_state=seed).as_matrix())
    walk = np.random.default_rng(seed).standard_normal((clip.num_frames, 1, 1, 3))
    agcn = PROFILES["agcn"]
    np.testing.assert_allclose(
        agcn.place(moved(clip, turn, walk), 2), agcn.place(clip, 2), atol=2e-5
    )


@pytest.mark.parametrize("angle", [0.3, 1.7, -2.9])
def test_heading_forgets_the_start_and_the_turn_about_the_vertical(angle, make_sequence) -> None:
    clip = make_sequence(persons=2)
    heading = PROFILES["heading"]
    there = heading.place(moved(clip, about_y(angle), [3, -1, 2]), 2)
    np.testing.assert_allclose(there, heading.place(clip, 2), atol=1e-5)


def test_heading_puts_the_hips_on_x_and_keeps_the_way(make_sequence) -> None:
    clip = moved(make_sequence(), about_y(1.1))
    placed = PROFILES["heading"].place(clip).astype(np.float64)
    left, right = clip.layout.hip_indices
    across = placed[: -(-len(placed) // 3), 0, right] - placed[: -(-len(placed) // 3), 0, left]
    x, _, z = across.mean(axis=0)
    assert z == pytest.approx(0, abs=1e-6)
    assert x > 0
    root = clip.layout.root
    np.testing.assert_array_equal(placed[0, 0, root], 0)
    way = clip.positions[-1, 0, root].astype(np.float64) - clip.positions[0, 0, root]
    assert np.linalg.norm(placed[-1, 0, root]) == pytest.approx(np.linalg.norm(way), abs=1e-6)


@every_profile
def test_distances_within_and_between_bodies_are_kept(name, make_sequence) -> None:
    clip = make_sequence(persons=2, layout="ntu_25")
    placed = PROFILES[name].place(clip, 2)
    np.testing.assert_allclose(distances(placed), distances(clip.positions), atol=2e-6)


# --- persons


@every_profile
def test_an_absent_person_is_zero_or_a_copy(name, make_sequence) -> None:
    clip = make_sequence(layout="ntu_25")
    placed = PROFILES[name].place(clip, 2)
    expected = placed[:, 0] if name == "ctr" else np.zeros_like(placed[:, 0])
    np.testing.assert_array_equal(placed[:, 1], expected)
    np.testing.assert_array_equal(placed[:, :1], PROFILES[name].place(clip, 1))
    fitted = PROFILES[name].fit(placed, 20)
    np.testing.assert_array_equal(fitted[:, 1], fitted[:, 0] if name == "ctr" else 0)


@every_profile
def test_the_first_persons_that_are_there_are_taken(name, make_sequence) -> None:
    clip = make_sequence(persons=4, layout="ntu_25")
    observed = clip.observed.copy()
    observed[:, [0, 2]] = False
    gone = clip.replaced(observed=observed)
    pair = clip.replaced(
        positions=clip.positions[:, [1, 3]], observed=clip.observed[:, [1, 3]], confidence=None
    )
    for persons in (1, 2, 3):
        np.testing.assert_array_equal(
            PROFILES[name].place(gone, persons), PROFILES[name].place(pair, persons)
        )


def test_fewer_than_one_person_is_refused(make_sequence) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        PROFILES["ctr"].place(make_sequence(), 0)


# --- gaps


@every_profile
@pytest.mark.parametrize("missing", [0.0, 0.3, 0.9])
def test_no_gap_leaves_a_profile(name, missing, make_sequence) -> None:
    for persons in (1, 2):
        clip = make_sequence(persons=2, layout="ntu_25", missing=missing, seed=persons)
        placed = PROFILES[name].place(clip, persons)
        assert placed.dtype == np.float32
        assert placed.shape[1:] == (persons, 25, 3)
        assert np.isfinite(placed).all()
        assert np.isfinite(PROFILES[name].fit(placed, None, numpy_generator(0, 1))).all()


def test_gaps_are_filled_and_not_set_to_zero(make_sequence) -> None:
    clip = make_sequence(layout="ntu_25", missing=0.4)
    filled = fill_missing(clip.positions, clip.observed, clip.layout)
    placed = PROFILES["efficient"].place(clip)
    np.testing.assert_allclose(placed, filled, atol=1e-6)
    assert (np.linalg.norm(placed, axis=-1) > 0.5).all()


def test_a_number_that_is_none_counts_as_missing(make_sequence) -> None:
    clip = make_sequence(layout="ntu_25")
    positions, observed = clip.positions.copy(), clip.observed.copy()
    positions[3, 0, 5, 1], positions[4, 0, 6, 0] = np.nan, np.inf
    observed[3, 0, 5] = observed[4, 0, 6] = False
    said = PROFILES["ctr"].place(clip.replaced(positions=positions, observed=observed))
    unsaid = PROFILES["ctr"].place(clip.replaced(positions=positions))
    np.testing.assert_array_equal(unsaid, said)


@every_profile
def test_frames_before_and_after_anybody_was_seen_are_left_out(name, make_sequence) -> None:
    clip = make_sequence(persons=2, layout="ntu_25", frames=30)
    observed = clip.observed.copy()
    observed[:4] = observed[25:] = False
    observed[10:12] = False  # a gap in the middle keeps its time
    observed[4:8, 0] = False  # while the other one is seen, time runs
    placed = PROFILES[name].place(clip.replaced(observed=observed), 2)
    assert len(placed) == 21
    cut = clip.replaced(positions=clip.positions[4:25], observed=observed[4:25])
    np.testing.assert_array_equal(placed, PROFILES[name].place(cut, 2))


@every_profile
def test_a_clip_without_any_joint_is_refused_by_name(name, make_sequence) -> None:
    clip = make_sequence(name="a01_s02")
    nothing = clip.replaced(observed=np.zeros_like(clip.observed))
    with pytest.raises(
        DataError, match=r"clip 'a01_s02': .* measured joint, got none in 24 frames"
    ):
        PROFILES[name].place(nothing)
    nan = clip.replaced(positions=np.full_like(clip.positions, np.nan))
    with pytest.raises(DataError, match="a01_s02"):
        PROFILES[name].place(nan)


@every_profile
def test_the_sequence_is_not_touched(name, make_sequence) -> None:
    clip = make_sequence(persons=2, missing=0.2)
    positions, observed = clip.positions.copy(), clip.observed.copy()
    placed = PROFILES[name].place(clip, 2)
    placed += 1
    np.testing.assert_array_equal(clip.positions, positions)
    np.testing.assert_array_equal(clip.observed, observed)


# --- layouts and lengths


@every_profile
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("frames", [1, 17])
def test_every_layout_and_length_works_or_says_what_it_lacks(
    name, layout, frames, make_sequence
) -> None:
    clip = make_sequence(layout=layout, frames=frames)
    profile = PROFILES[name]
    if name == "agcn" and spine_of(clip.layout) == clip.layout.root:
        with pytest.raises(DataError, match=f"layout '{layout}': .* no spine joint .* other than"):
            profile.place(clip)
        return
    placed = profile.place(clip)
    assert placed.shape == (frames, 1, clip.layout.num_joints, 3)
    for generator in (None, numpy_generator(0, 1)):
        fitted = profile.fit(placed, None, generator)
        assert fitted.shape == (profile.frames, 1, clip.layout.num_joints, 3)
        assert np.isfinite(fitted).all()


def test_missing_shoulders_are_named(make_sequence) -> None:
    clip = make_sequence(layout="kinect_20")
    joints = tuple(joint.replace("shoulder", "joint") for joint in clip.layout.joints)
    with pytest.raises(DataError, match="got no shoulders"):
        body_turn(clip.positions[0, 0], dataclasses.replace(clip.layout, joints=joints))
    with pytest.raises(DataError, match="3 coordinates per joint, got 2"):
        body_turn(clip.positions[0, 0, :, :2], clip.layout)


@pytest.mark.parametrize("name", [name for name in PROFILES if name != "agcn"])
def test_clips_in_the_plane_are_prepared(name, make_sequence) -> None:
    clip = make_sequence(layout="coco_17")
    flat = clip.replaced(positions=clip.positions[..., :2])
    placed = PROFILES[name].place(flat, 2)
    assert PROFILES[name].fit(placed, 16, numpy_generator(0)).shape == (16, 2, 17, 2)


# --- the profiles as a table


def test_lengths_and_crops_are_those_of_the_papers() -> None:
    lengths = {name: profile.frames for name, profile in PROFILES.items()}
    assert lengths == {"agcn": 300, "ctr": 64, "efficient": 288, "ucla": 52, "heading": 32}
    crops = {name: profile.crop for name, profile in PROFILES.items()}
    assert crops == {"agcn": 1, "ctr": 0.5, "efficient": 1, "ucla": 1, "heading": 0.7}
    assert all(name == profile.name for name, profile in PROFILES.items())


def test_each_profile_fits_in_its_own_way(make_sequence) -> None:
    clip = make_sequence(frames=100, layout="ntu_25")
    placed = {name: profile.place(clip) for name, profile in PROFILES.items()}
    fitted = {name: PROFILES[name].fit(placed[name]) for name in PROFILES}
    np.testing.assert_array_equal(fitted["agcn"], np.tile(placed["agcn"], (3, 1, 1, 1)))
    np.testing.assert_array_equal(fitted["efficient"][:100], placed["efficient"])
    assert not fitted["efficient"][100:].any()
    np.testing.assert_array_equal(fitted["ucla"].max(axis=(0, 1, 2)) <= 1, True)
    np.testing.assert_allclose(fitted["heading"], resample(placed["heading"], 32), atol=1e-6)
    # the middle 96 frames; the first of 64 lies a quarter of a frame after the start
    start = 0.75 * placed["ctr"][2].astype(np.float64) + 0.25 * placed["ctr"][3]
    np.testing.assert_allclose(fitted["ctr"][0], start, atol=1e-6)


def test_a_profile_s_crop_can_be_changed(make_sequence) -> None:
    placed = PROFILES["heading"].place(make_sequence())
    whole = dataclasses.replace(PROFILES["heading"], crop=1.0)
    np.testing.assert_allclose(
        whole.fit(placed, 32, numpy_generator(0)), whole.fit(placed, 32), atol=1e-6
    )
    drawn = PROFILES["heading"].fit(placed, 32, numpy_generator(0))
    assert np.abs(drawn - whole.fit(placed, 32)).max() > 1e-3


def test_what_comes_between_place_and_fit_is_seen_by_ucla(make_sequence) -> None:
    # the published order: a random scale before the scaling to [-1, 1] changes nothing
    profile = PROFILES["ucla"]
    placed = profile.place(make_sequence())
    np.testing.assert_allclose(profile.fit(0.5 * placed), profile.fit(placed), atol=1e-5)
    turned = (placed @ Rotation.from_rotvec([0.7, 0, 0]).as_matrix().T).astype(np.float32)
    fitted = profile.fit(turned, len(turned))
    np.testing.assert_array_equal(fitted.max(axis=(0, 1, 2)), 1)
    np.testing.assert_array_equal(fitted.min(axis=(0, 1, 2)), -1)


@every_profile
def test_fitting_asks_for_frames(name) -> None:
    with pytest.raises(ValueError, match="at least one frame"):
        PROFILES[name].fit(np.zeros((0, 1, 20, 3), np.float32), 10)
    with pytest.raises(ValueError, match="at least one frame"):
        PROFILES[name].fit(np.zeros((5, 1, 20, 3), np.float32), 0)
    with pytest.raises(ValueError, match="T M V C"):
        PROFILES[name].fit(np.zeros((5, 20, 3), np.float32), 10)


def test_an_unknown_profile_is_refused() -> None:
    assert get_profile("ctr") is PROFILES["ctr"]
    with pytest.raises(UsageError, match="'ctrgcn': no such profile; did you mean 'ctr'"):
        get_profile("ctrgcn")


@pytest.mark.data
@every_profile
def test_real_clips_come_through(name, shared_data: Path) -> None:
    from skelaug.data.ntu import parse_ntu
    from skelaug.data.nw_ucla import parse_nw_ucla

    ucla = sorted((shared_data / "raw_samples" / "nw_ucla").rglob("a*.json"))
    ntu = sorted((shared_data / "raw_samples" / "ntu_skeleton").rglob("*.skeleton"))
    clips = [parse_nw_ucla(path.read_bytes(), path=str(path)).sequence for path in ucla]
    clips += [parse_ntu(path.read_bytes(), path=str(path)).sequence for path in ntu]
    assert len(clips) >= 6
    for clip in clips:
        placed = PROFILES[name].place(clip, 2)
        fitted = PROFILES[name].fit(placed, None, numpy_generator(0, 1))
        assert np.isfinite(fitted).all()
        assert np.abs(fitted).max() < 10
