import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from skelaug.data.hdm05 import HDM05Reader
from skelaug.data.ntu import parse_ntu
from skelaug.data.utd_mhad import parse_utd_mhad
from skelaug.errors import DataError
from skelaug.skeleton.geometry import bone_lengths
from skelaug.skeleton.layout import SkeletonLayout
from skelaug.skeleton.layouts import LAYOUTS
from skelaug.skeleton.mapping import map_sequence, mapping_report
from skelaug.skeleton.sequence import SkeletonSequence

SOURCES = pytest.mark.parametrize("source", LAYOUTS.values(), ids=LAYOUTS)
TO_KINECT = pytest.mark.parametrize("name", [name for name in LAYOUTS if name != "kinect_20"])
KINECT = LAYOUTS["kinect_20"]


def others(source):
    return [layout for layout in LAYOUTS.values() if layout is not source]


def clip(layout, *, frames=3, persons=1, seed=0):
    rng = np.random.default_rng(seed)
    positions = rng.normal(size=(frames, persons, layout.num_joints, 3)).astype(np.float32)
    observed = np.ones(positions.shape[:3], np.bool_)
    return SkeletonSequence(positions, observed, layout, 30.0, "clip")


def at(sequence, joint):
    return sequence.positions[:, :, sequence.layout.index(joint)]


@SOURCES
def test_every_target_joint_is_exact_or_approximated_or_unavailable(source):
    for target in others(source):
        report = mapping_report(source, target)
        names = [*report.exact, *report.approximated, *report.unavailable]
        assert sorted(names) == sorted(target.joints)
        sequence = map_sequence(clip(source), target)
        assert sequence.layout is target
        seen = sequence.observed.all(axis=(0, 1))
        measured = {joint for joint, there in zip(target.joints, seen, strict=True) if there}
        assert measured == {*report.exact, *report.approximated}
        np.testing.assert_array_equal(np.isfinite(sequence.positions).all(-1), sequence.observed)


@SOURCES
def test_a_moved_and_turned_body_stays_the_same_body(source):
    turn, shift = Rotation.from_euler("yxz", [0.4, -1.1, 2.0]), np.array([3.0, -2.0, 7.0])

    def move(positions):
        return turn.apply(positions.reshape(-1, 3)).reshape(positions.shape) + shift

    sequence = clip(source)
    moved = sequence.replaced(positions=move(sequence.positions).astype(np.float32))
    for target in others(source):
        expected = move(map_sequence(sequence, target).positions.astype(np.float64))
        np.testing.assert_allclose(map_sequence(moved, target).positions, expected, atol=5e-6)


@SOURCES
def test_mirroring_before_mapping_is_mirroring_after(source):
    sequence = clip(source)
    before = sequence.replaced(positions=sequence.positions[:, :, list(source.mirrored)])
    for target in others(source):
        after = map_sequence(sequence, target).positions[:, :, list(target.mirrored)]
        np.testing.assert_allclose(map_sequence(before, target).positions, after, atol=1e-6)


def test_equal_names_are_copied_bit_by_bit():
    sequence = clip(LAYOUTS["ntu_25"])
    report = mapping_report(LAYOUTS["ntu_25"], LAYOUTS["ntu_24"])
    assert report.exact == LAYOUTS["ntu_24"].joints
    mapped = map_sequence(sequence, LAYOUTS["ntu_24"])
    np.testing.assert_array_equal(mapped.positions, np.delete(sequence.positions, 20, axis=2))


def test_ntu_24_gets_joint_21_back_from_its_neighbours():
    report = mapping_report(LAYOUTS["ntu_24"], LAYOUTS["ntu_25"])
    assert report.approximated == {"spine_shoulder": "0.25 spine_mid + 0.75 neck"}
    sequence = map_sequence(clip(LAYOUTS["ntu_24"]), LAYOUTS["ntu_25"])
    expected = 0.25 * at(sequence, "spine_mid") + 0.75 * at(sequence, "neck")
    np.testing.assert_allclose(at(sequence, "spine_shoulder"), expected, atol=1e-6)


@TO_KINECT
def test_every_layout_gives_kinect_its_limbs_hips_and_head(name):
    report = mapping_report(LAYOUTS[name], KINECT)
    assert set(report.unavailable) <= {"left_foot", "right_foot"}
    limbs = {f"{s}_{j}" for s in ("left", "right") for j in ("shoulder", "elbow", "hip", "knee")}
    assert limbs <= set(report.exact)


