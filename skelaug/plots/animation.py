"""A stick-figure GIF: several clips side by side in real time, drawn with Pillow alone."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw, ImageFont

from skelaug.files import replacing
from skelaug.plots.view import (
    COLOURS,
    HEAD,
    INK,
    SECOND_PERSON,
    bone_colours,
    front_view,
    head_of,
    tips,
    visible,
)
from skelaug.progress import Progress, silent
from skelaug.skeleton.sequence import SkeletonSequence, Source

__all__ = ["draw_gif", "gif_frames"]

_RATE = 20.0  # frames per second; the format counts in hundredths of a second
_LONGEST = 8.0  # seconds
_CELL = (252, 280)
_FINE = 3  # drawn three times larger, then averaged: smooth lines
_PITCH = 0.3
_TALLEST = 1.95  # metres that always fit, so that people of one height look alike
_REST = 0.5  # seconds before a short clip is repeated
_TRAIL = 0.4  # seconds
_GRID, _PALE, _FAINT, _SHADE = "#e0e4e8", "#f3f5f7", "#8b929b", "#dcdfe3"

Point = tuple[float, float]


def gif_frames(clips: Sequence[SkeletonSequence]) -> int:
    """The number of frames that `draw_gif` draws: those of the longest clip, at most eight s."""
    longest = max(clip.duration for clip in clips)
    return max(2, round(min(longest, _LONGEST) * _RATE))


def draw_gif(path: Path, clips: Sequence[SkeletonSequence], *, progress: Progress = silent) -> None:
    """Write a GIF that plays the clips side by side, over and over.

    The camera does not move, a metre has the same length along every axis, and the floor has a
    line every half metre. Joints that were never measured are pale. A short clip is repeated as
    often as it fits and then waits for the longest.

    Args:
        path: The GIF to write, whole or not at all.
        clips: What to draw; at least one.
        progress: Counts the frames.
    """
    columns = min(len(clips), 4 if len(clips) > 6 else 3)
    rows = -(-len(clips) // columns)
    size = (columns * _CELL[0], rows * _CELL[1])
    count = gif_frames(clips)
    stages = [_Stage(clip, total=count / _RATE) for clip in clips]
    with progress("drawing", total=count) as advance:
        frames: list[Image.Image] = []
        palette = _palette()
        for sheet in _sheets(stages, columns, size=size, count=count):
            frames.append(sheet.quantize(palette=palette, dither=Image.Dither.NONE))
            advance()
    pause = round(1000 / _RATE)
    with replacing(path) as part:
        frames[0].save(
            part,
            format="GIF",
            save_all=True,
            append_images=frames[1:],
            duration=[pause] * (len(frames) - 1) + [12 * pause],
            loop=0,
            optimize=False,
        )


def _palette() -> Image.Image:
    """The drawing's own colours and their mixtures with paper, so that still pixels stay still."""
    inks = [*COLOURS.values(), *SECOND_PERSON.values(), INK, "#000000"]
    named = [ImageColor.getrgb(colour)[:3] for colour in ("white", _GRID, _PALE, _FAINT, _SHADE)]
    # no other entry may be as light as paper: the quantiser compares coarsely
    ramps = [ImageColor.getrgb(_mixed(ink, k / 24))[:3] for ink in inks for k in range(2, 25)]
    colours = list(dict.fromkeys([*named, *ramps]))
    palette = Image.new("P", (1, 1))
    palette.putpalette([value for colour in colours for value in colour])
    return palette


