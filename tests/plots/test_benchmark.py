from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from skelaug.plots.benchmark import ArmCurve, GainBar, draw_benchmark, draw_class_gains

BLUE, ORANGE = (0, 114, 178), (213, 94, 0)


@pytest.fixture
def figures(monkeypatch) -> list[Figure]:
    """Every figure that is saved, so that the places of its parts can be asked for."""
    found, save = [], Figure.savefig

    def keep(self, *args, **kwargs):
        found.append(self)
        save(self, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", keep)
    return found


def curves(arms: int, ratios: int) -> list[ArmCurve]:
    return [
        ArmCurve(
            f"arm {arm} [$x$ & y]",
            [0.1 * (k + 1) for k in range(ratios)],
            [0.5 + 0.04 * arm + 0.01 * k for k in range(ratios)],
            [0.02] * ratios,
            is_synthetic=arm % 2 == 0,
        )
        for arm in range(arms)
    ]


def bars(count: int) -> list[GainBar]:
    return [
        GainBar(f"arm {k} +100 %", 0.01 * (k - 2), 0.015, "p < 0.001, and a few words")
        for k in range(count)
    ]


def count(path: Path, colour: tuple[int, int, int]) -> int:
    with Image.open(path) as image:
        near = np.abs(np.asarray(image.convert("RGB"), dtype=int) - colour).sum(axis=2) < 12
    return int(near.sum())


def is_shown(text) -> bool:
    """False for labels of ticks beyond the ends of an axis, which matplotlib keeps hidden."""
    if text.axes is None or text not in text.axes.get_xticklabels():
        return True
    low, high = text.axes.get_xlim()
    return low <= text.get_position()[0] <= high


@pytest.mark.parametrize(("arms", "ratios"), [(1, 1), (8, 8), (3, 2)])
def test_all_text_lies_inside_the_picture_and_none_on_another(tmp_path, figures, arms, ratios):
    draw_benchmark(
        tmp_path / "a.png",
        curves(arms, ratios),
        bars(arms * ratios // 2 + 1),
        chance=0.04,
        control="arm 0 [$x$ & y]",
        titles=("UTD-MHAD, labels", "gain over 'self-training', the best arm without synthetic"),
    )
    (figure,) = figures
    legend = figure.legends[0]
    texts = [*figure.texts, *legend.get_texts()]
    for axes in figure.axes:
        texts += [*axes.get_xticklabels(), *axes.get_yticklabels(), *axes.texts]
        texts += [axes.xaxis.label, axes.yaxis.label]
    texts = [text for text in texts if text.get_text() and is_shown(text)]
    boxes = [text.get_window_extent().padded(-1) for text in texts]
    width, height = figure.canvas.get_width_height()
    for box in boxes:
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= width
        assert box.y1 <= height
    for place, box in enumerate(boxes):
        hit = [texts[k].get_text() for k in range(place) if box.overlaps(boxes[k])]
        assert not hit, f"{texts[place].get_text()} lies on {hit}"


def test_no_interval_covers_another(tmp_path, figures):
    equal = [ArmCurve(f"arm {k}", [0.5, 1.0], [0.7, 0.7], [0.02, 0.02]) for k in range(8)]
    draw_benchmark(tmp_path / "a.png", equal, [])
    marked = [line for line in figures[0].axes[0].lines if line.get_marker() not in ("", "None")]
    points = [x for line in marked for x in line.get_xdata()]
    assert len(set(np.round(points, 6))) == 16
    assert max(points[::2]) < 0.5 < min(points[1::2])


def test_numbers_stand_where_they_belong(tmp_path, figures):
    draw_benchmark(
        tmp_path / "a.png",
        [ArmCurve("real", [0.0], [0.6], [None]), ArmCurve("synthetic", [1.0], [0.8], [0.05])],
        [GainBar("synthetic +100 %", 0.2, 0.04)],
        chance=0.5,
    )
    left, right = figures[0].axes
    heights = [line.get_ydata()[0] for line in left.lines if line.get_marker() in {"o", "s"}]
    assert heights == pytest.approx([60.0, 80.0])
    ends = [bar.get_segments()[0][:, 1].tolist() for bar in left.collections]
    assert ends == [pytest.approx([60.0, 60.0]), pytest.approx([75.0, 85.0])]
    assert [label.get_text() for label in left.get_xticklabels()] == ["none", "100 %"]
    low, high = next(line for line in right.lines if len(set(line.get_ydata())) == 1).get_xdata()
    assert (low, high) == pytest.approx((16.0, 24.0))
    assert left.get_ylim()[0] < 50.0  # chance is near, so it is in the picture


def test_a_gain_is_coloured_only_where_its_interval_leaves_zero_out(tmp_path):
    path = tmp_path / "a.png"
    draw_class_gains(path, [GainBar("wave", 0.05, 0.06), GainBar("kick", -0.01, 0.02)])
    assert count(path, BLUE) == count(path, ORANGE) == 0
    draw_class_gains(path, [GainBar("wave", 0.05, 0.04), GainBar("kick", -0.03, 0.02)])
    assert count(path, BLUE) > 100
    assert count(path, ORANGE) > 100
    draw_class_gains(path, [GainBar("a single draw", 0.05, None)])
    assert count(path, BLUE) == 0


def test_classes_are_sorted_by_gain(tmp_path, figures):
    gains = [GainBar(name, gain, 0.1) for name, gain in (("a", 0.0), ("b", 0.2), ("c", -0.1))]
    draw_class_gains(tmp_path / "a.png", gains)
    names = [label.get_text() for label in figures[0].axes[0].get_yticklabels()]
    assert names == ["b", "a", "c"]


def test_nothing_to_draw_is_refused_and_writes_nothing(tmp_path):
    with pytest.raises(ValueError, match="at least one arm"):
        draw_benchmark(tmp_path / "a.png", [], [])
    with pytest.raises(ValueError, match="'real'"):
        draw_benchmark(tmp_path / "a.png", [ArmCurve("real", [0, 1], [0.5], [None])], [])
    with pytest.raises(ValueError, match="at least one class"):
        draw_class_gains(tmp_path / "a.png", [])
    assert list(tmp_path.iterdir()) == []
