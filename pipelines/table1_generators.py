"""Table 1 of Jiang et al. on any data set: how good the clips of each generator are.

    python pipelines/table1_generators.py utd.h5 --out runs/table1-utd
    python pipelines/table1_generators.py ucla.h5 --out runs/table1-ucla --steps 1200
    python pipelines/table1_generators.py utd.h5 --out runs/hgvae-utd --generators hgvae diffusion

Every generator learns from the training part for the same number of steps and draws the same
number of clips of each class; `skelaug eval` scores them with recognizers that it trains once.
The row "real" is one half of the real training clips against the other. What is finished is not
done twice.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from skelaug.benchmark.draws import draw_clips
from skelaug.benchmark.grid import Grid
from skelaug.benchmark.settings import BenchConfig
from skelaug.benchmark.sources import CLIPS, Sources
from skelaug.data.splits import split_clips
from skelaug.data.store import SequenceFile
from skelaug.workflows import evaluate
from skelaug.workflows.evaluation_report import EvaluationReport, Score

COLUMNS = ("fid", "accuracy", "diversity", "action_diversity", "nearest_median_mm")


def main() -> None:
    """Train, draw, score, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--split", default="official")
    parser.add_argument(
        "--generators", nargs="+", default=["action2motion", "actor", "paper", "diffusion"]
    )
    parser.add_argument("--steps", type=int, default=None, help="of every generator's training")
    parser.add_argument("--per-class", type=int, default=20)
    options = parser.parse_args()
    steps = {"optimisation": {"steps": options.steps}} if options.steps else {}
    config = BenchConfig(
        mode="incremental",
        data=options.data,
        out=options.out,
        split=options.split,
        fraction=1.0,
        generator_settings=steps,
    ).resolved()
    grid = Grid(options.out)
    print(f"| {options.data.stem} | {' | '.join(COLUMNS)} |\n|---|{'---|' * len(COLUMNS)}")
    with SequenceFile(options.data) as file:
        draw = draw_clips(file, split_clips(file, options.split), "scarce", seed=0)
        sources = Sources(config, grid, file, device="auto")
        for number, name in enumerate(options.generators):
            pool = sources.pool(name, draw, 0, per_class=options.per_class, every=False)
            grid.complete([pool])
            report = _scored(options, grid.path(pool) / CLIPS)
            if number == 0:
                _print("real", report, "real")
            _print(name, report, "synthetic")


def _scored(options: argparse.Namespace, clips: Path) -> EvaluationReport:
    """The scores of some clips, by the recognizers that the first evaluation trained."""
    panel = options.out / "recognizers.safetensors"
    return evaluate.run(
        evaluate.EvaluateConfig(
            real=options.data,
            synthetic=clips,
            split=options.split,
            network=str(panel) if panel.exists() else None,
            save_network=None if panel.exists() else panel,
        )
    )


def _print(name: str, report: EvaluationReport, side: str) -> None:
    cells = [_cell(getattr(report, column), side) for column in COLUMNS]
    print(f"| {name} | {' | '.join(cells)} |", flush=True)


def _cell(score: Score, side: str) -> str:
    found = getattr(score, side)
    return "" if found is None else f"{found.mean:.3f} ± {found.half_width:.3f}"


if __name__ == "__main__":
    main()
