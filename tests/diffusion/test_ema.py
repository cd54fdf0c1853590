"""The moving average against its closed form."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from skelaug.diffusion.ema import averaged, decay_at


def test_decay_warms_up_and_then_stays() -> None:
    assert decay_at(0, decay=0.99) == pytest.approx(1 / 10)
    assert decay_at(8, decay=0.99) == pytest.approx(9 / 18)
    assert decay_at(10**6, decay=0.99) == 0.99


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.999])
def test_average_is_the_weighted_sum_of_all_past_weights(decay: float) -> None:
    model = nn.Linear(1, 1, bias=False, dtype=torch.float64)
    average = averaged(model, decay=decay)
    values = [3.0, -1.0, 4.0, 1.0, -5.0, 9.0]
    for value in values:
        model.weight.data.fill_(value)
        average.update_parameters(model)
    decays = [decay_at(n, decay=decay) for n in range(1, len(values))]
    exact = 0.0
    for age, value in enumerate(values):
        share = 1.0 if age == 0 else 1 - decays[age - 1]
        for later in decays[age:]:
            share *= later
        exact += share * value
    assert average.module.weight.item() == pytest.approx(exact, rel=1e-12)


def test_running_statistics_are_averaged_and_counters_copied() -> None:
    model = nn.BatchNorm1d(1, dtype=torch.float64)
    average = averaged(model, decay=0.5)
    for mean, count in ((2.0, 5), (4.0, 7)):
        model.running_mean.fill_(mean)  # type: ignore[union-attr]
        model.num_batches_tracked.fill_(count)  # type: ignore[union-attr]
        average.update_parameters(model)
    share = 1 - decay_at(1, decay=0.5)
    assert float(average.module.running_mean) == pytest.approx(2 + share * 2)
    assert int(average.module.num_batches_tracked) == 7


def test_the_average_resumes_from_its_state() -> None:
    model = nn.Linear(2, 2)
    first = averaged(model, decay=0.9)
    first.update_parameters(model)
    second = averaged(nn.Linear(2, 2), decay=0.9)
    second.load_state_dict(first.state_dict())
    model.weight.data.add_(1)
    first.update_parameters(model)
    second.update_parameters(model)
    assert torch.equal(first.module.weight, second.module.weight)
    assert int(second.n_averaged) == 2


def test_a_decay_outside_the_unit_interval_is_refused() -> None:
    with pytest.raises(ValueError, match=r"1\.5"):
        averaged(nn.Linear(1, 1), decay=1.5)
