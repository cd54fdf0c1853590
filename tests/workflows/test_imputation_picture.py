"""Which clips a picture of inventions shows."""

import numpy as np
import pytest

from skelaug.workflows import imputation_picture
from skelaug.workflows.imputation_picture import draw_imputed


@pytest.fixture
def drawn(monkeypatch):
    """What was drawn: the clips' names and the title."""
    found = []

    def draw_sheet(path, clips, *, title, inventions):
        assert inventions
        found.append(([clip.name for clip in clips], title))

    monkeypatch.setattr(imputation_picture, "draw_sheet", draw_sheet)
    return found


@pytest.fixture
def part(tmp_path, make_sequence, write_file):
    """A file of whole clips (w), filled ones (f), and ones with a gap that nothing filled (g)."""

    def make(names):
        clips = []
        for name in names:
            clip = make_sequence(name=name, frames=8)
            positions, observed = clip.positions.copy(), clip.observed.copy()
            uncertainty = np.zeros(observed.shape, np.float32)
            if name[0] != "w":
                observed[2:5, 0, 3], uncertainty[2:5, 0, 3] = False, 0.1
            if name[0] == "g":
                positions[2:5, 0, 3] = uncertainty[2:5, 0, 3] = np.nan
            told = {"positions": positions, "observed": observed, "uncertainty": uncertainty}
            clips.append(clip.replaced(**told))
        return write_file(tmp_path / f"{names[0]}.h5", clips, has_uncertainty=True)

    return make


def test_clips_with_inventions_of_all_parts_are_drawn_in_their_order(part, drawn, tmp_path):
    parts = [part(["w1", "f1", "g1"]), part(["w2", "g2"]), part(["f3", "f4", "w3"])]
    assert draw_imputed(tmp_path / "a.png", parts, of=tmp_path / "poses.h5")
    assert drawn == [(["f1", "f3", "f4"], "poses.h5: 3 of 3 clips with gaps that were filled")]


def test_of_many_clips_six_are_drawn_evenly_spread(part, drawn, tmp_path):
    parts = [part([f"f{n}" for n in range(4)]), part([f"f{n}" for n in range(4, 11)])]
    assert draw_imputed(tmp_path / "a.png", parts, of=tmp_path / "poses.h5")
    names, title = drawn[0]
    assert names == ["f0", "f2", "f4", "f6", "f8", "f10"]
    assert title == "poses.h5: 6 of 11 clips with gaps that were filled"


def test_without_an_invention_nothing_is_drawn(part, drawn, tmp_path):
    assert not draw_imputed(tmp_path / "a.png", [part(["w1", "g1"])], of=tmp_path / "poses.h5")
    assert drawn == []
