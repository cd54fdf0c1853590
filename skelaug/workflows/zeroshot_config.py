"""How a zero-shot model is trained: settings and presets of ``skelaug train zeroshot``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from skelaug.augment import AugmentationConfig
from skelaug.diffusion.spectral import Reduction
from skelaug.models import MATCHERS
from skelaug.optimisation import Optimisation
from skelaug.workflows.train_recognizer import RecognizerConfig, StreamName
from skelaug.workflows.training_motions import PreparationConfig
from skelaug.workflows.training_run import TrainingConfig, known
from skelaug.workflows.zeroshot_features import Mode
from skelaug.workflows.zeroshot_texts import Ask
from skelaug.zeroshot.curriculum import CurriculumKind
from skelaug.zeroshot.feature_scale import Standardise

__all__ = [
    "PRESETS",
    "EncoderConfig",
    "MatcherConfig",
    "SpectralLossConfig",
    "TrainZeroshotConfig",
]

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "cpu": {
        "model": {"name": "cross-dit", "arguments": {"width": 128, "depth": 2, "heads": 4}},
        "words": False,
        "curriculum": "blend",
        "ask": "mean",
        "prior": "ridge",
        "standardise": "whiten",
        "error_step": 45,
        "recognizer": {
            "model": {"name": "kinematics"},
            "preparation": {"profile": "heading"},
            "optimisation": {
                "steps": 200,
                "batch": 32,
                "lr": 2e-3,
                "warmup": 30,
                "decay": "cosine",
                "weight_decay": 0.02,
            },
        },
        "optimisation": {
            "steps": 100,
            "batch": 256,
            "lr": 2e-4,
            "warmup": 50,
            "decay": "cosine",
            "weight_decay": 0.01,
            "clip": 1.0,
            "ema_decay": 0.99,
        },
        "validate_every": 50,
        "refit": True,
    },
    "paper": {
        "model": {"name": "cross-dit", "arguments": {"width": 768, "depth": 12, "heads": 12}},
        "spectral": "stream",
        "standardise": "none",
        "recognizer": {
            "model": {"name": "shift-gcn"},
            "preparation": {"profile": "agcn"},
            "optimisation": {
                "optimizer": "sgd",
                "epochs": 140,
                "batch": 64,
                "lr": 0.1,
                "decay": "steps",
                "milestones": (60 / 140, 80 / 140, 100 / 140),
                "weight_decay": 1e-4,
            },
        },
        "optimisation": {
            "steps": 50_000,
            "batch": 256,
            "lr": 1e-4,
            "warmup": 100,
            "decay": "cosine",
            "weight_decay": 0.01,
        },
    },
}
"""Settings by preset. ``paper``: FDSM, section 4.1, with the released code's place of the gain;
Shift-GCN as in Cheng et al. 2020, section 4.1."""


class MatcherConfig(BaseModel, frozen=True, extra="forbid"):
    """Which matching network is trained.

    Attributes:
        name: ``cross-dit``.
        arguments: Further arguments of its constructor: width, depth, heads, alpha ...
    """

    name: Annotated[str, AfterValidator(partial(known, choices=MATCHERS))] = "cross-dit"
    arguments: dict[str, Any] = {}


class EncoderConfig(BaseModel, frozen=True, extra="forbid"):
    """How the recognizer is trained whose features are matched; see `TrainRecognizerConfig`."""

    model: RecognizerConfig = RecognizerConfig()
    preparation: PreparationConfig = PreparationConfig()
    streams: tuple[StreamName, ...] = Field(default=("joint",), min_length=1)
    augment: AugmentationConfig = AugmentationConfig()
    mixup: NonNegativeFloat = 0.0
    label_smoothing: float = Field(default=0.0, ge=0.0, lt=1.0)
    optimisation: Optimisation = Optimisation()


class SpectralLossConfig(BaseModel, frozen=True, extra="forbid"):
    """The timestep-adaptive spectral loss (FDSM, eq. 6 to 10).

    Attributes:
        weight: lambda; 0 leaves it out.
        gamma: Of the high band.
        low: Frequencies of the low band; None = a quarter.
        reduction: Over frequencies: ``mean`` as in the released code, ``sum`` as in the paper.
    """

    weight: NonNegativeFloat = 1.0
    gamma: NonNegativeFloat = 1.0
    low: PositiveInt | None = None
    reduction: Reduction = "mean"


class TrainZeroshotConfig(TrainingConfig, frozen=True, extra="forbid"):
    """How a zero-shot model is trained.

    Attributes:
        classes: A published split like ``purls/utd-mhad/22-5``, or ``unseen=jump,kick``.
        method: ``fdsm``, or ``tdsm``, its forerunner: a triplet loss on pairs of texts, without
            spectral parts and curriculum.
        mode: Features are one vector (``channel``, as in the released code) or lie along time
            (``temporal``, as in the paper's text).
        spectral: Where high frequencies are amplified: the ``attention`` branch, the residual
            ``stream`` (as in the released code), or ``none``.
        spectral_loss: The loss of the spectrum.
        curriculum: How rich descriptions give way to sparse ones; ``blend`` (ours) draws a random
            mean of all descriptions of a class at every step instead.
        margin: Of the triplet loss.
        words: Whether the network reads a text word by word, or as one token, the text as a whole.
        ask: Whether a class is asked with its ``sparse`` description, as published, or with the
            ``mean`` of all it has (ours).
        prior: Whether the network begins at what a ``ridge`` map expects of each text (ours); see
            `skelaug.zeroshot.text_prior`.
        text: Encoder of sentences; see `skelaug.text.encoder.open_encoder`.
        descriptions: YAML of the classes, or a data set's name; empty looks in all of ours.
        encoder: A recognizer of the seen classes that was trained before, e.g. ``RUN/encoder``.
        recognizer: How one is trained in place of it.
        model: The matching network.
        standardise: Whether features are centred and divided by one number (``scale``), or made to
            vary alike within classes (``whiten``); encoded texts are scaled with both.
        head_epochs: Updates of the kinematic head.
        diffusion_steps: T.
        error_step: t at which clips are matched.
        noises: Noises over which the errors are averaged.
        validation_classes: Share of the seen classes that the matching network does not learn; they
            choose among its weights, and the calibration. 0 takes the last weights. A learnt
            encoder has met them, which makes them look a little easier than unseen classes.
        refit: Whether a second network then learns from all seen classes, for as many updates, and
            keeps its last weights; temperature and constant are those of the first one, which
            stays in ``RUN/validation``.
        validation_clips: Share of the other classes' clips that it does not learn.
        validate_every: Updates from one validation to the next.
        rival_steps: Updates of the rival that aligns autoencoders.
    """

    classes: str = ""
    method: Literal["fdsm", "tdsm"] = "fdsm"
    mode: Mode = "channel"
    spectral: Literal["attention", "stream", "none"] = "attention"
    spectral_loss: SpectralLossConfig = SpectralLossConfig()
    curriculum: CurriculumKind | Literal["blend"] = "cosine"
    margin: NonNegativeFloat = 1.0
    words: bool = True
    ask: Ask = "sparse"
    prior: Literal["none", "ridge"] = "none"
    text: str = "minilm"
    descriptions: str = ""
    encoder: str = ""
    recognizer: EncoderConfig = EncoderConfig()
    model: MatcherConfig = MatcherConfig()
    standardise: Standardise = "scale"
    head_epochs: NonNegativeInt = 500
    diffusion_steps: PositiveInt = 50
    error_step: NonNegativeInt = 25
    noises: PositiveInt = 3
    validation_classes: float = Field(default=0.15, ge=0.0, lt=1.0)
    validation_clips: float = Field(default=0.1, ge=0.0, lt=1.0)
    validate_every: PositiveInt = 200
    refit: bool = False
    rival_steps: NonNegativeInt = 600
