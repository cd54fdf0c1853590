"""A description of a trained model for people, from what its checkpoint says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skelaug.checkpoint import Checkpoint
from skelaug.imputation.typicality import DENSITIES

__all__ = ["card"]


def card(checkpoint: Checkpoint, scores: Mapping[str, Any] | None = None) -> str:
    """The model card of a trained network as Markdown, with what it was found to be worth."""
    meta = checkpoint.meta
    counts = meta["clips"]
    subjects = ", ".join(str(subject) for subject in meta["subjects"]) or "unknown"
    found = [
        f"- test {name.replace('_', ' ')}: {value:.4g}"
        if isinstance(value, float)
        else f"- test {name.replace('_', ' ')}: {value}"
        for name, value in (scores or {}).items()
        if isinstance(value, int | float)
    ]
    if "typicality" in meta:
        told = meta["typicality"]
        found += [
            f"- log-{by} of {told['clips']} training clips: {told[by]['mean']:.1f} with a standard "
            f"deviation of {told[by]['std']:.1f} nats"
            for by in DENSITIES
        ]
    article = "An" if meta["what"][0] in "aeiou" else "A"
    classes, unlabelled = sum(n > 0 for n in counts.values()), meta.get("unlabelled", 0)
    subject = f"{classes} actions" if classes else "clips without labels"
    lines = [
        f"# {article} {meta['what']} model of {subject}",
        "",
        f"- network: {checkpoint.kind}, {meta['parameters']:,} weights",
        f"- joints: {checkpoint.layout.num_joints} ({checkpoint.layout.name})",
        f"- data: {meta['data']['name']}, SHA-256 {meta['data']['sha256']}",
        f"- training part: {sum(counts.values()) + unlabelled} clips, "
        f"rule {meta['split']['rule'] or 'all'!r}, subjects {subjects}",
        f"- training: {meta['steps']:,} steps of {meta['batch']}, seed {meta['seed']}; "
        f"weights of step {meta['step']:,}",
        f"- made by: skelaug {meta['version']}",
        f"- licence of the data: {meta['licence'] or 'not stated; ask whoever recorded it'}",
        *found,
        "",
        "```",
        f"skelaug train {meta['what']} {meta['data']['name']} --out RUN --config config.yaml",
        "```",
        "",
        "| action | clips |",
        "|---|---|",
        *(f"| {name} | {count} |" for name, count in counts.items()),
    ]
    return "\n".join(lines) + "\n"
