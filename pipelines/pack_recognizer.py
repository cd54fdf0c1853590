"""Put a trained recognizer into a packaged model as float16 and its scores into the card."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

from skelaug.checkpoint import load_checkpoint, save_checkpoint
from skelaug.files import write_text

TITLE = "## Recognizer"
SECTION = """{title}

Used by `skelaug predict` by default, and by `skelaug train recognizer --init-from {name}` as a
start for a few clips of one's own.

- network: {kind}, {parameters:,} weights, {steps:,} steps of {batch} clips
- data: as above, and 96 clips of the CMU Graphics Lab Motion Capture Database (mocap.cs.cmu.edu;
  created with funding from NSF EIA-0196217; free for use, the data itself may not be resold)
- licence of the weights: {licence}
- training part: {clips} clips of {classes} actions, rule `{rule}`
- made by: `./pipelines/train_packaged_recognizer.sh UTD_MHAD.tar.xz HDM05.tar.xz cmu_mocap8.npz`,
  skelaug {version}
- on the {tested} clips of the performers it has not seen: accuracy {accuracy:.3f} (always naming
  the most frequent action: {chance:.3f})
- what it cannot do: actions other than its {classes}; more than one person; joints of other
  layouts. CMU clips begin with a frame of rest pose, and their performers are unknown.

| action | clips | test accuracy |
|---|---|---|
{rows}
"""


def main() -> None:
    """Read RUN/model.safetensors and RUN/scores.json; write OUT/recognizer.safetensors."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    model = load_checkpoint(options.run / "model.safetensors", expect="recognizer")
    scores = json.loads((options.run / "scores.json").read_text())
    found = {"accuracy": scores["accuracy"], "chance": scores["chance"]}
    packed = replace(model, meta={**model.meta, "scores": found})
    save_checkpoint(options.out / "recognizer.safetensors", packed, half=True)
    meta = model.meta
    section = SECTION.format(
        title=TITLE,
        name=options.out.name,
        kind=model.kind,
        parameters=meta["parameters"],
        steps=meta["steps"],
        batch=meta["batch"],
        licence=meta["licence"],
        clips=sum(meta["clips"].values()),
        classes=sum(count > 0 for count in meta["clips"].values()),
        rule=meta["split"]["rule"],
        version=meta["version"],
        tested=scores["clips"],
        accuracy=scores["accuracy"],
        chance=scores["chance"],
        rows="\n".join(
            f"| {name} | {count} | {_share(scores['classes'].get(name))} |"
            for name, count in meta["clips"].items()
        ),
    )
    card = options.out / "card.md"
    text = card.read_text(encoding="utf-8") if card.exists() else f"# {options.out.name}\n"
    write_text(card, _without(text).rstrip() + "\n\n" + section)


def _without(text: str) -> str:
    """The card without the section of this script."""
    before, title, section = text.partition(f"\n{TITLE}\n")
    _, heading, after = section.partition("\n## ") if title else ("", "", "")
    return before + heading + after


def _share(accuracy: float | None) -> str:
    return "–" if accuracy is None else f"{accuracy:.2f}"


if __name__ == "__main__":
    main()
