"""The weights that EfficientGCN's authors published: their names, their tree of joints, loading."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from skelaug.errors import DataError, NotFoundError
from skelaug.models.recognizers.efficient_gcn import EfficientGCN, stage_sizes

__all__ = ["PUBLISHED_PARENTS", "is_published", "load_published", "read_published"]

# One-based as in the published table, where the root is its own parent.
_PUBLISHED_TABLE = (
    *(2, 2, 21, 3, 21, 5, 6, 7, 21, 9, 10, 11),
    *(1, 13, 14, 15, 1, 17, 18, 19, 2, 23, 8, 25, 12),
)
PUBLISHED_PARENTS = tuple(
    -1 if parent == joint else parent - 1 for joint, parent in enumerate(_PUBLISHED_TABLE, start=1)
)
"""The tree of the published weights: the joints of ntu_25, rooted at spine_mid, tips on thumbs."""

# Names in the weights of EfficientGCN's authors (MIT), and here; one after the other.
_PUBLISHED = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        (r"^input_branches\.(\d)\.block-(\d)", r"branches.\1.stages.\2"),
        (r"^input_branches", "branches"),
        (r"^main_stream\.block-", "main."),
        (r"^classifier\.fc", "classify"),
        (r"stem_tcn\.conv", "temporal.whole.0"),
        (r"stem_tcn\.bn", "temporal.whole.1"),
        (r"init_bn", "norm"),
        (r"stem_scn", "spatial"),
        (r"_scn", ".spatial"),
        (r"_tcn-", ".temporal."),
        (r"_att(\.att)?\.", ".attention."),
        (r"\.conv\.A$", ".graph.subsets"),
        (r"\.conv\.edge$", ".graph.edges"),
        (r"\.conv\.gcn\.", ".graph.project."),
        (r"\.bn\.", ".norm."),
        (r"\.residual\.", ".shortcut."),
        (r"_conv(\d?)\.", r"\1."),
        (r"\.fcn\.", ".narrow."),
        (r"\.conv_t\.", ".frames."),
        (r"\.conv_v\.", ".joints."),
    )
)


def _here(name: str) -> str:
    for pattern, replacement in _PUBLISHED:
        name = pattern.sub(replacement, name)
    return name


def is_published(path: Path) -> bool:
    """Whether a file holds weights under the names of EfficientGCN's authors."""
    try:
        with safe_open(path, framework="pt") as file:
            names = set(file.keys())
    except (SafetensorError, OSError):
        return False
    return {"classifier.fc.weight", "input_branches.0.init_bn.weight"} <= names


def read_published(path: Path) -> tuple[dict[str, Any], EfficientGCN]:
    """The constructor's arguments and the network with published weights, in evaluation mode.

    Size, temporal layer and classes follow from the file. The joints are those of ntu_25 in the
    tree `PUBLISHED_PARENTS`; class k is the data set's action k + 1.

    Raises:
        NotFoundError: There is no such file.
        DataError: The file does not hold those weights.
    """
    if not path.is_file():
        raise NotFoundError(f"{path}: no such file; check the path")
    try:
        weights = {_here(name): tensor for name, tensor in load_file(path).items()}
    except (SafetensorError, OSError) as error:
        raise DataError(f"{path}: expected a safetensors file, got {error}") from error
    try:
        num_classes, width = weights["classify.weight"].shape[:2]
        arguments: dict[str, Any] = {
            "parents": list(PUBLISHED_PARENTS),
            "num_classes": num_classes,
            "persons": 2,
            "channels": 3,
            "phi": [stage_sizes(phi)[-1][0] for phi in range(5)].index(width),
            "temporal": "sg" if any(".depth1." in name for name in weights) else "sep",
        }
        network = EfficientGCN(**arguments)
        for name, own in network.state_dict().items():
            if name in weights:  # convolutions of one frame and joint are matrices here
                weights[name] = weights[name].reshape(own.shape)
        network.load_state_dict(weights)
    except (KeyError, ValueError, RuntimeError) as error:
        raise DataError(
            f"{path}: expected the weights of a published EfficientGCN, got {error}"
        ) from error
    return arguments, network.eval()


def load_published(path: Path) -> EfficientGCN:
    """The network with published weights; see `read_published`."""
    _, network = read_published(path)
    return network
