"""``skelaug images``: clips as skeleton images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from skelaug.cli import exits, render
from skelaug.cli.options import AsJson, DryRun, Force, Quiet

if TYPE_CHECKING:
    from skelaug.workflows.images import ImagesReport

__all__ = ["EXAMPLES", "images"]

EXAMPLES = [
    "skelaug images data.h5 data_images.h5",
    "skelaug images data.h5 wide.h5 --frames 64",
    "skelaug images data.h5 square.h5 --preset paper",
]


def images(
    data: Annotated[Path, typer.Argument(metavar="DATA.h5", help="Sequences.")],
    out: Annotated[Path, typer.Argument(metavar="OUT.h5", help="Images file to write.")],
    frames: Annotated[
        int | None, typer.Option(min=2, help="Columns of an image.  [default: 24]")
    ] = None,
    rows: Annotated[
        int | None, typer.Option(min=1, help="Rows per person.  [default: joints, in fours]")
    ] = None,
    persons: Annotated[
        int | None, typer.Option(min=1, help="Persons per image.  [default: as many as occur]")
    ] = None,
    layout: Annotated[
        str | None, typer.Option(metavar="NAME", help="Map to this layout, or to one in YAML.")
    ] = None,
    preset: Annotated[
        Literal["none", "paper"], typer.Option(help="paper: 24 x 24 pixels.")
    ] = "none",
    force: Force = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Turn clips into skeleton images that can be turned back.

    Joints run down, time across, x, y and z are the colours; values stay floating-point numbers.
    Exit code 6: written, but some clips could not be encoded.

    JSON: output, clips, rejected (name, reason), layout, frames, rows, persons, scale (metres per
    unit), dry_run.
    """
    from skelaug.config import load
    from skelaug.workflows import images as workflow

    flags = {
        "data": data,
        "out": out,
        "frames": frames,
        "rows": rows,
        "persons": persons,
        "layout": layout,
    }
    config = load(workflow.ImagesConfig, preset=workflow.PRESETS.get(preset), flags=flags)
    show = render.progress(quiet=quiet)
    report = workflow.run(config, force=force, dry_run=dry_run, progress=show)
    render.report("images", report, as_json=as_json, quiet=quiet, show=_show)
    if report.rejected:
        raise typer.Exit(exits.FINISHED_WITH_REJECTS)


def _show(report: ImagesReport) -> None:
    done = "would write" if report.dry_run else "wrote"
    size = f"{report.persons * report.rows} x {report.frames}"
    render.line(
        f"{done} {report.output}: {report.clips} images of {size}, layout {report.layout}, "
        f"1 = {report.scale:.3f} m"
    )
    if report.rejected:
        rows = [(rejection.name, rejection.reason) for rejection in report.rejected]
        render.table(["rejected", "because"], rows)
