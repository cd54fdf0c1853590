"""Train a refiner of noisy 3D poses, D3PRefiner: ``skelaug train refiner``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from skelaug.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from skelaug.errors import DataError, UsageError
from skelaug.files import sha256
from skelaug.imputation.windows import steps_between
from skelaug.learner import Batches
from skelaug.models import build
from skelaug.models.frame_estimate import FrameEstimate
from skelaug.models.pose_losses import joint_distance
from skelaug.optimisation import batch_indices
from skelaug.place import Place
from skelaug.progress import Progress, silent
from skelaug.refinement.process import cosine_process, flipped
from skelaug.refinement.rigid_bones import rigid_hints
from skelaug.seeds import Stream, generator
from skelaug.skeleton.windows import window_frames
from skelaug.workflows.drawn_errors import DrawnErrors, load_errors, turned
from skelaug.workflows.frame_lessons import FrameLessons, fitted_frame_estimate
from skelaug.workflows.noise_file import load_noise
from skelaug.workflows.pose_pairs import NoisyClips, corrupted_clips, matching_clips, pose_pairs
from skelaug.workflows.refiner import RefinerForm, load_refiner
from skelaug.workflows.refiner_settings import PRESETS, TrainRefinerConfig
from skelaug.workflows.refiner_test import rival_correctors, tested
from skelaug.workflows.run_directory import RunDirectory
from skelaug.workflows.training_clips import TrainingClips
from skelaug.workflows.training_pairs import (
    PairConfig,
    TrainingPairs,
    stand_in_pairs,
    training_pairs,
)
from skelaug.workflows.training_run import Plan, TrainReport, run_plan
from skelaug.workflows.window_cache import sequences

__all__ = ["PRESETS", "RefinerLoss", "TrainRefinerConfig", "run"]


def run(
    config: TrainRefinerConfig,
    *,
    resume: bool = False,
    force: bool = False,
    dry_run: bool = False,
    device: str = "auto",
    progress: Progress = silent,
) -> TrainReport:
    """Train a refiner into a run directory, and test it once beside its rivals.

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
    source = _Source(config)
    plan: Plan[TrainingPairs] = Plan(
        what="refiner",
        prepare=source.prepare,
        stand_in=source.stand_in,
        samples=source.samples,
        check=source.check,
        network=partial(_network, config),
        batches=partial(_batches, source),
        loss=lambda pairs: RefinerLoss(),
        initial=_initial if config.frame_estimate else None,
        meta={"noise": config.noise, "diffusion": config.diffusion},
        inputs=source.inputs(),
        conclude=source.test,
    )
    return run_plan(
        plan,
        config,
        resume=resume,
        force=force,
        dry_run=dry_run,
        device=device,
        progress=progress,
    )


