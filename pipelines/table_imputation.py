"""How far imputation is off: random entries as in Fig. 4 of Bourached et al., and what cameras do.

    python pipelines/table_imputation.py utd.h5 --split official --model runs/hgvae
    python pipelines/table_imputation.py hdm05.h5 --split subject=101,102,103 \
        --model runs/hgvae --model runs/motion-vae --model runs/hm-vae
    python pipelines/table_imputation.py hdm05.h5 --split subject=101,102,103 \
        --model runs/hgvae --seconds 4

One whole window of each test clip, or with --seconds a stretch at the clip's own rate, is occluded
and completed by every method. Errors are given with 95 % intervals over clips; the squared error of
a clip is the paper's MSE. The paper's ascent is "log-posterior from the mean".
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from skelaug.data.splits import split_clips
from skelaug.data.store import SequenceFile
from skelaug.workflows.completion_report import completion_tables
from skelaug.workflows.completion_study import Completions, completions, rivals
from skelaug.workflows.imputation_report import ImputeConfig
from skelaug.workflows.motion_prior import load_prior
from skelaug.workflows.study_occlusions import OCCLUSIONS, TIMED_OCCLUSIONS
from skelaug.workflows.study_windows import whole_stretches, whole_windows


def main() -> None:
    """Occlude, complete, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", action="append", required=True)
    parser.add_argument("--split", default="")
    parser.add_argument("--seconds", type=float, help="of a stretch, in place of windows")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rate", type=float, default=0.1, help="step size of the ascents")
    parser.add_argument("--clips", type=int, help="at most so many, evenly spread")
    options = parser.parse_args()
    config = ImputeConfig(
        data=options.data, out=Path("none"), steps=options.steps, rate=options.rate
    )
    found: dict[str, dict[str, Completions]] = {}
    with SequenceFile(options.data) as file:
        rows = split_clips(file, options.split).test if options.split else np.arange(len(file))
        for name in options.model:
            prior = load_prior(name)
            prior.check_clips(file.layout, file.channels, where=str(file.path))
            form, kinds = prior.form, TIMED_OCCLUSIONS if options.seconds else OCCLUSIONS
            if options.seconds:
                windows = whole_stretches(file, rows.tolist(), seconds=options.seconds)
            else:
                windows = whole_windows(file, rows.tolist(), frames=form.frames, fps=form.fps)
            windows, fills = windows.spread(options.clips), rivals(prior, config)
            title = f"{Path(name).name} ({prior.checkpoint.kind})"
            print(f"{title}, {options.data.name}: {windows}\n", flush=True)
            found[title] = {
                what: completions(fills, windows, hide, file.layout) for what, hide in kinds.items()
            }
    print(completion_tables(found))


if __name__ == "__main__":
    main()
