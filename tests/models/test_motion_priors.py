"""What every prior of motion keeps to, whatever its levels are."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from skelaug.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from skelaug.errors import UsageError
from skelaug.models import MOTION_PRIORS, build
from skelaug.models.frequencies import interpolated
from skelaug.models.gaussian import Gaussian, log_density
from skelaug.seeds import Stream, generator
from skelaug.skeleton.layout import SkeletonLayout

V, T, K, N = 12, 10, 3, 8
SMALL: dict[str, dict[str, Any]] = {
    "hgvae": {"level_nodes": [12, 4, 1], "level_features": [8, 8, 16], "width": 16},
    "motion-vae": {"hidden": [32, 16], "latent": 6},
    "hm-vae": {"groups": [[0, 2], [1], [3]], "features": 16, "latent": 4},
}
LEVELS = {"hgvae": 3, "motion-vae": 1, "hm-vae": 2}


def _network(kind: str, *, seed: int = 0, awake: bool = True, **arguments: object) -> Any:
    """A small network; awake means that no weight is zero any more."""
    sizes = {"nodes": V, "frames": T, **SMALL[kind], **arguments}
    network = build(kind, sizes, generator=generator(seed, Stream.INITIAL_WEIGHTS))
    with torch.no_grad():
        for i, parameter in enumerate(network.parameters() if awake else []):
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator(seed, i))
    return network.eval()


def _lesson(network: Any, *, n: int = N) -> tuple[Tensor, ...]:
    """Windows, seen, known, labels, noise."""
    time = torch.linspace(0, 3, T)
    slow = torch.randn(n, V, 2, generator=generator(1, 0))
    x = slow[..., :1] + slow[..., 1:] * torch.sin(time)
    seen = torch.rand(n, V, T, generator=generator(1, 1)) < 0.8
    known = torch.rand(n, V, T, generator=generator(1, 2)) < 0.9
    noise = torch.randn(n, *network.noise_shape, generator=generator(1, 3))
    return x, seen, known, torch.arange(n) % K, noise


@pytest.mark.parametrize("kind", MOTION_PRIORS)
def test_shapes_of_every_answer(kind: str) -> None:
    network = _network(kind)
    x, seen, known, _, noise = _lesson(network)
    assert network(x, seen, known, None, noise).shape == (N, 1 + LEVELS[kind])
    assert network.log_densities(x).posterior.shape == (N,)
    assert network.sample(noise).shape == x.shape
    made = network.infer(x, seen=seen, noise=noise)
    assert len(made.levels) == LEVELS[kind]
    assert made.output.mean.shape == made.output.logvar.shape == x.shape
    assert sum(level.z[0].numel() for level in made.levels) == network.noise_shape[0]


@pytest.mark.parametrize("kind", MOTION_PRIORS)
def test_terms_and_reconstruction_are_those_of_the_inference(kind: str) -> None:
    network = _network(kind)
    x, seen, known, _, noise = _lesson(network)
    made = network.infer(x, seen=seen, noise=noise)
    terms = network(x, seen, known, None, noise)
    likelihood = (log_density(x, made.output) * known).sum((1, 2))
    torch.testing.assert_close(terms[:, 0], likelihood)
    rebuilt = network.reconstruct(x, seen=seen, noise=noise)
    assert torch.equal(rebuilt.mean, made.output.mean)
    assert torch.equal(rebuilt.logvar, made.output.logvar)
    means = network.infer(x)
    density = [
        log_density(level.posterior.mean, level.prior).flatten(1).sum(1) for level in means.levels
    ]
    torch.testing.assert_close(
        network.log_densities(x).posterior, torch.stack(density).double().sum(0)
    )


@pytest.mark.parametrize("reads_mask", [False, True])
@pytest.mark.parametrize("kind", MOTION_PRIORS)
def test_what_was_not_seen_or_is_not_known_has_no_effect(kind: str, reads_mask: bool) -> None:
    network = _network(kind, reads_mask=reads_mask)
    x, seen, known, _, noise = _lesson(network)
    terms = network(x, seen, known, None, noise)
    torn = torch.where(seen | known, x, torch.nan)
    assert torch.equal(network(torn, seen, known, None, noise), terms)
    hidden = torch.where(seen, x, torch.nan)
    made = network.reconstruct(hidden, seen=seen)
    assert torch.equal(made.mean, network.reconstruct(x, seen=seen).mean)
    # without the mask, a line between what was seen cannot be told from a measured one
    lines = network.reconstruct(interpolated(x, seen)).mean
    assert torch.equal(made.mean, lines) == (not reads_mask)
    assert not torch.allclose(made.mean, network.reconstruct(x).mean)


@pytest.mark.parametrize("kind", MOTION_PRIORS)
def test_labels_reach_the_output_and_no_class_is_a_row_of_zeros(kind: str) -> None:
    network = _network(kind, num_classes=K)
    x, seen, known, labels, noise = _lesson(network)
    for ask in (
        lambda labels: network.sample(noise, labels),
        lambda labels: network.reconstruct(x, labels=labels).mean,
        lambda labels: network(x, seen, known, labels, noise)[:, :1],
    ):
        told, other, none = (ask(some) for some in (labels, (labels + 1) % K, 0 * labels - 1))
        for one, two in ((told, other), (told, none)):
            assert bool(((one - two).abs().flatten(1).amax(1) > 1e-4).all())
    with pytest.raises(ValueError, match="expected one of 3 classes per sample, got None"):
        network.sample(noise)


@pytest.mark.parametrize("kind", MOTION_PRIORS)
def test_without_classes_labels_are_ignored(kind: str) -> None:
    network = _network(kind)
    x, seen, known, labels, noise = _lesson(network)
    assert torch.equal(network.sample(noise, labels + 7), network.sample(noise))
    assert torch.equal(
        network.log_densities(x, labels + 7).posterior, network.log_densities(x).posterior
    )
    told, untold = (network(x, seen, known, some, noise) for some in (labels, None))
    assert torch.equal(told, untold)


@pytest.mark.parametrize("kind", MOTION_PRIORS)
def test_levels_that_are_not_drawn_ignore_their_noise(kind: str) -> None:
    network = _network(kind)
    noise = _lesson(network)[-1]
    assert torch.equal(network.sample(noise, None, 0), network.sample(-noise, None, 0))
    assert torch.equal(network.sample(noise, None, LEVELS[kind]), network.sample(noise))
    drawn = [network.sample(noise, None, count) for count in range(LEVELS[kind] + 1)]
    assert all(not torch.allclose(*pair) for pair in itertools.pairwise(drawn))


@pytest.mark.parametrize("kind", MOTION_PRIORS)
def test_windows_do_not_see_each_other(kind: str) -> None:
    network = _network(kind)
    lesson = _lesson(network)
    x, _, _, _, noise = lesson
    for ask in (
        lambda part: network(*(one[part] for one in lesson)),
        lambda part: network.log_densities(x[part]).posterior,
        lambda part: network.sample(noise[part]),
    ):
        together = ask(slice(None))
        for i in range(N):
            alone = ask(slice(i, i + 1))
            torch.testing.assert_close(together[i : i + 1], alone, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("kind", MOTION_PRIORS)
def test_gradient_reaches_every_parameter(kind: str) -> None:
    network = _network(kind, num_classes=K, reads_mask=True)
    (-network(*_lesson(network))[:, 0] + network(*_lesson(network))[:, 1:].sum(1)).sum().backward()
    silent = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


@pytest.mark.parametrize("kind", MOTION_PRIORS)
def test_the_log_posterior_pulls_every_entry(kind: str) -> None:
    network = _network(kind)
    x = _lesson(network)[0].requires_grad_()
    network.log_densities(x).posterior.sum().backward()
    assert x.grad is not None
    assert bool((x.grad != 0).all())
    assert bool(x.grad.isfinite().all())


@pytest.mark.parametrize("kind", MOTION_PRIORS)
def test_gaussian_arithmetic_stays_in_float32_under_autocast(kind: str) -> None:
    network = _network(kind)
    lesson = _lesson(network)
    x, _, _, _, noise = lesson
    with torch.autocast("cpu", dtype=torch.bfloat16):
        terms, score, drawn = (
            network(*lesson),
            network.log_densities(x).posterior,
            network.sample(noise),
        )
    assert terms.dtype == drawn.dtype == torch.float32
    assert score.dtype == torch.float64
    # products lose 2^-9 of their size, the sums over entries nothing more
    torch.testing.assert_close(drawn, network.sample(noise), rtol=0.1, atol=0.1)
    torch.testing.assert_close(score, network.log_densities(x).posterior, rtol=0.02, atol=0.5)


@pytest.mark.parametrize("kind", MOTION_PRIORS)
def test_overfits_eight_windows(kind: str) -> None:
    """Their likelihood leaves that of the best Gaussian that does not look at them far behind."""
    network = _network(kind, awake=False).train()
    x, _, _, _, noise = _lesson(network)
    whole = torch.ones_like(x, dtype=torch.bool)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(50):
        terms = network(x, whole, whole, None, noise).mean(0)
        loss = -terms[0] + 1e-3 * terms[1:].sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    blind = Gaussian(x.mean(0), x.var(0, correction=0).log())
    assert (
        float(terms[0].detach()) > float(log_density(x, blind).mean(0).sum()) + V * T
    )  # a nat per entry


@pytest.mark.parametrize("kind", MOTION_PRIORS)
def test_weights_come_from_the_generator_and_a_checkpoint_restores_them(
    kind: str, tmp_path: Path
) -> None:
    network, again = _network(kind, reads_mask=True), _network(kind, reads_mask=True)
    x = _lesson(network)[0]
    assert torch.equal(network.log_densities(x).posterior, again.log_densities(x).posterior)
    arguments = {"nodes": V, "frames": T, **SMALL[kind], "reads_mask": True}
    layout = SkeletonLayout(name="pair", joints=("a", "b"), parents=(-1, 0))
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, Checkpoint(kind, arguments, network.state_dict(), layout, ()))
    loaded = load_checkpoint(path)
    restored: Any = build(loaded.kind, loaded.arguments).eval()
    restored.load_state_dict(dict(loaded.weights))
    assert torch.equal(restored.log_densities(x).posterior, network.log_densities(x).posterior)


@pytest.mark.parametrize("kind", MOTION_PRIORS)
def test_inputs_of_another_size_are_refused(kind: str) -> None:
    network = _network(kind)
    x, _, known, _, noise = _lesson(network)
    with pytest.raises(ValueError, match=f"x: expected N V T with V = {V}, T = {T}, got 8 x 11 x"):
        network.log_densities(x[:, 1:])
    with pytest.raises(ValueError, match="noise: expected N S with S = "):
        network.sample(noise[:, 1:])
    with pytest.raises(ValueError, match="known: expected N V T with"):
        network(x, known, known[:, 1:], None, noise)


def test_levels_that_do_not_fit_are_a_users_mistake() -> None:
    with pytest.raises(UsageError, match="network 'hgvae': level_nodes: expected sizes that never"):
        _network("hgvae", level_nodes=[1, 4, 12])
