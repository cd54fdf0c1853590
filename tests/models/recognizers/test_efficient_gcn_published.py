"""The weights of EfficientGCN's authors: their tree, their names, and raw clips that they know."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from skelaug.data.ntu import CLASSES, parse_ntu
from skelaug.errors import DataError, NotFoundError
from skelaug.models.recognizers.efficient_gcn import EfficientGCN
from skelaug.models.recognizers.efficient_gcn_published import (
    PUBLISHED_PARENTS,
    is_published,
    load_published,
    read_published,
)
from skelaug.skeleton.layouts import get_layout
from skelaug.skeleton.preparation import PROFILES

NTU = get_layout("ntu_25")
FILE = "efficientgcn_b0_ntu60_xsub.safetensors"


def edges(parents: tuple[int, ...]) -> set[frozenset[str]]:
    return {
        frozenset((NTU.joints[child], NTU.joints[parent]))
        for child, parent in enumerate(parents)
        if parent >= 0
    }


def test_the_published_tree_is_ours_but_for_the_tips() -> None:
    assert NTU.joints[PUBLISHED_PARENTS.index(-1)] == "spine_mid"
    hands = {frozenset((f"{side}_hand", f"{side}_hand_tip")) for side in ("left", "right")}
    thumbs = {frozenset((f"{side}_thumb", f"{side}_hand_tip")) for side in ("left", "right")}
    assert edges(NTU.parents) - edges(PUBLISHED_PARENTS) == hands
    assert edges(PUBLISHED_PARENTS) - edges(NTU.parents) == thumbs


INSIDE = {
    "spatial": {"graph.project": "conv.gcn", "norm": "bn"},
    "attention": {
        "narrow.0": "att.fcn.0",
        "narrow.1": "att.fcn.1",
        "frames": "att.conv_t",
        "joints": "att.conv_v",
        "norm": "bn",
    },
    "temporal": {
        f"{ours}{number}.{part}": f"{theirs}{number}.{part}"
        for ours, theirs in (
            ("expand", "expand_conv"),
            ("depth", "depth_conv"),
            ("point", "point_conv"),
        )
        for number in ("", "1", "2")
        for part in "01"
    },
}
SHORTCUT = {f"shortcut.{part}": f"residual.{part}" for part in "01"}


def inside(kind: str, here: str, there: str) -> dict[str, str]:
    names = {**INSIDE[kind], **SHORTCUT}
    return {f"{here}.{ours}": f"{there}.{theirs}" for ours, theirs in names.items()}


def stage(here: str, there: str) -> dict[str, str]:
    table = inside("spatial", f"{here}.spatial", f"{there}_scn")
    for layer in range(6):
        table |= inside("temporal", f"{here}.temporal.{layer}", f"{there}_tcn-{layer}")
    return table | inside("attention", f"{here}.attention", f"{there}_att")


def modules() -> dict[str, str]:
    """Names of modules here and where they stood in the published code."""
    table = {"classify": "classifier.fc"}
    for j in range(2):
        table |= stage(f"main.{j}", f"main_stream.block-{j}")
        for i in range(3):
            table |= stage(f"branches.{i}.stages.{j}", f"input_branches.{i}.block-{j}")
    for i in range(3):
        here, there = f"branches.{i}", f"input_branches.{i}"
        table |= inside("spatial", f"{here}.spatial", f"{there}.stem_scn")
        table[f"{here}.norm"] = f"{there}.init_bn"
        table[f"{here}.temporal.whole.0"] = f"{there}.stem_tcn.conv"
        table[f"{here}.temporal.whole.1"] = f"{there}.stem_tcn.bn"
    return table


def as_published(network: EfficientGCN) -> dict[str, Tensor]:
    table, found = modules(), {}
    for name, tensor in network.state_dict().items():
        module, _, leaf = name.rpartition(".")
        if module.endswith(".graph"):
            theirs = table[f"{module}.project"].removesuffix(".gcn")
            found[f"{theirs}.{'A' if leaf == 'subsets' else 'edge'}"] = tensor
        elif leaf == "weight" and module == "classify":
            found[f"{table[module]}.{leaf}"] = tensor[:, :, None, None, None].clone()
        elif leaf == "weight" and module.endswith("project"):
            found[f"{table[module]}.{leaf}"] = tensor[:, :, None, None].clone()
        else:
            found[f"{table[module]}.{leaf}"] = tensor
    return found


@pytest.mark.parametrize(("phi", "temporal", "classes"), [(0, "sep", 60), (1, "sg", 120)])
def test_published_names_load(tmp_path: Path, phi: int, temporal: str, classes: int) -> None:
    torch.manual_seed(0)
    network = EfficientGCN(
        parents=PUBLISHED_PARENTS,
        num_classes=classes,
        phi=phi,
        temporal=temporal,  # type: ignore[arg-type]
    )
    path = tmp_path / "net.safetensors"
    save_file(as_published(network), path)
    assert is_published(path)
    arguments, loaded = read_published(path)
    assert (arguments["phi"], arguments["temporal"]) == (phi, temporal)
    assert not loaded.training
    weights = network.state_dict()
    assert EfficientGCN(**arguments).state_dict().keys() == weights.keys()
    assert all(torch.equal(tensor, weights[name]) for name, tensor in loaded.state_dict().items())


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no such file"):
        load_published(tmp_path / "absent.safetensors")
    junk = tmp_path / "junk.safetensors"
    junk.write_bytes(b"junk")
    assert not is_published(junk)
    with pytest.raises(DataError, match="expected a safetensors file"):
        load_published(junk)
    network = EfficientGCN(parents=PUBLISHED_PARENTS, num_classes=60)
    weights = as_published(network)
    for wrong in (
        {"linear1.weight": torch.zeros(2, 2)},
        {name: tensor for name, tensor in weights.items() if "conv_t" not in name},
        {**weights, "more": torch.zeros(1)},
        {**weights, "classifier.fc.weight": torch.zeros(60, 100, 1, 1, 1)},
        {**weights, "classifier.fc.bias": torch.zeros(61)},
        {**weights, "main_stream.block-0_att.bn.bias": torch.zeros(9)},
    ):
        save_file(wrong, tmp_path / "other.safetensors")
        with pytest.raises(DataError, match="expected the weights of a published EfficientGCN"):
            load_published(tmp_path / "other.safetensors")


@pytest.mark.data
def test_the_published_weights_fit(shared_data: Path) -> None:
    path = shared_data / "eval_nets" / FILE
    arguments, network = read_published(path)
    assert sum(p.numel() for p in network.parameters()) == 365_958
    built = EfficientGCN(**arguments).state_dict()
    graphs = [name for name in built if name.endswith("subsets")]
    assert len(graphs) == 11
    for name in graphs:  # the graph that we derive is the one that they were trained with
        torch.testing.assert_close(built[name], network.state_dict()[name], rtol=0, atol=1e-7)
    assert len(load_file(path)) == len(network.state_dict())


def as_the_authors_read(path: Path) -> NDArray[np.float32]:
    """288 frames, 2 bodies by place in the frame, those with most spread; zeros elsewhere."""
    lines = iter(path.read_text().splitlines())
    frames = int(next(lines))
    bodies = np.zeros((4, frames, 25, 3), dtype=np.float32)
    for t in range(frames):
        for m in range(int(next(lines))):
            next(lines)
            for v in range(int(next(lines))):
                bodies[m, t, v] = [float(word) for word in next(lines).split()[:3]]
    seen = [body[body.sum((1, 2)) != 0] for body in bodies]
    spread = [body.std((0, 1)).sum() if len(body) else 0 for body in seen]
    prepared = np.zeros((288, 2, 25, 3), dtype=np.float32)
    prepared[:frames] = bodies[np.argsort(spread)[::-1][:2]].transpose(1, 0, 2, 3)[:288]
    return prepared


@pytest.mark.data
def test_raw_clips_are_recognized_from_our_own_reader(shared_data: Path) -> None:
    network = load_published(shared_data / "eval_nets" / FILE)
    profile = PROFILES["efficient"]
    wrong = {}
    paths = sorted((shared_data / "raw_samples" / "ntu_skeleton").glob("*.skeleton"))
    for path in paths:
        sequence = parse_ntu(path.read_bytes(), path=path.name).sequence
        prepared = profile.fit(profile.place(sequence, 2))
        plain = as_the_authors_read(path)
        assert any(np.array_equal(prepared, plain[:, order]) for order in ([0, 1], [1, 0]))
        with torch.no_grad():
            logits = network(torch.from_numpy(prepared).permute(3, 0, 2, 1)[None])[0]
        answer = CLASSES[int(logits.argmax())]
        if answer == sequence.label:
            assert logits.softmax(0).max() > 0.99
        else:
            wrong[path.stem] = answer
    assert len(paths) == 5
    assert wrong == {"S004C002P003R001A017": "wear shoe"}  # takes it off
