"""Whether SG-SRM and TASL bring back fast motion: FID and high-band energy at equal steps.

    python pipelines/table_spectral.py utd.h5 --out runs/spectral-utd --seeds 3
    python pipelines/table_spectral.py ucla.h5 --out runs/spectral-ucla --network unet --steps 1200

Each model learns from the training part and draws the same number of clips of each class, which
recognizers that are trained once score. "High band" is the energy from a quarter of the frequencies
on, over that of real training clips: 1 is right. Of several seeds the mean is given with its 95 %
interval, of one its own number. The spectra lie beside the models. What is finished is not done
twice.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from skelaug.checkpoint import load_checkpoint
from skelaug.metrics.intervals import interval_of
from skelaug.models import DENOISERS
from skelaug.workflows import evaluate, synthesize, train_diffusion
from skelaug.workflows.evaluation_report import EvaluationReport
from skelaug.workflows.run_directory import MODEL, resolve
from skelaug.workflows.synthesis_report import SynthesizeConfig


def main() -> None:
    """Train what is missing, draw, score, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--split", default="official")
    parser.add_argument("--network", default="frame-transformer", choices=list(DENOISERS))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--steps", type=int, default=None, help="of every training")
    parser.add_argument("--weight", type=float, default=1.0, help="of the spectral loss")
    parser.add_argument("--reduction", default="mean", choices=["mean", "sum"])
    parser.add_argument("--per-class", type=int, default=20)
    parser.add_argument("--set", nargs="*", default=[], help="further settings of the trainings")
    options = parser.parse_args()
    gain = ["model.arguments.spectral=attention"]
    loss = [
        f"spectral_loss.weight={options.weight}",
        f"spectral_loss.reduction={options.reduction}",
    ]
    arms = {"none": [], "SG-SRM": gain, "TASL": loss, "SG-SRM and TASL": [*gain, *loss]}
    print(f"| {options.data.stem}, {options.network} | FID | accuracy, % | high band | m/s² |")
    print("|---|---|---|---|---|")
    for number, (name, settings) in enumerate(arms.items()):
        reports = [_report(options, name, settings, seed) for seed in range(options.seeds)]
        if number == 0:
            _print("real", reports[:1], "real")
            if reports[0].clips.held_out:
                _print("real, held-out", reports[:1], "held_out")
        _print(name, reports, "synthetic")


def _report(
    options: argparse.Namespace, name: str, settings: Sequence[str], seed: int
) -> EvaluationReport:
    """The scores of one model, trained now or before."""
    run = options.out / f"{name.lower().replace(' ', '-')}-{seed}"
    scores = run.with_suffix(".json")
    if scores.exists():
        return EvaluationReport.model_validate_json(scores.read_text())
    steps = [f"optimisation.steps={options.steps}"] if options.steps else []
    config = resolve(
        train_diffusion.TrainDiffusionConfig,
        train_diffusion.PRESETS,
        overrides=[f"model.name={options.network}", *steps, *settings, *options.set],
        flags={"data": options.data, "out": run, "split": options.split, "seed": seed},
    )
    train_diffusion.run(config, resume=True)
    clips = run.with_suffix(".h5")
    labels = load_checkpoint(run / MODEL).classes
    synthesize.run(
        SynthesizeConfig(model=str(run), out=clips, labels=labels, n=options.per_class, seed=seed),
        force=True,
    )
    panel = options.out / "recognizers.safetensors"
    report = evaluate.run(
        evaluate.EvaluateConfig(
            real=options.data,
            synthetic=clips,
            split=options.split,
            network=str(panel) if panel.exists() else None,
            save_network=None if panel.exists() else panel,
            spectrum=run.with_suffix(".png"),
        ),
        force=True,
    )
    scores.write_text(report.model_dump_json())
    return report


def _print(name: str, reports: Sequence[EvaluationReport], side: str) -> None:
    """One row: the mean of each score over the models."""
    rows = []
    for report in reports:
        energy = report.spectrum.high_band
        shown = (report.fid, report.accuracy, energy, report.acceleration_m_s2)
        fid, accuracy, high, acceleration = (getattr(score, side).mean for score in shown)
        rows.append((fid, 100 * accuracy, high / energy.real.mean, acceleration))
    cells = [_cell(column) for column in zip(*rows, strict=True)]
    print(f"| {name} | {' | '.join(cells)} |", flush=True)


def _cell(values: Sequence[float]) -> str:
    found = interval_of(values)
    return f"{found.mean:.3g}" + (f" ± {found.half_width:.2g}" if len(values) > 1 else "")


if __name__ == "__main__":
    main()
