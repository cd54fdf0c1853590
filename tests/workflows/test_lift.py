from dataclasses import replace

import numpy as np
import pytest
import torch

from skelaug.data.store import SequenceFile
from skelaug.errors import DataError, NotFoundError, UsageError
from skelaug.skeleton.camera import pixel_keypoints
from skelaug.workflows import lift as workflow
from skelaug.workflows.lift_report import LiftConfig
from skelaug.workflows.lifter import load_lifter


@pytest.fixture
def filmed(tmp_path, filmed_clips, write_file):
    return write_file(tmp_path / "filmed.h5", filmed_clips(), has_keypoints=True)


@pytest.fixture
def settings(tmp_path, filmed, make_lifter):
    told = {"data": filmed, "model": str(make_lifter(meta={"split": {"rule": "subject=1,2"}}))}

    def make(**changes):
        return LiftConfig(**{"out": tmp_path / "out.h5", **told, **changes})

    return make


def test_the_output_is_the_file_with_the_poses_about_the_root(filmed, settings):
    config = settings()
    report = workflow.run(config)
    assert (report.clips, report.lifted, report.rejected) == (24, 24, [])
    lifter = load_lifter(config.model)
    with SequenceFile(filmed) as before, SequenceFile(config.out) as after:
        assert (after.names, after.classes) == (before.names, before.classes)
        assert after.provenance[-1]["lifter"]["split"] == {"rule": "subject=1,2"}
        for one, other in zip(before, after, strict=True):
            np.testing.assert_array_equal(other.keypoints, one.keypoints)
            assert other.observed.all()
            assert not other.positions[:, :, one.layout.root].any()
            expected = lifter.lift(one.keypoints[:, 0], one.fps)
            np.testing.assert_array_equal(other.positions[:, 0], expected)
            for key in ("label", "subject", "camera", "setup", "fps", "seed", "name", "source"):
                assert getattr(one, key) == getattr(other, key)


class Pointwise(torch.nn.Module):
    """Says of every frame what it shows, whatever the window."""

    def forward(self, keypoints):
        return torch.cat([keypoints, keypoints.sum(dim=-1, keepdim=True)], dim=-1)


@pytest.mark.parametrize("fps", [30.0, 60.0])
@pytest.mark.parametrize("frames", [1, 8, 9, 41])
def test_what_windows_agree_on_comes_out_for_clips_of_any_length(make_lifter, frames, fps):
    lifter = replace(load_lifter(make_lifter(frames=9)), network=Pointwise(), flip=False)
    seen = np.random.default_rng(0).uniform(-1, 1, (frames, 20, 2)).astype(np.float32)
    expected = np.concatenate([seen, seen.sum(axis=-1, keepdims=True)], axis=-1)
    expected[:, lifter.layout.root] = 0
    np.testing.assert_allclose(lifter.lift(seen, fps), expected, atol=1e-6)


