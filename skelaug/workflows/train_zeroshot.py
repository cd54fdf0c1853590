"""Train a zero-shot model, FDSM or TDSM: ``skelaug train zeroshot``.

Stages, each of which a resumed run finds as it was left: a recognizer of the seen classes
(``RUN/encoder``), whose features are what is matched; the features of its clips; a matching network
that some seen classes are held out from, which calibrates (``RUN/validation``); the texts of the
classes; the kinematic head; the matching network that learns from all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from skelaug.checkpoint import Checkpoint, load_checkpoint
from skelaug.errors import UsageError
from skelaug.models import build
from skelaug.place import Place
from skelaug.progress import Progress, silent
from skelaug.seeds import generator
from skelaug.text.descriptions import describe_classes
from skelaug.text.encoder import TextEncoder, open_encoder
from skelaug.workflows.provenance import file_hashes
from skelaug.workflows.recognizer import Recognizer, load_recognizer, recognizer_of
from skelaug.workflows.run_directory import MODEL, RunDirectory
from skelaug.workflows.train_recognizer import TrainRecognizerConfig, recognizer_plan
from skelaug.workflows.training_clips import TrainingClips
from skelaug.workflows.training_run import Plan, TrainReport, conduct, run_plan
from skelaug.workflows.zeroshot import companions
from skelaug.workflows.zeroshot_classes import (
    SeenClasses,
    TeachingParts,
    seen_classes,
    teaching_parts,
)
from skelaug.workflows.zeroshot_config import PRESETS, EncoderConfig, TrainZeroshotConfig
from skelaug.workflows.zeroshot_features import cached_features, feature_sizes
from skelaug.workflows.zeroshot_lessons import lesson_batches, lesson_loss
from skelaug.workflows.zeroshot_material import (
    ZeroShotMaterial,
    file_of,
    taught_head,
)
from skelaug.workflows.zeroshot_scores import calibrate, finished, judge
from skelaug.workflows.zeroshot_texts import ClassBank, TextScale, all_sentences, encoded
from skelaug.zeroshot.feature_scale import fit_scale
from skelaug.zeroshot.text_prior import fit_prior
from skelaug.zoo import find_model, find_weights

__all__ = ["PRESETS", "TrainZeroshotConfig", "run"]


def run(
    config: TrainZeroshotConfig,
    *,
    resume: bool = False,
    force: bool = False,
    dry_run: bool = False,
    device: str = "auto",
    progress: Progress = silent,
) -> TrainReport:
    """Train a zero-shot model into a run directory, and test it once on unseen classes.

    Args:
        config: What to train, on what.
        resume: Go on with the run that is there.
        force: Replace the run that is there.
        dry_run: Measure a few steps of the matching network, write nothing.
        device: ``auto``, ``cpu``, ``cuda`` ...
        progress: Shows the steps.

    Raises:
        SkelaugError: See `skelaug.workflows.training_run.conduct`.
    """
    if config.error_step >= config.diffusion_steps:
        raise UsageError(
            f"error_step: expected one of the {config.diffusion_steps} diffusion steps, 0 to "
            f"{config.diffusion_steps - 1}, got {config.error_step}"
        )
    if force and config.encoder and _lies_in(Path(config.encoder), config.out):
        raise UsageError(
            f"encoder={config.encoder}: expected one outside {config.out}, which --force replaces; "
            f"choose another --out"
        )
    mixed = {"curriculum": "blend", "ask": "mean"}
    told = [f"{key}={value}" for key, value in mixed.items() if getattr(config, key) == value]
    if told and config.words and config.method == "fdsm":
        raise UsageError(
            f"{told[0]}: expected texts of one token each, got words; add --set words=false, or "
            f"--set curriculum=cosine --set ask=sparse"
        )
    return run_plan(
        _plan(config, _Source(config)),
        config,
        resume=resume,
        force=force,
        dry_run=dry_run,
        device=device,
        progress=progress,
    )


def _plan(config: TrainZeroshotConfig, source: _Source) -> Plan[ZeroShotMaterial]:
    return Plan(
        what="zeroshot",
        prepare=source.prepare,
        stand_in=source.stand_in,
        network=source.network,
        batches=partial(lesson_batches, config),
        loss=partial(lesson_loss, config),
        meta={},
        inputs=source.inputs(),
        evaluate=partial(judge, seed=config.seed),
        evaluate_every=config.validate_every if config.validation_classes else 0,
        rounds=2 if config.refit and config.validation_classes else 1,
        conclude=finished,
        narrow=source.narrow,
        check=source.check,
        companions=lambda own: companions(
            own.encoder, own.head, own.scale, own.text_scale, own.prior
        ),
    )


class _Source:
    """Classes, texts and encoder of one training.

    Args:
        config: Its settings.
        encoder: One that is trained already.
        features: Of the clips, by that encoder.
        text: The encoder of sentences, if it is open already.
    """

    def __init__(
        self,
        config: TrainZeroshotConfig,
        encoder: Recognizer | None = None,
        features: NDArray[np.float32] | None = None,
        text: TextEncoder | None = None,
    ) -> None:
        self.config = config
        self.encoder = encoder
        self.features = features
        self._text = text

    @cached_property
    def text(self) -> TextEncoder:
        """The encoder of sentences."""
        return self._text or open_encoder(self.config.text)

    @property
    def _shares(self) -> dict[str, Any]:
        config = self.config
        shares = {"classes": config.validation_classes, "clips": config.validation_clips}
        return {**shares, "seed": config.seed}

    def _parts(self, labels: NDArray[np.integer]) -> TeachingParts:
        """Which clips calibrate, if only at first, and which are learnt from."""
        return teaching_parts(labels, **self._shares)

    def inputs(self) -> dict[str, str]:
        """SHA-256 of further files that decide the result."""
        config = self.config
        paths = [Path(one) for one in (config.text, config.descriptions) if Path(one).is_file()]
        if config.encoder:
            paths.append(find_weights(find_model(config.encoder), "recognizer"))
        return file_hashes(paths)

    def classes(self, clips: TrainingClips) -> SeenClasses:
        """Seen and unseen classes of the file."""
        return seen_classes(self.config.classes, clips.classes, where=str(clips.file.path))

    def narrow(self, clips: TrainingClips) -> TrainingClips:
        """The training clips of seen classes alone; the test part keeps all."""
        file_of(clips)
        if self.config.labelled:
            raise UsageError("labelled: expected nothing, since every clip is learnt by its label")
        return clips.of_classes(self.classes(clips).seen)

    def check(self, clips: TrainingClips) -> list[str]:
        """Warnings.

        Raises:
            UsageError: The given encoder has learnt unseen classes, or there are too few clips.
        """
        if self.config.encoder:
            self._given(clips)
        parts = self._parts(clips.labels)
        taught = np.unique(clips.labels[parts.taught], return_counts=True)[1]
        if self.config.standardise == "whiten" and taught.max(initial=0) < 2:
            raise UsageError(
                "standardise=whiten: expected two clips or more of a class to learn from, got one "
                "of each; add --set standardise=scale"
            )
        if len(parts.held):
            return []
        return [
            "no seen class is held out, so the last weights are kept and probabilities are not "
            "calibrated"
        ]

    def prepare(
        self, clips: TrainingClips, directory: RunDirectory, place: Place, progress: Progress
    ) -> ZeroShotMaterial:
        """The features and texts of the seen classes."""
        config = self.config
        encoder = self._encoder(clips, directory, place, progress)
        features = self.features
        if features is None:
            rows = clips.rows.tolist()
            if place.is_first:
                cached_features(encoder, file_of(clips), rows, config.mode, directory, progress)
            place.wait()
            features = cached_features(encoder, file_of(clips), rows, config.mode, directory)
        calibration = {}
        if config.refit and len(self._parts(clips.labels).held):
            calibration = self._calibration(encoder, features, directory, place, progress)
        return self._material(clips, encoder, features, calibration=calibration)

    def _calibration(
        self,
        encoder: Recognizer,
        features: NDArray[np.float32],
        directory: RunDirectory,
        place: Place,
        progress: Progress,
    ) -> dict[str, float]:
        """What a run that holds classes out finds."""
        config = self.config.model_copy(update={"out": directory.validation, "refit": False})
        source = _Source(config, encoder, features, self.text)
        plan = replace(_plan(config, source), conclude=calibrate)
        conduct(plan, config, place=place, resume=True, progress=progress)
        place.wait()
        found = load_checkpoint(directory.validation / MODEL).meta["zeroshot"]
        return {key: float(found[key]) for key in ("temperature", "constant")}

    def stand_in(self, clips: TrainingClips, count: int) -> ZeroShotMaterial:
        """Random features of the right size."""
        del count
        config = self.config
        if config.encoder:
            encoder = self._given(clips)
        else:
            encoder = _untrained(self._encoder_config(Path("unused")), clips)
        length, size = feature_sizes(encoder, config.mode)
        shape = (len(clips.rows), length, size)
        features = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
        return self._material(clips, encoder, features, head_epochs=0)

    def network(self, own: ZeroShotMaterial) -> tuple[str, dict[str, Any]]:
        """The matching network's sizes follow from encoder and texts."""
        config, (_, length, size) = self.config, own.features.shape
        paired = config.method == "tdsm"
        arguments = {
            "features": size,
            "text_features": own.text.size * (1 + paired),
            "tokens": own.text.tokens if config.words else 1,
            "positions": length if config.mode == "temporal" else 0,
            "spectral": "none" if paired else config.spectral,
            "spectral_axis": "channel" if config.mode == "channel" else "time",
        }
        taken = sorted({*arguments} & {*config.model.arguments})
        if taken:
            raise UsageError(f"model.arguments: {', '.join(taken)} follow from other settings")
        return config.model.name, {**arguments, **config.model.arguments}

    def _material(
        self,
        clips: TrainingClips,
        encoder: Recognizer,
        features: NDArray[np.float32],
        head_epochs: int | None = None,
        calibration: Mapping[str, float] | None = None,
    ) -> ZeroShotMaterial:
        config, classes = self.config, self.classes(clips)
        names = (*classes.seen, *classes.unseen)
        texts = [
            replace(one, name=name)
            for one, name in zip(
                describe_classes(names, config.descriptions or ()), names, strict=True
            )
        ]
        place_of = {clips.classes.index(name): place for place, name in enumerate(classes.seen)}
        labels = np.array([place_of[int(label)] for label in clips.labels], dtype=np.int64)
        parts = self._parts(labels)
        refit = config.refit and len(parts.held) > 0
        if refit:
            parts = TeachingParts.whole(len(labels))
        epochs = config.head_epochs if head_epochs is None else head_epochs
        head = taught_head(self.text, texts, epochs=epochs, seed=config.seed)
        taught = parts.taught
        own = torch.from_numpy(features[taught])
        scale = fit_scale(own, torch.from_numpy(labels[taught]), config.standardise)
        described = texts[: len(classes.seen)]
        text_scale = TextScale.none(self.text.size)
        if config.standardise != "none":
            text_scale = TextScale.of(encoded(self.text, all_sentences(described)))
        how = {"words": config.words, "paired": config.method == "tdsm"}
        bank = ClassBank.of(self.text, described, head, text_scale, **how)
        prior = None
        if config.prior == "ridge":
            prior = fit_prior(scale.applied(own), labels[taught], bank.asked(config.ask).pooled)
        return ZeroShotMaterial(
            clips=clips,
            classes=classes,
            encoder=encoder,
            features=features,
            scale=scale,
            labels=labels,
            parts=parts,
            texts=texts,
            text=self.text,
            text_scale=text_scale,
            prior=prior,
            bank=bank,
            head=head,
            settings={
                "method": config.method,
                "mode": config.mode,
                **how,
                "ask": config.ask,
                "diffusion_steps": config.diffusion_steps,
                "error_step": config.error_step,
                "noises": config.noises,
                "seed": config.seed,
                "rival_steps": config.rival_steps,
                "standardise": config.standardise,
                "validation": self._shares,
                "refit": refit,
                **(calibration or {}),
                "held": [classes.seen[place] for place in parts.held_classes],
            },
        )

    def _encoder(
        self, clips: TrainingClips, directory: RunDirectory, place: Place, progress: Progress
    ) -> Recognizer:
        if self.encoder is not None:
            return self.encoder
        if self.config.encoder:
            return self._given(clips, place.device)
        config = self._encoder_config(directory.encoder)
        plan = recognizer_plan(config, partial(_of_seen, self.classes(clips).seen))
        conduct(plan, config, place=place, resume=True, progress=progress)
        place.wait()
        return load_recognizer(directory.encoder, device=place.device)

    def _given(self, clips: TrainingClips, device: torch.device | None = None) -> Recognizer:
        encoder, file = load_recognizer(self.config.encoder, device=device), file_of(clips)
        encoder.check_clips(file.layout, file.channels, where=str(file.path))
        clips_of = encoder.checkpoint.meta.get("clips", {})
        learnt = [name for name in self.classes(clips).unseen if clips_of.get(name)]
        if learnt:
            raise UsageError(
                f"encoder={self.config.encoder}: expected one that has not met unseen classes, "
                f"but it learnt {learnt[0]!r} and {len(learnt) - 1} more of them; leave it out, "
                f"and one is trained"
            )
        return encoder

    def _encoder_config(self, out: Path) -> TrainRecognizerConfig:
        config = self.config
        shared = {
            key: getattr(config, key)
            for key in ("data", "split", "test", "labelled", "fraction", "seed", "licence")
        }
        own = {key: getattr(config.recognizer, key) for key in EncoderConfig.model_fields}
        return TrainRecognizerConfig(out=out, **shared, **own)


def _lies_in(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())


def _of_seen(names: tuple[str, ...], clips: TrainingClips) -> TrainingClips:
    return clips.of_classes(names, test=True)


def _untrained(config: TrainRecognizerConfig, clips: TrainingClips) -> Recognizer:
    """The encoder as it would be built, for its sizes."""
    plan = recognizer_plan(config)
    motions = plan.stand_in(clips, 1)
    kind, arguments = plan.network(motions)
    network: nn.Module = build(kind, arguments, generator=generator(0))
    meta = {"what": "recognizer", **motions.facts()}
    checkpoint = Checkpoint(
        kind, arguments, network.state_dict(), motions.layout, clips.classes, meta
    )
    return recognizer_of(checkpoint, name="encoder", path=config.out)
