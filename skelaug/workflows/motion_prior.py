"""A trained motion prior, ready to complete and to judge clips: from a checkpoint to its use."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from numpy.typing import ArrayLike

from skelaug.checkpoint import Checkpoint, load_checkpoint
from skelaug.errors import DataError, NotFoundError, UsageError
from skelaug.imputation.prior import Density, MotionPrior
from skelaug.imputation.windows import WindowForm
from skelaug.models import MOTION_PRIORS
from skelaug.skeleton.layout import SkeletonLayout
from skelaug.workflows.image_source import ready_network
from skelaug.workflows.tempo import tempo_warnings
from skelaug.zoo import find_model, find_weights

__all__ = ["ROLE", "TrainedPrior", "UsualDensity", "load_prior", "load_priors"]

ROLE = "hgvae"
_TRAIN = "train one with `skelaug train hgvae DATA.h5 --out RUN`"


@dataclass(frozen=True)
class UsualDensity:
    """A log-density of clips that nothing is wrong with.

    Attributes:
        mean: Mean over clips, nats.
        std: Standard deviation over clips, nats.
        clips: Their number.
    """

    mean: float
    std: float
    clips: int

    @property
    def threshold(self) -> float:
        """Below it a clip counts as out of set: one standard deviation below the mean."""
        return self.mean - self.std


@dataclass(frozen=True, eq=False)
class TrainedPrior:
    """A trained motion prior.

    Attributes:
        name: What the user called it.
        path: The file that it came from.
        checkpoint: Its weights, layout and meta data.
        network: On `device`, in evaluation mode, frozen.
        form: Of the windows that it knows.
        device: Where it computes.
    """

    name: str
    path: Path
    checkpoint: Checkpoint
    network: MotionPrior
    form: WindowForm
    device: torch.device

    @property
    def kind(self) -> str:
        """Its network, a name of `MOTION_PRIORS`."""
        return self.checkpoint.kind

    def tempo_warnings(self, rates: ArrayLike, *, where: str) -> list[str]:
        """What should be known of clips of these frame rates: see `tempo_warnings`."""
        whose = f"model {self.name} knows"
        return tempo_warnings(rates, self.form.fps, where=where, whose=whose)

    def usual(self, by: Density) -> UsualDensity:
        """What its training clips scored, see `skelaug.imputation.typicality`.

        Raises:
            DataError: The checkpoint does not say it.
        """
        told = self.checkpoint.meta.get("typicality")
        try:
            numbers: Mapping[str, Any] = dict(told or {})
            mean, std = (float(numbers[by][key]) for key in ("mean", "std"))
            clips = int(numbers["clips"])
            is_usable = math.isfinite(mean) and 0 < std < math.inf
        except (KeyError, TypeError, ValueError):
            is_usable = False
        if not is_usable:
            raise DataError(
                f"{self.path}: expected the log-{by} of its training clips, got {told!r}; "
                f"train the model again, on several clips"
            )
        return UsualDensity(mean, std, clips)

    def check_clips(self, layout: SkeletonLayout, coordinates: int, *, where: str) -> None:
        """Make sure that clips have the joints that the prior knows, in three dimensions.

        Raises:
            DataError: They have others.
        """
        own = self.checkpoint.layout
        if layout.joints != own.joints:
            raise DataError(
                f"{where}: expected layout {own.name} as in model {self.name}, got {layout.name}; "
                f"convert the recordings with `--layout {own.name}`, or train a model of "
                f"{layout.name} with `skelaug train hgvae DATA.h5 --out RUN` and name it with "
                f"--model RUN"
            )
        if coordinates != 3:
            raise DataError(
                f"{where}: expected 3 coordinates per joint, got {coordinates}; lift the clips to "
                f"3D first"
            )


def load_prior(name_or_path: str | Path, *, device: torch.device | None = None) -> TrainedPrior:
    """The motion prior of a packaged model, a run directory or a safetensors file.

    Raises:
        NotFoundError: There is no such model, or it has no motion prior.
        DataError: It is damaged, or a model of another kind.
        UsageError: It was trained to draw labelled clips and knows no windows.
    """
    model, place = find_model(name_or_path), device or torch.device("cpu")
    try:
        path = find_weights(model, ROLE)
    except NotFoundError as error:
        raise NotFoundError(f"model {name_or_path}: it has no motion prior; {_TRAIN}") from error
    checkpoint = load_checkpoint(path)
    if checkpoint.kind not in MOTION_PRIORS:
        raise DataError(
            f"{path}: expected a motion prior ({', '.join(MOTION_PRIORS)}), got "
            f"{checkpoint.kind}; {_TRAIN}"
        )
    windows = checkpoint.meta.get("windows")
    if windows is None:
        raise UsageError(
            f"{path}: expected a model of windows, got one that was trained to draw labelled clips "
            f"(conditional=true); {_TRAIN}"
        )
    return TrainedPrior(
        name=str(name_or_path),
        path=path,
        checkpoint=checkpoint,
        network=cast(MotionPrior, ready_network(checkpoint, place)),
        form=WindowForm.from_json(windows),
        device=place,
    )


def load_priors(
    names_or_paths: Sequence[str | Path], *, device: torch.device | None = None
) -> tuple[TrainedPrior, ...]:
    """Several motion priors, each of another kind; see `load_prior`.

    Raises:
        UsageError: Two are of one kind.
    """
    found: dict[str, TrainedPrior] = {}
    for name in names_or_paths:
        prior = load_prior(name, device=device)
        if prior.kind in found:
            raise UsageError(
                f"--model: expected models of different kinds, got two of kind {prior.kind}, "
                f"{found[prior.kind].name} and {name}; leave one out"
            )
        found[prior.kind] = prior
    return tuple(found.values())
