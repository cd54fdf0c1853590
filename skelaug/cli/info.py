"""``skelaug info``: what is in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from skelaug.cli import render
from skelaug.cli.options import AsJson

__all__ = ["EXAMPLES", "info"]

EXAMPLES = ["skelaug info data.h5", "skelaug info data.h5 --joints", "skelaug info data.h5 --json"]


def info(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Sequences, images, a run or a model.")
    ],
    joints: Annotated[bool, typer.Option("--joints", help="List the joints as well.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say what is in a file: clips, classes, subjects, layout, rate, lengths, provenance."""
    from skelaug.workflows import inspect as workflow

    report = workflow.run(workflow.InspectConfig(file=file, joints=joints))
    render.report("info", report, as_json=as_json)
