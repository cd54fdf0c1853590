"""A folder with one of everything that the examples of the commands name."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml

from skelaug.cli.app import run
from skelaug.data.store import SequenceFile
from skelaug.image.codec import ImageCodec, fitted_codec
from skelaug.image.store import ImageSchema, write_images
from skelaug.skeleton.sequence import Source

RECIPE = """\
file: recordings.npz
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
) -> Path:
    """The current folder of a test: data.h5, kicks.h5, images.h5, recordings and a layout."""
    full = _everything / "files"
    if not full.exists():
        full.mkdir()
        clips = labelled_clips()
        write_file(full / "data.h5", clips)
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
        np.savez(full / "recordings.npz", positions=stacked, label=label, subject=subject)
        (full / "recordings.yaml").write_text(RECIPE)
        (full / "my_layout.yaml").write_text(_layout(["hip", "chest", "head"]))
    folder = tmp_path / "sandbox"
    shutil.copytree(full, folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def skelaug(sandbox: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """``skelaug("info", "data.h5")`` runs a command in the sandbox."""

    def call(*arguments: str) -> Outcome:
        code = run(arguments)
        captured = capfd.readouterr()
        return Outcome(code, captured.out, captured.err)

    return call
