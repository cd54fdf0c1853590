"""Put a trained model of motion into a packaged model as float16 and its measures into the card.

All measures are those of the packed file.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from skelaug.files import write_text
from skelaug.workflows.completion_report import measure_completion
from skelaug.workflows.imputation_report import ImputeConfig
from skelaug.workflows.packed_prior import pack_prior

TITLE = "## Model of motion"
SECTION = """{title}

Used by `skelaug impute` and `skelaug score` by default.

- network: {kind} (Bourached et al. 2022), {parameters:,} weights, {steps:,} steps of {batch}
  windows of {frames} frames at {fps:g} per second
- data: HDM05 (as above) and 96 clips of the CMU Graphics Lab Motion Capture Database
  (mocap.cs.cmu.edu; created with funding from NSF EIA-0196217; free for use, the data itself may
  not be resold), joints mapped to {layout}
- licence of the weights: {licence}
- training part: {clips} clips, rule `{rule}`
- made by: `./pipelines/train_packaged_hgvae.sh HDM05.tar.xz cmu_mocap8.npz`, skelaug {version}
- log-density of the training clips: {mean:.0f} ± {std:.0f} nats
- what it cannot do: joints of other layouts; objects, floors and other people; motions far from
  those of the two data sets. Windows of performers it has not seen, occluded and completed:

{table}
"""


def main() -> None:
    """Read RUN/model.safetensors and its DATA; write OUT/hgvae.safetensors and OUT/card.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="what RUN was trained on")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--clips", type=int, help="of the test part, for the tables")
    options = parser.parse_args()
    packed = options.out / "hgvae.safetensors"
    model = pack_prior(options.run, options.data, packed)
    meta, rule, typicality = model.meta, model.meta["split"]["rule"], model.meta["typicality"]
    config = ImputeConfig(data=options.data, out=Path("none"), models=(str(packed),))
    tables = measure_completion(config, split=rule, most=options.clips)
    section = SECTION.format(
        title=TITLE,
        kind=model.kind,
        parameters=meta["parameters"],
        steps=meta["steps"],
        batch=meta["batch"],
        frames=meta["windows"]["frames"],
        fps=meta["windows"]["fps"],
        layout=model.layout.name,
        licence=meta["licence"],
        clips=sum(meta["clips"].values()) + meta["unlabelled"],
        rule=rule,
        version=meta["version"],
        **typicality["joint"],
        table="\n\n".join(tables.split("\n\n")[:3]),  # which clips, and two of four tables
    )
    card = options.out / "card.md"
    text = card.read_text(encoding="utf-8") if card.exists() else f"# {options.out.name}\n"
    write_text(card, _without(text).rstrip() + "\n\n" + section)


def _without(text: str) -> str:
    """The card without the section of this script."""
    before, title, section = text.partition(f"\n{TITLE}\n")
    _, heading, after = section.partition("\n## ") if title else ("", "", "")
    return before + heading + after


if __name__ == "__main__":
    main()
