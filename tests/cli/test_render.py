"""Results, numbers and progress as people and programs see them."""

import json
import re

import pytest
from pydantic import BaseModel

from skelaug.cli import render


class Row(BaseModel):
    name: str
    clips: int


class Result(BaseModel):
    file: str = "[kick].h5"
    share: float = 0.123456
    rows: list[Row] = []
    nothing: float | None = None
    bad: float = float("nan")


def test_the_document_is_json_with_schema_and_command_and_no_nan(capsys):
    render.report("info", Result(rows=[Row(name="[a]", clips=1)]), as_json=True)
    out, err = capsys.readouterr()
    assert err == ""
    assert json.loads(out) == {
        "schema": 1,
        "command": "info",
        "file": "[kick].h5",
        "share": 0.123456,
        "rows": [{"name": "[a]", "clips": 1}],
        "nothing": None,
        "bad": None,
    }


def test_people_see_every_field_under_its_name_and_markup_as_it_is(capsys):
    render.report("info", Result(rows=[Row(name="[bold]", clips=12)]), as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["file   [kick].h5", "share  0.1235"]
    assert any(re.fullmatch(r"\[bold\] +12", line) for line in lines)
    assert not any("nothing" in line for line in lines)


def test_quiet_prints_nothing_for_people_but_the_document_stays(capsys):
    render.report("info", Result(), as_json=False, quiet=True)
    assert capsys.readouterr().out == ""
    render.report("info", Result(), as_json=True, quiet=True)
    assert json.loads(capsys.readouterr().out)["schema"] == 1


def test_a_table_in_a_pipe_has_a_line_per_row(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    name = "a very long class name " * 4
    render.table(["class", "clips"], [(name.strip(), 3), ("b", 12345)])
    out = capsys.readouterr().out
    assert name.strip() in out
    assert len(out.strip().splitlines()) == 4


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "yes"),
        (0, "0"),
        (1234567, "1234567"),
        (0.000123456, "0.0001235"),
        (float("nan"), "-"),
        ({"a": 1, "b": 0.5}, "a 1, b 0.5"),
        ([1.0, "x"], "1, x"),
    ],
)
def test_numbers_are_short(value, text):
    assert render.number(value) == text


def test_an_error_is_one_line(capsys):
    render.error("first\nsecond [x]")
    assert capsys.readouterr() == ("", "error: first second [x]\n")


def test_progress_elsewhere_is_a_line_at_the_start_now_and_then_and_at_the_end(capsys, monkeypatch):
    clock = iter(range(0, 1000, 4))
    monkeypatch.setattr(render.time, "monotonic", lambda: float(next(clock)))
    with render.progress()("drawing [x]", total=100, done=10) as advance:
        for _ in range(9):
            advance(10, note="loss 0.5")
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert lines[0] == "drawing [x]: 10 of 100"
    assert lines[1].endswith("loss 0.5")
    assert re.search(r"40 of 100, 2.5/s, 0:24 left", lines[1])
    assert re.search(r"100 of 100, .*took", lines[-1])
    assert 3 <= len(lines) <= 6
    assert len(set(lines)) == len(lines)


def test_quiet_and_other_ranks_show_no_progress(capsys, monkeypatch):
    with render.progress(quiet=True)("drawing", total=2) as advance:
        advance()
    monkeypatch.setenv("RANK", "1")
    with render.progress()("drawing", total=2) as advance:
        advance()
    assert capsys.readouterr() == ("", "")


def test_on_a_terminal_there_is_a_bar_with_rate_and_the_text_as_it_is(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "120")
    with render.progress()("drawing [x]", total=4) as advance:
        for _ in range(4):
            advance(note="loss [0.5]")
    out, err = capsys.readouterr()
    assert out == ""
    for text in ("drawing [x]", "4/4", "loss [0.5]", "/s"):
        assert text in err


def test_a_task_inside_another_gets_a_bar_of_its_own(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "120")
    progress = render.progress()
    with progress("outer", total=1) as outer:
        with progress("inner", total=3) as inner:
            inner(3)
        outer()
    with progress("after", total=2) as after:
        after(2)
    err = capsys.readouterr().err
    for text in ("outer", "1/1", "inner", "3/3", "after", "2/2"):
        assert text in err


def test_of_several_processes_the_first_prints_the_result(capsys, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    render.report("info", Result(), as_json=True)
    render.report("info", Result(), as_json=False)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0:00"), (75, "1:15"), (3600 * 2 + 5, "2:00:05")]
)
def test_durations(seconds, text):
    assert render._duration(seconds) == text
