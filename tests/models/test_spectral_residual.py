"""SG-SRM in the denoisers: nothing below M, nothing at the start, one gain per class."""

from __future__ import annotations

import pytest
import scipy.fft
import torch
from torch import Tensor

from skelaug.diffusion.spectral import dct, low_band
from skelaug.errors import UsageError
from skelaug.models import DENOISERS, build
from skelaug.models.frame_transformer import Block
from skelaug.models.spectral_residual import Residual, SpectralResidual, spectral_residual
from skelaug.models.unet import AttentionBlock
from skelaug.seeds import generator

SMALL = {
    "frame-transformer": {"width": 32, "depth": 4, "heads": 4},
    "unet": {"width": 16, "multipliers": (1, 2, 2), "blocks": 1, "heads": 2},
}
SHAPE = {"rows": 8, "frames": 8, "num_classes": 3}


def _network(name: str, **arguments: object) -> torch.nn.Module:
    everything = {**SHAPE, **SMALL[name], **arguments}
    return build(name, everything, generator=generator(0, 1))


def _stirred(network: torch.nn.Module) -> torch.nn.Module:
    """All weights off their zeros; those that two networks share are moved alike."""
    shared = [p for name, p in network.named_parameters() if not name.startswith("spectral")]
    with torch.no_grad():
        for i, parameter in enumerate(shared):
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator(2, i))
    return network.eval()


def _batch(n: int = 4) -> tuple[Tensor, Tensor, Tensor]:
    x = torch.randn(n, 3, 8, 8, generator=generator(1, 1))
    return x, torch.linspace(0, 999, n), torch.arange(n)


def _draw(address: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator(3, address)).double()


@pytest.mark.parametrize("placement", ["attention", "stream"])
def test_high_frequencies_are_turned_up_where_the_placement_says(placement: str) -> None:
    residual = spectral_residual(placement, num_classes=0, alpha=0.5)  # type: ignore[arg-type]
    assert residual is not None
    stream, branch, gain = (
        _draw(0, 4, 9, 6),
        _draw(1, 4, 9, 6),
        torch.rand(4, generator=generator(3, 9)).double(),
    )
    found = torch.from_numpy(
        scipy.fft.dct(residual(stream, branch, gain, dim=1).detach().numpy(), axis=1, norm="ortho")
    )
    before = [
        torch.from_numpy(scipy.fft.dct(x.numpy(), axis=1, norm="ortho")) for x in (stream, branch)
    ]
    factor = (1 + 0.5 * gain)[:, None, None]
    torch.testing.assert_close(found[:, :2], (before[0] + before[1])[:, :2])
    loud = factor * before[1] + before[0] * (factor if placement == "stream" else 1)
    torch.testing.assert_close(found[:, 2:], loud[:, 2:])


@pytest.mark.parametrize("placement", ["attention", "stream"])
@pytest.mark.parametrize("dim", [1, 2])
def test_among_frequencies_it_is_what_it_is_among_frames(placement: str, dim: int) -> None:
    residual = SpectralResidual(placement)  # type: ignore[arg-type]
    stream, branch, gain = (
        _draw(2, 4, 9, 6),
        _draw(3, 4, 9, 6),
        torch.rand(4, generator=generator(3, 9)).double(),
    )
    among_frames = residual(stream, branch, gain, dim=dim)
    among_frequencies = residual(
        dct(stream, dim), dct(branch, dim), gain, dim=dim, is_spectrum=True
    )
    torch.testing.assert_close(dct(among_frames, dim), among_frequencies)


def test_each_class_and_the_dropped_label_has_a_gain_between_0_and_1() -> None:
    residual = SpectralResidual("attention", num_classes=3)
    assert residual.gain(None, 2).tolist() == [0.5, 0.5]
    with torch.no_grad():
        residual.logits.copy_(torch.tensor([-9.0, 0.0, 1.0, 9.0]))
    gains = residual.gain(torch.tensor([0, 1, 3]), 3)
    torch.testing.assert_close(gains, torch.tensor([-9.0, 0.0, 9.0]).sigmoid())
    assert torch.equal(residual.gain(None, 1), residual.gain(torch.tensor([3]), 1))


@pytest.mark.parametrize("name", DENOISERS)
@pytest.mark.parametrize("placement", ["attention", "stream"])
def test_other_weights_begin_as_without_it_and_the_untrained_network_says_zero(
    name: str, placement: str
) -> None:
    plain, with_gain = _network(name).state_dict(), _network(name, spectral=placement).state_dict()
    assert set(with_gain) - set(plain) == {"spectral.logits"}
    assert all(torch.equal(with_gain[key], value) for key, value in plain.items())
    out = _network(name, spectral=placement)(*_batch())
    assert torch.equal(out, torch.zeros_like(out))


