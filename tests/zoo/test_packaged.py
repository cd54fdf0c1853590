"""What comes with the program: small, licensed, and its kicks are kicks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from skelaug.checkpoint import load_checkpoint
from skelaug.data.labels import match_label
from skelaug.data.store import SequenceFile
from skelaug.skeleton.geometry import bone_lengths
from skelaug.workflows.convert import ConvertConfig
from skelaug.workflows.convert import run as convert
from skelaug.workflows.recognizer import load_recognizer
from skelaug.workflows.synthesize import SynthesizeConfig, run
from skelaug.zoo import find_model, weights_in

MODEL = "kinect20"


@pytest.fixture(scope="module")
def kicks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("kicks") / "kicks.h5"
    run(SynthesizeConfig(labels=("kick",), n=64, out=out))
    return out


def test_all_parts_are_there_and_small() -> None:
    files = weights_in(find_model(MODEL))
    sizes = {role: path.stat().st_size for role, path in files.items()}
    assert set(sizes) == {"diffusion", "guide", "evaluator", "sketch", "recognizer"}
    assert sizes.pop("recognizer") <= 3e6
    assert sum(sizes.values()) <= 12e6


def test_it_knows_38_actions_and_one_kick() -> None:
    checkpoint = load_checkpoint(weights_in(find_model(MODEL))["diffusion"])
    assert len(checkpoint.classes) == 38
    assert match_label("kick", checkpoint.classes) == "kick forward"
    assert checkpoint.layout.name == "kinect_20"


def test_licence_attribution_and_scores_are_in_the_card() -> None:
    card = (find_model(MODEL) / "card.md").read_text()
    for words in ("UTD-MHAD", "HDM05", "CC BY-SA 3.0", "train_packaged.sh", "fid", "accuracy"):
        assert words in card


def test_a_kick_lifts_a_foot_and_comes_from_a_body(kicks: Path) -> None:
    with SequenceFile(kicks) as file:
        ankles = [file.layout.index(name) for name in ("left_ankle", "right_ankle")]
        shin = [file.layout.joints[c] for c, _ in file.layout.bones].index("left_ankle")
        heights = [clip.positions[:, 0, ankles, 1] for clip in file]
        shins = [bone_lengths(clip.positions, clip.layout)[..., shin].mean() for clip in file]
    assert np.median([np.ptp(height, axis=0).max() for height in heights]) > 0.35
    assert 0.3 < np.median(shins) < 0.55


def test_the_same_seed_gives_the_same_kick_however_many_are_drawn(
    kicks: Path, tmp_path: Path
) -> None:
    run(SynthesizeConfig(labels=("kick",), n=3, out=tmp_path / "few.h5"))
    with SequenceFile(kicks) as many, SequenceFile(tmp_path / "few.h5") as few:
        for i in range(3):
            np.testing.assert_array_equal(few[i].positions, many[i].positions)


def test_the_recognizer_knows_the_generator_s_kicks(kicks: Path) -> None:
    recognizer = load_recognizer(MODEL)
    assert set(load_checkpoint(weights_in(find_model(MODEL))["diffusion"]).classes) <= set(
        recognizer.classes
    )
    with SequenceFile(kicks) as file:
        answers = recognizer.logits(file).argmax(axis=1)
    kick = recognizer.classes.index("kick forward")
    assert (answers == kick).mean() > 0.9


@pytest.mark.data
def test_the_recognizer_names_the_gestures_of_performers_it_has_not_seen(
    shared_data: Path, tmp_path: Path
) -> None:
    """A few of the raw clips of UTD-MHAD's even subjects are in neither training part."""
    recognizer = load_recognizer(MODEL)
    assert recognizer.checkpoint.meta["subjects"] == [1, 3, 5, 7, 101, 102, 103]
    folder = shared_data / "raw_samples" / "utd_mhad"
    config = ConvertConfig(sources=(folder,), out=tmp_path / "c.h5")
    convert(config)
    with SequenceFile(tmp_path / "c.h5") as file:
        rows = [row for row, subject in enumerate(file.subjects) if subject % 2 == 0]
        answers = recognizer.logits(file[row] for row in rows).argmax(axis=1)
        assert [recognizer.classes[answer] for answer in answers] == [
            file.label_name(row) for row in rows
        ]
