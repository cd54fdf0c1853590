"""Train ACTOR, a rival generator: ``skelaug train actor``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skelaug.progress import Progress, silent
from skelaug.workflows.rival_training import RivalConfig, rival_plan
from skelaug.workflows.training_run import TrainReport, run_plan

__all__ = ["PRESETS", "TrainActorConfig", "run"]

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "cpu": {
        "kl_weight": 1e-3,
        "augment": {"size": 0.05},
        "model": {"arguments": {"width": 64, "depth": 4, "hidden": 256}},
        "optimisation": {
            "steps": 2000,
            "max_epochs": 600,
            "batch": 64,
            "lr": 1e-3,
            "warmup": 200,
            "decay_start": 0.5,
            "weight_decay": 0.01,
            "clip": 1.0,
            "ema_decay": 0.999,
        },
    },
    # Petrovich et al. 2021 and their code, for NTU-13; clips of 24 frames as in the comparison of
    # the paper that this program follows, 60 in the original. Their divergence, weighted by 1e-5,
    # is a sum over the 20 clips of a batch beside a mean error: 2e-4 per clip.
    "paper": {
        "kl_weight": 2e-4,
        "codec": {"rows": 24, "frames": 24},
        "model": {
            "arguments": {"width": 256, "depth": 8, "heads": 4, "hidden": 1024, "dropout": 0.1}
        },
        "optimisation": {"epochs": 2000, "batch": 20, "lr": 1e-4, "weight_decay": 0.01},
    },
}


class TrainActorConfig(RivalConfig, frozen=True, extra="forbid"):
    """How ACTOR is trained; its own settings are those of every rival."""


def run(
    config: TrainActorConfig,
    *,
    resume: bool = False,
    force: bool = False,
    dry_run: bool = False,
    device: str = "auto",
    progress: Progress = silent,
) -> TrainReport:
    """Train ACTOR into a run directory.

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
        rival_plan("actor", config),
        config,
        resume=resume,
        force=force,
        dry_run=dry_run,
        device=device,
        progress=progress,
    )
