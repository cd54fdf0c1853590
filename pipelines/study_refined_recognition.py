"""What refining costs a recognizer that learnt from recordings as they came, by way of refining.

    python pipelines/study_refined_recognition.py utd.h5 --out runs/refined \\
        --folds subject=1 subject=3 subject=5 subject=7
    python pipelines/study_refined_recognition.py ucla.h5 --out runs/refined --steps 400 \\
        --folds camera=1 camera=2

Each fold is tested by a recognizer of the other folds. Folds are of the training part, so that what
is learnt here has not seen the test part. A line
per way: mean acceleration and variation of bone lengths over the file; accuracy over all folds in
%, and of how many clips it becomes right and wrong. What is finished is not done twice.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from skelaug.data.splits import selected
from skelaug.data.store import Schema, SequenceFile, write_sequences
from skelaug.workflows import predict, refine, train_recognizer
from skelaug.workflows.predict import PredictConfig
from skelaug.workflows.refinement_report import RefineConfig
from skelaug.workflows.run_directory import resolve
from skelaug.workflows.train_recognizer import TrainRecognizerConfig

WAYS: Mapping[str, Mapping[str, Any]] = {
    "low pass alone, 6 Hz": {"method": "butterworth"},
    "6 Hz, rigid": {"method": "butterworth", "bones": "rigid"},
    "6 Hz, performer": {"method": "butterworth", "bones": "performer"},
    "refined, 4 Hz": {"low_pass": 4.0, "bones": "keep"},
    "refined, 4 Hz, rigid": {"low_pass": 4.0, "bones": "rigid"},
    "refined, 4 Hz, performer": {"low_pass": 4.0, "bones": "performer"},
    "refined, 4.5 Hz, rigid": {"low_pass": 4.5, "bones": "rigid"},
    "refined, 5 Hz, rigid": {"low_pass": 5.0, "bones": "rigid"},
    "refined, 6 Hz, rigid": {"low_pass": 6.0, "bones": "rigid"},
    "refined, 6 Hz, performer": {"low_pass": 6.0, "bones": "performer"},
    "refined, 8 Hz, performer": {"low_pass": 8.0, "bones": "performer"},
    "refined, no low pass": {"low_pass": 0.0, "bones": "keep"},
    "refined, no low pass, performer": {"low_pass": 0.0, "bones": "performer"},
}


def main() -> None:
    """Train and refine what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--folds", nargs="+", required=True, help="KEY=NUMBER, of one key")
    parser.add_argument("--steps", type=int, default=800)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    models = {fold: _trained(options, fold) for fold in options.folds}
    before = _right(models, options.data)
    print("| way | jitter, m/s² | bones vary by, % | accuracy | won | lost |")
    print(6 * "|---" + "|", flush=True)
    for number, (way, settings) in enumerate(WAYS.items()):
        done = options.out / f"{options.data.stem}.{way.replace(', ', '-').replace(' ', '_')}.h5"
        if not done.exists():
            refine.run(RefineConfig(data=options.data, out=done, **settings), resume=True)
        told = json.loads(done.with_name(f"{done.name}.run.json").read_text())["report"]
        if not number:
            _print("as it came", told, "before", before, before)
        _print(way, told, "after", before, _right(models, done))


def _print(
    way: str,
    told: Mapping[str, Any],
    side: str,
    before: Mapping[str, bool],
    after: Mapping[str, bool],
) -> None:
    """A line of the table."""
    then, now = (np.array([own[name] for name in before]) for own in (before, after))
    jitter, bones = told["jitter"][side], told["bone_length_variation"][side]
    won, lost = int((now & ~then).sum()), int((then & ~now).sum())
    cells = (f"{jitter:.1f}", f"{100 * bones:.1f}", f"{100 * now.mean():.1f}", won, lost)
    print(f"| {way} | {' | '.join(map(str, cells))} |", flush=True)


def _trained(options: argparse.Namespace, fold: str) -> Path:
    """The run of a recognizer that has not met a fold."""
    out: Path = options.out / f"{options.data.stem}-{fold.replace('=', '-')}"
    key = fold.partition("=")[0]
    others = ",".join(one.partition("=")[2] for one in options.folds if one != fold)
    config = resolve(
        TrainRecognizerConfig,
        train_recognizer.PRESETS,
        overrides=[f"optimisation.steps={options.steps}"],
        flags={"data": options.data, "out": out, "split": f"{key}={others}", "test": fold},
    )
    train_recognizer.run(config, resume=True)
    return out


def _right(models: Mapping[str, Path], data: Path) -> dict[str, bool]:
    """Whether each clip of each fold is named rightly by the recognizer that has not met it."""
    found = {}
    for fold, model in models.items():
        with tempfile.TemporaryDirectory() as folder, SequenceFile(data) as file:
            tested = Path(folder) / "tested.h5"
            rows = selected(file, fold).nonzero()[0].tolist()
            schema = Schema(file.layout, file.classes, file.persons, file.channels)
            write_sequences(tested, (file[row] for row in rows), schema, provenance=[])
            told = predict.run(PredictConfig(data=tested, models=(str(model),)))
        found |= {one["name"]: one["label"] == one["truth"] for one in told.predictions or ()}
    return found


if __name__ == "__main__":
    main()
