"""A contact sheet: each clip as a strip of stick figures over time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

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

_POSES = 9
_STRIP = (7.6, 2.15)  # inches
_BELOW, _ABOVE = 0.18, 1.24  # space around the tallest pose, in its height
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
    fills = tall * (_BELOW + _ABOVE) * _STRIP[0] / (_STRIP[1] * 0.92) / _POSES
    step = max(fills, float(np.quantile([strip.width for strip in strips], 0.8)))
    for index, strip in enumerate(strips):
        strip.draw(figure.add_subplot(grid[index % rows, index // rows]), step=step, tall=tall)
    _headline(figure, title, height=height)
    with replacing(path) as part:
        figure.savefig(part, format="png")


def _headline(figure: Figure, title: str, *, height: float) -> None:
    top = 1 - 0.28 / height
    figure.text(0.014, top, title, fontsize=14, color=INK, weight="bold", va="center")
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
        seen = visible(clip)
        self.poses = _pose_frames(seen)
        view = front_view(clip)
        self.points = view.project(on_the_spot(clip))
        self.points[..., 1] -= view.floor * view.up[1]
        shown = self.points[self.poses]
        some = bool(np.isfinite(shown).any())
        self.width = float(np.nanmax(shown[..., 0]) - np.nanmin(shown[..., 0])) if some else 1.0
        self.tall = float(np.nanmax(shown[..., 1])) if some else 1.0

    def draw(self, axes: Axes, *, step: float, tall: float) -> None:
        axes.set_aspect("equal", adjustable="box", anchor="W")
        axes.set_xlim(-0.5 * step, (_POSES - 0.5) * step)
        axes.set_ylim(-_BELOW * tall, _ABOVE * tall)
        axes.axis("off")
        for place, frame in enumerate(self.poses):
            shift = place * step
            shadow = Ellipse((shift, 0), 0.42 * tall, 0.06 * tall, color="#eceef0", lw=0, zorder=0)
            axes.add_patch(shadow)
            self._pose(axes, frame=int(frame), shift=shift)
            time = f"{frame / self.clip.fps:.1f} s"
            axes.text(shift, -0.06 * tall, time, fontsize=7, color=_FAINT, ha="center", va="top")
        self._caption(axes, left=-0.48 * step, right=(_POSES - 0.52) * step, top=_ABOVE * tall)

    def _caption(self, axes: Axes, *, left: float, right: float, top: float) -> None:
        clip = self.clip
        label = clip.label or "no label"
        axes.text(left, top, label, fontsize=10.5, color=INK, weight="bold", va="top")
        details = [clip.name, f"{clip.duration:.1f} s"]
        if clip.source is not Source.REAL:
            details.append(clip.source.name.lower())
        text = "  ·  ".join(details)
        axes.text(right, top, text, fontsize=8, color=_FAINT, ha="right", va="top")

    def _pose(self, axes: Axes, *, frame: int, shift: float) -> None:
        layout = self.clip.layout
        before = self.poses[self.poses < frame]
        since = int(before[-1]) if len(before) else frame
        for person in range(self.clip.num_persons):
            colours = bone_colours(layout, person)
            child = [c for c, _ in layout.bones]
            tails = {j: colours[child.index(j)] for j in tips(layout)}
            for joint, colour in tails.items():
                trail = self.points[since : frame + 1, person, joint] + [shift, 0.0]
                axes.plot(*trail.T, color=colour, lw=0.8, alpha=0.35, zorder=1)
            self._bones(axes, self.points[frame, person] + [shift, 0.0], frame, person, colours)

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


def _pose_frames(seen: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Evenly spaced frames in which somebody is seen, first and last included."""
    frames = np.flatnonzero(seen.any(axis=(1, 2)))
    if not len(frames):
        frames = np.arange(seen.shape[0])
    places = np.linspace(0, len(frames) - 1, min(_POSES, len(frames))).round()
    return np.asarray(frames[places.astype(np.int64)], dtype=np.int64)
