"""Table 4 of Jiang et al. on any data set: what guides, steps and schedule are worth.

    python pipelines/table4_ablation.py utd.h5 --out runs/table4-utd

An unconditional denoiser is guided by different classifiers; FID is to the generator's training
clips (`skelaug eval`, first seed), accuracy is that of a recognizer half of whose clips were
replaced, by the protocol of table 2. Denoisers that are equal are trained once. A fine-tuned CLIP
is left out: it would need its weights. What is finished is not done twice.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from skelaug.benchmark.cells import Cells
from skelaug.benchmark.grid import Grid
from skelaug.benchmark.run import run
from skelaug.benchmark.settings import BenchConfig
from skelaug.benchmark.sources import CLIPS, Sources
from skelaug.benchmark.table import Table
from skelaug.data.splits import split_clips
from skelaug.data.store import SequenceFile
from skelaug.workflows import evaluate

ROWS = {
    "ST-Trans, 1000 steps (50 drawn), cosine": "paper",
    "without guidance": "paper-unguided",
    "CNN": "paper-cnn",
    "noisy UNet": "paper-unet",
    "ViT": "paper-vit",
    "100 steps": "paper-100",
    "500 steps": "paper-500",
    "linear": "paper-linear",
    "told the class, no guide (ours)": "diffusion",
}
ARM = "synthetic+classical"


def main() -> None:
    """Train what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--split", default="official")
    parser.add_argument("--rows", nargs="+", default=list(ROWS.values()))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1000, help="of every recognizer")
    parser.add_argument("--generator-steps", type=int, default=None)
    parser.add_argument("--guide-steps", type=int, default=None)
    options = parser.parse_args()
    theirs, guides = options.generator_steps, options.guide_steps
    config = BenchConfig(
        mode="replacement",
        data=options.data,
        out=options.out,
        split=options.split,
        protocol="paper",
        arms=("classical", ARM),
        ratios=(0.5,),
        generators=tuple(options.rows),
        seeds=options.seeds,
        recognizer_settings={"optimisation": {"steps": options.steps}},
        generator_settings={"optimisation": {"steps": theirs}} if theirs else {},
        guide_settings={"optimisation": {"steps": guides}} if guides else {},
    ).resolved()
    report = run(config)
    accuracy = {row.arm: row.accuracy for row in report.rows}
    names = {name: title for title, name in ROWS.items()}
    print(f"| {options.data.stem} | FID | accuracy, half replaced, % |\n|---|---|---|")
    plain = accuracy["classical"]
    print(f"| nothing replaced | | {100 * plain.mean:.1f} ± {100 * (plain.half_width or 0):.1f} |")
    for name in options.rows:
        found = accuracy[f"{ARM} ({name})"] if len(options.rows) > 1 else accuracy[ARM]
        told = f"{100 * found.mean:.1f} ± {100 * (found.half_width or 0):.1f}"
        print(f"| {names.get(name, name)} | {_fid(config, name)} | {told} |", flush=True)


def _fid(config: BenchConfig, name: str) -> str:
    """FID of the first seed's clips to the clips that their generator learnt from."""
    grid = Grid(config.out)
    with SequenceFile(config.data) as file:
        sources = Sources(config, grid, file, device="auto")
        table = Table(split_clips(file, config.split), Cells(sources))
        place = next(p for p in table.tasks if p.generator == name)
        draw = table.draws[place.seed]
        pool = next(need for need in table.tasks[place].needs if need.kind == "pool")
        panel = config.out / "recognizers.safetensors"
        report = evaluate.run(
            evaluate.EvaluateConfig(
                real=config.data,
                synthetic=grid.path(pool) / CLIPS,
                split=sources.rule(draw.generator),
                network=str(panel) if panel.exists() else None,
                save_network=None if panel.exists() else panel,
            )
        )
    return f"{report.fid.synthetic.mean:.2f} ± {report.fid.synthetic.half_width:.2f}"


if __name__ == "__main__":
    main()
