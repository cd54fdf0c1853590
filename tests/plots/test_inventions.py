"""Sheets of imputed clips: what was measured is grey, what was invented is coloured."""

import matplotlib.image
import numpy as np
import pytest

from skelaug.plots.skeletons import draw_sheet
from skelaug.skeleton.sequence import Source

ORANGE, GREY = np.array([232, 89, 12]) / 255, np.array([134, 142, 150]) / 255


def coloured(path, colour):
    """How many pixels have a colour."""
    pixels = matplotlib.image.imread(path)[..., :3]
    return int((np.abs(pixels - colour).max(axis=-1) < 0.02).sum())


@pytest.fixture
def filled(make_sequence):
    clip = make_sequence(frames=40).replaced(source=Source.IMPUTED)
    observed = clip.observed.copy()
    observed[10:14, 0, 4:8] = False
    return clip.replaced(observed=observed, uncertainty=np.where(observed, 0, 0.03).astype("f4"))


def drawn(tmp_path, clip):
    draw_sheet(tmp_path / "a.png", [clip], title="t", inventions=True)
    whole = clip.replaced(observed=clip.observed | True)
    draw_sheet(tmp_path / "b.png", [whole], title="t", inventions=True)
    return [coloured(tmp_path / name, ORANGE) for name in ("a.png", "b.png")]


def test_what_was_invented_is_drawn_in_its_colour_even_where_the_gap_is_short(tmp_path, filled):
    here, legend = drawn(tmp_path, filled)
    assert here > legend + 50
    assert coloured(tmp_path / "a.png", GREY) > 500


def test_joints_that_are_never_measured_are_dotted_and_colour_less(tmp_path, filled):
    gap = ~filled.observed
    never = gap.any(axis=0, keepdims=True) & np.ones_like(gap)
    twin = gap | never
    twin[0] = False  # the same gap, but for one frame in which it was measured
    dotted, legend = drawn(tmp_path, filled.replaced(observed=~never, uncertainty=None))
    solid, _ = drawn(tmp_path, filled.replaced(observed=~twin, uncertainty=None))
    assert legend < dotted < 0.9 * solid


def test_a_second_person_has_a_colour_of_its_own(tmp_path, make_sequence):
    clip = make_sequence(frames=20, persons=2)
    observed = clip.observed.copy()
    observed[:, 1, 4:8] = False
    here, legend = drawn(tmp_path, clip.replaced(observed=observed))
    assert here == legend
    assert coloured(tmp_path / "a.png", np.array([112, 72, 232]) / 255) > 50


def test_the_discs_are_as_large_as_the_uncertainty(tmp_path, filled):
    def shaded(radius):
        said = np.where(filled.observed, 0, radius).astype(np.float32)
        clip = filled.replaced(uncertainty=said)
        draw_sheet(tmp_path / "a.png", [clip], title="t", inventions=True)
        pixels = matplotlib.image.imread(tmp_path / "a.png")[..., :3]
        return int((pixels.min(axis=-1) < 0.97).sum())

    assert shaded(0.1) > shaded(0.05) > shaded(0.0)
    assert shaded(np.nan) == shaded(0.0)
