"""``skelaug view``: look at clips."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from skelaug.cli import render
from skelaug.cli.options import AsJson, DryRun, Force, Output, Quiet

if TYPE_CHECKING:
    from skelaug.workflows.view import ViewReport

__all__ = ["EXAMPLES", "view"]

EXAMPLES = [
    "skelaug view data.h5 -o data.png",
    "skelaug view kicks.h5 -o kicks.gif --n 6",
    "skelaug view data.h5 -o walks.png --label walk --label kick",
    "skelaug view data.h5 -o three.gif --clips 0,7,20-21",
    "skelaug view data.h5 -o maps.png --kind images",
]


def view(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Sequences or skeleton images.")],
    output: Output,
    clips: Annotated[
        str, typer.Option(metavar="LIST", help="Numbers, ranges or names: 0,7,20-29.")
    ] = "",
    label: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Class, or a unique part of its name; repeatable."),
    ] = None,
    n: Annotated[int, typer.Option("--n", min=1, help="How many clips to choose.")] = 12,
    kind: Annotated[
        Literal["auto", "figures", "images"],
        typer.Option(help="Stick figures, or skeleton images as colour maps (png)."),
    ] = "auto",
    force: Force = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Draw a contact sheet (png), stick figures (gif) or images.

    Without --clips, clips are chosen evenly from all classes or from those of --label. Left limbs
    are red, right limbs blue; joints that were never measured are pale or dashed.

    JSON: file, output, kind, clips (index, name, label), written.
    """
    from skelaug.config import load
    from skelaug.workflows import view as workflow

    flags = {
        "file": file,
        "output": output,
        "clips": [text.strip() for text in clips.split(",") if text.strip()],
        "labels": label,
        "n": n,
        "kind": kind,
        "force": force,
        "dry_run": dry_run,
    }
    config = load(workflow.ViewConfig, flags=flags)
    report = workflow.run(config, progress=render.progress(quiet=quiet))
    render.report("view", report, as_json=as_json, quiet=quiet, show=_show)


def _show(report: ViewReport) -> None:
    done = "wrote" if report.written else "would write"
    labels = list(dict.fromkeys(clip.label for clip in report.clips if clip.label))
    what = f" of {', '.join(labels)}" if labels else ""
    render.line(f"{done} {report.output}: {len(report.clips)} clips{what}")
