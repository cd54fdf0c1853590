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
        *_by_action((scores or {}).get("actions", {})),
        *_methods((scores or {}).get("methods", {})),
    ]
    return "\n".join(lines) + "\n"


def _by_action(scores: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A table of what the test clips of each action scored; nothing where none did."""
    if not scores:
        return []
    columns = [*next(iter(scores.values()))]
    return [
        "",
        f"| test clips of | {' | '.join(column.replace('_', ' ') for column in columns)} |",
        f"|---|{'---|' * len(columns)}",
        *(
            f"| {name} | {' | '.join(f'{own[column]:.4g}' for column in columns)} |"
            for name, own in scores.items()
        ),
    ]


def _methods(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A table of what methods do on the test part; nothing where none was compared."""
    if not found:
        return []
    actions = list(next(iter(found.values()))["actions"])
    head = ["mean", *(action or "no label" for action in actions)]
    rows = [
        f"| {name} | {kind} | "
        + " | ".join(f"{e[key]:.1f}" for e in (own, *(own["actions"][a] for a in actions)))
        + " |"
        for key, kind in (("mpjpe", "MPJPE"), ("p_mpjpe", "P-MPJPE"))
        for name, own in found.items()
    ]
    return [
        "",
        f"| test part, mm | | {' | '.join(head)} |",
        f"|---|---|{'---|' * len(head)}",
        *rows,
    ]
