"""A file refined: shards, resumption, the truth, mistakes."""

import json

import numpy as np
import pytest

from skelaug.data.store import SequenceFile
from skelaug.errors import DataError, NotFoundError, UsageError
from skelaug.skeleton.geometry import bone_lengths
from skelaug.skeleton.sequence import Source
from skelaug.workflows import refine as workflow
from skelaug.workflows.provenance import run_record_path
from skelaug.workflows.refinement_report import RefineConfig


def shivering(clip, size=0.01):
    """The clip with white noise."""
    noise = np.random.default_rng(clip.num_frames).standard_normal(clip.positions.shape)
    return clip.replaced(positions=clip.positions + np.float32(size) * noise.astype(np.float32))


@pytest.fixture
def truth(tmp_path, labelled_clips, write_file):
    return write_file(tmp_path / "truth.h5", labelled_clips())


@pytest.fixture
def poses(tmp_path, labelled_clips, write_file):
    return write_file(tmp_path / "poses.h5", [shivering(clip) for clip in labelled_clips()])


@pytest.fixture
def settings(tmp_path, poses):
    told = {"data": poses, "out": tmp_path / "out.h5", "method": "butterworth"}
    return lambda **changes: RefineConfig(**{**told, **changes})


def test_the_output_has_the_same_clips_and_less_jitter(poses, truth, settings):
    config = settings(truth=truth)
    report = workflow.run(config)
    assert (report.clips, report.written, report.refined) == (24, 24, 24)
    assert report.jitter.after < report.jitter.before / 2
    assert report.bone_length_variation.after < report.bone_length_variation.before
    assert report.displacement_mm > 0
    mean = report.errors[-1]
    assert [row.action for row in report.errors] == [*sorted({"kick forward", "walk", "wave",
                                                              "sit [slow]"}), "mean"]  # fmt: skip
    assert mean.mpjpe.after < mean.mpjpe.before
    rows = report.errors[:-1]
    assert mean.mpjpe.after == pytest.approx(np.mean([row.mpjpe.after for row in rows]))
    with SequenceFile(poses) as before, SequenceFile(config.out) as after:
        assert after.names == before.names
        assert after.provenance[:-1] == before.provenance
        assert after.provenance[-1]["command"] == "refine"
        for one, other in zip(before, after, strict=True):
            np.testing.assert_array_equal(one.observed, other.observed)
            assert other.source is Source.REFINED
    record = json.loads(run_record_path(config.out).read_text())
    assert record["report"]["frames"] == report.frames


def test_a_killed_run_that_is_resumed_gives_the_same_file(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(workflow, "_SHARD", 7)
    monkeypatch.setattr(workflow, "_CLIPS_AT_ONCE", 3)
    whole = settings(out=tmp_path / "whole.h5")
    one = workflow.run(whole)
    config, calls = settings(), []
    real = workflow.refine_clips

    def failing(*arguments, **options):
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return real(*arguments, **options)

    monkeypatch.setattr(workflow, "refine_clips", failing)
    with pytest.raises(KeyboardInterrupt):
        workflow.run(config)
    report = workflow.run(config, resume=True)
    assert report.resumed_shards == 1
    assert config.out.read_bytes() == whole.out.read_bytes()
    assert (report.jitter, report.frames) == (one.jitter, one.frames)


def test_bones_keep_one_length_in_a_clip_or_for_a_performer(settings, tmp_path):
    lengths = {}
    for bones in ("rigid", "performer"):
        config = settings(out=tmp_path / f"{bones}.h5", bones=bones)
        report = workflow.run(config)
        assert report.bones == bones
        assert report.bone_length_variation.after < 1e-5
        with SequenceFile(config.out) as file:
            lengths[bones] = {
                clip.name: (clip.subject, bone_lengths(clip.positions[0, 0], clip.layout))
                for clip in file
            }
    by_performer = {}
    for subject, bones in lengths["performer"].values():
        np.testing.assert_allclose(by_performer.setdefault(subject, bones), bones, rtol=1e-4)
    own = [bones for subject, bones in lengths["rigid"].values() if subject == 1]
    assert np.ptp(own, axis=0).max() > 1e-3


def test_a_low_pass_takes_jitter_out_of_what_a_method_left(settings, tmp_path):
    mild = {"method": "moving-median", "root": "butterworth"}
    before = workflow.run(settings(**mild))
    after = workflow.run(settings(low_pass=3, **mild), force=True)
    assert (before.low_pass, after.low_pass) == (0, 3)
    assert after.jitter.after < 0.8 * before.jitter.after


def test_a_picture_that_is_there_is_never_drawn_over(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(workflow, "_SHARD", 7)
    real, calls = workflow.refine_clips, []

    def failing(*arguments, **options):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments, **options)

    monkeypatch.setattr(workflow, "refine_clips", failing)
    config = settings(picture=tmp_path / "mine.png")
    with pytest.raises(KeyboardInterrupt):
        workflow.run(config)
    config.picture.write_bytes(b"mine")
    with pytest.raises(UsageError, match=r"mine\.png"):
        workflow.run(config, resume=True)
    assert config.picture.read_bytes() == b"mine"
    config.picture.unlink()
    workflow.run(config, resume=True)
    assert config.picture.stat().st_size > 1000


def test_a_dry_run_writes_nothing(settings):
    config = settings()
    assert workflow.run(config, dry_run=True).dry_run
    assert not config.out.exists()


def test_another_file_of_true_poses_is_refused(settings, tmp_path, write_file, make_sequence):
    other = write_file(tmp_path / "other.h5", [make_sequence(name="nobody")])
    with pytest.raises(DataError, match="same names"):
        workflow.run(settings(truth=other))
    short = [make_sequence("walk", name="walk 1-0", frames=3)]
    with pytest.raises(DataError, match="expected frames"):
        workflow.run(settings(truth=write_file(tmp_path / "short.h5", short)), force=True)


def test_mistakes_name_what_to_do(settings):
    with pytest.raises(UsageError, match="--sample"):
        workflow.run(settings(sample=2))
    with pytest.raises(NotFoundError, match="--method butterworth"):
        workflow.run(settings(method="diffusion", model="nowhere"))


def test_a_clip_in_which_nobody_was_measured_is_listed(
    settings, tmp_path, write_file, make_sequence
):
    empty = make_sequence("wave", name="empty")
    gone = np.full_like(empty.positions, np.nan)
    absent = empty.replaced(name="absent", positions=gone, observed=np.zeros_like(empty.observed))
    empty = empty.replaced(positions=gone)
    data = write_file(tmp_path / "some.h5", [make_sequence("wave", name="whole"), empty, absent])
    report = workflow.run(settings(data=data))
    assert [(one.name, one.reason) for one in report.rejected] == [
        (name, "no joint was measured") for name in ("empty", "absent")
    ]
    assert report.refined == 1


def test_what_counts_for_nothing_is_said(settings):
    report = workflow.run(settings(model="nix", steps=3), dry_run=True)
    assert [warning.split()[0] for warning in report.warnings] == ["--model", "--steps"]
