"""Clips per second and quality of each sampler and step count, as one table.

python pipelines/bench_samplers.py DATA.h5 [--model NAME|RUN] [--n 620] [--out runs/samplers]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

RECIPES = [
    ["--sampler", "ddpm", "--steps", "1000"],
    ["--sampler", "ddpm", "--steps", "50"],
    ["--sampler", "ddpm", "--steps", "20"],
    ["--sampler", "ddpm", "--steps", "10"],
    ["--sampler", "ddim", "--set", "eta=0", "--steps", "50"],
    ["--sampler", "ddim", "--set", "eta=0", "--steps", "20"],
    ["--sampler", "dpm++sde", "--steps", "20"],
    ["--sampler", "dpm++sde", "--steps", "10"],
    ["--sampler", "dpm++", "--steps", "20"],
    ["--sampler", "dpm++", "--steps", "10"],
]
COLUMNS = ("fid", "accuracy", "bone_length_variation", "acceleration_mm", "nearest_median_mm")


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
    parser.add_argument("--n", default="620")
    parser.add_argument("--out", type=Path, default=Path("runs/samplers"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    print("| recipe | clips/s |", " | ".join(COLUMNS), "|\n|" + "---|" * (2 + len(COLUMNS)))
    for recipe in RECIPES:
        name = " ".join(word for word in recipe if not word.startswith("--"))
        out = options.out / f"{name.replace(' ', '_')}.h5"
        data, model = str(options.data), ["--model", options.model]
        arguments = ["--like", data, "--n", options.n, *model, "-o", str(out), "--force"]
        drawn = _skelaug("synth", *arguments, "--guidance-scale", "0", *recipe)
        scores = _skelaug("eval", data, str(out), "--network", options.network)
        rate = drawn["clips"] / drawn["seconds"]
        cells = [f"{scores[key]['synthetic']['mean']:.3f}" for key in COLUMNS]
        print(f"| {name} | {rate:.1f} |", " | ".join(cells), "|", flush=True)
    cells = [f"{scores[key]['real']['mean']:.3f}" for key in COLUMNS]
    print("| real training clips | – |", " | ".join(cells), "|")


if __name__ == "__main__":
    main()
