"""ACTOR's published sizes and schedule."""

from __future__ import annotations

from pathlib import Path

from skelaug.config import load
from skelaug.models import build
from skelaug.workflows.train_actor import PRESETS, TrainActorConfig


def _preset(name: str) -> TrainActorConfig:
    return load(TrainActorConfig, preset=PRESETS[name], flags={"data": Path(), "out": Path()})


def test_the_paper_preset_has_the_published_sizes() -> None:
    arguments = _preset("paper").model.arguments
    network = build("actor", {"rows": 24, "frames": 24, "num_classes": 13, **arguments})
    assert [len(part.blocks.layers) for part in (network.encoder, network.decoder)] == [8, 8]  # type: ignore[union-attr, arg-type]
    assert network.noise_shape == (256,)  # type: ignore[comparison-overlap]


def test_the_paper_preset_passes_2000_times_over_the_clips() -> None:
    optimisation = _preset("paper").optimisation.for_clips(3902)
    assert optimisation.steps == 2000 * 3902 // 20


def test_the_cpu_preset_is_small() -> None:
    arguments = _preset("cpu").model.arguments
    network = build("actor", {"rows": 20, "frames": 24, "num_classes": 27, **arguments})
    assert sum(parameter.numel() for parameter in network.parameters()) < 1_000_000
