"""Every network of the registries keeps the same contract."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from skelaug.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from skelaug.errors import UsageError
from skelaug.models import CLASSIFIERS, DENOISERS, GUIDES, build
from skelaug.seeds import Stream, generator
from skelaug.skeleton.layout import SkeletonLayout

CLASSES = 4
UNET = {"width": 16, "multipliers": (1, 2, 2), "blocks": 1, "heads": 2}
SMALL: dict[str, dict[str, object]] = {
    "frame-transformer": {"width": 32, "depth": 2, "heads": 4},
    "unet": {**UNET, "learned_variance": False},
    "st-trans": {"variant": "xxs", "dropout": 0.0},
    "frame": {"width": 32, "depth": 1, "dropout": 0.0},
    "cnn": {"width_factor": 0.25, "depth_factor": 0.5, "dropout": 0.0},
    "vit": {"width": 32, "depth": 2, "heads": 4, "patch": 4, "dropout": 0.0},
    "noisy-unet": {**UNET, "dropout": 0.0},
}
IMAGE_NETWORKS = [*DENOISERS, *GUIDES]


def _network(
    kind: str, *, size: tuple[int, int] = (20, 24), seed: int = 0, awake: bool = True
) -> nn.Module:
    """A small network; awake means that no weight is zero any more."""
    sizes = {"rows": size[0], "frames": size[1], "num_classes": CLASSES}
    if kind in CLASSIFIERS:
        sizes = {"inputs": 60, "num_classes": CLASSES}
    network = build(
        kind,
        {**sizes, **SMALL.get(kind, {})},
        generator=generator(seed, Stream.INITIAL_WEIGHTS),
    )
    with torch.no_grad():
        for i, parameter in enumerate(network.parameters() if awake else []):
            parameter += 0.02 * torch.randn(parameter.shape, generator=generator(seed, i))
    return network.eval()


def _question(kind: str, *, n: int = 3, size: tuple[int, int] = (20, 24)) -> tuple[Tensor, ...]:
    x = torch.randn(n, 3, *size, generator=generator(0, 1))
    if kind in DENOISERS:
        return x, torch.linspace(0, 999, n), torch.arange(n) % (CLASSES + 1)
    if kind in CLASSIFIERS:
        motions = x.flatten(1, 2).transpose(1, 2)
        return motions, torch.arange(n) % 24 + 1
    return (x, torch.linspace(0, 999, n)) if kind == "noisy-unet" else (x,)


ALL = [*IMAGE_NETWORKS, *CLASSIFIERS]


def test_kinds_are_told_apart() -> None:
    assert len(set(ALL)) == len(ALL)


@pytest.mark.parametrize("size", [(20, 24), (24, 24), (40, 16)])
@pytest.mark.parametrize("kind", IMAGE_NETWORKS)
def test_shape_of_the_answer(kind: str, size: tuple[int, int]) -> None:
    out = _network(kind, size=size)(*_question(kind, size=size))
    assert out.shape == ((3, 3, *size) if kind in DENOISERS else (3, CLASSES))
    assert out.isfinite().all()


@pytest.mark.parametrize("kind", ALL)
def test_gradient_reaches_every_parameter(kind: str) -> None:
    network = _network(kind)
    question = _question(kind)
    network(*question).square().sum().backward()
    dead = [
        name
        for name, parameter in network.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    ]
    assert dead == []


@pytest.mark.parametrize("kind", ALL)
def test_samples_do_not_see_each_other(kind: str) -> None:
    network = _network(kind)
    question = _question(kind, n=5)
    together = network(*question)
    for i in range(5):
        alone = network(*(part[i : i + 1] for part in question))
        torch.testing.assert_close(together[i : i + 1], alone, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", ALL)
def test_two_calls_agree(kind: str) -> None:
    network = _network(kind)
    question = _question(kind)
    assert torch.equal(network(*question), network(*question))


@pytest.mark.parametrize("kind", ALL)
def test_inputs_are_not_modified(kind: str) -> None:
    question = _question(kind)
    copies = [part.clone() for part in question]
    _network(kind).train()(*question)
    assert all(torch.equal(part, copy) for part, copy in zip(question, copies, strict=True))


@pytest.mark.parametrize("kind", DENOISERS)
def test_the_untrained_denoiser_says_zero(kind: str) -> None:
    out = _network(kind, awake=False)(*_question(kind))
    assert torch.equal(out, torch.zeros_like(out))


@pytest.mark.parametrize("kind", DENOISERS)
def test_no_labels_are_the_dropped_label(kind: str) -> None:
    network = _network(kind)
    x, step, labels = _question(kind)
    dropped = network(x, step, torch.full((3,), CLASSES))
    torch.testing.assert_close(network(x, step), dropped)
    assert not torch.allclose(network(x, step, labels), dropped)


@pytest.mark.parametrize("kind", DENOISERS)
def test_a_denoiser_without_performers_has_the_weights_and_answers_it_always_had(kind: str) -> None:
    plain = _network(kind)
    x, step, labels = _question(kind)
    assert "conditioning.subject.weight" not in plain.state_dict()
    assert torch.equal(plain(x, step, labels, torch.tensor([0, 1, 2])), plain(x, step, labels))
    sizes = {"rows": 20, "frames": 24, "num_classes": CLASSES, **SMALL[kind]}
    one, other = (
        build(kind, {**sizes, **more}, generator=generator(0, Stream.INITIAL_WEIGHTS)).state_dict()
        for more in ({}, {"num_subjects": 3})
    )
    subjects = other.pop("conditioning.subject.weight")
    assert subjects.shape[0] == 4
    assert not subjects.any()
    assert list(one) == list(other)
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("kind", DENOISERS)
def test_performers_are_told_apart_dropped_by_the_last_index_and_learnt(kind: str) -> None:
    sizes = {"rows": 20, "frames": 24, "num_classes": CLASSES, **SMALL[kind]}
    network = build(kind, {**sizes, "num_subjects": 3}).eval()
    with torch.no_grad():
        for i, parameter in enumerate(network.parameters()):
            parameter += 0.02 * torch.randn(parameter.shape, generator=generator(0, i))
    x, step, labels = _question(kind)
    told, dropped = (network(x, step, labels, torch.full((3,), who)) for who in (1, 3))
    torch.testing.assert_close(network(x, step, labels), dropped)
    assert not torch.allclose(told, dropped)
    told.square().sum().backward()
    gradient = network.get_parameter("conditioning.subject.weight").grad
    assert gradient is not None
    assert [bool(row.any()) for row in gradient] == [False, True, False, False]


@pytest.mark.parametrize("kind", DENOISERS)
def test_the_step_is_seen(kind: str) -> None:
    network = _network(kind)
    x, step, labels = _question(kind)
    assert not torch.allclose(network(x, 999 - step, labels), network(x, step, labels))


@pytest.mark.parametrize("kind", DENOISERS)
def test_variance_logits_double_the_channels(kind: str) -> None:
    arguments = {**SMALL[kind], "learned_variance": True, "rows": 20, "frames": 24}
    network = build(kind, arguments)
    x, step, _ = _question(kind)
    assert network(x, step).shape == (3, 6, 20, 24)


@pytest.mark.parametrize("kind", ALL)
def test_weights_come_from_the_generator_alone(kind: str) -> None:
    before = torch.random.get_rng_state()
    first, again, other = (_network(kind, seed=seed, awake=False) for seed in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), before)
    weights = [network.state_dict() for network in (first, again, other)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert any(not torch.equal(weights[0][name], weights[2][name]) for name in weights[0])


@pytest.mark.parametrize("kind", ALL)
def test_a_checkpoint_restores_the_network(kind: str, tmp_path: Path) -> None:
    network = _network(kind)
    arguments = {"rows": 20, "frames": 24, "num_classes": CLASSES, **SMALL.get(kind, {})}
    if kind in CLASSIFIERS:
        arguments = {"inputs": 60, "num_classes": CLASSES}
    layout = SkeletonLayout(name="pair", joints=("a", "b"), parents=(-1, 0))
    classes = tuple("wxyz")
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, Checkpoint(kind, arguments, network.state_dict(), layout, classes))
    loaded = load_checkpoint(path)
    restored = build(loaded.kind, loaded.arguments).eval()
    restored.load_state_dict(dict(loaded.weights))
    question = _question(kind)
    assert torch.equal(restored(*question), network(*question))


def _fit(network: nn.Module, question: tuple[Tensor, ...], *, steps: int, lr: float) -> Tensor:
    """The answer after a short training towards the eight targets of the kind."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=lr)
    for _ in range(steps):
        loss = _loss(network(*question))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    answer: Tensor = network(*question)
    return answer


