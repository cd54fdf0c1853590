"""Published divisions of classes: counts, complete and disjoint groups, and whom they name."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from skelaug.data.class_splits import DATASETS, PKU_CLASSES, class_split, class_splits
from skelaug.errors import NotFoundError

PURLS = {"ntu-60": "ntu60", "ntu-120": "ntu120", "utd-mhad": "utd-mhad", "nw-ucla": "nw-ucla"}
WHO = {"synse": 4, "purls": 13, "smie": 9}


def test_all_divisions_are_there() -> None:
    counts = {who: sum(name.startswith(f"{who}/") for name in class_splits()) for who in WHO}
    assert counts == WHO
    assert sum(WHO.values()) == len(class_splits())


@pytest.mark.parametrize("name", class_splits())
def test_groups_are_disjoint_and_complete_and_as_large_as_published(name: str) -> None:
    split = class_split(name)
    classes = DATASETS[split.dataset]
    assert set(split.seen).isdisjoint(split.unseen)
    assert {*split.seen, *split.unseen} == set(classes)
    assert len(split.seen) + len(split.unseen) == len(classes) == len(set(classes))
    numbers = [*split.seen_ids, *split.unseen_ids]
    assert [classes[number] for number in numbers] == [*split.seen, *split.unseen]
    assert list(split.unseen_ids) == sorted(split.unseen_ids)
    if match := re.fullmatch(r".*/(\d+)-(\d+)", name):
        assert (len(split.seen), len(split.unseen)) == (int(match[1]), int(match[2]))
    else:
        assert len(split.unseen) == {"ntu-60": 5, "ntu-120": 10, "pku-mmd": 5}[split.dataset]


def test_the_divisions_name_the_actions_that_the_papers_name() -> None:
    assert class_split("synse/ntu60/55-5").unseen == (
        "reading",
        "writing",
        "put on hat",
        "jump up",
        "touch pocket",
    )
    assert class_split("synse/ntu120/110-10").unseen == (
        "drop",
        "wear jacket",
        "salute",
        "touch head",
        "punch or slap",
        "juggle balls",
        "put into bag",
        "cross arms",
        "butt kicks",
        "wield knife",
    )
    assert class_split("purls/utd-mhad/22-5").unseen == (
        "throw",
        "tennis swing",
        "push",
        "sit to stand",
        "stand to sit",
    )
    assert class_split("purls/nw-ucla/8-2").unseen == ("pick up with two hands", "sit down")
    assert class_split("smie/pku/1").unseen == (
        "brushing hair",
        "eat meal/snack",
        "pat on back of other person",
        "take off a hat/cap",
        "writing",
    )


def test_divisions_of_the_three_of_smie_share_no_unseen_class() -> None:
    for place in ("ntu60", "pku"):
        groups = [set(class_split(f"smie/{place}/{number}").unseen) for number in (1, 2, 3)]
        assert len(set.union(*groups)) == sum(map(len, groups)), place


def test_an_unknown_division_is_answered_with_the_nearest() -> None:
    with pytest.raises(NotFoundError, match="did you mean 'purls/utd-mhad/22-5'"):
        class_split("purl/utd-mhad/22-5")


def test_pku_has_51_classes_in_alphabetical_order() -> None:
    assert len(PKU_CLASSES) == 51
    words = [name.replace(" a ", " ").replace("/", " ") for name in PKU_CLASSES]
    letters = [name[0] for name in words]
    assert letters == sorted(letters)


@pytest.mark.data
@pytest.mark.parametrize("name", [name for name in class_splits() if name.startswith("purls/")])
def test_purls_lists_are_those_of_its_files(shared_data: Path, name: str) -> None:
    split = class_split(name)
    folder = shared_data / "texts" / "purls" / PURLS[split.dataset]
    theirs = np.load(folder / f"ru{len(split.unseen)}.npy")
    assert sorted(theirs.tolist()) == list(split.unseen_ids)
    seen = np.load(folder / f"rs{len(split.seen)}.npy")
    assert sorted(seen.tolist()) == list(split.seen_ids)


@pytest.mark.data
@pytest.mark.parametrize(("dataset", "key"), [("utd-mhad", "UTD-MHAD"), ("nw-ucla", "NW-UCLA")])
def test_purls_orders_the_actions_as_we_do(shared_data: Path, dataset: str, key: str) -> None:
    told = json.loads((shared_data / "texts" / "purls" / "gpt3_desc.json").read_text())
    theirs = [re.sub(r"\W", "", entry["Action Labels"]).lower() for entry in told[key]]
    assert theirs == [re.sub(r"\W", "", name) for name in DATASETS[dataset]]


@pytest.mark.data
def test_smie_lists_are_those_of_its_file(shared_data: Path) -> None:
    told = json.loads((shared_data / "texts" / "smie" / "splits.json").read_text())["unseen"]
    for place, first in (("ntu60", 1), ("ntu120", 4), ("pku", 7)):
        for number in range(3):
            ours = class_split(f"smie/{place}/{number + 1}").unseen_ids
            assert list(ours) == told[f"split_{first + number}"]
