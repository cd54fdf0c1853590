from __future__ import annotations

from skelaug.checkpoint import Checkpoint
from skelaug.skeleton.layouts import get_layout
from skelaug.workflows.training_card import card


def checkpoint(**changes: object) -> Checkpoint:
    meta = {
        "what": "diffusion",
        "parameters": 4_100_000,
        "data": {"name": "mine.h5", "sha256": "ab" * 32},
        "clips": {"kick [high]": 12, "jump": 0},
        "subjects": [1, 3],
        "split": {"rule": "subject=1,3", "hash": "cd" * 32},
        "steps": 6000,
        "step": 5900,
        "batch": 64,
        "seed": 7,
        "version": "0.1.0",
        "licence": "CC BY 4.0",
        **changes,
    }
    classes = ("kick [high]", "jump")
    return Checkpoint("unet", {}, {}, get_layout("kinect_20"), classes, meta)


def test_the_card_says_what_was_trained_on_what_and_how_to_do_it_again():
    text = card(checkpoint())
    for part in (
        *("# A diffusion model of 1 actions", "4,100,000 weights", "kinect_20", "mine.h5"),
        *("ab" * 32, "12 clips", "'subject=1,3'", "subjects 1, 3", "6,000 steps of 64, seed 7"),
        *("weights of step 5,900", "CC BY 4.0", "| kick [high] | 12 |", "| jump | 0 |"),
        "skelaug train diffusion mine.h5 --out RUN --config config.yaml",
    ):
        assert part in text


def test_the_article_fits_the_model():
    assert card(checkpoint(what="actor")).startswith("# An actor model of")


def test_what_is_not_known_is_said():
    text = card(checkpoint(licence="", subjects=[], split={"rule": "", "hash": ""}))
    assert "licence of the data: not stated" in text
    assert "subjects unknown" in text
    assert "rule 'all'" in text


def test_a_model_of_motion_names_clips_without_labels_and_how_typical_they_are():
    posterior, joint = {"mean": -812.345, "std": 91.2}, {"mean": 5070.49, "std": 412.3}
    typicality = {"joint": joint, "posterior": posterior, "clips": 15}
    text = card(checkpoint(what="hgvae", unlabelled=3, typicality=typicality))
    assert "training part: 15 clips" in text
    assert "log-joint of 15 training clips: 5070.5 with a standard deviation of 412.3" in text
    assert "log-posterior of 15 training clips: -812.3 with a standard deviation of 91.2" in text
    nameless = card(checkpoint(what="hgvae", clips={"jump": 0}, unlabelled=3))
    assert nameless.startswith("# A hgvae model of clips without labels")
