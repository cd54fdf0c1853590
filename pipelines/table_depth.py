"""Table 1 of Bourached et al. on any data set: what stochastic levels are worth, at equal capacity.

    python pipelines/table_depth.py bandai.h5 --out runs/depth --levels 1 2 4 --steps 4000
    python pipelines/table_depth.py bandai.h5 --out runs/depth8 --levels 1 2 4 8 --steps 4000

One network of 4, 8 or 16 levels, whichever the greatest number needs, is trained once per row, as
long and on the same windows. Its top levels are stochastic, z0 first; those below hand the mean of
their prior down. Printed is what the last update leaves, of windows held out of the training clips:
log-likelihood (of standardised coordinates) and divergence in nats, the squared error of the
reconstruction summed over a window (the paper's MSE, square metres of a body of size 1), and its
root mean square per coordinate. A killed study goes on when it is started again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from skelaug.workflows.depth_study import depth_config, depth_row


def main() -> None:
    """Train what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--levels", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--features", type=int, default=64, help="of every level")
    parser.add_argument("--width", type=int, default=96, help="of the decoder's stream")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--split", default="")
    parser.add_argument("--held-out", type=float, default=0.1)
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    options = parser.parse_args()
    head = ("stochastic levels", "log-likelihood", "MSE", "rms, mm", "KL", "weights", "updates")
    print(f"| {options.data.stem}: {' | '.join(head)} |\n" + len(head) * "|---" + "|", flush=True)
    for levels in options.levels:
        config = depth_config(
            options.data,
            options.out,
            levels,
            deepest=max(options.levels),
            sizes=(options.features, options.width),
            overrides=options.overrides,
            split=options.split,
            held_out=options.held_out,
            optimisation={"steps": options.steps, "max_epochs": None},
        )
        row = depth_row(config)
        kept = "z0" if levels == 1 else f"z0 to z{levels - 1}"
        print(
            f"| {levels} of {row.of} ({kept}) | {row.log_likelihood:.1f} | {row.error:.4g} "
            f"| {row.rms_mm:.1f} | {row.divergence:.1f} | {row.parameters:,} | {row.steps:,} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
