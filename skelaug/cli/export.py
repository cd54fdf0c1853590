"""``skelaug export``: a trained recognizer for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from skelaug.cli import render
from skelaug.cli.options import AsJson, DryRun, Force, Quiet

if TYPE_CHECKING:
    from skelaug.workflows.export import ExportReport

__all__ = ["EXAMPLES", "export"]

EXAMPLES = [
    "skelaug export recognizer model.onnx",
    "skelaug export kinect20 kinect20.onnx --check data.h5",
    "skelaug export recognizer model.onnx --to onnx --dry-run --json",
]


def export(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="Packaged model or run directory of a recognizer.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT.onnx", help="File to write.")],
    to: Annotated[str, typer.Option("--to", metavar="FORMAT", help="onnx.")] = "onnx",
    check: Annotated[
        Path | None,
        typer.Option("--check", metavar="DATA.h5", help="Compare on clips of this file too."),
    ] = None,
    force: Force = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Export a trained recognizer to ONNX, checked.

    The file takes prepared clips, positions N x 3 x frames x joints x persons, computes bones and
    motions itself and returns logits. Classes, layout and preparation are in its metadata. Before
    it is written, its logits are compared with the network's on random clips (and on those of
    --check), one and seven at a time; exit code 7 if they differ by 0.001 of the largest.
    Needs pip install "skelaug[onnx]". In Python:

    \b
      import json, onnxruntime
      from skelaug.data.store import SequenceFile
      from skelaug.skeleton.preparation import PROFILES
      session = onnxruntime.InferenceSession("model.onnx")
      told = session.get_modelmeta().custom_metadata_map
      how, classes = json.loads(told["preparation"]), json.loads(told["classes"])
      profile = PROFILES[how["profile"]]
      for clip in SequenceFile("poses.h5"):
          x = profile.fit(profile.place(clip, how["persons"]), how["frames"])
          logits = session.run(None, {"positions": x.transpose(3, 0, 2, 1)[None]})[0]
          print(clip.name, classes[logits.argmax()])

    JSON: model, output, format, kind, classes, layout, preparation (profile, frames, persons),
    streams, inputs, outputs (name: shape), opset, parity (clips, count, batches, absolute,
    relative), megabytes, seconds, dry_run.
    """  # noqa: D301, a real backspace keeps the lines after it as they are
    from skelaug.config import load
    from skelaug.workflows import export as workflow

    config = load(workflow.ExportConfig, flags={"model": run, "out": out, "to": to, "check": check})
    report = workflow.run(config, force=force, dry_run=dry_run)
    render.report("export", report, as_json=as_json, quiet=quiet, show=_show)


def _show(report: ExportReport) -> None:
    verb = "would write" if report.dry_run else "wrote"
    render.line(
        f"{verb} {report.output}: {report.kind} with {len(report.classes)} classes, "
        f"{report.megabytes:.2f} MB, opset {report.opset}"
    )
    shapes = {**report.inputs, **report.outputs}
    render.facts(
        {
            "layout": report.layout,
            "preparation": ", ".join(f"{k} {v}" for k, v in report.preparation.items()),
            "streams": report.streams,
            **{name: " x ".join(map(str, shape)) for name, shape in shapes.items()},
        }
    )
    rows = [(one.clips, one.count, one.absolute, one.relative) for one in report.parity]
    render.table(["clips", "count", "largest difference", "relative"], rows)
