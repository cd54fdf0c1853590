"""``skelaug models``: what can be drawn from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from skelaug.cli import render
from skelaug.cli.options import AsJson

if TYPE_CHECKING:
    from skelaug.workflows.list_models import ModelList, ModelSummary

__all__ = ["EXAMPLES", "describe", "models"]

EXAMPLES = ["skelaug models", "skelaug models --json", "skelaug models --root experiments"]


def models(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A packaged model or a run directory.")
    ] = "",
    root: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Look for runs here and two folders below.")
    ] = Path(),
    as_json: AsJson = False,
) -> None:
    """List packaged and local models, or describe one.

    JSON: models (name, where, path, layout, classes, licence, parts, card).
    """
    from skelaug.workflows import list_models as workflow

    report = workflow.run(workflow.ModelsConfig(name=name, root=root))
    render.report("models", report, as_json=as_json, show=_show_one if name else _show_all)


def _show_all(report: ModelList) -> None:
    if not report.models:
        render.line("no models: none is packaged, and there is no run here; see `skelaug train`")
        return
    rows = [
        (
            model.name,
            model.where,
            model.layout,
            len(model.classes),
            ", ".join(part.role for part in model.parts),
            sum(part.megabytes for part in model.parts),
            model.licence,
        )
        for model in report.models
    ]
    columns = ["model", "where", "layout", "classes", "parts", "MB", "licence"]
    render.table(columns, rows)


def _show_one(report: ModelList) -> None:
    describe(report.models[0])


def describe(model: ModelSummary) -> None:
    """Print one model for people."""
    facts = {
        "model": model.name,
        "where": model.where,
        "path": model.path,
        "layout": model.layout,
        "classes": f"{len(model.classes)}: {', '.join(model.classes)}",
        "licence": model.licence,
    }
    render.facts(facts)
    rows = [(part.role, part.kind, part.parameters, part.megabytes) for part in model.parts]
    render.table(["part", "network", "parameters", "MB"], rows)
    for part in model.parts:
        if part.scores:
            render.facts(part.scores, title=f"scores of {part.role}")
    if model.card:
        render.line(f"\n{model.card.rstrip()}")
