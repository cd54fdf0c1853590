"""The sketch of the training clips that every trained generator keeps beside its weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from skelaug.checkpoint import Checkpoint, save_checkpoint
from skelaug.image.sketch import LARGEST, sketch
from skelaug.progress import Progress
from skelaug.seeds import Stream, numpy_generator
from skelaug.workflows.run_directory import RunDirectory
from skelaug.workflows.training_images import TrainingImages

__all__ = ["write_sketch"]


def write_sketch(
    images: TrainingImages, directory: RunDirectory, progress: Progress
) -> dict[str, Any]:
    """Write what `synth --no-copies` needs: random projections of up to 4,096 training clips.

    Returns:
        No scores.
    """
    del progress
    chosen = images.rows
    if len(chosen) > LARGEST:
        numbers = numpy_generator(0, Stream.SKETCH)
        chosen = np.sort(numbers.choice(chosen, LARGEST, replace=False))
    pieces = [images.pixels[chosen[start : start + 512]] for start in range(0, len(chosen), 512)]
    drawn = np.concatenate([sketch(piece, images.codec) for piece in pieces])
    save_checkpoint(
        directory.path / "sketch.safetensors",
        Checkpoint(
            kind="sketch",
            arguments={},
            weights={"sketch": torch.from_numpy(drawn)},
            layout=images.codec.layout,
            classes=images.clips.classes,
            meta={"what": "sketch", "split": {"hash": images.clips.split.hash}},
        ),
        half=True,
    )
    return {}
