"""A sample of a rival or of HG-VAE depends on its address alone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from skelaug.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from skelaug.errors import DataError, NotFoundError, UsageError
from skelaug.image.codec import ImageCodec
from skelaug.image.normalizer import fit_normalizer
from skelaug.models import MOTION_PRIORS, RIVALS, build
from skelaug.seeds import Stream, generator
from skelaug.skeleton.layouts import get_layout
from skelaug.workflows.generator import ImageGenerator
from skelaug.workflows.image_source import GROUP, Address
from skelaug.workflows.open_model import open_model
from skelaug.workflows.vae_generator import VaeGenerator

ARGUMENTS = {
    "action2motion": {"latent": 4, "hidden": 16},
    "actor": {"width": 16, "depth": 1, "heads": 2, "hidden": 32},
    "hgvae": {"level_nodes": [60, 8, 1], "level_features": [8, 8, 16], "width": 16},
}
KINDS = tuple(ARGUMENTS)


def _model(folder: Path, kind: str, *, loud: float = 1.0) -> Path:
    """A run folder with random weights; loud ones leave the range of the data."""
    layout = get_layout("kinect_20")
    codec = ImageCodec(layout, frames=8, scale=1.5)
    pixels = np.random.default_rng(0).normal(0, 0.2, (10, *codec.shape)).astype(np.float32)
    meta = {
        "what": kind,
        "codec": json.loads(codec.to_json()),
        "normalizer": fit_normalizer(pixels, range(10)).to_json(),
    }
    rows = {"nodes": 3 * codec.shape[1]} if kind in MOTION_PRIORS else {"rows": codec.shape[1]}
    arguments = {**rows, "frames": codec.frames, "num_classes": 3, **ARGUMENTS[kind]}
    weights = build(kind, arguments, generator=generator(1)).state_dict()
    for number, key in enumerate(weights):
        if "rezero" in key:  # some paths start switched off
            weights[key] = weights[key] + torch.randn((), generator=generator(2, number))
        if "write" in key or "output" in key:
            weights[key] = weights[key] * loud
    checkpoint = Checkpoint(kind, arguments, weights, layout, ("a", "b", "c"), meta)
    save_checkpoint(folder / "model.safetensors", checkpoint)
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_a_sample_is_the_same_alone_in_another_order_and_in_a_crowd(
    kind: str, tmp_path: Path
) -> None:
    drawer = VaeGenerator(_model(tmp_path, kind) / "model.safetensors", seed=4)
    count = GROUP + 9
    crowd = drawer.draw([Address(i) for i in range(count)], [i % 3 for i in range(count)])
    some = [70, 3, 12, 67]  # 3 and 67 share a place, so two groups are computed
    again = drawer.draw([Address(i) for i in some], [i % 3 for i in some])
    np.testing.assert_array_equal(again, crowd[some])
    np.testing.assert_array_equal(drawer.draw([Address(12)], [0])[0], crowd[12])


@pytest.mark.parametrize("kind", KINDS)
def test_seed_number_attempt_and_label_each_change_a_sample(kind: str, tmp_path: Path) -> None:
    path = _model(tmp_path, kind) / "model.safetensors"
    first, other = VaeGenerator(path, seed=0), VaeGenerator(path, seed=1)
    images = [
        first.draw([Address(5)], [0]),
        first.draw([Address(6)], [0]),
        first.draw([Address(5, 1)], [0]),
        first.draw([Address(5)], [1]),
        other.draw([Address(5)], [0]),
    ]
    for i in range(len(images)):
        for j in range(i):
            assert np.abs(images[i] - images[j]).max() > 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_images_stay_within_the_range_of_the_training_data(kind: str, tmp_path: Path) -> None:
    drawer = VaeGenerator(_model(tmp_path, kind, loud=100.0) / "model.safetensors")
    images = torch.from_numpy(drawer.draw([Address(i) for i in range(8)], [0] * 8))
    normal = drawer.normalizer.normalize(images)
    low, high = drawer.normalizer.bounds(normal)
    assert bool((normal >= low - 1e-5).all() and (normal <= high + 1e-5).all())
    assert bool((normal > high - 1e-5).any())


@pytest.mark.parametrize("kind", KINDS)
def test_what_draws_in_one_pass_takes_no_sampler_steps_or_guide(kind: str, tmp_path: Path) -> None:
    model = _model(tmp_path, kind)
    source = open_model(model, settings={"sampler": None, "steps": None, "subjects": ()})
    assert isinstance(source, VaeGenerator)
    for settings, flag in (
        ({"sampler": "ddim"}, "--sampler"),
        ({"steps": 3}, "--steps"),
        ({"guidance_scale": 0.0}, "--guidance-scale"),
        ({"subjects": (3,)}, "--subject"),
        ({"label_weight": 1.0}, "--set label_weight"),
        *([({"drawn_levels": 1}, "--set drawn_levels")] if kind in RIVALS else []),
    ):
        with pytest.raises(UsageError, match=f"{kind} draws in one pass.* leave {flag} out"):
            open_model(model, settings=settings)
    with pytest.raises(UsageError, match="leave --guide out"):
        open_model(model, guide="kinect20")


def test_a_diffusion_model_is_no_rival_and_a_folder_without_weights_is_nothing(
    make_model, tmp_path: Path
) -> None:
    model = make_model()
    assert isinstance(open_model(model), ImageGenerator)
    with pytest.raises(DataError, match=r"expected one of action2motion, actor, .* got frame-tr"):
        VaeGenerator(model / "diffusion.safetensors")
    with pytest.raises(DataError, match="expected a diffusion model"):
        open_model(model / "guide.safetensors")
    (model / "diffusion.safetensors").unlink()
    with pytest.raises(NotFoundError, match="no weights for 'diffusion'"):
        open_model(model)


def test_levels_below_those_that_are_drawn_stay_at_their_means(tmp_path: Path) -> None:
    weights = _model(tmp_path, "hgvae") / "model.safetensors"
    addresses, labels = [Address(i) for i in range(4)], [0, 1, 2, 0]
    drawn = {
        count: VaeGenerator(weights, seed=4, drawn_levels=count).draw(addresses, labels)
        for count in (1, 2, 3, None)
    }
    np.testing.assert_array_equal(drawn[3], drawn[None])
    assert np.abs(drawn[1] - drawn[2]).max() > 1e-5
    assert np.abs(drawn[2] - drawn[3]).max() > 1e-5
    opened = open_model(tmp_path, settings={"drawn_levels": 1}, seed=4)
    np.testing.assert_array_equal(opened.draw(addresses, labels), drawn[1])


def test_a_node_is_a_row_and_a_coordinate_of_the_image(tmp_path: Path) -> None:
    drawer = VaeGenerator(_model(tmp_path, "hgvae") / "model.safetensors", seed=4)
    images = torch.from_numpy(drawer.draw([Address(i) for i in range(GROUP)], [0] * GROUP))
    noise = torch.stack([torch.randn(drawer.network.noise_shape, generator=g) for g in _noises()])
    nodes = drawer.network.sample(noise, torch.zeros(GROUP, dtype=torch.int64))
    low, high = drawer.normalizer.bounds(images)
    normal = drawer.normalizer.normalize(images)
    for row, channel in ((0, 0), (3, 1), (19, 2)):
        expected = nodes[:, 3 * row + channel].clamp(low[channel, row], high[channel, row])
        torch.testing.assert_close(normal[:, channel, row], expected, atol=1e-5, rtol=1e-4)


def _noises() -> list[torch.Generator]:
    return [generator(4, Stream.SAMPLE, *Address(i)) for i in range(GROUP)]


def test_a_prior_of_windows_says_how_one_of_labelled_clips_is_trained(tmp_path: Path) -> None:
    weights = _model(tmp_path, "hgvae") / "model.safetensors"
    save_checkpoint(
        weights, replace(load_checkpoint(weights), meta={"what": "hgvae", "windows": {}})
    )
    with pytest.raises(
        UsageError, match=r"one of windows without labels; train .*conditional=true"
    ):
        open_model(tmp_path)


def test_a_diffusion_model_has_no_latent_levels(make_model) -> None:
    with pytest.raises(UsageError, match="--set drawn_levels=2: expected a model with latent lev"):
        open_model(make_model(), settings={"drawn_levels": 2})
