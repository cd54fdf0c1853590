"""A trained recognizer, ready to turn clips into logits: the way from a checkpoint to an answer.

Everything that decides the answer travels in the checkpoint: the network, the preparation of clips,
the streams, the layout and the classes. Logits are computed in float32, so that a clip's do not
depend on the clips that share its batch, beyond rounding.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from skelaug.checkpoint import Checkpoint, load_checkpoint
from skelaug.errors import DataError
from skelaug.models.recognizers import RECOGNIZERS
from skelaug.models.recognizers.efficient_gcn_published import is_published
from skelaug.models.recognizers.streams import STREAMS, as_streams
from skelaug.shapes import check_shape
from skelaug.skeleton.layout import SkeletonLayout
from skelaug.skeleton.preparation import PROFILES
from skelaug.skeleton.sequence import SkeletonSequence
from skelaug.workflows.published_weights import published_checkpoint
from skelaug.zoo import find_model, find_weights

__all__ = [
    "Preparation",
    "Recognizer",
    "StreamedNetwork",
    "load_recognizer",
    "recognizer_of",
]


class Preparation(NamedTuple):
    """How clips are made ready for a network; networks with equal ones share prepared clips."""

    profile: str
    frames: int
    persons: int


class StreamedNetwork(nn.Module):
    """A network behind its streams: prepared positions N C T V M in, logits N K out.

    Args:
        network: Called with the streams' channels, N C*S T V M.
        streams: Names of the streams S, in the order of the channels.
        parents: The tree of the joints, for bones.
    """

    def __init__(self, network: nn.Module, streams: tuple[str, ...], parents: tuple[int, ...]):
        super().__init__()
        self.network = network
        self.streams, self.parents = streams, parents

    def forward(self, positions: Tensor) -> Tensor:
        """Logits N K of prepared positions N C T V M."""
        logits: Tensor = self.network(as_streams(positions, self.streams, self.parents))
        return logits


@dataclass(frozen=True, eq=False)
class Recognizer:
    """A trained recognizer.

    Attributes:
        name: What the user called it.
        path: The file that it came from.
        checkpoint: Its weights, layout, classes and meta data.
        network: From prepared positions to logits, on `device`, in evaluation mode; in most cases
            a `StreamedNetwork`.
        preparation: How clips are prepared; of more persons, the profile chooses.
        streams: Names of the streams that the network sees.
        device: Where it computes.
    """

    name: str
    path: Path
    checkpoint: Checkpoint
    network: nn.Module
    preparation: Preparation
    streams: tuple[str, ...]
    device: torch.device

    @property
    def layout(self) -> SkeletonLayout:
        """The joints that it was trained on."""
        return self.checkpoint.layout

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the logits."""
        return self.checkpoint.classes

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Sizes of a prepared clip, F M V C."""
        _, frames, persons = self.preparation
        channels = int(self.checkpoint.arguments.get("channels", 3 * len(self.streams)))
        return frames, persons, self.layout.num_joints, channels // len(self.streams)

    def check_clips(self, layout: SkeletonLayout, coordinates: int, *, where: str) -> None:
        """Make sure that clips have the joints and coordinates that the recognizer knows.

        Raises:
            DataError: They have others.
        """
        if layout.joints != self.layout.joints:
            raise DataError(
                f"{where}: expected layout {self.layout.name} as in {self.name}, got "
                f"{layout.name}; convert the recordings with `skelaug convert SRC OUT.h5 "
                f"--layout {self.layout.name}`"
            )
        if coordinates != self.shape[-1]:
            raise DataError(
                f"{where}: expected {self.shape[-1]} coordinates per joint as in {self.name}, got "
                f"{coordinates}"
            )

    def prepare(self, sequence: SkeletonSequence) -> NDArray[np.float32]:
        """A clip as the network sees it, float32 F M V C; the same whenever it is asked for.

        Of more persons than the network has, the profile chooses.

        Raises:
            DataError: The layout or the coordinates differ, or nothing was measured.
        """
        where = f"clip {sequence.name!r}"
        self.check_clips(sequence.layout, sequence.positions.shape[-1], where=where)
        profile, frames, persons = self.preparation
        return PROFILES[profile].fit(PROFILES[profile].place(sequence, persons), frames)

    def arranged(self, prepared: NDArray[np.float32]) -> NDArray[np.float32]:
        """Prepared clips N F M V C as the network takes them, N C F V M."""
        frames, persons, joints, channels = self.shape
        sizes = {"F": frames, "M": persons, "V": joints, "C": channels}
        check_shape(prepared, "N F M V C", what="prepared", **sizes)
        return np.ascontiguousarray(prepared.transpose(0, 4, 1, 3, 2))

    def logits_of(self, prepared: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits N K of prepared clips N F M V C."""
        x = torch.from_numpy(self.arranged(prepared)).to(self.device)
        with torch.inference_mode(), _full_precision(self.device):
            logits: Tensor = self.network(x)
        return np.asarray(logits.float().cpu().numpy(), dtype=np.float32)

    def logits(self, clips: Iterable[SkeletonSequence], *, batch: int = 64) -> NDArray[np.float32]:
        """Logits N K of clips, read and computed `batch` at a time.

        Raises:
            DataError: A clip does not fit, see `prepare`.
        """
        chunks = [
            self.logits_of(np.stack([self.prepare(clip) for clip in some]))
            for some in _batches(clips, batch)
        ]
        return np.concatenate(chunks or [np.empty((0, len(self.classes)), dtype=np.float32)])


