"""Tables 2 and 3 of Jiang et al. on any data set: accuracy by the share of synthetic clips.

    python pipelines/table2_3_augmentation.py replacement utd.h5 --out runs/tables-utd
    python pipelines/table2_3_augmentation.py incremental utd.h5 --out runs/tables-utd

Their protocol: 20 % of the training part (whole performers) trains the generators, the others are
the recognizer's, so that "0 %" is what is left. Beside their columns stands the control that adds
the generator's own real clips. Every cell makes the same number of steps. The folder may be shared
by both tables and by several processes; what is finished is not done twice.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from skelaug.benchmark.report import BenchReport, RowReport
from skelaug.benchmark.run import run
from skelaug.benchmark.settings import BenchConfig

RIVALS = ("action2motion", "actor")
ARM, CONTROL, BOUND = "synthetic+classical", "classical", "generator-clips"


def main() -> None:
    """Train what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mode", choices=["replacement", "incremental"])
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--split", default="official")
    parser.add_argument("--recognizers", nargs="+", default=["compact"])
    parser.add_argument("--generator", default="diffusion")
    parser.add_argument("--ratios", type=float, nargs="+", default=[0.1, 0.2, 0.3, 0.4, 0.5])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=1000, help="of every recognizer")
    parser.add_argument("--generator-steps", type=int, default=None)
    options = parser.parse_args()
    steps, theirs = options.steps, options.generator_steps
    settings = {
        "mode": options.mode,
        "data": options.data,
        "out": options.out,
        "split": options.split,
        "protocol": "paper",
        "recognizers": tuple(options.recognizers),
        "seeds": options.seeds,
        "recognizer_settings": {"optimisation": {"steps": steps}},
        "generator_settings": {"optimisation": {"steps": theirs}} if theirs else {},
    }
    last = max(options.ratios)
    rivals = run(BenchConfig(**settings, arms=(ARM,), generators=RIVALS, ratios=(last,)))
    # last, so that the folder's report is this one
    ours = run(
        BenchConfig(
            **settings,
            arms=(CONTROL, ARM, BOUND),
            generators=(options.generator,),
            ratios=tuple(options.ratios),
        )
    )
    heads = ["0 %", *(f"{100 * ratio:g} %" for ratio in options.ratios)]
    heads += [f"{100 * last:g} % ({name})" for name in RIVALS] + ["with the generator's real clips"]
    print(f"| {options.data.stem}, {options.mode} | {' | '.join(heads)} |")
    print(f"|---|{'---|' * len(heads)}")
    for name in options.recognizers:
        only = name if len(options.recognizers) > 1 else ""
        cells = [_cell(ours, only, CONTROL)]
        cells += [_cell(ours, only, ARM, ratio) for ratio in options.ratios]
        cells += [_cell(rivals, only, f"{ARM} ({rival})", last) for rival in RIVALS]
        print(f"| {name} | {' | '.join([*cells, _cell(ours, only, BOUND)])} |")
    print(f"\n{ours.verdict.sentence}")


def _cell(report: BenchReport, recognizer: str, arm: str, ratio: float = 0.0) -> str:
    def is_it(row: RowReport) -> bool:
        return (row.recognizer, row.arm, row.ratio) == (recognizer, arm, ratio)

    found = next(row.accuracy for row in report.rows if is_it(row))
    width = "" if found.half_width is None else f" ± {100 * found.half_width:.1f}"
    return f"{100 * found.mean:.1f}{width}"


if __name__ == "__main__":
    main()
