"""What every command promises: help, examples that run, exit codes, JSON, no surprise on disk."""

from __future__ import annotations

import importlib
import json
import os
import shlex
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import typer

from skelaug.cli.app import app
from skelaug.cli.exits import EXIT_CODES

README = Path(__file__).resolve().parents[2] / "README.md"
COMMANDS = typer.main.get_command(app).commands
MODULES = {"eval": "evaluate"}
TAKES_LONG = {"train", "eval", "export", "bench", "advise"}  # they train or trace networks
WRITES = {
    "convert",
    "export",
    "images",
    "impute",
    "lift",
    "predict",
    "refine",
    "score",
    "synth",
    "train",
    "view",
    "zeroshot",
}
HEAVY = {"torch", "numpy", "scipy", "h5py", "matplotlib", "yaml", "PIL", "safetensors"}


def examples_of(command: str) -> list[str]:
    return importlib.import_module(f"skelaug.cli.{MODULES.get(command, command)}").EXAMPLES


def marked(command: str, *values: str) -> object:
    marks = [pytest.mark.slow, pytest.mark.timeout(1800)] if command in TAKES_LONG else []
    return pytest.param(command, *values, marks=marks)


def words(example: str) -> list[str]:
    program, *arguments = shlex.split(example, comments=True)
    assert program == "skelaug"
    return arguments


def first_example(command: str) -> list[str]:
    """The first example, but for a few clips; the file that it writes is not there yet."""
    arguments = words(examples_of(command)[0])
    return cleared(["8" if before == "--n" else w for before, w in pairwise(["", *arguments])])


def cleared(arguments: list[str]) -> list[str]:
    for option, value in pairwise(arguments):
        if option == "-o":
            Path(value).unlink(missing_ok=True)
    return arguments


