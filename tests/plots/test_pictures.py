"""Sheets, animations and images: what is in the file, for every layout and for damaged clips."""

import numpy as np
import pytest
from PIL import Image, ImageColor

from skelaug.plots.animation import draw_gif, gif_frames
from skelaug.plots.images import draw_images
from skelaug.plots.skeletons import draw_sheet
from skelaug.plots.view import COLOURS, SECOND_PERSON
from skelaug.skeleton.layouts import LAYOUTS


def count(image, colour):
    pixels = np.asarray(image.convert("RGB")).reshape(-1, 3).astype(int)
    return int((np.abs(pixels - ImageColor.getrgb(colour)) <= 3).all(axis=1).sum())


def frames_of(path):
    with Image.open(path) as image:
        for index in range(image.n_frames):
            image.seek(index)
            yield image.convert("RGB"), image.info["duration"]


def nothing_seen(clip):
    hidden = np.full_like(clip.positions, np.nan)
    return clip.replaced(positions=hidden, observed=np.zeros_like(clip.observed))


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_can_be_drawn_with_gaps_and_two_persons(make_sequence, tmp_path, name):
    clip = make_sequence(layout=name, persons=2, missing=0.1, frames=10)
    draw_sheet(tmp_path / "a.png", [clip], title="[kick] $x_1$")
    draw_gif(tmp_path / "a.gif", [clip])
    with Image.open(tmp_path / "a.png") as sheet:
        for colours in (COLOURS, SECOND_PERSON):
            assert count(sheet, colours["left"]) > 20
            assert count(sheet, colours["right"]) > 20


@pytest.mark.parametrize("clips", [1, 2, 3, 7, 12])
def test_a_sheet_grows_by_rows_and_keeps_its_width(make_sequence, tmp_path, clips):
    many = [make_sequence(name=str(k), seed=k) for k in range(clips)]
    draw_sheet(tmp_path / "a.png", many, title="sheet")
    with Image.open(tmp_path / "a.png") as sheet:
        assert sheet.width == pytest.approx(836 * min(clips, 2), abs=1)
        assert sheet.height == pytest.approx(110 * (2.15 * -(-clips // 2) + 0.75), abs=1)


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_clips_of_one_frame_or_without_any_joint_are_drawn(make_sequence, tmp_path, frames):
    clips = [make_sequence(frames=frames), nothing_seen(make_sequence(frames=frames))]
    draw_sheet(tmp_path / "a.png", clips, title="short")
    draw_gif(tmp_path / "a.gif", clips)
    shown = sum(duration for _, duration in frames_of(tmp_path / "a.gif"))
    assert shown == 50 * (gif_frames(clips) - 1) + 600  # equal frames are stored once


def test_a_gif_plays_in_real_time_and_loops(make_sequence, tmp_path):
    clip = make_sequence(frames=60, fps=30.0)
    draw_gif(tmp_path / "a.gif", [clip])
    frames = list(frames_of(tmp_path / "a.gif"))
    assert len(frames) == gif_frames([clip]) == 40
    assert {duration for _, duration in frames[:-1]} == {50}
    with Image.open(tmp_path / "a.gif") as image:
        assert image.info["loop"] == 0


def test_the_colours_of_both_sides_are_in_every_frame_and_paper_stays_white(
    make_sequence, tmp_path
):
    draw_gif(tmp_path / "a.gif", [make_sequence(frames=15)])
    for image, _ in frames_of(tmp_path / "a.gif"):
        assert count(image, COLOURS["left"]) > 50
        assert count(image, COLOURS["right"]) > 50
        assert image.getpixel((image.width - 1, 0)) == (255, 255, 255)


def test_a_short_clip_is_repeated_beside_a_long_one(make_sequence, tmp_path):
    short, long = make_sequence(frames=15), nothing_seen(make_sequence(frames=120))
    draw_gif(tmp_path / "a.gif", [short, long])
    cells = [np.asarray(image.crop((0, 0, 252, 280))) for image, _ in frames_of(tmp_path / "a.gif")]
    np.testing.assert_array_equal(cells[0], cells[20])  # half a second, and half a second of rest
    assert (cells[0] != cells[5]).any()


def test_invented_joints_are_pale(make_sequence, tmp_path):
    clip = make_sequence(frames=4)
    invented = clip.replaced(observed=np.zeros_like(clip.observed))
    draw_gif(tmp_path / "a.gif", [clip])
    draw_gif(tmp_path / "b.gif", [invented])
    measured, _ = next(frames_of(tmp_path / "a.gif"))
    pale, _ = next(frames_of(tmp_path / "b.gif"))
    assert count(measured, COLOURS["left"]) > 50
    assert count(pale, COLOURS["left"]) == 0
    assert (np.asarray(pale) != np.asarray(measured)).any()


def test_a_name_is_never_read_as_a_formula(make_sequence, tmp_path):
    draw_sheet(tmp_path / "a.png", [make_sequence("$x_{$", name=r"\frac$")], title="$[kick")
    draw_images(
        tmp_path / "b.png", np.zeros((1, 3, 4, 4)), titles=["$_$"], rows=["$"] * 4, title="$$"
    )


def test_equal_clips_give_equal_bytes(make_sequence, tmp_path):
    for name in ("a", "b"):
        draw_gif(tmp_path / f"{name}.gif", [make_sequence()])
        draw_sheet(tmp_path / f"{name}.png", [make_sequence()], title="same")
    for ending in ("gif", "png"):
        first, second = ((tmp_path / f"{name}.{ending}").read_bytes() for name in ("a", "b"))
        assert first == second


def test_skeleton_images_show_x_y_z_as_red_green_blue(tmp_path):
    pixels = np.full((1, 3, 4, 6), -1.0, dtype=np.float32)
    pixels[0, 0, :2] = 1.0
    pixels[0, 2, 2:] = 1.0
    draw_images(tmp_path / "a.png", pixels, titles=["a"], rows=["up", "up", "", ""], title="maps")
    with Image.open(tmp_path / "a.png") as image:
        red, blue = count(image, "#ff0000"), count(image, "#0000ff")
    assert red > 1000
    assert blue == pytest.approx(red, rel=0.02)


def test_a_row_without_a_name_is_a_broken_contract(tmp_path):
    with pytest.raises(ValueError, match="R = 3"):
        draw_images(
            tmp_path / "a.png", np.zeros((1, 3, 4, 6)), titles=["a"], rows=["x"] * 3, title=""
        )