def _sheets(
    stages: Sequence[_Stage], columns: int, *, size: tuple[int, int], count: int
) -> Iterator[Image.Image]:
    for tick in range(count):
        sheet = Image.new("RGB", size, "white")
        for index, stage in enumerate(stages):
            corner = (index % columns * _CELL[0], index // columns * _CELL[1])
            sheet.paste(stage.at(tick / _RATE), corner)
        yield sheet


class _Stage:
    """One clip in its cell: the floor is drawn once, the figure for every frame."""

    def __init__(self, clip: SkeletonSequence, *, total: float) -> None:
        self.clip = clip
        self.total = total
        self.view = front_view(clip, pitch=_PITCH)
        self.seen = visible(clip)
        self.width, self.height = _CELL[0] * _FINE, _CELL[1] * _FINE
        points = self.view.project(clip.positions)
        low, high = _box(points[self.seen])
        span = np.maximum(high - low, 1e-3)
        room = np.array([self.width * 0.84, self.height * 0.72])
        tallest = max(_TALLEST if span[1] < 8 else span[1], span[1])
        self.scale = float(min(room[0] / span[0], room[1] / tallest))
        self.origin = np.array([(low[0] + high[0]) / 2, low[1]])
        self.pixels = self._pixels(points)
        self.colours = [bone_colours(clip.layout, person) for person in range(clip.num_persons)]
        self.background = self._background()

    def _pixels(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Picture coordinates in metres to pixels of the cell, y down."""
        x, y = np.moveaxis((points - self.origin) * self.scale, -1, 0)
        return np.stack([self.width / 2 + x, self.height * 0.87 - y], axis=-1)

    def _background(self) -> Image.Image:
        image = Image.new("RGB", (self.width, self.height), "white")
        draw = ImageDraw.Draw(image)
        if len(self.view.up) == 3:
            self._floor(draw)
        margin = 12 * _FINE
        draw.text((margin, margin), _short(self.clip.label or "no label"), INK, _font(14, "-Bold"))
        details = f"{self.clip.duration:.1f} s"
        if self.clip.source is not Source.REAL:
            details += f"  {self.clip.source.name.lower()}"
        draw.text((margin, margin + 19 * _FINE), details, _FAINT, _font(10, ""))
        return image

    def _floor(self, draw: ImageDraw.ImageDraw) -> None:
        ground = self.clip.positions[self.seen][:, [0, 2]].astype(np.float64)
        low, high = _box(ground)
        step = 0.5 if (high - low).max() < 8 else float((high - low).max() / 10)
        middle, half = (low + high) / 2, np.ceil((high - low) / step + 1) * step / 2
        low, high = middle - half, middle + half

        def at(x: float, z: float) -> Point:
            spot = self._pixels(self.view.project(np.array([x, self.view.floor, z])))
            return float(spot[0]), float(spot[1])

        corners = [(low[0], low[1]), (high[0], low[1]), (high[0], high[1]), (low[0], high[1])]
        draw.polygon([at(*corner) for corner in corners], fill=_PALE)
        for x in np.arange(low[0], high[0] + step / 2, step):
            draw.line([at(x, low[1]), at(x, high[1])], fill=_GRID, width=_FINE)
        for z in np.arange(low[1], high[1] + step / 2, step):
            draw.line([at(low[0], z), at(high[0], z)], fill=_GRID, width=_FINE)

    def at(self, seconds: float) -> Image.Image:
        """The cell at a time, in its final size."""
        period = self.clip.duration + _REST
        turns = max(1, int((self.total + _REST) / period))
        within = min(seconds - period * min(int(seconds / period), turns - 1), period)
        frame = min(round(within * self.clip.fps), self.clip.num_frames - 1)
        image = self.background.copy()
        draw = ImageDraw.Draw(image)
        for person in range(self.clip.num_persons):
            self._shadow(draw, frame, person)
        for person in range(self.clip.num_persons):
            self._trails(draw, frame, person)
            self._figure(draw, frame, person)
        self._clock(draw, frame)
        return image.reduce(_FINE)

    def _clock(self, draw: ImageDraw.ImageDraw, frame: int) -> None:
        left, right = 12 * _FINE, self.width - 12 * _FINE
        y = self.height - 10 * _FINE
        done = left + (right - left) * frame / max(self.clip.num_frames - 1, 1)
        draw.line([(left, y), (right, y)], fill=_GRID, width=2 * _FINE)
        draw.line([(left, y), (done, y)], fill=_FAINT, width=2 * _FINE)

    def _shadow(self, draw: ImageDraw.ImageDraw, frame: int, person: int) -> None:
        seen = self.seen[frame, person]
        if len(self.view.up) < 3 or not seen.any():
            return
        middle = self.clip.positions[frame, person][seen].mean(axis=0)
        x, y = self._pixels(self.view.project(np.array([middle[0], self.view.floor, middle[2]])))
        wide, high = 0.24 * self.scale, 0.24 * self.scale * float(np.sin(_PITCH))
        draw.ellipse([x - wide, y - high, x + wide, y + high], fill=_SHADE)

    def _trails(self, draw: ImageDraw.ImageDraw, frame: int, person: int) -> None:
        back = round(_TRAIL * self.clip.fps)
        children = [child for child, _ in self.clip.layout.bones]
        for joint in tips(self.clip.layout):
            colour = self.colours[person][children.index(joint)]
            for earlier in range(max(0, frame - back), frame):
                pair = self.pixels[earlier : earlier + 2, person, joint]
                if np.isfinite(pair).all():
                    share = 0.1 + 0.4 * (1 - (frame - earlier) / (back + 1))
                    draw.line([*map(tuple, pair)], fill=_mixed(colour, share), width=2 * _FINE)

    def _figure(self, draw: ImageDraw.ImageDraw, frame: int, person: int) -> None:
        joints, observed = self.pixels[frame, person], self.clip.observed[frame, person]
        radius = max(1.4 * _FINE, 0.021 * self.scale)
        head = head_of(self.clip.layout)
        bones = list(zip(self.clip.layout.bones, self.colours[person], strict=True))
        for (child, _), colour in bones:
            if child == head and np.isfinite(joints[child]).all():
                _disc(draw, joints[child], HEAD * self.scale, _toned(colour, observed[child]))
        for (child, parent), colour in bones:
            if not np.isfinite(joints[[child, parent]]).all():
                continue
            tone = _toned(colour, bool(observed[child] and observed[parent]))
            ends = [tuple(joints[child]), tuple(joints[parent])]
            draw.line(ends, fill=tone, width=round(2 * radius))
            for end in (child, parent):
                _disc(draw, joints[end], radius, tone)


def _disc(
    draw: ImageDraw.ImageDraw, centre: NDArray[np.float64], radius: float, colour: str
) -> None:
    x, y = centre
    draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=colour)


def _box(points: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lowest and highest coordinate along each axis; the unit square where there is no point."""
    if not len(points):
        return np.zeros(points.shape[-1]), np.ones(points.shape[-1])
    return points.min(axis=0).astype(np.float64), points.max(axis=0).astype(np.float64)


def _toned(colour: str, measured: bool) -> str:
    return colour if measured else _mixed(colour, 0.35)


@functools.cache
def _mixed(colour: str, share: float) -> str:
    """A colour on white paper, `share` of it as pigment."""
    values = [round(255 - share * (255 - value)) for value in ImageColor.getrgb(colour)[:3]]
    return "#" + "".join(f"{value:02x}" for value in values)


@functools.cache
def _font(points: int, weight: str) -> ImageFont.FreeTypeFont:
    # matplotlib brings a typeface with all of Latin, Greek and Cyrillic
    file = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"DejaVuSans{weight}.ttf"
    return ImageFont.truetype(str(file), points * _FINE)


def _short(label: str) -> str:
    return label if len(label) <= 26 else label[:25] + "…"
