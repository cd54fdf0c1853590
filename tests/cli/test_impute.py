import json

import pytest

from skelaug.data.store import SequenceFile

FAST = ("--trial-clips", "8", "--steps", "2", "--set", "samples=2")


def test_people_see_what_was_measured_and_what_was_taken(skelaug, sandbox):
    done = skelaug("impute", "gaps.h5", *FAST, "--picture", "a.png")
    assert done.code == 0, done.err
    assert done.out.startswith("wrote 24 clips to gaps.imputed.h5\n")
    table = [line.split("  ")[0] for line in done.out.splitlines()]
    methods = ["hold", "linear", "cubic", "mean", "reconstruction", "ascent", "hgvae"]
    assert [word for word in table if word in methods] == methods
    assert done.out.count(" *") == 1  # one kind of gap
    assert (sandbox / "a.png").stat().st_size > 0
    with SequenceFile(sandbox / "gaps.imputed.h5") as file:
        assert file.has_uncertainty
        assert file.has_confidence
    shown = skelaug("info", "gaps.imputed.h5").out
    assert "imputed 24" in shown
    assert "1080 joints, about " in shown  # 24 clips, 15 frames, 3 joints


def test_the_document_holds_the_table(skelaug):
    report = json.loads(skelaug("impute", "gaps.h5", "-o", "w.h5", *FAST, "--json").out)
    (gap,) = report["gaps"]
    assert (gap["kind"], gap["missing"], gap["filled"]) == ("long", 1080, 1080)
    rmse = [one["rmse_mm"] for one in gap["errors"]]
    assert rmse == sorted(rmse)
    assert gap["method"] == gap["errors"][0]["method"]


def test_joints_that_are_too_unsure_count_as_missing(skelaug):
    options = ("--trial-clips", "0", "--method", "linear", "--json")
    report = json.loads(
        skelaug("impute", "gaps.h5", "-o", "w.h5", "--min-confidence", "0.5", *options).out
    )
    assert {gap["kind"]: gap["missing"] for gap in report["gaps"]} == {"short": 192, "long": 1080}


def test_a_clip_of_nobody_ends_with_exit_code_6(skelaug, sandbox, write_file, make_sequence):
    clips = [make_sequence(name="empty", missing=1.0), make_sequence(name="full")]
    write_file(sandbox / "some.h5", clips)
    done = skelaug("impute", "some.h5")
    assert done.code == 6
    assert "empty" in done.out
    assert "warning: nothing is missing" in done.err
    assert (sandbox / "some.imputed.h5").exists()
    quiet = skelaug("impute", "some.h5", "--quiet", "--force")
    assert (quiet.code, quiet.out, quiet.err) == (6, "", "")


def test_models_may_be_several_and_are_named(skelaug):
    several = ("--model", "prior", "--model", "vae", *FAST)
    done = skelaug("impute", "gaps.h5", "-o", "w.h5", *several)
    assert "models" in done.out
    assert "prior (hgvae), vae (motion-vae)" in done.out
    assert any(line.startswith("motion-vae ") for line in done.out.splitlines())
    told = ("--set", "start=linear", "--set", "climbs=posterior", "--method", "motion-vae")
    again = skelaug("impute", "gaps.h5", "-o", "v.h5", *several, *told, "--json")
    report = json.loads(again.out)
    assert report["models"][1] == {"name": "vae", "kind": "motion-vae"}
    assert [gap["method"] for gap in report["gaps"]] == ["motion-vae"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--method", "motion-vae"), 2, "skelaug train hgvae DATA.h5 --out RUN --set model.name="),
        (("--model", "prior", "--model", "prior"), 2, "got two of kind hgvae"),
        (("--set", "start=hold"), 2, "start"),
        (("--model", "nowhere"), 5, "nowhere"),
        (("--model", "recognizer"), 3, "skelaug train hgvae"),
        (("--method", "magic"), 2, "--method"),
        (("--min-confidence", "2"), 2, "--min-confidence"),
        (("--set", "sample=3"), 2, "samples"),
        (("-o", "gaps.h5", "--force"), 2, "is an input"),
    ],
)
def test_mistakes_are_one_line_with_their_code(skelaug, arguments, code, words):
    failed = skelaug("impute", "gaps.h5", "--quiet", *arguments)
    assert failed.code == code
    assert words in failed.error


def test_another_layout_names_what_to_do(skelaug, sandbox, write_file, labelled_clips):
    write_file(sandbox / "sbu.h5", labelled_clips(layout="sbu_15"))
    failed = skelaug("impute", "sbu.h5", "--quiet")
    assert failed.code == 3
    assert "skelaug train hgvae" in failed.error
    assert "--method linear" in failed.error
    assert skelaug("impute", "sbu.h5", "--quiet", "--method", "linear").code == 0
