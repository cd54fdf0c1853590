from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.fft
import torch
import yaml

from skelaug.checkpoint import load_checkpoint
from skelaug.config import load
from skelaug.diffusion.parameterization import noised, prediction_from, target_from
from skelaug.diffusion.schedule import cosine_schedule
from skelaug.errors import DataError, InterruptedRunError, NotFoundError, UsageError
from skelaug.image.normalizer import ImageNormalizer
from skelaug.models import build
from skelaug.progress import silent
from skelaug.workflows import images as make_images
from skelaug.workflows import train_diffusion
from skelaug.workflows.generator import ImageGenerator, Recipe
from skelaug.workflows.image_source import Address
from skelaug.workflows.train_diffusion import (
    PRESETS,
    DiffusionConfig,
    DiffusionLoss,
    SpectralLossConfig,
    TrainDiffusionConfig,
)

TINY = {
    "model": {"arguments": {"width": 32, "depth": 2, "heads": 2}},
    "optimisation": {"steps": 7, "batch": 8, "warmup": 2, "ema_decay": 0.9, "clip": 1.0},
    "log_every": 3,
    "checkpoint_every": 4,
}


def config(data: Path, out: Path, *overrides: str) -> TrainDiffusionConfig:
    flags = {"data": data, "out": out}
    return load(TrainDiffusionConfig, preset=TINY, overrides=overrides, flags=flags)


def train(data: Path, out: Path, *overrides: str, **options):
    return train_diffusion.run(config(data, out, *overrides), device="cpu", **options)


def contents(run: Path, *left_out: str) -> dict[str, bytes]:
    left_out = ("timing.jsonl", "config.yaml", *left_out)
    return {path.name: path.read_bytes() for path in run.iterdir() if path.name not in left_out}


def test_a_run_holds_what_is_needed_to_use_it_and_to_repeat_it(data_file, tmp_path):
    out = tmp_path / "run"
    report = train(data_file, out, "split=subject=1,2", "licence=CC BY 4.0")
    assert {path.name for path in out.iterdir()} == {
        *("config.yaml", "run.json", "model.safetensors", "sketch.safetensors", "state.pt"),
        *("log.jsonl", "timing.jsonl", "card.md"),
    }
    model = load_checkpoint(out / "model.safetensors", expect="diffusion")
    network = build(model.kind, model.arguments)
    network.load_state_dict(dict(model.weights))
    x = torch.zeros(2, 3, 20, 24)
    assert network(x, torch.tensor([0.0, 999.0]), torch.tensor([0, 4])).shape == x.shape

    meta = model.meta
    assert model.layout.name == "kinect_20"
    assert model.classes == ("kick forward", "walk", "wave", "sit [slow]")
    assert meta["subjects"] == [1, 2]
    assert meta["clips"] == dict.fromkeys(model.classes, 4)
    assert meta["persons"] == {name: [4] for name in model.classes}
    assert meta["split"]["rule"] == "subject=1,2"
    assert len(meta["split"]["hash"]) == 64
    assert meta["data"]["name"] == "data.h5"
    assert (meta["step"], meta["steps"], meta["fps"]) == (7, 7, 30.0)
    assert meta["licence"] == "CC BY 4.0"
    assert meta["diffusion"]["parameterization"] == "v"
    assert meta["conditional"] is True
    seconds = [(20 + 3 * take + 5 * subject) / 30 for subject in (1, 2) for take in (0, 1)]
    assert meta["durations"]["walk"] == pytest.approx(sorted(seconds), abs=1e-4)
    assert str(tmp_path) not in json.dumps(meta)

    assert yaml.safe_load((out / "config.yaml").read_text())["split"] == "subject=1,2"
    card = (out / "card.md").read_text()
    assert "16 clips" in card
    assert "CC BY 4.0" in card
    assert "| sit [slow] | 4 |" in card
    assert (report.clips, report.classes, report.subjects, report.steps) == (16, 4, 2, 7)
    assert report.log["step"] == 7
    assert report.steps_per_second > 0


