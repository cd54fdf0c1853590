"""Shared fixtures: made-up clips that move like somebody, small files of them, the real data."""

from __future__ import annotations

import json
import shutil
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

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


def _write_model(folder: Path, *, conditional: bool, classes: tuple[str, ...]) -> Path:
    """Untrained weights, shaken so that they do something, as a packaged model."""
    import torch

    from skelaug.checkpoint import Checkpoint, save_checkpoint
    from skelaug.image.codec import ImageCodec
    from skelaug.image.normalizer import fit_normalizer
    from skelaug.image.sketch import sketch
    from skelaug.models import build
    from skelaug.seeds import generator

    layout = get_layout("kinect_20")
    codec = ImageCodec(layout, frames=8, scale=1.5)
    pixels = np.random.default_rng(0).normal(0, 0.2, (10, *codec.shape)).astype(np.float32)
    facts = {
        "codec": json.loads(codec.to_json()),
        "normalizer": fit_normalizer(pixels, range(10)).to_json(),
        "diffusion": {
            "schedule": "cosine",
            "steps": 100,
            "parameterization": "v",
            "learned_variance": False,
        },
        "conditional": conditional,
        "durations": {name: [0.5 + i, 0.8 + i] for i, name in enumerate(classes)},
        "persons": {name: [10] for name in classes},
        "fps": 30.0,
        "split": {"rule": "subject=1,2", "hash": "0" * 64},
    }
    size = {"rows": codec.shape[1], "frames": codec.frames}
    networks = {
        "diffusion": (
            "frame-transformer",
            {
                **size,
                "num_classes": len(classes) if conditional else 0,
                "width": 32,
                "depth": 1,
                "heads": 2,
            },
        ),
        "guide": ("st-trans", {**size, "num_classes": len(classes), "variant": "xxs"}),
    }
    for what, (kind, arguments) in networks.items():
        network = build(kind, arguments, generator=generator(1))
        with torch.no_grad():
            for number, parameter in enumerate(network.parameters()):
                parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator(2, number)))
        meta = {"what": what, **facts}
        checkpoint = Checkpoint(kind, arguments, network.state_dict(), layout, classes, meta)
        save_checkpoint(folder / f"{what}.safetensors", checkpoint)
    sketched = {"sketch": torch.from_numpy(sketch(pixels, codec))}
    checkpoint = Checkpoint("sketch", {}, sketched, layout, classes, {"what": "sketch"})
    save_checkpoint(folder / "sketch.safetensors", checkpoint)
    return folder


_NARROW: dict[str, dict[str, object]] = {"compact": {"widths": [8, 16]}, "ctr-gcn": {"width": 8}}


def _write_recognizer(
    folder: Path,
    *,
    classes: tuple[str, ...],
    layout: str,
    kind: str,
    arguments: dict[str, object],
    preparation: dict[str, Any],
    streams: tuple[str, ...],
    seed: int,
    file: str,
    meta: dict[str, Any],
) -> Path:
    """Untrained weights that give clips different answers, as a run directory."""
    import torch

    from skelaug.checkpoint import Checkpoint, save_checkpoint
    from skelaug.models.recognizers import RECOGNIZERS
    from skelaug.models.recognizers.streams import as_streams
    from skelaug.seeds import generator
    from skelaug.skeleton.preparation import PROFILES

    joints = get_layout(layout)
    arguments = {
        "parents": list(joints.parents),
        "num_classes": len(classes),
        "persons": preparation["persons"],
        "channels": 3 * len(streams),
        **arguments,
    }
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.random.set_rng_state(generator(seed).get_state())
        network = RECOGNIZERS[kind](**arguments)
        for weight in network.parameters():  # some paths start switched off
            weight.add_(0.05 * torch.randn(weight.shape))
        profile, persons = PROFILES[preparation["profile"]], preparation["persons"]
        clips = [profile.place(clip, persons) for clip in _labelled_clips(layout=layout)]
        fitted = np.stack([profile.fit(clip, preparation["frames"]) for clip in clips])
        x = as_streams(torch.from_numpy(fitted).permute(0, 4, 1, 3, 2), streams, joints.parents)
        for _ in range(10):  # normalisations find means and deviations
            network(x)
        logits = network.eval()(x)
        network.classify.weight.mul_(4 / logits.std())
        network.classify.bias.sub_(network(x).mean(0))
    told = {"what": "recognizer", "preparation": preparation, "streams": list(streams), **meta}
    checkpoint = Checkpoint(kind, arguments, network.state_dict(), joints, classes, told)
    save_checkpoint(folder / f"{file}.safetensors", checkpoint)
    return folder


