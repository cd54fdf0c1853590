"""Speed and memory of ``skelaug impute``: clips per second, and peak memory by number of clips.

    python pipelines/bench_impute.py utd.h5 --model runs/hgvae

Windows of the file, repeated, lack a limb for ten frames. Each number of clips is one run of the
command, without a trial. Wanted are 50 clips of 50 frames per second or more on two cores for 10
steps, and as much memory for many clips as for few.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from skelaug.data.store import SequenceFile
from skelaug.workflows.motion_prior import load_prior
from skelaug.workflows.study_occlusions import OCCLUSIONS, write_occluded
from skelaug.workflows.study_windows import whole_windows

WANTED = 50.0  # clips per second


def main() -> None:
    """Write the files, run the command, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--clips", type=int, nargs="+", default=[200, 2000])
    parser.add_argument("--steps", type=int, default=10)
    options = parser.parse_args()
    prior = load_prior(options.model)
    with SequenceFile(options.data) as file:
        form = prior.form
        windows = whole_windows(file, range(len(file)), frames=form.frames, fps=form.fps)
    hide, settings = OCCLUSIONS["a limb, 10 frames"], ["--model", options.model, "--json"]
    settings += ["--method", prior.kind, "--steps", str(options.steps), "--trial-clips", "0"]
    print(f"{windows}\n\n| clips | clips/s | of the wanted {WANTED:g} | peak MB | of the first |")
    print("|---" * 5 + "|", flush=True)
    first = 0
    with tempfile.TemporaryDirectory() as folder:
        for count in options.clips:
            path, out = Path(folder) / f"{count}.h5", Path(folder) / f"{count}.out.h5"
            write_occluded(path, windows, hide, form.layout, count=count)
            command = [sys.executable, "-m", "skelaug", "impute", str(path), "-o", str(out)]
            with subprocess.Popen([*command, *settings], stdout=subprocess.PIPE) as process:
                assert process.stdout is not None
                rate = json.load(process.stdout)["clips_per_second"]
                _, _, usage = os.wait4(process.pid, 0)
            peak = usage.ru_maxrss / 1024
            first = first or peak
            told = f"{rate:.1f} | {rate / WANTED:.2f} | {peak:.0f} | {peak / first:.2f}"
            print(f"| {count} | {told} |", flush=True)


if __name__ == "__main__":
    main()
