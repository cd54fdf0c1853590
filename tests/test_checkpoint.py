from __future__ import annotations

import json
import pickle
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from skelaug.checkpoint import (
    Checkpoint,
    load_checkpoint,
    load_state,
    save_checkpoint,
    save_state,
)
from skelaug.errors import DataError, NotFoundError, StorageError
from skelaug.skeleton.layouts import get_layout


@pytest.fixture
def checkpoint() -> Checkpoint:
    numbers = torch.Generator().manual_seed(0)
    return Checkpoint(
        kind="frame-transformer",
        arguments={"rows": 20, "multipliers": [1, 2], "learned_variance": False},
        weights={
            "a.weight": torch.randn(3, 5, generator=numbers).T,  # not contiguous
            "a.count": torch.tensor(7),
        },
        layout=get_layout("kinect_20"),
        classes=("kick [forward]", "走る"),
        meta={"what": "diffusion", "durations": {"走る": [0.5, 1.0]}, "licence": None},
    )


def test_what_is_saved_is_loaded(tmp_path, checkpoint):
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, checkpoint)
    loaded = load_checkpoint(path)
    assert replace(loaded, weights={}) == replace(checkpoint, weights={})
    assert loaded.weights.keys() == checkpoint.weights.keys()
    for key, tensor in checkpoint.weights.items():
        assert torch.equal(loaded.weights[key], tensor)


def test_equal_checkpoints_are_equal_files(tmp_path, checkpoint):
    turned = replace(
        checkpoint,
        meta=dict(reversed(checkpoint.meta.items())),
        weights=dict(reversed(checkpoint.weights.items())),
    )
    for name, one in (("one", checkpoint), ("two", turned)):
        save_checkpoint(tmp_path / name, one)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_half_precision_halves_the_file_and_comes_back_as_float32(tmp_path, checkpoint):
    big = replace(checkpoint, weights={"w": torch.linspace(-1, 1, 10_000)})
    save_checkpoint(tmp_path / "full", big)
    save_checkpoint(tmp_path / "half", big, half=True)
    sizes = [(tmp_path / name).stat().st_size for name in ("full", "half")]
    assert sizes[0] - sizes[1] == 20_000
    weight = load_checkpoint(tmp_path / "half").weights["w"]
    assert weight.dtype == torch.float32
    torch.testing.assert_close(weight, big.weights["w"], rtol=2**-11, atol=2**-25)


def test_counters_are_not_halved(tmp_path, checkpoint):
    save_checkpoint(tmp_path / "m", checkpoint, half=True)
    assert load_file(tmp_path / "m")["a.count"].dtype == torch.int64


@pytest.mark.parametrize(
    ("what", "kind", "expect", "fits"),
    [
        ("diffusion", "unet", "diffusion", True),
        ("guide", "unet", "diffusion", False),
        (None, "evaluation/gru", "evaluation", True),
        (None, "evaluation/gru", "guide", False),
        ("guide", "st-trans", "", True),
    ],
)
def test_a_model_for_another_purpose_is_refused_by_name(
    tmp_path, checkpoint, what, kind, expect, fits
):
    path = tmp_path / "m"
    meta = {"what": what} if what else {}
    save_checkpoint(path, replace(checkpoint, kind=kind, meta=meta))
    if fits:
        assert load_checkpoint(path, expect=expect).kind == kind
    else:
        with pytest.raises(
            DataError, match=f"expected a {expect} model, got one for {what or kind}"
        ):
            load_checkpoint(path, expect=expect)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (None, "expected format skelaug.checkpoint, got None"),
        ({"format": "other"}, "got 'other'"),
        (
            {"format": "skelaug.checkpoint", "format_version": "2"},
            "version is 2, .* reads 1; update",
        ),
    ],
)
def test_foreign_and_future_files_are_refused(tmp_path, header, message):
    save_file({"w": torch.zeros(2)}, tmp_path / "m", metadata=header)
    with pytest.raises(DataError, match=message):
        load_checkpoint(tmp_path / "m")


@pytest.mark.parametrize("content", [b"", b"\x00" * 64, b"{}", pickle.dumps({"a": 1})])
def test_junk_is_refused_and_never_unpickled(tmp_path, content):
    (tmp_path / "m").write_bytes(content)
    with pytest.raises(DataError, match="expected a safetensors file"):
        load_checkpoint(tmp_path / "m")
    with pytest.raises(DataError, match="cannot be read"):
        load_state(tmp_path / "m")


def test_a_header_without_its_keys_or_with_a_broken_one_is_refused(tmp_path, checkpoint):
    save_checkpoint(tmp_path / "m", checkpoint)
    good = {"format": "skelaug.checkpoint", "format_version": "1", "kind": "unet"}
    for header in (good, {**good, "arguments": "{", "layout": "", "classes": "", "meta": ""}):
        save_file({"w": torch.zeros(2)}, tmp_path / "m", metadata=header)
        with pytest.raises(DataError, match=str(tmp_path / "m")):
            load_checkpoint(tmp_path / "m")


def test_a_missing_file_is_not_found(tmp_path):
    with pytest.raises(NotFoundError, match="no such checkpoint"):
        load_checkpoint(tmp_path / "none")
    with pytest.raises(NotFoundError, match="no training state"):
        load_state(tmp_path / "none")


def test_a_state_comes_back_as_it_was(tmp_path):
    state = {"step": 3, "w": torch.arange(4.0), "line": {"loss": None, "lr": 0.1}, "best": {}}
    save_state(tmp_path / "state.pt", state)
    loaded = load_state(tmp_path / "state.pt")
    assert torch.equal(loaded.pop("w"), state.pop("w"))
    assert loaded == state


class Evil:
    def __reduce__(self):
        return (print, ("executed",))


def test_a_state_that_would_run_code_is_refused(tmp_path, capsys):
    torch.save({"x": Evil()}, tmp_path / "state.pt")
    with pytest.raises(DataError, match="cannot be read"):
        load_state(tmp_path / "state.pt")
    assert capsys.readouterr().out == ""


def test_a_failed_save_leaves_the_old_file(tmp_path, checkpoint):
    path = tmp_path / "m"
    save_checkpoint(path, checkpoint)
    before = path.read_bytes()
    with pytest.raises(TypeError):
        save_checkpoint(path, replace(checkpoint, meta={"bad": object()}))
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path, checkpoint, monkeypatch):
    def full(self, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(StorageError, match="disk is full"):
        save_checkpoint(tmp_path / "m", checkpoint)


def test_the_header_is_plain_json(tmp_path, checkpoint):
    save_checkpoint(tmp_path / "m", checkpoint)
    raw = (tmp_path / "m").read_bytes()
    size = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + size])["__metadata__"]
    assert json.loads(header["classes"]) == list(checkpoint.classes)
    assert json.loads(header["meta"]) == checkpoint.meta
