"""Clips move between layouts by joint name: what is the same, what a formula gives, what is lost.

Each layout's joints are points of one vocabulary of anatomical names (`left_hip`, `pelvis`,
`spine_shoulder`, `head_base` ...). A target joint is *exact* where the source has the same point,
*approximated* where a formula over points of the source gives it, and otherwise *unavailable*.

Traps that the tables settle:

- HDM05 names a joint by the end of its bone, and its forearm is two bones: `lradius` ends in the
  middle of the forearm and `lwrist` at the wrist (the joint that `lhand` flexes).
- `head` is the centre of the head for Kinect, the crown for Human3.6M, the skull's base for SMPL.
- Kinect v1 puts `spine` a fifth of the way from hips to shoulders, Kinect v2 in the middle.
- Kinect v2 computes `spine_shoulder` as a quarter `spine_mid` and three quarters `neck`
  (within 2 mm on NTU RGB+D clips), so ntu_24 loses nothing to speak of.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skelaug.errors import DataError
from skelaug.skeleton.layout import SkeletonLayout
from skelaug.skeleton.layouts import LAYOUTS
from skelaug.skeleton.sequence import SkeletonSequence

__all__ = ["MappingReport", "map_sequence", "mapping_report"]

# Joint name -> point where they differ, for any layout; right sides follow from the mirror.
_COMMON = {
    "hip_center": "pelvis",
    "spine_base": "pelvis",
    "mid_hip": "pelvis",
    "shoulder_center": "spine_shoulder",
    "left_big_toe": "left_toe_tip",
    "left_foot_index": "left_toe_tip",
}
# The same for names that mean something else in one layout.
_OWN: Mapping[str, Mapping[str, str]] = {
    "kinect_20": {"spine": "spine_low"},
    "smpl_24": {"neck": "spine_shoulder", "head": "head_base", "left_foot": "left_toe_base"},
    "smpl_22": {"neck": "spine_shoulder", "head": "head_base", "left_foot": "left_toe_base"},
    "h36m_17": {
        "spine": "spine_mid",
        "thorax": "spine_shoulder",
        "neck": "nose",
        "head": "head_top",
    },
    "openpose_18": {"neck": "spine_shoulder"},
    "openpose_25": {"neck": "spine_shoulder"},
    "hdm05_31": {
        "root": "pelvis",
        "lhipjoint": "left_hip",
        "lfemur": "left_knee",
        "ltibia": "left_ankle",
        "lfoot": "left_toe_base",
        "ltoes": "left_toe_tip",
        "thorax": "spine_shoulder",
        "upperneck": "head_base",
        "head": "head_top",
        "lclavicle": "left_shoulder",
        "lhumerus": "left_elbow",
        "lradius": "left_forearm",
        "lwrist": "left_wrist",
        "lhand": "left_hand",
        "lfingers": "left_hand_tip",
        "lthumb": "left_thumb",
    },
    "bandai_21": {
        "Hips": "pelvis",
        "Neck": "spine_shoulder",
        "Head": "head_base",
        "Shoulder_L": "left_collar",
        "UpperArm_L": "left_shoulder",
        "LowerArm_L": "left_elbow",
        "Hand_L": "left_wrist",
        "UpperLeg_L": "left_hip",
        "LowerLeg_L": "left_knee",
        "Foot_L": "left_ankle",
        "Toes_L": "left_toe_base",
    },
    "humaneva_15": {"thorax": "spine_shoulder"},
    "sbu_15": {
        "torso": "spine_mid",
        "neck": "spine_shoulder",
        "shoulder_left": "left_shoulder",
        "elbow_left": "left_elbow",
        "hand_left": "left_hand",
        "hip_left": "left_hip",
        "knee_left": "left_knee",
        "foot_left": "left_ankle",
    },
    "mediapipe_33": {"left_thumb": "left_thumb_knuckle"},
}
# Point = weighted points; the line with the fewest formulas of formulas is used, the first of equal
# ones. Weights were read off the median bone lengths of UTD-MHAD, NTU RGB+D, HDM05 and Bandai-Namco
# clips. A left point stands for its right twin too.
_FORMULAS = """
pelvis = 0.5 left_hip + 0.5 right_hip
spine_low = 0.45 pelvis + 0.55 lowerback
spine_low = 0.5 pelvis + 0.5 Spine
spine_low = 0.25 pelvis + 0.75 spine1
spine_low = 0.67 pelvis + 0.33 spine_mid
spine_low = 0.8 pelvis + 0.2 spine_shoulder
spine_mid = 0.5 lowerback + 0.5 upperback
spine_mid = 0.5 Spine + 0.5 Chest
spine_mid = 1 spine2
spine_mid = 0.45 pelvis + 0.55 spine_shoulder
spine_shoulder = 0.25 spine_mid + 0.75 neck
spine_shoulder = 0.5 left_shoulder + 0.5 right_shoulder
neck = 0.65 spine_shoulder + 0.35 head
head = 0.5 left_ear + 0.5 right_ear
head = 0.5 head_base + 0.5 head_top
head = 0.5 nose + 0.5 head_top
head = 2 head_base - 1 spine_shoulder
head = 1 nose
head_base = 0.5 spine_shoulder + 0.5 head
lowerback = 0.67 pelvis + 0.33 spine_shoulder
upperback = 0.33 pelvis + 0.67 spine_shoulder
Spine = 0.62 pelvis + 0.38 spine_shoulder
Chest = 0.4 pelvis + 0.6 spine_shoulder
spine1 = 0.77 pelvis + 0.23 spine_shoulder
spine2 = 0.5 pelvis + 0.5 spine_shoulder
spine3 = 0.4 pelvis + 0.6 spine_shoulder
left_forearm = 0.33 left_elbow + 0.67 left_wrist
left_wrist = 0.23 left_elbow + 0.77 left_hand
left_hand = 0.5 left_index + 0.5 left_pinky
left_hand = 1.3 left_wrist - 0.3 left_elbow
left_thumb = 1 left_thumb_knuckle
left_foot = 0.5 left_ankle + 0.5 left_toe_base
left_foot = 0.6 left_ankle + 0.4 left_toe_tip
left_toe_base = 0.33 left_ankle + 0.67 left_toe_tip
left_toe_base = 2 left_foot - 1 left_ankle
"""

_Weights = dict[str, float]


@dataclass(frozen=True)
class MappingReport:
    """What becomes of each joint of the target layout; every name is a target joint.

    Attributes:
        exact: Joints that the source layout has.
        approximated: Joint to the formula over source joints that gives it.
        unavailable: Joints that stay unmeasured.
    """

    exact: tuple[str, ...]
    approximated: Mapping[str, str]
    unavailable: tuple[str, ...]


def mapping_report(source: SkeletonLayout, target: SkeletonLayout) -> MappingReport:
    """Which joints of `target` can be had from `source`, and how."""
    weights = _resolved(source, target)
    exact = tuple(joint for joint, terms in weights.items() if _is_exact(terms))
    return MappingReport(
        exact=exact,
        approximated={j: _text(terms) for j, terms in weights.items() if terms and j not in exact},
        unavailable=tuple(joint for joint, terms in weights.items() if not terms),
    )


def map_sequence(sequence: SkeletonSequence, target: SkeletonLayout) -> SkeletonSequence:
    """The clip with the joints of `target`.

    A mapped joint is observed where all joints that it is made of are, its confidence is the
    least of theirs, its uncertainty at most the weighted sum of theirs, its keypoint their mean
    with the same weights (which leaves out the perspective within a bone); an unavailable joint is
    NaN and unobserved.

    Raises:
        DataError: No joint of the target can be had.
    """
    source = sequence.layout
    if source.joints == target.joints:
        return sequence.replaced(layout=target)
    resolved = _resolved(source, target)
    if not any(resolved.values()):
        raise DataError(
            f"clip {sequence.name!r}: no joint of layout {target.name} can be had from "
            f"{source.name}; name the joints as in a layout that ships"
        )
    mix = np.zeros((target.num_joints, source.num_joints))
    for row, terms in enumerate(resolved.values()):
        for joint, weight in terms.items():
            mix[row, source.index(joint)] = weight
    confidence = sequence.confidence
    if confidence is not None:
        parts = np.where(mix != 0, confidence[..., None, :], np.inf).min(axis=-1)
        confidence = np.where(np.isfinite(parts), parts, 0).astype(np.float32)
    uncertainty = sequence.uncertainty
    if uncertainty is not None:
        # standard deviations add up at most so far, whatever the parts' errors have in common
        said = _all_of(np.asarray(np.isfinite(uncertainty), dtype=np.bool_), mix)
        total = np.nan_to_num(uncertainty).astype(np.float64) @ np.abs(mix).T
        uncertainty = np.where(said, total, np.nan).astype(np.float32)
    keypoints = sequence.keypoints
    return sequence.replaced(
        positions=_mixed(sequence.positions, mix),
        observed=_all_of(sequence.observed, mix),
        confidence=confidence,
        uncertainty=uncertainty,
        keypoints=None if keypoints is None else _mixed(keypoints, mix),
        layout=target,
    )


def _mixed(points: NDArray[np.float32], mix: NDArray[np.float64]) -> NDArray[np.float32]:
    """T M V C of the target: weighted joints of the source; NaN where one of them is."""
    known = np.asarray(np.isfinite(points).all(axis=-1), dtype=np.bool_)
    mixed = (mix @ np.where(known[..., None], points, 0).astype(np.float64)).astype(np.float32)
    mixed[~_all_of(known, mix)] = np.nan
    return np.asarray(mixed, dtype=np.float32)


def _all_of(flags: NDArray[np.bool_], mix: NDArray[np.float64]) -> NDArray[np.bool_]:
    """T M V of the target: whether a joint has parts and the flag of each of them is set."""
    parts = (mix != 0).astype(np.float64)
    counted = flags.astype(np.float64) @ parts.T
    return np.asarray((counted == parts.sum(axis=1)) & (counted > 0), dtype=np.bool_)


def _resolved(source: SkeletonLayout, target: SkeletonLayout) -> Mapping[str, _Weights]:
    """For each target joint, in order, the weights over source joints; empty if unavailable."""
    return _solved(tuple(_points(source).items()), tuple(_points(target).items()))


@functools.lru_cache(maxsize=64)
def _solved(
    source: tuple[tuple[str, str], ...], target: tuple[tuple[str, str], ...]
) -> Mapping[str, _Weights]:
    at = {point: joint for joint, point in source}
    found = {joint: _weights(point, at, frozenset()) for joint, point in target}
    return {joint: terms for joint, (_, terms) in found.items()}


def _points(layout: SkeletonLayout) -> dict[str, str]:
    """The anatomical point of each joint."""
    shipped = LAYOUTS.get(layout.name)
    known = shipped is not None and shipped.joints == layout.joints
    table = {**_COMMON, **(_OWN.get(layout.name, {}) if known else {})}
    points = {joint: table.get(joint, joint) for joint in layout.joints}
    for left, right in layout.mirror:
        if layout.joints[left] in table:
            points[layout.joints[right]] = _other_side(points[layout.joints[left]])
    return points


def _weights(point: str, at: Mapping[str, str], tried: frozenset[str]) -> tuple[int, _Weights]:
    """How many formulas deep the point is, and the point as weights over source joints."""
    if point in at:
        return 0, {at[point]: 1.0}
    best: tuple[int, _Weights] = (0, {})
    for formula in () if point in tried else _PARSED.get(point, ()):
        parts = {part: _weights(part, at, tried | {point}) for part in formula}
        depth = 1 + max(deep for deep, _ in parts.values())
        if all(terms for _, terms in parts.values()) and (not best[1] or depth < best[0]):
            total: _Weights = {}
            for part, (_, terms) in parts.items():
                for joint, weight in terms.items():
                    total[joint] = total.get(joint, 0.0) + formula[part] * weight
            best = depth, total
    return best


def _is_exact(terms: _Weights) -> bool:
    return list(terms.values()) == [1.0]


def _text(terms: _Weights) -> str:
    """A formula as text, e.g. ``0.5 left_hip + 0.5 right_hip``."""
    text = " + ".join(f"{weight:.3g} {joint}" for joint, weight in terms.items())
    return text.replace("+ -", "- ")


def _other_side(name: str) -> str:
    return name.replace("left_", "right_")


def _parse(text: str) -> dict[str, list[_Weights]]:
    """The formulas of both sides by point, in the order of the text."""
    formulas: dict[str, list[_Weights]] = {}
    for line in text.strip().splitlines():
        sided = [line] if not line.startswith("left_") else [line, _other_side(line)]
        for one in sided:
            point, _, right = one.partition(" = ")
            words = right.replace("- ", "+ -").split(" + ")
            terms = {name: float(weight) for weight, name in (word.split() for word in words)}
            formulas.setdefault(point, []).append(terms)
    return formulas


_PARSED = _parse(_FORMULAS)
