"""From true and noisy clips to a refiner, its noise models and its test."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from skelaug.checkpoint import load_checkpoint
from skelaug.config import load
from skelaug.data.store import SequenceFile
from skelaug.errors import DataError, InterruptedRunError, UsageError
from skelaug.models import build
from skelaug.place import Place
from skelaug.progress import silent
from skelaug.refinement.process import cosine_process, flipped
from skelaug.refinement.rigid_bones import rigid_hints
from skelaug.workflows import refine as refine_workflow
from skelaug.workflows import train_refiner as workflow
from skelaug.workflows.drawn_errors import load_errors
from skelaug.workflows.noise_file import load_noise
from skelaug.workflows.pose_pairs import corrupted_clips, matching_clips
from skelaug.workflows.refinement import PoseTrack
from skelaug.workflows.refinement_report import RefineConfig
from skelaug.workflows.refiner import correcting, load_refiner, refining, sampling
from skelaug.workflows.run_directory import RunDirectory
from skelaug.workflows.train_refiner import PRESETS, RefinerLoss, TrainRefinerConfig, run
from skelaug.workflows.training_clips import training_clips


def erring(clip, *, keypoints=False):
    """The clip as a sensor with a depth error that depends on the pose, and noise, sees it."""
    numbers = np.random.default_rng([clip.num_frames, clip.subject])
    x = clip.positions - clip.positions[:, :, [clip.layout.root]]
    error = 0.01 * numbers.standard_normal(x.shape)
    error[..., 2] += 0.15 * x[..., 1]
    error[:, :, clip.layout.root] = 0
    changes: dict[str, Any] = {"positions": clip.positions + error.astype(np.float32)}
    if keypoints:
        changes["keypoints"] = clip.positions[..., :2] / 3
    return clip.replaced(**changes)


@pytest.fixture
def truth(tmp_path, labelled_clips, write_file) -> Path:
    return write_file(tmp_path / "truth.h5", labelled_clips(layout="sbu_15"))


@pytest.fixture
def noisy(tmp_path, labelled_clips, write_file) -> Path:
    clips = [erring(clip) for clip in labelled_clips(layout="sbu_15")]
    return write_file(tmp_path / "noisy.h5", clips)


@pytest.fixture
def settings(tmp_path, truth, noisy):
    tiny = {
        "model": {"name": "pose-denoiser", "arguments": {"features": 16, "depth": 1, "heads": 2}},
        "frames": 9,
        "hop": 4,
        "mirror": 0.5,
        "split": "subject=1,2",
        "optimisation": {"steps": 5, "batch": 8, "ema_decay": 0.9, "precision": "fp32"},
        "checkpoint_every": 2,
        "log_every": 2,
    }

    def make(*overrides: str, out: str = "run", **flags: Any) -> TrainRefinerConfig:
        flags = {"data": truth, "out": tmp_path / out, "noisy": noisy, **flags}
        return load(TrainRefinerConfig, preset=tiny, overrides=overrides, flags=flags)

    return make


def contents(folder: Path) -> dict[str, bytes]:
    left_out = ("timing.jsonl", "config.yaml")
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name not in left_out}


def batch_of(config: TrainRefinerConfig, tmp_path: Path, step: int = 3) -> Any:
    """The pairs of the training part, and the tensors of an update."""
    config.out.mkdir()
    source = workflow._Source(config)
    clips = training_clips(config.data, split=config.split)
    place = Place(torch.device("cpu"))
    pairs = source.prepare(clips, RunDirectory(config.out), place, silent)
    return pairs, workflow._batches(source, pairs, 8)(step)


def test_a_run_holds_the_network_both_noise_models_and_the_test(settings, tmp_path) -> None:
    report = run(settings(), device="cpu")
    assert (report.what, report.clips, report.steps) == ("refiner", 16, 5)
    folder = tmp_path / "run"
    assert not (folder / "motions.h5").exists()
    scores = json.loads((folder / "scores.json").read_text())
    assert scores["clips"] == 8
    methods = scores["methods"]
    assert {"noisy", "linear-corrector", "butterworth", "diffusion, K = 2"} < set(methods)
    assert methods["linear-corrector"]["mpjpe"] < methods["noisy"]["mpjpe"] / 2
    for own in methods.values():
        means = [row["mpjpe"] for row in own["actions"].values()]
        assert own["mpjpe"] == pytest.approx(np.mean(means))
    assert "| linear-corrector | P-MPJPE |" in (folder / "card.md").read_text()
    meta = load_checkpoint(folder / "model.safetensors").meta
    assert meta["refiner"]["frames"] == 9
    assert meta["refiner"]["unit"] == pytest.approx(meta["errors"]["mean_size"])
    assert load_noise(folder, "noise").model.with_keypoints is False


def test_a_stopped_run_goes_on_bit_for_bit(settings, tmp_path, monkeypatch) -> None:
    run(settings(out="whole"), device="cpu")
    real = RefinerLoss.__call__
    calls = []

    def stopping(self, *arguments):
        calls.append(1)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return real(self, *arguments)

    monkeypatch.setattr(RefinerLoss, "__call__", stopping)
    with pytest.raises(InterruptedRunError):
        run(settings(), device="cpu")
    run(settings(), device="cpu", resume=True)
    assert contents(tmp_path / "run") == contents(tmp_path / "whole")


ESTIMATE = "frame_estimate={width: 8, updates: 4, batch: 16, frames: 100}"


def test_the_frame_estimate_is_fitted_once_kept_as_it_is_and_put_into_the_network(
    settings, tmp_path, monkeypatch
) -> None:
    run(settings(ESTIMATE, out="whole"), device="cpu")
    fitted, calls, batches = workflow.fitted_frame_estimate, [], workflow._batches

    def counted(*arguments, **options):
        calls.append(options["seed"])
        fitted(*arguments, **options)

    def stopping(*arguments):
        made = batches(*arguments)

        def read(step: int):
            if step == 3 and (tmp_path / "run" / "frame_estimate.safetensors").exists():
                os.kill(os.getpid(), signal.SIGINT)
            return made(step)

        return read

    monkeypatch.setattr(workflow, "fitted_frame_estimate", counted)
    monkeypatch.setattr(workflow, "_batches", stopping)
    with pytest.raises(InterruptedRunError):
        run(settings(ESTIMATE), device="cpu")
    kept = load_checkpoint(tmp_path / "run" / "frame_estimate.safetensors")
    monkeypatch.setattr(workflow, "_batches", batches)
    run(settings(ESTIMATE), device="cpu", resume=True)
    assert calls == [0]
    assert not (tmp_path / "run" / "frame_estimate.safetensors").exists()
    weights = load_checkpoint(tmp_path / "run" / "model.safetensors").weights
    for name, tensor in kept.weights.items():
        torch.testing.assert_close(weights[f"estimate.{name}"], tensor, rtol=0, atol=0)
    assert weights["estimate.weight"].any()
    for name in ("model.safetensors", "scores.json"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_dry_run_fits_nothing(settings, monkeypatch) -> None:
    monkeypatch.delattr(workflow, "fitted_frame_estimate")
    assert run(settings("frame_estimate={}"), device="cpu", dry_run=True).steps_per_second > 0


def test_noisy_poses_may_be_called_by_another_path_when_a_run_goes_on(
    settings, tmp_path, noisy
) -> None:
    run(settings(), device="cpu")
    moved = noisy.rename(tmp_path / "elsewhere.h5")
    assert run(settings(noisy=moved), device="cpu", resume=True).steps == 5
    moved.write_bytes((tmp_path / "truth.h5").read_bytes())
    with pytest.raises(UsageError):
        run(settings(noisy=moved), device="cpu", resume=True)


def test_the_network_sees_x_t_and_learns_the_error_in_its_mean_size(settings, tmp_path) -> None:
    pairs, (x, t, error, *rest) = batch_of(settings("noise=identity", "mirror=0"), tmp_path)
    assert rest == []
    process = cosine_process(50)
    truth = process.clean(x, error * pairs.form.unit, t)
    windows = torch.from_numpy(pairs.truth[pairs.rows])
    distance = (truth[:, None] - windows[None]).abs().amax(dim=(2, 3, 4)).amin(dim=1)
    assert float(distance.max()) < 1e-5
    root = pairs.layout.root
    sizes = np.abs(pairs.noisy - pairs.truth)[: sum(pairs.lengths)]
    assert pairs.form.unit == pytest.approx(np.delete(sizes, root, axis=1).mean(), rel=1e-5)
    assert float(error[:, :, root].abs().max()) == 0


def test_mirrored_windows_are_mirrored_with_their_errors(settings, tmp_path) -> None:
    turned = settings("noise=identity", "mirror=1")
    pairs, (x, t, error) = batch_of(turned, tmp_path)
    plain = workflow._batches(workflow._Source(settings("noise=identity", "mirror=0")), pairs, 8)(3)
    assert torch.equal(t, plain[1])
    swap = pairs.layout.mirrored
    torch.testing.assert_close(x, flipped(plain[0], swap))
    torch.testing.assert_close(error, flipped(plain[2], swap))


def test_drawn_errors_are_those_of_the_noisy_pose_and_differ_by_update(settings, tmp_path) -> None:
    pairs, first = batch_of(settings("mirror=0"), tmp_path)
    again, other = (
        workflow._batches(workflow._Source(settings("mirror=0")), pairs, 8)(step) for step in (3, 4)
    )
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[2], other[2])


def test_without_diffusion_all_is_learnt_at_the_last_step(settings, tmp_path) -> None:
    config = settings("diffusion=false", "noise=identity", "mirror=0")
    pairs, (x, t, _) = batch_of(config, tmp_path)
    assert set(t.tolist()) == {50}
    assert pairs.form.steps == 1
    windows = torch.from_numpy(pairs.noisy[pairs.rows])  # x_T is the noisy pose
    distance = (x[:, None] - windows[None]).abs().amax(dim=(2, 3, 4)).amin(dim=1)
    assert float(distance.max()) < 1e-5


def test_a_network_that_knows_nothing_is_refined_to_itself(settings, tmp_path) -> None:
    run(settings("optimisation.steps=1", "optimisation.lr=1e-30"), device="cpu")
    refiner = load_refiner(tmp_path / "run", device=torch.device("cpu"))
    poses = np.random.default_rng(0).standard_normal((31, 15, 3)).astype(np.float32)
    poses -= poses[:, [refiner.layout.root]]
    (done,) = refining(refiner)([PoseTrack(poses, None, 30.0, 0)])
    np.testing.assert_allclose(done, poses, atol=1e-4)
    with pytest.raises(UsageError, match="at most 50"):
        refining(refiner, steps=51)


def test_a_clip_is_refined_alone_as_among_others(settings, tmp_path) -> None:
    run(settings("optimisation.lr=0.01"), device="cpu")
    refiner = load_refiner(tmp_path / "run", device=torch.device("cpu"))
    numbers = np.random.default_rng(0)
    tracks = []
    for number, (frames, fps) in enumerate([(5, 30.0), (40, 60.0), (23, 30.0)]):
        poses = numbers.standard_normal((frames, 15, 3)).astype(np.float32)
        tracks.append(PoseTrack(poses - poses[:, [refiner.layout.root]], None, fps, number))
    correct = refining(refiner)
    together = correct(tracks)
    for track, found in zip(tracks, together, strict=True):
        np.testing.assert_allclose(found, correct([track])[0], atol=1e-5)
        assert np.abs(found - track.poses).max() > 1e-3
        assert np.abs(found[:, refiner.layout.root]).max() == 0


def test_samples_spread_around_the_linear_corrector(settings, tmp_path) -> None:
    run(settings("persistent=false"), device="cpu")
    noise = load_noise(tmp_path / "run", "corrector")
    poses = np.zeros((2000, 15, 3), np.float32)
    track = PoseTrack(poses, None, 30.0, 4)
    (middle,) = correcting(noise)([track])
    draws = [sampling(noise, seed=0, number=number)([track])[0] for number in (0, 0, 1)]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert np.abs(draws[0] - draws[2]).max() > 0.01
    np.testing.assert_allclose(draws[0].mean(axis=0), middle.mean(axis=0), atol=2e-3)


def test_refine_uses_the_run_and_compares_with_the_truth(settings, tmp_path, truth, noisy) -> None:
    run(settings(), device="cpu")
    told = {"data": noisy, "model": str(tmp_path / "run"), "truth": truth}
    done = refine_workflow.run(
        RefineConfig(out=tmp_path / "a.h5", method="linear-corrector", **told), device="cpu"
    )
    assert done.errors[-1].mpjpe.after < done.errors[-1].mpjpe.before / 2
    two = refine_workflow.run(RefineConfig(out=tmp_path / "b.h5", **told), device="cpu")
    assert (two.steps, two.root, two.refined) == (2, "keep", 24)
    drawn = refine_workflow.run(RefineConfig(out=tmp_path / "c.h5", sample=2, **told), device="cpu")
    assert drawn.written == 48
    with SequenceFile(tmp_path / "c.h5") as file, SequenceFile(noisy) as before:
        assert file.names[:2] == [f"{before.names[0]}, sample {n}" for n in (0, 1)]


def test_noise_fitted_elsewhere_makes_noisy_poses_of_others(settings, tmp_path, truth) -> None:
    run(settings(), device="cpu")
    with SequenceFile(truth) as file:
        made = corrupted_clips(file, load_errors(tmp_path / "run", file.layout), seed=0)
        real = matching_clips(file, tmp_path / "noisy.h5")
        errors = [
            np.concatenate([noisy.of(n, clip).positions - clip.positions for n, clip in clips])
            for noisy in (made, real)
            for clips in [[*enumerate(file)]]
        ]
        assert np.abs(errors[0][:, :, file.layout.root]).max() == 0
        assert np.abs(errors[0]).mean() == pytest.approx(np.abs(errors[1]).mean(), rel=0.1)
        one, same = (made.of(3, file[3]).positions for _ in range(2))
        assert np.array_equal(one, same)
    report = run(settings(out="other", noisy=None, noise_model=tmp_path / "run"), device="cpu")
    assert report.scores["mpjpe_mm_of_noisy"] > 0


def test_drawn_errors_are_new_for_every_window_and_turn_with_it(settings, tmp_path) -> None:
    run(settings("persistent=matrix", "given_pose=false", out="noise"), device="cpu")
    noise = load_noise(tmp_path / "noise", "noise").model
    assert noise.transition is not None
    assert not noise.regression.any()
    source = {"noisy": None, "noise_model": tmp_path / "noise"}
    drawn = settings("noise=drawn", "turn=true", "strength=[2,2]", "mirror=0", **source)
    pairs, (x, t, error) = batch_of(drawn, tmp_path)
    again = settings("noise=drawn", "turn=true", "strength=[1,1]", "mirror=0", **source)
    _, _, weaker = workflow._batches(workflow._Source(again), pairs, 8)(3)
    torch.testing.assert_close(error, 2 * weaker)
    process = cosine_process(50)
    truth = process.clean(x, error * pairs.form.unit, t)
    windows = torch.from_numpy(pairs.truth[pairs.rows])
    height, wanted = truth[:, None, ..., 1], windows[None, ..., 1]
    assert float((height - wanted).abs().amax(dim=(2, 3)).amin(dim=1).max()) < 1e-5
    apart = (truth[:, None] - windows[None]).abs().amax(dim=(2, 3, 4)).amin(dim=1)
    assert float(apart.min()) > 0.01


def test_clips_of_a_higher_rate_are_read_at_every_kth_frame(
    settings, tmp_path, labelled_clips, write_file
) -> None:
    fast = [clip.replaced(fps=60.0) for clip in labelled_clips(layout="sbu_15")]
    data = write_file(tmp_path / "fast.h5", fast)
    noisy = write_file(tmp_path / "fast noisy.h5", [erring(clip) for clip in fast])
    pairs, _ = batch_of(settings("fps=30", data=data, noisy=noisy), tmp_path)
    assert pairs.form.fps == 30
    with SequenceFile(data) as file:
        rows = pairs.clips.rows
        assert pairs.lengths == [-(-int(n) // 2) for n in file.lengths[rows]]
        first = file[int(rows[0])].positions[::2, 0]
    np.testing.assert_array_equal(pairs.truth[: len(first)], first - first[:, [file.layout.root]])
    assert load_noise(tmp_path / "run", "noise").fps == 30


def test_a_refiner_says_what_becomes_of_root_and_bones(settings, tmp_path, noisy) -> None:
    run(settings("root=butterworth", "bones=rigid", "optimisation.steps=1"), device="cpu")
    told = {"data": noisy, "model": str(tmp_path / "run")}
    done = refine_workflow.run(RefineConfig(out=tmp_path / "a.h5", **told))
    assert (done.root, done.bones) == ("butterworth", "rigid")
    assert done.bone_length_variation.after < 1e-5
    plain = RefineConfig(out=tmp_path / "b.h5", root="keep", bones="keep", **told)
    done = refine_workflow.run(plain)
    assert (done.root, done.bones) == ("keep", "keep")
    assert done.bone_length_variation.after > 0.01


def test_2d_poses_are_read_where_a_file_has_them(
    settings, tmp_path, labelled_clips, write_file
) -> None:
    clips = [erring(clip, keypoints=True) for clip in labelled_clips(layout="sbu_15")]
    seen = write_file(tmp_path / "seen.h5", clips, has_keypoints=True)
    config = settings("optimisation.steps=1", noisy=seen)
    run(config, device="cpu")
    checkpoint = load_checkpoint(tmp_path / "run" / "model.safetensors")
    assert checkpoint.meta["refiner"]["keypoints"] is True
    assert build(checkpoint.kind, checkpoint.arguments).reads_keypoints is True
    with pytest.raises(DataError, match="reads, got none"):
        told = {"data": tmp_path / "noisy.h5", "out": tmp_path / "x.h5"}
        refine_workflow.run(RefineConfig(model=str(tmp_path / "run"), **told))


def test_hints_are_those_of_the_noisy_window_and_turn_with_it(settings, tmp_path) -> None:
    told = "hints=true", "noise=identity"
    pairs, (x, t, error, hints) = batch_of(settings(*told, "mirror=0"), tmp_path)
    process, unit = cosine_process(50), pairs.form.unit
    truth = process.clean(x, error * unit, t)
    wanted = rigid_hints((truth + error * unit).numpy(), pairs.form.fps, pairs.layout)
    np.testing.assert_allclose(hints, wanted, atol=1e-4)
    mirrored = workflow._batches(workflow._Source(settings(*told, "mirror=1")), pairs, 8)(3)[-1]
    torch.testing.assert_close(mirrored, flipped(hints, pairs.layout.mirrored))


def test_a_refiner_with_hints_finds_them_itself(settings, tmp_path, noisy) -> None:
    run(settings("hints=true", "optimisation.lr=0.01"), device="cpu")
    assert load_checkpoint(tmp_path / "run" / "model.safetensors").arguments["keypoints"] == "hints"
    refiner = load_refiner(tmp_path / "run", device=torch.device("cpu"))
    assert refiner.form.hints
    with SequenceFile(noisy) as file:
        poses = file[0].positions[:, 0] - file[0].positions[:, 0, [file.layout.root]]
    track = PoseTrack(poses, None, 30.0, 0)
    for options in ({}, {"flip": True}):
        (done,) = refining(refiner, **options)([track])
        assert np.abs(done - poses).max() > 1e-3


def test_2d_poses_in_pixels_are_refused(settings, tmp_path, labelled_clips, write_file) -> None:
    clips = [erring(clip, keypoints=True) for clip in labelled_clips(layout="sbu_15")]
    clips = [clip.replaced(keypoints=300 * clip.keypoints) for clip in clips]
    pixels = write_file(tmp_path / "pixels.h5", clips, has_keypoints=True)
    with pytest.raises(DataError, match="expected 2D poses normalised by the image width"):
        run(settings(noisy=pixels), device="cpu")


def test_mistakes_name_what_to_do(settings, tmp_path, write_file, make_sequence) -> None:
    with pytest.raises(UsageError, match=r"--noisy NOISY\.h5"):
        settings(noisy=None)
    with pytest.raises(UsageError, match="about a noise model"):
        settings("turn=true")
    with pytest.raises(UsageError, match="lesser factor first"):
        settings("strength=[2,1]", noisy=None, noise_model=tmp_path)
    with pytest.raises(DataError, match="expected 2D poses"):
        run(settings("keypoints=true"), device="cpu")
    other = write_file(tmp_path / "other.h5", [make_sequence(layout="sbu_15", name="nobody")])
    with pytest.raises(DataError, match="same names"):
        run(settings(noisy=other), device="cpu")
    with pytest.raises(DataError, match="layout sbu_15"):
        run(settings(noisy=write_file(tmp_path / "k.h5", [make_sequence()])), device="cpu")


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_complete(preset, tmp_path) -> None:
    told = {"data": tmp_path / "a.h5", "out": tmp_path, "noisy": tmp_path / "b.h5"}
    config = load(TrainRefinerConfig, preset=PRESETS[preset], flags=told)
    assert config.hop <= config.frames
