"""A contact sheet: each clip as a strip of stick figures over time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Ellipse
from numpy.typing import NDArray

from skelaug.files import replacing
from skelaug.plots.view import (
    COLOURS,
    HEAD,
    INK,
    bone_colours,
    front_view,
    head_of,
    on_the_spot,
    tips,
    visible,
)
from skelaug.skeleton.sequence import SkeletonSequence, Source

__all__ = ["draw_sheet"]

_FEWEST, _POSES = 4, 9
_STRIP = (7.6, 2.15)  # inches
_BELOW, _ABOVE = 0.18, 1.24  # space around the tallest pose, in its height
_TEXT: dict[str, Any] = {"color": INK, "parse_math": False}
_FAINT = "#9aa0a8"


def draw_sheet(path: Path, clips: Sequence[SkeletonSequence], *, title: str) -> None:
    """Write a PNG with a strip of poses per clip, two strips side by side.

    All strips share one scale. Joints that were never measured are drawn dashed; the thin tails
    show how hands and feet came to each pose.

    Args:
        path: The PNG to write, whole or not at all.
        clips: What to draw; at least one.
        title: The headline.
    """
    columns = 1 if len(clips) == 1 else 2
    rows = -(-len(clips) // columns)
    height = rows * _STRIP[1] + 0.75
    figure = Figure(figsize=(columns * _STRIP[0], height), dpi=110, facecolor="white")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(
        rows,
        columns,
        left=0.012,
        right=0.988,
        bottom=0.12 / height,
        top=1 - 0.75 / height,
        wspace=0.02,
        hspace=0.16,
    )
    strips = [_Strip(clip) for clip in clips]
    tall = max(strip.tall for strip in strips)
    wide = float(np.quantile([strip.wide for strip in strips], 0.8))
    room = tall * (_BELOW + _ABOVE) * _STRIP[0] / (_STRIP[1] * 0.92)
    poses = int(np.clip(room / wide, _FEWEST, _POSES))
    step = max(room / poses, wide)
    for index, strip in enumerate(strips):
        axes = figure.add_subplot(grid[index % rows, index // rows])
        strip.draw(axes, poses, step=step, tall=tall)
    _headline(figure, title, height=height)
    with replacing(path) as part:
        figure.savefig(part, format="png")


def _headline(figure: Figure, title: str, *, height: float) -> None:
    top = 1 - 0.28 / height
    figure.text(0.014, top, title, **_TEXT, fontsize=14, weight="bold", va="center")
    keys = [
        Line2D([], [], color=colour, lw=3, solid_capstyle="round", label=side)
        for side, colour in COLOURS.items()
    ]
    figure.legend(
        handles=keys,
        loc="center right",
        bbox_to_anchor=(0.99, top),
        ncols=3,
        frameon=False,
        fontsize=10,
        labelcolor=INK,
        handlelength=1.4,
    )


class _Strip:
    """One clip, walked on the spot and projected, ready to draw."""

    def __init__(self, clip: SkeletonSequence) -> None:
        self.clip = clip
        self.seen = visible(clip)
        view = front_view(clip)
        self.points = view.project(on_the_spot(clip))
        self.points[..., 1] -= view.floor * view.up[1]
        shown = self.points[self.seen]
        self.wide = float(np.ptp(np.quantile(shown[:, 0], [0.02, 0.98]))) if len(shown) else 1.0
        self.tall = float(shown[:, 1].max()) if len(shown) else 1.0

    def draw(self, axes: Axes, poses: int, *, step: float, tall: float) -> None:
        axes.set_aspect("equal", adjustable="box", anchor="W")
        axes.set_xlim(-0.5 * step, (poses - 0.5) * step)
        axes.set_ylim(-_BELOW * tall, _ABOVE * tall)
        axes.axis("off")
        frames = _pose_frames(self.seen, poses)
        for place, (frame, since) in enumerate(zip(frames, [frames[0], *frames], strict=False)):
            shift = place * step
            self._pose(axes, frame, since=since, shift=shift, shadow=0.21 * tall)
            time = f"{frame / self.clip.fps:.1f} s"
            axes.text(shift, -0.06 * tall, time, fontsize=7, color=_FAINT, ha="center", va="top")
        self._caption(axes, left=-0.48 * step, right=(poses - 0.52) * step, top=_ABOVE * tall)

    def _caption(self, axes: Axes, *, left: float, right: float, top: float) -> None:
        clip = self.clip
        label = clip.label or "no label"
        axes.text(left, top, label, **_TEXT, fontsize=10.5, weight="bold", va="top")
        details = [clip.name, f"{clip.duration:.1f} s"]
        if clip.source is not Source.REAL:
            details.append(clip.source.name.lower())
        text = "  ·  ".join(details)
        axes.text(
            right, top, text, fontsize=8, color=_FAINT, ha="right", va="top", parse_math=False
        )

    def _pose(self, axes: Axes, frame: int, *, since: int, shift: float, shadow: float) -> None:
        layout = self.clip.layout
        children = [child for child, _ in layout.bones]
        for person in range(self.clip.num_persons):
            joints = self.points[frame, person] + [shift, 0.0]
            below = joints[self.seen[frame, person], 0]
            if len(below):
                size = {"width": 2 * shadow, "height": 0.3 * shadow}
                spot = Ellipse((float(below.mean()), 0), **size, color="#eceef0", lw=0, zorder=0)
                axes.add_patch(spot)
            colours = bone_colours(layout, person)
            for joint in tips(layout):
                trail = self.points[since : frame + 1, person, joint] + [shift, 0.0]
                colour = colours[children.index(joint)]
                axes.plot(*trail.T, color=colour, lw=0.8, alpha=0.35, zorder=1)
            self._bones(axes, joints, frame, person, colours)

    def _bones(
        self,
        axes: Axes,
        joints: NDArray[np.float64],
        frame: int,
        person: int,
        colours: list[str],
    ) -> None:
        observed = self.clip.observed[frame, person]
        for measured in (False, True):
            chosen = [
                index
                for index, bone in enumerate(self.clip.layout.bones)
                if bool(observed[list(bone)].all()) == measured
                and np.isfinite(joints[list(bone)]).all()
            ]
            lines = LineCollection(
                [joints[list(self.clip.layout.bones[index])] for index in chosen],
                colors=[colours[index] for index in chosen],
                linewidths=2.1 if measured else 1.2,
                linestyles="solid" if measured else (0, (1.5, 1.5)),
                capstyle="round" if measured else "butt",
                zorder=3,
            )
            axes.add_collection(lines, autolim=False)
        head = head_of(self.clip.layout)
        if head is not None and np.isfinite(joints[head]).all():
            bone = [child for child, _ in self.clip.layout.bones].index(head)
            style = {"fc": colours[bone], "lw": 0} if observed[head] else {"fc": "white"}
            axes.add_patch(Circle(joints[head], HEAD, ec=colours[bone], zorder=2, **style))


def _pose_frames(seen: NDArray[np.bool_], poses: int) -> list[int]:
    """Evenly spaced frames in which somebody is seen, first and last included."""
    frames = np.flatnonzero(seen.any(axis=(1, 2)))
    if not len(frames):
        frames = np.arange(seen.shape[0])
    places = np.linspace(0, len(frames) - 1, min(poses, len(frames))).round()
    return [int(frames[int(place)]) for place in places]
