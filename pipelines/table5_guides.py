"""Table 5 of Jiang et al. on any data set: the size of each guide and how fast it converges.

    python pipelines/table5_guides.py utd.h5 --out runs/table5-utd --seeds 3

Convergence is the step at which a guide does best on held-out clips of the training part, which is
also where its training keeps its weights; the noisy UNet sees noisy images, the others clean ones.
A fine-tuned CLIP is left out: it would need its weights. What is finished is not done twice.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from skelaug.metrics.intervals import interval_of
from skelaug.workflows import train_guide
from skelaug.workflows.run_directory import resolve
from skelaug.workflows.training_run import TrainReport

GUIDES = {
    "ST-Trans + clean data": "st-trans",
    "UNet + noisy data": "noisy-unet",
    "CNN + clean data": "cnn",
    "ViT + clean data": "vit",
    "frame transformer + clean data (ours)": "frame",
}


def main() -> None:
    """Train what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--split", default="official")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1500)
    options = parser.parse_args()
    print(
        f"| {options.data.stem} | weights | best step of {options.steps} "
        f"| held-out accuracy, clean, % | at noise step 500, % | ms per step |\n"
        f"|---|---|---|---|---|---|"
    )
    for title, name in GUIDES.items():
        runs = [_run(options, name, seed) for seed in range(options.seeds)]
        steps = interval_of([run.best["step"] for run in runs])
        clean, noisy = (
            interval_of([100 * run.best[f"accuracy_at_{level}"] for run in runs])
            for level in (0, 500)
        )
        pace = 1000 / _run(options, name, 0, dry_run=True).steps_per_second
        print(
            f"| {title} | {runs[0].parameters / 1e6:.2f} M | {steps.mean:.0f} ± "
            f"{steps.half_width:.0f} | {clean.mean:.1f} ± {clean.half_width:.1f} | "
            f"{noisy.mean:.1f} ± {noisy.half_width:.1f} | "
            f"{pace:.0f} |",
            flush=True,
        )


def _run(options: argparse.Namespace, name: str, seed: int, dry_run: bool = False) -> TrainReport:
    """One training, done before or now; or a few steps of it, timed."""
    config = resolve(
        train_guide.TrainGuideConfig,
        train_guide.PRESETS,
        overrides=[
            f"model.name={name}",
            f"optimisation.steps={options.steps}",
            "evaluate_every=50",
            "codec={rows: 24, frames: 24}",
            "held_out=0.15",
        ],
        flags={
            "data": options.data,
            "out": options.out / ("timed" if dry_run else f"{name}-{seed}"),
            "split": options.split,
            "seed": seed,
        },
    )
    return train_guide.run(config, resume=not dry_run, dry_run=dry_run)


if __name__ == "__main__":
    main()
