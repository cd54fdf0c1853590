"""The recurrent recognizer whose features FID and diversity are measured in (Guo et al. 2020).

Two GRU layers read a motion frame by frame; the features are thirty bounded numbers at the last
valid frame. Letters: n samples, t frames, d numbers per frame (joints times three).
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from skelaug.errors import DataError, NotFoundError
from skelaug.shapes import check_shape

__all__ = ["GRUClassifier", "load_published"]

# Names in the weights of Action2Motion's authors (MIT), and here.
_PUBLISHED = {"recurrent": "gru", "linear1": "project", "linear2": "classify"}


class GRUClassifier(nn.Module):
    """Action2Motion's recognizer.

    The authors start the GRU from a random state, also when testing; up to a quarter of its
    answers then change from run to run. Here the state starts at zero.

    Args:
        inputs: Numbers per frame D: joints times three.
        num_classes: Number of classes K.
        hidden: State size.
        num_features: Size E of the features.
        layers: GRU layers.
    """

    def __init__(
        self,
        *,
        inputs: int,
        num_classes: int,
        hidden: int = 128,
        num_features: int = 30,
        layers: int = 2,
    ) -> None:
        super().__init__()
        self.inputs = inputs
        self.gru = nn.GRU(inputs, hidden, layers, batch_first=True)
        self.project = nn.Linear(hidden, num_features)
        self.classify = nn.Linear(num_features, num_classes)

    def features(self, motion: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The features that Frechet distance and diversity are measured in.

        Args:
            motion: N T D, origin at the root of the first frame.
            lengths: N, valid frames in 1..T; None means T.

        Returns:
            N E in [-1, 1].
        """
        check_shape(motion, "N T D", what="motion", D=self.inputs)
        states, _ = self.gru(motion)  # no initial state given: zero
        if lengths is None:
            last = states[:, -1]
        else:
            last = states[torch.arange(len(states), device=states.device), lengths - 1]
        return torch.tanh(self.project(last))

    def forward(self, motion: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Motions N T D (and their valid frames N) to logits N K."""
        logits: Tensor = self.classify(self.features(motion, lengths))
        return logits


def load_published(path: Path) -> GRUClassifier:
    """The recognizer with the weights that Action2Motion's authors published, as safetensors.

    Sizes follow from the file: 72 numbers and 12 or 34 classes (HumanAct12), 54 and 13 (NTU-13),
    60 and 8 (CMU).

    Raises:
        NotFoundError: There is no such file.
        DataError: The file does not hold those weights.
    """
    if not path.is_file():
        raise NotFoundError(f"{path}: no such file; check the path")
    try:
        published = load_file(path)
    except (SafetensorError, OSError) as error:
        raise DataError(f"{path}: expected a safetensors file, got {error}") from error
    weights = {}
    for name, tensor in published.items():
        module, _, rest = name.partition(".")
        weights[f"{_PUBLISHED.get(module, module)}.{rest}"] = tensor
    try:
        features, hidden = weights["project.weight"].shape
        network = GRUClassifier(
            inputs=weights["gru.weight_ih_l0"].shape[1],
            num_classes=len(weights["classify.bias"]),
            hidden=hidden,
            num_features=features,
        )
        network.load_state_dict(weights)
    except (KeyError, ValueError, RuntimeError) as error:
        raise DataError(
            f"{path}: expected the weights of an Action2Motion recognizer, got {error}"
        ) from error
    return network.eval()
