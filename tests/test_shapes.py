import numpy as np
import pytest
import torch

from skelaug.shapes import check_shape


@pytest.mark.parametrize("make", [np.zeros, torch.zeros])
def test_a_shape_that_fits_passes(make):
    check_shape(make((2, 3, 5, 4)), "N C T V", C=3, V=4)
    check_shape(make(()), "")


@pytest.mark.parametrize(
    ("shape", "letters", "sizes", "message"),
    [
        ((64, 2, 100), "N C T V", {}, "array: expected N C T V, got 64 x 2 x 100"),
        ((2, 4), "N C", {"C": 3}, "array: expected N C with C = 3, got 2 x 4"),
        ((2, 4), "N C", {"N": 1, "C": 3}, "array: expected N C with N = 1, C = 3, got 2 x 4"),
        ((), "N", {}, "array: expected N, got a scalar"),
        ((0,), "N", {"N": 1}, "array: expected N with N = 1, got 0"),
    ],
)
def test_a_shape_that_does_not_fit_is_named_in_letters_and_numbers(shape, letters, sizes, message):
    with pytest.raises(ValueError, match="expected") as caught:
        check_shape(np.zeros(shape), letters, **sizes)
    assert str(caught.value) == message


def test_the_message_names_the_array():
    with pytest.raises(ValueError, match=r"^positions: expected T M V C, got 3$"):
        check_shape(np.zeros(3), "T M V C", what="positions")


def test_a_size_of_an_unknown_letter_is_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match="'Q' is not in list"):
        check_shape(np.zeros((2, 3)), "N C", Q=1)
