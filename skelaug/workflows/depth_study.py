"""What stochastic levels are worth, at equal capacity: Table 1 of Bourached et al."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skelaug.checkpoint import load_checkpoint
from skelaug.config import load
from skelaug.data.store import SequenceFile
from skelaug.errors import UsageError
from skelaug.progress import Progress, silent
from skelaug.workflows.run_directory import RunDirectory
from skelaug.workflows.train_hgvae import PRESETS, TrainHgvaeConfig, run

__all__ = ["DepthRow", "depth_config", "depth_row"]

_DEEP = (54, 48, 32, 16, 8, 4, 2, 1)  # as the paper's code has it
_ONCE = 10**9  # updates per look at what is held out: after the last one alone
_NODES = {4: (54, 24, 8, 1), 8: _DEEP, 16: tuple(n for n in _DEEP for _ in range(2))}


@dataclass(frozen=True)
class DepthRow:
    """A network of which some levels are stochastic, after its last update.

    Attributes:
        levels: How many are, from the top (z0); the others hand the mean of their prior down.
        of: How many it has.
        parameters: Its weights.
        steps: Updates made.
        log_likelihood: Of held-out windows, standardised, along draws from the posteriors; nats.
        divergence: Of the posteriors of the stochastic levels from their priors; nats.
        error: Squared error of the reconstruction along the posterior means, summed over a window:
            the paper's MSE. Square metres of a body of size 1.
        rms_mm: Its root mean square per coordinate, millimetres.
    """

    levels: int
    of: int
    parameters: int
    steps: int
    log_likelihood: float
    divergence: float
    error: float
    rms_mm: float


def depth_config(
    data: Path,
    out: Path,
    levels: int,
    *,
    deepest: int,
    sizes: tuple[int, int] = (64, 96),
    overrides: Sequence[str] = (),
    **flags: Any,
) -> TrainHgvaeConfig:
    """How one row is trained: the same network and updates whatever the number of levels.

    Whole windows are learnt, and judged once, after the last update.

    Args:
        data: Sequence file.
        out: Folder of the study; the run is a folder in it.
        levels: How many are stochastic.
        deepest: The greatest number of the study: the network has 4, 8 or 16 levels.
        sizes: Features of every level, and of the decoder's stream.
        overrides: ``a.b=value`` strings.
        flags: Further settings of `TrainHgvaeConfig`, e.g. ``optimisation={"steps": 4000}``.

    Raises:
        UsageError: There is no such network, or a setting is wrong.
        NotFoundError: The file does not exist.
    """
    nodes = next((nodes for most, nodes in _NODES.items() if most >= deepest), ())
    if not 1 <= levels <= deepest <= len(nodes):
        raise UsageError(f"--levels: expected 1 to {max(_NODES)}, got {levels} of {deepest}")
    with SequenceFile(data) as file:
        most = 3 * file.layout.num_joints
    features, width = sizes
    arguments = {
        "level_nodes": [min(count, most) for count in nodes],
        "level_features": [features] * len(nodes),
        "width": width,
        "stochastic_levels": levels,
    }
    return load(
        TrainHgvaeConfig,
        preset={**PRESETS["cpu"], "occlusion": 0.0, "held_out": 0.1},
        overrides=overrides,
        flags={
            "data": data,
            "out": out / f"levels-{levels}-of-{len(nodes)}",
            "model": {"arguments": arguments},
            "evaluate_every": _ONCE,
            **flags,
        },
    )


def depth_row(config: TrainHgvaeConfig, *, progress: Progress = silent) -> DepthRow:
    """Train a row, or go on with it, and say what it is worth; a finished one is not trained again.

    Args:
        config: See `depth_config`.
        progress: Shows the updates.

    Raises:
        SkelaugError: See `skelaug.workflows.training_run.conduct`.
    """
    is_begun = (config.out / "config.yaml").exists()
    report = run(config, resume=is_begun, progress=progress)
    arguments = load_checkpoint(RunDirectory(config.out).model).arguments
    entries = arguments["nodes"] * arguments["frames"]
    return DepthRow(
        levels=arguments["stochastic_levels"],
        of=len(arguments["level_nodes"]),
        parameters=report.parameters,
        steps=report.steps,
        log_likelihood=report.best["log_likelihood"],
        divergence=report.best["divergence"],
        error=report.best["error"],
        rms_mm=1000 * math.sqrt(report.best["error"] / entries),
    )
