"""Which classes a zero-shot study learns from and which it only reads about: published divisions.

A name says who published it, the data set, and the numbers of seen and unseen classes, e.g.
``purls/utd-mhad/22-5``; SMIE numbers its three divisions per data set, e.g. ``smie/pku/1``. The
lists, and where they are from, are in ``lists/class_splits.yaml``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any

import yaml

from skelaug.data import ntu, nw_ucla, utd_mhad
from skelaug.errors import NotFoundError, did_you_mean

__all__ = ["DATASETS", "PKU_CLASSES", "ClassSplit", "class_split", "class_splits"]

_LISTS = resources.files("skelaug.data").joinpath("lists")

PKU_CLASSES = tuple(_LISTS.joinpath("pku_classes.txt").read_text(encoding="utf-8").splitlines())
"""The 51 actions of PKU-MMD in their usual, alphabetical order."""

DATASETS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "ntu-60": ntu.CLASSES[:60],
        "ntu-120": ntu.CLASSES,
        "utd-mhad": utd_mhad.CLASSES,
        "nw-ucla": nw_ucla.CLASSES,
        "pku-mmd": PKU_CLASSES,
    }
)
"""The classes that published ids count, by data set."""


@dataclass(frozen=True)
class ClassSplit:
    """The classes of a data set in two groups, each in the data set's order.

    Attributes:
        name: As published and numbered here.
        dataset: A key of `DATASETS`.
        seen: Names of the classes with training clips.
        unseen: Names of the classes without.
        seen_ids: The published numbers of `seen`, from 0.
        unseen_ids: Those of `unseen`.
    """

    name: str
    dataset: str
    seen: tuple[str, ...]
    unseen: tuple[str, ...]
    seen_ids: tuple[int, ...]
    unseen_ids: tuple[int, ...]


def class_splits() -> tuple[str, ...]:
    """The names of all divisions."""
    return tuple(_table())


def class_split(name: str) -> ClassSplit:
    """The division of this name.

    Raises:
        NotFoundError: There is none; the message has the nearest.
    """
    if name not in _table():
        raise NotFoundError(
            f"classes {name!r}: no such published division; {did_you_mean(name, _table())}"
        )
    entry = _table()[name]
    classes = DATASETS[entry["dataset"]]
    unseen = tuple(sorted(entry["unseen"]))
    seen = tuple(number for number in range(len(classes)) if number not in unseen)
    assert len(seen) == entry["seen"], name
    return ClassSplit(
        name=name,
        dataset=entry["dataset"],
        seen=tuple(classes[number] for number in seen),
        unseen=tuple(classes[number] for number in unseen),
        seen_ids=seen,
        unseen_ids=unseen,
    )


@cache
def _table() -> Mapping[str, Mapping[str, Any]]:
    table = yaml.safe_load(_LISTS.joinpath("class_splits.yaml").read_text(encoding="utf-8"))
    return MappingProxyType(dict(table))
