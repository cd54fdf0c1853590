"""From clips to a model of motion."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from skelaug.checkpoint import load_checkpoint
from skelaug.config import load
from skelaug.data.store import SequenceFile
from skelaug.errors import DataError, InterruptedRunError, UsageError
from skelaug.imputation.tracks import Track
from skelaug.imputation.typicality import DENSITIES, log_densities
from skelaug.imputation.windows import WindowForm
from skelaug.models import MOTION_PRIORS
from skelaug.workflows import synthesize
from skelaug.workflows.image_source import ready_network
from skelaug.workflows.list_models import summarise
from skelaug.workflows.motion_examination import examiner
from skelaug.workflows.motion_lessons import as_nodes, lessons
from skelaug.workflows.run_directory import resolve
from skelaug.workflows.synthesize import SynthesizeConfig
from skelaug.workflows.train_hgvae import PRESETS, EvidenceLoss, TrainHgvaeConfig, run
from skelaug.workflows.training_clips import training_clips
from skelaug.workflows.training_run import TrainReport

ARGUMENTS: dict[str, dict[str, Any]] = {
    "hgvae": {"level_nodes": [12, 1], "level_features": [4, 8], "width": 8},
    "motion-vae": {"hidden": [32, 16], "latent": 4},
    "hm-vae": {"features": 8, "latent": 4},
}


def config(data: Path, out: Path, *overrides: str, kind: str = "hgvae") -> TrainHgvaeConfig:
    tiny = {
        "model": {"name": kind, "arguments": ARGUMENTS[kind]},
        "codec": {"frames": 10},
        "windows": {"frames": 10},
        "variation": {"mirror": 0.5, "tempo": 0.1},
        "occlusion": 0.5,
        "kl_start": 0.1,
        "kl_warmup": 3,
        "held_out": 0.2,
        "evaluate_every": 2,
        "optimisation": {"steps": 5, "batch": 8, "ema_decay": 0.9, "clip": 100.0},
        "checkpoint_every": 4,
        "log_every": 2,
    }
    flags = {"data": data, "out": out}
    return load(TrainHgvaeConfig, preset=tiny, overrides=overrides, flags=flags)


def train(data: Path, out: Path, *overrides: str, kind: str = "hgvae", **options: Any) -> Any:
    report: TrainReport = run(config(data, out, *overrides, kind=kind), device="cpu", **options)
    return report


def contents(run: Path) -> dict[str, bytes]:
    left_out = ("timing.jsonl", "config.yaml")
    return {path.name: path.read_bytes() for path in run.iterdir() if path.name not in left_out}


@pytest.mark.parametrize("kind", MOTION_PRIORS)
def test_from_clips_to_a_run_that_says_what_it_has_seen(kind, data_file, tmp_path) -> None:
    out = tmp_path / "run"
    report = train(data_file, out, "split=subject=1,2", "licence=CC BY 4.0", kind=kind)
    assert (report.what, report.clips, report.steps) == ("hgvae", 16, 5)
    assert {"loss", "log_likelihood", "divergence"} < set(report.log)
    assert {"score", "evidence", "error", "hidden_error"} < set(report.best)
    checkpoint = load_checkpoint(out / "model.safetensors")
    meta = checkpoint.meta
    assert (checkpoint.kind, meta["conditional"]) == (kind, False)
    assert checkpoint.arguments["reads_mask"] is True
    assert "codec" not in meta
    form = WindowForm.from_json(meta["windows"])
    assert (form.frames, form.fps, form.layout.name) == (10, 30.0, "kinect_20")
    assert not (out / "motions.h5").exists()
    summary = summarise("run", out, where="local")
    assert [part.kind for part in summary.parts] == [kind]
    for by in DENSITIES:
        assert f"log-{by} of 16 training clips" in summary.card
    scores = json.loads((out / "scores.json").read_text())
    assert scores == {"typicality": meta["typicality"]} == report.scores


def test_what_is_typical_is_read_off_the_training_clips(data_file, tmp_path) -> None:
    train(data_file, tmp_path / "run", "split=subject=1,2")
    checkpoint = load_checkpoint(tmp_path / "run" / "model.safetensors")
    form = WindowForm.from_json(checkpoint.meta["windows"])
    network: Any = ready_network(checkpoint, torch.device("cpu"))
    with SequenceFile(data_file) as file:
        clips = [file[i] for i in range(len(file)) if file.subjects[i] in (1, 2)]
    tracks = [Track(clip.positions[:, 0], clip.observed[:, 0], clip.fps) for clip in clips]
    found = log_densities(network, form, tracks)
    typicality = checkpoint.meta["typicality"]
    assert set(typicality) == {*DENSITIES, "clips"}
    assert typicality["clips"] == len(tracks) == 16
    for by in DENSITIES:
        assert typicality[by]["mean"] == pytest.approx(getattr(found, by).mean())
        assert typicality[by]["std"] == pytest.approx(getattr(found, by).std())


@pytest.mark.parametrize("way", ["conditional=false", "conditional=true"])
def test_an_interrupted_and_resumed_run_equals_one_that_was_not(way, data_file, tmp_path) -> None:
    @contextlib.contextmanager
    def interrupting(description: str, *, total: int, done: int = 0) -> Iterator[Callable]:
        count = done

        def advance(more: int = 1, /, *, note: str = "") -> None:
            nonlocal count
            count += more
            if description == "training" and count == 3:
                os.kill(os.getpid(), signal.SIGINT)

        yield advance

    train(data_file, tmp_path / "whole", way)
    with pytest.raises(InterruptedRunError, match="--resume"):
        train(data_file, tmp_path / "cut", way, progress=interrupting)
    train(data_file, tmp_path / "cut", way, resume=True)
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def test_a_model_of_labelled_clips_draws_clips(data_file, tmp_path) -> None:
    out, drawn = tmp_path / "run", tmp_path / "drawn.h5"
    report = train(data_file, out, "conditional=true", "split=subject=1,2")
    assert "hidden_error" not in report.best
    meta = load_checkpoint(out / "model.safetensors").meta
    assert {"codec", "normalizer", "durations", "persons"} < set(meta)
    assert "windows" not in meta
    assert meta["conditional"] is True
    assert (out / "sketch.safetensors").exists()
    asked = SynthesizeConfig(model=str(out), out=drawn, labels=("kick", "walk"), n=3)
    assert synthesize.run(asked, device="cpu").clips == 6
    with SequenceFile(drawn) as file:
        assert np.isfinite(file[0].positions).all()


def test_a_node_of_an_image_is_a_channel_of_a_row() -> None:
    images = torch.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    nodes = as_nodes(images)
    for row in range(4):
        for channel in range(3):
            assert torch.equal(nodes[:, 3 * row + channel], images[:, channel, row])


def test_rows_that_only_fill_up_an_image_do_not_count(tmp_path, data_file) -> None:
    settings = config(data_file, tmp_path, "conditional=true", "codec.rows=24")
    way = lessons(settings)
    material: Any = way.stand_in(training_clips(data_file), 8)
    pixels = material.pixels.copy()
    pixels[:, :, 20:] = 0.5
    object.__setattr__(material, "pixels", pixels)
    from skelaug.image.normalizer import fit_normalizer

    object.__setattr__(material, "normalizer", fit_normalizer(pixels, range(len(pixels))))
    known = way.taught(material, 4)(0).windows.known
    assert bool(known[:, :60].all())
    assert not bool(known[:, 60:].any())


def test_the_weight_of_the_divergence_rises_linearly_and_then_stays(tmp_path) -> None:
    settings = config(Path("data.h5"), tmp_path, "kl_weight=0.5", "kl_warmup=4", "kl_start=0.2")
    weights = [settings.kl_at(step, samples=100) for step in range(7)]
    assert weights == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.5, 0.5])
    epochs = config(Path("data.h5"), tmp_path, "kl_warmup_epochs=2", "kl_start=0.0")
    assert epochs.kl_at(25, samples=100) == pytest.approx(1.0)  # 8 a batch: 25 updates
    assert epochs.kl_at(5, samples=100) == pytest.approx(0.2)
    none = config(Path("data.h5"), tmp_path, "kl_warmup=0")
    assert none.kl_at(0, samples=100) == 1.0


def test_the_paper_preset_warms_up_over_its_first_200_of_5000_passes(tmp_path) -> None:
    paper = load(TrainHgvaeConfig, preset=PRESETS["paper"], flags={"data": Path(), "out": tmp_path})
    optimisation = paper.optimisation.for_clips(8000)
    assert (optimisation.steps, optimisation.lr, optimisation.clip) == (50_000, 1e-3, 100.0)
    assert paper.kl_at(0, samples=8000) == pytest.approx(0.001)
    assert paper.kl_at(1000, samples=8000) == pytest.approx(0.5005)
    assert paper.kl_at(2000, samples=8000) == 1.0
    assert (paper.occlusion, paper.windows.frames, paper.windows.hop) == (0.0, 50, 5)


def test_another_model_brings_its_own_preset(tmp_path) -> None:
    flags = {"data": Path("data.h5"), "out": tmp_path}
    for preset in ("cpu", "paper"):
        for name in ("hgvae", "motion-vae", "hm-vae"):
            found = resolve(
                TrainHgvaeConfig,
                PRESETS,
                preset=preset,
                overrides=[f"model.name={name}"],
                flags=flags,
            )
            assert found.model.name == name
            assert found.kl_at(10**9, samples=1) == (0.003 if name == "hm-vae" else 1.0)
            assert found.kl_at(0, samples=1) == (0.003 if name == "hm-vae" else 0.001)


def test_an_epoch_is_a_pass_over_the_windows(data_file, tmp_path) -> None:
    settings = config(data_file, tmp_path / "run", "windows.hop=1", "optimisation.epochs=2")
    samples = lessons(settings).samples(training_clips(data_file))
    with SequenceFile(data_file) as file:
        assert samples == (file.lengths - 9).sum()
    report = run(settings, dry_run=True, device="cpu")
    assert report.steps == -(-2 * samples // 8)


def test_the_loss_is_the_negative_evidence_bound(data_file) -> None:
    terms = torch.tensor([[-3.0, 1.0, 2.0], [-5.0, 4.0, 0.5]])
    given: list[Any] = []

    def network(*tensors: Any) -> torch.Tensor:
        given.extend(tensors)
        return terms

    x, known, seen, shown, labels, noise = (torch.zeros(2) + i for i in range(6))
    weight = torch.tensor([0.5, 0.5])
    found = EvidenceLoss()(network, x, known, seen, shown, labels, noise, weight)
    assert float(found["loss"]) == pytest.approx(((3 + 1.5) + (5 + 2.25)) / 2)
    assert float(found["log_likelihood"]) == -4
    assert float(found["divergence"]) == 3.75
    assert [int(tensor[0]) for tensor in given] == [0, 2, 1, 4, 5, 3]


def test_held_out_clips_teach_nothing(data_file, tmp_path) -> None:
    for way in ("conditional=false", "conditional=true"):
        settings = config(data_file, tmp_path, way, "held_out=0.3")
        own = lessons(settings)
        material: Any = own.stand_in(training_clips(data_file), 24)
        taught, held = own.parts(material)
        assert len(held) in (6, 7, 8)
        assert sorted([*taught, *held]) == list(range(24))
        assert {*material.clips.labels[held]} <= {*material.clips.labels[taught]}


def test_the_examination_is_the_same_each_time_and_names_its_parts(data_file, tmp_path) -> None:
    from skelaug.models import build
    from skelaug.seeds import generator

    settings = config(data_file, tmp_path)
    way = lessons(settings)
    material: Any = way.stand_in(training_clips(data_file), 24)
    sizes = {**way.sizes(material), **ARGUMENTS["hgvae"]}
    network = build("hgvae", sizes, generator=generator(0)).eval()
    examine = examiner(way, material, kl_weight=0.25, seed=0)
    assert examine is not None
    with torch.no_grad():
        one, two = examine(network), examine(network)
    assert one == two
    assert one["evidence"] == pytest.approx(one["log_likelihood"] - one["divergence"])
    assert one["score"] == pytest.approx(one["log_likelihood"] - 0.25 * one["divergence"])
    nothing = lessons(config(data_file, tmp_path, "held_out=0"))
    assert examiner(nothing, material, kl_weight=1.0, seed=0) is None


def test_a_dry_run_measures_the_preset_and_writes_nothing(data_file, tmp_path) -> None:
    flags = {"data": data_file, "out": tmp_path / "run"}
    small = ("optimisation.batch=2",)
    for way in ("conditional=false", "conditional=true"):
        settings = load(
            TrainHgvaeConfig, preset=PRESETS["cpu"], overrides=(*small, way), flags=flags
        )
        report = run(settings, dry_run=True, device="cpu")
        assert report.dry_run
        assert report.estimated_seconds > 0
        assert 300_000 < report.parameters < 1_500_000
        assert not (tmp_path / "run").exists()


def test_what_cannot_be_learnt_from_is_refused(
    data_file, tmp_path, write_file, labelled_clips
) -> None:
    nameless = write_file(
        tmp_path / "nameless.h5", [clip.replaced(label="") for clip in labelled_clips()]
    )
    with pytest.raises(DataError, match="expected clips of a class, got none"):
        train(nameless, tmp_path / "run", "conditional=true")
    assert train(nameless, tmp_path / "run").steps == 5
    with pytest.raises(UsageError, match="wdith"):
        train(data_file, tmp_path / "other", "model.arguments={wdith: 3}")


def test_clips_of_a_lower_rate_are_read_as_they_are_and_that_is_said(
    tmp_path, write_file, make_sequence
) -> None:
    clips = [make_sequence(name=f"{i}", fps=15.0, seed=i) for i in range(6)]
    report = train(write_file(tmp_path / "slow.h5", clips), tmp_path / "run", dry_run=True)
    told = "slow.h5: 6 clips are read at 15 frames per second, windows.fps is 30: their motions "
    assert f"{told}look faster than they are" in report.warnings


@pytest.mark.parametrize("kind", MOTION_PRIORS)
def test_images_are_learnt_by_all_but_hm_vae(kind, data_file, tmp_path) -> None:
    """Its groups of nodes are the coordinates of joints."""
    out = tmp_path / "run"
    if kind == "hm-vae":
        with pytest.raises(UsageError, match="choose hgvae or motion-vae"):
            train(data_file, out, "conditional=true", kind=kind)
        assert not out.exists()
    else:
        train(data_file, out, "conditional=true", kind=kind)
        assert load_checkpoint(out / "model.safetensors").meta["conditional"] is True


def test_a_batch_depends_on_its_number_alone(data_file, tmp_path) -> None:
    """So that each of several processes can take its share of it."""
    settings = config(data_file, tmp_path)
    way = lessons(settings)
    material: Any = way.stand_in(training_clips(data_file), 24)
    batch, again, other = (way.taught(material, 8)(step) for step in (3, 3, 4))
    for one, two in zip(batch.windows, again.windows, strict=True):
        assert torch.equal(one, two)
        assert len(one) == 8
    assert not torch.equal(batch.windows.x, other.windows.x)
