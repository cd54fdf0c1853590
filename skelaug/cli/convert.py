"""``skelaug convert``: recordings of any known format into one sequence file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from skelaug.cli import render
from skelaug.cli.options import AsJson, DryRun, Force, Quiet, Resume, SetValues

if TYPE_CHECKING:
    from skelaug.workflows.convert import ConvertReport

__all__ = ["EXAMPLES", "convert"]

EXAMPLES = [
    "skelaug convert recordings/ mine.h5",
    "skelaug convert nturgbd_skeletons_s001_to_s017.zip ntu.h5 --workers 8",
    "skelaug convert utd_mhad_skeleton.tar.xz hdm05.tar.xz both.h5 --layout kinect_20",
    "skelaug convert poses.yaml mine.h5 --on-problem drop",
    "skelaug convert data.h5 synthetic.h5 all.h5 --layout kinect_20",
    "skelaug convert recordings/ mine.h5 --dry-run",
]

_SHOWN = 20


def convert(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="SRC... OUT.h5",
            help="Folders, archives (.zip, .tar.*) or files to read; the last one is written.",
        ),
    ],
    format_name: Annotated[
        Literal[
            "auto", "ntu", "nw-ucla", "utd-mhad", "hdm05", "cmu", "videopose3d", "arrays", "skelaug"
        ],
        typer.Option("--format", help="Format of the sources; auto goes by the files' names."),
    ] = "auto",
    layout: Annotated[
        str,
        typer.Option(
            "--layout", metavar="L", help="Map to this layout: a name, or the path of a YAML."
        ),
    ] = "",
    on_problem: Annotated[
        Literal["keep", "repair", "drop"],
        typer.Option(
            "--on-problem",
            help="Clips with gaps or damage: keep the numbers as they are, repair (what is no "
            "measurement becomes a gap; of a file that breaks off the whole frames are used), or "
            "drop them.",
        ),
    ] = "repair",
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, help="Processes.  [default: one per processor]"),
    ] = None,
    set_values: SetValues = None,
    resume: Resume = False,
    force: Force = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Read recordings into one sequence file.

    The report says what was repaired, rejected and skipped. Known are NTU RGB+D (.skeleton),
    NW-UCLA (.json), UTD-MHAD (.mat), HDM05 and CMU (.amc with .asf), Human3.6M and HumanEva as
    VideoPose3D stores them (data_2d_SET_DETECTOR.npz beside data_3d_SET.npz), and your own arrays
    and tables (.npz, .npy, .csv) described by ten lines of YAML: file, layout, fps, axes (e.g.
    NCTVM), units, up, labels, classes, subjects.

    3D poses with 2D poses beside them (keypoints and image_size of a YAML, or joints_2d and
    image_size of an .npz) become one clip per camera, in the frame of that camera, with its 2D
    poses. The cameras are calibrated from the pairs; OUT.h5.run.json says how well.

    Sources of several formats go into one file with --layout. Subject numbers of a data set that
    overlap with those of one before it are moved by a multiple of 1000 (the report says by how
    much). Files of this tool (.h5) are sources as well: each is a
    data set of its own, whose cameras and setups are moved with its subjects; a clip keeps its
    name, or gets that of the file before it (data/walk 1) where two sources have it; classes are
    joined by name. `torchrun --nproc-per-node 8 -m skelaug convert ...` shares the work between
    machines.

    Exit code 6: finished, but something was rejected; 3: nothing usable was read.

    JSON: output, read, frames, classes (name, clips), layout, approximated, unavailable, repaired,
    rejected and skipped (file, line, reason), copies, decisions, sources, resumed_shards, seconds,
    dry_run.
    """
    from skelaug.config import load
    from skelaug.errors import UsageError
    from skelaug.workflows import convert as workflow

    if len(paths) < 2:
        raise UsageError("expected sources and an output, got one path; give SRC... OUT.h5")
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    settings = load(
        workflow.ConvertConfig,
        overrides=set_values or (),
        flags={
            "sources": paths[:-1],
            "out": paths[-1],
            "format": format_name,
            "layout": layout,
            "on_problem": on_problem,
            "workers": workers or available,
        },
    )
    report = workflow.run(
        settings,
        resume=resume,
        force=force,
        dry_run=dry_run,
        progress=render.progress(quiet=quiet),
    )
    if os.environ.get("RANK", "0") == "0":
        render.report("convert", report, as_json=as_json, quiet=quiet, show=_show)
    if report.exit_code:
        raise typer.Exit(report.exit_code)


def _show(report: ConvertReport) -> None:
    for source in report.sources:
        moved = {name: offset for name, offset in source.subject_offsets.items() if offset}
        notes = "".join(f", subjects of {name} + {offset}" for name, offset in moved.items())
        if source.renamed:
            notes += f", {source.renamed} clips renamed"
        render.line(
            f"{source.path}: {source.files} files of {source.format}, "
            f"{source.other_files} others{notes}"
        )
    if report.dry_run:
        render.line(f"would write {report.output}")
        return
    if report.read == 0:
        render.line(f"nothing usable was read; {report.output} was not written")
    else:
        render.line(f"wrote {report.read} clips ({report.frames} frames) to {report.output}")
    facts = {
        "layout": report.layout,
        "approximated joints": report.approximated,
        "unavailable joints": report.unavailable,
        "repaired": len(report.repaired),
        "rejected": len(report.rejected),
        "skipped": len(report.skipped),
        "copies of other clips": report.copies,
        "decisions": report.decisions,
        "seconds": report.seconds,
    }
    render.facts({key: value for key, value in facts.items() if value})
    if report.classes:
        rows = [[one.name or "(no label)", one.clips] for one in report.classes]
        render.table(["class", "clips"], rows)
    for title in ("rejected", "repaired", "skipped"):
        faults = getattr(report, title)
        for fault in faults[:_SHOWN]:
            where = f"{fault.file}:{fault.line}" if fault.line else fault.file
            render.line(f"{title}: {where}: {fault.reason}")
        if len(faults) > _SHOWN:
            render.line(f"{title}: and {len(faults) - _SHOWN} more (--json lists all)")