def test_hdm05_joints_are_the_ends_of_their_bones():
    sequence = clip(LAYOUTS["hdm05_31"])
    mapped = map_sequence(sequence, KINECT)
    for end, joint in {
        "root": "hip_center", "lhipjoint": "left_hip", "lfemur": "left_knee",
        "rtibia": "right_ankle", "thorax": "shoulder_center", "lclavicle": "left_shoulder",
        "rhumerus": "right_elbow", "lwrist": "left_wrist", "rhand": "right_hand",
    }.items():  # fmt: skip
        np.testing.assert_array_equal(at(mapped, joint), at(sequence, end))
    assert mapping_report(LAYOUTS["hdm05_31"], KINECT).approximated == {
        "spine": "0.45 root + 0.55 lowerback",
        "head": "0.5 upperneck + 0.5 head",
        "left_foot": "0.5 ltibia + 0.5 lfoot",
        "right_foot": "0.5 rtibia + 0.5 rfoot",
    }


def test_bandai_joints_are_the_starts_of_their_bones():
    sequence = clip(LAYOUTS["bandai_21"])
    mapped = map_sequence(sequence, KINECT)
    for start, joint in {
        "UpperLeg_L": "left_hip", "LowerLeg_R": "right_knee", "UpperArm_L": "left_shoulder",
        "Hand_R": "right_wrist",
    }.items():  # fmt: skip
        np.testing.assert_array_equal(at(mapped, joint), at(sequence, start))


def test_a_centre_that_is_missing_is_the_mean_of_its_sides():
    sequence = clip(LAYOUTS["coco_17"])
    mapped = map_sequence(sequence, KINECT)
    hips = (at(sequence, "left_hip") + at(sequence, "right_hip")) / 2
    np.testing.assert_allclose(at(mapped, "hip_center"), hips, atol=1e-6)
    ears = (at(sequence, "left_ear") + at(sequence, "right_ear")) / 2
    np.testing.assert_allclose(at(mapped, "head"), ears, atol=1e-6)


def test_a_formula_of_formulas_is_written_in_joints_of_the_source():
    report = mapping_report(LAYOUTS["mediapipe_33"], LAYOUTS["h36m_17"])
    assert report.approximated["spine"] == (
        "0.225 left_hip + 0.225 right_hip + 0.275 left_shoulder + 0.275 right_shoulder"
    )


def test_the_same_name_with_another_meaning_is_not_the_same_joint():
    report = mapping_report(LAYOUTS["h36m_17"], KINECT)
    assert "head" not in report.exact
    assert "spine" not in report.exact


def test_a_derived_joint_is_observed_where_all_its_parts_are():
    sequence = clip(LAYOUTS["coco_17"])
    observed = sequence.observed.copy()
    observed[1, 0, sequence.layout.index("left_hip")] = False
    positions = sequence.positions.copy()
    positions[1, 0, sequence.layout.index("left_hip")] = np.nan
    mapped = map_sequence(sequence.replaced(observed=observed, positions=positions), KINECT)
    center = KINECT.index("hip_center")
    np.testing.assert_array_equal(mapped.observed[:, 0, center], [True, False, True])
    assert np.isnan(mapped.positions[1, 0, center]).all()
    assert np.isfinite(mapped.positions[1, 0, KINECT.index("right_hip")]).all()


def test_imputed_positions_go_along_unobserved():
    sequence = clip(LAYOUTS["ntu_25"]).replaced(observed=np.zeros((3, 1, 25), np.bool_))
    mapped = map_sequence(sequence, KINECT)
    assert not mapped.observed.any()
    assert np.isfinite(mapped.positions).all()


def test_confidence_is_the_least_of_the_parts_and_zero_where_there_are_none():
    source = LAYOUTS["h36m_17"]
    confidence = np.random.default_rng(1).random((3, 1, 17)).astype(np.float32)
    mapped = map_sequence(clip(source).replaced(confidence=confidence), KINECT)
    pair = confidence[:, :, [source.index("neck"), source.index("head")]]
    np.testing.assert_array_equal(mapped.confidence[:, :, KINECT.index("head")], pair.min(-1))
    assert (mapped.confidence[:, :, KINECT.index("left_foot")] == 0).all()


def test_what_is_known_about_the_clip_stays():
    sequence = clip(LAYOUTS["ntu_25"]).replaced(label="kick", subject=4, setup=2)
    mapped = map_sequence(sequence, KINECT)
    assert (mapped.label, mapped.subject, mapped.setup, mapped.fps) == ("kick", 4, 2, 30.0)


