"""Clips per second and quality of each sampler and step count, as one table.

python pipelines/bench_samplers.py DATA.h5 [--model NAME|RUN] [--n 620] [--out runs/samplers]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

PLAIN = ["--set", "label_weight=1", "--guidance-scale", "0"]
GUIDED = ["--set", "guidance_interval=[0.3,0.95]", "--guidance-scale"]
RECIPES = {
    "recommended": [],
    "ancestral, 1000 steps": ["--sampler", "ddpm", "--steps", "1000", *PLAIN],
    "ancestral, 50": ["--sampler", "ddpm", "--steps", "50", *PLAIN],
    "ancestral, 12": ["--sampler", "ddpm", "--steps", "12", *PLAIN],
    "DDIM eta 0, 50": ["--sampler", "ddim", "--set", "eta=0", "--steps", "50", *PLAIN],
    "DDIM eta 0, 12": ["--sampler", "ddim", "--set", "eta=0", "--steps", "12", *PLAIN],
    "SDE-DPM-Solver++, 12": PLAIN,
    "DPM-Solver++, 12": ["--sampler", "dpm++", "--steps", "12", *PLAIN],
    "SDE-DPM-Solver++, 12, guide x 1": ["--set", "label_weight=1", *GUIDED, "1"],
    "SDE-DPM-Solver++, 12, guide x 10": ["--set", "label_weight=1", *GUIDED, "10"],
    "label dropped, 12": ["--set", "label_weight=0", "--guidance-scale", "0"],
    "label dropped, 12, guide x 1": ["--set", "label_weight=0", *GUIDED, "1"],
    "label dropped, 12, guide x 10": ["--set", "label_weight=0", *GUIDED, "10"],
}
COLUMNS = ("fid", "accuracy", "action_diversity", "bone_length_variation", "acceleration_mm")
COLUMNS += ("nearest_median_mm",)


def _skelaug(*arguments: str) -> dict:
    command = [sys.executable, "-m", "skelaug", *arguments, "--json", "--quiet"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def main() -> None:
    """Draw with every recipe, score each with the same recognizers, print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="kinect20")
    parser.add_argument("--network", default="kinect20")
    parser.add_argument("--n", default="310")
    parser.add_argument("--out", type=Path, default=Path("runs/samplers"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    print("| recipe | clips/s |", " | ".join(COLUMNS), "|\n|" + "---|" * (2 + len(COLUMNS)))
    for name, recipe in RECIPES.items():
        out = options.out / "synthetic.h5"
        data, model = str(options.data), ["--model", options.model]
        arguments = ["--like", data, "--n", options.n, *model, "-o", str(out), "--force"]
        drawn = _skelaug("synth", *arguments, *recipe)
        scores = _skelaug("eval", data, str(out), "--network", options.network)
        rate = drawn["clips"] / drawn["seconds"]
        cells = [f"{scores[key]['synthetic']['mean']:.3f}" for key in COLUMNS]
        print(f"| {name} | {rate:.1f} |", " | ".join(cells), "|", flush=True)
    cells = [f"{scores[key]['real']['mean']:.3f}" for key in COLUMNS]
    print("| real training clips | – |", " | ".join(cells), "|")


if __name__ == "__main__":
    main()
