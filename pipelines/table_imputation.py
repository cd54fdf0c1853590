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

from skelaug.workflows.completion_report import measure_completion
from skelaug.workflows.imputation_report import ImputeConfig


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
        data=options.data,
        out=Path("none"),
        models=tuple(options.model),
        steps=options.steps,
        rate=options.rate,
    )
    print(
        measure_completion(config, split=options.split, seconds=options.seconds, most=options.clips)
    )


if __name__ == "__main__":
    main()
