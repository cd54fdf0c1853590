import contextlib
import os
import signal
from functools import partial

import numpy as np
import pytest
import torch

from skelaug.checkpoint import load_checkpoint
from skelaug.config import load
from skelaug.data.store import SequenceFile
from skelaug.errors import DataError, InterruptedRunError, UsageError
from skelaug.metrics.pose_error import mpjpe, p_mpjpe
from skelaug.models import LIFTERS
from skelaug.place import training_place
from skelaug.workflows.lifter import lifting, load_lifter
from skelaug.workflows.lifter_input import KeypointNoiseConfig
from skelaug.workflows.lifter_windows import LifterWindowConfig, lifter_windows, root_relative
from skelaug.workflows.run_directory import resolve
from skelaug.workflows.train_lifter import PRESETS, LifterLoss, TrainLifterConfig, run
from skelaug.workflows.training_clips import training_clips

ARGUMENTS = {
    "stcformer": {"features": 16, "depth": 1, "downsampling": 3, "heads": 2},
    "mixste": {"features": 16, "depth": 1, "heads": 2},
}


@pytest.fixture
def filmed(tmp_path, filmed_clips, write_file):
    return write_file(tmp_path / "filmed.h5", filmed_clips(), has_keypoints=True)


def train(data, out, *overrides, kind="stcformer", **options):
    tiny = {
        "model": {"name": kind, "arguments": ARGUMENTS[kind]},
        "windows": {"frames": 9, "draws": 2},
        "keypoint_noise": {"share": 0.5},
        "held_out": 0.2,
        "evaluate_every": 2,
        "optimisation": {"steps": 5, "batch": 8, "ema_decay": 0.9},
        "checkpoint_every": 4,
        "log_every": 2,
    }
    flags = {"data": data, "out": out}
    config = load(TrainLifterConfig, preset=tiny, overrides=overrides, flags=flags)
    return run(config, device="cpu", **options)


def windows(data, folder, *, frames=9, hop=None, split="", noise=0.0):
    clips = training_clips(data, split=split)
    config = LifterWindowConfig(frames=frames, hop=hop, draws=3)
    with training_place("cpu") as place:
        return lifter_windows(
            clips,
            config,
            KeypointNoiseConfig(share=noise),
            seed=0,
            cache=folder / "motions.h5",
            place=place,
        )


@pytest.mark.parametrize("kind", LIFTERS)
def test_from_filmed_clips_to_a_run_tested_by_action(kind, filmed, tmp_path):
    out = tmp_path / "run"
    exact = "keypoint_noise.share=0"
    report = train(filmed, out, "split=subject=1,2", exact, kind=kind)
    assert (report.what, report.clips, report.steps) == ("lifter", 16, 5)
    assert {"score", "held_out_mpjpe_mm"} < set(report.best)
    assert not (out / "motions.h5").exists()
    lifter = load_lifter(out)
    assert (lifter.frames, lifter.fps, lifter.flip, lifter.checkpoint.kind) == (9, 30, True, kind)
    scores, root = report.scores, lifter.layout.root
    with SequenceFile(filmed) as file:
        tested = [clip for clip in file if clip.subject == 3]
    found = {}
    for clip in tested:
        poses = lifter.lift(clip.keypoints[:, 0], clip.fps)
        truth = clip.positions[:, 0]
        own = [mpjpe(poses, truth, root=root), p_mpjpe(poses, truth)]
        found.setdefault(clip.label, []).append(own)
    means = {k: [np.concatenate(x).mean() for x in zip(*v, strict=True)] for k, v in found.items()}
    for name, (plain, aligned) in means.items():
        assert scores["actions"][name]["mpjpe_mm"] == pytest.approx(plain, rel=1e-4)
        assert scores["actions"][name]["p_mpjpe_mm"] == pytest.approx(aligned, rel=1e-4)
    assert scores["mpjpe_mm"] == pytest.approx(np.mean([x for x, _ in means.values()]), rel=1e-4)
    assert "| test clips of | mpjpe mm | p mpjpe mm | frames |" in (out / "card.md").read_text()


def test_an_interrupted_and_resumed_run_equals_one_that_was_not(filmed, tmp_path):
    @contextlib.contextmanager
    def interrupting(description, *, total, done=0):
        count = done

        def advance(more=1, /, *, note=""):
            nonlocal count
            count += more
            if description == "training" and count == 3:
                os.kill(os.getpid(), signal.SIGINT)

        yield advance

    train(filmed, tmp_path / "whole")
    with pytest.raises(InterruptedRunError, match="--resume"):
        train(filmed, tmp_path / "cut", progress=interrupting)
    train(filmed, tmp_path / "cut", resume=True)
    whole, cut = (
        {p.name: p.read_bytes() for p in (tmp_path / name).iterdir() if p.suffix != ".yaml"}
        for name in ("whole", "cut")
    )
    del whole["timing.jsonl"], cut["timing.jsonl"]
    assert cut == whole


def test_windows_hold_every_frame_of_their_track_and_never_leave_it(filmed, tmp_path):
    made = windows(filmed, tmp_path, frames=9, hop=4)
    everything = np.arange(len(made.tracks))
    total = int(made.counts.sum())
    start, length, _ = made.tracks.T
    track = np.repeat(everything, made.counts)
    for moved in (None, np.full(total, 0.999)):
        rows = made.rows(np.arange(total), everything, moved)
        assert (rows.min(axis=1) >= start[track]).all()
        assert (rows.max(axis=1) < (start + length)[track]).all()
        assert (np.diff(rows, axis=1) == 1).all()
    far = made.rows(np.arange(total), everything, np.full(total, 0.999))
    seen = set(made.rows(np.arange(total), everything).ravel()) | set(far.ravel())
    assert seen == set(range(int(length.sum())))


