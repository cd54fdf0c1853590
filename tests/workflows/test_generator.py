"""A sample depends on its address alone, and guidance pulls towards the label."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from skelaug.checkpoint import load_checkpoint, save_checkpoint
from skelaug.diffusion.sampling import SAMPLERS
from skelaug.errors import UsageError
from skelaug.models import build
from skelaug.seeds import generator
from skelaug.workflows.generator import ImageGenerator, Recipe
from skelaug.workflows.image_source import GROUP, Address

MakeModel = Callable[..., Path]


@pytest.mark.parametrize("sampler", sorted(SAMPLERS))
def test_a_sample_is_the_same_alone_in_another_order_and_in_a_crowd(
    make_model: MakeModel, sampler: str
) -> None:
    model = make_model()
    guide = model / "guide.safetensors" if sampler == "dpm++sde" else None
    recipe = Recipe(sampler=sampler, steps=3, guidance_scale=2.0)
    drawer = ImageGenerator(model / "diffusion.safetensors", guide, recipe, seed=4)
    count = GROUP + 9
    crowd = drawer.draw([Address(i) for i in range(count)], [i % 3 for i in range(count)])
    some = [70, 3, 12, 67]  # 3 and 67 share a place, so two groups are computed
    again = drawer.draw([Address(i) for i in some], [i % 3 for i in some])
    np.testing.assert_array_equal(again, crowd[some])
    alone = drawer.draw([Address(12)], [0])
    np.testing.assert_array_equal(alone[0], crowd[12])


def test_seed_number_attempt_and_label_each_change_a_sample(make_model: MakeModel) -> None:
    path = make_model() / "diffusion.safetensors"
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


def test_images_stay_within_the_range_of_the_training_data(make_model: MakeModel) -> None:
    drawer = ImageGenerator(make_model() / "diffusion.safetensors", None, Recipe(steps=2))
    images = torch.from_numpy(drawer.draw([Address(i) for i in range(8)], [0] * 8))
    normal = drawer.normalizer.normalize(images)
    low, high = drawer.normalizer.bounds(normal)
    assert bool((normal >= low - 1e-5).all() and (normal <= high + 1e-5).all())


def test_the_guide_raises_the_likelihood_of_the_label(make_model: MakeModel) -> None:
    model = make_model()
    diffusion, guide = model / "diffusion.safetensors", model / "guide.safetensors"
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


def test_an_unconditional_model_does_not_follow_labels_without_a_guide(
    make_model: MakeModel,
) -> None:
    path = make_model(conditional=False) / "diffusion.safetensors"
    with pytest.raises(UsageError, match="needs a guide"):
        ImageGenerator(path, None, Recipe(guidance_scale=1.0))
    drawer = ImageGenerator(path, None, Recipe(steps=2))
    one, two = drawer.draw([Address(0)], [0]), drawer.draw([Address(0)], [1])
    np.testing.assert_array_equal(one, two)


def test_a_guide_of_other_classes_is_refused(make_model: MakeModel) -> None:
    model, other = make_model(), make_model("other", classes=("kick forward", "walk"))
    with pytest.raises(UsageError, match="'wave' is unknown"):
        ImageGenerator(
            model / "diffusion.safetensors", other / "guide.safetensors", Recipe(guidance_scale=1.0)
        )


def test_more_steps_than_the_model_has_are_refused(make_model: MakeModel) -> None:
    with pytest.raises(UsageError, match="--steps 101: expected 1 to 100"):
        ImageGenerator(make_model() / "diffusion.safetensors", None, Recipe(steps=101))


def knowing(folder: Path, *subjects: int, conditional: bool = True) -> Path:
    """An untrained model that knows performers, its weights shaken."""
    source = load_checkpoint(folder / "diffusion.safetensors")
    arguments = {**source.arguments, "num_subjects": len(subjects)}
    network = build(source.kind, arguments, generator=generator(1))
    with torch.no_grad():
        for number, parameter in enumerate(network.parameters()):
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator(3, number)))
        network.get_parameter("conditioning.subject.weight").mul_(40)
    meta = {**source.meta, "performers": True, "subjects": list(subjects)}
    path = folder / "knowing.safetensors"
    save_checkpoint(
        path,
        replace(source, arguments=arguments, weights=network.state_dict(), meta=meta),
    )
    return path


def test_a_sample_imitates_the_same_performer_alone_and_in_a_crowd(make_model: MakeModel) -> None:
    path = knowing(make_model(), 2, 3, 5)
    drawer = ImageGenerator(path, None, Recipe(steps=2), seed=4)
    assert drawer.performers == (2, 3, 5)
    count = GROUP + 9
    crowd = drawer.draw([Address(i) for i in range(count)], [0] * count)
    some = [70, 3, 67]
    again = ImageGenerator(path, None, Recipe(steps=2), seed=4)
    np.testing.assert_array_equal(again.draw([Address(i) for i in some], [0] * 3), crowd[some])
    whom = [drawer.performer(i) for i in range(600)]
    assert [again.performer(i) for i in some] == [whom[i] for i in some]
    assert [whom.count(number) / 600 for number in (2, 3, 5)] == pytest.approx(
        [1 / 3] * 3, abs=0.06
    )
    for number in (2, 3, 5):
        only = ImageGenerator(path, None, Recipe(steps=2, subjects=(number,)), seed=4)
        own = [i for i in range(count) if whom[i] == number]
        same = only.draw([Address(i) for i in range(count)], [0] * count)
        np.testing.assert_array_equal(same[own], crowd[own])
        others = [i for i in range(count) if whom[i] != number]
        assert np.abs(same[others] - crowd[others]).reshape(len(others), -1).max(axis=1).min() > 0


def test_performers_can_be_chosen_and_all_attempts_of_a_sample_keep_theirs(
    make_model: MakeModel,
) -> None:
    path = knowing(make_model(), 2, 3, 5)
    drawer = ImageGenerator(path, None, Recipe(steps=2, subjects=(5, 2, 5)))
    assert drawer.performers == (5, 2)
    assert {drawer.performer(i) for i in range(50)} == {2, 5}
    for sample in range(4):
        told = drawer._subjects([Address(sample, attempt) for attempt in range(8)])
        assert told is not None
        assert told.tolist() == [{2: 0, 5: 2}[drawer.performer(sample)]] * 8


def test_classifier_free_guidance_drops_class_and_performer_together(make_model: MakeModel) -> None:
    path = knowing(make_model(), 2, 3)

    def drawn(label: int, subject: int, weight: float) -> np.ndarray:
        recipe = Recipe(steps=2, subjects=(subject,), label_weight=weight)
        return ImageGenerator(path, None, recipe).draw([Address(0)], [label])

    np.testing.assert_allclose(drawn(0, 2, 0.0), drawn(1, 3, 0.0), atol=1e-5)
    for weight in (0.5, 1.0, 2.0):
        assert np.abs(drawn(0, 2, weight) - drawn(0, 3, weight)).max() > 1e-3
        assert np.abs(drawn(0, 2, weight) - drawn(1, 2, weight)).max() > 1e-3


def test_an_unconditional_model_follows_performers(make_model: MakeModel) -> None:
    path = knowing(make_model(conditional=False), 2, 3)
    images = [
        ImageGenerator(path, None, Recipe(steps=2, subjects=(who,))).draw([Address(0)], [label])
        for who, label in ((2, 0), (2, 1), (3, 0))
    ]
    np.testing.assert_array_equal(images[0], images[1])
    assert np.abs(images[0] - images[2]).max() > 1e-3


def test_performers_that_the_model_does_not_know_are_refused(make_model: MakeModel) -> None:
    folder = make_model()
    with pytest.raises(UsageError, match=r"--subject 2: .* was not told who performed its clips"):
        ImageGenerator(folder / "diffusion.safetensors", None, Recipe(subjects=(2,)))
    with pytest.raises(UsageError, match=r"--subject 9: expected performers of .*: 2, 3$"):
        ImageGenerator(knowing(folder, 2, 3), None, Recipe(subjects=(3, 9)))
    assert ImageGenerator(folder / "diffusion.safetensors", None, Recipe()).performers == ()
    assert ImageGenerator(folder / "diffusion.safetensors", None, Recipe()).performer(0) == -1
