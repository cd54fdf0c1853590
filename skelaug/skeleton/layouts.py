"""The layouts that ship: joints in the order of their data set, the tree, parts, mirror, source.

A layout is written as limbs: ``"a > b > c"`` says that b hangs on a and c on b. The first joint of
a limb is where it is attached; the others belong to the limb's body part. The first joint of the
torso is the root. Right limbs are the left ones with the sides of their names exchanged, so that
left and right cannot differ.

Layouts of 2D detectors have no pelvis. Their root is the only joint without a mirror image that
they have (the nose, or OpenPose's neck), because a mirrored tree must be the same tree.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from skelaug.errors import NotFoundError, did_you_mean
from skelaug.skeleton.layout import SkeletonLayout, layout_from_yaml

__all__ = ["LAYOUTS", "get_layout"]

_SIDES = (("left", "right"), ("right", "left"), ("_L", "_R"), ("_R", "_L"))


def _twin(joint: str) -> str:
    """The name with left and right exchanged (left_hip, UpperLeg_L or lfemur)."""
    for side, other in _SIDES:
        if side in joint:
            return joint.replace(side, other)
    return {"l": "r", "r": "l"}.get(joint[0], joint[0]) + joint[1:]


def _bones(limbs: str) -> Iterator[tuple[str, str]]:
    """The (child, parent) names of comma-separated limbs."""
    for limb in limbs.split(","):
        chain = limb.replace(">", " ").split()
        yield from zip(chain[1:], chain, strict=False)


def _layout(
    name: str,
    joints: str,
    *,
    torso: str,
    left_arm: str,
    left_leg: str,
    hip: str,
    source: str,
) -> SkeletonLayout:
    names = tuple(joints.split())

    def twin(joint: str) -> str:
        return _twin(joint) if _twin(joint) in names else joint

    left = {"left_arm": tuple(_bones(left_arm)), "left_leg": tuple(_bones(left_leg))}
    bones = {"torso": tuple(_bones(torso)), **left}
    for part, limb in left.items():
        bones[_twin(part)] = tuple((twin(child), twin(parent)) for child, parent in limb)
    parent_of = {child: parent for limb in bones.values() for child, parent in limb}
    members = {part: {child for child, _ in limb} for part, limb in bones.items()}
    members["torso"].add(torso.split()[0])
    paired = {joint for limb in left.values() for joint, _ in limb}
    paired |= {joint for joint in members["torso"] if "left" in joint}
    return SkeletonLayout(
        name=name,
        joints=names,
        parents=tuple(names.index(parent_of[j]) if j in parent_of else -1 for j in names),
        mirror=tuple((names.index(j), names.index(twin(j))) for j in names if j in paired),
        parts={p: tuple(i for i, j in enumerate(names) if j in members[p]) for p in members},
        source=source,
        hips=(hip, twin(hip)),
    )


_ALL = (
    _layout(
        "ntu_25",
        "spine_base spine_mid neck head left_shoulder left_elbow left_wrist left_hand "
        "right_shoulder right_elbow right_wrist right_hand left_hip left_knee left_ankle left_foot "
        "right_hip right_knee right_ankle right_foot spine_shoulder left_hand_tip left_thumb "
        "right_hand_tip right_thumb",
        torso="spine_base > spine_mid > spine_shoulder > neck > head",
        left_arm="spine_shoulder > left_shoulder > left_elbow > left_wrist > left_hand > "
        "left_hand_tip, left_hand > left_thumb",
        left_leg="spine_base > left_hip > left_knee > left_ankle > left_foot",
        hip="left_hip",
        source="Shahroudy et al. 2016 (NTU RGB+D), figure 1, Kinect v2; tip and thumb hang on the "
        "hand, where the tables of public recognizers hang the tip on the thumb",
    ),
    _layout(
        "ntu_24",
        "spine_base spine_mid neck head left_shoulder left_elbow left_wrist left_hand "
        "right_shoulder right_elbow right_wrist right_hand left_hip left_knee left_ankle left_foot "
        "right_hip right_knee right_ankle right_foot left_hand_tip left_thumb "
        "right_hand_tip right_thumb",
        torso="spine_base > spine_mid > neck > head",
        left_arm="spine_mid > left_shoulder > left_elbow > left_wrist > left_hand > "
        "left_hand_tip, left_hand > left_thumb",
        left_leg="spine_base > left_hip > left_knee > left_ankle > left_foot",
        hip="left_hip",
        source="ntu_25 without joint 21 (spine_shoulder), so that an image has 24 rows; neck and "
        "shoulders hang on spine_mid as in the ntu_edge graph of yysijie/st-gcn",
    ),
    _layout(
        "kinect_20",
        "hip_center spine shoulder_center head left_shoulder left_elbow left_wrist left_hand "
        "right_shoulder right_elbow right_wrist right_hand left_hip left_knee left_ankle left_foot "
        "right_hip right_knee right_ankle right_foot",
        torso="hip_center > spine > shoulder_center > head",
        left_arm="shoulder_center > left_shoulder > left_elbow > left_wrist > left_hand",
        left_leg="hip_center > left_hip > left_knee > left_ankle > left_foot",
        hip="left_hip",
        source="Kinect v1 (Shotton et al. 2011) in the order of Northwestern-UCLA; names as in the "
        "joint list of UTD-MHAD, whose own order is head first",
    ),
    _layout(
        "smpl_24",
        "pelvis left_hip right_hip spine1 left_knee right_knee spine2 left_ankle right_ankle "
        "spine3 left_foot right_foot neck left_collar right_collar head left_shoulder "
        "right_shoulder left_elbow right_elbow left_wrist right_wrist left_hand right_hand",
        torso="pelvis > spine1 > spine2 > spine3 > neck > head",
        left_arm="spine3 > left_collar > left_shoulder > left_elbow > left_wrist > left_hand",
        left_leg="pelvis > left_hip > left_knee > left_ankle > left_foot",
        hip="left_hip",
        source="Loper et al. 2015 (SMPL), kinematic tree of the 24 joints",
    ),
    _layout(
        "smpl_22",
        "pelvis left_hip right_hip spine1 left_knee right_knee spine2 left_ankle right_ankle "
        "spine3 left_foot right_foot neck left_collar right_collar head left_shoulder "
        "right_shoulder left_elbow right_elbow left_wrist right_wrist",
        torso="pelvis > spine1 > spine2 > spine3 > neck > head",
        left_arm="spine3 > left_collar > left_shoulder > left_elbow > left_wrist",
        left_leg="pelvis > left_hip > left_knee > left_ankle > left_foot",
        hip="left_hip",
        source="smpl_24 without the hands, as in HumanML3D (Guo et al. 2022) and AMASS body joints",
    ),
    _layout(
        "h36m_17",
        "pelvis right_hip right_knee right_ankle left_hip left_knee left_ankle spine thorax neck "
        "head left_shoulder left_elbow left_wrist right_shoulder right_elbow right_wrist",
        torso="pelvis > spine > thorax > neck > head",
        left_arm="thorax > left_shoulder > left_elbow > left_wrist",
        left_leg="pelvis > left_hip > left_knee > left_ankle",
        hip="left_hip",
        source="Ionescu et al. 2014 (Human3.6M), the 17 joints of Martinez et al. 2017 and "
        "Pavllo et al. 2019; joint 9 lies at the nose, head is the crown",
    ),
    _layout(
        "coco_17",
        "nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow "
        "right_elbow left_wrist right_wrist left_hip right_hip left_knee right_knee left_ankle "
        "right_ankle",
        torso="nose > left_eye > left_ear, nose > right_eye > right_ear",
        left_arm="nose > left_shoulder > left_elbow > left_wrist",
        left_leg="left_shoulder > left_hip > left_knee > left_ankle",
        hip="left_hip",
        source="Lin et al. 2014 (COCO keypoints); the root is the nose, shoulders hang on it and "
        "hips on the shoulders, as in the coco graph of kennymckormick/pyskl",
    ),
    _layout(
        "openpose_18",
        "nose neck right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist "
        "right_hip right_knee right_ankle left_hip left_knee left_ankle right_eye left_eye "
        "right_ear left_ear",
        torso="neck > nose > left_eye > left_ear, nose > right_eye > right_ear",
        left_arm="neck > left_shoulder > left_elbow > left_wrist",
        left_leg="neck > left_hip > left_knee > left_ankle",
        hip="left_hip",
        source="Cao et al. 2017 (OpenPose), model COCO with its limb pairs; the root is the neck",
    ),
    _layout(
        "openpose_25",
        "nose neck right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist "
        "mid_hip right_hip right_knee right_ankle left_hip left_knee left_ankle right_eye left_eye "
        "right_ear left_ear left_big_toe left_small_toe left_heel right_big_toe right_small_toe "
        "right_heel",
        torso="mid_hip > neck > nose > left_eye > left_ear, nose > right_eye > right_ear",
        left_arm="neck > left_shoulder > left_elbow > left_wrist",
        left_leg="mid_hip > left_hip > left_knee > left_ankle > left_big_toe > left_small_toe, "
        "left_ankle > left_heel",
        hip="left_hip",
        source="Cao et al. 2019 (OpenPose), model BODY_25 with its limb pairs; the root is mid_hip",
    ),
    _layout(
        "hdm05_31",
        "root lhipjoint lfemur ltibia lfoot ltoes rhipjoint rfemur rtibia rfoot rtoes lowerback "
        "upperback thorax lowerneck upperneck head lclavicle lhumerus lradius lwrist lhand "
        "lfingers lthumb rclavicle rhumerus rradius rwrist rhand rfingers rthumb",
        torso="root > lowerback > upperback > thorax > lowerneck > upperneck > head",
        left_arm="thorax > lclavicle > lhumerus > lradius > lwrist > lhand > lfingers, "
        "lwrist > lthumb",
        left_leg="root > lhipjoint > lfemur > ltibia > lfoot > ltoes",
        hip="lhipjoint",
        source="Mueller et al. 2007 (HDM05), hierarchy of its ASF files; a joint is the END of the "
        "bone it is named after, so lfemur is the left knee",
    ),
    _layout(
        "bandai_21",
        "Hips Spine Chest Neck Head Shoulder_L UpperArm_L LowerArm_L Hand_L Shoulder_R UpperArm_R "
        "LowerArm_R Hand_R UpperLeg_L LowerLeg_L Foot_L Toes_L UpperLeg_R LowerLeg_R Foot_R Toes_R",
        torso="Hips > Spine > Chest > Neck > Head",
        left_arm="Chest > Shoulder_L > UpperArm_L > LowerArm_L > Hand_L",
        left_leg="Hips > UpperLeg_L > LowerLeg_L > Foot_L > Toes_L",
        hip="UpperLeg_L",
        source="Bandai-Namco-Research-Motiondataset 2, hierarchy of its BVH files; a joint is the "
        "START of the bone it is named after, so LowerLeg_L is the left knee",
    ),
    _layout(
        "humaneva_15",
        "pelvis thorax left_shoulder left_elbow left_wrist right_shoulder right_elbow right_wrist "
        "left_hip left_knee left_ankle right_hip right_knee right_ankle head",
        torso="pelvis > thorax > head",
        left_arm="thorax > left_shoulder > left_elbow > left_wrist",
        left_leg="pelvis > left_hip > left_knee > left_ankle",
        hip="left_hip",
        source="Sigal et al. 2010 (HumanEva-I), the 15 joints of Pavllo et al. 2019",
    ),
    _layout(
        "sbu_15",
        "head neck torso shoulder_left elbow_left hand_left shoulder_right elbow_right hand_right "
        "hip_left knee_left foot_left hip_right knee_right foot_right",
        torso="torso > neck > head",
        left_arm="neck > shoulder_left > elbow_left > hand_left",
        left_leg="torso > hip_left > knee_left > foot_left",
        hip="hip_left",
        source="Yun et al. 2012 (SBU Kinect Interaction), the 15 joints of the OpenNI tracker",
    ),
    _layout(
        "mediapipe_33",
        "nose left_eye_inner left_eye left_eye_outer right_eye_inner right_eye right_eye_outer "
        "left_ear right_ear mouth_left mouth_right left_shoulder right_shoulder left_elbow "
        "right_elbow left_wrist right_wrist left_pinky right_pinky left_index right_index "
        "left_thumb right_thumb left_hip right_hip left_knee right_knee left_ankle right_ankle "
        "left_heel right_heel left_foot_index right_foot_index",
        torso="nose > left_eye_inner > left_eye > left_eye_outer > left_ear, nose > mouth_left, "
        "nose > right_eye_inner > right_eye > right_eye_outer > right_ear, nose > mouth_right",
        left_arm="nose > left_shoulder > left_elbow > left_wrist > left_index, "
        "left_wrist > left_pinky, left_wrist > left_thumb",
        left_leg="left_shoulder > left_hip > left_knee > left_ankle > left_heel, "
        "left_ankle > left_foot_index",
        hip="left_hip",
        source="Bazarevsky et al. 2020 (BlazePose), the landmarks of MediaPipe Pose; the root is "
        "the nose, shoulders hang on it and hips on the shoulders",
    ),
)

LAYOUTS: Mapping[str, SkeletonLayout] = MappingProxyType({layout.name: layout for layout in _ALL})
"""Every layout that ships, by name."""


def get_layout(name_or_path: str) -> SkeletonLayout:
    """The layout of that name, or the user's own from a YAML file.

    Args:
        name_or_path: A key of `LAYOUTS`, or a path that ends in ``.yaml`` or ``.yml``.

    Raises:
        NotFoundError: No layout has that name, or the file does not exist.
        DataError: The file breaks a law of layouts.
    """
    if name_or_path in LAYOUTS:
        return LAYOUTS[name_or_path]
    path = Path(name_or_path)
    if path.suffix.lower() not in (".yaml", ".yml"):
        raise NotFoundError(
            f"layout {name_or_path!r}: no such layout; {did_you_mean(name_or_path, LAYOUTS)} "
            f"(for a layout of your own give the path of its YAML file)"
        )
    if not path.is_file():
        raise NotFoundError(f"{path}: no such layout file; check the path")
    return layout_from_yaml(path)
