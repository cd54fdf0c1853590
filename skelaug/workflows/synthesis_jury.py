"""From the settings of ``skelaug synth`` to the jury that chooses among candidates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from skelaug.checkpoint import load_checkpoint
from skelaug.data.store import SequenceFile
from skelaug.errors import NotFoundError, UsageError
from skelaug.files import require_file
from skelaug.image.sketch import CopyDetector, detector
from skelaug.workflows.candidates import Jury
from skelaug.workflows.choosing import Standards
from skelaug.workflows.image_source import ImageSource
from skelaug.workflows.judges import GuideJudge, Judge, RecognizerJudge
from skelaug.workflows.plausible_images import Bounds, bounds_of_file, bounds_of_model
from skelaug.workflows.synthesis_report import SynthesizeConfig
from skelaug.zoo import find_model, find_weights, weights_in

__all__ = ["OWN_GUIDE", "most_candidates", "open_jury"]

OWN_GUIDE = "guide"
_AGAIN = 8  # attempts of a copy


def most_candidates(config: SynthesizeConfig) -> int:
    """How many candidates of a clip are drawn at most."""
    return config.candidates or (1 + _AGAIN if config.no_copies else 1)


def open_jury(
    config: SynthesizeConfig,
    *,
    model: Path,
    source: ImageSource,
    drawn: Sequence[str],
    device: torch.device,
) -> Jury:
    """What candidates are asked, ready to be asked.

    Args:
        config: The settings.
        model: Folder of the model.
        source: The model, ready to draw.
        drawn: Classes that are drawn.
        device: Where a judge computes.

    Raises:
        UsageError: There is nothing to choose by, or the judge lacks a class.
        NotFoundError: The judge, the sketch or the plausible range is not there.
        DataError: The judge or the `plausible_like` file does not fit the model.
    """
    asks = config.judge is not None or config.novel or config.no_copies or _asks_plausible(config)
    if not asks and (most_candidates(config) > 1 or config.drop_failed):
        flag = "--drop-failed" if config.drop_failed else f"--candidates {config.candidates}"
        raise UsageError(
            f"{flag}: expected a criterion to choose by, got none; add --judge NAME|RUN, "
            f"--plausible, --novel or --no-copies"
        )
    sketches = _sketches(model, source) if config.novel or config.no_copies else None
    return Jury(
        codec=source.codec,
        classes=source.checkpoint.classes,
        standards=Standards(
            judge_least=config.judge_least,
            bounds=_bounds(config, model, source) if _asks_plausible(config) else {},
            copy_distance=sketches.threshold if sketches else 0.0,
            novel_most=config.novel_most,
        ),
        judge=_judge(config, model, source, drawn, device) if config.judge is not None else None,
        sketches=sketches,
        no_copies=config.no_copies,
        is_novel=config.novel,
    )


def _judge(
    config: SynthesizeConfig,
    model: Path,
    source: ImageSource,
    drawn: Sequence[str],
    device: torch.device,
) -> Judge:
    if config.judge != OWN_GUIDE:
        return RecognizerJudge(str(config.judge), source.codec, drawn, device)
    path = weights_in(model).get("guide")
    if config.guide is not None:
        path = find_weights(find_model(config.guide), "guide")
    if path is None:
        raise NotFoundError(
            f"--judge guide: {model} has no guide; name one with --guide RUN, or give a recognizer"
        )
    return GuideJudge(path, source.codec, drawn, device)


def _asks_plausible(config: SynthesizeConfig) -> bool:
    return config.plausible or config.plausible_like is not None


def _bounds(config: SynthesizeConfig, model: Path, source: ImageSource) -> Bounds:
    if config.plausible_like is not None:
        with SequenceFile(require_file(config.plausible_like)) as file:
            return bounds_of_file(file, source.codec)
    kept = bounds_of_model(source.checkpoint.meta)
    if kept is None:
        raise NotFoundError(
            f"--plausible: {model} keeps no range of its training clips; take it from real clips "
            f"with --plausible-like DATA.h5, or train the model again"
        )
    return kept


def _sketches(model: Path, source: ImageSource) -> CopyDetector:
    path = weights_in(model).get("sketch")
    if path is None:
        raise NotFoundError(
            f"{model}: no sketch.safetensors, so the distance to training clips cannot be told; "
            f"train the model again, or leave --no-copies and --novel out"
        )
    return detector(load_checkpoint(path).weights["sketch"].numpy(), source.codec)
