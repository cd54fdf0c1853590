"""A trained zero-shot model: an encoder of clips, and a network that matches them with texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from skelaug.checkpoint import Checkpoint, load_checkpoint
from skelaug.diffusion.schedule import Schedule, scaled_linear_schedule
from skelaug.errors import DataError
from skelaug.models import MATCHERS
from skelaug.models.kinematic_head import KinematicHead
from skelaug.seeds import Stream, generator
from skelaug.skeleton.layout import SkeletonLayout
from skelaug.text.descriptions import ClassTexts
from skelaug.text.encoder import TextEncoder, open_encoder
from skelaug.workflows.recognizer import Recognizer, recognizer_of
from skelaug.workflows.zeroshot_features import Mode, positions_to_features
from skelaug.workflows.zeroshot_texts import Ask, ClassBank, TextScale, from_json
from skelaug.zeroshot.feature_scale import FeatureScale
from skelaug.zeroshot.noise_error import Texts, noise_errors
from skelaug.zeroshot.text_prior import TextPrior, around
from skelaug.zoo import find_model, find_weights

__all__ = ["ClipMatcher", "ZeroShotModel", "companions", "load_zeroshot"]

_PARTS = ("encoder", "head", "features", "texts", "prior")
_AT_ONCE = 512  # clips times noises per pass of the network


def companions(
    encoder: Recognizer,
    head: nn.Module,
    scale: FeatureScale,
    text_scale: TextScale,
    prior: TextPrior | None,
) -> dict[str, Tensor]:
    """What a checkpoint carries beside the matching network's own weights, by name."""
    return {
        **{f"encoder/{key}": tensor for key, tensor in encoder.checkpoint.weights.items()},
        **{f"head/{key}": tensor for key, tensor in head.state_dict().items()},
        **{f"features/{key}": tensor for key, tensor in scale._asdict().items()},
        **{f"texts/{key}": tensor for key, tensor in text_scale._asdict().items()},
        **{f"prior/{key}": tensor for key, tensor in (prior._asdict() if prior else {}).items()},
    }


