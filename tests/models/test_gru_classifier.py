"""The recurrent recognizer: its equations, its last valid frame, the published weights."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from skelaug.errors import DataError, NotFoundError
from skelaug.models.gru_classifier import GRUClassifier, load_published
from skelaug.seeds import generator


def _motions(n: int, t: int, d: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(n, t, d, generator=generator(0, 1), dtype=dtype)


def _features_by_loops(motion: torch.Tensor, network: GRUClassifier) -> torch.Tensor:
    """Cho et al. 2014 with the reset gate after the product, layer by layer, zero state."""
    weights = network.gru.state_dict()
    sequence = list(motion)
    for layer in range(2):
        w, u, b, c = (
            weights[f"{name}_l{layer}"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        state = torch.zeros(u.shape[1], dtype=motion.dtype)
        out = []
        for x in sequence:
            r1, z1, n1 = (w @ x + b).chunk(3)
            r2, z2, n2 = (u @ state + c).chunk(3)
            reset, update = torch.sigmoid(r1 + r2), torch.sigmoid(z1 + z2)
            state = (1 - update) * torch.tanh(n1 + reset * n2) + update * state
            out.append(state)
        sequence = out
    return torch.tanh(network.project.weight @ sequence[-1] + network.project.bias)


def test_features_are_the_equations_of_two_layers() -> None:
    network = GRUClassifier(inputs=6, num_classes=3, hidden=8, num_features=5).double()
    motions = _motions(2, 7, 6, torch.float64)
    for motion, got in zip(motions, network.features(motions), strict=True):
        torch.testing.assert_close(got, _features_by_loops(motion, network))


def test_logits_are_linear_in_the_features() -> None:
    network = GRUClassifier(inputs=6, num_classes=3).double()
    motions = _motions(4, 5, 6, torch.float64)
    features = network.features(motions)
    assert features.shape == (4, 30)
    assert features.abs().max() <= 1
    wanted = features @ network.classify.weight.T + network.classify.bias
    torch.testing.assert_close(network(motions), wanted)


def test_what_follows_the_last_valid_frame_does_not_matter() -> None:
    network = GRUClassifier(inputs=6, num_classes=3)
    motions = _motions(2, 9, 6)
    lengths = torch.tensor([4, 9])
    got = network(motions, lengths)
    torch.testing.assert_close(got[:1], network(motions[:1, :4]))
    torch.testing.assert_close(got[1:], network(motions[1:]))
    padded = motions.clone()
    padded[0, 4:] = 1e3
    torch.testing.assert_close(network(padded, lengths), got)


def test_two_runs_agree() -> None:
    network = GRUClassifier(inputs=6, num_classes=3)
    motions = _motions(2, 9, 6)
    assert torch.equal(network(motions), network(motions))


def test_published_names_load(tmp_path: Path) -> None:
    network = GRUClassifier(inputs=6, num_classes=3)
    names = {"gru": "recurrent", "project": "linear1", "classify": "linear2"}
    renamed = {}
    for name, tensor in network.state_dict().items():
        module, _, rest = name.partition(".")
        renamed[f"{names[module]}.{rest}"] = tensor
    save_file(renamed, tmp_path / "net.safetensors")
    motions = _motions(2, 9, 6)
    torch.testing.assert_close(
        load_published(tmp_path / "net.safetensors")(motions), network(motions)
    )


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no such file"):
        load_published(tmp_path / "absent.safetensors")
    (tmp_path / "junk.safetensors").write_bytes(b"junk")
    with pytest.raises(DataError, match="expected a safetensors file"):
        load_published(tmp_path / "junk.safetensors")
    save_file({"linear1.weight": torch.zeros(2, 2)}, tmp_path / "other.safetensors")
    with pytest.raises(DataError, match="expected the weights of an Action2Motion recognizer"):
        load_published(tmp_path / "other.safetensors")


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "inputs", "num_classes"),
    [
        ("humanact12", 72, 12),
        ("humanact12_fine", 72, 34),
        ("cmu_mocap8", 60, 8),
        ("ntu13_vibe", 54, 13),
    ],
)
def test_published_recognizers(shared_data: Path, name: str, inputs: int, num_classes: int) -> None:
    network = load_published(shared_data / "eval_nets" / f"a2m_gru_{name}.safetensors")
    motions = _motions(16, 60, inputs) * 0.1
    logits = network(motions)
    assert logits.shape == (16, num_classes)
    assert logits.isfinite().all()
    assert torch.equal(logits, network(motions))


# The 20 joints of the CMU recognizer: a spine, two arms from its first joint, two legs. The authors
# give only this tree; names and 1.4 units per metre are what fits best on the clips below.
_ARM, _LEG = ("humerus", "radius", "wrist", "fingers_end"), ("femur", "tibia", "foot", "toes")
_CMU_20 = (
    *("root", "upperback", "thorax", "head"),
    *(side + name for side in "lr" for name in _ARM),
    *(side + name for side in "lr" for name in _LEG),
)
_CMU_UNITS = 1.4
_CMU_CLASSES = {"walking": 0, "walking_extra": 0, "washwindow": 1, "running": 2, "jumping": 3}


@pytest.mark.data
def test_the_published_cmu_recognizer_recognizes_cmu_clips(shared_data: Path) -> None:
    network = load_published(shared_data / "eval_nets" / "a2m_gru_cmu_mocap8.safetensors")
    arrays = np.load(shared_data / "cmu_mocap8" / "cmu_mocap8.npz", allow_pickle=False)
    joints = [arrays["joint_names"].tolist().index(name) for name in _CMU_20]
    windows, wanted = [], []
    for i, label in enumerate(arrays["label"]):
        name = str(arrays["class_names"][label])
        clip = arrays["joints"][arrays["offsets"][i] : arrays["offsets"][i + 1], joints]
        for start in range(0, max(1, len(clip) - 60), 60) if name in _CMU_CLASSES else ():
            window = clip[start : start + 60]
            window = np.pad(window, ((0, 60 - len(window)), (0, 0), (0, 0)), mode="edge")
            windows.append((window - window[0, 0]).reshape(60, 60) * _CMU_UNITS)
            wanted.append(_CMU_CLASSES[name])
    with torch.no_grad():
        got = network(torch.from_numpy(np.stack(windows))).argmax(1).numpy()
    right = got == np.array(wanted)
    per_class = [right[np.array(wanted) == k].mean() for k in range(4)]
    assert np.mean(per_class) > 0.93, per_class  # chance is 1 in 8
