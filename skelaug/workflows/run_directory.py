"""A training run on disk: what was asked, on what data, and whether it may go on.

::

    RUN/
    ├── config.yaml         the resolved configuration
    ├── run.json            command, version, hashes of the inputs; no clock
    ├── model.safetensors   the weights to use, with everything needed to use them
    ├── sketch.safetensors  of a diffusion model: what tells copies of training clips
    ├── corrector.safetensors  of a refiner: the model of the errors of noisy poses
    ├── noise.safetensors   of a refiner: the same errors given true poses, to make noisy ones
    ├── frame_estimate.safetensors  of a refiner: what its network begins with; removed at the end
    ├── state.pt            what --resume starts from
    ├── log.jsonl           losses by step; no clock, so that equal runs are equal
    ├── timing.jsonl        seconds by step
    ├── card.md             a description for people
    ├── scores.json         what a recognizer does on the test part
    ├── confusion.png       the same as a picture
    ├── images.h5           skeleton images of the training clips; removed at the end
    ├── motions.h5          prepared positions of the training clips; removed at the end
    ├── extra.h5            the same of further clips, synthetic ones; removed at the end
    ├── features.npy        of a zero-shot model: features of its clips; removed at the end
    ├── encoder/            of a zero-shot model: the run of the recognizer that makes them
    └── validation/         of a zero-shot model: the run whose held-out classes calibrate it
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel

from skelaug import config as configuration
from skelaug.errors import NotFoundError, UsageError, did_you_mean
from skelaug.files import write_text
from skelaug.workflows.provenance import provenance_record

__all__ = ["CARD", "CONFUSION", "IMAGES", "MODEL", "RunDirectory", "resolve"]

CONFIG, RECORD, MODEL, CARD, SCORES = (
    "config.yaml",
    "run.json",
    "model.safetensors",
    "card.md",
    "scores.json",
)
IMAGES, MOTIONS, EXTRA, CONFUSION = "images.h5", "motions.h5", "extra.h5", "confusion.png"
FEATURES, ENCODER, VALIDATION = "features.npy", "encoder", "validation"
FRAME_ESTIMATE = "frame_estimate.safetensors"
_FILES = (
    CONFIG,
    RECORD,
    MODEL,
    CARD,
    SCORES,
    IMAGES,
    MOTIONS,
    EXTRA,
    FEATURES,
    CONFUSION,
    "sketch.safetensors",
    "corrector.safetensors",
    FRAME_ESTIMATE,
    "noise.safetensors",
    "state.pt",
    "log.jsonl",
    "timing.jsonl",
)
# a run without these has not come to anything
_WORTH = (MODEL, CARD, "state.pt", "log.jsonl", f"{ENCODER}/state.pt", f"{VALIDATION}/state.pt")
# never change the result; of files it is the content that does, which the record holds
_FREE = ("data", "noisy", "noise_model", "out", "checkpoint_every", "checkpoint_seconds")

Model = TypeVar("Model", bound=BaseModel)


def resolve(
    model: type[Model],
    presets: Mapping[str, Mapping[str, Any]],
    *,
    preset: str | None = None,
    file: Path | None = None,
    overrides: Sequence[str] = (),
    flags: Mapping[str, Any],
    resume: bool = False,
) -> Model:
    """The configuration of a training: defaults < preset < file < overrides < flags.

    A run that is resumed starts from the configuration that lies in it instead, so that settings
    need not be repeated; those that are given must agree with it (see `RunDirectory.check`).

    Args:
        model: The configuration's class.
        presets: Values by preset; ``cpu`` is the default one. ``paper/ctr-gcn`` is used in place
            of ``paper`` where another setting chooses that network.
        preset: Name of a preset.
        file: A YAML file.
        overrides: ``a.b=value`` strings.
        flags: Named flags, ``out`` and ``data`` among them; None = not given.
        resume: Whether an earlier run is taken up.

    Raises:
        NotFoundError: There is no such preset or file.
        UsageError: A key or a value is wrong.
    """
    if preset is not None and preset not in presets:
        raise NotFoundError(f"--preset {preset}: {did_you_mean(preset, presets)}")
    stored = Path(flags["out"]) / CONFIG
    if resume and stored.exists():
        before: dict[str, Any] = yaml.safe_load(stored.read_text(encoding="utf-8"))
        base: Mapping[str, Any] = _over(before, presets[preset]) if preset else before
    else:
        base = presets[preset or "cpu"]

    def load(base: Mapping[str, Any]) -> Model:
        return configuration.load(model, preset=base, file=file, overrides=overrides, flags=flags)

    config, network = load(base), base.get("model", {})
    values = config.model_dump()
    wanted = values["model"].get("name")  # a training of one network has no choice
    fitting = _with_own_arguments(base, values)
    if network.get("name") == wanted:
        return config if fitting == base else load(fitting)
    own = presets.get(f"{preset or 'cpu'}/{wanted}")
    if own is not None and not (resume and stored.exists()):
        return load(own)
    return load(fitting)


def _with_own_arguments(base: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The base without arguments of networks that other settings replace by ones of other names."""
    other = "arguments" in base and base.get("name") != values.get("name")
    return {
        key: _with_own_arguments(value, values.get(key) or {})
        if isinstance(value, Mapping)
        else value
        for key, value in base.items()
        if not (other and key == "arguments")
    }


