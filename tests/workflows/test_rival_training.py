"""From clips to a rival generator, and from it to clips."""

from __future__ import annotations

import contextlib
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from skelaug.config import load
from skelaug.data.store import SequenceFile
from skelaug.errors import DataError, InterruptedRunError, UsageError
from skelaug.models import RIVALS, build
from skelaug.progress import silent
from skelaug.seeds import generator
from skelaug.skeleton.sequence import Source
from skelaug.workflows import synthesize, train_action2motion, train_actor
from skelaug.workflows.list_models import summarise
from skelaug.workflows.rival_training import RivalLoss, rival_batches
from skelaug.workflows.synthesize import SynthesizeConfig
from skelaug.workflows.training_clips import training_clips
from skelaug.workflows.training_images import stand_in_images
from skelaug.workflows.training_run import TrainReport

WORKFLOWS: dict[str, tuple[Any, Any]] = {
    "action2motion": (train_action2motion, train_action2motion.TrainAction2MotionConfig),
    "actor": (train_actor, train_actor.TrainActorConfig),
}
ARGUMENTS = {
    "action2motion": {"latent": 4, "hidden": 16},
    "actor": {"width": 16, "depth": 1, "heads": 2, "hidden": 32},
}


def config(kind: str, data: Path, out: Path, *overrides: str) -> Any:
    tiny = {
        "model": {"arguments": ARGUMENTS[kind]},
        "optimisation": {"steps": 5, "batch": 8, "ema_decay": 0.9},
        "checkpoint_every": 4,
        "log_every": 2,
    }
    flags = {"data": data, "out": out}
    return load(WORKFLOWS[kind][1], preset=tiny, overrides=overrides, flags=flags)


def train(kind: str, data: Path, out: Path, *overrides: str, **options: Any) -> TrainReport:
    settings = config(kind, data, out, *overrides)
    report: TrainReport = WORKFLOWS[kind][0].run(settings, device="cpu", **options)
    return report


def contents(run: Path) -> dict[str, bytes]:
    left_out = ("timing.jsonl", "config.yaml")
    return {path.name: path.read_bytes() for path in run.iterdir() if path.name not in left_out}


def test_every_rival_can_be_trained() -> None:
    assert set(WORKFLOWS) == set(RIVALS)


