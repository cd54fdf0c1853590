"""What people and scripts see of ``skelaug score``."""

from __future__ import annotations

import csv
import json
from pathlib import Path


def test_lines_go_to_stdout_and_the_summary_to_stderr(skelaug):
    done = skelaug("score", "data.h5")
    assert done.code == 0
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert len(lines) == 24
    assert {"name", "person", "score", "standardised", "out_of_distribution"} <= set(lines[0])
    flagged = sum(line["out_of_distribution"] for line in lines)
    assert f"24 scores of 24 clips, {flagged} out of distribution" in done.err


def test_a_file_gets_the_scores_and_the_terminal_the_classes(skelaug, sandbox):
    done = skelaug("score", "gaps.h5", "-o", "a.csv", "--quiet")
    assert (done.code, done.out, done.err) == (0, "", "")
    shown = skelaug("score", "gaps.h5", "-o", "a.csv", "--force", "--min-confidence", "0.5")
    assert "joints filled" in shown.out
    assert "sit [slow]" in shown.out
    with (sandbox / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 24
    assert all(int(row["missing"]) == 15 * 3 + 4 * 2 for row in rows)


def test_clips_without_a_joint_end_with_6_and_are_named(skelaug, write_file, make_sequence):
    empty = make_sequence(name="empty", frames=9, missing=1.1)
    write_file(Path("some.h5"), [empty, make_sequence(name="full", frames=20)])
    done = skelaug("score", "some.h5")
    assert done.code == 6
    assert "rejected empty: no joint was measured in any frame" in done.err
    document = json.loads(skelaug("score", "some.h5", "--json").out)
    assert [one["name"] for one in document["rejected"]] == ["empty"]
    assert [one["name"] for one in document["scores"]] == ["full"]


def test_it_is_said_which_clips_are_usual(skelaug):
    shown = skelaug("score", "gaps.h5", "-o", "a.csv").out
    assert " nats, 24 training clips" in shown
    shown = skelaug("score", "gaps.h5", "-o", "b.csv", "--like", "data.h5", "--picture", "b.png")
    assert " nats, 24 clips of data.h5" in shown.out
    planned = skelaug("score", "gaps.h5", "-o", "c.csv", "--like", "data.h5", "--dry-run").out
    assert "clips of data.h5" in planned
    assert "flagged below" not in planned
    document = json.loads(skelaug("score", "gaps.h5", "--like", "data.h5", "--json").out)
    assert document["like"] == "data.h5"
    assert set(document["usual"]) == {"mean", "std", "clips", "threshold"}


def test_mistakes_are_one_line(skelaug, write_file, make_sequence):
    write_file(Path("few.h5"), [make_sequence(name=f"{n}", seed=n) for n in range(7)])
    failed = skelaug("score", "data.h5", "--like", "few.h5", "--quiet")
    assert failed.code == 3
    assert "expected at least 8 clips" in failed.error
    assert "--format csv" in skelaug("score", "data.h5", "--json", "--format", "csv").error
    failed = skelaug("score", "data.h5", "--model", "recognizer")
    assert failed.code == 3
    assert "train hgvae" in failed.error
