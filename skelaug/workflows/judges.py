"""Who says whether a drawn clip shows its class: a recognizer of clips, or the guide of a model.

A judge should not be the recognizer that is to be trained on the clips, which would be confirmed in
what it believes already, nor one that was trained on test clips, which would leak them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax

from skelaug.checkpoint import load_checkpoint
from skelaug.errors import UsageError
from skelaug.image.codec import ImageCodec
from skelaug.image.normalizer import ImageNormalizer
from skelaug.skeleton.sequence import SkeletonSequence
from skelaug.workflows.image_source import ready_network
from skelaug.workflows.recognizer import load_recognizer

__all__ = ["GuideJudge", "Judge", "RecognizerJudge"]


class Judge(Protocol):
    """Something that knows classes and sees them in drawn clips."""

    @property
    def path(self) -> Path:
        """Its weights."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes that it tells apart."""
        ...

    @property
    def meta(self) -> Mapping[str, Any]:
        """What its checkpoint says about its training clips."""
        ...

    def probabilities(
        self, pixels: NDArray[np.float32], clips: Sequence[SkeletonSequence]
    ) -> NDArray[np.float64]:
        """Probability of each of its classes, N K.

        Args:
            pixels: The drawn images, N C R F.
            clips: The same in metres, N.
        """
        ...


class RecognizerJudge:
    """A recognizer as a judge; it sees the clip in metres, prepared as it was trained.

    Args:
        name: A packaged model, a run directory or a safetensors file.
        codec: Of the images.
        classes: Classes that will be asked about.
        device: Where to compute.

    Attributes:
        path: Its weights.
        classes: The classes that it tells apart.
        meta: What its checkpoint says about its training clips.

    Raises:
        NotFoundError: There is no such model.
        UsageError: It lacks a class.
        DataError: It knows other joints.
    """

    def __init__(
        self, name: str, codec: ImageCodec, classes: Sequence[str], device: torch.device
    ) -> None:
        self.recognizer = load_recognizer(name, device=device)
        self.recognizer.check_clips(codec.layout, 3, where="the model's clips")
        self.path, self.classes = self.recognizer.path, self.recognizer.classes
        self.meta = self.recognizer.checkpoint.meta
        _check_classes(name, self.classes, classes)

    def probabilities(
        self, pixels: NDArray[np.float32], clips: Sequence[SkeletonSequence]
    ) -> NDArray[np.float64]:
        """See `Judge.probabilities`."""
        del pixels
        logits = self.recognizer.logits_of(np.stack([self.recognizer.prepare(c) for c in clips]))
        return np.asarray(softmax(logits.astype(np.float64), axis=1))


class GuideJudge:
    """The guide of a diffusion model as a judge; it sees the image.

    Args:
        path: Checkpoint of the guide.
        codec: Of the images.
        classes: Classes that will be asked about.
        device: Where to compute.

    Attributes:
        path: Its weights.
        classes: The classes that it tells apart.
        meta: What its checkpoint says about its training clips.

    Raises:
        UsageError: It lacks a class, sees other images, or knows noisy ones only.
    """

    def __init__(
        self, path: Path, codec: ImageCodec, classes: Sequence[str], device: torch.device
    ) -> None:
        checkpoint = load_checkpoint(path, expect="guide")
        own = ImageCodec.from_json(json.dumps(checkpoint.meta["codec"]))
        if own.shape != codec.shape or own.layout != codec.layout:
            raise UsageError(f"--judge {path}: expected a guide of the model's images, got others")
        if checkpoint.kind == "noisy-unet":
            raise UsageError(
                f"--judge {path}: expected a guide of clean images, got {checkpoint.kind!r}; give "
                f"a recognizer"
            )
        self.path, self.classes, self.meta = path, checkpoint.classes, checkpoint.meta
        _check_classes(str(path), self.classes, classes)
        self._network = ready_network(checkpoint, device)
        self._normalizer = ImageNormalizer.from_json(checkpoint.meta["normalizer"])
        self._ratio, self._device = codec.scale / own.scale, device

    def probabilities(
        self, pixels: NDArray[np.float32], clips: Sequence[SkeletonSequence]
    ) -> NDArray[np.float64]:
        """See `Judge.probabilities`."""
        del clips
        scaled = torch.from_numpy(pixels).to(self._device) * self._ratio
        with torch.inference_mode():
            logits = self._network(self._normalizer.normalize(scaled)).double().cpu().numpy()
        return np.asarray(softmax(logits, axis=1))


def _check_classes(name: str, known: Sequence[str], wanted: Sequence[str]) -> None:
    lacking = [label for label in wanted if label not in known]
    if lacking:
        raise UsageError(
            f"--judge {name}: expected a judge of all classes that are drawn, got one without "
            f"{lacking[0]!r}; train one with them, or choose classes with --label"
        )
