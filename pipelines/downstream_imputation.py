"""Appendix C of Bourached et al. in small: what imputation is worth to those who use the clips.

    python pipelines/downstream_imputation.py utd.h5 --model runs/hgvae --out runs/downstream

A recognizer learns from the clean training clips of the split, and a ridge regression to predict 25
frames from 50. Both are tested on test clips in which something is hidden, completed by the
training mean, by linear interpolation, and by the model. The error of a prediction is the mean
distance per joint and frame in millimetres (eq. 8 with its norm), of the body in the frame that the
50 frames give. The recognizer is trained once.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import binomtest

from skelaug.config import load
from skelaug.data.splits import split_clips
from skelaug.data.store import Schema, SequenceFile, write_sequences
from skelaug.imputation.body_frame import fit_body_frames, turned_about_y
from skelaug.imputation.tracks import Track
from skelaug.imputation.windows import WindowForm
from skelaug.metrics.intervals import interval_of
from skelaug.workflows import predict, train_recognizer
from skelaug.workflows.completion_study import OCCLUSIONS, WholeWindow, occluded, whole_windows
from skelaug.workflows.imputation_methods import Completer
from skelaug.workflows.imputation_report import ImputeConfig
from skelaug.workflows.motion_prior import load_prior

SEEN, FUTURE = 50, 25
METHODS = ("mean", "linear", "hgvae")
HIDDEN = (
    "1000 entries",
    "a limb, 25 frames",
    "all, 10 frames",
    "all, 25 frames",
    "a joint, always",
)
RIDGE = 10.0 ** np.arange(-4, 5)


def main() -> None:
    """Train the recognizer if it is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--split", default="official")
    parser.add_argument("--steps", type=int, default=None, help="of the recognizer's training")
    parser.add_argument("--hidden", nargs="+", choices=list(OCCLUSIONS), default=list(HIDDEN))
    options = parser.parse_args()
    recognizer = _recognizer(options)
    prior = load_prior(options.model)
    settings = ImputeConfig(data=options.data, out=options.out / "none.h5")
    fill = Completer(prior, settings).fill
    with SequenceFile(options.data) as file:
        prior.check_clips(file.layout, file.channels, where=str(file.path))
        split = split_clips(file, options.split)
        whole = [_whole(file, row) for row in split.test.tolist()]
        test = [one for one in whole if one is not None]
        ridge = _Ridge(_pairs(file, split.train.tolist(), prior.form), prior.form)
        future = _pairs(file, split.test.tolist(), prior.form)
        print(
            f"| {options.data.stem} | method | recognised, % | prediction, mm |\n|---|---|---|---|"
        )
        clean = _accuracy(options, recognizer, file, {one.row: one.track.positions for one in test})
        print(f"| nothing hidden | | {clean} | {ridge.error(future, None)} |", flush=True)
        for hidden in options.hidden:
            gaps = occluded(test, OCCLUSIONS[hidden], file.layout)
            seen = [WholeWindow(one.row, _cut(one.track, 0, SEEN)) for one in future]
            short = occluded(seen, OCCLUSIONS[hidden], file.layout)
            for method in METHODS:
                rows = [one.row for one in test]
                clips = dict(zip(rows, fill(method, gaps), strict=True))
                told = _accuracy(options, recognizer, file, clips)
                error = ridge.error(future, fill(method, short))
                print(f"| {hidden} | {method} | {told} | {error} |", flush=True)


def _recognizer(options: argparse.Namespace) -> Path:
    out: Path = options.out / "recognizer"
    steps = {"optimisation": {"steps": options.steps}} if options.steps else {}
    flags = {"data": options.data, "out": out, "split": options.split, **steps}
    config = load(
        train_recognizer.TrainRecognizerConfig,
        preset=train_recognizer.PRESETS["cpu"],
        flags=flags,
    )
    train_recognizer.run(config, resume=(out / "config.yaml").exists())
    return out


