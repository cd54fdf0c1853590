"""The transform in time: orthonormal, the right way round, and what an encoder is shown of it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.fft
import torch
from scipy.interpolate import CubicHermiteSpline
from torch import Tensor

from skelaug.diffusion.spectral import cosine_basis
from skelaug.models.frequencies import (
    encoder_input,
    in_frequencies,
    in_time,
    interpolated,
)
from skelaug.seeds import generator


def _x(frames: int = 50) -> Tensor:
    return torch.randn(3, 6, frames, generator=generator(0, 1), dtype=torch.float64)


@pytest.mark.parametrize("frames", [1, 7, 50])
def test_frequencies_are_those_of_scipy(frames: int) -> None:
    x = _x(frames)
    expected = torch.from_numpy(scipy.fft.dct(x.numpy(), type=2, axis=-1, norm="ortho"))
    torch.testing.assert_close(
        in_frequencies(x, cosine_basis(frames)), expected, rtol=0, atol=1e-13
    )


def test_a_constant_signal_has_one_coefficient() -> None:
    found = in_frequencies(torch.full((1, 1, 50), 2.0, dtype=torch.float64), cosine_basis(50))
    assert float(found[0, 0, 0]) == pytest.approx(2 * 50**0.5)
    assert float(found[0, 0, 1:].abs().max()) < 1e-13


def test_a_slow_wave_has_a_low_coefficient() -> None:
    """The k-th coefficient is that of k half waves, not of the k-th frame."""
    time = (torch.arange(50, dtype=torch.float64) + 0.5) / 50
    found = in_frequencies(torch.cos(3 * torch.pi * time)[None, None], cosine_basis(50))[0, 0]
    assert int(found.abs().argmax()) == 3
    assert float(found.abs().sort().values[-2]) < 1e-13


def test_back_in_time_is_the_inverse() -> None:
    x, dct = _x(), cosine_basis(50)
    torch.testing.assert_close(in_time(in_frequencies(x, dct), dct), x, rtol=0, atol=1e-13)


def test_the_transform_keeps_full_precision_under_autocast() -> None:
    x, dct = _x().float(), cosine_basis(50).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        back = in_time(in_frequencies(x, dct), dct)
    assert back.dtype == torch.float32
    torch.testing.assert_close(back, x, rtol=0, atol=1e-5)


def _slope(x: np.ndarray, seen: np.ndarray, frame: int, before: int) -> float | None:
    """Of the step that ends or starts at a frame; None where it was not seen."""
    a, b = frame - before, frame + 1 - before
    return x[b] - x[a] if a >= 0 and b < len(x) and seen[a] and seen[b] else None


def test_gaps_are_the_cubics_of_scipy() -> None:
    x = _x()
    seen = torch.rand(x.shape, generator=generator(0, 2)) < 0.4
    seen[0, 0], seen[1, 2] = False, True
    seen[2, 3], seen[2, 3, 20] = False, True
    found = interpolated(torch.where(seen, x, torch.nan), seen)
    for n, v in np.ndindex(3, 6):
        truth, known = x[n, v].numpy(), seen[n, v].numpy()
        at = np.flatnonzero(known)
        whole = np.interp(np.arange(50), at, truth[at]) if len(at) else np.zeros(50)
        for a, b in itertools.pairwise(at):
            chord = (truth[b] - truth[a]) / (b - a)
            slopes = [_slope(truth, known, a, 1), _slope(truth, known, b, 0)]
            slopes = [chord if one is None else one for one in slopes]
            curve = CubicHermiteSpline([a, b], truth[[a, b]], slopes)
            whole[a : b + 1] = curve(np.arange(a, b + 1))
        np.testing.assert_allclose(found[n, v], whole, rtol=0, atol=1e-12)
    assert torch.equal(found[seen], x[seen])


def test_a_straight_line_is_continued_through_gaps_of_any_length() -> None:
    line = 3 - 0.5 * torch.arange(50, dtype=torch.float64)
    seen = torch.ones(1, 3, 50, dtype=torch.bool)
    seen[0, 0, 1:49], seen[0, 1, 7:30], seen[0, 2, 2:40:2] = False, False, False
    torch.testing.assert_close(interpolated(line.expand(1, 3, 50), seen), line.expand(1, 3, 50))


def test_the_encoder_reads_gaps_as_interpolated_whatever_they_hold() -> None:
    x, dct = _x(), cosine_basis(50)
    seen = torch.rand(x.shape, generator=generator(0, 2)) < 0.7
    torn = torch.where(seen, x, torch.nan)
    read = encoder_input(torn, seen, dct, reads_mask=False)
    torch.testing.assert_close(read, in_frequencies(interpolated(x, seen), dct))
    assert torch.equal(encoder_input(x, seen, dct, reads_mask=False), read)


def test_the_mask_follows_in_time() -> None:
    x, dct = _x(), cosine_basis(50)
    seen = torch.rand(x.shape, generator=generator(0, 2)) < 0.7
    read = encoder_input(x, seen, dct, reads_mask=True)
    assert read.shape == (3, 6, 100)
    assert torch.equal(read[..., 50:], seen.double())
    assert torch.equal(read[..., :50], encoder_input(x, seen, dct, reads_mask=False))
    whole = encoder_input(x, None, dct, reads_mask=True)
    assert torch.equal(whole, encoder_input(x, torch.ones_like(seen), dct, reads_mask=True))
