"""A rival generator, a class-conditional autoencoder, as a source of skeleton images."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skelaug.checkpoint import load_checkpoint
from skelaug.diffusion.sampling import PerSampleNoise
from skelaug.errors import DataError
from skelaug.image.codec import ImageCodec
from skelaug.image.normalizer import ImageNormalizer
from skelaug.models import RIVALS
from skelaug.seeds import Stream, generator
from skelaug.workflows.image_source import Address, draw_in_groups, ready_network

__all__ = ["VaeGenerator"]


class VaeGenerator:
    """A trained rival, ready to draw from its prior.

    Values beyond the range of the training clips are cut off, as the diffusion model's are.

    Args:
        weights: Checkpoint of the network.
        seed: Root of every random number.
        device: Where to compute.

    Attributes:
        checkpoint: Of the network.
        codec: From its images back to clips.
        workers: Groups that are computed at the same time, each by one thread.
        files: The weights that decide what is drawn.
        sampler: ``prior``.
        steps: 1; there is no way from noise to image but the network.
        guidance_scale: 0; there is no guide.
        performers: Empty; it knows none.

    Raises:
        DataError: The checkpoint is not a rival's.
    """

    def __init__(self, weights: Path, *, seed: int = 0, device: torch.device | None = None) -> None:
        self.device, self.seed = device or torch.device("cpu"), seed
        self.checkpoint = load_checkpoint(weights)
        if self.checkpoint.kind not in RIVALS:
            raise DataError(
                f"{weights}: expected one of {', '.join(RIVALS)}, got {self.checkpoint.kind}"
            )
        meta = self.checkpoint.meta
        self.codec = ImageCodec.from_json(json.dumps(meta["codec"]))
        self.normalizer = ImageNormalizer.from_json(meta["normalizer"])
        self.network = ready_network(self.checkpoint, self.device)
        self.workers = torch.get_num_threads() if self.device.type == "cpu" else 1
        self.files = (weights,)
        self.sampler, self.steps, self.guidance_scale = "prior", 1, 0.0
        self.performers: tuple[int, ...] = ()

    def draw(self, addresses: Sequence[Address], labels: Sequence[int]) -> NDArray[np.float32]:
        """Images of samples, N C R F in the codec's pixel values.

        Args:
            addresses: Which samples; sample i takes place i modulo `GROUP` of a group.
            labels: Class of each, an index into the checkpoint's classes.
        """
        return draw_in_groups(
            self._draw_group, addresses, labels, shape=self.codec.shape, workers=self.workers
        )

    @torch.no_grad()
    def _draw_group(self, addresses: Sequence[Address], labels: Tensor) -> NDArray[np.float32]:
        noise = PerSampleNoise(
            [generator(self.seed, Stream.SAMPLE, *address) for address in addresses]
        )
        shape: tuple[int, ...] = self.network.noise_shape  # type: ignore[assignment]  # see RIVALS
        start = noise(torch.empty(len(addresses), *shape, device=self.device))
        drawn = self.network.sample(start, labels.to(self.device))  # type: ignore[operator]
        low, high = self.normalizer.bounds(drawn)
        pixels = self.normalizer.denormalize(drawn.clamp(low, high))
        return np.asarray(pixels.float().cpu().numpy(), dtype=np.float32)
