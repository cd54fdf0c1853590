"""The picture of a learning curve: it is there with and without a law, and shows the target."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from skelaug.plots.learning_curve import CurveLine, CurveMark, draw_learning_curve

MARKS = [CurveMark(3, 0.5, 0.05), CurveMark(6, 0.6, None)]
X = np.geomspace(3, 40, 50)
LINE = CurveLine(X, 1 - 0.8 * X**-0.5, 0.95 - 0.8 * X**-0.5, np.minimum(1, 1.05 - 0.8 * X**-0.5))


def pixels(path):
    with Image.open(path) as image:
        packed = np.asarray(image.convert("RGB")).astype(int) @ [1 << 16, 1 << 8, 1]
        return set(np.unique(packed).tolist())


@pytest.mark.parametrize(("line", "reached"), [(None, None), (LINE, None), (LINE, 30.0)])
def test_marks_law_and_target_are_drawn(tmp_path, line, reached):
    path = tmp_path / "curve.png"
    draw_learning_curve(path, MARKS, line, target=0.9, have=8, reached=reached, title="$data$ [x]")
    found = pixels(path)
    assert 0xD55E00 in found, "the target"
    assert (0x0072B2 in found) == (line is not None), "the law"
    assert (0xD6E6F2 in found) == (line is not None), "its band"


def test_nothing_measured_is_refused(tmp_path):
    with pytest.raises(ValueError, match="expected at least one size"):
        draw_learning_curve(tmp_path / "a.png", [], None, target=0.9, have=8)
    assert not (tmp_path / "a.png").exists()
