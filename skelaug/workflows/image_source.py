"""What `synth` asks of a trained model, whatever it is: sample i depends on its address alone.

Samples are always computed in groups of `GROUP`, each at its own place in its group, and a group
that is not full is filled up. Matrix products of one shape round in one way, so a sample is the
same bit for bit alone, among a thousand, on one process or on eight, and after an interruption.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from skelaug.checkpoint import Checkpoint
from skelaug.errors import DataError
from skelaug.image.codec import ImageCodec
from skelaug.models import build
from skelaug.place import one_thread_each

__all__ = [
    "GROUP",
    "Address",
    "DrawGroup",
    "ImageSource",
    "draw_in_groups",
    "filled_groups",
    "ready_network",
]

GROUP = 64


class Address(NamedTuple):
    """Which sample: its number and, for one drawn again, the attempt."""

    sample: int
    attempt: int = 0


DrawGroup = Callable[[Sequence[Address], Tensor], NDArray[np.float32]]


class ImageSource(Protocol):
    """A trained model that draws skeleton images of classes."""

    @property
    def checkpoint(self) -> Checkpoint:
        """Of the network that draws: its classes and what it says about its training clips."""
        ...

    @property
    def codec(self) -> ImageCodec:
        """From its images back to clips."""
        ...

    @property
    def workers(self) -> int:
        """Groups that are computed at the same time, each by one thread."""
        ...

    @property
    def files(self) -> tuple[Path, ...]:
        """The weights that decide what is drawn."""
        ...

    @property
    def sampler(self) -> str:
        """How it draws, in a word."""
        ...

    @property
    def steps(self) -> int:
        """Evaluations of the network per sample."""
        ...

    @property
    def guidance_scale(self) -> float:
        """Weight of the guide; 0 = none."""
        ...

    @property
    def performers(self) -> tuple[int, ...]:
        """Subjects that the samples imitate, each one of them; empty where it knows none."""
        ...

    def draw(self, addresses: Sequence[Address], labels: Sequence[int]) -> NDArray[np.float32]:
        """Images of samples, N C R F in the codec's pixel values.

        Args:
            addresses: Which samples; sample i takes place i modulo `GROUP` of a group.
            labels: Class of each, an index into the checkpoint's classes.
        """
        ...


def draw_in_groups(
    draw_group: DrawGroup,
    addresses: Sequence[Address],
    labels: Sequence[int],
    *,
    shape: tuple[int, int, int],
    workers: int,
) -> NDArray[np.float32]:
    """Images N C R F of samples, from a function that draws a whole group.

    Args:
        draw_group: From the `GROUP` addresses and labels of a group to its images.
        addresses: Which samples; sample i takes place i modulo `GROUP` of a group.
        labels: Class of each.
        shape: C R F.
        workers: Groups that are computed at the same time, each by one thread.
    """
    images = np.empty((len(addresses), *shape), dtype=np.float32)

    def fill(order: list[int]) -> None:
        group = draw_group([addresses[i] for i in order], torch.tensor([labels[i] for i in order]))
        images[order] = group[[addresses[i].sample % GROUP for i in order]]

    with one_thread_each(workers), ThreadPoolExecutor(workers) as pool:
        list(pool.map(fill, filled_groups(addresses)))
    return images


def filled_groups(addresses: Sequence[Address]) -> list[list[int]]:
    """Groups of `GROUP` positions of the addresses, place by place; each position is in one group.

    Sample i takes place i modulo `GROUP`; places without a sample are filled with the group's
    first one, and its own place has what counts.
    """
    found = []
    for positions in _groups(addresses):
        filled = {addresses[i].sample % GROUP: i for i in positions}
        found.append([filled.get(place, positions[0]) for place in range(GROUP)])
    return found


def _groups(addresses: Sequence[Address]) -> list[list[int]]:
    """Positions of the addresses, in groups whose samples have different places."""
    groups: list[list[int]] = []
    taken: list[set[int]] = []
    for position, address in enumerate(addresses):
        place = address.sample % GROUP
        free = next((g for g, places in enumerate(taken) if place not in places), None)
        if free is None:
            groups.append([])
            taken.append(set())
            free = len(groups) - 1
        groups[free].append(position)
        taken[free].add(place)
    return groups


def ready_network(checkpoint: Checkpoint, device: torch.device) -> nn.Module:
    """The network of a checkpoint with its weights, for drawing.

    Raises:
        DataError: The weights are not those of the network.
    """
    network = build(checkpoint.kind, checkpoint.arguments)
    try:
        network.load_state_dict(dict(checkpoint.weights))
    except RuntimeError as error:
        raise DataError(
            f"{checkpoint.kind}: the weights do not fit the network of this version of skelaug; "
            f"train the model again"
        ) from error
    return network.to(device).eval().requires_grad_(False)
