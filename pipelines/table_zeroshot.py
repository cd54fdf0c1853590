"""Zero-shot recognition on UTD-MHAD and NW-UCLA, in the form of FDSM's tables (Zhou et al. 2026).

    python pipelines/table_zeroshot.py utd.h5 ucla.h5 --out runs/zeroshot
    python pipelines/table_zeroshot.py utd.h5 ucla.h5 --out runs/zeroshot --variants every-class
    python pipelines/table_zeroshot.py utd.h5 ucla.h5 --out runs/zeroshot --variants ablation
    python pipelines/table_zeroshot.py utd.h5 ucla.h5 --out runs/zeroshot --variants modes

For each published split of a file's classes, accuracy in % among the unseen classes of the test
performers with the weights that held-out seen classes chose, the same at the last step, and the
harmonic mean of seen and unseen accuracy among all classes. Of trained models mean over seeds with
a 95 % interval, each the mean of ten draws of the noises (at the last step one); of the rivals,
which learn from the same features and texts, mean over the same seeds. Runs of a split share the
encoder of its first one. All variants make the same number of steps, TDSM's with two texts each,
but for "prior alone", which makes one. With "every-class" none is held out, and everyone learns
from all seen classes. The last lines are means over splits; of their differences, paired by split,
the interval is that over splits. A split is called by how many classes are seen and unseen, so
chance is 1 of its second number. What is finished is not done twice.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skelaug.metrics.intervals import interval_of
from skelaug.workflows import train_zeroshot, zeroshot_eval
from skelaug.workflows.run_directory import resolve
from skelaug.workflows.train_zeroshot import TrainZeroshotConfig
from skelaug.workflows.zeroshot_eval import ZeroshotEvalConfig

SPLITS: Mapping[str, Sequence[str]] = {
    "utd": ("purls/utd-mhad/22-5", "purls/utd-mhad/18-9", "purls/utd-mhad/14-13"),
    "ucla": ("purls/nw-ucla/8-2", "purls/nw-ucla/5-5"),
}
RIVALS = ("ridge", "alignment")
LAST, FIRST = "unseen_accuracy, last step", "fdsm-0"
MEASURES = ("unseen_accuracy", LAST, "gzsl_harmonic_mean")
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
    "main": {"TDSM": ("method=tdsm",), "FDSM": ()},
    "every-class": {
        "TDSM": ("method=tdsm", "validation_classes=0"),
        "FDSM": ("validation_classes=0",),
    },
    "ablation": {
        "FDSM": (),
        "wo SG-SRM": ("spectral=none",),
        "SG-SRM on the stream": ("spectral=stream",),
        "wo spectral loss": ("spectral_loss.weight=0",),
        "wo both": ("spectral=none", "spectral_loss.weight=0"),
        "cosine curriculum": ("curriculum=cosine",),
        "wo curriculum": ("curriculum=none",),
        "asked with sparse texts": ("ask=sparse",),
        "wo prior": ("prior=none",),
        "prior alone": ("optimisation.steps=1",),
        "as published": AS_PUBLISHED,
    },
    "modes": {
        "kinematics, channel": (),
        "kinematics, temporal": ("mode=temporal",),
        "Shift-GCN, channel": SHIFT_GCN,
        "Shift-GCN, temporal": (*SHIFT_GCN, "mode=temporal"),
    },
}


def main() -> None:
    """Train what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("utd", type=Path)
    parser.add_argument("ucla", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--variants", choices=[*VARIANTS], default="main")
    parser.add_argument("--splits", nargs="*", default=[], help="some alone; all by default")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--draws", type=int, default=10, help="of the noises")
    options = parser.parse_args()
    variants = VARIANTS[options.variants]
    print(f"| split | measure | {' | '.join([*variants, *RIVALS])} |")
    print((len(variants) + len(RIVALS) + 2) * "|---" + "|", flush=True)
    found = []
    for key, splits in SPLITS.items():
        for split in splits:
            if options.splits and split not in options.splits:
                continue
            found.append(_found(options, getattr(options, key), split, variants))
            for measure in MEASURES:
                _print(split, measure, found[-1][measure])
    reference = "FDSM" if "FDSM" in variants else next(iter(variants))
    for measure in MEASURES:
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
    options: argparse.Namespace, data: Path, split: str, variants: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Measures in % by seed, of variants and rivals."""
    found = {
        name: [_scores(options, data, split, settings, seed) for seed in range(options.seeds)]
        for name, settings in variants.items()
    }
    first = next(iter(found.values()))
    own = {
        **{name: [one["own"] for one in runs] for name, runs in found.items()},
        **{name: [one[name] for one in first] for name in RIVALS},
    }
    return {
        measure: {
            name: 100 * np.array([one[measure] for one in runs]) for name, runs in own.items()
        }
        for measure in MEASURES
    }


def _scores(
    options: argparse.Namespace, data: Path, split: str, settings: Sequence[str], seed: int
) -> dict[str, dict[str, float]]:
    """Measures of a trained model (``own``) and of its rivals."""
    run = _trained(options, data, split, settings, seed)
    told = zeroshot_eval.run(ZeroshotEvalConfig(data=data, model=str(run), draws=options.draws))
    last = json.loads((run / "scores.json").read_text())["last_step"]["unseen_accuracy"]
    scores: dict[str, dict[str, float]] = {"own": {LAST: last}}
    for one in told.scores:
        method = one.method if one.method in RIVALS else "own"
        scores.setdefault(method, {})[one.measure] = one.mean
    for rival in RIVALS:
        scores[rival][LAST] = scores[rival]["unseen_accuracy"]
    return scores


def _trained(
    options: argparse.Namespace, data: Path, split: str, settings: Sequence[str], seed: int
) -> Path:
    """The run of a model; all of a split and of a kind of encoder share the first one's encoder."""
    shared = tuple(one for one in settings if one.startswith("recognizer"))
    own = [one for one in settings if one not in shared]
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