@dataclass(frozen=True, eq=False)
class ZeroShotModel:
    """A trained zero-shot model.

    Attributes:
        name: What the user called it.
        path: The file that it came from.
        checkpoint: Its weights, layout, classes and meta data.
        encoder: From clips to features.
        network: From noised features and texts to noise.
        head: From pooled texts to logits of liveliness.
        scale: Of the features.
        text: Encoder of sentences.
        text_scale: Of what it answers.
        prior: What texts say of standardised features before the network does, or None.
        device: Where it computes.
    """

    name: str
    path: Path
    checkpoint: Checkpoint
    encoder: Recognizer
    network: nn.Module
    head: nn.Module
    scale: FeatureScale
    text: TextEncoder
    text_scale: TextScale
    prior: TextPrior | None
    device: torch.device

    @property
    def told(self) -> Mapping[str, Any]:
        """What its meta data say of matching."""
        return cast(Mapping[str, Any], self.checkpoint.meta["zeroshot"])

    @property
    def layout(self) -> SkeletonLayout:
        """The joints that it was trained on."""
        return self.checkpoint.layout

    @property
    def mode(self) -> Mode:
        """Whether features are one vector or lie along time."""
        return cast(Mode, self.told["mode"])

    @property
    def descriptions(self) -> list[ClassTexts]:
        """The texts of the classes of its data, seen and unseen."""
        return from_json(self.told["classes"])

    @property
    def is_learnt(self) -> NDArray[np.bool_]:
        """Which classes of its data the matching network has learnt, Y: seen ones not held out."""
        learnt = {*self.told["seen"]} - {*self.told["held"]}
        return np.array([one.name in learnt for one in self.descriptions])

    @property
    def schedule(self) -> Schedule:
        """The noise levels."""
        return scaled_linear_schedule(int(self.told["diffusion_steps"]))

    @property
    def temperature(self) -> float:
        """Of the softmax over noise errors."""
        return float(self.told.get("temperature", 1.0))

    @property
    def constant(self) -> float:
        """What is taken off the scores of learnt classes where unseen ones compete with them."""
        return float(self.told.get("constant", 0.0))

    def with_weights(self, weights: Mapping[str, Tensor]) -> ZeroShotModel:
        """The same with other weights of the matching network."""
        network = MATCHERS[self.checkpoint.kind](**self.checkpoint.arguments)
        network.load_state_dict(dict(weights))
        return replace(self, network=_ready(network, self.device))

    def texts(self, classes: Sequence[ClassTexts]) -> Texts:
        """The texts that classes are asked with."""
        how = {key: bool(self.told[key]) for key in ("words", "paired")}
        bank = ClassBank.of(self.text, classes, self.head, self.text_scale, **how)
        return bank.asked(cast(Ask, self.told["ask"])).to(self.device)

    def standardised(self, features: Tensor) -> Tensor:
        """Features N L D as the matching network takes them."""
        return self.scale.applied(features.to(self.device))

    def noises(self, count: int, length: int, *, seed: int = 0, draw: int = 0) -> Tensor:
        """Noises R L D that all clips and classes share; they depend on (seed, draw) alone."""
        numbers = generator(seed, Stream.EVALUATE, draw)
        return torch.randn(count, length, len(self.scale.mean), generator=numbers).to(self.device)

    @torch.no_grad()
    def errors(self, z: Tensor, texts: Texts, noises: Tensor) -> Tensor:
        """Noise errors N Y of standardised features N L D; see `noise_errors`."""
        step, schedule = int(self.told["error_step"]), self.schedule
        network = around(self.network, self.prior, schedule)

        size = max(1, _AT_ONCE // len(noises))
        parts = [
            noise_errors(network, some, texts, noises, step=step, schedule=schedule)
            for some in torch.split(z, size)
        ]
        return torch.cat(parts) if parts else torch.empty(0, len(texts))

    def errors_of(
        self, features: NDArray[np.float32], texts: Texts, *, draw: int, seed: int = 0
    ) -> NDArray[np.float64]:
        """Noise errors N Y of raw features N L D with the noises of a draw."""
        z = self.standardised(torch.from_numpy(features))
        noises = self.noises(int(self.told["noises"]), z.shape[1], seed=seed, draw=draw)
        return np.asarray(self.errors(z, texts, noises).double().cpu().numpy())


class ClipMatcher(nn.Module):
    """A zero-shot model and some labels as a recognizer: prepared positions to logits N Y.

    Args:
        model: The model.
        classes: Texts of the labels; of the classes of the model's own data, learnt ones score less
            by the calibration constant.
        noises: How many noises are averaged.
    """

    def __init__(self, model: ZeroShotModel, classes: Sequence[ClassTexts], noises: int) -> None:
        super().__init__()
        self.model = model
        self.texts = model.texts(classes)
        self.count = noises
        self.handicap = torch.zeros(len(classes), device=model.device)
        if list(classes) == model.descriptions:
            self.handicap[torch.from_numpy(model.is_learnt)] = model.constant

    def forward(self, positions: Tensor) -> Tensor:
        """Minus the noise errors over the temperature; their softmax are the probabilities.

        The best label has 0: far from it, float32 would round small differences away.
        """
        model = self.model
        features = positions_to_features(model.encoder, positions, model.mode)
        z = model.standardised(features)
        noises = model.noises(self.count, z.shape[1])
        errors = model.errors(z, self.texts, noises) + self.handicap
        return (errors.amin(dim=1, keepdim=True) - errors) / model.temperature


def load_zeroshot(
    name_or_path: str | Path, *, text: str | TextEncoder = "", device: torch.device | None = None
) -> ZeroShotModel:
    """The zero-shot model of a run directory or a safetensors file.

    Args:
        name_or_path: What the user calls it.
        text: Encoder of sentences in place of the one it was trained with, e.g. another path of the
            same file; or that one, opened already.
        device: Where to compute; the CPU by default.

    Raises:
        NotFoundError: There is no such model or text encoder.
        DataError: The file is damaged, is for something else, or the texts have other sizes.
        DependencyError: The package of the text encoder is missing.
    """
    name = str(name_or_path)
    path = find_weights(find_model(name_or_path), "zeroshot")
    checkpoint = load_checkpoint(path, expect="zeroshot")
    device = device or torch.device("cpu")
    own: dict[str, dict[str, Tensor]] = {part: {} for part in ("", *_PARTS)}
    for key, tensor in checkpoint.weights.items():
        part, slash, rest = key.partition("/")
        own[part if slash and part in own else ""][rest if slash else key] = tensor
    try:
        told = checkpoint.meta["zeroshot"]
        encoder = replace(
            checkpoint,
            kind=told["encoder"]["kind"],
            arguments=told["encoder"]["arguments"],
            weights=own["encoder"],
            meta=told["encoder"]["meta"],
        )
        head = KinematicHead(text_features=int(told["text_features"]))
        head.load_state_dict(own["head"])
        network = MATCHERS[checkpoint.kind](**checkpoint.arguments)
        network.load_state_dict(own[""])
        scale = FeatureScale(**own["features"]).to(device)
        text_scale = TextScale(**own["texts"])
        prior = TextPrior(**own["prior"]).to(device) if own["prior"] else None
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise DataError(
            f"{name}: the weights do not fit a network {checkpoint.kind!r} of this version of "
            f"skelaug; train the model again"
        ) from error
    sentences = open_encoder(text or told["text"]) if isinstance(text, str) else text
    if sentences.size != int(told["text_features"]):
        raise DataError(
            f"{name}: expected a text encoder of {told['text_features']} features such as "
            f"{told['text']!r}, got {sentences.name!r} with {sentences.size}"
        )
    return ZeroShotModel(
        name=name,
        path=path,
        checkpoint=checkpoint,
        encoder=recognizer_of(encoder, name=f"{name}, encoder", path=path, device=device),
        network=_ready(network, device),
        head=head.eval().requires_grad_(False),
        scale=scale,
        text=sentences,
        text_scale=text_scale,
        prior=prior,
        device=device,
    )


def _ready(network: nn.Module, device: torch.device) -> nn.Module:
    return network.to(device).eval().requires_grad_(False)
