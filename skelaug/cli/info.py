"""``skelaug info``: what is in a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from skelaug.cli import render
from skelaug.cli.models import describe
from skelaug.cli.options import AsJson

if TYPE_CHECKING:
    from skelaug.workflows.inspect import InspectReport, Spread

__all__ = ["EXAMPLES", "info"]

EXAMPLES = ["skelaug info data.h5", "skelaug info data.h5 --joints", "skelaug info data.h5 --json"]


def info(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Sequences, images, a run or a model.")
    ],
    joints: Annotated[bool, typer.Option("--joints", help="List the joints as well.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say what is in a file.

    Positions are in metres, x to the sensor's left, y up and z away from the sensor.

    JSON: file, kind, clips, frames, layout, joints, persons, channels, image_size, fps, length and
    seconds (least, median, greatest), missing (share of unmeasured joints), uncertainty (joints,
    rms_mm: of invented joints), detected (share of joints with a 2D point), sources, classes,
    subjects, cameras and setups (name, clips), provenance, model, joint_list.
    """
    from skelaug.workflows import inspect as workflow

    report = workflow.run(workflow.InspectConfig(file=file, joints=joints))
    render.report("info", report, as_json=as_json, show=_show)


def _show(report: InspectReport) -> None:
    if report.model:
        describe(report.model)
        return
    size = f"{report.image_size[0]} x {report.image_size[1]}" if report.image_size else ""
    missing = f"{report.missing:.2%} of the joints" if report.missing is not None else ""
    detected = f"{report.detected:.2%} of the joints" if report.detected is not None else ""
    unsure = report.uncertainty
    invented = f"{unsure.joints} joints, about {unsure.rms_mm:.0f} mm off" if unsure else ""
    facts = {
        "file": report.file,
        "kind": report.kind,
        "clips": report.clips,
        "frames": report.frames,
        "layout": f"{report.layout}, {report.joints} joints",
        "persons": report.persons,
        "image size": size,
        "fps": report.fps,
        "frames per clip": _spread(report.length),
        "seconds per clip": _spread(report.seconds),
        "missing": missing,
        "invented": invented,
        "2D poses": detected,
        "sources": {count.name: count.clips for count in report.sources},
        "subjects": f"{len(report.subjects)}: {_names(report)}" if report.subjects else "",
        "cameras": {count.name: count.clips for count in report.cameras},
        "setups": {count.name: count.clips for count in report.setups},
    }
    render.facts(facts)
    if report.classes:
        rows = [(count.name, count.clips) for count in report.classes]
        render.table(["class", "clips"], rows)
    if report.joint_list:
        joints = [(row.index, row.joint, row.parent, row.part) for row in report.joint_list]
        render.table(["index", "joint", "parent", "part"], joints)
    if report.provenance:
        made = [(str(record.get("command", "")), _inputs(record)) for record in report.provenance]
        render.table(["made by", "from"], made)


def _names(report: InspectReport) -> str:
    return ", ".join(f"{count.name} ({count.clips})" for count in report.subjects)


def _inputs(record: dict[str, object]) -> str:
    inputs = record.get("inputs")
    return ", ".join(inputs) if isinstance(inputs, dict) else ""


def _spread(spread: Spread | None) -> str:
    if spread is None:
        return ""
    return " / ".join(render.number(value) for value in (spread.least, spread.median)) + (
        f" / {render.number(spread.greatest)}  (least / median / greatest)"
    )
