"""The rows of a study differ in their stochastic levels alone, and tell of the last update."""

from __future__ import annotations

import json

import pytest

from skelaug.checkpoint import load_checkpoint
from skelaug.errors import UsageError
from skelaug.workflows.depth_study import depth_config, depth_row

TINY = {
    "windows": {"frames": 10},
    "optimisation": {"steps": 3, "batch": 8, "max_epochs": None},
    "kl_warmup": 2,
    "held_out": 0.25,
}


def config(data_file, out, levels, **more):
    return depth_config(data_file, out, levels, deepest=2, sizes=(4, 8), **{**TINY, **more})


def test_rows_have_the_same_network_and_updates(data_file, tmp_path):
    one, two = (config(data_file, tmp_path, levels).model_dump() for levels in (1, 2))
    assert one["model"]["arguments"].pop("stochastic_levels") == 1
    assert two["model"]["arguments"].pop("stochastic_levels") == 2
    assert one.pop("out") != two.pop("out")
    assert one == two
    assert one["model"]["arguments"]["level_nodes"] == [54, 24, 8, 1]


@pytest.mark.parametrize(("deepest", "levels"), [(4, 4), (5, 8), (8, 8), (9, 16)])
def test_the_network_has_as_many_levels_as_the_deepest_row_needs(
    data_file, tmp_path, deepest, levels
):
    made = depth_config(data_file, tmp_path, 1, deepest=deepest)
    assert len(made.model.arguments["level_nodes"]) == levels


@pytest.mark.parametrize("levels", [0, 17])
def test_there_are_1_to_16_levels(data_file, tmp_path, levels):
    with pytest.raises(UsageError, match="1 to 16"):
        depth_config(data_file, tmp_path, levels, deepest=max(levels, 1))


def test_a_row_tells_of_its_last_update_and_is_not_trained_again(data_file, tmp_path):
    own = config(data_file, tmp_path, 1)
    row = depth_row(own)
    assert (row.levels, row.of, row.steps) == (1, 4, 3)
    lines = [json.loads(line) for line in (own.out / "log.jsonl").read_text().splitlines()]
    (judged,) = [line for line in lines if "error" in line]
    assert judged["step"] == 3
    assert (row.error, row.divergence) == (judged["error"], judged["divergence"])
    assert row.log_likelihood == judged["log_likelihood"]
    # so many nodes and frames have that error together
    assert row.rms_mm == pytest.approx(1000 * (row.error / (60 * 10)) ** 0.5)
    before = (own.out / "model.safetensors").stat().st_mtime_ns
    assert depth_row(own) == row
    assert (own.out / "model.safetensors").stat().st_mtime_ns == before
    assert load_checkpoint(own.out / "model.safetensors").meta["step"] == 3
