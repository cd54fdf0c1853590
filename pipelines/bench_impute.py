"""Speed and memory of ``skelaug impute``: clips per second, and peak memory by number of clips.

    python pipelines/bench_impute.py utd.h5 --model runs/hgvae

Whole windows of the file, repeated, lack a limb for ten frames and some random joints. Each number
of clips is one run of the command, with the ascent that is asked for and without a trial.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from skelaug.data.store import Schema, SequenceFile, write_sequences
from skelaug.skeleton.sequence import SkeletonSequence
from skelaug.workflows.completion_study import OCCLUSIONS, occluded, whole_windows
from skelaug.workflows.motion_prior import load_prior


def main() -> None:
    """Write the files, run the command, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--clips", type=int, nargs="+", default=[200, 2000])
    parser.add_argument("--method", default="hgvae")
    parser.add_argument("--steps", type=int, default=10)
    options = parser.parse_args()
    print("| clips | clips/s | seconds | peak memory, MB |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for count in options.clips:
            path = Path(folder) / f"{count}.h5"
            _write(options, path, count)
            command = [sys.executable, "-m", "skelaug", "impute", str(path)]
            command += ["-o", str(path.with_suffix(".out.h5")), "--model", options.model]
            command += ["--method", options.method, "--steps", str(options.steps)]
            command += ["--trial-clips", "0", "--json"]
            with (Path(folder) / "report.json").open("w+") as out:
                process = subprocess.Popen(command, stdout=out, stderr=subprocess.DEVNULL)
                _, status, usage = os.wait4(process.pid, 0)
                process.returncode = os.waitstatus_to_exitcode(status)
                out.seek(0)
                report = json.load(out)
            rate, seconds = report["clips_per_second"], report["seconds"]
            print(
                f"| {count} | {rate:.1f} | {seconds:.1f} | {usage.ru_maxrss / 1024:.0f} |",
                flush=True,
            )


def _write(options: argparse.Namespace, path: Path, count: int) -> None:
    """A file of so many clips with gaps."""
    form = load_prior(options.model).form
    with SequenceFile(options.data) as file:
        found = whole_windows(file, range(len(file)), frames=form.frames, fps=form.fps)
        layout = file.layout
    limbs, some = (
        occluded(found, OCCLUSIONS[name], layout) for name in ("a limb, 10 frames", "30 entries")
    )

    def clips() -> list[SkeletonSequence]:
        made = []
        for number in range(count):
            one, other = limbs[number % len(limbs)], some[number % len(some)]
            observed = one.observed & other.observed
            positions = np.where(observed[..., None], one.positions, np.nan).astype(np.float32)
            made.append(
                SkeletonSequence(
                    positions[:, None], observed[:, None], layout, one.fps, f"clip {number}"
                )
            )
        return made

    write_sequences(path, clips(), Schema(layout, ()), provenance=[])


if __name__ == "__main__":
    main()