def test_a_resumed_run_gives_the_same_bytes(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(workflow, "_SHARD", 7)
    whole = settings(out=tmp_path / "whole.h5")
    workflow.run(whole)
    cut, real, calls = settings(out=tmp_path / "cut.h5"), workflow.lifted_clip, []

    def failing(*arguments, **options):
        calls.append(1)
        if len(calls) == 16:
            raise KeyboardInterrupt
        return real(*arguments, **options)

    monkeypatch.setattr(workflow, "lifted_clip", failing)
    with pytest.raises(KeyboardInterrupt):
        workflow.run(cut)
    with pytest.raises(UsageError, match="--resume"):
        workflow.run(cut)
    assert workflow.run(cut, resume=True).resumed_shards == 2
    assert cut.out.read_bytes() == whole.out.read_bytes()
    assert not (tmp_path / "cut.h5.parts").exists()


def test_pixels_of_an_npz_are_the_same_poses(settings, tmp_path, filmed_clips):
    clip = filmed_clips()[0]
    pixels = pixel_keypoints(clip.keypoints[:, 0], (640, 480))
    np.savez(tmp_path / "p.npz", take=pixels)
    told = settings(data=tmp_path / "p.npz", size="640x480", fps=30.0)
    workflow.run(told)
    expected = load_lifter(told.model).lift(clip.keypoints[:, 0], 30.0)
    with SequenceFile(told.out) as file:
        assert list(file.names) == ["take"]
        np.testing.assert_allclose(file[0].positions[:, 0], expected, atol=1e-4)


def test_a_file_of_two_coordinates_will_do(settings, tmp_path, filmed_clips, write_file):
    flat = [c.replaced(positions=c.keypoints, keypoints=None) for c in filmed_clips()[:3]]
    told = settings(data=write_file(tmp_path / "flat.h5", flat, channels=2))
    assert workflow.run(told).lifted == 3
    with SequenceFile(told.out) as file:
        assert (file.channels, file.has_keypoints) == (3, True)


def test_parts_are_those_of_the_models_split(settings):
    assert workflow.run(settings(part="test"), dry_run=True).clips == 8
    assert workflow.run(settings(part="train"), dry_run=True).clips == 16
    told = settings(part="train", split="subject=1")
    assert workflow.run(told, dry_run=True).clips == 8
    with pytest.raises(UsageError, match="--part"):
        workflow.run(settings(split="subject=1"))


def test_what_cannot_be_lifted_is_rejected_and_the_rest_is_there(
    settings, tmp_path, filmed_clips, write_file
):
    a, b, c, d = filmed_clips()[:4]
    gone, nobody = b.keypoints.copy(), np.full_like(c.keypoints, np.nan)
    gone[:, 0, 3] = np.nan
    clips = [a, b.replaced(keypoints=gone), c.replaced(keypoints=nobody)]
    clips.append(d.replaced(keypoints=300 + 100 * d.keypoints))
    told = settings(data=write_file(tmp_path / "some.h5", clips, has_keypoints=True))
    report = workflow.run(told)
    assert report.lifted == 1
    reasons = {one.name: one.reason for one in report.rejected}
    assert "--longest-gap" in reasons[b.name]
    assert "no detection" in reasons[c.name]
    assert "normalised" in reasons[d.name]
    only = settings(data=write_file(tmp_path / "one.h5", clips[3:], has_keypoints=True))
    with pytest.raises(DataError, match="normalised"):
        workflow.run(only, force=True)
    assert not (tmp_path / "out.h5.parts").exists()


def test_noise_is_drawn_onto_the_keypoints_that_the_output_keeps(filmed, settings):
    told = settings(keypoint_noise={"share": 1.0})
    workflow.run(told)
    lifter = load_lifter(told.model)
    with SequenceFile(filmed) as before, SequenceFile(told.out) as after:
        off = np.abs(after[0].keypoints - before[0].keypoints)
        assert 0 < np.median(off) < 0.05
        expected = lifter.lift(after[0].keypoints[:, 0], 30.0)
        np.testing.assert_array_equal(after[0].positions[:, 0], expected)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"size": "640x480"}, UsageError, "--size and --fps with an .npz alone"),
        ({"model": "nowhere"}, NotFoundError, "nowhere"),
    ],
)
def test_mistakes_say_what_to_do(settings, changes, error, words):
    with pytest.raises(error, match=words):
        workflow.run(settings(**changes))


@pytest.mark.parametrize("size", ["640", "0x480", "640x", "axb"])
def test_sizes_are_two_numbers(settings, tmp_path, size):
    np.savez(tmp_path / "p.npz", take=np.zeros((4, 20, 2)))
    with pytest.raises(UsageError, match="1920x1080"):
        workflow.run(settings(data=tmp_path / "p.npz", size=size, fps=30.0))


@pytest.mark.parametrize("shape", [(4, 17, 2), (4, 20, 3), (0, 20, 2), (4,)])
def test_arrays_of_another_shape_are_refused(settings, tmp_path, shape):
    np.savez(tmp_path / "p.npz", take=np.zeros(shape))
    with pytest.raises(DataError, match=r"p\.npz.*20 x 2"):
        workflow.run(settings(data=tmp_path / "p.npz", size="640x480", fps=30.0))


def test_3d_poses_alone_and_other_joints_are_refused(
    settings, data_file, tmp_path, filmed_clips, write_file
):
    with pytest.raises(DataError, match="got 3D poses alone"):
        workflow.run(settings(data=data_file))
    others = write_file(tmp_path / "o.h5", filmed_clips(layout="sbu_15"), has_keypoints=True)
    with pytest.raises(DataError, match="kinect_20"):
        workflow.run(settings(data=others))


@pytest.fixture
def folds(make_lifter):
    """Two lifters that each know one of the performers that the model learnt from."""
    return tuple(
        str(make_lifter(f"knows{subject}", meta={"subjects": [subject]}, seed=subject))
        for subject in (1, 2)
    )


def test_no_training_clip_is_lifted_by_a_model_that_knows_its_performer(settings, folds):
    told = settings(folds=folds)
    report = workflow.run(told)
    assert (report.lifted, report.by_folds) == (24, 16)
    expected = {3: load_lifter(told.model), 2: load_lifter(folds[0]), 1: load_lifter(folds[1])}
    with SequenceFile(told.out) as file:
        for clip in file:
            poses = expected[clip.subject].lift(clip.keypoints[:, 0], clip.fps)
            np.testing.assert_array_equal(clip.positions[:, 0], poses)


def test_folds_that_know_every_performer_are_refused(settings, folds, make_lifter):
    with pytest.raises(DataError, match="expected a fold without subject 1, got folds that all"):
        workflow.run(settings(folds=folds[:1]))
    everything = make_lifter("everything", meta={"subjects": [1, 2]})
    with pytest.raises(UsageError, match="trained on all clips of its file"):
        workflow.run(settings(model=str(everything), folds=folds))
