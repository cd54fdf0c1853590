"""``train recognizer --init-from``: weights of another recognizer, and a report of what fitted."""

from __future__ import annotations

from torch import nn

from skelaug.checkpoint import load_checkpoint
from skelaug.errors import UsageError
from skelaug.models.transfer import Carried, Names, carry_weights
from skelaug.workflows.training_motions import TrainingMotions
from skelaug.zoo import find_model, find_weights

__all__ = ["start_from"]


def start_from(name: str, motions: TrainingMotions, network: nn.Module, *, kind: str) -> list[str]:
    """Take over the weights of another recognizer where joints and classes have the same names.

    Args:
        name: A packaged model, a run directory or a safetensors file.
        motions: What `network` will be trained on.
        network: Changed in place.
        kind: Its key in the registry.

    Returns:
        A few lines that say what was taken over and what was not.

    Raises:
        NotFoundError: There is no such model.
        UsageError: Nothing of it fits.
    """
    other = load_checkpoint(find_weights(find_model(name), "recognizer"), expect="recognizer")
    if other.kind != kind:
        raise UsageError(
            f"init_from {name}: expected a {kind} network, got {other.kind}; add "
            f"--set model.name={other.kind}"
        )
    told = other.arguments
    carried = carry_weights(
        network,
        other.weights,
        source=Names(other.layout.joints, other.classes, told["persons"], told["channels"]),
        target=Names(
            motions.layout.joints,
            motions.clips.classes,
            motions.preparation.persons or 1,
            motions.channels,
        ),
    )
    if not carried.whole and not carried.partly:
        raise UsageError(
            f"init_from {name}: none of its weights fit a network for {motions.layout.name}; "
            f"choose another model, or the same model.arguments"
        )
    return _told(name, carried, motions)


def _told(name: str, carried: Carried, motions: TrainingMotions) -> list[str]:
    total = len(carried.whole) + len(carried.partly) + len(carried.left)
    joints, classes = motions.layout.joints, motions.clips.classes
    lines = [
        f"{name}: {len(carried.whole)} of {total} tensors taken over whole, "
        f"{len(carried.partly)} in part",
        f"joints known by name: {len(carried.joints)} of {len(joints)}",
        f"classes known by name: {len(carried.classes)} of {len(classes)}"
        + (f" ({', '.join(carried.classes)})" if carried.classes else ""),
    ]
    if carried.left:
        lines.append(f"as drawn: {', '.join(carried.left)}")
    return lines
