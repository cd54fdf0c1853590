"""What a zero-shot model learns from: features of clips of seen classes, and texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from skelaug.data.store import SequenceFile
from skelaug.errors import UsageError
from skelaug.models.kinematic_head import KinematicHead
from skelaug.seeds import Stream, generator
from skelaug.skeleton.layout import SkeletonLayout
from skelaug.text.descriptions import ClassTexts
from skelaug.text.encoder import TextEncoder
from skelaug.workflows.recognizer import Recognizer
from skelaug.workflows.training_clips import TrainingClips
from skelaug.workflows.zeroshot_classes import SeenClasses, TeachingParts
from skelaug.workflows.zeroshot_texts import (
    ClassBank,
    TextScale,
    as_json,
    teach_head,
)
from skelaug.zeroshot.feature_scale import FeatureScale
from skelaug.zeroshot.text_prior import TextPrior

__all__ = ["ZeroShotMaterial", "file_of", "taught_head"]


def file_of(clips: TrainingClips) -> SequenceFile:
    """The file of sequences.

    Raises:
        UsageError: It holds images.
    """
    if not isinstance(clips.file, SequenceFile):
        raise UsageError(f"{clips.file.path}: expected a file of sequences, got one of images")
    return clips.file


def taught_head(
    encoder: TextEncoder, texts: Sequence[ClassTexts], *, epochs: int, seed: int
) -> KinematicHead:
    """The kinematic head, trained on the described classes; see `teach_head`."""
    with torch.random.fork_rng(devices=[]):
        word = generator(seed, Stream.INITIAL_WEIGHTS, 1).initial_seed()
        torch.default_generator.manual_seed(word)
        head = KinematicHead(text_features=encoder.size)
    teach_head(head, encoder, texts, epochs=epochs)
    return head


@dataclass(frozen=True, eq=False)
class ZeroShotMaterial:
    """What the matching network is taught with.

    Attributes:
        clips: Where they come from; of seen classes alone.
        classes: Seen and unseen ones.
        encoder: From clips to features.
        features: Raw features of the training clips, N L D.
        scale: Of the features.
        labels: Seen class of each clip, N, as places in `classes.seen`.
        parts: Which clips are learnt from.
        texts: Of all classes, seen ones first.
        text: Encoder of sentences.
        text_scale: Of what it answers.
        prior: What texts say of standardised features before the network does, or None.
        bank: Texts of the seen classes, encoded.
        head: From pooled texts to logits of liveliness.
        settings: What else the checkpoint says of matching; plain JSON values.
    """

    clips: TrainingClips
    classes: SeenClasses
    encoder: Recognizer
    features: NDArray[np.float32]
    scale: FeatureScale
    labels: NDArray[np.int64]
    parts: TeachingParts
    texts: Sequence[ClassTexts]
    text: TextEncoder
    text_scale: TextScale
    prior: TextPrior | None
    bank: ClassBank
    head: nn.Module
    settings: dict[str, Any]

    @property
    def layout(self) -> SkeletonLayout:
        """The joints of the clips."""
        return self.encoder.layout

    @property
    def z(self) -> Tensor:
        """Standardised features of all training clips, N L D."""
        return self.scale.applied(torch.from_numpy(self.features))

    def facts(self) -> dict[str, Any]:
        """What a checkpoint says about encoder, texts and classes; plain JSON values."""
        own = self.encoder.checkpoint
        kept = ("what", "preparation", "streams")
        return {
            "zeroshot": {
                **self.settings,
                "text": self.text.name,
                "text_features": self.text.size,
                "split": self.classes.rule,
                "seen": list(self.classes.seen),
                "unseen": list(self.classes.unseen),
                "classes": as_json(self.texts),
                "encoder": {
                    "kind": own.kind,
                    "arguments": dict(own.arguments),
                    "meta": {key: own.meta[key] for key in kept if key in own.meta},
                },
            }
        }
