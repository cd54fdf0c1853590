"""Put a trained model, its guide and its recognizers into skelaug/zoo with a card, as float16."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

from skelaug.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from skelaug.files import write_text

CARD = """# {name}: labelled Kinect-style clips of {classes} actions

Draws clips of one person in the joints of `kinect_20`. Used by `skelaug synth` by default.

- data: UTD-MHAD (C. Chen, R. Jafari, N. Kehtarnavaz, "UTD-MHAD: A Multimodal Dataset for Human
  Action Recognition Utilizing a Depth Camera and a Wearable Inertial Sensor", ICIP 2015; freely
  available, public domain) and a cut of HDM05 (M. Mueller, T. Roeder, M. Clausen, B. Eberhardt,
  B. Krueger, A. Weber, "Documentation: Mocap Database HDM05", 2007; CC BY-SA 3.0). The data used
  in this project was obtained from HDM05.
- licence of the weights: {licence}
- training part: {clips} clips, rule `{rule}`; the other subjects were never seen
- diffusion: {diffusion}, {steps} steps of {batch} clips; guide: {guide}; recognizers: GRU
- made by: `./pipelines/train_packaged.sh UTD_MHAD.tar.xz HDM05.tar.xz`, skelaug {version}
- what it cannot do: subjects, bodies and styles other than those of seven performers; more than
  one person; joints of other layouts

## Scores

By `skelaug eval` on {synthetic} synthetic clips with the label mix of the data. "real" is one
half of the training part against the other: what a perfect generator would have. "held out" are
clips of the subjects that were never seen. Mean of {draws} draws and 95 % half-width.

| | synthetic | real | held out |
|---|---|---|---|
{rows}

Clips nearer to a training clip than 95 % of the training clips are to their nearest other one:
see `copies` in `skelaug eval --json`; `skelaug synth --no-copies` draws them again.
"""
NAMES = ("fid", "accuracy", "diversity", "action_diversity", "bone_length_variation")
NAMES += ("velocity_mm", "acceleration_mm", "nearest_median_mm", "nearest_p05_mm")


def main() -> None:
    """Read RUN/{diffusion,guide} and RUN/{evaluator.safetensors,scores.json}; write OUT."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sampling", type=json.loads, default={}, help="recipe, over the run's")
    options = parser.parse_args()
    scores = json.loads((options.run / "scores.json").read_text())
    parts: dict[str, Checkpoint] = {
        "diffusion": load_checkpoint(options.run / "diffusion" / "model.safetensors"),
        "guide": load_checkpoint(options.run / "guide" / "model.safetensors"),
        "evaluator": load_checkpoint(options.run / "evaluator.safetensors"),
        "sketch": load_checkpoint(options.run / "diffusion" / "sketch.safetensors"),
    }
    licence = parts["diffusion"].meta["licence"]
    kept = {name: scores[name]["synthetic"]["mean"] for name in NAMES}
    for role, part in parts.items():
        meta = {**part.meta, "licence": licence}
        if role == "diffusion":
            meta["scores"] = kept
            meta["sampling"] = {**meta["sampling"], **options.sampling}
        save_checkpoint(options.out / f"{role}.safetensors", replace(part, meta=meta), half=True)
    card = options.out / "card.md"
    before = card.read_text(encoding="utf-8") if card.exists() else ""
    _, title, recognizer = before.partition("\n## Recognizer\n")  # the other script writes that
    write_text(card, _card(options.out.name, parts, scores) + title + recognizer)


def _card(name: str, parts: dict[str, Checkpoint], scores: dict) -> str:
    meta = parts["diffusion"].meta
    cells = [
        " | ".join(
            f"{one['mean']:.3f} ± {one['half_width']:.3f}" if one else "–"
            for one in (scores[key][side] for side in ("synthetic", "real", "held_out"))
        )
        for key in NAMES
    ]
    return CARD.format(
        name=name,
        classes=len(parts["diffusion"].classes),
        licence=meta["licence"],
        clips=sum(meta["clips"].values()),
        rule=meta["split"]["rule"],
        diffusion=parts["diffusion"].kind,
        guide=parts["guide"].kind,
        steps=meta["steps"],
        batch=meta["batch"],
        version=meta["version"],
        synthetic=scores["clips"]["synthetic"],
        draws=scores["draws"],
        rows="\n".join(
            f"| {key.replace('_', ' ')} | {row} |" for key, row in zip(NAMES, cells, strict=True)
        ),
    )


if __name__ == "__main__":
    main()