def _loss(answer: Tensor) -> Tensor:
    if answer.ndim == 2:
        return nn.functional.cross_entropy(answer, torch.arange(8) % CLASSES)
    target = torch.randn(answer.shape, generator=generator(0, 9))
    return (answer - target).square().mean()


@pytest.mark.parametrize("kind", ALL)
def test_overfits_eight_samples(kind: str) -> None:
    size = (8, 8) if kind in IMAGE_NETWORKS else (20, 24)
    question = _question(kind, n=8, size=size)
    network = _network(kind, size=size, awake=False).train()
    answer = _fit(network, question, steps=30, lr=5e-3)
    if kind in DENOISERS:
        assert _loss(answer) < 0.2  # the mean square of the target is 1
    else:
        assert torch.equal(answer.argmax(1), torch.arange(8) % CLASSES)


def test_an_unknown_kind_gets_a_hint() -> None:
    with pytest.raises(UsageError, match=r"no kind 'st_trans'; did you mean 'st-trans'\?"):
        build("st_trans", {})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rows": 20, "frames": 24, "wdith": 3}, "wdith"),
        ({"rows": 20, "frames": 24, "heads": 7}, "multiple of heads"),
    ],
)
def test_arguments_that_do_not_fit_are_a_users_mistake(
    arguments: dict[str, int], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        build("frame-transformer", arguments)
