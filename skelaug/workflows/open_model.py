"""From a model's folder to a source of skeleton images, whatever kind of model lies there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from skelaug.checkpoint import load_checkpoint
from skelaug.errors import UsageError
from skelaug.models import MOTION_PRIORS, RIVALS
from skelaug.workflows.generator import ImageGenerator, Recipe
from skelaug.workflows.image_source import ImageSource
from skelaug.workflows.vae_generator import VaeGenerator
from skelaug.zoo import find_model, find_weights, weights_in

__all__ = ["open_model"]

_FLAGS = {
    "sampler": "--sampler",
    "steps": "--steps",
    "guidance_scale": "--guidance-scale",
    "guide": "--guide",
    "subjects": "--subject",
}
_LEVELS = "drawn_levels"


def open_model(
    model: Path,
    *,
    guide: str | None = None,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    device: torch.device | None = None,
) -> ImageSource:
    """A trained model, ready to draw.

    Args:
        model: What `skelaug.zoo.find_model` returned.
        guide: Another guide than the model's own, a run or a name.
        settings: Fields of `Recipe` that are asked for, and ``drawn_levels`` of `VaeGenerator`;
            None takes what the model recommends.
        seed: Root of every random number.
        device: Where to compute.

    Raises:
        NotFoundError: The model or the guide has no weights.
        DataError: The weights are damaged or of another kind.
        UsageError: The settings do not fit the model.
    """
    given = {name: value for name, value in (settings or {}).items() if value is not None}
    weights = find_weights(model, "diffusion")
    kind = load_checkpoint(weights).kind
    if kind in RIVALS or kind in MOTION_PRIORS:
        levels = given.pop(_LEVELS, None) if kind in MOTION_PRIORS else None
        _refuse(weights, kind, {**given, **({"guide": guide} if guide else {})})
        return VaeGenerator(weights, seed=seed, device=device, drawn_levels=levels)
    if _LEVELS in given:
        raise UsageError(
            f"--set {_LEVELS}={given[_LEVELS]}: expected a model with latent levels, got "
            f"{weights}; leave it out, or take a run of `skelaug train hgvae`"
        )
    files = weights_in(model)
    pull = find_weights(find_model(guide), "guide") if guide else files.get("guide")
    return ImageGenerator(weights, pull, _recipe(given, weights), seed=seed, device=device)


def _refuse(weights: Path, kind: str, asked: Mapping[str, Any]) -> None:
    """An autoencoder draws in one pass: it has neither sampler nor guide to be told anything."""
    flags = [_FLAGS.get(name, f"--set {name}") for name, value in asked.items() if value != ()]
    if flags:
        raise UsageError(
            f"{weights}: {kind} draws in one pass, without noise levels, guide or performers; "
            f"leave {', '.join(flags)} out, or take a diffusion model"
        )


def _recipe(given: Mapping[str, Any], diffusion: Path) -> Recipe:
    """What is given over what the model recommends over the defaults of `Recipe`."""
    recommended = dict(load_checkpoint(diffusion, expect="diffusion").meta.get("sampling", {}))
    sampler = given.get("sampler")
    if sampler not in (None, recommended.get("sampler")):
        # what was found best for one sampler says nothing about another
        for name in ("steps", "eta"):
            recommended.pop(name, None)
        ancestral = {"spacing": "uniform", "quietest": 1.0, "steps": 50}
        recommended |= ancestral if sampler in ("ddpm", "ddim") else {}
    return Recipe(**{**recommended, **given})
