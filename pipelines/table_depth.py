"""Table 1 of Bourached et al. on any data set: what stochastic levels are worth, at equal capacity.

    python pipelines/table_depth.py bandai.h5 --out runs/depth --levels 1 2 4 --steps 4000
    python pipelines/table_depth.py bandai.h5 --out runs/depth8 --levels 1 2 4 8 --steps 4000

One network of 4, 8 or 16 levels, whichever the greatest number needs, is trained once per row; of
it the upper levels are stochastic, the others hand the mean of their prior down. Printed are the
log-likelihood and the divergence in nats, and the squared error of the reconstruction, of what is
held out of the training clips. A finished row is not trained again.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from skelaug.config import load
from skelaug.data.store import SequenceFile
from skelaug.workflows.train_hgvae import PRESETS, TrainHgvaeConfig, run

DEEP = (54, 48, 32, 16, 8, 4, 2, 1)  # as the paper's code has it
NODES = {4: (54, 24, 8, 1), 8: DEEP, 16: tuple(n for n in DEEP for _ in range(2))}


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
    print(
        f"| {options.data.stem} | log-likelihood | MSE | KL | parameters |\n|---|---|---|---|---|"
    )
    for count in options.levels:
        config = load(
            TrainHgvaeConfig,
            preset=PRESETS["cpu"],
            overrides=options.overrides,
            flags={
                "data": options.data,
                "out": options.out / f"levels-{count}",
                "split": options.split,
                "held_out": options.held_out,
                "occlusion": 0.0,
                "model": {"arguments": _arguments(options, count)},
                "optimisation": {"steps": options.steps, "max_epochs": None},
            },
        )
        report = run(config, resume=(config.out / "config.yaml").exists())
        best = report.best
        print(
            f"| {count} levels | {best['log_likelihood']:.1f} | {best['error']:.4g} | "
            f"{best['divergence']:.1f} | {report.parameters} |",
            flush=True,
        )


def _arguments(options: argparse.Namespace, count: int) -> dict[str, Any]:
    """Of a network whose lower levels can be switched off."""
    nodes = next(nodes for most, nodes in NODES.items() if most >= max(options.levels))
    with SequenceFile(options.data) as file:
        joints = 3 * file.layout.num_joints
    return {
        "level_nodes": [min(n, joints) for n in nodes],
        "level_features": [options.features] * len(nodes),
        "width": options.width,
        "stochastic_levels": count,
    }


if __name__ == "__main__":
    main()
