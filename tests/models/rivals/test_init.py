"""What every rival generator keeps to."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from skelaug.errors import UsageError
from skelaug.models import RIVALS, build
from skelaug.seeds import Stream, generator

CLASSES, ROWS, FRAMES = 4, 8, 6
SMALL: dict[str, dict[str, int | float]] = {
    "action2motion": {"latent": 5, "hidden": 32},
    "actor": {"width": 32, "depth": 2, "heads": 2, "hidden": 64, "dropout": 0.0},
}


def _network(kind: str, *, seed: int = 0, **arguments: object) -> nn.Module:
    sizes = {"rows": ROWS, "frames": FRAMES, "num_classes": CLASSES}
    numbers = generator(seed, Stream.INITIAL_WEIGHTS)
    return build(kind, {**sizes, **SMALL[kind], **arguments}, generator=numbers).eval()


def _lesson(kind: str, network: nn.Module, *, n: int = 8) -> tuple[Tensor, ...]:
    x = torch.randn(n, 3, ROWS, FRAMES, generator=generator(0, 1))
    noise = torch.randn(n, *network.noise_shape, generator=generator(0, 2))  # type: ignore[misc]
    own = torch.rand(n, FRAMES, generator=generator(0, 3)) < 0.5
    return (x, torch.arange(n) % CLASSES, noise, *([own] if kind == "action2motion" else []))


@pytest.mark.parametrize("kind", RIVALS)
def test_shapes_of_lesson_and_of_samples(kind: str) -> None:
    network = _network(kind)
    x, labels, noise, *more = _lesson(kind, network)
    assert network(x, labels, noise, *more).shape == (8, 2)
    assert network.sample(noise, labels).shape == x.shape


@pytest.mark.parametrize("kind", RIVALS)
@pytest.mark.parametrize("frames", [2, 24])
def test_samples_take_the_size_of_the_image(kind: str, frames: int) -> None:
    network = _network(kind, rows=20, frames=frames)
    noise = torch.randn(3, *network.noise_shape, generator=generator(0, 2))  # type: ignore[misc]
    assert network.sample(noise, torch.arange(3)).shape == (3, 3, 20, frames)


@pytest.mark.parametrize("kind", RIVALS)
def test_gradient_reaches_every_parameter_through_the_drawn_noise(kind: str) -> None:
    network = _network(kind)
    network(*_lesson(kind, network)).sum().backward()
    silent = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []
    # the error alone reaches the posterior too: the draw is differentiable
    network.zero_grad()
    network(*_lesson(kind, network))[:, 0].sum().backward()
    posterior = network.posterior if kind == "action2motion" else network.encoder
    assert all(p.grad is not None and p.grad.any() for p in posterior.parameters())  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", RIVALS)
def test_lessons_and_samples_do_not_see_each_other(kind: str) -> None:
    network = _network(kind)
    lesson = _lesson(kind, network)
    _, labels, noise, *_ = lesson
    together, drawn = network(*lesson), network.sample(noise, labels)
    for i in range(len(labels)):
        alone = network(*(part[i : i + 1] for part in lesson))
        torch.testing.assert_close(together[i : i + 1], alone, atol=1e-5, rtol=1e-5)
        sample = network.sample(noise[i : i + 1], labels[i : i + 1])
        torch.testing.assert_close(drawn[i : i + 1], sample, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", RIVALS)
def test_a_sample_is_decided_by_noise_and_class_and_each_matters(kind: str) -> None:
    network = _network(kind)
    _, labels, noise, *_ = _lesson(kind, network)
    drawn = network.sample(noise, labels)
    assert torch.equal(network.sample(noise, labels), drawn)
    for other in (network.sample(-noise, labels), network.sample(noise, (labels + 1) % CLASSES)):
        assert bool(((other - drawn).abs().flatten(1).amax(1) > 1e-3).all())


@pytest.mark.parametrize("kind", RIVALS)
def test_overfits_eight_images(kind: str) -> None:
    network = _network(kind).train()
    lesson = _lesson(kind, network)
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    first = network(*lesson)[:, 0].mean().item()
    for _ in range(100):
        loss = network(*lesson)[:, 0].mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert network(*lesson)[:, 0].mean().item() < 0.1 * first


@pytest.mark.parametrize("kind", RIVALS)
def test_images_of_another_size_are_refused(kind: str) -> None:
    network = _network(kind)
    x, *rest = _lesson(kind, network)
    with pytest.raises(ValueError, match="expected N C R F"):
        network(x[:, :, :5], *rest)


def test_heads_that_do_not_divide_the_width_are_a_users_mistake() -> None:
    with pytest.raises(UsageError, match="multiple of heads"):
        _network("actor", heads=3)
