import json

import pytest

from skelaug.data.store import SequenceFile


def test_people_see_what_changed(skelaug, sandbox):
    done = skelaug("refine", "noisy.h5", "--method", "butterworth", "--picture", "a.png")
    assert done.code == 0, done.err
    assert done.out.startswith("wrote 24 clips to noisy.refined.h5\n")
    assert "m/s²" in done.out
    assert "frames per second" in done.out
    assert (sandbox / "a.png").stat().st_size > 0
    assert "refined 24" in skelaug("info", "noisy.refined.h5").out


def test_the_document_holds_the_errors_by_class(skelaug):
    told = ("--method", "savitzky-golay", "--truth", "data.h5", "--json")
    report = json.loads(skelaug("refine", "noisy.h5", "-o", "w.h5", *told).out)
    assert report["errors"][-1]["action"] == "mean"
    assert report["errors"][-1]["mpjpe"]["after"] < report["errors"][-1]["mpjpe"]["before"]
    assert report["jitter"]["after"] < report["jitter"]["before"]


def test_a_model_refines_by_steps_and_draws_samples(skelaug, sandbox):
    told = ("--model", "refiner", "--json")
    report = json.loads(skelaug("refine", "noisy.h5", "-o", "w.h5", *told, "--steps", "3").out)
    assert (report["steps"], report["model"], report["root"]) == (3, "refiner", "keep")
    drawn = skelaug(
        "refine", "noisy.h5", "-o", "v.h5", *told, "--sample", "2", "--picture", "a.png"
    )
    assert json.loads(drawn.out)["written"] == 48
    with SequenceFile(sandbox / "v.h5") as file:
        assert len(file) == 48


def test_gaps_are_listed_and_written_as_they_are(skelaug):
    done = skelaug("refine", "gaps.h5", "--method", "one-euro")
    assert done.code == 6
    assert "skelaug impute" in done.out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((), 5, "--method butterworth"),
        (("--model", "nowhere"), 5, "nowhere"),
        (("--model", "recognizer"), 3, "skelaug train refiner"),
        (("--model", "refiner", "--steps", "51"), 2, "at most 50"),
        (("--method", "one-euro", "--sample", "2"), 2, "--sample"),
        (("--method", "magic"), 2, "--method"),
        (("--method", "one-euro", "--truth", "nowhere.h5"), 5, "nowhere.h5"),
        (("--method", "one-euro", "-o", "noisy.h5", "--force"), 2, "is an input"),
    ],
)
def test_mistakes_are_one_line_with_their_code(skelaug, arguments, code, words):
    failed = skelaug("refine", "noisy.h5", "--quiet", *arguments)
    assert failed.code == code
    assert words in failed.error


def test_another_layout_names_what_to_do(skelaug, sandbox, write_file, labelled_clips):
    write_file(sandbox / "sbu.h5", labelled_clips(layout="sbu_15"))
    failed = skelaug("refine", "sbu.h5", "--model", "refiner")
    assert failed.code == 3
    assert "expected layout kinect_20" in failed.error
    assert skelaug("refine", "sbu.h5", "--quiet", "--method", "butterworth").code == 0
