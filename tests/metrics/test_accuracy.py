import numpy as np
import pytest

from skelaug.metrics.accuracy import accuracy, class_accuracy, confusion_matrix

RNG = np.random.default_rng(0)


def test_the_confusion_matrix_counts_pairs_as_a_loop_does():
    labels, predictions = RNG.integers(0, 5, 200), RNG.integers(0, 5, 200)
    counted = np.zeros((5, 5), dtype=np.int64)
    for label, prediction in zip(labels, predictions, strict=True):
        counted[label, prediction] += 1
    np.testing.assert_array_equal(confusion_matrix(labels, predictions, 5), counted)


def test_accuracy_is_the_fraction_of_hits():
    labels, predictions = RNG.integers(0, 3, 100), RNG.integers(0, 3, 100)
    confusion = confusion_matrix(labels, predictions, 3)
    assert accuracy(confusion) == (labels == predictions).mean()


def test_class_accuracy_is_taken_over_true_classes_and_unknown_where_there_are_none():
    confusion = confusion_matrix(np.array([0, 0, 0, 1]), np.array([0, 0, 2, 2]), 3)
    np.testing.assert_array_equal(class_accuracy(confusion), [2 / 3, 0.0, np.nan])


def test_nothing_counted_has_no_accuracy():
    empty = confusion_matrix(np.empty(0, dtype=int), np.empty(0, dtype=int), 3)
    with pytest.raises(ValueError, match="at least one clip"):
        accuracy(empty)


@pytest.mark.parametrize(
    ("labels", "predictions", "message"),
    [([0, 3], [0, 0], "0 to 2"), ([0, 1], [-1, 0], "0 to 2"), ([0, 1], [0], "expected")],
)
def test_classes_out_of_range_and_uneven_lengths_are_refused(labels, predictions, message):
    with pytest.raises(ValueError, match=message):
        confusion_matrix(np.array(labels), np.array(predictions), 3)
