import numpy as np
import pytest

from skelaug.data.class_splits import class_split
from skelaug.errors import DataError, UsageError
from skelaug.workflows.zeroshot_classes import seen_classes, teaching_parts

LABELS = np.repeat(np.arange(10), 9)


def test_a_published_split_is_found_in_the_classes_of_a_file_whatever_their_order():
    split = class_split("purls/utd-mhad/22-5")
    names = [*split.unseen, *split.seen][::-1]
    found = seen_classes("purls/utd-mhad/22-5", names, where="f")
    assert set(found.seen) == set(split.seen)
    assert found.unseen == tuple(split.unseen[::-1])
    with pytest.raises(DataError, match="called"):
        seen_classes("purls/utd-mhad/22-5", names[1:], where="f")
    with pytest.raises(DataError, match="'juggle' too"):
        seen_classes("purls/utd-mhad/22-5", [*names, "juggle"], where="f")


def test_classes_of_ones_own_are_named():
    found = seen_classes("unseen=b, d", "abcd", where="f")
    assert (found.seen, found.unseen) == (("a", "c"), ("b", "d"))
    for rule, words in (
        ("", "purls/utd-mhad/22-5"),
        ("unseen=", "one unseen or more"),
        ("unseen=b,c,d", "two seen classes"),
        ("unseen=e", "no class 'e'"),
    ):
        with pytest.raises(UsageError, match=words):
            seen_classes(rule, "abcd", where="f")


def test_the_three_parts_are_all_clips_once_and_held_classes_are_whole():
    parts = teaching_parts(LABELS, classes=0.3, clips=0.2, seed=1)
    together = np.concatenate([parts.taught, parts.kept, parts.held])
    assert sorted(together) == list(range(90))
    assert len(parts.held_classes) == 3
    assert set(LABELS[parts.held]) == set(parts.held_classes)
    assert not set(LABELS[parts.taught]) & set(parts.held_classes)
    counts = np.bincount(LABELS[parts.kept], minlength=10)
    assert set(counts[np.setdiff1d(np.arange(10), parts.held_classes)]) == {2}


def test_the_seed_draws_the_parts_and_no_share_keeps_all():
    draws = [teaching_parts(LABELS, classes=0.3, clips=0.2, seed=s).held_classes for s in (1, 1, 2)]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert list(draws[0]) != list(draws[2])
    whole = teaching_parts(LABELS, classes=0.0, clips=0.2, seed=1)
    assert len(whole.taught) == 90
    assert not len(whole.kept)
    assert not len(whole.held)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.97, 0.99])
def test_two_classes_at_least_are_held_out_and_two_learnt(share):
    labels = np.repeat(np.arange(22), 4)
    parts = teaching_parts(labels, classes=share, clips=0.25, seed=1)
    assert 2 <= len(parts.held_classes) <= 20
    assert len(np.unique(labels[parts.taught])) == 22 - len(parts.held_classes)


def test_of_two_clips_of_a_class_both_are_learnt_from():
    labels = np.repeat(np.arange(6), 2)
    parts = teaching_parts(labels, classes=0.3, clips=0.5, seed=0)
    assert not len(parts.kept)
    assert np.unique(labels[parts.taught], return_counts=True)[1].tolist() == [2, 2, 2, 2]