def load_recognizer(name_or_path: str | Path, *, device: torch.device | None = None) -> Recognizer:
    """The recognizer of a packaged model, a run directory or a safetensors file.

    A file with the weights that EfficientGCN's authors published is one too.

    Args:
        name_or_path: What the user calls it.
        device: Where to compute; the CPU by default.

    Raises:
        NotFoundError: There is no such model, or it has no recognizer.
        DataError: The file is damaged, or its model is for something else.
    """
    name = str(name_or_path)
    path = find_weights(find_model(name_or_path), "recognizer")
    known = not is_published(path)
    checkpoint = load_checkpoint(path, expect="recognizer") if known else published_checkpoint(path)
    return recognizer_of(checkpoint, name=name, path=path, device=device)


def recognizer_of(
    checkpoint: Checkpoint, *, name: str, path: Path, device: torch.device | None = None
) -> Recognizer:
    """The recognizer that a checkpoint describes.

    Args:
        checkpoint: Its weights, layout, classes and meta data.
        name: What the user calls it.
        path: The file that it came from.
        device: Where to compute; the CPU by default.

    Raises:
        DataError: The weights do not fit, or the meta data are damaged.
    """
    streams, preparation = _told(checkpoint.meta, name)
    try:
        network = RECOGNIZERS[checkpoint.kind](**checkpoint.arguments)
        network.load_state_dict(dict(checkpoint.weights))
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise DataError(
            f"{name}: the weights do not fit a network {checkpoint.kind!r} of this version of "
            f"skelaug; train the model again"
        ) from error
    device = device or torch.device("cpu")
    streamed = StreamedNetwork(network, streams, checkpoint.layout.parents)
    return Recognizer(
        name=name,
        path=path,
        checkpoint=checkpoint,
        network=streamed.to(device).eval().requires_grad_(False),
        preparation=preparation,
        streams=streams,
        device=device,
    )


def _told(meta: Mapping[str, Any], name: str) -> tuple[tuple[str, ...], Preparation]:
    """Streams and preparation as the meta data tell them."""
    try:
        streams, told = tuple(meta["streams"]), meta["preparation"]
        how = Preparation(str(told["profile"]), int(told["frames"]), int(told["persons"]))
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{name}: the header of the recognizer is damaged: {error}") from error
    known = bool(streams) and set(streams) <= set(STREAMS) and how.profile in PROFILES
    if not known or min(how.frames, how.persons) < 1:
        raise DataError(
            f"{name}: expected streams of {', '.join(STREAMS)} and a profile of "
            f"{', '.join(PROFILES)}, got {', '.join(streams)} and {how}; update skelaug"
        )
    return streams, how


def _full_precision(device: torch.device) -> contextlib.AbstractContextManager[None]:
    """No TensorFloat-32, with which logits change by 1e-3 from one batch size to another."""
    if device.type != "cuda":
        return contextlib.nullcontext()
    return torch.backends.cudnn.flags(enabled=True, allow_tf32=False)


def _batches(
    clips: Iterable[SkeletonSequence], size: int
) -> Iterable[tuple[SkeletonSequence, ...]]:
    """The clips, so many at a time."""
    remaining = iter(clips)
    while some := tuple(itertools.islice(remaining, size)):
        yield some
