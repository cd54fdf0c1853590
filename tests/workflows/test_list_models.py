"""Models by name, by run directory and as a list; foreign weights are passed over."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from skelaug import zoo
from skelaug.checkpoint import Checkpoint, save_checkpoint
from skelaug.errors import NotFoundError
from skelaug.workflows.list_models import ModelsConfig, run


@pytest.fixture
def save_model(make_sequence):
    def save(path: Path, role: str = "model", **meta: object) -> None:
        checkpoint = Checkpoint(
            kind="frame_transformer",
            arguments={},
            weights={"w": torch.zeros(5), "b": torch.zeros(2)},
            layout=make_sequence().layout,
            classes=("kick [high]", "walk"),
            meta=meta,
        )
        save_checkpoint(path / f"{role}.safetensors", checkpoint)

    return save


def test_runs_below_a_folder_are_listed_with_what_they_know(save_model, tmp_path):
    save_model(tmp_path / "runs" / "b", licence="CC BY-SA 3.0", scores={"accuracy": 0.5})
    save_model(tmp_path / "a")
    local = [m for m in run(ModelsConfig(root=tmp_path)).models if m.where == "local"]
    assert [model.name for model in local] == ["a", "runs/b"]
    assert local[1].licence == "CC BY-SA 3.0"
    assert local[1].parts[0].scores == {"accuracy": 0.5}
    assert local[1].parts[0].parameters == 7
    assert local[1].classes == ["kick [high]", "walk"]


def test_weights_of_another_program_are_passed_over_in_the_list(tmp_path):
    (tmp_path / "bert").mkdir()
    save_file({"w": torch.zeros(3)}, tmp_path / "bert" / "model.safetensors")
    assert [m for m in run(ModelsConfig(root=tmp_path)).models if m.where == "local"] == []


def test_a_packaged_model_has_parts_and_a_card(save_model, tmp_path, monkeypatch):
    monkeypatch.setattr(zoo, "_HERE", tmp_path)
    for role in ("diffusion", "guide"):
        save_model(tmp_path / "kinect", role, licence="CC BY-SA 3.0")
    (tmp_path / "kinect" / "card.md").write_text("# card\n")
    (tmp_path / "__pycache__").mkdir()
    for config in (ModelsConfig(root=tmp_path / "elsewhere"), ModelsConfig(name="kinect")):
        (model,) = run(config).models
        assert (model.name, model.where, model.card) == ("kinect", "packaged", "# card\n")
        assert [part.role for part in model.parts] == ["diffusion", "guide"]
        assert model.licence == "CC BY-SA 3.0"


def test_a_run_directory_is_a_name_too(save_model, tmp_path):
    save_model(tmp_path / "run")
    (model,) = run(ModelsConfig(name=str(tmp_path / "run"))).models
    assert (model.where, model.layout) == ("local", "kinect_20")


def test_an_unknown_name_gets_the_near_ones(save_model, tmp_path, monkeypatch):
    monkeypatch.setattr(zoo, "_HERE", tmp_path)
    with pytest.raises(NotFoundError, match="none is packaged"):
        zoo.find_model("kinect20")
    save_model(tmp_path / "kinect20", "diffusion")
    with pytest.raises(NotFoundError, match="did you mean 'kinect20'"):
        run(ModelsConfig(name="kinect02"))


def test_weights_are_found_by_role_else_the_model_of_a_run(save_model, tmp_path):
    save_model(tmp_path / "both", "guide")
    save_model(tmp_path / "both", "model")
    both = zoo.find_model(tmp_path / "both")
    assert zoo.find_weights(both, "guide").name == "guide.safetensors"
    assert zoo.find_weights(both, "diffusion").name == "model.safetensors"
    single = tmp_path / "both" / "guide.safetensors"
    assert zoo.find_weights(zoo.find_model(single), "diffusion") == single
    save_model(tmp_path / "one", "guide")
    with pytest.raises(NotFoundError, match="'diffusion'; it has guide"):
        zoo.find_weights(tmp_path / "one", "diffusion")


def test_every_packaged_model_says_its_licence_and_has_a_card():
    for name in zoo.packaged():
        (model,) = run(ModelsConfig(name=name)).models
        assert model.licence
        assert model.card.startswith("#")
        assert sum(part.megabytes for part in model.parts) <= 15
