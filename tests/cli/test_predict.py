import csv
import io
import json

import pytest

from skelaug.data.store import SequenceFile


def test_answers_stand_alone_on_stdout_and_the_talk_on_stderr(skelaug):
    done = skelaug("predict", "data.h5", "--top", "1")
    assert done.code == 0, done.err
    lines = [json.loads(line) for line in done.out.splitlines()]
    with SequenceFile("data.h5") as file:
        assert [one["name"] for one in lines] == file.names
    assert "24 clips, " in done.err
    assert "% right (chance 25.0 %)" in done.err
    quiet = skelaug("predict", "data.h5", "--top", "1", "--quiet")
    assert (quiet.out, quiet.err) == (done.out, "")
    table = skelaug("predict", "data.h5", "--format", "csv", "--quiet")
    rows = [*csv.DictReader(io.StringIO(table.out))]
    assert [row["label"] for row in rows] == [one["label"] for one in lines]


def test_the_document_has_the_answers_only_where_no_file_has_them(skelaug, sandbox):
    first = json.loads(skelaug("predict", "data.h5", "--json").out)
    assert len(first["predictions"]) == 24
    assert 0 <= first["accuracy"] <= 1
    second = json.loads(skelaug("predict", "data.h5", "--json", "-o", "out.csv").out)
    assert second["predictions"] is None
    assert {**first, "predictions": None, "output": "out.csv"}.keys() == second.keys()
    assert first["class_accuracy"] == second["class_accuracy"]
    assert (sandbox / "out.csv").read_text().count("\n") == 25
    refused = skelaug("predict", "data.h5", "--json", "--format", "csv")
    assert refused.code == 2
    assert "-o FILE" in refused.error


def test_rejected_clips_end_with_exit_code_6_and_are_named(
    skelaug, sandbox, write_file, make_sequence
):
    with SequenceFile("data.h5") as file:
        clips = [file[0], make_sequence(name="empty", missing=1.0)]
    write_file(sandbox / "some.h5", clips, classes=("kick forward", "walk"))
    done = skelaug("predict", "some.h5")
    assert done.code == 6
    assert len(done.out.splitlines()) == 1
    assert "rejected empty: " in done.err
    written = skelaug("predict", "some.h5", "-o", "out.jsonl", "--quiet")
    assert (written.code, written.out, written.err) == (6, "", "")


def test_people_see_what_was_written_and_how_right_it_is(skelaug, sandbox):
    done = skelaug("predict", "data.h5", "-o", "w.jsonl", "--window", "10", "--confusion", "c.png")
    assert done.code == 0, done.err
    assert done.out.startswith("wrote w.jsonl: 24 clips in ")
    assert "sit [slow]" in done.out
    assert (sandbox / "c.png").stat().st_size > 0
    planned = skelaug("predict", "data.h5", "-o", "p.jsonl", "--window", "10", "--dry-run")
    assert planned.out.startswith("would write p.jsonl: 24 clips in ")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--weights", "1,2"), 2, "expected 1 numbers"),
        (("--weights", "1,two"), 2, "weights.1"),
        (("--stride", "3"), 2, "--window"),
        (("--model", "nowhere"), 5, "nowhere"),
        (("--model", "zoo/kinect20/guide.safetensors"), 5, "zoo"),
    ],
)
def test_mistakes_are_one_line_with_their_code(skelaug, arguments, code, words):
    failed = skelaug("predict", "data.h5", "--quiet", *arguments)
    assert failed.code == code
    assert words in failed.error
