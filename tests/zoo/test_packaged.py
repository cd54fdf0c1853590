"""What comes with the program: small, licensed, and its kicks are kicks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from skelaug.checkpoint import load_checkpoint
from skelaug.data.labels import match_label
from skelaug.data.store import SequenceFile
from skelaug.imputation.tracks import Track
from skelaug.imputation.typicality import log_densities
from skelaug.skeleton.geometry import bone_lengths
from skelaug.skeleton.layouts import get_layout
from skelaug.workflows.convert import ConvertConfig
from skelaug.workflows.convert import run as convert
from skelaug.workflows.drawn_errors import corrupted, load_errors
from skelaug.workflows.imputation_methods import Completer
from skelaug.workflows.imputation_report import ImputeConfig
from skelaug.workflows.motion_prior import load_prior
from skelaug.workflows.recognizer import load_recognizer
from skelaug.workflows.refine import run as refine
from skelaug.workflows.refinement_report import RefineConfig
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
    assert set(sizes) == {
        *("diffusion", "guide", "evaluator", "sketch", "recognizer", "hgvae"),
        *("refiner", "corrector", "noise"),
    }
    assert sizes.pop("recognizer") <= 3e6
    assert sizes.pop("hgvae") <= 6e6
    assert sum(sizes.pop(role) for role in ("refiner", "corrector", "noise")) <= 6e6
    assert sum(sizes.values()) <= 12e6


def test_it_knows_38_actions_and_one_kick() -> None:
    checkpoint = load_checkpoint(weights_in(find_model(MODEL))["diffusion"])
    assert len(checkpoint.classes) == 38
    assert match_label("kick", checkpoint.classes) == "kick forward"
    assert checkpoint.layout.name == "kinect_20"


def test_licence_attribution_and_scores_are_in_the_card() -> None:
    card = (find_model(MODEL) / "card.md").read_text()
    for words in (
        "UTD-MHAD",
        "HDM05",
        "CC BY-SA 3.0",
        "train_packaged.sh",
        "fid",
        "accuracy",
        "CMU",
    ):
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


@pytest.fixture
def gestures(shared_data: Path, tmp_path: Path) -> list[Track]:
    """The raw clips of UTD-MHAD, whole."""
    folder = shared_data / "raw_samples" / "utd_mhad"
    convert(ConvertConfig(sources=(folder,), out=tmp_path / "c.h5"))
    with SequenceFile(tmp_path / "c.h5") as file:
        return [Track(clip.positions[:, 0], clip.observed[:, 0], clip.fps) for clip in file]


def without(tracks: list[Track], joints: tuple[str, ...], frames: slice) -> list[Track]:
    left = []
    for track in tracks:
        observed = track.observed.copy()
        for joint in joints:
            observed[frames, get_layout("kinect_20").index(joint)] = False
        left.append(Track(track.positions, observed, track.fps))
    return left


def error(method: str, tracks: list[Track], left: list[Track]) -> float:
    """Root mean square distance of the filled joints in metres."""
    filled = Completer(load_prior(MODEL), ImputeConfig(data=Path("a"), out=Path("b"))).fill(
        method, left
    )
    apart = [
        np.linalg.norm(x - track.positions, axis=-1)[~one.observed]
        for x, track, one in zip(filled, tracks, left, strict=True)
    ]
    return float(np.sqrt(np.square(np.concatenate(apart)).mean()))


@pytest.mark.data
def test_the_model_of_motion_puts_wrists_that_are_never_seen_nearer_than_their_mean(
    gestures: list[Track],
) -> None:
    """Of three people whom it has not seen, by a sensor it has not seen."""
    for joint in ("left_wrist", "right_wrist"):
        left = without(gestures, (joint,), slice(None))
        assert error("reconstruction", gestures, left) < 0.7 * error("mean", gestures, left)


@pytest.mark.data
def test_the_model_of_motion_bridges_a_hidden_arm_no_worse_than_a_line(
    gestures: list[Track],
) -> None:
    arm = ("right_shoulder", "right_elbow", "right_wrist", "right_hand")
    left = without(gestures, arm, slice(15, 40))
    assert error("reconstruction", gestures, left) < 1.05 * error("linear", gestures, left)


@pytest.mark.data
def test_a_gesture_whose_frames_are_shuffled_is_less_typical(gestures: list[Track]) -> None:
    prior, order = load_prior(MODEL), np.random.default_rng(0)
    shuffled = [
        Track(order.permutation(track.positions), track.observed, track.fps) for track in gestures
    ]
    clean, odd = (
        log_densities(prior.network, prior.form, tracks).joint for tracks in (gestures, shuffled)
    )
    assert (odd < clean).all()


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


def test_noisy_clips_become_smoother_and_their_bones_rigid(
    tmp_path, labelled_clips, write_file
) -> None:
    numbers = np.random.default_rng(0)
    clips = labelled_clips()
    for clip in clips:
        clip.positions[:] += 0.015 * numbers.standard_normal(clip.positions.shape)
    path = write_file(tmp_path / "noisy.h5", clips)
    report = refine(RefineConfig(data=path, out=tmp_path / "refined.h5"), device="cpu")
    assert (report.model, report.steps, report.bones) == (MODEL, 2, "performer")
    assert report.jitter.after < 0.8 * report.jitter.before
    assert report.bone_length_variation.after < 1e-5


def test_its_noise_is_of_the_size_of_a_depth_sensors(make_sequence) -> None:
    errors = load_errors(MODEL, get_layout("kinect_20"), turn=True)
    clip = make_sequence(frames=600)
    moved = corrupted(clip, errors, seed=0, address=0).positions - clip.positions
    assert 0.010 < np.linalg.norm(moved, axis=-1).mean() < 0.025
