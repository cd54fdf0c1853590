"""The camera: equal axes, and the same picture wherever a person stands and looks."""

import numpy as np
import pytest

from skelaug.plots.view import bone_colours, front_view, head_of, on_the_spot, tips
from skelaug.skeleton.layouts import LAYOUTS


def turned(clip, angle, shift=(0.0, 0.0, 0.0)):
    cos, sin = np.cos(angle), np.sin(angle)
    matrix = np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
    positions = clip.positions.astype(np.float64) @ matrix.T + shift
    return clip.replaced(positions=positions.astype(np.float32))


@pytest.mark.parametrize("pitch", [0.0, 0.16, 0.3])
def test_the_axes_of_the_picture_are_orthonormal_so_that_lengths_are_equal(make_sequence, pitch):
    view = front_view(make_sequence(), pitch=pitch)
    axes = np.stack([view.right, view.up])
    np.testing.assert_allclose(axes @ axes.T, np.eye(2), atol=1e-12)


@pytest.mark.parametrize("persons", [1, 2])
def test_the_picture_does_not_depend_on_where_a_person_stands_and_looks(make_sequence, persons):
    clip = make_sequence(persons=persons, missing=0.02)
    moved = turned(clip, 2.1, shift=(1.0, 0.4, -3.0))
    before = front_view(clip).project(on_the_spot(clip))
    after = front_view(moved).project(on_the_spot(moved))
    raised = np.array([0.0, 0.4 * front_view(clip).up[1]])
    np.testing.assert_allclose(after, before + raised, atol=1e-5)


def test_who_faces_the_sensor_has_the_left_side_at_the_right_of_the_picture(make_sequence):
    clip = make_sequence()
    points = front_view(clip).project(clip.positions[0, 0])
    left, right = clip.layout.index("left_shoulder"), clip.layout.index("right_shoulder")
    assert points[left, 0] > points[right, 0]
    head, foot = clip.layout.index("head"), clip.layout.index("left_foot")
    assert points[head, 1] > points[foot, 1]


def test_the_first_of_two_persons_stands_at_the_left(make_sequence):
    clip = make_sequence(persons=2)
    x = front_view(clip).project(clip.positions)[..., 0]
    assert x[0, 0].mean() < x[0, 1].mean()


def test_on_the_spot_keeps_heights_and_shapes_and_removes_the_travel(make_sequence):
    clip = make_sequence(frames=60)
    still = on_the_spot(clip)
    np.testing.assert_allclose(still[..., 1], clip.positions[..., 1], atol=1e-6)
    np.testing.assert_allclose(still[:, 0].mean(axis=1)[:, [0, 2]], 0, atol=1e-6)
    bones = still[:, 0, 1] - still[:, 0, 0]
    np.testing.assert_allclose(bones, clip.positions[:, 0, 1] - clip.positions[:, 0, 0], atol=1e-5)


def test_a_clip_in_which_nothing_was_measured_has_a_view(make_sequence):
    clip = make_sequence()
    empty = clip.replaced(
        positions=np.full_like(clip.positions, np.nan), observed=np.zeros_like(clip.observed)
    )
    assert np.isfinite(front_view(empty).right).all()
    assert np.isnan(on_the_spot(empty)).all()


def test_two_coordinates_are_seen_as_they_are(make_sequence):
    clip = make_sequence()
    flat = clip.replaced(positions=clip.positions[..., :2])
    np.testing.assert_array_equal(front_view(flat).project(flat.positions), flat.positions)


@pytest.mark.parametrize("name", LAYOUTS)
def test_mirrored_bones_have_the_two_colours_and_hands_and_feet_are_tips(name):
    layout = LAYOUTS[name]
    colours = bone_colours(layout, 0)
    child = [c for c, _ in layout.bones]
    for left, right in layout.mirror:
        if left in child and right in child:
            assert colours[child.index(left)] != colours[child.index(right)]
    assert set(tips(layout)) <= {joint for pair in layout.mirror for joint in pair}
    assert set(tips(layout)).isdisjoint(layout.parents)
    assert set(bone_colours(layout, 1)).isdisjoint(colours)


def test_only_a_head_at_the_end_of_a_bone_is_drawn_as_a_head():
    assert LAYOUTS["kinect_20"].joints[head_of(LAYOUTS["kinect_20"])] == "head"
    assert head_of(LAYOUTS["coco_17"]) is None
