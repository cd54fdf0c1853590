"""A trained motion prior made small: half the precision, and measured as it is then."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from skelaug.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from skelaug.errors import DataError
from skelaug.place import training_place
from skelaug.progress import Progress, silent
from skelaug.workflows.motion_examination import training_typicality
from skelaug.workflows.run_directory import RunDirectory, resolve
from skelaug.workflows.train_hgvae import PRESETS, TrainHgvaeConfig
from skelaug.workflows.training_clips import training_clips
from skelaug.workflows.window_cache import training_windows

__all__ = ["pack_prior"]


def pack_prior(run: Path, data: Path, out: Path, *, progress: Progress = silent) -> Checkpoint:
    """Write the model of a finished run with float16 weights, and return what was written.

    What its training clips score is measured anew with those weights, so that a band of usual
    scores belongs to the file that judges by it.

    Args:
        run: Run directory of ``train hgvae``.
        data: The file that it was trained on.
        out: The safetensors file to write.
        progress: Shows the clips.

    Raises:
        NotFoundError: The run or its data does not exist.
        DataError: The data is not what the model was trained on.
        StorageError: The file cannot be written.
    """
    trained = load_checkpoint(RunDirectory(run).model, expect="hgvae")
    config = resolve(TrainHgvaeConfig, PRESETS, flags={"out": run, "data": data}, resume=True)
    clips = training_clips(
        config.data,
        split=config.split,
        test=config.test,
        labelled=config.labelled,
        fraction=config.fraction,
        seed=config.seed,
    )
    told = trained.meta["data"]["sha256"]
    if clips.sha256 != told:
        raise DataError(
            f"{config.data}: expected the file with SHA-256 {told} that {run} was trained on, got "
            f"{clips.sha256}; put that file there"
        )
    with tempfile.TemporaryDirectory() as folder, training_place("cpu") as place:
        cache, half = Path(folder) / "motions.h5", Path(folder) / "half.safetensors"
        save_checkpoint(half, trained, half=True)
        windows = training_windows(
            clips, config.windows, cache=cache, place=place, progress=progress
        )
        typicality = training_typicality(windows, half, progress)
    packed = replace(trained, meta={**trained.meta, "typicality": typicality})
    save_checkpoint(out, packed, half=True)
    return load_checkpoint(out)