@pytest.mark.parametrize("kind", RIVALS)
def test_from_clips_to_a_run_to_clips_that_say_where_they_come_from(
    kind: str, data_file: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    report = train(kind, data_file, run, "split=subject=1,2", "licence=CC BY 4.0")
    assert (report.what, report.clips, report.steps) == (kind, 16, 5)
    assert {"loss", "error", "divergence"} < set(report.log)
    assert {"model.safetensors", "sketch.safetensors", "card.md"} < set(contents(run))
    summary = summarise("run", run, where="local")
    assert [part.kind for part in summary.parts] == [kind, "sketch"]
    assert kind in summary.card

    out = tmp_path / "drawn.h5"
    asked = SynthesizeConfig(model=str(run), out=out, labels=("kick", "walk"), n=3, no_copies=True)
    drawn = synthesize.run(asked, device="cpu")
    assert (drawn.clips, drawn.sampler, drawn.steps, drawn.guidance_scale) == (6, "prior", 1, 0.0)
    assert drawn.redrawn is not None
    with SequenceFile(out) as file:
        names = Counter(file.label_name(i) for i in range(len(file)))
        assert names == {"kick forward": 3, "walk": 3}
        assert set(file.sources) == {Source.SYNTHETIC}
        record = file.provenance[-1]
        assert (record["command"], list(record["model"]["sha256"])) == (
            "synth",
            ["model.safetensors"],
        )
        assert record["model"]["split"]["rule"] == "subject=1,2"
        assert record["model"]["licence"] == "CC BY 4.0"
        clip = file[0]
        assert np.isfinite(clip.positions).all()
        assert clip.positions[..., 1].min() == pytest.approx(0, abs=1e-6)  # metres, on the floor


@pytest.mark.parametrize("kind", RIVALS)
def test_an_interrupted_and_resumed_run_equals_one_that_was_not(
    kind: str, data_file: Path, tmp_path: Path
) -> None:
    @contextlib.contextmanager
    def interrupting(description: str, *, total: int, done: int = 0) -> Iterator[Callable]:
        count = done

        def advance(more: int = 1, /, *, note: str = "") -> None:
            nonlocal count
            count += more
            if description == "training" and count == 3:
                os.kill(os.getpid(), signal.SIGINT)

        yield advance

    train(kind, data_file, tmp_path / "whole")
    with pytest.raises(InterruptedRunError, match="--resume"):
        train(kind, data_file, tmp_path / "cut", progress=interrupting)
    train(kind, data_file, tmp_path / "cut", resume=True, progress=silent)
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


@pytest.mark.parametrize("kind", RIVALS)
def test_clips_without_a_class_teach_nothing(kind: str, data_file: Path, tmp_path: Path) -> None:
    known = training_clips(data_file, labelled="subject=2")
    assert int((known.labels >= 0).sum()) == 8
    images = stand_in_images(known, config(kind, data_file, tmp_path).codec, count=24)
    batches = rival_batches(kind, config(kind, data_file, tmp_path), images, batch=6)
    pixels = images.normalizer.normalize(torch.from_numpy(images.pixels))
    taught = pixels[known.labels >= 0]
    for step in range(4):
        x, labels, noise, *_ = batches(step)
        assert bool((labels >= 0).all())
        assert len(noise) == 6
        for row, label in zip(x, labels, strict=True):
            found = (taught - row).flatten(1).abs().amax(dim=1) < 1e-6
            assert int(found.sum()) == 1
            assert int(label) == known.labels[known.labels >= 0][int(found.nonzero()[0, 0])]


@pytest.mark.parametrize("kind", RIVALS)
def test_data_without_any_class_are_refused(
    kind: str, tmp_path: Path, write_file: Callable, labelled_clips: Callable
) -> None:
    nameless = [clip.replaced(label="") for clip in labelled_clips()]
    path = write_file(tmp_path / "nameless.h5", nameless)
    with pytest.raises(DataError, match="expected clips of a class, got none"):
        train(kind, path, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("kind", RIVALS)
def test_a_dry_run_measures_the_preset_and_writes_nothing(
    kind: str, data_file: Path, tmp_path: Path
) -> None:
    workflow, model = WORKFLOWS[kind]
    flags = {"data": data_file, "out": tmp_path / "run"}
    small = ("optimisation.batch=2",)
    settings = load(model, preset=workflow.PRESETS["cpu"], overrides=small, flags=flags)
    report = workflow.run(settings, dry_run=True, device="cpu")
    assert report.dry_run
    assert report.estimated_seconds > 0
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("kind", RIVALS)
def test_arguments_that_the_network_does_not_have_are_a_users_mistake(
    kind: str, data_file: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="wdith"):
        train(kind, data_file, tmp_path / "run", "model.arguments={wdith: 3}")


@pytest.mark.parametrize("kind", RIVALS)
def test_one_batch_of_the_loss_is_the_weighted_sum_as_published(kind: str) -> None:
    """Summed over the batch and divided by it, or ACTOR's sum over 20 clips beside a mean."""
    sizes = {"rows": 4, "frames": 6, "num_classes": 3, **ARGUMENTS[kind]}
    network = build(kind, sizes, generator=generator(0)).eval().double()
    x = torch.randn(20, 3, 4, 6, generator=generator(1), dtype=torch.float64)
    shape = (20, *network.noise_shape)  # type: ignore[misc]
    noise = torch.randn(shape, generator=generator(2), dtype=torch.float64)
    more = (torch.zeros(20, 6, dtype=torch.bool),) if kind == "action2motion" else ()
    weight = WORKFLOWS[kind][0].PRESETS["paper"]["kl_weight"]
    tensors = (x, torch.arange(20) % 3, noise, *more)
    found = RivalLoss(weight)(network, *tensors)["loss"]
    error, divergence = network(*tensors).unbind(dim=1)
    if kind == "actor":
        wanted = error.mean() + 1e-5 * divergence.sum()
    else:
        wanted = error.mean() + 0.01 * divergence.sum() / 20
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=0)
