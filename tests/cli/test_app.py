"""The root: version, help, and one line and one code for every kind of error."""

import pytest
import typer

from skelaug import __version__, errors
from skelaug.cli import app, exits
from skelaug.workflows import doctor


def raising(error):
    def run():
        raise error

    return run


def test_the_version_is_the_packages(skelaug):
    assert skelaug("--version").out == f"skelaug {__version__}\n"


def test_no_command_shows_the_help(skelaug):
    assert skelaug().out == skelaug("--help").out
    assert skelaug().code == 0


def test_a_command_that_is_not_there_is_one_line(skelaug):
    failed = skelaug("inof")
    assert failed.code == 2
    assert "inof" in failed.error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.UsageError("a: expected b, got [c]; do d"), 2),
        (errors.DataError("a"), 3),
        (errors.StorageError("a"), 3),
        (errors.DependencyError("a"), 4),
        (errors.NotFoundError("a"), 5),
        (errors.CheckFailedError("two\nlines"), 7),
    ],
)
def test_every_expected_error_is_one_line_with_its_code(skelaug, monkeypatch, error, code):
    monkeypatch.setattr(doctor, "run", raising(error))
    failed = skelaug("doctor")
    assert failed.code == code
    assert code in exits.EXIT_CODES
    assert failed.error == "error: " + str(error).replace("\n", " ")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), typer.Abort()])
def test_an_interrupt_is_one_line_and_130(skelaug, monkeypatch, error):
    monkeypatch.setattr(doctor, "run", raising(error))
    failed = skelaug("doctor")
    assert failed.code == 130
    assert "interrupted" in failed.error


def test_a_missing_package_is_named_with_the_command_that_installs_it(skelaug, monkeypatch):
    monkeypatch.setattr(doctor, "run", raising(ModuleNotFoundError("no", name="nibabel")))
    failed = skelaug("doctor")
    assert failed.code == 4
    assert "pip install nibabel" in failed.error


def test_a_missing_part_of_ourselves_is_a_bug(skelaug, monkeypatch):
    monkeypatch.setattr(doctor, "run", raising(ModuleNotFoundError("no", name="skelaug.gone")))
    with pytest.raises(ModuleNotFoundError):
        skelaug("doctor")


def test_an_error_of_the_file_system_names_the_file(skelaug, monkeypatch):
    monkeypatch.setattr(doctor, "run", raising(PermissionError(13, "Permission denied", "/x")))
    failed = skelaug("doctor")
    assert failed.code == 3
    assert failed.error.startswith("error: /x: Permission denied")
    monkeypatch.setattr(doctor, "run", raising(OSError("no file in it")))
    with pytest.raises(OSError, match="no file in it"):
        skelaug("doctor")


def test_main_ends_the_process_with_the_code(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["skelaug", "--version"])
    monkeypatch.setattr("sys.excepthook", None)
    with pytest.raises(SystemExit) as ended:
        app.main()
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("skelaug ")
