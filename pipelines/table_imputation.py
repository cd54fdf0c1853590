"""How far imputation is off: random entries as in Fig. 4 of Bourached et al., and what cameras do.

    python pipelines/table_imputation.py utd.h5 --split official --model runs/hgvae
    python pipelines/table_imputation.py hdm05.h5 --split subject=1,2,3 \
        --model runs/hgvae --model runs/motion-vae --model runs/hm-vae

One whole window of each test clip is occluded and completed by every method. Printed are the
decrease of the squared error against imputing the training mean, with a 95 % interval over clips,
and the error itself: root mean square per hidden coordinate in millimetres, and summed over a
window in square metres (the paper's MSE). ``ascent`` is the paper's: from the mean, so many steps.
Models beyond the first add their rows.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from skelaug.data.splits import split_clips
from skelaug.data.store import SequenceFile
from skelaug.metrics.paired import ratio_of_means
from skelaug.workflows.completion_study import OCCLUSIONS, Completions, completions, whole_windows
from skelaug.workflows.imputation_methods import Completer
from skelaug.workflows.imputation_report import ImputeConfig
from skelaug.workflows.motion_prior import load_prior

WITHOUT_NETWORK = ("mean", "hold", "linear", "cubic")
WITH_NETWORK = ("ascent", "reconstruction", "hgvae")


def main() -> None:
    """Occlude, complete, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", action="append", required=True)
    parser.add_argument("--split", default="")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rate", type=float, default=0.1, help="step of the ascent")
    parser.add_argument("--clips", type=int, default=None, help="at most so many, evenly spread")
    parser.add_argument("--occlusions", nargs="+", choices=list(OCCLUSIONS), default=[*OCCLUSIONS])
    options = parser.parse_args()
    found: dict[str, dict[str, Completions]] = {name: {} for name in options.occlusions}
    with SequenceFile(options.data) as file:
        rows = split_clips(file, options.split).test if options.split else np.arange(len(file))
        for number, model in enumerate(options.model):
            prior = load_prior(model)
            prior.check_clips(file.layout, file.channels, where=str(file.path))
            windows = whole_windows(
                file, rows.tolist(), frames=prior.form.frames, fps=prior.form.fps
            )
            windows = windows[:: -(-len(windows) // (options.clips or len(windows)))]
            settings = ImputeConfig(
                data=options.data, out=Path("none"), steps=options.steps, rate=options.rate
            )
            fill = Completer(prior, settings).fill
            methods = (*WITHOUT_NETWORK, *WITH_NETWORK) if number == 0 else ("mean", *WITH_NETWORK)
            for name in options.occlusions:
                made = completions(fill, methods, windows, OCCLUSIONS[name], file.layout)
                found[name][model] = made
    print(f"{options.data.name}: {len(windows)} windows of {prior.form.frames} frames\n")
    _print("squared error against the training mean, %", found, _decrease)
    _print("root mean square error per coordinate, mm", found, _per_entry)
    _print("squared error of a window, square metres", found, _per_window)


def _print(title: str, found: dict[str, dict[str, Completions]], cell: object) -> None:
    print(f"| {title} | {' | '.join(found)} |\n|---|{'---|' * len(found)}")
    models = list(next(iter(found.values())))
    for model in models:
        for method in found[next(iter(found))][model].errors:
            if method == "mean" and (cell is _decrease or model != models[0]):
                continue
            row = method if method in WITHOUT_NETWORK else f"{method} ({Path(model).name})"
            cells = [cell(made[model], method) for made in found.values()]  # type: ignore[operator]
            print(f"| {row} | {' | '.join(cells)} |")
    print(flush=True)


def _decrease(made: Completions, method: str) -> str:
    ratio = ratio_of_means(made.errors[method], made.errors["mean"])
    return f"{100 * (ratio.mean - 1):+.1f} ± {100 * ratio.half_width:.1f}"


def _per_entry(made: Completions, method: str) -> str:
    ratio = ratio_of_means(made.errors[method], made.hidden.astype(float))
    root = np.sqrt(ratio.mean)
    return f"{1000 * root:.1f} ± {1000 * ratio.half_width / max(2 * root, 1e-12):.1f}"


def _per_window(made: Completions, method: str) -> str:
    return f"{made.errors[method].mean():.3g}"


if __name__ == "__main__":
    main()