@pytest.mark.parametrize("name", DENOISERS)
@pytest.mark.parametrize("placement", ["attention", "stream"])
def test_without_gains_it_is_the_network_without_it(name: str, placement: str) -> None:
    plain, quiet = _stirred(_network(name)), _stirred(_network(name, spectral=placement, alpha=0.0))
    loud = _stirred(_network(name, spectral=placement))
    wanted = plain(*_batch())
    torch.testing.assert_close(quiet(*_batch()), wanted, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(loud(*_batch()), wanted, atol=1e-3)


@pytest.mark.parametrize("name", DENOISERS)
def test_the_gain_of_a_class_acts_on_its_samples_and_learns_from_them_alone(name: str) -> None:
    network = _stirred(_network(name, spectral="attention"))
    x, step, _ = _batch()
    labels = torch.tensor([0, 1, 1, 3])
    before = network(x, step, labels)
    before[:2].square().sum().backward()
    gradient = network.spectral.logits.grad
    assert bool((gradient[:2] != 0).all())
    assert gradient[2:].tolist() == [0, 0]
    with torch.no_grad():
        network.spectral.logits[1] += 2
        after = network(x, step, labels)
    assert torch.equal(after[[0, 3]], before[[0, 3]])
    assert not torch.allclose(after[1:3], before[1:3], atol=1e-5)


@pytest.mark.parametrize("name", DENOISERS)
def test_a_network_without_classes_learns_one_gain(name: str) -> None:
    network = _stirred(_network(name, spectral="attention", num_classes=0))
    assert network.spectral.logits.shape == (1,)
    x, step, labels = _batch()
    assert torch.equal(network(x, step), network(x, step, labels))


@pytest.mark.parametrize("frequencies", [True, False])
def test_autocast_leaves_the_gain_finite_and_the_answer_near(frequencies: bool) -> None:
    network = _network("frame-transformer", spectral="stream", frequencies=frequencies)
    wanted = _stirred(network)(*_batch())
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(network(*_batch()), wanted, atol=0.1, rtol=0.1)


@pytest.mark.parametrize(("frequencies", "blocks"), [(True, 2), (False, 0)])
def test_blocks_on_frequencies_multiply_them_and_blocks_on_frames_transform_first(
    frequencies: bool, blocks: int
) -> None:
    network = _network("frame-transformer", spectral="attention", frequencies=frequencies)
    residuals: list[Residual] = []
    for block in network.blocks:
        block.register_forward_hook(lambda module, inputs, out: residuals.append(inputs[2]))
    network(*_batch())
    branch = torch.randn(4, 8, 32, generator=generator(4, 1))
    factors = torch.tensor([1.0, 1, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5])[:, None]
    loud = scipy.fft.idct(
        factors.numpy() * scipy.fft.dct(branch.numpy(), axis=1, norm="ortho"), axis=1, norm="ortho"
    )
    assert len(residuals) == 4
    for i, residual in enumerate(residuals):
        wanted = factors * branch if i < blocks else torch.from_numpy(loud)
        found = residual(torch.zeros_like(branch), branch)
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


def test_a_block_hands_its_gated_attention_to_the_residual() -> None:
    block = Block(width=12, heads=3, hidden=20, dropout=0.3).double().eval()
    tokens = _draw(4, 2, 5, 12)
    vectors = tuple(_draw(5 + i, 2, 1, 12) for i in range(6))
    seen: list[Tensor] = []

    def residual(stream: Tensor, branch: Tensor) -> Tensor:
        seen.extend((stream, branch))
        return stream + branch

    torch.testing.assert_close(block(tokens, vectors, residual), block(tokens, vectors))
    assert torch.equal(seen[0], tokens)
    assert seen[1].shape == tokens.shape


def test_a_map_of_the_unet_is_amplified_along_its_frames() -> None:
    block = AttentionBlock(4, heads=2).double()
    torch.nn.init.normal_(block.attention.out.weight, generator=generator(0, 4))
    x, gain = _draw(20, 2, 4, 3, 8), torch.tensor([0.2, 0.9]).double()
    residual = SpectralResidual("attention")
    found = block(x, lambda stream, branch: residual(stream, branch, gain, dim=-1)) - x
    plain = block(x) - x
    low = low_band(8)
    torch.testing.assert_close(dct(found, 3)[..., :low], dct(plain, 3)[..., :low])
    loud = (1 + gain)[:, None, None, None] * dct(plain, 3)[..., low:]
    torch.testing.assert_close(dct(found, 3)[..., low:], loud)


@pytest.mark.parametrize("name", DENOISERS)
def test_an_unknown_placement_is_named(name: str) -> None:
    with pytest.raises(UsageError, match=r"spectral: expected one of .* got 'mlp'"):
        _network(name, spectral="mlp")