def test_equal_commands_write_equal_files_wherever_they_write(data_file, tmp_path):
    train(data_file, tmp_path / "one")
    moved = tmp_path / "elsewhere" / "data.h5"
    moved.parent.mkdir()
    shutil.copy(data_file, moved)
    train(moved, tmp_path / "elsewhere" / "two")
    assert contents(tmp_path / "one") == contents(tmp_path / "elsewhere" / "two")
    train(data_file, tmp_path / "three", "seed=1")
    one, three = (contents(tmp_path / name) for name in ("one", "three"))
    assert one["model.safetensors"] != three["model.safetensors"]


def interrupting(step: int) -> Callable:
    """A progress that presses Ctrl-C after some updates."""
    import contextlib
    import os
    import signal

    @contextlib.contextmanager
    def progress(description, *, total, done=0):
        count = done

        def advance(more=1, /, *, note=""):
            nonlocal count
            count += more
            if description == "training" and count == step:
                os.kill(os.getpid(), signal.SIGINT)

        yield advance

    return progress


def test_an_interrupted_and_resumed_run_equals_one_that_was_not(data_file, tmp_path):
    train(data_file, tmp_path / "whole")
    for step in (2, 5):
        with pytest.raises(InterruptedRunError, match="add --resume"):
            train(data_file, tmp_path / "cut", resume=step > 2, progress=interrupting(step))
        assert (tmp_path / "cut" / "images.h5").exists()
        assert not (tmp_path / "cut" / "card.md").exists()
    report = train(data_file, tmp_path / "cut", resume=True)
    assert (report.resumed_at, report.steps) == (5, 7)
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def test_resuming_a_finished_run_changes_nothing_and_tells_how_it_ended(data_file, tmp_path):
    first = train(data_file, tmp_path / "run")
    before = contents(tmp_path / "run")
    again = train(data_file, tmp_path / "run", resume=True)
    assert contents(tmp_path / "run") == before
    kept = ("clips", "classes", "parameters", "steps", "log", "best", "config")
    assert [getattr(again, key) for key in kept] == [getattr(first, key) for key in kept]
    assert again.resumed_at == 7


def test_resuming_what_was_never_begun_begins_it(data_file, tmp_path):
    train(data_file, tmp_path / "one", resume=True)
    train(data_file, tmp_path / "two")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_a_run_is_not_overwritten_unless_that_is_said(data_file, tmp_path):
    out = tmp_path / "run"
    train(data_file, out)
    before = contents(out)
    with pytest.raises(UsageError, match=r"holds a run already; .*--resume.*--force"):
        train(data_file, out, "seed=1")
    assert contents(out) == before
    (out / "notes.txt").write_text("mine")
    train(data_file, out, "seed=1", force=True)
    assert contents(out)["model.safetensors"] != before["model.safetensors"]
    assert (out / "notes.txt").read_text() == "mine"


def test_a_run_is_not_resumed_with_other_settings_or_other_data(
    data_file, tmp_path, make_sequence, write_file
):
    out = tmp_path / "run"
    with pytest.raises(InterruptedRunError):
        train(data_file, out, progress=interrupting(2))
    message = r"other settings: optimisation\.lr is 0\.001 there and 0\.5 now; seed is 0 there"
    with pytest.raises(UsageError, match=message):
        train(data_file, out, "optimisation.lr=0.5", "seed=1", resume=True)
    clips = [make_sequence(label, name=label, seed=5) for label in ("walk", "wave")]
    other = write_file(tmp_path / "other" / "data.h5", clips)
    with pytest.raises(UsageError, match=r"another content of data\.h5"):
        train(other, out, resume=True)
    report = train(data_file, out, "checkpoint_every=1", resume=True)  # has no say in the result
    assert report.resumed_at == 2


