"""A histogram of scores can be looked at: it is a picture, and says how many are flagged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from skelaug.plots.score_histogram import draw_scores


def _colours(path: Path) -> dict[str, int]:
    """Pixels of the bars that are not flagged (blue) and of those that are (orange)."""
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    near = {"in": (0, 114, 178), "out": (213, 94, 0)}
    return {key: int((abs(pixels - rgb).sum(-1) < 12).sum()) for key, rgb in near.items()}


def test_scores_below_the_band_have_the_colour_of_what_is_flagged(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    draw_scores(tmp_path / "in.png", rng.uniform(-0.9, 2, 500).tolist(), title="data.h5, a [b] $c")
    draw_scores(tmp_path / "out.png", rng.uniform(-6, -1.3, 500).tolist())
    inside, outside = _colours(tmp_path / "in.png"), _colours(tmp_path / "out.png")
    assert inside["in"] > 10_000
    assert outside["in"] < 100
    assert outside["out"] > inside["out"] + 5_000  # the line of the threshold is in both


def test_scores_beyond_the_axis_are_in_its_last_bars(tmp_path: Path) -> None:
    draw_scores(tmp_path / "a.png", [-500.0] * 10)
    assert _colours(tmp_path / "a.png")["out"] > 2_000


def test_equal_scores_are_equal_files_and_none_are_refused(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        draw_scores(tmp_path / name, [0.1, -2.0])
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with pytest.raises(ValueError, match="at least one score"):
        draw_scores(tmp_path / "c.png", [])
    assert not (tmp_path / "c.png").exists()