def _whole(file: SequenceFile, row: int) -> WholeWindow | None:
    """The first person of a clip in which nothing is missing."""
    clip = file[row]
    track = Track(clip.positions[:, 0], clip.observed[:, 0], clip.fps)
    return WholeWindow(row, track) if track.is_whole else None


def _accuracy(
    options: argparse.Namespace,
    recognizer: Path,
    file: SequenceFile,
    positions: Mapping[int, NDArray[np.floating]],
) -> str:
    """The share of these clips that the recognizer names, their completed joints as measured."""
    path = options.out / "completed.h5"
    clips = (
        file[row].replaced(
            positions=x[:, None].astype(np.float32),
            observed=np.ones((len(x), 1, x.shape[1]), dtype=np.bool_),
            confidence=None,
        )
        for row, x in positions.items()
    )
    write_sequences(path, clips, Schema(file.layout, file.classes), provenance=file.provenance)
    report = predict.run(predict.PredictConfig(data=path, models=(str(recognizer),)))
    right = round((report.accuracy or 0.0) * report.clips)
    share = binomtest(right, report.clips).proportion_ci(method="wilson")
    return f"{100 * right / report.clips:.1f} [{100 * share.low:.1f}, {100 * share.high:.1f}]"


def _pairs(file: SequenceFile, rows: list[int], form: WindowForm) -> list[WholeWindow]:
    """Windows of what is seen and what follows."""
    return whole_windows(file, rows, frames=SEEN + FUTURE, fps=form.fps)


def _cut(track: Track, start: int, stop: int) -> Track:
    return Track(track.positions[start:stop], track.observed[start:stop], track.fps)


class _Ridge:
    """Future from past by ridge regression, its strength chosen by leaving one clip out."""

    def __init__(self, windows: list[WholeWindow], form: WindowForm) -> None:
        self.form = form
        seen = [one.track.positions[:SEEN] for one in windows]
        x, y = self._features(windows, seen)
        self.x_mean, self.y_mean = x.mean(axis=0), y.mean(axis=0)
        self.x = x - self.x_mean
        values, vectors = np.linalg.eigh(self.x @ self.x.T)
        projected = vectors.T @ (y - self.y_mean)
        errors = []
        for strength in RIDGE * values.mean():
            inverse = (vectors / (values + strength)) @ vectors.T
            # the residual of a clip that is left out, from the fit with it
            left_out = (vectors / (values + strength)) @ projected / np.diag(inverse)[:, None]
            errors.append(np.square(left_out).mean())
        best = float((RIDGE * values.mean())[int(np.argmin(errors))])
        self.weights = self.x.T @ ((vectors / (values + best)) @ projected)

    def error(self, windows: list[WholeWindow], seen: list[NDArray[np.floating]] | None) -> str:
        """Mean distance of the prediction from what is seen, or from the truth, in millimetres."""
        given = seen or [one.track.positions[:SEEN] for one in windows]
        x, y = self._features(windows, given)
        wrong = (x - self.x_mean) @ self.weights + self.y_mean - y
        distance = np.linalg.norm(wrong.reshape(len(windows), -1, 3), axis=-1).mean(axis=1)
        told = interval_of(1000 * distance)
        return f"{told.mean:.1f} ± {told.half_width:.1f}"

    def _features(
        self, windows: list[WholeWindow], seen: list[NDArray[np.floating]]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """What is seen, and how it goes on from its last frame, in its body frame; metres."""
        past = torch.from_numpy(np.stack(seen)).double()
        frames = fit_body_frames(past, torch.ones(past.shape[:3], dtype=torch.bool), self.form)
        truth = torch.from_numpy(np.stack([one.track.positions for one in windows])).double()
        x, y = (
            turned_about_y(part - frames.origin[:, None, None], -frames.yaw)
            for part in (past, truth[:, SEEN:])
        )
        y = y - x[:, -1:]
        return x.flatten(1).numpy(), y.flatten(1).numpy()


if __name__ == "__main__":
    main()