def test_poses_are_about_the_root_and_draws_differ_only_in_their_noise(filmed, tmp_path):
    made = windows(filmed, tmp_path, noise=1.0)
    assert not made.poses[:, made.layout.root].any()
    assert len(made.keypoints) == 3
    assert not np.array_equal(made.keypoints[0], made.keypoints[1])
    with SequenceFile(filmed) as file:
        one = file[0]
    span = slice(0, one.num_frames)
    np.testing.assert_array_equal(
        made.poses[span], root_relative(one.positions[:, 0], one.layout.root)
    )
    assert np.median(np.abs(made.keypoints[:, span] - one.keypoints[:, 0])) < 0.05


def test_the_views_of_a_motion_are_held_out_together(tmp_path, filmed_clips, write_file):
    views = [
        clip.replaced(name=f"{clip.name}/C{camera}", camera=camera)
        for clip in filmed_clips()
        for camera in (1, 2)
    ]
    made = windows(write_file(tmp_path / "v.h5", views, has_keypoints=True), tmp_path)
    taught, held = made.parts(0.25, 0)
    assert (len(taught), len(held)) == (36, 12)
    motions = [{made.clip[k] // 2 for k in part} for part in (taught, held)]
    assert not motions[0] & motions[1]


def test_frames_without_a_whole_pose_are_left_out(tmp_path, filmed_clips, write_file):
    (clip, *_) = filmed_clips()
    observed, keypoints = clip.observed.copy(), clip.keypoints.copy()
    observed[10, 0, 3] = False
    keypoints[2:4, 0, 5] = np.nan
    gappy = clip.replaced(observed=observed, keypoints=keypoints)
    made = windows(write_file(tmp_path / "g.h5", [gappy], has_keypoints=True), tmp_path)
    assert made.tracks.tolist() == [[0, 10, 1], [10, clip.num_frames - 11, 1]]
    rows = made.tracks[:, 1].sum()
    assert np.isfinite(made.keypoints[:, :rows]).all()


def test_the_loss_of_stcformer_is_mpjpe_and_that_of_mixste_has_more(filmed, tmp_path):
    made = windows(filmed, tmp_path)
    keypoints, poses = next(made.spread(np.arange(3), 4))
    off = torch.tensor([0.003, 0.004, 0.0])
    losses = {
        k: LifterLoss(k, made.layout)(lambda x: poses + off, keypoints, poses) for k in LIFTERS
    }
    assert float(losses["stcformer"]["loss"]) == pytest.approx(0.005, rel=1e-4)
    assert float(losses["stcformer"]["mpjpe_mm"]) == pytest.approx(5.0, rel=1e-4)
    assert float(losses["mixste"]["loss"]) > 0.006


def test_averaging_over_mirror_images_makes_a_lifter_equivariant(filmed, tmp_path, make_lifter):
    lifter = load_lifter(make_lifter())
    keypoints, _ = next(windows(filmed, tmp_path).spread(np.arange(3), 4))
    swap = list(lifter.layout.mirrored)
    turned = keypoints[:, :, swap] * torch.tensor([-1.0, 1.0])
    for flip in (True, False):
        lift = lifting(lifter.network, lifter.layout, flip=flip)
        poses, other = lift(keypoints), lift(turned)[:, :, swap] * torch.tensor([-1.0, 1.0, 1.0])
        assert not poses[:, :, lifter.layout.root].any()
        assert torch.allclose(poses, other, atol=1e-5) is flip


def test_averaging_over_mirror_images_leaves_an_equivariant_lifter_as_it_is(make_lifter):
    layout = load_lifter(make_lifter()).layout
    keypoints = torch.rand(2, 9, 20, 2) + 0.1
    network = partial(torch.nn.functional.pad, pad=(0, 1))  # x and y as they are, z = 0
    plain, averaged = (lifting(network, layout, flip=flip)(keypoints) for flip in (False, True))
    assert torch.allclose(averaged, plain)


def test_clips_without_2d_poses_are_refused(data_file, tmp_path):
    with pytest.raises(DataError, match="2D poses of their camera, got 3D poses alone"):
        train(data_file, tmp_path / "run")


def test_mixste_wants_two_frames(filmed, tmp_path):
    with pytest.raises(UsageError, match=r"windows\.frames"):
        train(filmed, tmp_path / "run", "windows.frames=1", kind="mixste")


@pytest.mark.parametrize("preset", ["cpu", "paper"])
@pytest.mark.parametrize("kind", LIFTERS)
def test_every_preset_knows_every_lifter(preset, kind, tmp_path):
    overrides, flags = [f"model.name={kind}"], {"data": tmp_path / "d.h5", "out": tmp_path / "o"}
    config = resolve(TrainLifterConfig, PRESETS, preset=preset, overrides=overrides, flags=flags)
    assert config.model.name == kind
    optimisation = config.optimisation
    if preset == "paper":
        a_percent = optimisation.model_copy(update={"steps": 1000})
        assert a_percent.lr_at(1000) / a_percent.lr == pytest.approx(optimisation.decay_to)


def test_the_checkpoint_says_what_the_lifter_reads(filmed, tmp_path):
    train(filmed, tmp_path / "run", "flip=false")
    meta = load_checkpoint(tmp_path / "run" / "model.safetensors").meta
    assert meta["lifter"] == {"frames": 9, "fps": 30.0, "root": 0, "keypoints": "normalised"}
    assert meta["keypoint_noise"] == {"share": 0.5, "strength": 1.0}
    assert load_lifter(tmp_path / "run").flip is False
