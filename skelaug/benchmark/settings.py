"""What a benchmark is told."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from skelaug.benchmark.draws import Regime
from skelaug.errors import UsageError

__all__ = ["BenchConfig"]

_FRACTIONS = {"scarce": 0.2, "labels": 0.1, "rare": 1.0, "transfer": 0.1, "subjects": 1.0}
_RATIOS = {"replacement": (0.1, 0.3, 0.5), "incremental": (0.5, 1.0, 3.0)}
_GENERATORS = {"transfer": ("performers",)}
_PAPER_SHARE = 0.2
_TRAINING = ("data", "out", "split", "test", "labelled", "seed")
_SET_BY_BENCH = {
    "recognizer_settings": (*_TRAINING, "init_from", "extra"),
    "generator_settings": _TRAINING,
    "guide_settings": _TRAINING,
    "synth_settings": ("out", "labels", "n", "like", "balance_to", "model", "seed"),
}
_BY_EPOCHS = ("epochs", "max_epochs", "warmup_epochs")


class BenchConfig(BaseModel, frozen=True, extra="forbid"):
    """What is compared, on what, how often.

    Attributes:
        mode: ``replacement`` swaps real clips for synthetic ones, ``incremental`` adds them.
        data: Sequence file of labelled real clips.
        out: Folder of the grid; the same folder goes on, and is shared by several processes.
        split: The training part; the rest is the test part.
        test: Which of the rest; empty = all. A rule inside the training part's file, for choosing
            settings on performers that the test part lacks.
        protocol: ``paper``: 20 % of the performers train the generator, the others the recognizer.
            ``scarce``: as the regime says.
        regime: Who sees which clips; see `skelaug.benchmark.draws`.
        fraction: Share of the clips that the recognizer has; None as the regime usually has it.
        per_class: Clips of each class that it has, in place of `fraction`.
        generator_share: Of regime ``subjects``, the share of clips whose performers the generator
            learns from; None = 0.75.
        rare_clips: Of regime ``rare``, clips of each rare class.
        rare_share: Of regime ``rare``, the share of classes that are rare.
        others: Of regime ``transfer``, sequence files of other data sets.
        target_share: Of regime ``transfer``, the share of the target's clips in every batch of the
            generator's training.
        arms: Which arms; empty = all of the regime.
        ratios: Synthetic clips over real ones; empty = the mode's usual ones.
        generators: Names of `skelaug.benchmark.generators.GENERATORS`, packaged models or runs;
            empty = the usual one of the regime.
        recognizers: Networks that are trained.
        seeds: Draws of clips, each with weights and batches of its own.
        first_seed: The first of them.
        repeats: Trainings per draw.
        share: Share of further clips in every batch; None pools them with the real ones.
        weight: Weight of their loss.
        noise: Of arms ``noisy-poses``, where errors come from: a packaged model, a run of `skelaug
            train refiner`, or its ``noise.safetensors``.
        noise_strength: The least and the greatest factor of a clip's errors.
        pseudo_least: Probability that a pseudo-label needs.
        recognizer_settings: Over the ``cpu`` preset of ``train recognizer``.
        generator_settings: Over that of the generator's training.
        guide_settings: Over that of ``train guide``.
        synth_settings: Over those of ``synth``.
    """

    mode: Literal["replacement", "incremental"]
    data: Path
    out: Path
    split: str = "official"
    test: str = ""
    protocol: Literal["scarce", "paper"] = "scarce"
    regime: Regime = "scarce"
    fraction: float | None = Field(default=None, gt=0.0, le=1.0)
    per_class: PositiveInt | None = None
    generator_share: float | None = Field(default=None, gt=0.0, lt=1.0)
    rare_clips: PositiveInt = 3
    rare_share: float = Field(default=1 / 3, gt=0.0, lt=1.0)
    others: tuple[Path, ...] = ()
    target_share: float = Field(default=0.75, gt=0.0, lt=1.0)
    arms: tuple[str, ...] = ()
    ratios: tuple[Annotated[PositiveFloat, Field(le=100.0)], ...] = ()
    generators: tuple[str, ...] = ()
    recognizers: tuple[str, ...] = ("compact",)
    seeds: PositiveInt = 5
    first_seed: NonNegativeInt = 0
    repeats: Annotated[PositiveInt, Field(le=100)] = 1
    share: float | None = Field(default=None, gt=0.0, lt=1.0)
    weight: NonNegativeFloat = 1.0
    noise: str = "kinect20"
    noise_strength: tuple[PositiveFloat, PositiveFloat] = (0.5, 2.0)
    pseudo_least: float = Field(default=0.5, ge=0.0, le=1.0)
    recognizer_settings: dict[str, Any] = {}
    generator_settings: dict[str, Any] = {}
    guide_settings: dict[str, Any] = {}
    synth_settings: dict[str, Any] = {}

    def resolved(self) -> BenchConfig:
        """The same with what protocol, regime and mode leave open filled in.

        Raises:
            UsageError: Settings contradict one another, or what a benchmark decides itself.
        """
        self._check()
        update: dict[str, Any] = {}
        regime: Regime = self.regime
        if self.protocol == "paper":
            regime = "subjects"
            update = {"generator_share": self.generator_share or _PAPER_SHARE}
        return self.model_copy(
            update={
                **update,
                "regime": regime,
                "fraction": self.fraction or (1.0 if self.per_class else _FRACTIONS[regime]),
                "ratios": self.ratios or _RATIOS[self.mode],
                "generators": self.generators or _GENERATORS.get(regime, ("diffusion",)),
            }
        )

    def _check(self) -> None:
        if self.protocol == "paper" and self.regime not in ("scarce", "subjects"):
            raise UsageError(
                f"--protocol paper: expected no other regime than its own, got --regime "
                f"{self.regime}; leave one of them out"
            )
        for name, taken in _SET_BY_BENCH.items():
            for key in sorted(set(taken) & set(getattr(self, name))):
                raise UsageError(
                    f"{name}.{key}: expected settings that a benchmark leaves open, got one that "
                    f"it decides for every arm; leave it out"
                )
        if "where_it_hurts" in self.synth_settings:
            raise UsageError(
                "synth_settings.where_it_hurts: draws by the errors of a test part, which would "
                "flatter the synthetic arms; leave it out"
            )
        self._check_recognizer()

    def _check_recognizer(self) -> None:
        given = self.recognizer_settings.get("model")
        name = given.get("name") if isinstance(given, Mapping) else given
        if name is not None and self.recognizers != (name,):
            raise UsageError(
                f"recognizer_settings.model.name: expected that of --recognizer "
                f"({', '.join(self.recognizers)}), got {name}; name it there alone"
            )
        steps = self.recognizer_settings.get("optimisation")
        for key in _BY_EPOCHS if isinstance(steps, Mapping) else ():
            if steps.get(key) is not None:  # type: ignore[union-attr]
                raise UsageError(
                    f"recognizer_settings.optimisation.{key}: expected steps, which are the same "
                    f"in every arm, got passes over its real clips; set steps and warmup"
                )