class _Source:
    """True and noisy clips of one training."""

    def __init__(self, config: TrainRefinerConfig) -> None:
        self.config = config

    def inputs(self) -> dict[str, str]:
        """SHA-256 of the file that decides the noisy poses."""
        config = self.config
        if config.noise_model is not None:
            path = load_noise(config.noise_model, "noise").path
        else:
            assert config.noisy is not None
            path = config.noisy
        return {f"noise: {path.name}": sha256(path)} if path.is_file() else {}

    def noisy(self, clips: TrainingClips) -> NoisyClips:
        """Where the noisy poses of these clips come from."""
        truth, config = sequences(clips), self.config
        if config.noise_model is not None:
            return corrupted_clips(truth, self.errors(clips), seed=config.seed)
        assert config.noisy is not None
        return matching_clips(truth, config.noisy)

    def errors(self, clips: TrainingClips) -> DrawnErrors:
        """What the noise model adds to true poses."""
        config = self.config
        assert config.noise_model is not None
        layout = sequences(clips).layout
        return load_errors(config.noise_model, layout, strength=config.strength, turn=config.turn)

    def form(self, clips: TrainingClips) -> RefinerForm:
        """How the network is used; its unit is fitted later."""
        config, noisy = self.config, self.noisy(clips)
        wanted = noisy.has_keypoints if config.keypoints == "auto" else config.keypoints
        if config.hints and wanted:
            raise DataError(
                f"{noisy.path}: expected no 2D poses for a network with hints; add "
                f"--set keypoints=false"
            )
        if wanted and not noisy.has_keypoints:
            raise DataError(
                f"{noisy.path}: expected 2D poses there or in {config.data}, got none; leave out "
                f"keypoints=true"
            )
        return RefinerForm(
            frames=config.frames,
            fps=config.fps or clips.fps,
            unit=1.0,
            diffusion_steps=config.diffusion_steps,
            steps=config.steps if config.diffusion else 1,
            flip=config.flip,
            keypoints=wanted,
            hints=config.hints,
            root=config.root,
            low_pass=config.low_pass,
            bones=config.bones,
        )

    def check(self, clips: TrainingClips) -> list[str]:
        """Warnings; fails where the files do not fit each other."""
        self.form(clips)
        if not clips.split.test.size:
            return ["no clip is left to test on; keep some back with --split"]
        return []

    def samples(self, clips: TrainingClips) -> int:
        """Windows of an epoch."""
        file, config = sequences(clips), self.config
        rates = file.fps[clips.rows].tolist()
        strides = [steps_between(fps, config.fps or fps) for fps in rates]
        lengths = -(-file.lengths[clips.rows] // strides)
        return sum(len(window_frames(n, config.frames, 1, config.hop)) for n in lengths if n)

    def prepare(
        self, clips: TrainingClips, directory: RunDirectory, place: Place, progress: Progress
    ) -> TrainingPairs:
        """The pairs of the training part, and the frame estimate that is fitted to their errors."""
        pairs = training_pairs(
            clips,
            self.noisy(clips),
            self.form(clips),
            PairConfig(
                self.config.hop, self.config.fps, self.config.persistent, self.config.given_pose
            ),
            cache=directory.motions,
            place=place,
            progress=progress,
        )
        if self.config.frame_estimate is None:
            return pairs
        if place.is_first and not directory.frame_estimate.exists():
            self._fit_frame_estimate(pairs, directory.frame_estimate, progress)
        place.wait()
        fitted = load_checkpoint(directory.frame_estimate, expect="frame-estimate")
        return replace(pairs, frame_estimate=fitted.weights)

    def _fit_frame_estimate(self, pairs: TrainingPairs, path: Path, progress: Progress) -> None:
        """Fit the estimate that the network adds to, from the weights that it starts with."""
        config, (kind, arguments) = self.config, _network(self.config, pairs)
        assert config.frame_estimate is not None
        network = build(kind, arguments, generator=generator(config.seed, Stream.INITIAL_WEIGHTS))
        estimate = network.get_submodule("estimate")
        assert isinstance(estimate, FrameEstimate)
        fitted_frame_estimate(
            config.frame_estimate,
            estimate,
            FrameLessons(
                _batches(self, pairs, config.optimisation.batch),
                cosine_process(config.diffusion_steps),
                unit=pairs.form.unit,
                last_only=not config.diffusion,
            ),
            seed=config.seed,
            progress=progress,
        )
        sizes, meta = arguments["frame_estimate"], {"what": "frame-estimate"}
        save_checkpoint(
            path,
            Checkpoint("frame-estimate", sizes, estimate.state_dict(), pairs.layout, (), meta),
        )

    def stand_in(self, clips: TrainingClips, count: int) -> TrainingPairs:
        """Random pairs."""
        del count
        return stand_in_pairs(clips, self.form(clips), hop=self.config.hop)

    def test(
        self, pairs: TrainingPairs, directory: RunDirectory, progress: Progress
    ) -> dict[str, Any]:
        """The finished refiner and its rivals on the test part: once, with its last weights."""
        clips, file = pairs.clips, sequences(pairs.clips)
        device = torch.device("cuda") if torch.cuda.is_available() else torch.device("cpu")
        refiner = load_refiner(directory.model, device=device)
        noise = load_noise(directory.path, "corrector")
        found = tested(
            pose_pairs(
                file,
                clips.split.test.tolist(),
                self.noisy(clips),
                with_keypoints=pairs.form.keypoints,
                fps=self.config.fps,
            ),
            rival_correctors(refiner, noise),
            root=file.layout.root,
            total=len(clips.split.test),
            progress=progress,
        )
        if not found:
            return {}
        own, noisy = (
            found["methods"][name] for name in (f"diffusion, K = {pairs.form.steps}", "noisy")
        )
        heads = {
            "mpjpe_mm": own["mpjpe"],
            "mpjpe_mm_of_noisy": noisy["mpjpe"],
            "p_mpjpe_mm": own["p_mpjpe"],
            "p_mpjpe_mm_of_noisy": noisy["p_mpjpe"],
        }
        return {**heads, **found}


def _network(config: TrainRefinerConfig, pairs: TrainingPairs) -> tuple[str, dict[str, Any]]:
    told = "hints" if config.hints else pairs.form.keypoints
    sizes: dict[str, Any] = {"joints": pairs.layout.num_joints, "keypoints": told}
    if (estimate := config.frame_estimate) is not None:
        sizes["frame_estimate"] = {"steps": config.diffusion_steps, "width": estimate.width}
    taken = sorted({*sizes} & {*config.model.arguments})
    if taken:
        raise UsageError(
            f"model.arguments: {', '.join(taken)} follow from the files; leave them out"
        )
    return config.model.name, {**sizes, **config.model.arguments}


def _initial(pairs: TrainingPairs, network: nn.Module) -> list[str]:
    """Give the network its frame estimate and freeze that: windows of like frames unteach it."""
    estimate = network.get_submodule("estimate")
    estimate.requires_grad_(False)
    if pairs.frame_estimate is None:  # only measured
        return []
    estimate.load_state_dict(pairs.frame_estimate)
    return ["an estimate of the error from single frames"]


def _batches(source: _Source, pairs: TrainingPairs, batch: int) -> Batches:
    """From the number of an update to the arguments of `RefinerLoss`: x_t, t, e / s and y."""
    config = source.config
    drawn = source.errors(pairs.clips) if config.noise == "drawn" else None
    process, layout = cosine_process(config.diffusion_steps), pairs.layout
    count, mirrored = len(pairs.rows), layout.mirrored if layout.mirror else None

    def batches(step: int) -> tuple[Tensor, ...]:
        numbers = generator(config.seed, Stream.TRAIN_NOISE, step)
        chosen = batch_indices(config.seed, step, batch=batch, count=count)
        truth, noisy, keypoints = pairs.read(chosen)
        if drawn is not None:
            error = drawn.of(truth, numbers)
        elif config.noise == "conditional":
            white = torch.randn(batch, config.frames, pairs.corrector.size, generator=numbers)
            error = pairs.corrector.draw(noisy, keypoints, noise=white)
        else:
            error = noisy - truth
        t = torch.randint(1, process.steps + 1, (batch,), generator=numbers)
        if not config.diffusion:
            t = torch.full_like(t, process.steps)
        told = [truth, error, *([] if keypoints is None else [keypoints])]
        if config.hints:
            shown = rigid_hints((truth + error).numpy(), pairs.form.fps, layout)
            told.append(torch.from_numpy(shown))
        if mirrored is not None and config.mirror:
            is_turned = torch.rand(batch, generator=numbers) < config.mirror
            told = [
                torch.where(is_turned[:, None, None, None], flipped(x, mirrored), x) for x in told
            ]
        truth, error, *rest = told
        if config.turn:
            angle = 2 * torch.pi * torch.rand(batch, 1, generator=numbers)
            truth, error = turned(truth, angle), turned(error, angle)
            rest = [turned(hint, angle) for hint in rest] if config.hints else rest
        return process.noised(truth, error, t), t, error / pairs.form.unit, *rest

    return batches


@dataclass(frozen=True)
class RefinerLoss:
    """The distance of the predicted from the true error, in its mean size (eq. 7)."""

    def __call__(
        self,
        network: Callable[..., Tensor],
        x: Tensor,
        step: Tensor,
        error: Tensor,
        keypoints: Tensor | None = None,
        /,
    ) -> dict[str, Tensor]:
        """The loss, mean over joints, frames and samples.

        Args:
            network: See `skelaug.models.REFINERS`.
            x: x_t, N T V 3.
            step: t, N.
            error: e / s, N T V 3.
            keypoints: y, 2D poses N T V 2 or hints N T V 3, where the network reads them.
        """
        return {"loss": joint_distance(network(x, step, keypoints), error).mean()}
