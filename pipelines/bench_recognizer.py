"""Test accuracy of a recognizer by the share of clips it learns from, over draws of clips.

    python pipelines/bench_recognizer.py utd.h5 --fractions 1 0.2 0.1
    python pipelines/bench_recognizer.py ucla.h5 --fractions 0.2 0.1 --init-from kinect20

Each draw is a seed of its own: clips, initial weights, batches. Runs lie in --out and are not done
twice. Prints a row per share: mean over draws and 95 % t-interval, with and without a start.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np

from skelaug.metrics.intervals import interval_of
from skelaug.workflows import train_recognizer
from skelaug.workflows.run_directory import resolve


def main() -> None:
    """Train, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--split", default="official")
    parser.add_argument("--fractions", type=float, nargs="+", default=[1.0, 0.2, 0.1])
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--init-from", default="", help="a second arm that starts from this model")
    parser.add_argument("--out", type=Path, default=None, help="keep the runs here")
    parser.add_argument("--set", dest="overrides", action="append", default=[])
    options = parser.parse_args()
    out = options.out or Path(tempfile.mkdtemp())
    arms = {"anew": "", **({options.init_from: options.init_from} if options.init_from else {})}
    print("| clips | start | test accuracy | without copies | draws | steps | minutes each |")
    print("|---|---|---|---|---|---|---|")
    for fraction in options.fractions:
        found: dict[str, list[float]] = {}
        for arm, model in arms.items():
            runs = [
                _run(
                    options,
                    out / f"{arm.replace('/', '_')}-{fraction:g}-{draw}",
                    draw,
                    fraction,
                    model,
                )
                for draw in range(options.draws)
            ]
            found[arm] = [run["accuracy"] for run in runs]
            clean = [run.get("accuracy_without_copies", run["accuracy"]) for run in runs]
            print(
                f"| {runs[0]['taught']} ({100 * fraction:g} %) | {arm} | {_interval(found[arm])} | "
                f"{_interval(clean)} | {', '.join(f'{100 * a:.1f}' for a in found[arm])} | "
                f"{runs[0]['steps']} | {np.mean([run['seconds'] for run in runs]) / 60:.1f} |",
                flush=True,
            )
        if options.init_from:
            gains = np.subtract(found[options.init_from], found["anew"])
            print(f"| | gain | {_interval(gains.tolist())} points | | | | |", flush=True)


def _run(
    options: argparse.Namespace, folder: Path, draw: int, fraction: float, model: str
) -> dict[str, float]:
    """The scores of one training, done before or now."""
    kept = folder / "bench.json"
    if kept.exists():
        return dict(json.loads(kept.read_text()))
    config = resolve(
        train_recognizer.TrainRecognizerConfig,
        train_recognizer.PRESETS,
        overrides=[*options.overrides, f"fraction={fraction}"],
        flags={
            "data": options.data,
            "out": folder,
            "split": options.split,
            "seed": draw,
            "init_from": model or None,
        },
    )
    report = train_recognizer.run(config, force=True)
    scores = {key: value for key, value in report.scores.items() if key != "classes"}
    row = {**scores, "taught": report.clips, "steps": report.steps, "seconds": report.seconds}
    kept.write_text(json.dumps(row))
    return row


def _interval(values: list[float]) -> str:
    found = interval_of(values)
    return f"{100 * found.mean:.1f} ± {100 * found.half_width:.1f}"


if __name__ == "__main__":
    main()
