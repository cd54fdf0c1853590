"""Do the log-densities notice what is odd? Occluded windows, and clips of another data set.

    python pipelines/table_detection.py utd.h5 --split official --model runs/hgvae --other cmu.h5

One whole window of each test clip is scored as it is and with some entries hidden, which the
training mean replaces (Bourached et al., Fig. 1). Printed are, by each of the two log-densities of
`skelaug.imputation.typicality`, the share of scores more than one
standard deviation below the mean of the training clips, and the area under the ROC curve of clean
against occluded windows, with 95 % intervals. `--other` files have the model's joints; their
windows count as out of set.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scipy.stats import binomtest

from skelaug.data.splits import split_clips
from skelaug.data.store import SequenceFile
from skelaug.imputation.typicality import DENSITIES, LogDensities, log_densities
from skelaug.metrics.detection import auroc, below_band
from skelaug.workflows.completion_study import (
    ENTRIES,
    OCCLUSIONS,
    WholeWindow,
    occluded,
    whole_windows,
)
from skelaug.workflows.motion_prior import TrainedPrior, load_prior

STRUCTURED = [name for name in OCCLUSIONS if not name.endswith("entries")]


def main() -> None:
    """Score, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", action="append", required=True)
    parser.add_argument("--split", default="")
    parser.add_argument("--other", type=Path, nargs="*", default=[])
    parser.add_argument("--clips", type=int, default=None, help="at most so many, evenly spread")
    options = parser.parse_args()
    print("| model | windows | hidden, % | by | below the band, % | AUROC |\n" + 6 * "|---" + "|")
    for name in options.model:
        prior = load_prior(name)
        windows = _windows(options.data, options.split, prior, options.clips)
        layout = prior.form.layout
        clean = log_densities(prior.network, prior.form, [one.track for one in windows])
        _print(prior, options.data.stem, clean)
        for kind in (*(f"{count} entries" for count in ENTRIES), *STRUCTURED):
            tracks = occluded(windows, OCCLUSIONS[kind], layout)
            share = float(np.mean([(~track.observed).mean() for track in tracks]))
            scores = log_densities(prior.network, prior.form, tracks)
            _print(prior, f"{options.data.stem}, {kind}", scores, clean, hidden=share)
        for path in options.other:
            there = [one.track for one in _windows(path, "", prior, options.clips)]
            _print(prior, path.stem, log_densities(prior.network, prior.form, there), clean)


def _windows(path: Path, split: str, prior: TrainedPrior, most: int | None) -> list[WholeWindow]:
    with SequenceFile(path) as file:
        prior.check_clips(file.layout, file.channels, where=str(path))
        rows = split_clips(file, split).test if split else np.arange(len(file))
        found = whole_windows(file, rows.tolist(), frames=prior.form.frames, fps=prior.form.fps)
    return found[:: -(-len(found) // (most or len(found)))]


def _print(
    prior: TrainedPrior,
    what: str,
    scores: LogDensities,
    clean: LogDensities | None = None,
    *,
    hidden: float = 0.0,
) -> None:
    name = f"{Path(prior.name).name} ({prior.checkpoint.kind})"
    for by in DENSITIES:
        own, usual = getattr(scores, by), prior.usual(by)
        flagged = below_band(own, mean=usual.mean, std=usual.std)
        share = binomtest(int(flagged.sum()), len(flagged)).proportion_ci(method="wilson")
        told = f"{100 * flagged.mean():.1f} [{100 * share.low:.1f}, {100 * share.high:.1f}]"
        area = "" if clean is None else str(auroc(getattr(clean, by), own))
        row = (name, f"{len(own)} of {what}", f"{100 * hidden:.2g}", by, told, area)
        print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