def test_images_train_the_network_that_their_sequences_train(data_file, tmp_path):
    made = make_images.ImagesConfig(data=data_file, out=tmp_path / "images.h5")
    make_images.run(made)
    train(data_file, tmp_path / "one")
    train(made.out, tmp_path / "two")
    one, two = (load_checkpoint(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    assert {key: one.meta[key] for key in one.meta if key != "data"} == {
        key: two.meta[key] for key in two.meta if key != "data"
    }
    for key, weight in one.weights.items():
        assert torch.equal(weight, two.weights[key])
    assert made.out.exists()


def test_nothing_of_a_test_clip_reaches_the_model(tmp_path, labelled_clips, write_file):
    clips = labelled_clips()
    shifted = [
        clip.replaced(positions=3 * clip.positions) if clip.subject == 3 else clip for clip in clips
    ]
    models = []
    for name, part in (("one", clips), ("two", shifted)):
        data = write_file(tmp_path / name / "data.h5", part)
        train(data, tmp_path / name / "run", "split=subject=1,2")
        models.append(load_checkpoint(tmp_path / name / "run" / "model.safetensors"))
    one, two = models
    assert {**one.meta, "data": None} == {**two.meta, "data": None}
    assert all(torch.equal(one.weights[key], two.weights[key]) for key in one.weights)


def test_a_dry_run_writes_nothing_and_estimates_the_time(data_file, tmp_path):
    report = train(data_file, tmp_path / "run", dry_run=True)
    assert not (tmp_path / "run").exists()
    assert report.dry_run
    assert report.estimated_seconds == pytest.approx(7 / report.steps_per_second, abs=0.1)
    assert report.config["optimisation"]["batch"] == 8


def test_few_clips_rare_classes_and_missing_labels_are_warned_about(
    tmp_path, labelled_clips, make_sequence, write_file
):
    clips = [clip for clip in labelled_clips() if clip.label != "wave"]
    clips += [make_sequence("wave", name="only"), make_sequence("", name="unlabelled")]
    data = write_file(tmp_path / "data.h5", clips, classes=("walk", "wave", "jump", *PAIR))
    report = train(data, tmp_path / "run", "optimisation.steps=1")
    text = "; ".join(report.warnings)
    assert "only 20 clips: a model may learn so few by heart" in text
    assert "fewer than 5 clips in 'wave'" in text
    assert "no clip at all in 'jump'" in text
    assert "1 clips have no label" in text
    meta = load_checkpoint(tmp_path / "run" / "model.safetensors").meta
    assert meta["durations"]["jump"] == []
    assert meta["clips"]["jump"] == 0


PAIR = ("kick forward", "sit [slow]")


def test_two_persons_fill_an_image(tmp_path, make_sequence, write_file):
    clips = [make_sequence("hug", name=f"hug {i}", persons=2, seed=i) for i in range(4)]
    clips += [make_sequence("walk", name=f"walk {i}", seed=i) for i in range(4)]
    data = write_file(tmp_path / "data.h5", clips)
    train(data, tmp_path / "run", "optimisation.steps=1")
    model = load_checkpoint(tmp_path / "run" / "model.safetensors")
    assert model.arguments["rows"] == 40
    assert model.meta["persons"] == {"hug": [0, 4], "walk": [4, 0]}
    with pytest.raises(DataError, match="at most 1 persons"):
        train(data, tmp_path / "one", "codec.persons=1")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (["model.name=unet", "model.arguments={}"], UsageError, "multiples of 8"),
        (["model.name=u-net"], UsageError, "did you mean 'unet'"),
        (["model.arguments.depht=3"], UsageError, "depht"),
        (["split=subject=9"], UsageError, "no clip has subject 9"),
        (["codec.rows=12"], UsageError, "at least the 20 joints"),
        (["split=name=none.txt"], NotFoundError, "no such file"),
    ],
)
def test_a_setting_that_does_not_fit_is_one_line(data_file, tmp_path, change, error, message):
    with pytest.raises(error, match=message) as caught:
        train(data_file, tmp_path / "run", *change)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run" / "model.safetensors").exists()
    train(data_file, tmp_path / "run", "optimisation.steps=1")  # nothing is in the way


