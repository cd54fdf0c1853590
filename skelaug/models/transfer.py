"""Weights carried from one network to another of its kind with other joints, persons or classes.

A network says in ``AXES`` which axes of its parameters are joints or classes. Those are matched by
name, all others by size. So a recognizer of 20 Kinect joints starts one of 25, and a classifier
keeps the rows of the classes that both know.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

__all__ = ["Carried", "Names", "carry_weights"]

_JOINTS, _CLASSES, _PERSONS = "v", "y", "m"


@dataclass(frozen=True)
class Names:
    """What the axes of a network's parameters stand for.

    Attributes:
        joints: Joint names, V.
        classes: Class names, K.
        persons: Persons M of the input.
        channels: Channels C of the input.
    """

    joints: Sequence[str]
    classes: Sequence[str]
    persons: int = 1
    channels: int = 3

    def size(self, letter: str) -> int | None:
        """The size of an axis with that letter, or None where any size is possible."""
        sizes = {
            _JOINTS: len(self.joints),
            _CLASSES: len(self.classes),
            _PERSONS: self.persons,
            "c": self.channels,
        }
        return sizes.get(letter)


@dataclass(frozen=True)
class Carried:
    """What was carried over.

    Attributes:
        whole: Names of the parameters that were taken over completely.
        partly: Those of which only the joints or classes that both networks know were taken over.
        left: Those that stayed as they were.
        joints: Joints that both networks know.
        classes: Classes that both networks know.
    """

    whole: tuple[str, ...]
    partly: tuple[str, ...]
    left: tuple[str, ...]
    joints: tuple[str, ...]
    classes: tuple[str, ...]


def carry_weights(
    network: nn.Module, weights: Mapping[str, Tensor], *, source: Names, target: Names
) -> Carried:
    """Take over what fits of another network's weights; changes `network` in place.

    Args:
        network: Of a class with ``AXES``: endings of parameter names to the letters of their axes,
            v joints, y classes, m persons; ``(m v c)`` is one axis made of three. A letter of
            any other kind is matched by size, one at most inside an axis made of several.
        weights: State dict of the other network.
        source: What its axes stand for.
        target: What the axes of `network` stand for.
    """
    axes: Mapping[str, str] = getattr(network, "AXES", {})
    outcome: dict[str, list[str]] = {"whole": [], "partly": [], "left": []}
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            letters = _letters(axes, name, tensor)
            given = weights.get(name)
            done = "left" if given is None else _carry(tensor, given, letters, source, target)
            outcome[done].append(name)
    return Carried(
        **{key: tuple(names) for key, names in outcome.items()},
        joints=_shared(source.joints, target.joints),
        classes=_shared(source.classes, target.classes),
    )


def _shared(source: Sequence[str], target: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in target if name in source)


def _letters(axes: Mapping[str, str], name: str, tensor: Tensor) -> str:
    """The letters of a parameter's axes; the longest ending that fits, or dots."""
    endings = [ending for ending in axes if name == ending or name.endswith(f".{ending}")]
    return axes[max(endings, key=len)] if endings else " ".join("." * tensor.ndim)


def _carry(tensor: Tensor, given: Tensor, letters: str, source: Names, target: Names) -> str:
    """Copy the common part; says ``whole``, ``partly`` or ``left``."""
    groups = _groups(letters)
    flat = [letter for group in groups for letter in group]
    ours, theirs = _unfolded(tensor, groups, target), _unfolded(given, groups, source)
    if ours is None or theirs is None:
        return "left"
    wanted, taken = [], []
    for letter, size, other in zip(flat, ours, theirs, strict=True):
        pairs = _pairs(letter, size, other, source, target)
        if not pairs:
            return "left"
        wanted.append([into for into, _ in pairs])
        taken.append([out for _, out in pairs])
    block = given.reshape(theirs)
    for axis, places in enumerate(taken):
        block = block.index_select(axis, torch.tensor(places, dtype=torch.int64))
    view = tensor.view(ours)  # of the state dict: writing changes the network
    view[_mesh(wanted)] = block.to(tensor.dtype)
    complete = all(len(p) == size for p, size in zip(wanted, ours, strict=True))
    return "whole" if complete else "partly"


def _groups(letters: str) -> list[list[str]]:
    """``"(m v c) d"`` to ``[["m", "v", "c"], ["d"]]``."""
    groups: list[list[str]] = []
    inside = False
    for token in letters.replace("(", " ( ").replace(")", " ) ").split():
        if token in "()":
            inside = token == "("
            groups += [[]] * inside
        elif inside:
            groups[-1] = [*groups[-1], token]
        else:
            groups.append([token])
    return groups


def _unfolded(tensor: Tensor, groups: list[list[str]], names: Names) -> list[int] | None:
    """Sizes of all axes once the groups are taken apart; None where they do not fit."""
    if tensor.ndim != len(groups):
        return None
    sizes: list[int] = []
    for length, group in zip(tensor.shape, groups, strict=True):
        known = [names.size(letter) for letter in group]
        if known.count(None) == 1:  # of any size: what the others leave
            rest = math.prod(size for size in known if size is not None)
            known[known.index(None)] = length // rest
        if math.prod(size or 0 for size in known) != length:
            return None
        sizes += [size for size in known if size is not None]
    return sizes


def _pairs(
    letter: str, size: int, other: int, source: Names, target: Names
) -> list[tuple[int, int]]:
    """Places of this network's axis with the places of the other's that belong to them."""
    if letter == _PERSONS:
        return [(place, place) for place in range(min(size, other))]
    if letter in (_JOINTS, _CLASSES):
        ours = target.joints if letter == _JOINTS else target.classes
        theirs = list(source.joints if letter == _JOINTS else source.classes)
        return [(i, theirs.index(name)) for i, name in enumerate(ours) if name in theirs]
    return [(place, place) for place in range(size)] if size == other else []


def _mesh(places: list[list[int]]) -> tuple[Tensor, ...]:
    """Index tensors that address the block of all combinations."""
    count = len(places)
    return tuple(
        torch.tensor(own, dtype=torch.int64).view(*[-1 if axis == k else 1 for k in range(count)])
        for axis, own in enumerate(places)
    )
