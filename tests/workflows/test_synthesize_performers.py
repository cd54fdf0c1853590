"""From clips with performers to clips that imitate them: one training, one file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from skelaug.cli.app import run
from skelaug.config import load
from skelaug.data.store import SequenceFile
from skelaug.errors import UsageError
from skelaug.skeleton.sequence import SkeletonSequence
from skelaug.workflows import synthesize, train_diffusion
from skelaug.workflows.synthesis_report import SynthesizeConfig, SynthReport
from skelaug.workflows.train_diffusion import TrainDiffusionConfig

TINY = {
    "model": {"arguments": {"width": 32, "depth": 1, "heads": 2}},
    "optimisation": {"steps": 12, "batch": 8, "lr": 0.02},
    "codec": {"frames": 8},
    "sampling": {"steps": 2},
}


def trained(data: Path, out: Path, *overrides: str) -> Path:
    flags = {"data": data, "out": out}
    config = load(TrainDiffusionConfig, preset=TINY, overrides=overrides, flags=flags)
    train_diffusion.run(config, device="cpu")
    return out


def drawn(model: Path, out: Path, **settings: object) -> tuple[SynthReport, SequenceFile]:
    config = SynthesizeConfig(
        model=str(model), out=out, **{"labels": ("walk",), "n": 6, **settings}
    )
    report = synthesize.run(config, device="cpu")
    return report, SequenceFile(out)


def bodies(clip: SkeletonSequence) -> int:
    """Persons that are there, in a file with room for more."""
    return int(clip.observed.any(axis=(0, 2)).sum())


def test_clips_imitate_performers_and_are_nobodys(data_file, tmp_path):
    model = trained(data_file, tmp_path / "run", "performers=true", "split=subject=1,3")
    report, file = drawn(model, tmp_path / "any.h5")
    assert report.performers == [1, 3]
    assert set(file.subjects.tolist()) == {-1}
    assert file.provenance[-1]["recipe"]["performers"] == [1, 3]
    found = {}
    for who in (1, 3):
        one, found[who] = drawn(model, tmp_path / f"{who}.h5", subjects=(who,))
        assert one.performers == [who]
        assert found[who].provenance[-1]["recipe"]["performers"] == [who]
        assert found[who].provenance[-1]["config"]["subjects"] == [who]
    for i in range(6):
        clips = [file[i].positions, found[1][i].positions, found[3][i].positions]
        assert np.abs(clips[1] - clips[2]).max() > 1e-5
        assert any(np.array_equal(clips[0], clip) for clip in clips[1:])
    with pytest.raises(UsageError, match="--subject 2: expected performers of"):
        drawn(model, tmp_path / "no.h5", subjects=(2,))


def test_a_model_recommends_performers_as_it_recommends_steps(data_file, tmp_path):
    how = ("performers=true", "sampling.subjects=[2]")
    model = trained(data_file, tmp_path / "run", *how)
    assert drawn(model, tmp_path / "one.h5")[0].performers == [2]
    assert drawn(model, tmp_path / "two.h5", subjects=(1,))[0].performers == [1]


def test_a_model_that_was_not_told_says_so_and_how_it_would_be(data_file, tmp_path):
    model = trained(data_file, tmp_path / "run")
    assert drawn(model, tmp_path / "any.h5")[0].performers == []
    with pytest.raises(UsageError, match=r"not told who performed.*--set performers=true"):
        drawn(model, tmp_path / "no.h5", subjects=(1,))


def test_the_command_takes_performers_by_number(data_file, tmp_path, capsys):
    model = trained(data_file, tmp_path / "run", "performers=true")
    capsys.readouterr()
    what = ["synth", "--model", str(model), "--label", "walk", "--n", "2", "--json"]
    assert run([*what, "-o", str(tmp_path / "o.h5"), "--subject", "2", "--subject", "1"]) == 0
    assert json.loads(capsys.readouterr().out)["performers"] == [2, 1]


def test_classes_without_labelled_clips_take_the_durations_and_persons_of_all(
    tmp_path, make_sequence, write_file
):
    shown = [make_sequence("walk", name=f"w{i}", frames=30, seed=i) for i in range(3)]
    hidden = [
        make_sequence("wave", name=f"v{i}", frames=60, persons=2, subject=2, seed=i)
        for i in range(40)
    ]
    data = write_file(tmp_path / "data.h5", [*shown, *hidden])
    model = trained(data, tmp_path / "run", "labelled=subject=1")
    _, file = drawn(model, tmp_path / "o.h5", labels=("walk", "wave"), n=20)
    clips = [file[i] for i in range(len(file))]
    assert {clip.num_frames for clip in clips if clip.label == "walk"} == {30}
    assert {bodies(clip) for clip in clips if clip.label == "walk"} == {1}
    others = [clip for clip in clips if clip.label == "wave"]
    assert {clip.num_frames for clip in others} <= {30, 60}
    assert sum(clip.num_frames == 60 for clip in others) >= 10
    assert sum(bodies(clip) == 2 for clip in others) >= 10
