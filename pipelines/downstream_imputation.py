"""Appendix C of Bourached et al. in small: what imputation is worth to those who use the clips.

    python pipelines/downstream_imputation.py utd.h5 --model runs/hgvae --out runs/downstream

A recognizer learns from the clean training clips of the split, and a ridge regression to forecast
25 frames from 50. Both are tested on test clips in which something is hidden, completed by the
training mean, by interpolation, and by the model. The error of a forecast is the mean distance per
joint and frame (eq. 8 with its norm) in the body frame that the 50 frames give. 95 % intervals are
over clips. The recognizer is trained once.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from skelaug.config import load
from skelaug.data.store import SequenceFile
from skelaug.workflows import train_recognizer
from skelaug.workflows.downstream_study import DownstreamStudy, downstream_methods
from skelaug.workflows.imputation_report import ImputeConfig
from skelaug.workflows.motion_prior import load_prior
from skelaug.workflows.study_occlusions import OCCLUSIONS

HIDDEN = ("1000 entries", "a limb, 25 frames", "all, 10 frames", "all, 25 frames")
HIDDEN += ("a joint, always",)


def main() -> None:
    """Train the recognizer if it is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--split", default="official")
    parser.add_argument("--steps", type=int, help="of the recognizer's training")
    parser.add_argument("--clips", type=int, help="of the test part at most so many")
    parser.add_argument("--hidden", nargs="+", choices=list(OCCLUSIONS), default=list(HIDDEN))
    options = parser.parse_args()
    run, steps = options.out / "recognizer", {"steps": options.steps} if options.steps else {}
    flags = {"data": options.data, "out": run, "split": options.split, "optimisation": steps}
    preset = train_recognizer.PRESETS["cpu"]
    config = load(train_recognizer.TrainRecognizerConfig, preset=preset, flags=flags)
    train_recognizer.run(config, resume=(run / "config.yaml").exists())
    prior = load_prior(options.model)
    methods = downstream_methods(prior, ImputeConfig(data=options.data, out=options.out / "none"))
    with SequenceFile(options.data) as file:
        study = DownstreamStudy(
            file, options.split, prior=prior, recognizer=run, folder=options.out, most=options.clips
        )
        print(f"recognised: {study.recognisable}\nforecast: {study.continued}\n")
        print(f"| {options.data.stem}: hidden | method | recognised | forecast off by, mm |")
        print("|---" * 4 + "|", flush=True)
        for row in study.rows(methods, options.hidden):
            mean, half = 1000 * row.forecast.mean, 1000 * row.forecast.half_width
            told = f"{row.recognised} | {mean:.1f} ± {half:.1f}"
            print(f"| {row.hidden} | {row.method} | {told} |", flush=True)


if __name__ == "__main__":
    main()
