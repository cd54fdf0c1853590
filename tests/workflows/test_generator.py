"""A sample depends on its address alone, and guidance pulls towards the label."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from skelaug.checkpoint import Checkpoint, save_checkpoint
from skelaug.diffusion.sampling import SAMPLERS
from skelaug.errors import UsageError
from skelaug.image.codec import ImageCodec
from skelaug.image.normalizer import fit_normalizer
from skelaug.models import build
from skelaug.seeds import generator
from skelaug.skeleton.layouts import get_layout
from skelaug.workflows.generator import GROUP, Address, ImageGenerator, Recipe

LAYOUT = get_layout("kinect_20")
CODEC = ImageCodec(LAYOUT, frames=8, scale=1.5)
CLASSES = ("kick forward", "walk", "wave")
DIFFUSION = {
    "schedule": "cosine",
    "steps": 100,
    "parameterization": "v",
    "learned_variance": False,
}


def _save(path: Path, kind: str, what: str, arguments: dict, **meta: object) -> Path:
    network = build(kind, arguments, generator=generator(1))
    for number, parameter in enumerate(network.parameters()):
        with torch.no_grad():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator(2, number)))
    pixels = np.random.default_rng(0).normal(0, 0.2, (10, *CODEC.shape)).astype(np.float32)
    facts = {
        "what": what,
        "codec": json.loads(CODEC.to_json()),
        "normalizer": fit_normalizer(pixels, range(10)).to_json(),
        **meta,
    }
    checkpoint = Checkpoint(kind, arguments, network.state_dict(), LAYOUT, CLASSES, facts)
    save_checkpoint(path, checkpoint)
    return path


def _diffusion(folder: Path, *, conditional: bool = True) -> Path:
    arguments = {
        "rows": CODEC.shape[1],
        "frames": CODEC.frames,
        "num_classes": len(CLASSES) if conditional else 0,
        "width": 32,
        "depth": 1,
        "heads": 2,
    }
    meta = {"diffusion": DIFFUSION, "conditional": conditional}
    return _save(
        folder / "diffusion.safetensors", "frame-transformer", "diffusion", arguments, **meta
    )


def _guide(folder: Path) -> Path:
    arguments = {
        "rows": CODEC.shape[1],
        "frames": CODEC.frames,
        "num_classes": len(CLASSES),
        "variant": "xxs",
    }
    return _save(folder / "guide.safetensors", "st-trans", "guide", arguments)


@pytest.mark.parametrize("sampler", sorted(SAMPLERS))
def test_a_sample_is_the_same_alone_in_another_order_and_in_a_crowd(
    tmp_path: Path, sampler: str
) -> None:
    guide = _guide(tmp_path) if sampler == "dpm++sde" else None
    recipe = Recipe(sampler=sampler, steps=3, guidance_scale=2.0)
    drawer = ImageGenerator(_diffusion(tmp_path), guide, recipe, seed=4)
    count = GROUP + 9
    crowd = drawer.draw([Address(i) for i in range(count)], [i % 3 for i in range(count)])
    some = [70, 3, 12, 67]  # 3 and 67 share a place, so two groups are computed
    again = drawer.draw([Address(i) for i in some], [i % 3 for i in some])
    np.testing.assert_array_equal(again, crowd[some])
    alone = drawer.draw([Address(12)], [0])
    np.testing.assert_array_equal(alone[0], crowd[12])


def test_seed_number_attempt_and_label_each_change_a_sample(tmp_path: Path) -> None:
    path = _diffusion(tmp_path)
    first = ImageGenerator(path, None, Recipe(steps=3), seed=0)
    other = ImageGenerator(path, None, Recipe(steps=3), seed=1)
    images = [
        first.draw([Address(5)], [0]),
        first.draw([Address(6)], [0]),
        first.draw([Address(5, 1)], [0]),
        first.draw([Address(5)], [1]),
        other.draw([Address(5)], [0]),
    ]
    for i in range(len(images)):
        for j in range(i):
            assert np.abs(images[i] - images[j]).max() > 1e-3


def test_images_stay_within_the_range_of_the_training_data(tmp_path: Path) -> None:
    drawer = ImageGenerator(_diffusion(tmp_path), None, Recipe(steps=2))
    images = torch.from_numpy(drawer.draw([Address(i) for i in range(8)], [0] * 8))
    normal = drawer.normalizer.normalize(images)
    low, high = drawer.normalizer.bounds(normal)
    assert bool((normal >= low - 1e-5).all() and (normal <= high + 1e-5).all())


def test_the_guide_raises_the_likelihood_of_the_label(tmp_path: Path) -> None:
    diffusion, guide = _diffusion(tmp_path), _guide(tmp_path)
    labels = [i % 3 for i in range(GROUP)]
    found = []
    for scale in (0.0, 1.0):
        recipe = Recipe(steps=5, guidance_scale=scale, guidance_interval=(0.5, 1.0))
        drawer = ImageGenerator(diffusion, guide, recipe)
        images = torch.from_numpy(drawer.draw([Address(i) for i in range(GROUP)], labels))
        judge = ImageGenerator(diffusion, guide, Recipe(guidance_scale=1.0)).guide
        assert judge is not None
        with torch.no_grad():
            logits = judge.network(judge.normalizer.normalize(images)).log_softmax(dim=1)
        found.append(logits[torch.arange(GROUP), torch.tensor(labels)])
    # a guide that knows nothing is nearly flat: what counts is that samples move uphill
    assert float((found[1] > found[0]).float().mean()) > 0.8


def test_an_unconditional_model_does_not_follow_labels_without_a_guide(tmp_path: Path) -> None:
    path = _diffusion(tmp_path, conditional=False)
    with pytest.raises(UsageError, match="needs a guide"):
        ImageGenerator(path, None, Recipe(guidance_scale=1.0))
    drawer = ImageGenerator(path, None, Recipe(steps=2))
    one, two = drawer.draw([Address(0)], [0]), drawer.draw([Address(0)], [1])
    np.testing.assert_array_equal(one, two)


def test_a_guide_of_other_classes_is_refused(tmp_path: Path) -> None:
    arguments = {"rows": CODEC.shape[1], "frames": CODEC.frames, "num_classes": 1, "variant": "xxs"}
    network = build("st-trans", arguments)
    facts = {
        "what": "guide",
        "codec": json.loads(CODEC.to_json()),
        "normalizer": fit_normalizer(
            np.random.default_rng(0).normal(size=(4, *CODEC.shape)).astype(np.float32), range(4)
        ).to_json(),
    }
    path = tmp_path / "other.safetensors"
    save_checkpoint(
        path, Checkpoint("st-trans", arguments, network.state_dict(), LAYOUT, ("x",), facts)
    )
    with pytest.raises(UsageError, match="'kick forward' is unknown"):
        ImageGenerator(_diffusion(tmp_path), path, Recipe(guidance_scale=1.0))


def test_more_steps_than_the_model_has_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--steps 101: expected 1 to 100"):
        ImageGenerator(_diffusion(tmp_path), None, Recipe(steps=101))
