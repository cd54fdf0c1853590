"""The job around the generator: labels, durations, shards, interruption, provenance."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from skelaug.data.store import SequenceFile
from skelaug.errors import NotFoundError, UsageError
from skelaug.skeleton.sequence import Source
from skelaug.workflows import synthesis_jury
from skelaug.workflows.synthesize import SynthesizeConfig, run

MakeModel = Callable[..., Path]


def _config(folder: Path, out: Path, **settings: object) -> SynthesizeConfig:
    values = {"model": str(folder), "out": out, "labels": ("kick",), "n": 5, "steps": 2}
    return SynthesizeConfig.model_validate({**values, **settings})


def test_clips_are_labelled_synthetic_and_in_metres(make_model: MakeModel, tmp_path: Path) -> None:
    report = run(_config(make_model(), tmp_path / "out.h5", labels=("kick", "WAVE")))
    assert report.clips == 10
    assert {one.label: one.clips for one in report.labels} == {"kick forward": 5, "wave": 5}
    with SequenceFile(tmp_path / "out.h5") as file:
        assert file.classes == ("kick forward", "wave")
        assert set(file.sources) == {Source.SYNTHETIC}
        assert len(set(file.names)) == 10
        record = file.provenance[-1]
        assert record["command"] == "synth"
        assert record["model"]["split"]["hash"] == "0" * 64
        for clip in file:
            assert clip.observed.all()
            assert clip.positions[..., 1].min() == pytest.approx(0, abs=1e-6)  # on the floor


def test_durations_are_those_of_the_class(make_model: MakeModel, tmp_path: Path) -> None:
    config = _config(make_model(), tmp_path / "out.h5", labels=("walk",), n=40, fps=10.0)
    run(config)
    with SequenceFile(tmp_path / "out.h5") as file:
        assert Counter(file.lengths.tolist()).keys() == {15, 18}  # 1.5 and 1.8 seconds
        assert set(file.fps) == {10.0}


def test_like_matches_the_mix_and_balance_fills_it_up(
    make_model: MakeModel, tmp_path: Path, write_file: Callable[..., Path], make_sequence: Callable
) -> None:
    labels = ["walk"] * 5 + ["wave"] * 2
    clips = [make_sequence(label, name=str(i), frames=33) for i, label in enumerate(labels)]
    like = write_file(tmp_path / "like.h5", clips)
    model = make_model()
    run(_config(model, tmp_path / "a.h5", labels=(), n=None, like=like))
    run(_config(model, tmp_path / "b.h5", labels=(), n=14, like=like))
    run(_config(model, tmp_path / "c.h5", labels=(), n=None, like=like, balance_to=6))
    mixes = []
    for name in "abc":
        with SequenceFile(tmp_path / f"{name}.h5") as file:
            mixes.append(dict(Counter(file.label_name(i) for i in range(len(file)))))
            assert set(file.lengths) == {33}
    assert mixes == [{"walk": 5, "wave": 2}, {"walk": 10, "wave": 4}, {"walk": 1, "wave": 4}]


def test_sample_i_does_not_depend_on_how_many_are_drawn(
    make_model: MakeModel, tmp_path: Path
) -> None:
    model = make_model()
    run(_config(model, tmp_path / "few.h5", n=3))
    run(_config(model, tmp_path / "many.h5", n=70))
    with SequenceFile(tmp_path / "few.h5") as few, SequenceFile(tmp_path / "many.h5") as many:
        for i in range(3):
            assert few[i].name == many[i].name
            np.testing.assert_array_equal(few[i].positions, many[i].positions)


def test_equal_commands_write_equal_bytes(make_model: MakeModel, tmp_path: Path) -> None:
    model = make_model()
    for name in ("a.h5", "b.h5"):
        run(_config(model, tmp_path / name, no_copies=True))
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    sidecar = json.loads((tmp_path / "a.h5.run.json").read_text())
    assert sidecar["report"]["clips"] == 5


def test_copies_are_drawn_again(
    make_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model()
    run(_config(model, tmp_path / "plain.h5", n=20))
    found = synthesis_jury.detector

    def strict(*arguments: object) -> object:
        return replace(found(*arguments), threshold=np.inf)

    monkeypatch.setattr(synthesis_jury, "detector", strict)
    report = run(_config(model, tmp_path / "novel.h5", n=20, no_copies=True))
    assert report.redrawn == 20 * 8
    assert report.copies == 20  # nothing is far enough: said, not hidden
    with SequenceFile(tmp_path / "plain.h5") as plain, SequenceFile(tmp_path / "novel.h5") as novel:
        same = [np.array_equal(a.positions, b.positions) for a, b in zip(plain, novel, strict=True)]
    assert sum(same) < 10  # the farthest of nine is rarely the first


_SCRIPT = """
import sys
from pathlib import Path
from skelaug.cli.app import main
from skelaug.workflows import synthesize
synthesize._SHARD = 64
sys.argv = ["skelaug", "synth", "--label", "kick", "--n", "640", "--steps", "2", "--quiet",
            "--model", sys.argv[1], "-o", sys.argv[2], *sys.argv[3:]]
main()
"""


@pytest.mark.slow
def test_a_killed_command_resumes_to_the_same_bytes(make_model: MakeModel, tmp_path: Path) -> None:
    model = make_model()
    whole, killed = tmp_path / "whole" / "out.h5", tmp_path / "killed" / "out.h5"
    command = [sys.executable, "-c", _SCRIPT, str(model)]
    subprocess.run([*command, str(whole)], check=True)
    process = subprocess.Popen([*command, str(killed)])
    parts = killed.with_name("out.h5.parts")
    while process.poll() is None and len(list(parts.glob("0*.h5"))) < 3:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not killed.exists()
    refused = subprocess.run([*command, str(killed)], capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "add --resume" in refused.stderr
    subprocess.run([*command, str(killed), "--resume"], check=True)
    assert killed.read_bytes() == whole.read_bytes()
    assert not parts.exists()


@pytest.mark.slow
def test_two_processes_draw_what_one_draws(make_model: MakeModel, tmp_path: Path) -> None:
    model, script = make_model(), tmp_path / "draw.py"
    script.write_text(_SCRIPT)
    one, two = tmp_path / "one" / "out.h5", tmp_path / "two" / "out.h5"
    subprocess.run([sys.executable, str(script), str(model), str(one)], check=True)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    subprocess.run([*launcher, str(script), str(model), str(two)], check=True)
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"labels": ("jump",)}, NotFoundError, "label 'jump': no such class"),
        ({"labels": ()}, UsageError, "expected at least one class"),
        ({"labels": ("w",)}, NotFoundError, "got 3 that contain it"),
        ({"balance_to": 5}, UsageError, "add --like"),
        ({"steps": 101}, UsageError, "expected 1 to 100"),
        ({"model": "nobody"}, NotFoundError, "no packaged model and no run"),
        ({"like": Path("none.h5")}, NotFoundError, "no such file"),
    ],
)
def test_mistakes_are_named(
    make_model: MakeModel,
    tmp_path: Path,
    settings: dict[str, object],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        run(_config(make_model(), tmp_path / "out.h5", **settings))
    assert not (tmp_path / "out.h5").exists()


def test_a_dry_run_writes_nothing(make_model: MakeModel, tmp_path: Path) -> None:
    model = make_model()
    before = sorted(tmp_path.rglob("*"))
    report = run(_config(model, tmp_path / "out.h5", n=5000), dry_run=True)
    assert report.clips == 5000
    assert report.dry_run
    assert sorted(tmp_path.rglob("*")) == before
