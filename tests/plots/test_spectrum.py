"""The picture of a spectrum: every line is in it, and odd values do not stop it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from skelaug.plots.spectrum import SpectrumLine, draw_spectrum

FALLING = 100.0 / np.arange(1, 25) ** 2


def line(factor: float) -> SpectrumLine:
    return SpectrumLine(factor * FALLING, 0.1 * factor * FALLING)


def pixels(path):
    with Image.open(path) as image:
        packed = np.asarray(image.convert("RGB")).astype(int) @ [1 << 16, 1 << 8, 1]
        return set(np.unique(packed).tolist())


def test_every_line_is_drawn_and_the_high_band_is_shaded(tmp_path):
    path = tmp_path / "spectrum.png"
    lines = {"real": line(1), "synthetic": line(0.5), "held-out": line(1.2)}
    draw_spectrum(path, lines, low=6, unit="mm²", title="$a$ [x]")
    assert {0x4B5563, 0x0072B2, 0xD55E00, 0xF1F3F5} <= pixels(path)


def test_a_motion_without_energy_is_drawn_too(tmp_path):
    lines = {"real": line(1), "synthetic": line(0)}
    draw_spectrum(tmp_path / "a.png", lines, low=6, unit="mm²")
    draw_spectrum(tmp_path / "b.png", {"real": line(0)}, low=6, unit="mm²")
    assert (tmp_path / "b.png").exists()


def test_nothing_and_unequal_lengths_are_refused(tmp_path):
    with pytest.raises(ValueError, match="expected at least one"):
        draw_spectrum(tmp_path / "a.png", {}, low=6, unit="mm²")
    short = SpectrumLine(FALLING[:5], FALLING[:5])
    with pytest.raises(ValueError, match="synthetic: expected T with T = 24, got 5"):
        draw_spectrum(tmp_path / "a.png", {"real": line(1), "synthetic": short}, low=6, unit="mm²")
    assert not list(tmp_path.iterdir())