def _over(base: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """The values of `above`, and of `base` where it has none."""
    merged = dict(base)
    for key, value in above.items():
        old = merged.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            merged[key] = _over(old, value)
        else:
            merged[key] = value
    return merged


class RunDirectory:
    """The folder of one training.

    Args:
        path: The folder; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.model = path / MODEL
        self.images = path / IMAGES
        self.motions = path / MOTIONS
        self.extra = path / EXTRA
        self.features = path / FEATURES
        self.frame_estimate = path / FRAME_ESTIMATE
        self.encoder = path / ENCODER
        self.validation = path / VALIDATION

    @property
    def is_finished(self) -> bool:
        """Whether the run has come to its end; the card is the last file to be written."""
        return (self.path / CARD).exists()

    def check(
        self,
        config: BaseModel,
        inputs: Mapping[str, str],
        *,
        resume: bool,
        force: bool,
    ) -> None:
        """Whether a run with this configuration may start here, or go on.

        Args:
            config: The resolved configuration.
            inputs: SHA-256 of the input files, by name.
            resume: Take up what is there.
            force: Replace what is there.

        Raises:
            UsageError: A run is there and neither was said, or it differs from the one to resume.
        """
        begun = (self.path / CONFIG).exists()
        if resume:
            if begun:
                self._compare(config, inputs)
        elif not force and any((self.path / name).exists() for name in _WORTH):
            raise UsageError(
                f"{self.path}: holds a run already; choose another --out, or add --resume to go "
                f"on or --force to replace it"
            )

    def _compare(self, config: BaseModel, inputs: Mapping[str, str]) -> None:
        stored = yaml.safe_load((self.path / CONFIG).read_text(encoding="utf-8"))
        given = config.model_dump(mode="json")
        differ = [
            f"{key} is {_show(old)} there and {_show(new)} now"
            for key, old, new in _differences(stored, given)
            if key not in _FREE
        ]
        if differ:
            raise UsageError(
                f"{self.path}: cannot resume with other settings: {'; '.join(differ)}; leave them "
                f"out, or start a new run"
            )
        if (self.path / RECORD).exists():
            record = json.loads((self.path / RECORD).read_text(encoding="utf-8"))
            if sorted(record["inputs"].values()) != sorted(inputs.values()):
                raise UsageError(
                    f"{self.path}: cannot resume, the run was begun with another content of "
                    f"{', '.join(record['inputs'])}; give the same data, or start a new run"
                )

    def begin(
        self, config: BaseModel, inputs: Mapping[str, str], *, command: str, resume: bool
    ) -> None:
        """Clear the folder unless resuming, and write the configuration and the record."""
        if not resume:
            self.clear()
        record = provenance_record(command, config, inputs)
        write_text(self.path / RECORD, json.dumps(record, sort_keys=True, indent=1) + "\n")
        configuration.write_resolved(self.path / CONFIG, config)

    def clear(self) -> None:
        """Remove the files of an earlier run; others are left alone."""
        for name in _FILES:
            (self.path / name).unlink(missing_ok=True)
        for inner in (self.encoder, self.validation):
            if inner.is_dir():
                RunDirectory(inner).clear()

    def finish(self, card: str, scores: Mapping[str, Any]) -> None:
        """Remove what was prepared, write scores and card; the card marks a finished run."""
        self.images.unlink(missing_ok=True)
        self.motions.unlink(missing_ok=True)
        self.extra.unlink(missing_ok=True)
        self.features.unlink(missing_ok=True)
        self.frame_estimate.unlink(missing_ok=True)
        if scores:
            write_text(self.path / SCORES, json.dumps(scores, indent=1) + "\n")
        write_text(self.path / CARD, card)

    def scores(self) -> dict[str, Any]:
        """What a finished run was found to be worth; empty where nothing was held out."""
        path = self.path / SCORES
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def _differences(old: Any, new: Any, *, key: str = "") -> list[tuple[str, Any, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        found = []
        for name in sorted({*old, *new}):
            path = f"{key}.{name}" if key else name
            found += _differences(old.get(name), new.get(name), key=path)
        return found
    return [] if old == new else [(key, old, new)]


def _show(value: object) -> str:
    return "not set" if value in (None, "") else str(value)
