"""What people and programs see: results on stdout, talk on stderr, progress for either.

A result is printed for people (tables) or, with ``--json``, as one JSON document; notes, progress
and errors go to stderr. Nothing here interprets markup: ``[kick]`` is printed as it is.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from skelaug.cli import exits
from skelaug.progress import Advance, Progress, silent

if TYPE_CHECKING:
    from pydantic import BaseModel
    from rich import progress as rich_progress

__all__ = ["error", "facts", "line", "note", "number", "progress", "report", "table", "write"]

SCHEMA = 1
_UNFOLDED = 2000
_SECONDS_BETWEEN_LINES = 10.0

Result = TypeVar("Result", bound="BaseModel")


def write(text: str) -> None:
    """Write to stdout; a reader that has gone away (``| head``) ends the command quietly."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError as gone:
        # Python flushes stdout once more at its exit: give it somewhere to go
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(exits.BROKEN_PIPE) from gone


def line(text: str = "") -> None:
    """One line of a result for people, on stdout."""
    write(f"{text}\n")


def note(text: str) -> None:
    """One line of talk on stderr."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def error(message: str) -> None:
    """One line that starts with ``error:`` on stderr."""
    note("error: " + " ".join(message.split("\n")))


def report(
    command: str,
    result: Result,
    *,
    as_json: bool,
    quiet: bool = False,
    show: Callable[[Result], None] | None = None,
) -> None:
    """Print the result of a command; of several processes the first one prints it.

    Args:
        command: Its name, repeated in the document.
        result: What the workflow returned; plain JSON values.
        as_json: One JSON document on stdout (``schema``, ``command``, then the fields).
        quiet: Print nothing for people.
        show: Prints the result for people; by default every field is printed under its name.
    """
    if not _is_first():
        return
    if as_json:
        document = {"schema": SCHEMA, "command": command, **json.loads(result.model_dump_json())}
        write(json.dumps(document, ensure_ascii=False, indent=2, allow_nan=False) + "\n")
    elif not quiet:
        (show or _show_fields)(result)


def _show_fields(result: BaseModel) -> None:
    values: dict[str, Any] = json.loads(result.model_dump_json())
    facts({key: value for key, value in values.items() if not _is_rows(value)})
    for key, value in values.items():
        if _is_rows(value) and value:
            columns = list(value[0])
            table(columns, [[row[c] for c in columns] for row in value], title=_words(key))


def _is_rows(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, dict) for v in value)


def _words(key: str) -> str:
    return key.replace("_", " ")


def facts(values: Mapping[str, object], *, title: str = "") -> None:
    """Print names and values in two aligned columns; empty values are left out."""
    if title:
        line(f"\n{title}")
    shown = {_words(key): number(value) for key, value in values.items()}
    shown = {key: value for key, value in shown.items() if value}
    width = max((len(key) for key in shown), default=0)
    for key, value in shown.items():
        line(f"{key:<{width}}  {value}")


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "") -> None:
    """Print rows under column names; numbers are set flush right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    cells = [list(row) for row in rows]
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for index, column in enumerate(columns):
        numeric = all(isinstance(row[index], int | float) for row in cells)
        grid.add_column(Text(_words(column)), justify="right" if numeric else "left")
    for row in cells:
        grid.add_row(*(Text(number(value)) for value in row))
    # in a file or a pipe nothing is folded, so that a line is a row
    width = None if sys.stdout.isatty() else _UNFOLDED
    console = Console(file=sys.stdout, highlight=False, width=width)
    with console.capture() as captured:
        console.print(grid)
    line(f"\n{title}\n" if title else "")
    write("\n".join(text.rstrip() for text in captured.get().splitlines()) + "\n")


def number(value: object) -> str:
    """A value as people read it: four significant digits, yes or no, lists with commas."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return "-" if math.isnan(value) else f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {number(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(number(item) for item in value)
    return str(value)


def progress(*, quiet: bool = False) -> Progress:
    """Progress on stderr: a bar with rate and time left on a terminal, plain lines elsewhere.

    Only the first process of a ``torchrun`` shows it.
    """
    if quiet or not _is_first():
        return silent
    return _Bars() if sys.stderr.isatty() else _lines


def _is_first() -> bool:
    return os.environ.get("RANK", "0") == "0"


class _Bars:
    """Bars on a terminal; a task inside another gets a bar below it."""

    def __init__(self) -> None:
        self._display: rich_progress.Progress | None = None

    @contextlib.contextmanager
    def __call__(self, description: str, *, total: int, done: int = 0) -> Iterator[Advance]:
        if self._display is not None:
            yield from self._task(self._display, description, total, done)
            return
        with _display() as self._display:
            try:
                yield from self._task(self._display, description, total, done)
            finally:
                self._display = None

    def _task(
        self, display: rich_progress.Progress, description: str, total: int, done: int
    ) -> Iterator[Advance]:
        start, counted = time.monotonic(), 0
        task = display.add_task(description, total=total, completed=done, rate="", note="")

        def advance(count: int = 1, /, *, note: str = "") -> None:
            nonlocal counted
            counted += count
            rate = _rate(counted, time.monotonic() - start)
            display.update(task, advance=count, rate=rate, note=note)

        yield advance


def _display() -> rich_progress.Progress:
    from rich import progress as rich_progress
    from rich.console import Console

    return rich_progress.Progress(
        rich_progress.TextColumn("{task.description}", markup=False),
        rich_progress.BarColumn(bar_width=None),
        rich_progress.MofNCompleteColumn(),
        rich_progress.TextColumn("{task.fields[rate]}", markup=False),
        rich_progress.TimeRemainingColumn(elapsed_when_finished=True),
        rich_progress.TextColumn("{task.fields[note]}", markup=False),
        console=Console(stderr=True, highlight=False),
    )


@contextlib.contextmanager
def _lines(description: str, *, total: int, done: int = 0) -> Iterator[Advance]:
    start = spoken = time.monotonic()
    counted, spoken_of, latest = 0, 0, ""
    note(f"{description}: {done} of {total}")

    def advance(count: int = 1, /, *, note: str = "") -> None:
        nonlocal counted, spoken, spoken_of, latest
        counted, latest, now = counted + count, note or latest, time.monotonic()
        if now - spoken >= _SECONDS_BETWEEN_LINES:
            spoken, spoken_of = now, counted
            speak(now)

    def speak(now: float) -> None:
        left = (total - done - counted) * (now - start) / max(counted, 1)
        parts = [f"{done + counted} of {total}", _rate(counted, now - start)]
        parts += [f"{_duration(left)} left"] if left > 0 else [f"took {_duration(now - start)}"]
        note(f"{description}: " + ", ".join([*parts, *([latest] if latest else [])]))

    yield advance
    if spoken_of != counted or not counted:
        speak(time.monotonic())


def _rate(count: int, seconds: float) -> str:
    per_second = count / seconds if seconds > 0 else 0.0
    return (
        f"{per_second:.3g}/s" if per_second >= 1 or count == 0 else f"{1 / per_second:.3g} s each"
    )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
