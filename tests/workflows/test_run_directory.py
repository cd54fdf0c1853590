from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from skelaug.config import write_resolved
from skelaug.errors import NotFoundError, UsageError
from skelaug.workflows.run_directory import RunDirectory, resolve


class Network(BaseModel, frozen=True, extra="forbid"):
    name: str = "a"
    dropout: float = 0.0
    arguments: dict[str, Any] = {}


class Settings(BaseModel, frozen=True, extra="forbid"):
    data: Path
    out: Path
    model: Network = Network()
    seed: int = 0
    split: str = ""
    checkpoint_every: int = 10


PRESETS = {
    "cpu": {"model": {"name": "a", "dropout": 0.1, "arguments": {"width": 8}}, "seed": 3},
    "paper": {"seed": 4},
}


def resolved(tmp_path: Path, **options: Any) -> Settings:
    flags = {"data": tmp_path / "d.h5", "out": tmp_path / "run", **options.pop("flags", {})}
    return resolve(Settings, PRESETS, flags=flags, **options)


def test_cpu_is_the_preset_when_none_is_named(tmp_path):
    assert resolved(tmp_path).model.arguments == {"width": 8}
    assert resolved(tmp_path, preset="paper").seed == 4
    assert resolved(tmp_path, preset="paper", flags={"seed": 9}).seed == 9


def test_an_unknown_preset_names_the_ones_there_are(tmp_path):
    with pytest.raises(NotFoundError, match=r"--preset papr: did you mean 'paper'\?"):
        resolved(tmp_path, preset="papr")


def test_the_presets_arguments_go_with_its_network(tmp_path):
    assert resolved(tmp_path, overrides=["model.arguments.depth=2"]).model.arguments == {
        "width": 8,
        "depth": 2,
    }
    other = resolved(tmp_path, overrides=["model.name=b", "model.arguments.depth=2"]).model
    assert other == Network(name="b", dropout=0.1, arguments={"depth": 2})


def begun(tmp_path: Path, *overrides: str, **options: Any) -> RunDirectory:
    config = resolved(tmp_path, overrides=overrides, **options)
    run = RunDirectory(tmp_path / "run")
    run.begin(config, {"d.h5": "hash"}, command="train it", resume=False)
    return run


def test_resuming_needs_no_setting_again(tmp_path):
    begun(tmp_path, "split=xsub", "model.name=b", preset="paper")
    again = resolved(tmp_path, resume=True)
    assert (again.split, again.model.name, again.seed) == ("xsub", "b", 4)
    assert resolved(tmp_path, resume=True, overrides=["seed=7"]).seed == 7
    assert resolved(tmp_path, resume=True, preset="cpu").seed == 3
    assert resolved(tmp_path).seed == 3  # without --resume the run there has no say


@pytest.mark.parametrize(
    ("overrides", "inputs", "message"),
    [
        (["seed=8"], {"d.h5": "hash"}, "seed is 3 there and 8 now"),
        (["split=x"], {"d.h5": "hash"}, "split is not set there and x now"),
        (
            ["model.arguments.width=9"],
            {"d.h5": "hash"},
            r"model\.arguments\.width is 8 there and 9",
        ),
        (["model.arguments.depth=9"], {"d.h5": "hash"}, "depth is not set there and 9 now"),
        ([], {"d.h5": "other"}, r"begun with another content of d\.h5"),
    ],
)
def test_a_run_goes_on_only_as_it_began(tmp_path, overrides, inputs, message):
    run = begun(tmp_path)
    config = resolved(tmp_path, overrides=overrides, resume=True)
    with pytest.raises(UsageError, match=message) as caught:
        run.check(config, inputs, resume=True, force=False)
    assert "\n" not in str(caught.value)


def test_places_and_the_rhythm_of_checkpoints_may_differ(tmp_path):
    run = begun(tmp_path)
    flags = {"data": tmp_path / "renamed.h5", "checkpoint_every": 1}
    config = resolved(tmp_path, flags=flags, resume=True)
    run.check(config, {"renamed.h5": "hash"}, resume=True, force=False)


@pytest.mark.parametrize("name", ["model.safetensors", "state.pt", "log.jsonl", "card.md"])
def test_what_has_come_to_something_is_protected(tmp_path, name):
    run = begun(tmp_path)
    config = resolved(tmp_path)
    run.check(config, {}, resume=False, force=False)
    (run.path / name).write_text("x")
    with pytest.raises(UsageError, match="add --resume to go on or --force to replace it"):
        run.check(config, {}, resume=False, force=False)
    run.check(config, {}, resume=False, force=True)
    run.begin(config, {}, command="train it", resume=False)
    assert not (run.path / name).exists()


def test_a_run_is_finished_when_its_card_is_written_and_its_images_are_gone(tmp_path):
    run = begun(tmp_path)
    run.images.write_text("pixels")
    assert not run.is_finished
    run.finish("# a card", {})
    assert run.is_finished
    assert not run.images.exists()


def test_the_record_holds_no_clock_and_no_path(tmp_path):
    first = (begun(tmp_path / "one").path / "run.json").read_bytes()
    second = (begun(tmp_path / "two").path / "run.json").read_bytes()
    assert first == second
    assert str(tmp_path).encode() not in first


def test_a_resumed_run_keeps_what_is_there(tmp_path):
    run = begun(tmp_path)
    (run.path / "state.pt").write_text("x")
    run.begin(resolved(tmp_path, resume=True), {"d.h5": "hash"}, command="train it", resume=True)
    assert (run.path / "state.pt").exists()


def test_a_damaged_stored_configuration_is_named(tmp_path):
    run = begun(tmp_path)
    write_resolved(run.path / "config.yaml", Network())
    with pytest.raises(UsageError, match="unknown key 'arguments'"):
        resolved(tmp_path, resume=True)