def test_a_missing_or_foreign_file_is_refused(tmp_path):
    with pytest.raises(NotFoundError, match="no such file"):
        train(tmp_path / "none.h5", tmp_path / "run")
    (tmp_path / "junk.h5").write_bytes(b"junk")
    with pytest.raises(DataError, match="HDF5"):
        train(tmp_path / "junk.h5", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_paper_preset_is_the_papers():
    paper = load(
        TrainDiffusionConfig,
        preset=PRESETS["paper"],
        flags={"data": Path("d.h5"), "out": Path("run")},
    )
    assert paper.model.name == "unet"
    assert paper.model.arguments["width"] == 128
    assert (paper.codec.frames, paper.codec.rows) == (24, 24)
    process = paper.diffusion
    assert (process.schedule, process.steps, process.parameterization) == ("cosine", 1000, "eps")
    assert process.learned_variance
    assert process.vb_weight == 0.001
    assert not paper.conditional
    rates = paper.optimisation
    assert (rates.lr, rates.batch, rates.steps, rates.ema_decay) == (1e-4, 1024, 500_000, 0.9999)
    assert (rates.betas, rates.weight_decay, rates.clip) == ((0.9, 0.999), 0.0, None)
    assert {rates.lr_at(step) for step in (0, 1000, 499_999)} == {1e-4}


@pytest.mark.slow
def test_the_papers_network_has_the_size_of_the_facts(data_file, tmp_path):
    flags = {"data": data_file, "out": tmp_path / "run"}
    paper = load(TrainDiffusionConfig, preset=PRESETS["paper"], flags=flags)
    report = train_diffusion.run(paper, dry_run=True, device="cpu", progress=silent)
    assert report.parameters / 1e6 == pytest.approx(52.55, abs=0.01)


# --- the objective ---


def problem(n: int = 6) -> tuple[torch.Tensor, ...]:
    numbers = torch.Generator().manual_seed(0)
    x0 = torch.randn(n, 3, 4, 5, generator=numbers)
    noise = torch.randn(n, 3, 4, 5, generator=numbers)
    steps = torch.tensor([0, 1, 200, 500, 900, 999])[:n]
    return x0, noise, steps, torch.arange(n)


@pytest.mark.parametrize("kind", ["eps", "x0", "v"])
def test_a_network_that_knows_the_target_has_no_loss_and_sees_the_noisy_image(kind):
    x0, noise, steps, labels = problem()
    alpha_bar = cosine_schedule(1000).alpha_bars[steps]

    def oracle(x, step, label):
        torch.testing.assert_close(x, noised(x0, noise, alpha_bar))
        assert torch.equal(step, steps.float())
        assert torch.equal(label, labels)
        return target_from(x0, noise, alpha_bar, kind=kind)

    settings = DiffusionConfig(parameterization=kind, bone_weight=1.0, min_snr_gamma=5.0)
    loss = DiffusionLoss(
        settings,
        conditional=True,
        bones=lambda images: images.diff(dim=2),
        spectral=SpectralLossConfig(weight=1.0),
    )
    terms = loss(oracle, x0, noise, steps, labels)
    assert float(terms["loss"]) == pytest.approx(0, abs=1e-6)


def test_an_unconditional_network_never_sees_a_label():
    x0, noise, steps, labels = problem()

    def network(x, step, label):
        assert label is None
        return torch.zeros_like(x)

    terms = DiffusionLoss(DiffusionConfig(), conditional=False)(network, x0, noise, steps, labels)
    assert float(terms["loss"]) > 0


def test_the_bone_term_is_the_error_of_the_estimates_bones_and_fades_with_the_signal():
    """Second derivation: with x0-prediction the estimate is the output itself."""
    x0, noise, steps, labels = problem()
    wrong = torch.randn(x0.shape, generator=torch.Generator().manual_seed(1))
    settings = DiffusionConfig(parameterization="x0", bone_weight=0.7)
    loss = DiffusionLoss(settings, conditional=True, bones=lambda images: images.diff(dim=2))
    terms = loss(lambda x, step, label: x0 + wrong, x0, noise, steps, labels)
    error = wrong.numpy().astype(float)
    alpha_bar = cosine_schedule(1000).alpha_bars.numpy()[steps.numpy()]
    bones = ((error[:, :, 1:] - error[:, :, :-1]) ** 2).mean(axis=(1, 2, 3))
    expected = (error**2).mean() + 0.7 * (alpha_bar * bones).mean()
    assert float(terms["loss"]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("kind", ["eps", "x0", "v"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_the_spectral_term_weights_the_error_of_the_estimate_along_the_frames(kind, reduction):
    """Eq. 6 and 7 on the same wrong estimate, whatever the network predicts; alpha_bar fades it."""
    x0, noise, steps, labels = (tensor.double() for tensor in problem())
    steps, labels = steps.long(), labels.long()
    wrong = torch.randn(x0.shape, generator=torch.Generator().manual_seed(1)).double()
    alpha_bar = cosine_schedule(1000).alpha_bars[steps]
    spectral = SpectralLossConfig(weight=0.7, gamma=0.5, share=0.4, reduction=reduction)
    loss = DiffusionLoss(
        DiffusionConfig(parameterization=kind), conditional=True, spectral=spectral
    )

    def network(x, step, label):
        return prediction_from(x0 + wrong, x, alpha_bar, kind=kind)

    terms = loss(network, x0, noise, steps, labels)
    spectrum = scipy.fft.dct(wrong.numpy(), axis=-1, norm="ortho") ** 2
    weights = np.ones((6, 5))  # 0.4 of 5 frames: frequencies 0 and 1 are low
    weights[:, 2:] = 0.5 * (1 - steps.numpy()[:, None] / 1000)
    errors = (spectrum * weights[:, None, None]).sum(axis=(1, 2, 3))
    errors = errors / 60 if reduction == "mean" else errors
    assert float(terms["spectral"]) == pytest.approx(errors.mean(), rel=1e-4)
    expected = float(terms["simple"]) + 0.7 * (alpha_bar.numpy() * errors).mean()
    assert float(terms["loss"]) == pytest.approx(expected, rel=1e-6)


def test_where_hardly_a_signal_is_left_the_spectral_term_does_not_outgrow_the_error_of_the_noise():
    """The estimate is divided by the root of 2e-9 there; the term stays below its weight."""
    x0, noise, steps, labels = problem()
    settings, spectral = DiffusionConfig(parameterization="eps"), SpectralLossConfig(weight=1.0)
    loss = DiffusionLoss(settings, conditional=True, spectral=spectral)
    terms = loss(lambda x, *_: noise + 0.5, x0, noise, torch.full_like(steps, 999), labels)
    assert float(terms["spectral"]) > 1e6
    assert float(terms["simple"]) == pytest.approx(0.25)
    assert 0.25 < float(terms["loss"]) <= 0.5 * 1.001


def test_a_run_with_gain_and_spectral_loss_learns_draws_and_says_what_it_was(data_file, tmp_path):
    out = tmp_path / "run"
    train(data_file, out, "model.arguments.spectral=attention", "spectral_loss.weight=0.5")
    model = load_checkpoint(out / "model.safetensors", expect="diffusion")
    assert model.arguments["spectral"] == "attention"
    assert model.weights["spectral.logits"].shape == (5,)
    assert "spectral" in json.loads((out / "log.jsonl").read_text().splitlines()[0])
    recipe = Recipe(steps=2)
    drawn = ImageGenerator(out / "model.safetensors", None, recipe).draw([Address(0, 0)], [1])
    assert np.isfinite(drawn).all()
    with pytest.raises(UsageError, match="spectral: expected one of"):
        train(data_file, tmp_path / "b", "model.arguments.spectral=mlp")


def test_the_min_snr_weight_is_one_where_noise_dominates_and_caps_the_rest():
    """Hang et al. 2023: with x0-prediction the weight is min(SNR, gamma)."""
    x0, noise, steps, labels = problem()
    settings = DiffusionConfig(parameterization="x0", min_snr_gamma=5.0)
    loss = DiffusionLoss(settings, conditional=True)
    alpha_bar = cosine_schedule(1000).alpha_bars.numpy()[steps.numpy()]
    expected = np.minimum(alpha_bar / (1 - alpha_bar), 5.0)
    for i in range(len(x0)):
        one = [tensor[i : i + 1] for tensor in (x0, noise, steps, labels)]
        terms = loss(lambda x, step, label, i=i: x0[i : i + 1] + 1.0, *one)
        assert float(terms["loss"]) == pytest.approx(expected[i], rel=1e-4)


def test_with_a_learned_variance_the_bound_is_added_and_logged():
    x0, noise, steps, labels = problem()
    settings = DiffusionConfig(parameterization="eps", learned_variance=True)
    loss = DiffusionLoss(settings, conditional=True)
    output = torch.zeros(len(x0), 6, 4, 5, requires_grad=True)
    terms = loss(lambda x, step, label: output, x0, noise, steps, labels)
    (gradient,) = torch.autograd.grad(terms["bound"], output)
    terms = {key: value.detach() for key, value in terms.items()}
    assert float(terms["simple"]) == pytest.approx(float(noise.square().mean()), rel=1e-5)
    assert float(terms["loss"]) == pytest.approx(float(terms["simple"] + terms["bound"]), rel=1e-5)
    assert float(gradient[:, :3].abs().max()) < 1e-6  # the bound teaches the variance alone
    assert float(gradient[:, 3:].abs().max()) > 0


def test_it_learns_to_denoise(data_file, tmp_path):
    train(
        data_file,
        tmp_path / "run",
        *("optimisation.steps=60", "optimisation.lr=3e-3", "optimisation.batch=24"),
        *("model.dropout=0", "log_every=20"),
    )
    lines = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    losses = [json.loads(line)["loss"] for line in lines]
    assert losses[0] > losses[1] > losses[2]
    assert losses[2] < 0.7 * losses[0]


def test_the_normaliser_of_the_checkpoint_is_the_one_of_the_training_clips(data_file, tmp_path):
    made = make_images.ImagesConfig(data=data_file, out=tmp_path / "images.h5")
    make_images.run(made)
    train(made.out, tmp_path / "run", "optimisation.steps=1")
    meta = load_checkpoint(tmp_path / "run" / "model.safetensors").meta
    normalizer = ImageNormalizer.from_json(meta["normalizer"])
    from skelaug.image.store import ImageFile

    normal = normalizer.normalize(np.asarray(ImageFile(made.out).pixels))
    np.testing.assert_allclose(normal.mean(axis=(0, 3)), 0, atol=1e-4)
    lower, upper = normalizer.bounds(normal)
    assert ((normal >= lower) & (normal <= upper)).all()


# --- performers, favoured clips, hidden labels ---


def test_a_network_that_knows_performers_says_whom_and_who_performed_what(data_file, tmp_path):
    train(data_file, tmp_path / "run", "performers=true", "split=subject=1,3")
    model = load_checkpoint(tmp_path / "run" / "model.safetensors")
    assert model.arguments["num_subjects"] == 2
    assert model.weights["conditioning.subject.weight"].shape == (3, 32)
    assert model.weights["conditioning.subject.weight"].any(dim=1).all()
    assert (model.meta["performers"], model.meta["subjects"]) == (True, [1, 3])
    assert model.meta["performed"] == {name: [1, 3] for name in model.classes}
    train(data_file, tmp_path / "plain", "split=subject=1,3")
    plain = load_checkpoint(tmp_path / "plain" / "model.safetensors")
    assert "num_subjects" not in plain.arguments
    assert plain.meta["performers"] is False
    assert not any("subject" in name for name in plain.weights)


def test_performers_and_favoured_clips_go_on_after_an_interruption(data_file, tmp_path):
    how = ("performers=true", "favour.rule=subject=2", "favour.share=0.75")
    train(data_file, tmp_path / "whole", *how)
    with pytest.raises(InterruptedRunError):
        train(data_file, tmp_path / "cut", *how, progress=interrupting(3))
    train(data_file, tmp_path / "cut", *how, resume=True)
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


@pytest.mark.parametrize("conditional", [True, False])
def test_clips_whose_labels_are_hidden_teach_as_unlabelled_ones(
    tmp_path, labelled_clips, write_file, conditional
):
    """A hidden label has no say: another one in its place gives the same network and tables."""
    clips = labelled_clips()
    shown = {clip.name for clip in clips if clip.subject == 1}
    other = [
        clip if clip.name in shown else clip.replaced(label=clips[(i + 6) % 24].label)
        for i, clip in enumerate(clips)
    ]
    found = []
    for name, part in (("one", clips), ("two", other)):
        classes = tuple(dict.fromkeys(clip.label for clip in clips))
        data = write_file(tmp_path / name / "data.h5", part, classes=classes)
        train(data, tmp_path / name, "labelled=subject=1", f"conditional={conditional}")
        found.append(load_checkpoint(tmp_path / name / "model.safetensors"))
    one, two = found
    assert {**one.meta, "data": None} == {**two.meta, "data": None}
    assert all(torch.equal(one.weights[key], two.weights[key]) for key in one.weights)
    meta = one.meta
    assert meta["clips"] == dict.fromkeys(one.classes, 2)
    assert meta["persons"] == {**{name: [2] for name in one.classes}, "": [16]}
    assert len(meta["durations"]["walk"]) == 2
    assert len(meta["durations"][""]) == 16


def test_hidden_clips_change_an_unconditional_network(data_file, tmp_path):
    train(data_file, tmp_path / "all", "labelled=subject=1", "conditional=false")
    train(data_file, tmp_path / "few", "split=subject=1", "conditional=false")
    logs = [(tmp_path / name / "log.jsonl").read_text() for name in ("all", "few")]
    assert logs[0] != logs[1]


def test_what_the_network_is_to_be_told_must_be_known(tmp_path, make_sequence, write_file):
    nameless = [make_sequence("", name=f"n{i}", subject=-1, seed=i) for i in range(4)]
    data = write_file(tmp_path / "data.h5", nameless, classes=("walk", "wave"))
    with pytest.raises(DataError, match=r"training clips with a label, got none; .*conditional"):
        train(data, tmp_path / "run")
    with pytest.raises(DataError, match="whose performer is known, got none"):
        train(data, tmp_path / "run", "conditional=false", "performers=true")
    with pytest.raises(DataError, match=r"favour\.rule=subject=unknown: .* got all"):
        train(data, tmp_path / "run", "conditional=false", "favour.rule=subject=unknown")
    assert not (tmp_path / "run").exists()
    train(data, tmp_path / "run", "conditional=false")


def test_a_rehearsal_is_of_the_real_parts(data_file, tmp_path):
    how = ("performers=true", "favour.rule=subject=3", "labelled=subject=3")
    report = train(data_file, tmp_path / "run", *how, dry_run=True)
    assert report.estimated_seconds > 0


def test_a_network_without_labels_recommends_a_guide_that_is_heard(data_file, tmp_path):
    def recommended(name: str, *how: str) -> tuple[float, float]:
        train(data_file, tmp_path / name, "optimisation.steps=1", *how)
        recipe = load_checkpoint(tmp_path / name / "model.safetensors").meta["sampling"]
        return recipe["guidance_scale"], recipe["guidance_max_shift"]

    assert recommended("labels") == (0.0, 1.0)
    assert recommended("none", "conditional=false") == (30.0, 5.0)
    assert recommended("own", "conditional=false", "sampling.guidance_scale=2") == (2.0, 1.0)
