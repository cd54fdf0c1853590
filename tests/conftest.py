"""Shared fixtures: made-up clips that move like somebody, small files of them, the real data."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

import hypothesis
import numpy as np
import pytest

from skelaug.data.store import Schema, write_sequences
from skelaug.skeleton.layout import SkeletonLayout
from skelaug.skeleton.layouts import get_layout
from skelaug.skeleton.sequence import SkeletonSequence, Source

# a busy machine is no fault of the code, and equal runs find equal examples
hypothesis.settings.register_profile("skelaug", deadline=None, derandomize=True)
hypothesis.settings.load_profile("skelaug")

CLASSES = ("kick forward", "walk", "wave", "sit [slow]")

# metres from a joint to its child, by body part: a body that stands upright and faces the sensor
_BONES = {
    "torso": (0.0, 0.22, 0.0),
    "left_arm": (-0.17, -0.12, 0.0),
    "right_arm": (0.17, -0.12, 0.0),
    "left_leg": (-0.04, -0.3, -0.02),
    "right_leg": (0.04, -0.3, -0.02),
}

MakeSequence = Callable[..., SkeletonSequence]
WriteFile = Callable[..., Path]


def _standing(layout: SkeletonLayout) -> np.ndarray:
    part_of = {joint: part for part, joints in layout.parts.items() for joint in joints}
    pose = np.zeros((layout.num_joints, 3))
    for joint in layout.tree_order:
        parent = layout.parents[joint]
        if parent >= 0:
            bone = _BONES.get(part_of.get(joint, "torso"), _BONES["torso"])
            # joints of 2D layouts may share a part and a parent: keep them apart
            pose[joint] = pose[parent] + np.array(bone) + 0.02 * np.sin([joint, 2 * joint, 0])
    return pose


def _sequence(
    label: str = "walk",
    *,
    name: str = "clip",
    frames: int = 24,
    layout: str = "kinect_20",
    persons: int = 1,
    fps: float = 30.0,
    subject: int = 1,
    seed: int = 0,
    missing: float = 0.0,
    source: Source = Source.REAL,
) -> SkeletonSequence:
    joints = get_layout(layout)
    noise = np.random.default_rng([seed, zlib.crc32(label.encode())])
    manner = np.random.default_rng(zlib.crc32(label.encode()))
    pose = _standing(joints)
    depth = np.linalg.norm(pose - pose[joints.root], axis=-1)
    swing = 0.25 * manner.standard_normal((joints.num_joints, 3)) * depth[:, None]
    pace = 2 * np.pi * (1 + manner.random()) * (1 + 0.1 * noise.standard_normal())
    time = np.arange(frames) / fps
    phase = noise.uniform(0, 0.5)
    motion = np.sin(pace * time + phase)[:, None, None] * swing
    travel = np.stack([0.3 * time, 0 * time, 2.5 - 0.2 * time], axis=-1)[:, None]
    body = (1 + 0.03 * noise.standard_normal()) * pose
    positions = np.stack(
        [body + motion + travel + [0.9 * person, 0.0, 0.0] for person in range(persons)], axis=1
    )
    observed = noise.random(positions.shape[:3]) >= missing
    positions[~observed] = np.nan
    return SkeletonSequence(
        positions=positions.astype(np.float32),
        observed=observed,
        layout=joints,
        fps=fps,
        name=name,
        label=label,
        subject=subject,
        source=source,
        seed=seed if source is Source.SYNTHETIC else -1,
    )


def _write(path: Path, clips: Iterable[SkeletonSequence], **schema: object) -> Path:
    clips = list(clips)
    classes = tuple(dict.fromkeys(clip.label for clip in clips if clip.label))
    what = {"classes": classes, "persons": max(clip.num_persons for clip in clips), **schema}
    record = {"command": "test", "config": {}, "version": "0", "inputs": {}}
    write_sequences(path, clips, Schema(clips[0].layout, **what), provenance=[record])  # type: ignore[arg-type]
    return path


def _labelled_clips(**options: object) -> list[SkeletonSequence]:
    return [
        _sequence(
            label,
            name=f"{label} {subject}-{take}",
            frames=20 + 3 * take + 5 * subject,
            subject=subject,
            seed=100 * subject + take,
            **options,  # type: ignore[arg-type]
        )
        for label in CLASSES
        for subject in (1, 2, 3)
        for take in (0, 1)
    ]


@pytest.fixture
def make_sequence() -> MakeSequence:
    """``make_sequence(label, name=, frames=, layout=, persons=, fps=, subject=, seed=, missing=)``.

    Clips of one label move alike; `seed` varies body size, pace and phase.
    """
    return _sequence


@pytest.fixture
def write_file() -> WriteFile:
    """``write_file(path, clips, **schema)`` writes a sequence file and returns its path."""
    return _write


@pytest.fixture
def labelled_clips() -> Callable[..., list[SkeletonSequence]]:
    """``labelled_clips(**options)``: 24 clips of 4 classes and 3 subjects, 25 to 38 frames."""
    return _labelled_clips


@pytest.fixture
def data_file(tmp_path: Path) -> Path:
    """A sequence file of the 24 labelled clips in ``kinect_20``."""
    return _write(tmp_path / "data.h5", _labelled_clips())


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets beside the checkout; skips where there is none."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real data sets are not there: expected ../shared/data beside the checkout")
    return folder
