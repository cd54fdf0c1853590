import json

import pytest

from skelaug.data.splits import split_hash
from skelaug.data.store import Schema, SequenceFile, write_sequences

QUICK = ("--set", "steps=2", "--draws", "3", "--split", "subject=1,2")


def test_people_see_a_table_and_notes_on_stderr(skelaug):
    done = skelaug("eval", "data.h5", "synthetic.h5", *QUICK)
    assert done.code == 0, done.err
    for words in (
        "FID",
        "accuracy",
        "synth/real",
        "real (floor)",
        "held-out",
        "copies",
        "high-band energy",
        "±",
    ):
        assert words in done.out
    assert "note: " in done.err
    assert max(map(len, done.out.splitlines()[:15])) < 100


def test_programs_get_one_document_and_a_file_with_the_same(skelaug, sandbox):
    done = skelaug("eval", "data.h5", "synthetic.h5", *QUICK, "--json", "-o", "scores.json")
    assert done.code == 0, done.err
    document = json.loads(done.out)
    assert document == json.loads((sandbox / "scores.json").read_text())
    assert 0 <= document["accuracy"]["synthetic"]["mean"] <= 1
    refused = skelaug("eval", "data.h5", "synthetic.h5", *QUICK, "-o", "scores.json")
    assert refused.code == 2
    assert "--force" in refused.error


def test_quiet_says_nothing_at_all(skelaug):
    done = skelaug("eval", "data.h5", "synthetic.h5", *QUICK, "--quiet")
    assert (done.code, done.out, done.err) == (0, "", "")


def test_a_leak_fails_the_check_with_exit_code_7(skelaug, sandbox):
    with SequenceFile(sandbox / "data.h5") as file:
        split = {"rule": "", "hash": split_hash(file.names)}
        schema, clips = Schema(file.layout, file.classes), [file[0]]
    record = {"command": "synth", "model": {"split": split}}
    write_sequences(sandbox / "leak.h5", clips, schema, provenance=[record])
    failed = skelaug("eval", "data.h5", "leak.h5", *QUICK)
    assert failed.code == 7
    assert "leak.h5" in failed.error
    assert "saw none of the 8 test clips" in failed.error


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--split", "subject=99"), 2, "subject 99"),
        (("--set", "stepz=3"), 2, "did you mean 'steps'"),
        (("--network", "nowhere"), 5, "nowhere"),
    ],
)
def test_mistakes_are_one_line_with_their_code(skelaug, arguments, code, words):
    failed = skelaug("eval", "data.h5", "synthetic.h5", "--quiet", *arguments)
    assert failed.code == code
    assert words in failed.error
