"""Published weights as a checkpoint of this program."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from skelaug.checkpoint import load_checkpoint, save_checkpoint
from skelaug.data.ntu import CLASSES, NTUReader
from skelaug.errors import DataError, NotFoundError
from skelaug.models.recognizers import RECOGNIZERS
from skelaug.skeleton.preparation import PROFILES
from skelaug.workflows.published_weights import published_checkpoint

FILE = Path("eval_nets") / "efficientgcn_b0_ntu60_xsub.safetensors"


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no such file"):
        published_checkpoint(tmp_path / "absent.safetensors")
    save_file({"linear1.weight": torch.zeros(2, 2)}, tmp_path / "other.safetensors")
    with pytest.raises(DataError, match="expected the weights of a published EfficientGCN"):
        published_checkpoint(tmp_path / "other.safetensors")


@pytest.mark.data
def test_the_checkpoint_says_all_that_is_needed_to_use_it(
    shared_data: Path, tmp_path: Path
) -> None:
    save_checkpoint(tmp_path / "net.safetensors", published_checkpoint(shared_data / FILE))
    checkpoint = load_checkpoint(tmp_path / "net.safetensors", expect="recognizer")
    assert checkpoint.classes == CLASSES[:60]
    assert checkpoint.meta["licence"] == "MIT"
    assert checkpoint.meta["streams"] == ["joint"]
    network = RECOGNIZERS[checkpoint.kind](**checkpoint.arguments).eval()
    network.load_state_dict(dict(checkpoint.weights))
    how = checkpoint.meta["preparation"]
    profile = PROFILES[how["profile"]]
    path = next((shared_data / "raw_samples" / "ntu_skeleton").glob("*A058.skeleton"))
    (clip,) = NTUReader().read(path.name, lambda _: path.read_bytes())
    assert clip.sequence.layout.joints == checkpoint.layout.joints  # type: ignore[union-attr]
    placed = profile.place(clip.sequence, how["persons"])  # type: ignore[union-attr]
    x = torch.from_numpy(profile.fit(placed, how["frames"])).permute(3, 0, 2, 1)[None]
    with torch.no_grad():
        answer = checkpoint.classes[int(network(x).argmax())]
    assert answer == "handshake"
