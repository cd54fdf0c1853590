"""What is compared: the arms of each regime, which differ in the clips that a recognizer sees.

Every arm makes the same number of updates on the same real clips. ``real`` and ``oversampling``
leave the recognizer's own augmentation off, the others leave it on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from skelaug.errors import UsageError, did_you_mean

__all__ = ["ARMS", "SAMPLED", "Arm", "choose_arms"]


@dataclass(frozen=True)
class Arm:
    """One way of training the recognizer.

    Attributes:
        name: As in tables.
        meaning: What is special about it, in a few words.
        extra: Where further clips come from: ``copies`` of the real clips, ``noisy`` copies with
            the errors of a sensor, the ``generator``,
            ``pseudo`` (the unlabelled clips with labels of a recognizer), ``bound`` (the
            generator's own real clips); empty = none.
        augment: Whether clips are varied while learning.
        start: What the weights start from: a recognizer of the ``others``' real clips or of the
            ``generator``'s clips; empty = nothing.
        rounds: How often pseudo-labels are made, each time by the recognizer of the time before.
        is_bound: Whether it uses clips that the user of the benchmark's answer would not have.
        is_extra: Whether it only takes part where it is named.
    """

    name: str
    meaning: str
    extra: tuple[str, ...] = ()
    augment: bool = True
    start: Literal["", "others", "generator"] = ""
    rounds: int = 0
    is_bound: bool = False
    is_extra: bool = False

    @property
    def is_synthetic(self) -> bool:
        """Whether the generator takes part."""
        return "generator" in self.extra or self.start == "generator"

    @property
    def has_ratio(self) -> bool:
        """Whether the number of further clips is a setting of it."""
        return bool(SAMPLED & set(self.extra))


SAMPLED = frozenset({"copies", "noisy", "generator"})
"""Sources of further clips of which each cell takes as many as its ratio says."""

_COMMON = (
    Arm("real", "the real clips, never varied", augment=False),
    Arm("oversampling", "copies of real clips, never varied", extra=("copies",), augment=False),
    Arm("classical", "the real clips with classical augmentation"),
    Arm("synthetic", "synthetic clips, never varied", extra=("generator",), augment=False),
    Arm("synthetic+classical", "synthetic clips with augmentation", extra=("generator",)),
    Arm(
        "noisy-poses",
        "copies of real clips with a sensor's errors",
        extra=("noisy",),
        augment=False,
        is_extra=True,
    ),
    Arm(
        "noisy-poses+classical",
        "the same with augmentation",
        extra=("noisy",),
        is_extra=True,
    ),
)
_LABELS = (
    Arm(
        "pseudo-labels", "unlabelled clips as a recognizer names them", extra=("pseudo",), rounds=1
    ),
    Arm("self-training", "the same, twice over", extra=("pseudo",), rounds=2),
    Arm(
        "synthetic+pseudo-labels",
        "both kinds of further clips",
        extra=("generator", "pseudo"),
        rounds=1,
    ),
)
_RARE = (Arm("balanced", "rare classes filled up with varied copies", extra=("copies",)),)
_TRANSFER = (
    Arm("pre-trained", "starts from a recognizer of the other real clips", start="others"),
    Arm("pre-trained-on-synthetic", "starts from one of synthetic clips", start="generator"),
    Arm("pre-trained+synthetic", "both", start="others", extra=("generator",)),
)
_SUBJECTS = (
    Arm("generator-clips", "with the generator's real clips", extra=("bound",), is_bound=True),
)

ARMS: Mapping[str, Sequence[Arm]] = {
    "scarce": _COMMON,
    "labels": (*_COMMON, *_LABELS),
    "rare": (*_COMMON, *_RARE),
    "transfer": (*_COMMON, *_TRANSFER),
    "subjects": (*_COMMON, *_SUBJECTS),
}


def choose_arms(regime: str, names: Sequence[str] = ()) -> tuple[Arm, ...]:
    """The arms of a regime: those that are named, or all that need not be.

    Raises:
        UsageError: The regime has no such arm.
    """
    arms = {arm.name: arm for arm in ARMS[regime]}
    for name in names:
        if name not in arms:
            raise UsageError(
                f"--arm {name!r}: regime {regime} has none; {did_you_mean(name, arms)}"
            )
    if not names:
        return tuple(arm for arm in arms.values() if not arm.is_extra)
    return tuple(arms[name] for name in dict.fromkeys(names))
