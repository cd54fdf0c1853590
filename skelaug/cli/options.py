"""Options that several commands share, so that a flag means the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

__all__ = [
    "AsJson",
    "ConfigFile",
    "Device",
    "DryRun",
    "Force",
    "LinesFormat",
    "LinesOutput",
    "Output",
    "OutsideTraining",
    "Poses",
    "Quiet",
    "RealClips",
    "Resume",
    "Seed",
    "SetValues",
    "Stride",
    "TestPart",
    "Window",
]

AsJson = Annotated[
    bool, typer.Option("--json", help="Print the result as one JSON document on stdout.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress and no summary.")]
Force = Annotated[bool, typer.Option("--force", help="Replace an output that exists already.")]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Check everything, say what would be done, write nothing."),
]
Resume = Annotated[
    bool,
    typer.Option("--resume", help="Go on where an earlier run of the same command stopped."),
]
Output = Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="File to write.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Root of every random number.")]
SetValues = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override one value; may be repeated."),
]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="YAML file of settings.")
]
Device = Annotated[str, typer.Option("--device", metavar="NAME", help="auto, cpu, cuda or cuda:1.")]
Poses = Annotated[Path, typer.Argument(metavar="POSES.h5", help="Sequences.")]
LinesOutput = Annotated[
    Path | None,
    typer.Option("-o", "--output", metavar="FILE", help="File to write.  [default: stdout]"),
]
RealClips = Annotated[
    Path | None, typer.Argument(metavar="[DATA.h5]", help="Labelled real clips; left out to go on.")
]
TestPart = Annotated[
    str | None,
    typer.Option("--test", metavar="RULE", help="Test part; all that --split leaves if unset."),
]
OutsideTraining = Annotated[
    str | None,
    typer.Option(
        "--split", metavar="RULE", help="Only clips outside the training part of this rule."
    ),
]
Window = Annotated[
    int | None,
    typer.Option("--window", min=1, help="Frames of a sliding window.  [default: whole clips]"),
]
Stride = Annotated[
    int | None,
    typer.Option("--stride", min=1, help="Frames between windows.  [default: half a window]"),
]
LinesFormat = Annotated[
    Literal["auto", "jsonl", "csv"],
    typer.Option("--format", help="auto: by the name of the output, else jsonl."),
]
