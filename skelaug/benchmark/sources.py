"""Where further clips come from: copies of real ones, trained generators, other data sets.

Each is a task of the grid, so it is made once, whoever needs it. The result is a folder with
``clips.h5``, or a run directory.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from skelaug.benchmark.copies import copied
from skelaug.benchmark.draws import Draw
from skelaug.benchmark.generators import GENERATORS
from skelaug.benchmark.grid import Grid, Task
from skelaug.benchmark.settings import BenchConfig
from skelaug.checkpoint import load_checkpoint
from skelaug.config import load, merge
from skelaug.data.splits import Split, split_hash
from skelaug.data.store import Schema, SequenceFile, write_sequences
from skelaug.errors import DataError, UsageError
from skelaug.files import require_file, sha256, write_text
from skelaug.skeleton.sequence import SkeletonSequence
from skelaug.workflows import (
    convert,
    synthesize,
    train_action2motion,
    train_actor,
    train_diffusion,
    train_guide,
    train_hgvae,
)
from skelaug.workflows.drawn_errors import load_errors
from skelaug.workflows.extra_clips import ExtraConfig, extra_clips
from skelaug.workflows.leaks import find_leaks
from skelaug.workflows.synthesis_report import SynthesizeConfig
from skelaug.workflows.training_clips import TrainingClips
from skelaug.zoo import find_model, find_weights, weights_in

__all__ = ["CLIPS", "Sources"]

CLIPS = "clips.h5"

_WORKFLOWS: Mapping[str, tuple[Any, Any]] = {
    "diffusion": (train_diffusion, train_diffusion.TrainDiffusionConfig),
    "guide": (train_guide, train_guide.TrainGuideConfig),
    "action2motion": (train_action2motion, train_action2motion.TrainAction2MotionConfig),
    "actor": (train_actor, train_actor.TrainActorConfig),
    "hgvae": (train_hgvae, train_hgvae.TrainHgvaeConfig),
}


def _over(base: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """The values of both; those above win."""
    values: dict[str, Any] = {}
    merge(values, base)
    merge(values, above)
    return values


class Sources:
    """The tasks that further clips come from.

    Args:
        config: The benchmark, resolved.
        grid: Where results lie.
        file: The real clips.
        device: Where to compute.

    Attributes:
        data: SHA-256 of the real file.
        notes: What could not be checked about ready generators and files, each once.
    """

    def __init__(self, config: BenchConfig, grid: Grid, file: SequenceFile, *, device: str) -> None:
        self.config, self.grid, self.file, self.device = config, grid, file, device
        self.data = sha256(config.data)
        self.notes: dict[str, None] = {}

    def rule(self, names: Sequence[str]) -> str:
        """The split rule of these clips; the list lies in the grid's folder under its hash."""
        path = self.grid.folder / "lists" / f"{split_hash(names)[:16]}.txt"
        if not path.exists():
            write_text(path, "\n".join(names) + "\n")
        return f"name={path}"

    @cached_property
    def merged(self) -> Task:
        """One file of the real clips and those of the other data sets, in the real ones' layout."""
        config = self.config

        def make(folder: Path) -> None:
            convert.run(
                convert.ConvertConfig(
                    sources=(config.data, *config.others),
                    out=folder / CLIPS,
                    layout=self.file.layout.name,
                )
            )
            self._check_others(folder / CLIPS)

        if not config.others:
            raise UsageError("--regime transfer: expected other data sets, got none; add --other F")
        others = [sha256(require_file(path)) for path in config.others]
        if self.data in others:
            raise DataError(
                f"--other {config.others[others.index(self.data)]}: expected other data, got that "
                f"of the benchmark, its test part among it; leave it out"
            )
        return Task("merged", {"data": self.data, "others": others}, make)

    def _check_others(self, path: Path) -> None:
        """Make sure that no clip of the data itself, a test clip even, comes in as another's."""
        with SequenceFile(path) as everything:
            known = frozenset(everything.names)
            own = frozenset(self._merged_name(name, known) for name in self.file.names)
            digests: dict[bool, dict[bytes, str]] = {True: {}, False: {}}
            for row, name in enumerate(everything.names):
                positions = everything[row].positions.tobytes()
                digests[name in own][hashlib.sha256(positions).digest()] = name
        both = sorted(digests[False][key] for key in digests[True].keys() & digests[False].keys())
        if both:
            raise DataError(
                f"--other: expected clips of other data sets, got {len(both)} of "
                f"{self.config.data} ({both[0]} ...); leave them out"
            )

    def _merged_name(self, name: str, known: Collection[str]) -> str:
        """A clip's name in the merged file, where one that clashes has its file's before it."""
        return name if name in known else f"{self.config.data.stem}/{name}"

    def foreign(self) -> list[str]:
        """Names of the merged file's labelled clips that are not the data's own."""
        with SequenceFile(self.grid.path(self.merged) / CLIPS) as everything:
            own = frozenset(self._in_merged(self.file.names))
            return [
                name
                for name, label in zip(everything.names, everything.labels, strict=True)
                if name not in own and label >= 0
            ]

    def _in_merged(self, names: Sequence[str]) -> list[str]:
        """The same clips in the merged file; names that clash have that of their file before."""
        with SequenceFile(self.grid.path(self.merged) / CLIPS) as everything:
            known = frozenset(everything.names)
        return [self._merged_name(name, known) for name in names]

    def generator(self, name: str, draw: Draw, seed: int) -> Task | None:
        """The training of a generator on the clips that are its own; None for a ready model."""
        spec = GENERATORS.get(name)
        return self._training(spec.what, spec.settings, draw, seed) if spec else None

    def guide(self, name: str, draw: Draw, seed: int) -> Task | None:
        """The training of a generator's guide; None where it has none."""
        spec = GENERATORS.get(name)
        return self._training("guide", spec.guide, draw, seed) if spec and spec.guide else None

    def _training(self, what: str, own: Mapping[str, Any], draw: Draw, seed: int) -> Task:
        """Train something on a generator's clips; what is equal is made once."""
        above = self.config.guide_settings if what == "guide" else self.config.generator_settings
        settings = _over(own, above)
        transfers = self.config.regime == "transfer"
        workflow, model = _WORKFLOWS[what]
        preset = _over(workflow.PRESETS["cpu"], settings)
        places = {"data": self.config.data, "out": self.grid.folder}
        resolved = load(model, preset=preset, flags=places)
        told = {
            "what": what,
            "training": resolved.model_dump(mode="json", exclude=set(places)),
            "data": self.data,
            "clips": split_hash(draw.generator),
            "labelled": split_hash(draw.labelled),
            "target_share": self.config.target_share if transfers else None,
            "seed": seed,
        }

        def make(folder: Path) -> None:
            data, split = self.config.data, self.rule(draw.generator)
            if transfers:
                data = self.grid.path(self.merged) / CLIPS
                target = self._in_merged(draw.generator)
                split = self.rule([*target, *self.foreign()])
            hidden = draw.labelled != draw.generator
            flags: dict[str, Any] = {
                "data": data,
                "out": folder,
                "split": split,
                "labelled": self.rule(draw.labelled) if hidden else "",
                "seed": seed,
                **settings,
            }
            if transfers and what == "diffusion":
                rule = self.rule(self._in_merged(draw.generator))
                share = {"rule": rule, "share": self.config.target_share}
                flags = {"favour": share, **flags}
            workflow.run(
                load(model, preset=workflow.PRESETS["cpu"], flags=flags), device=self.device
            )
            (folder / "state.pt").unlink(missing_ok=True)

        return Task("model", told, make, needs=(self.merged,) if transfers else ())

    def pool(self, name: str, draw: Draw, seed: int, *, per_class: int, every: bool) -> Task:
        """Clips that a generator draws, `per_class` of each class.

        Args:
            name: Of `GENERATORS`, a packaged model, a run, or a sequence file of synthetic clips.
            draw: Who sees which clips.
            seed: Of the clips.
            per_class: Clips of each class.
            every: All classes of the generator instead of the recognizer's.

        Raises:
            NotFoundError: There is no such generator.
            DataError: It has seen the test part, or lacks a class.
        """
        if name.endswith(".h5"):
            return self._file(Path(name), draw)
        training, guide = (make(name, draw, seed) for make in (self.generator, self.guide))
        ready = None if training else find_model(name)
        if ready is not None:
            self._check_model(ready, name, draw)
        synth = _over(GENERATORS[name].synth if training else {}, self.config.synth_settings)
        classes = () if every else tuple(self._classes(draw.recognizer))
        settings = {
            "per_class": per_class,
            "classes": list(classes),
            "synth": synth,
            "model": ready and sha256(find_weights(ready, "diffusion")),
            "seed": seed,
            **self._further_files(ready, synth),
        }

        def make(folder: Path) -> None:
            model = ready or self.grid.path(training)  # type: ignore[arg-type]
            known = load_checkpoint(find_weights(model, "diffusion")).classes
            config = load(
                SynthesizeConfig,
                preset={"n": per_class, "seed": seed, **synth},
                flags={
                    "out": folder / CLIPS,
                    "labels": known if every else classes,
                    "model": str(model),
                    "guide": str(self.grid.path(guide)) if guide else None,
                },
            )
            synthesize.run(config, device=self.device)

        needs = tuple(task for task in (training, guide) if task is not None)
        return Task("pool", settings, make, needs=needs)

    def _further_files(self, ready: Path | None, synth: Mapping[str, Any]) -> dict[str, Any]:
        """SHA-256 of what else decides the clips, where there is any."""
        found: dict[str, Path | None] = {"own": self._weights(ready).get("guide")} if ready else {}
        for role in ("guide", "judge"):
            if synth.get(role) and synth[role] != "guide":
                weights = weights_in(find_model(synth[role]))
                found |= {f"{role}/{name}": path for name, path in weights.items()}
        if synth.get("plausible_like"):
            found["plausible_like"] = require_file(Path(synth["plausible_like"]))
        files = {name: sha256(path) for name, path in found.items() if path is not None}
        return {"files": files} if files else {}

    def _classes(self, names: Sequence[str]) -> list[str]:
        """The classes of these clips, in the file's order."""
        labels = {self.label(name) for name in names}
        return [name for name in self.file.classes if name in labels]

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.file.names)}

    def row(self, name: str) -> int:
        """Where a real clip is in the file."""
        return self._rows[name]

    def label(self, name: str) -> str:
        """The class of a real clip."""
        return self.file.label_name(self._rows[name])

    def split_of(self, draw: Draw) -> Split:
        """The recognizer's and the test clips of a draw."""
        rows = [np.array([self._rows[n] for n in names]) for names in (draw.recognizer, draw.test)]
        return Split("", np.sort(rows[0]), np.sort(rows[1]), split_hash(draw.recognizer))

    def _check_model(self, model: Path, name: str, draw: Draw) -> None:
        record = {}
        for role, file in self._weights(model).items():
            meta = load_checkpoint(file).meta
            record[role] = {key: meta.get(key) for key in ("split", "subjects", "data")}
        self._refuse([record], name, draw)

    @staticmethod
    def _weights(model: Path) -> dict[str, Path]:
        """The weights of a ready model that decide what it draws, as provenance calls them."""
        found = {"model": find_weights(model, "diffusion")}
        guide = weights_in(model).get("guide") if model.is_dir() else None
        return found if guide is None else {**found, "guide": guide}

    def _refuse(self, provenance: Sequence[Mapping[str, Any]], name: str, draw: Draw) -> None:
        leaks, notes = find_leaks(self.file, provenance, self.split_of(draw), where=name)
        self.notes |= dict.fromkeys(f"--generator {name}: {note}" for note in notes)
        for leak in leaks:
            raise DataError(
                f"--generator {name}: expected one that saw none of the {len(draw.test)} test "
                f"clips, got {leak}; train it on the training part"
            )

    def _file(self, path: Path, draw: Draw) -> Task:
        """A file of synthetic clips that is there already."""
        with SequenceFile(require_file(path)) as file:
            self._refuse(file.provenance, str(path), draw)
            there = {file.label_name(row) for row in range(len(file))}
            lacking = set(self._classes(draw.recognizer)) - there
        if lacking:
            raise DataError(
                f"--generator {path}: expected clips of every class, got none of "
                f"{sorted(lacking)[0]!r} ({len(lacking)} such classes)"
            )

        own = TrainingClips(self.file, self.data, self.split_of(draw))
        if (found := extra_clips(ExtraConfig(file=path), own)) is not None:  # a misfit shows here
            found.file.close()

        def make(folder: Path) -> None:
            shutil.copyfile(path, folder / CLIPS)

        return Task("pool", {"file": sha256(path)}, make)

    def copies(self, draw: Draw, *, times: int, noisy: bool = False) -> Task:
        """Every clip of the recognizer, so many times; noisy ones each with errors of its own."""
        config, errors = self.config, None
        settings: dict[str, Any] = {"data": self.data, "clips": split_hash(draw.recognizer)}
        if noisy:
            strength = config.noise_strength
            errors = load_errors(config.noise, self.file.layout, strength=strength, turn=True)
            settings |= {"noise": sha256(errors.path), "strength": list(strength)}

        def make(folder: Path) -> None:
            rows = [self._rows[name] for name in draw.recognizer]
            self._write(folder / CLIPS, copied(self.file, rows, times=times, errors=errors))

        settings["times"] = times
        return Task("copies", settings, make)

    def real(self, names: Sequence[str]) -> Task:
        """Real clips as a file of their own."""

        def make(folder: Path) -> None:
            self._write(folder / CLIPS, (self.file[self._rows[name]] for name in names))

        return Task("real", {"data": self.data, "clips": split_hash(names)}, make)

    def _write(self, path: Path, clips: Iterator[SkeletonSequence]) -> None:
        schema = Schema(self.file.layout, self.file.classes, self.file.persons, self.file.channels)
        write_sequences(path, clips, schema, provenance=[])
