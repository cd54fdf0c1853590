"""A class-conditional autoencoder, a rival or HG-VAE, as a source of skeleton images."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skelaug.checkpoint import load_checkpoint
from skelaug.diffusion.sampling import PerSampleNoise
from skelaug.errors import DataError, UsageError
from skelaug.image.codec import ImageCodec
from skelaug.image.normalizer import ImageNormalizer
from skelaug.imputation.prior import MotionPrior
from skelaug.models import MOTION_PRIORS, RIVALS
from skelaug.seeds import Stream, generator
from skelaug.workflows.image_source import Address, draw_in_groups, ready_network

__all__ = ["VaeGenerator"]


class VaeGenerator:
    """A trained rival or a motion prior of labelled clips, ready to draw.

    A motion prior has latent levels. Drawing the top one alone varies what happens, each further
    level how it looks in detail (Bourached et al., Fig. 5).

    Values beyond the range of the training clips are cut off, as the diffusion model's are.

    Args:
        weights: Checkpoint of the network.
        seed: Root of every random number.
        device: Where to compute.
        drawn_levels: Of a motion prior: draw so many levels from the top, and leave those below at
            their prior means; None draws all.

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
        DataError: The checkpoint is of another kind.
        UsageError: It is a motion prior that knows windows and no labelled clips.
    """

    def __init__(
        self,
        weights: Path,
        *,
        seed: int = 0,
        device: torch.device | None = None,
        drawn_levels: int | None = None,
    ) -> None:
        self.device, self.seed = device or torch.device("cpu"), seed
        self.checkpoint = load_checkpoint(weights)
        kind, meta = self.checkpoint.kind, self.checkpoint.meta
        if kind not in RIVALS and kind not in MOTION_PRIORS:
            known = ", ".join((*RIVALS, *MOTION_PRIORS))
            raise DataError(f"{weights}: expected one of {known}, got {kind}")
        if kind in MOTION_PRIORS and "codec" not in meta:
            raise UsageError(
                f"{weights}: expected a model of labelled clips, got one of windows without "
                f"labels; train one with `skelaug train hgvae DATA.h5 --out RUN --set "
                f"conditional=true`"
            )
        self.codec = ImageCodec.from_json(json.dumps(meta["codec"]))
        self.normalizer = ImageNormalizer.from_json(meta["normalizer"])
        self.network = ready_network(self.checkpoint, self.device)
        self.workers = torch.get_num_threads() if self.device.type == "cpu" else 1
        self._sample: Callable[[Tensor, Tensor], Tensor] = self.network.sample  # type: ignore[assignment]
        if kind in MOTION_PRIORS:
            prior = cast(MotionPrior, self.network)
            self._sample = partial(_sampled_images, prior, drawn_levels=drawn_levels)
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
        drawn = self._sample(start, labels.to(self.device))
        low, high = self.normalizer.bounds(drawn)
        pixels = self.normalizer.denormalize(drawn.clamp(low, high))
        return np.asarray(pixels.float().cpu().numpy(), dtype=np.float32)


def _sampled_images(
    network: MotionPrior, noise: Tensor, labels: Tensor, *, drawn_levels: int | None
) -> Tensor:
    """Normalised images N 3 R F of a prior whose node 3 r + c is coordinate c of row r."""
    nodes = network.sample(noise, labels, drawn_levels)
    n, v, t = nodes.shape
    return nodes.reshape(n, v // 3, 3, t).transpose(1, 2)
