"""A trained recognizer: its answers belong to the clip alone, and it says what does not fit."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from skelaug.errors import DataError, NotFoundError
from skelaug.models.recognizers import RECOGNIZERS
from skelaug.skeleton.preparation import PROFILES
from skelaug.workflows.recognizer import load_recognizer

SAME = {"rtol": 1e-5, "atol": 1e-5}


def rewritten(run, **changes):
    """The weights of a run with another header."""
    path = run / "model.safetensors"
    with safe_open(path, framework="pt") as file:
        header = {**file.metadata(), **changes}
        weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    save_file(weights, path, metadata=header)
    return run


def streams_by_hand(x, layout):
    """Joints, bones and bone motion of x: N C T V M, joint by joint and frame by frame."""
    bone, motion = np.zeros_like(x), np.zeros_like(x)
    for child, parent in layout.bones:
        bone[:, :, :, child] = x[:, :, :, child] - x[:, :, :, parent]
    for t in range(x.shape[2] - 1):
        motion[:, :, t] = bone[:, :, t + 1] - bone[:, :, t]
    return np.concatenate([x, bone, motion], axis=1)


def test_logits_are_those_of_the_network_on_its_prepared_clips_and_streams(
    make_recognizer, labelled_clips
):
    names = ("joint", "bone", "bone_motion")
    recognizer = load_recognizer(make_recognizer(streams=names, preparation={"persons": 2}))
    clips = labelled_clips()[:5]
    profile = PROFILES["heading"]
    prepared = np.stack([profile.fit(profile.place(clip, 2), 16) for clip in clips])
    x = streams_by_hand(prepared.transpose(0, 4, 1, 3, 2), recognizer.layout)
    checkpoint = recognizer.checkpoint
    network = RECOGNIZERS[checkpoint.kind](**checkpoint.arguments).eval()
    network.load_state_dict(dict(checkpoint.weights))
    expected = network(torch.from_numpy(x)).detach().numpy()
    assert recognizer.shape == (16, 2, 20, 3)
    np.testing.assert_allclose(recognizer.logits(clips), expected, **SAME)


def test_an_answer_depends_on_its_clip_alone(make_recognizer, labelled_clips):
    recognizer = load_recognizer(make_recognizer())
    clips = labelled_clips(missing=0.05)
    together = recognizer.logits(clips)
    assert together.shape == (24, 4)
    assert together.dtype == np.float32
    assert np.ptp(together, axis=0).min() > 0.1, "clips are told apart"
    for batch in (1, 5, 24):
        np.testing.assert_allclose(recognizer.logits(iter(clips), batch=batch), together, **SAME)
    np.testing.assert_allclose(recognizer.logits(clips[::-1])[::-1], together, **SAME)
    np.testing.assert_array_equal(recognizer.logits(clips), together)
    assert recognizer.logits([]).shape == (0, 4)


def test_a_clip_of_one_frame_with_missing_joints_gets_finite_logits(make_recognizer, make_sequence):
    recognizer = load_recognizer(make_recognizer())
    clip = make_sequence(frames=1, missing=0.5)
    assert 0 < clip.observed.sum() < clip.observed.size
    assert np.isfinite(recognizer.logits([clip])).all()


def test_what_was_not_measured_does_not_count(make_recognizer, make_sequence):
    recognizer = load_recognizer(make_recognizer())
    clip = make_sequence(missing=0.2)
    nonsense = clip.replaced(
        positions=np.where(clip.observed[..., None], clip.positions, np.float32(99))
    )
    np.testing.assert_array_equal(recognizer.logits([clip]), recognizer.logits([nonsense]))


def test_persons_that_a_network_has_no_place_for_are_not_seen(make_recognizer, make_sequence):
    two, one = make_sequence(persons=2), make_sequence(persons=1)
    single = load_recognizer(make_recognizer("single"))
    double = load_recognizer(make_recognizer("double", preparation={"persons": 2}))
    np.testing.assert_allclose(single.logits([two]), single.logits([one]), **SAME)
    assert np.abs(double.logits([two]) - double.logits([one])).max() > 1e-4


def test_other_joints_are_refused_with_both_layouts_and_the_way_out(make_recognizer, make_sequence):
    recognizer = load_recognizer(make_recognizer())
    with pytest.raises(DataError, match=r"expected layout kinect_20 .* got ntu_25; .*skelaug conv"):
        recognizer.logits([make_sequence(layout="ntu_25")])
    with pytest.raises(DataError, match=r"expected 3 coordinates per joint as in .*, got 2"):
        recognizer.check_clips(recognizer.layout, 2, where="flat.h5")


def test_a_clip_without_a_measured_joint_is_refused(make_recognizer, make_sequence):
    with pytest.raises(DataError, match=r"'empty'.*measured joint"):
        load_recognizer(make_recognizer()).logits([make_sequence(name="empty", missing=1.0)])


def test_a_recognizer_is_found_in_a_model_among_its_other_networks(make_model, make_recognizer):
    folder = make_model("both")
    with pytest.raises(NotFoundError, match="no weights for 'recognizer'"):
        load_recognizer(folder)
    make_recognizer("both", file="recognizer")
    assert load_recognizer(folder).path == folder / "recognizer.safetensors"
    with pytest.raises(DataError, match="expected a recognizer model, got one for diffusion"):
        load_recognizer(folder / "diffusion.safetensors")
    with pytest.raises(NotFoundError, match="nowhere"):
        load_recognizer("nowhere")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "quantum"}, "network 'quantum'"),
        ({"arguments": json.dumps({"parents": [-1, 0], "num_classes": 2})}, "do not fit"),
        ({"arguments": json.dumps({"width": "wide"})}, "do not fit"),
        ({"meta": json.dumps({"what": "recognizer"})}, "damaged"),
        (
            {
                "meta": json.dumps(
                    {
                        "what": "recognizer",
                        "streams": ["smell"],
                        "preparation": {"profile": "heading", "frames": 16, "persons": 1},
                    }
                )
            },
            "expected streams of joint, .* got smell",
        ),
    ],
)
def test_a_header_that_makes_no_sense_is_a_message(make_recognizer, changes, message):
    with pytest.raises(DataError, match=message):
        load_recognizer(rewritten(make_recognizer(), **changes))