def test_a_users_layout_maps_by_the_common_names():
    layout = SkeletonLayout(
        name="ours", joints=("hip_center", "left_hip", "tail"), parents=(-1, 0, 0)
    )
    report = mapping_report(layout, LAYOUTS["smpl_24"])
    assert report.exact == ("pelvis", "left_hip")
    assert mapping_report(layout, layout).exact == layout.joints


def test_a_users_layout_that_borrows_a_name_does_not_borrow_its_meaning():
    ours = SkeletonLayout(name="hdm05_31", joints=("root", "lfemur"), parents=(-1, 0))
    assert mapping_report(ours, KINECT).exact == ()


def test_the_same_joints_under_another_name_are_kept():
    ours = SkeletonLayout(name="ours", joints=("a", "b"), parents=(-1, 0))
    theirs = SkeletonLayout(name="theirs", joints=("a", "b"), parents=(1, -1))
    sequence = clip(ours)
    assert map_sequence(sequence, theirs).layout is theirs
    assert map_sequence(sequence, theirs).positions is sequence.positions


def test_layouts_without_a_common_point_are_refused():
    ours = SkeletonLayout(name="ours", joints=("a", "b"), parents=(-1, 0))
    with pytest.raises(DataError, match="no joint of layout kinect_20 can be had from ours"):
        map_sequence(clip(ours), KINECT)


def test_two_coordinates_map_as_three_do():
    sequence = clip(LAYOUTS["coco_17"])
    flat = map_sequence(sequence.replaced(positions=sequence.positions[..., :2]), KINECT)
    np.testing.assert_array_equal(flat.positions, map_sequence(sequence, KINECT).positions[..., :2])


@pytest.mark.data
def test_joint_21_of_ntu_lies_three_quarters_of_the_way_to_the_neck(shared_data):
    for path in sorted((shared_data / "raw_samples/ntu_skeleton").glob("*.skeleton")):
        clip = parse_ntu(path.read_bytes(), path=path.name).sequence
        seen = clip.observed[:, 0].all(axis=-1)
        back = map_sequence(map_sequence(clip, LAYOUTS["ntu_24"]), LAYOUTS["ntu_25"])
        gap = np.linalg.norm(back.positions[seen, 0, 20] - clip.positions[seen, 0, 20], axis=-1)
        assert np.median(gap) < 0.003


@pytest.mark.data
def test_hdm05_bodies_have_kinect_proportions_after_mapping(shared_data):
    folder = shared_data / "raw_samples"
    (mat, *_) = sorted((folder / "utd_mhad").glob("*.mat"))
    kinect = parse_utd_mhad(mat.read_bytes(), path=mat.name).sequence
    amc = sorted(path.name for path in (folder / "hdm05_asf_amc").glob("*.amc"))[-1]
    files = {path.name: path.read_bytes() for path in (folder / "hdm05_asf_amc").iterdir()}
    clip = next(HDM05Reader().read(amc, files.__getitem__)).sequence
    mapped = map_sequence(clip, KINECT)
    theirs, ours = (
        dict(zip(KINECT.joints[1:], np.median(lengths, axis=0), strict=True))
        for lengths in (bone_lengths(s.positions[:, 0], KINECT) for s in (kinect, mapped))
    )
    for joint, length in ours.items():
        if not joint.endswith("hand"):  # Kinect's hands jump about
            assert 1 / 1.4 < length / theirs[joint] < 1.4
        twin = KINECT.joints[KINECT.mirrored[KINECT.index(joint)]]
        assert length == pytest.approx(ours[twin], rel=0.2)


def test_uncertainty_is_the_weighted_sum_of_the_parts_and_unknown_where_one_is():
    source = LAYOUTS["h36m_17"]
    uncertainty = np.random.default_rng(1).random((3, 1, 17)).astype(np.float32)
    uncertainty[0, 0, source.index("head")] = np.nan
    mapped = map_sequence(clip(source).replaced(uncertainty=uncertainty), KINECT).uncertainty
    parts = uncertainty[1:, :, [source.index("neck"), source.index("head")]]
    head = KINECT.index("head")  # 0.5 nose + 0.5 head_top
    np.testing.assert_allclose(mapped[1:, :, head], 0.5 * parts.sum(-1), rtol=1e-6)
    assert np.isnan(mapped[0, 0, head])
    assert np.isnan(mapped[:, :, KINECT.index("left_foot")]).all()
    knee = (slice(None), slice(None))
    np.testing.assert_array_equal(
        mapped[(*knee, KINECT.index("left_knee"))],
        uncertainty[(*knee, source.index("left_knee"))],
    )