def _prior_form(layout: str, frames: int) -> Any:
    """The form of windows of the labelled clips, with their mean and deviation."""
    import torch

    from skelaug.imputation.body_frame import fit_body_frames, reference_pose
    from skelaug.imputation.windows import WindowForm
    from skelaug.skeleton.windows import window_frames

    joints = get_layout(layout)
    clips = [clip.positions[:, 0] for clip in _labelled_clips(layout=layout)]
    windows = np.concatenate([x[window_frames(len(x), frames, 1, 8)] for x in clips])
    observed = np.ones(windows.shape[:3], dtype=np.bool_)
    nodes = 3 * joints.num_joints
    reference = reference_pose(windows[:, 0], observed[:, 0], joints)
    plain = WindowForm(joints, frames, 30.0, reference, np.zeros(nodes), np.ones(nodes))
    positions = torch.from_numpy(windows).double()
    x = plain.features(positions, fit_body_frames(positions, torch.from_numpy(observed), plain))
    mean, std = x.mean(dim=(0, 2)).numpy(), x.std(dim=(0, 2)).numpy()
    return WindowForm(joints, frames, 30.0, reference, mean, np.maximum(std, 0.01))


def _write_prior(folder: Path, kind: str, layout: str, frames: int, file: str, meta: Any) -> Path:
    """An untrained motion prior all of whose levels do something, as a run directory."""
    import torch

    from skelaug.checkpoint import Checkpoint, save_checkpoint
    from skelaug.imputation.tracks import Track
    from skelaug.imputation.typicality import DENSITIES, log_densities
    from skelaug.models import build
    from skelaug.seeds import generator

    form = _prior_form(layout, frames)
    small: dict[str, dict[str, Any]] = {
        "hgvae": {"level_nodes": [form.nodes, 8, 1], "level_features": [8, 8, 16], "width": 16},
        "motion-vae": {"hidden": [32, 16], "latent": 8},
        "hm-vae": {"features": 8, "latent": 4, "groups": [[v] for v in range(form.nodes // 3)]},
    }
    arguments = {"nodes": form.nodes, "frames": frames, **small[kind]}
    network = build(kind, arguments, generator=generator(3)).eval()
    with torch.no_grad():
        for number, weight in enumerate(network.parameters()):  # some paths start switched off
            weight.add_(0.1 * torch.randn(weight.shape, generator=generator(4, number)))
    clips = _labelled_clips(layout=layout)
    tracks = [Track(clip.positions[:, 0], clip.observed[:, 0], clip.fps) for clip in clips]
    scores = log_densities(network, form, tracks)  # type: ignore[arg-type]
    usual = {
        by: {"mean": own.mean(), "std": own.std()}
        for by, own in zip(DENSITIES, scores, strict=True)
    }
    told = {
        "what": "hgvae",
        "windows": form.to_json(),
        "typicality": {**usual, "clips": len(tracks)},
        **meta,
    }
    checkpoint = Checkpoint(kind, arguments, network.state_dict(), form.layout, (), told)
    save_checkpoint(folder / f"{file}.safetensors", checkpoint)
    return folder


@pytest.fixture(scope="session")
def _priors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where each prior that tests ask for lies once, to be copied."""
    return tmp_path_factory.mktemp("priors")


@pytest.fixture
def make_prior(tmp_path: Path, _priors: Path) -> Callable[..., Path]:
    """``make_prior(name="prior", kind="hgvae", layout=, frames=16, file="model", meta={})``: a run.

    A small motion prior with random weights. It knows the form and the log-densities of the 24
    labelled clips.
    """

    def make(
        name: str | Path = "prior",
        *,
        kind: str = "hgvae",
        layout: str = "kinect_20",
        frames: int = 16,
        file: str = "model",
        meta: dict[str, Any] | None = None,
    ) -> Path:
        made = _priors / f"{zlib.crc32(repr((kind, layout, frames, file, meta)).encode())}"
        if not made.exists():
            _write_prior(made, kind, layout, frames, file, meta or {})
        return Path(shutil.copytree(made, tmp_path / name, dirs_exist_ok=True))

    return make


@pytest.fixture
def make_recognizer(tmp_path: Path) -> Callable[..., Path]:
    """``make_recognizer(name="recognizer", classes=..., kind=..., streams=...)``: a run folder.

    A narrow network with random weights; its preparation is 16 frames of one person.
    """

    def make(
        name: str | Path = "recognizer",
        *,
        classes: tuple[str, ...] = CLASSES,
        layout: str = "kinect_20",
        kind: str = "compact",
        arguments: dict[str, object] | None = None,
        preparation: dict[str, object] | None = None,
        streams: tuple[str, ...] = ("joint",),
        seed: int = 0,
        file: str = "model",
        meta: dict[str, Any] | None = None,
    ) -> Path:
        return _write_recognizer(
            tmp_path / name,
            classes=classes,
            layout=layout,
            kind=kind,
            arguments=_NARROW.get(kind, {}) if arguments is None else arguments,
            preparation={"profile": "heading", "frames": 16, "persons": 1, **(preparation or {})},
            streams=streams,
            seed=seed,
            file=file,
            meta=meta or {},
        )

    return make


def _filmed_clips(**options: object) -> list[SkeletonSequence]:
    """The labelled clips with what a camera at the origin sees of them."""
    filmed = []
    for clip in _labelled_clips(**options):
        x, y, z = np.moveaxis(clip.positions, -1, 0)
        filmed.append(clip.replaced(keypoints=np.stack([-x / z, -y / z], axis=-1)))
    return filmed


@pytest.fixture
def filmed_clips() -> Callable[..., list[SkeletonSequence]]:
    """``filmed_clips(**options)``: the labelled clips, with exact keypoints."""
    return _filmed_clips


@pytest.fixture
def make_lifter(tmp_path: Path) -> Callable[..., Path]:
    """``make_lifter(name="lifter", frames=9, meta={}, seed=5)``: a run with random weights."""

    def make(
        name: str | Path = "lifter",
        *,
        frames: int = 9,
        meta: dict[str, Any] | None = None,
        seed: int = 5,
    ) -> Path:
        from skelaug.checkpoint import Checkpoint, save_checkpoint
        from skelaug.models import build
        from skelaug.seeds import generator

        layout = get_layout("kinect_20")
        arguments = {"joints": 20, "features": 16, "depth": 1, "downsampling": 1, "heads": 2}
        network = build("stcformer", arguments, generator=generator(seed))
        form = {"frames": frames, "fps": 30.0, "root": layout.root, "keypoints": "normalised"}
        told = {"what": "lifter", "lifter": form, "flip": True, **(meta or {})}
        checkpoint = Checkpoint("stcformer", arguments, network.state_dict(), layout, (), told)
        save_checkpoint(tmp_path / name / "model.safetensors", checkpoint)
        return tmp_path / name

    return make


_ACTIONS = (*CLASSES, "jump", "throw", "bow", "clap")
_SMALL_ZEROSHOT = {
    "text": "hashed",
    "split": "subject=1,2",
    "classes": "unseen=jump,throw",
    "recognizer": {
        "model": {"name": "compact", "arguments": {"widths": [8, 16]}},
        "preparation": {"frames": 16},
        "optimisation": {"steps": 6, "batch": 8, "lr": 5e-3, "precision": "fp32"},
    },
    "model": {"name": "cross-dit", "arguments": {"width": 16, "depth": 1, "heads": 2}},
    "optimisation": {"steps": 8, "batch": 8, "lr": 1e-3, "precision": "fp32"},
    "head_epochs": 5,
    "rival_steps": 5,
    "validation_classes": 0.3,
    "validation_clips": 0.3,
    "validate_every": 3,
    "log_every": 2,
    "checkpoint_every": 3,
}


def _action_clips() -> list[SkeletonSequence]:
    return [
        _sequence(label, name=f"{label} {s}-{take}", frames=24, subject=s, seed=10 * s + take)
        for label in _ACTIONS
        for s in (1, 2, 3)
        for take in (0, 1)
    ]


def _descriptions() -> str:
    lines = []
    for number, name in enumerate(_ACTIONS):
        word = name.split()[0]
        lines += [f'"{name}":', f"  sparse: {word} once", f"  intensity: {number % 2}", "  rich:"]
        lines += [f"  - The arms {word} and come back.", f"  - A slow {word} of the whole body."]
    return "\n".join([*lines, ""])


@pytest.fixture(scope="session")
def _unseen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data, descriptions and a small zero-shot run of them."""
    from skelaug.config import load
    from skelaug.workflows import train_zeroshot

    folder = tmp_path_factory.mktemp("unseen")
    data = _write(folder / "actions.h5", _action_clips())
    (folder / "texts.yaml").write_text(_descriptions())
    flags = {"data": data, "out": folder / "run", "descriptions": str(folder / "texts.yaml")}
    config = load(train_zeroshot.TrainZeroshotConfig, preset=_SMALL_ZEROSHOT, flags=flags)
    train_zeroshot.run(config, device="cpu")
    return folder


@pytest.fixture
def zeroshot_settings() -> dict[str, Any]:
    """Settings of a training of a few steps."""
    return json.loads(json.dumps(_SMALL_ZEROSHOT))


@pytest.fixture
def unseen(tmp_path: Path, _unseen: Path) -> Path:
    """A folder with actions.h5 (8 classes, 48 clips), texts.yaml and a zero-shot run of them."""
    return Path(shutil.copytree(_unseen, tmp_path / "unseen"))


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


@pytest.fixture
def make_model(tmp_path: Path) -> Callable[..., Path]:
    """``make_model(name="model", conditional=True, classes=...)``: a folder with random weights.

    A diffusion model of 8 frames and 100 steps with 3 classes, a guide and a sketch.
    """

    def make(
        name: str = "model",
        *,
        conditional: bool = True,
        classes: tuple[str, ...] = ("kick forward", "walk", "wave"),
    ) -> Path:
        return _write_model(tmp_path / name, conditional=conditional, classes=classes)

    return make


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets beside the checkout; skips where there is none."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real data sets are not there: expected ../shared/data beside the checkout")
    return folder
