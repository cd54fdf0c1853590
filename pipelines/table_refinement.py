"""Tables I and III of Yan et al. 2024 on HumanEva: what refining a lifter's poses is worth.

    python pipelines/table_refinement.py humaneva.h5 --out runs/refiner
    python pipelines/table_refinement.py humaneva.h5 --out runs/refiner --frames 27 --ablation
    python pipelines/table_refinement.py humaneva.h5 --out runs/refiner --frames 27 --cross-fitted

Lifters learn from exact 2D poses and from ones with a detector's errors, in equal parts, and lift
either kind. Refiners learn the errors on the lifter's own training clips, or with --cross-fitted
those of lifters that do not know the performer. Refined and rivals are scored on the Validate part
alone: MPJPE and P-MPJPE in mm, mean over actions; of refiners, mean over seeds with a 95 %
interval. What is finished is not done twice.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from skelaug.metrics.intervals import interval_of
from skelaug.refinement.filters import FILTERS
from skelaug.workflows import lift, train_lifter, train_refiner
from skelaug.workflows.lift_report import LiftConfig
from skelaug.workflows.run_directory import resolve
from skelaug.workflows.train_lifter import TrainLifterConfig
from skelaug.workflows.train_refiner import TrainRefinerConfig

METRICS = ("mpjpe", "p_mpjpe")
FRAMES_PER_LIFTER_UPDATE, FRAMES_PER_REFINER_UPDATE = 27 * 32, 27 * 24
SUBJECTS = (1, 2, 3)  # of HumanEva, with motion capture in the Train part
VARIANTS: Mapping[str, Sequence[str]] = {
    "full": (),
    "wo diffusion": ("diffusion=false",),
    "wo CND": ("noise=identity",),
}


def main() -> None:
    """Train what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--lifters", nargs="+", default=["stcformer", "mixste"])
    parser.add_argument("--frames", type=int, nargs="+", default=[27, 81])
    parser.add_argument("--keypoints", nargs="+", default=["exact", "noisy"])
    parser.add_argument("--seeds", type=int, default=3, help="of the refiner")
    parser.add_argument("--lifter-steps", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=150, help="of the refiner")
    parser.add_argument("--ablation", action="store_true", help="Table III too")
    parser.add_argument("--cross-fitted", action="store_true")
    options = parser.parse_args()
    head = ("lifter", "frames", "2D", "metric, mm", "lifted", "best filter", "linear corrector")
    variants = list(VARIANTS) if options.ablation else ["full"]
    print(f"| {' | '.join([*head, *variants, 'change'])} |")
    print((len(head) + len(variants) + 1) * "|---" + "|", flush=True)
    for name in options.lifters:
        for frames in options.frames:
            for kind in options.keypoints:
                for line in _rows(options, name, frames, kind, variants):
                    print(line, flush=True)


def _rows(
    options: argparse.Namespace, name: str, frames: int, kind: str, variants: Sequence[str]
) -> list[str]:
    """A line for each metric."""
    noisy = _lifted(options, name, frames, kind)
    found = {
        variant: [
            _refined(options, noisy, frames, variant, seed)["methods"]
            for seed in range(options.seeds)
        ]
        for variant in variants
    }
    methods, lines = found["full"][0], []
    for metric in METRICS:
        before = methods["noisy"][metric]
        best = min(FILTERS, key=lambda one: methods[one][metric])
        cells = [name, str(frames), kind, metric.replace("_", "-").upper(), f"{before:.1f}"]
        cells += [f"{methods[best][metric]:.1f} ({best})"]
        cells += [f"{methods['linear-corrector'][metric]:.1f}"]
        for variant in variants:
            own = interval_of([_own(one, variant)[metric] for one in found[variant]])
            cells.append(f"{own.mean:.1f} ± {own.half_width:.1f}")
        change = interval_of(
            [100 * (_own(one, "full")[metric] / before - 1) for one in found["full"]]
        )
        cells.append(f"{change.mean:+.1f} ± {change.half_width:.1f} %")
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _own(methods: Mapping[str, Any], variant: str) -> Mapping[str, float]:
    """Of the refiner itself, with the K that it was trained for: 2, or 1 without diffusion."""
    steps = 1 if variant == "wo diffusion" else 2
    found: Mapping[str, float] = methods[f"diffusion, K = {steps}"]
    return found


def _lifter(options: argparse.Namespace, name: str, frames: int, split: str, folder: str) -> Path:
    """A trained lifter."""
    settings = [
        f"model.name={name}",
        f"windows.frames={frames}",
        f"windows.hop={frames // 3}",
        "keypoint_noise.share=0.5",
        f"optimisation.steps={options.lifter_steps}",
        f"optimisation.batch={round(FRAMES_PER_LIFTER_UPDATE / frames)}",
    ]
    if name == "stcformer" and frames > 27:
        settings.append("model.arguments.downsampling=3")
    config = resolve(
        TrainLifterConfig,
        train_lifter.PRESETS,
        overrides=settings,
        flags={"data": options.data, "out": options.out / folder, "split": split},
    )
    train_lifter.run(config, resume=True)
    return config.out


def _lifted(options: argparse.Namespace, name: str, frames: int, kind: str) -> Path:
    """All clips as the lifter sees them."""
    model = _lifter(options, name, frames, "official", f"{name}-{frames}")
    folds = []
    if options.cross_fitted:
        for subject in SUBJECTS:
            others = ",".join(str(other) for other in SUBJECTS if other != subject)
            rule = f"official and subject={others}"
            folds.append(_lifter(options, name, frames, rule, f"{name}-{frames}-not{subject}"))
    path = options.out / f"{name}-{frames}-{kind}{'-folds' if folds else ''}.h5"
    if not path.exists():
        config = LiftConfig(
            data=options.data,
            out=path,
            model=str(model),
            folds=tuple(str(fold) for fold in folds),
            keypoint_noise={"share": float(kind == "noisy")},
        )
        lift.run(config, resume=True)
    return path


def _refined(options: argparse.Namespace, noisy: Path, frames: int, variant: str, seed: int) -> Any:
    """What a refiner scores on the Validate part, beside its rivals."""
    settings = [
        f"frames={frames}",
        f"hop={frames // 3}",
        f"optimisation.steps={options.steps}",
        f"optimisation.batch={round(FRAMES_PER_REFINER_UPDATE / frames)}",
        "mirror=0",  # the same three cameras film the same people in both parts
        *VARIANTS[variant],
    ]
    config = resolve(
        TrainRefinerConfig,
        train_refiner.PRESETS,
        overrides=settings,
        flags={
            "data": options.data,
            "out": options.out / f"{noisy.stem}-{variant.replace(' ', '-')}-{seed}",
            "split": "official",
            "noisy": noisy,
            "seed": seed,
        },
    )
    train_refiner.run(config, resume=True)
    return json.loads((config.out / "scores.json").read_text())


if __name__ == "__main__":
    main()
