"""Do the log-densities notice what is odd? Occluded windows, and clips of another data set.

    python pipelines/table_detection.py utd.h5 --split official --model runs/hgvae \
        --usual utd.h5 --usual-split official --other cmu.h5

One whole window of each test clip is scored as it is and with some entries hidden, which the
training mean replaces (Bourached et al., Fig. 1), by either log-density. Printed are the share of
scores below the band, the mean score in standard deviations of the band, and the area under the ROC
curve of clean against odd windows, with 95 % intervals. The band ends one standard deviation below
the mean of the training clips, or also of the clips that --usual-split names in --usual. --other
files count as out of set.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from skelaug.data.splits import selected
from skelaug.data.store import SequenceFile
from skelaug.errors import UsageError
from skelaug.imputation.typicality import DENSITIES, log_densities
from skelaug.workflows.detection_study import cases, detect, usual_of
from skelaug.workflows.motion_prior import TrainedPrior, load_prior
from skelaug.workflows.study_windows import StudyWindows, whole_windows


def main() -> None:
    """Score, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", action="append", required=True)
    parser.add_argument("--split", default="", help="whose test part is scored")
    parser.add_argument("--usual", type=Path, help="file of clips that say what is usual")
    parser.add_argument("--usual-split", default="", help="which of them")
    parser.add_argument("--other", type=Path, nargs="*", default=[])
    parser.add_argument("--clips", type=int, help="at most so many, evenly spread")
    options = parser.parse_args()
    for name in options.model:
        prior = load_prior(name)
        title = f"{Path(name).name} ({prior.checkpoint.kind})"
        print(f"\n{title}:", flush=True)
        tested = _windows(prior, options.data, options.split, is_test=bool(options.split))
        bands = {"training": {by: prior.usual(by) for by in DENSITIES}}
        if options.usual:
            good = _windows(prior, options.usual, options.usual_split)
            if options.usual.samefile(options.data) and {w.row for w in good} & {
                w.row for w in tested
            }:
                raise UsageError("--usual-split: expected clips outside the test part, got some")
            scores = log_densities(prior.network, prior.form, good.tracks)
            where = f"{options.usual.stem} {options.usual_split}".strip()
            bands[where] = {by: usual_of(getattr(scores, by), where=where) for by in DENSITIES}
        others = {
            path.stem: _windows(prior, path, "").spread(options.clips) for path in options.other
        }
        head = "model", "clips", "hidden, %", "by", "band", "below", "deviations", "AUROC"
        print(f"\n| {' | '.join(head)} |\n" + 8 * "|---" + "|")
        clean = None
        for case in cases(prior, tested.spread(options.clips), others):
            for by in DENSITIES:
                for where, usual in bands.items():
                    own = getattr(case.scores, by)
                    found = detect(own, usual[by], clean=clean and getattr(clean, by))
                    row = title, f"{len(own)} {case.what}", f"{100 * case.hidden:.2g}", by, where
                    row += (str(found.below), str(found.deviations), str(found.clean or ""))
                    print(f"| {' | '.join(row)} |", flush=True)
            clean = clean or case.scores


def _windows(prior: TrainedPrior, path: Path, rule: str, *, is_test: bool = False) -> StudyWindows:
    """Whole windows of the clips that a rule names, or of the others."""
    with SequenceFile(path) as file:
        prior.check_clips(file.layout, file.channels, where=str(path))
        rows = (selected(file, rule) != is_test).nonzero()[0].tolist()
        found = whole_windows(file, rows, frames=prior.form.frames, fps=prior.form.fps)
    print(f"{path.name}: {found}", flush=True)
    return found


if __name__ == "__main__":
    main()
