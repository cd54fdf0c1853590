"""Zero-shot recognition on UTD-MHAD and NW-UCLA, in the form of FDSM's tables (Zhou et al. 2026).

    python pipelines/table_zeroshot.py utd.h5 ucla.h5 --out runs/zeroshot
    python pipelines/table_zeroshot.py utd.h5 ucla.h5 --out runs/zeroshot --variants ablation
    python pipelines/table_zeroshot.py utd.h5 ucla.h5 --out runs/zeroshot --variants modes

For each published split of a file's classes, accuracy in % among the unseen classes of the test
performers, and of "main" also the harmonic mean of seen and unseen accuracy among all classes: mean
over initialisations with a 95 % interval. The rivals learn from the same features and texts as the
first variant, with the same seeds. Runs of a split share the encoder of its first one. All variants
make the same number of steps, TDSM's with two texts each, but for "prior alone", which makes one.
The last lines are means over splits; of their differences, paired by split, the interval is that
over splits. A split is called by how many classes are seen and unseen, so chance is 1 of its second
number. What is finished is not done twice.

All models learn from all seen classes. Those of "main" are calibrated by a model from which some
were held out; those of the other tables are not, which changes nothing among the unseen classes,
but for "held out", which has no second model, and its weights chosen by these classes.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skelaug.metrics.intervals import interval_of
from skelaug.workflows import train_zeroshot
from skelaug.workflows.run_directory import resolve
from skelaug.workflows.train_zeroshot import TrainZeroshotConfig

SPLITS: Mapping[str, Sequence[str]] = {
    "utd": ("purls/utd-mhad/22-5", "purls/utd-mhad/18-9", "purls/utd-mhad/14-13"),
    "ucla": ("purls/nw-ucla/8-2", "purls/nw-ucla/5-5"),
}
RIVALS = ("ridge", "alignment")
UNSEEN, HARMONIC = "unseen_accuracy", "gzsl_harmonic_mean"
FIRST = "fdsm-0"
ALONE = ("validation_classes=0", "rival_steps=0")  # nothing to calibrate, and no rivals
SHIFT_GCN = (
    "recognizer.model.name=shift-gcn",
    "recognizer.model.arguments={width: 16}",
    "recognizer.optimisation.steps=500",
)
AS_PUBLISHED = (
    *("words=true", "curriculum=cosine", "ask=sparse", "prior=none"),
    *("error_step=25", "spectral=stream"),
)
VARIANTS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "main": {"FDSM": (), "TDSM": ("method=tdsm", "rival_steps=0")},
    "ablation": {
        "FDSM": ("validation_classes=0",),
        "wo SG-SRM": ("spectral=none", *ALONE),
        "SG-SRM on the stream": ("spectral=stream", *ALONE),
        "wo spectral loss": ("spectral_loss.weight=0", *ALONE),
        "wo both": ("spectral=none", "spectral_loss.weight=0", *ALONE),
        "cosine curriculum": ("curriculum=cosine", *ALONE),
        "wo curriculum": ("curriculum=none", *ALONE),
        "asked with sparse texts": ("ask=sparse", *ALONE),
        "features on one scale": ("standardise=scale", *ALONE),
        "held out": ("refit=false", "rival_steps=0"),
        "wo prior": ("prior=none", *ALONE),
        "prior alone": ("optimisation.steps=1", *ALONE),
        "as published": (*AS_PUBLISHED, *ALONE),
    },
    "modes": {
        "kinematics, channel": ("validation_classes=0",),
        "kinematics, temporal": ("mode=temporal", *ALONE),
        "Shift-GCN, channel": (*SHIFT_GCN, *ALONE),
        "Shift-GCN, temporal": (*SHIFT_GCN, "mode=temporal", *ALONE),
    },
}


def main() -> None:
    """Train what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("utd", type=Path)
    parser.add_argument("ucla", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--variants", choices=[*VARIANTS], default="main")
    names = [name for own in SPLITS.values() for name in own]
    parser.add_argument("--splits", nargs="*", choices=names, default=names, help="some alone")
    parser.add_argument("--seeds", type=int, default=10)
    options = parser.parse_args()
    variants = VARIANTS[options.variants]
    measures = (UNSEEN, HARMONIC) if options.variants == "main" else (UNSEEN,)
    print(f"| split | measure | {' | '.join([*variants, *RIVALS])} |")
    print((len(variants) + len(RIVALS) + 2) * "|---" + "|", flush=True)
    found = []
    for key, splits in SPLITS.items():
        for split in splits:
            if split not in options.splits:
                continue
            data = getattr(options, key)
            found.append(_found(options, data, split, variants, measures))
            for measure in measures:
                _print(split, measure, found[-1][measure])
    reference = next(iter(variants))
    for measure in measures:
        means = {
            name: np.mean([one[measure][name] for one in found], axis=0)
            for name in found[0][measure]
        }
        _print("mean of splits", measure, means)
        less = {
            name: [np.mean(one[measure][reference] - one[measure][name]) for one in found]
            for name in means
        }
        _print(f"{reference} less the other", measure, less)


def _print(split: str, measure: str, found: Mapping[str, ArrayLike]) -> None:
    """A line of the table: means with their 95 % intervals."""
    told = [interval_of(np.asarray(own)) for own in found.values()]
    cells = " | ".join(f"{own.mean:.1f} ± {own.half_width:.1f}" for own in told)
    print(f"| {split} | {measure.replace('_', ' ')} | {cells} |", flush=True)


def _found(
    options: argparse.Namespace,
    data: Path,
    split: str,
    variants: Mapping[str, Sequence[str]],
    measures: Sequence[str],
) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Measures in % by seed, of variants and rivals."""
    runs = {
        name: [_scores(options, data, split, settings, seed) for seed in range(options.seeds)]
        for name, settings in variants.items()
    }
    first = next(iter(runs.values()))
    runs |= {rival: [one[rival] for one in first] for rival in RIVALS}
    return {
        measure: {name: 100 * np.array([one[measure] for one in own]) for name, own in runs.items()}
        for measure in measures
    }


def _scores(
    options: argparse.Namespace, data: Path, split: str, settings: Sequence[str], seed: int
) -> dict[str, Any]:
    run = _trained(options, data, split, settings, seed)
    return dict(json.loads((run / "scores.json").read_text()))


def _trained(
    options: argparse.Namespace, data: Path, split: str, settings: Sequence[str], seed: int
) -> Path:
    """The run of a model; all of a split and of a kind of encoder share the first one's encoder."""
    shared = tuple(one for one in settings if one.startswith("recognizer"))
    own = [one for one in settings if one not in (*shared, "rival_steps=0")]
    folder = options.out / split.replace("/", "-") / ("shift-gcn" if shared else "kinematics")
    name = "-".join(["fdsm", *(one.replace("=", "-") for one in own), str(seed)])
    overrides = [*settings, f"classes={split}"]
    if name != FIRST:
        overrides.append(f"encoder={_trained(options, data, split, shared, 0) / 'encoder'}")
    config = resolve(
        TrainZeroshotConfig,
        train_zeroshot.PRESETS,
        overrides=overrides,
        flags={"data": data, "out": folder / name, "split": "official", "seed": seed},
    )
    train_zeroshot.run(config, resume=True)
    return config.out


if __name__ == "__main__":
    main()