def content(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


EXAMPLES = [marked(name, example) for name in COMMANDS for example in examples_of(name)]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_explains_the_command_and_shows_every_example(skelaug, command):
    shown = skelaug(command, "--help")
    assert shown.code == 0
    assert shown.err == ""
    assert len(examples_of(command)) >= 1
    for example in examples_of(command):
        assert f"    {example}\n" in shown.out
    assert skelaug(command, "-h").out == shown.out
    summary = COMMANDS[command].help.split("\n")[0]
    assert len(summary) <= 66, "the first line is shown in `skelaug --help`"
    assert f"{command} " in skelaug("--help").out


@pytest.mark.parametrize(("command", "example"), EXAMPLES)
def test_every_example_runs(skelaug, command, example):
    done = skelaug(*cleared(words(example)))
    assert done.code == 0, done.err


@pytest.mark.parametrize("command", [marked(name) for name in COMMANDS])
def test_json_is_one_document_on_stdout_whose_keys_the_help_names(skelaug, command):
    arguments = first_example(command)
    done = skelaug(*arguments, *(["--json"] if "--json" not in arguments else []))
    assert done.code == 0, done.err
    document = json.loads(done.out)
    assert done.out.count("\n{") == 0
    assert list(document)[:2] == ["schema", "command"]
    assert document["schema"] == 1
    assert document["command"] == command
    promised = COMMANDS[command].help.split("JSON:")[1]
    missing = [key for key in list(document)[2:] if key not in promised]
    assert missing == [], "keys that --help does not name"


@pytest.mark.parametrize("command", [marked(name) for name in COMMANDS if name in WRITES])
def test_a_dry_run_writes_nothing(skelaug, sandbox, command):
    arguments = first_example(command)
    before = content(sandbox)
    done = skelaug(*arguments, "--dry-run")
    assert done.code == 0, done.err
    assert content(sandbox) == before


def test_a_dry_run_of_a_benchmark_writes_nothing(skelaug, sandbox):
    before = content(sandbox)
    done = skelaug(*words(examples_of("bench")[1]))
    assert done.code == 0, done.err
    assert "would train" in done.out
    assert content(sandbox) == before


def test_a_dry_run_of_a_probe_writes_nothing(skelaug, sandbox):
    before = content(sandbox)
    done = skelaug(*words(examples_of("advise")[1]))
    assert done.code == 0, done.err
    assert content(sandbox) == before


@pytest.mark.parametrize("command", [marked(name) for name in COMMANDS if name in WRITES])
def test_an_existing_output_is_kept_without_force_and_replaced_with_it(skelaug, sandbox, command):
    arguments = first_example(command)
    before = content(sandbox)
    assert skelaug(*arguments).code == 0
    after = content(sandbox)
    assert set(after) > set(before)
    refused = skelaug(*arguments, "--quiet")
    assert refused.code == 2
    assert "--force" in refused.error
    assert content(sandbox) == after
    assert skelaug(*arguments, "--force", "--quiet").code == 0


@pytest.mark.parametrize("command", [marked(name) for name in COMMANDS if name in WRITES])
def test_quiet_says_nothing(skelaug, command):
    done = skelaug(*first_example(command), "--quiet")
    assert (done.code, done.out, done.err) == (0, "", "")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_mistake_on_the_command_line_is_one_line_that_says_where_help_is(skelaug, command):
    failed = skelaug(command, "--no-such-option")
    assert failed.code == 2
    assert f"see `skelaug {command} --help`" in failed.error


@pytest.mark.parametrize(
    "command",
    [
        *("info", "view", "images", "train", "synth", "eval", "predict", "export", "bench"),
        *("advise", "impute", "lift", "score", "zeroshot"),
    ],
)
def test_a_missing_input_exits_with_5_and_is_named(skelaug, command):
    arguments = {
        "view": ["nowhere.h5", "-o", "a.png"],
        "images": ["nowhere.h5", "a.h5"],
        "train": ["diffusion", "nowhere.h5", "--out", "run"],
        "synth": ["--label", "kick", "--model", "nowhere.h5", "-o", "a.h5"],
        "eval": ["nowhere.h5", "kicks.h5"],
        "export": ["nowhere.h5", "a.onnx"],
        "bench": ["incremental", "nowhere.h5"],
        "lift": ["nowhere.h5", "--model", "lifter"],
        "zeroshot": ["predict", "nowhere.h5", "--model", "unseen"],
    }.get(command, ["nowhere.h5"])
    failed = skelaug(command, *arguments)
    assert failed.code == 5, failed.err
    assert "nowhere.h5" in failed.error


@pytest.mark.parametrize(
    "content_of", [b"", b"\x89HDF\r\n\x1a\n" + b"\0" * 200, b"clip,x,y\n1,2,3\n"]
)
@pytest.mark.parametrize("command", ["info", "view", "predict", "impute", "score"])
def test_a_damaged_input_exits_with_3_and_is_named(skelaug, sandbox, command, content_of):
    (sandbox / "junk.h5").write_bytes(content_of)
    failed = skelaug(command, "junk.h5", *(["-o", "a.png"] if command == "view" else []))
    assert failed.code == 3
    assert "junk.h5" in failed.error
    assert not (sandbox / "a.png").exists()


def test_an_unknown_label_lists_the_near_ones_with_brackets_as_they_are(skelaug):
    failed = skelaug("view", "data.h5", "-o", "a.png", "--label", "[slwo]")
    assert failed.code == 5
    assert "'[slwo]'" in failed.error
    assert "'sit [slow]'" in failed.error
    assert "sit [slow]" in skelaug("info", "data.h5").out


def test_a_folder_that_cannot_be_written_is_one_line(skelaug, sandbox):
    (sandbox / "file").write_text("in the way")
    failed = skelaug("view", "data.h5", "-o", "file/a.png", "--quiet")
    assert failed.code == 3
    assert "file/a.png" in failed.error


def test_help_documents_every_exit_code(skelaug):
    text = " ".join(skelaug("--help").out.split())
    for code, meaning in EXIT_CODES.items():
        assert f"{code} {meaning}" in text


def test_ctrl_c_leaves_one_line_130_and_no_file(sandbox):
    command = [sys.executable, "-m", "skelaug", "view", "data.h5", "-o", "a.gif"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert "drawing" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 130
    assert rest.splitlines()[-1].startswith("error: interrupted")
    assert "Traceback" not in rest
    assert not list(sandbox.glob("*a.gif*"))


def test_a_reader_that_goes_away_ends_the_command_quietly(sandbox):
    command = [sys.executable, "-m", "skelaug", "info", "data.h5"]
    read, write = os.pipe()
    os.close(read)
    process = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (process.returncode, process.stderr) == (141, "")


def test_a_bug_shows_its_traceback_and_asks_for_a_report(sandbox):
    program = (
        "import sys; from skelaug.cli import app; from skelaug.workflows import doctor\n"
        "doctor.run = lambda: 1 / 0\n"
        "sys.argv = ['skelaug', 'doctor']\n"
        "app.main()\n"
    )
    process = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert process.returncode == 1
    assert "ZeroDivisionError" in process.stderr
    assert "skelaug doctor" in process.stderr.splitlines()[-1]


def test_help_and_version_import_nothing_heavy():
    program = (
        "import sys; from skelaug.cli.app import run\n"
        "helps = [[], ['--help'], ['--version']]\n"
        f"for words in [*helps, *([c, '--help'] for c in {list(COMMANDS)})]:\n"
        "    assert run(words) == 0\n"
        f"sys.exit(' '.join(sorted({HEAVY} & set(sys.modules))))\n"
    )
    process = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert process.stderr.strip() == ""
    assert process.stdout.count("Usage:") == len(COMMANDS) + 2


def readme_commands() -> list[str]:
    """The command lines in the README's code blocks, continued lines joined."""
    if not README.exists():
        return []
    blocks = README.read_text(encoding="utf-8").split("```")[1::2]
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line.strip().removeprefix("$ ") for line in lines if "skelaug " in line]


@pytest.mark.parametrize("line", [line for line in readme_commands() if line.startswith("skelaug")])
def test_the_commands_of_the_readme_parse(line):
    command, *arguments = words(line)
    COMMANDS[command].make_context(command, arguments)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_readme_mentions_every_command(command):
    assert f"skelaug {command}" in README.read_text(encoding="utf-8")
