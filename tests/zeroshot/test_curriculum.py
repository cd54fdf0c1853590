import math

import pytest
import torch

from skelaug.zeroshot.curriculum import Curriculum


@pytest.mark.parametrize("kind", ["cosine", "linear"])
def test_it_begins_with_rich_texts_and_ends_with_sparse_ones(kind):
    gamma = Curriculum(kind, 200)
    assert gamma(0) == 1
    assert gamma(200) == pytest.approx(0, abs=1e-15)
    assert gamma(100) == pytest.approx(0.5)
    values = [gamma(step) for step in range(201)]
    assert values == sorted(values, reverse=True)


def test_the_cosine_is_flat_at_both_ends():
    gamma = Curriculum("cosine", 1000)
    slope = [(gamma(s + 1) - gamma(s)) * 1000 for s in (0, 500, 999)]
    assert slope == pytest.approx([0, -math.pi / 2, 0], abs=0.01)


def test_steps_halve_fixed_stays_and_none_has_no_rich_texts():
    gamma = Curriculum("step", 8)
    assert [gamma(s) for s in range(9)] == [1, 1, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125, 0.0625]
    assert {Curriculum("fixed", 8)(s) for s in range(9)} == {0.5}
    assert {Curriculum("none", 8)(s) for s in range(9)} == {0}


def test_so_many_samples_get_a_rich_text():
    gamma = Curriculum("linear", 100)
    for step in (0, 30, 100):
        drawn = gamma.draw(step, 20_000, generator=torch.Generator().manual_seed(step))
        assert drawn.double().mean() == pytest.approx(gamma(step), abs=0.02)
