"""A folder with one of everything that the examples of the commands name."""

from __future__ import annotations

import io
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
import yaml

from skelaug import zoo
from skelaug.checkpoint import Checkpoint, save_checkpoint
from skelaug.cli.app import run
from skelaug.data.store import SequenceFile
from skelaug.image.codec import ImageCodec, fitted_codec
from skelaug.image.store import ImageSchema, write_images
from skelaug.models import build
from skelaug.refinement.noise_model import NoiseModel
from skelaug.seeds import generator
from skelaug.skeleton.camera import pixel_keypoints
from skelaug.skeleton.layout import SkeletonLayout
from skelaug.skeleton.layouts import get_layout
from skelaug.skeleton.sequence import SkeletonSequence, Source
from skelaug.workflows.noise_file import CORRECTOR, NOISE, save_noise

RECIPE = """\
file: poses.npz
layout: kinect_20
fps: 30
axes: NCTVM
units: m
labels: label
classes: [wave, kick]
subjects: subject
dataset: mine
"""


@dataclass(frozen=True)
class Outcome:
    """What a command ended with, wrote to stdout and wrote to stderr."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line that a command which failed says."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("error: ")
        assert self.out == ""
        return lines[0]


def _skeleton_text(rng: np.random.Generator) -> str:
    """A clip of one body in the format of NTU RGB+D."""
    lines = ["4"]
    for frame in range(4):
        lines += ["1", "72057594037931101 0 1 1 1 1 0 0.1 0.1 2", "25"]
        joints = rng.normal([0.2, 0.3, 3.0], [0.2, 0.4, 0.1], (25, 3)) + 0.02 * frame
        lines += [f"{x:.5f} {y:.5f} {z:.5f} 0 0 0 0 0 0 0 0 2" for x, y, z in joints]
    return "\n".join(lines) + "\n"


def _asf_text(layout: SkeletonLayout) -> str:
    """An Acclaim skeleton with straight bones of one length."""
    lines = [":version 1.10", ":name x", ":units", "  mass 1", "  length 0.45", "  angle deg"]
    lines += [":root", "  order TX TY TZ RX RY RZ", "  axis XYZ", "  position 0 0 0"]
    lines += ["  orientation 0 0 0", ":bonedata"]
    for number, (joint, _) in enumerate(layout.bones, start=1):
        lines += ["  begin", f"    id {number}", f"    name {layout.joints[joint]}"]
        down = -1 if "leg" in _part(layout, joint) else 1
        side = {"l": 0.4, "r": -0.4}.get(layout.joints[joint][0], 0.0)
        lines += [f"    direction {side} {0.9 * down} 0.1", "    length 3", "    axis 0 0 0 XYZ"]
        lines += ["    dof rx", "    limits (-160 20)"] if "tibia" in layout.joints[joint] else []
        lines += ["  end"]
    lines += [":hierarchy", "  begin"]
    for joint, name in enumerate(layout.joints):
        children = [layout.joints[c] for c, parent in layout.bones if parent == joint]
        lines += [f"    {name} {' '.join(children)}"] if children else []
    return "\n".join([*lines, "  end", ""])


def _part(layout: SkeletonLayout, joint: int) -> str:
    return next(part for part, joints in layout.parts.items() if joint in joints)


def _amc_text(frames: int) -> str:
    lines = [":FULLY-SPECIFIED", ":DEGREES"]
    for frame in range(frames):
        lines += [str(frame + 1), f"root 0 15 {0.1 * frame} 0 0 0", f"ltibia {frame}", "rtibia 1"]
    return "\n".join([*lines, ""])


def _raw_recordings(folder: Path) -> None:
    """Archives and folders in the formats of public data sets, under their usual names."""
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(folder / "nturgbd_skeletons_s001_to_s017.zip", "w") as archive:
        for action in (1, 24):
            name = f"nturgb+d_skeletons/S001C001P001R001A{action:03d}.skeleton"
            archive.writestr(name, _skeleton_text(rng))
    with tarfile.open(folder / "hdm05.tar.xz", "w:xz") as archive:
        texts = {"HDM_bd.asf": _asf_text(get_layout("hdm05_31"))}
        texts["HDM_bd_kickLFront1Reps_001_120.amc"] = _amc_text(12)
        for name, text in texts.items():
            entry = tarfile.TarInfo(f"train/6/{name}")
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    (folder / "recordings").mkdir()
    for take in (1, 2):
        clip = rng.normal([[[0.1], [0.2], [2.8]]], 0.3, (20, 3, 9))
        scipy.io.savemat(folder / "recordings" / f"a3_s1_t{take}_skeleton.mat", {"d_skel": clip})
    with tarfile.open(folder / "utd_mhad_skeleton.tar.xz", "w:xz") as archive:
        archive.add(folder / "recordings", arcname="Skeleton")


def _with_gap(clip: SkeletonSequence) -> SkeletonSequence:
    """The clip without an arm for half a second, and less sure of a leg."""
    observed, positions = clip.observed.copy(), clip.positions.copy()
    observed[5:20, 0, 4:7] = False
    positions[~observed] = np.nan
    confidence = observed.astype(np.float32)
    confidence[8:12, 0, 13:15] *= 0.3
    return clip.replaced(observed=observed, positions=positions, confidence=confidence)


def _shivering(clip: SkeletonSequence) -> SkeletonSequence:
    """The clip with white noise about a root that stays."""
    noise = np.random.default_rng(clip.num_frames).normal(0, 0.01, clip.positions.shape)
    noise[:, :, clip.layout.root] = 0
    return clip.replaced(positions=clip.positions + noise.astype(np.float32))


def _write_refiner(folder: Path) -> None:
    """A refiner that has learnt nothing, and a noise model of white noise."""
    layout = get_layout("kinect_20")
    arguments = {"joints": 20, "keypoints": False, "features": 16, "depth": 1, "heads": 2}
    network = build("pose-denoiser", arguments, generator=generator(0))
    meta = {"what": "refiner", "refiner": {"frames": 9, "fps": 30.0, "unit": 0.01}}
    checkpoint = Checkpoint("pose-denoiser", arguments, network.state_dict(), layout, (), meta)
    save_checkpoint(folder / "model.safetensors", checkpoint)
    size = 3 * (layout.num_joints - 1)
    noise = NoiseModel(
        joints=layout.num_joints,
        root=layout.root,
        with_keypoints=False,
        mean_error=torch.zeros(size).double(),
        mean_condition=torch.zeros(size).double(),
        regression=torch.zeros(size, size).double(),
        cholesky=0.01 * torch.eye(size).double(),
    )
    for name in (CORRECTOR, NOISE):
        save_noise(folder / name, noise, layout, 30.0)


def _layout(joints: list[str]) -> str:
    return yaml.safe_dump({"name": "mine", "joints": joints, "parents": [None, *joints[:-1]]})


@pytest.fixture(scope="session")
def _everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("everything")


@pytest.fixture
def sandbox(
    _everything: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    labelled_clips: Callable[..., list],
    make_sequence: Callable,
    write_file: Callable,
    make_model: Callable,
    make_recognizer: Callable,
    make_prior: Callable,
    filmed_clips: Callable[..., list],
    make_lifter: Callable,
    unseen: Path,
) -> Path:
    """The current folder of a test: data.h5, gaps.h5, synthetic.h5, kicks.h5, images.h5, raw files.

    A tiny model with random weights stands in for the packaged one; `recognizer`, `bones`,
    `prior`, `vae`, `lifter`, `refiner` and `unseen` are such runs. In filmed.h5 the clips have 2D
    poses, of which pixels.npz holds some in pixels; noisy.h5 holds the clips of data.h5 with noise;
    actions.h5 has the classes that `unseen` was trained on and those that it was told of.
    """
    full = _everything / "files"
    if not full.exists():
        full.mkdir()
        clips = labelled_clips()
        write_file(full / "data.h5", clips)
        write_file(full / "gaps.h5", [_with_gap(clip) for clip in clips], has_confidence=True)
        write_file(full / "noisy.h5", [_shivering(clip) for clip in clips])
        drawn = [
            clip.replaced(name=f"synthetic {clip.name}", source=Source.SYNTHETIC, seed=7)
            for clip in labelled_clips(missing=0.01)
        ]
        write_file(full / "synthetic.h5", drawn)
        kicks = [
            make_sequence(
                "kick forward", name=f"synthetic {k}", seed=k, source=Source.SYNTHETIC, frames=20
            )
            for k in range(12)
        ]
        write_file(full / "kicks.h5", kicks)
        with SequenceFile(full / "data.h5") as data:
            codec = fitted_codec(data, ImageCodec(data.layout))
            schema = ImageSchema(codec=codec, classes=data.classes, count=len(data))
            write_images(full / "images.h5", data, schema, provenance=data.provenance)
        stacked = np.stack([clip.positions[:25].transpose(3, 0, 2, 1) for clip in clips[12:24]])
        label = np.repeat([0, 1], 6)
        subject = np.tile([1, 1, 2, 2, 3, 3], 2)
        np.savez(full / "poses.npz", positions=stacked, label=label, subject=subject)
        (full / "poses.yaml").write_text(RECIPE)
        _raw_recordings(full)
        (full / "my_layout.yaml").write_text(_layout(["hip", "chest", "head"]))
        filmed = filmed_clips()
        write_file(full / "filmed.h5", filmed, has_keypoints=True)
        seen = {f"take {k}": clip.keypoints[:, 0] for k, clip in enumerate(filmed[:3])}
        pixels = {name: pixel_keypoints(view, (640, 480)) for name, view in seen.items()}
        np.savez(full / "pixels.npz", **pixels)
        make_lifter(full / "lifter")
        make_recognizer(full / "recognizer")
        make_recognizer(full / "bones", streams=("bone",), seed=1)
        _write_refiner(full / "refiner")
        shutil.copytree(unseen / "run", full / "unseen")
        for name in ("texts.yaml", "actions.h5"):
            shutil.copy(unseen / name, full / name)
        (full / "labels.txt").write_text("wave with one hand\n\nsquat\n")
        make_prior(full / "prior")
        make_prior(full / "vae", kind="motion-vae")
    folder = tmp_path / "sandbox"
    shutil.copytree(full, folder)
    monkeypatch.chdir(folder)
    packaged = make_model("zoo/kinect20")
    shutil.copy(full / "recognizer" / "model.safetensors", packaged / "recognizer.safetensors")
    shutil.copy(full / "prior" / "model.safetensors", packaged / "hgvae.safetensors")
    monkeypatch.setattr(zoo, "_HERE", packaged.parent)
    return folder


@pytest.fixture
def skelaug(sandbox: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """``skelaug("info", "data.h5")`` runs a command in the sandbox."""

    def call(*arguments: str) -> Outcome:
        code = run(arguments)
        captured = capfd.readouterr()
        return Outcome(code, captured.out, captured.err)

    return call
