"""Labels match by exact name, else by a unique part in any case."""

import pytest

from skelaug.data.labels import match_label, match_labels
from skelaug.errors import NotFoundError

CLASSES = ("kick forward", "kick", "Wave [left]", "sit down", "sit")


@pytest.mark.parametrize(
    ("wanted", "meant"),
    [
        ("kick", "kick"),
        ("forward", "kick forward"),
        ("KICK FORWARD", "kick forward"),
        ("wave", "Wave [left]"),
        ("[LEFT]", "Wave [left]"),
        ("Sit", "sit"),
    ],
)
def test_an_exact_name_wins_over_a_part_and_case_does_not_matter(wanted: str, meant: str) -> None:
    assert match_label(wanted, CLASSES) == meant


def test_an_ambiguous_part_lists_what_it_could_mean() -> None:
    with pytest.raises(NotFoundError, match=r"2 that contain it: 'kick forward', 'kick'"):
        match_label("ick", CLASSES)


@pytest.mark.parametrize(("wanted", "hint"), [("kikc", "did you mean 'kick'"), ("", "known are")])
def test_an_unknown_label_gets_the_near_ones(wanted: str, hint: str) -> None:
    with pytest.raises(NotFoundError, match=hint):
        match_label(wanted, CLASSES)


def test_two_names_for_one_class_give_it_once_in_the_order_asked() -> None:
    assert match_labels(["wave", "kick", "Wave [left]"], CLASSES) == ("Wave [left]", "kick")
