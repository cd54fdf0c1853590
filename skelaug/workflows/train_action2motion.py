"""Train Action2Motion, a rival generator: ``skelaug train action2motion``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from skelaug.progress import Progress, silent
from skelaug.workflows.rival_training import RivalConfig, rival_plan
from skelaug.workflows.training_run import TrainReport, run_plan

__all__ = ["PRESETS", "TrainAction2MotionConfig", "fed_back", "run"]

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "cpu": {
        "kl_weight": 0.01,
        "augment": {"size": 0.05},
        "optimisation": {
            "steps": 3000,
            "max_epochs": 600,
            "batch": 64,
            "lr": 1e-3,
            "warmup": 100,
            "decay_start": 0.5,
            "weight_decay": 1e-5,
            "clip": 1.0,
            "ema_decay": 0.999,
            "precision": "fp32",
        },
    },
    # Guo et al. 2020 and their code, for NTU; clips of 24 frames as in the comparison of the paper
    # that this program follows, 60 in the original. Their weight decay is part of the gradient.
    "paper": {
        "kl_weight": 0.01,
        "codec": {"rows": 24, "frames": 24},
        "model": {"arguments": {"latent": 30, "hidden": 128, "layers": 2}},
        "optimisation": {
            "steps": 50_000,
            "batch": 128,
            "lr": 2e-4,
            "weight_decay": 1e-5,
            "precision": "fp32",
        },
    },
}


class TrainAction2MotionConfig(RivalConfig, frozen=True, extra="forbid"):
    """How Action2Motion is trained.

    Attributes:
        own_poses: Share of the updates in which the network is fed its own poses, in all frames,
            instead of the true ones. The authors' code draws "teacher forcing" with this
            probability and then feeds the network's own poses, so that what they publish as 60 %
            of teacher forcing is 60 % of the opposite; this is what they trained with.
    """

    own_poses: float = Field(default=0.6, ge=0.0, le=1.0)


def fed_back(
    batch: int, frames: int, numbers: torch.Generator, /, *, share: float
) -> tuple[Tensor, ...]:
    """Whether the poses of an update, N F, are the network's own: all of them, or none."""
    is_own = torch.rand((), generator=numbers) < share
    return (is_own.expand(batch, frames),)


def run(
    config: TrainAction2MotionConfig,
    *,
    resume: bool = False,
    force: bool = False,
    dry_run: bool = False,
    device: str = "auto",
    progress: Progress = silent,
) -> TrainReport:
    """Train Action2Motion into a run directory.

    Args:
        config: What to train, on what.
        resume: Go on with the run that is there.
        force: Replace the run that is there.
        dry_run: Measure a few steps, write nothing.
        device: ``auto``, ``cpu``, ``cuda`` ...
        progress: Shows the steps.

    Raises:
        SkelaugError: See `skelaug.workflows.training_run.conduct`.
    """
    return run_plan(
        rival_plan("action2motion", config, lesson=partial(fed_back, share=config.own_poses)),
        config,
        resume=resume,
        force=force,
        dry_run=dry_run,
        device=device,
        progress=progress,
    )
