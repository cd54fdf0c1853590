"""The root of the command line: mounting, --version, and the only place that knows exit codes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Annotated, Any

import typer

from skelaug import __version__
from skelaug.cli import (
    advise,
    bench,
    convert,
    doctor,
    evaluate,
    exits,
    export,
    images,
    impute,
    info,
    lift,
    models,
    predict,
    refine,
    render,
    score,
    synth,
    train,
    view,
    zeroshot,
)
from skelaug.errors import SkelaugError

__all__ = ["app", "main", "run"]

_WIDTH = 100
_CODES = "; ".join(f"{code} {meaning}" for code, meaning in exits.EXIT_CODES.items())

# Since 0.26 typer carries its own copy of click: its public BadParameter leads to the parent of
# all mistakes on a command line in either case.
_CommandLineError: type[Any] = typer.BadParameter.__mro__[1]

app = typer.Typer(
    name="skelaug",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # help is printed as it is written: "[kick]" is not markup
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": _WIDTH},
    epilog=f"Exit codes: {_CODES}.",
)


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Turn a handful of labelled skeleton clips into a recognizer that works.

    `skelaug COMMAND --help` explains a command and shows examples to copy.
    """
    if version:
        render.write(f"skelaug {__version__}\n")
        raise typer.Exit
    if context.invoked_subcommand is None:
        render.write(context.get_help() + "\n")
        raise typer.Exit


def _mount(command: Callable[..., None], examples: Sequence[str], *, name: str = "") -> None:
    lines = "\n".join(f"  {example}" for example in examples)
    # \b keeps the lines of the examples as they are
    app.command(name or command.__name__, epilog=f"Examples:\n\n\b\n{lines}")(command)


_mount(convert.convert, convert.EXAMPLES)
_mount(images.images, images.EXAMPLES)
_mount(info.info, info.EXAMPLES)
_mount(train.train, train.EXAMPLES)
_mount(synth.synth, synth.EXAMPLES)
_mount(evaluate.evaluate, evaluate.EXAMPLES, name="eval")
_mount(bench.bench, bench.EXAMPLES)
_mount(advise.advise, advise.EXAMPLES)
_mount(predict.predict, predict.EXAMPLES)
_mount(zeroshot.zeroshot, zeroshot.EXAMPLES)
_mount(lift.lift, lift.EXAMPLES)
_mount(impute.impute, impute.EXAMPLES)
_mount(refine.refine, refine.EXAMPLES)
_mount(score.score, score.EXAMPLES)
_mount(export.export, export.EXAMPLES)
_mount(view.view, view.EXAMPLES)
_mount(models.models, models.EXAMPLES)
_mount(doctor.doctor, doctor.EXAMPLES)


def main() -> None:
    """Run the command line and end the process with the right exit code."""
    sys.excepthook = _report_bug
    raise SystemExit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; every expected error becomes one line on stderr."""
    try:
        command = typer.main.get_command(app)  # app() would put an exception hook of its own
        code = command.main(list(arguments), prog_name="skelaug", standalone_mode=False)
    except SkelaugError as error:
        return _fail(str(error), error.exit_code)
    except _CommandLineError as error:
        return _fail(_usage(error), 2)
    except (KeyboardInterrupt, typer.Abort):
        code = exits.INTERRUPTED
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("skelaug"):
            raise
        return _fail(f"package {error.name!r} is missing; pip install {error.name}", 4)
    except OSError as error:
        if error.filename is None:
            raise
        return _fail(f"{error.filename}: {error.strerror}; check the path and its permissions", 3)
    if code == exits.INTERRUPTED:
        return _fail(
            "interrupted; no output is half-written, and --resume goes on where a command has it",
            exits.INTERRUPTED,
        )
    return code if isinstance(code, int) else exits.DONE


def _fail(message: str, code: int) -> int:
    render.error(message)
    return code


def _usage(error: Any) -> str:
    """The message of a mistake on the command line as one line that says where help is."""
    message = " ".join(str(error.format_message()).split()).rstrip(".")
    path = error.ctx.command_path if error.ctx else "skelaug"
    return f"{message}; see `{path} --help`"


def _report_bug(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    sys.__excepthook__(kind, error, trace)
    render.error(
        "this is a bug of skelaug; please report the lines above with the output of "
        "`skelaug doctor`"
    )
