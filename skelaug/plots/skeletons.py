"""A contact sheet: each clip as a strip of stick figures over time.

The colours tell left from right or, of imputed clips, what was measured from what was invented.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
_INVENTED = ("#e8590c", "#7048e8")  # of the first person and of others
_MEASURED = "#868e96"
_DOTS, _DASHES = (0, (0.8, 1.4)), (0, (1.5, 1.5))
_SIDE_KEYS: dict[str, dict[str, Any]] = {
    side: {"color": colour} for side, colour in COLOURS.items()
}
_INVENTION_KEYS: dict[str, dict[str, Any]] = {
    "measured": {"color": _MEASURED},
    "filled in": {"color": _INVENTED[0]},
    "never measured": {"color": _INVENTED[0], "linestyle": _DOTS},
}


def draw_sheet(
    path: Path, clips: Sequence[SkeletonSequence], *, title: str, inventions: bool = False
) -> None:
    """Write a PNG with a strip of poses per clip, two strips side by side.

    All strips share one scale. Joints that were not measured are drawn dashed; the thin tails show
    how hands and feet came to each pose.

    Args:
        path: The PNG to write, whole or not at all.
        clips: What to draw; at least one.
        title: The headline.
        inventions: What was measured is grey instead, what was invented coloured, and dotted where
            the joint was measured in no frame of the clip; poses are those with inventions near by,
            and discs show how far off the clip says they may be.
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
    strips = [_InventedStrip(clip) if inventions else _Strip(clip) for clip in clips]
    tall = max(strip.tall for strip in strips)
    wide = float(np.quantile([strip.wide for strip in strips], 0.8))
    room = tall * (_BELOW + _ABOVE) * _STRIP[0] / (_STRIP[1] * 0.92)
    poses = int(np.clip(room / wide, _FEWEST, _POSES))
    step = max(room / poses, wide)
    for index, strip in enumerate(strips):
        axes = figure.add_subplot(grid[index % rows, index // rows])
        strip.draw(axes, poses, step=step, tall=tall)
    _headline(figure, title, height=height, keys=_INVENTION_KEYS if inventions else _SIDE_KEYS)
    with replacing(path) as part:
        figure.savefig(part, format="png")


def _headline(
    figure: Figure, title: str, *, height: float, keys: Mapping[str, Mapping[str, Any]]
) -> None:
    top = 1 - 0.28 / height
    figure.text(0.014, top, title, **_TEXT, fontsize=14, weight="bold", va="center")
    lines = [
        Line2D([], [], lw=3, solid_capstyle="round", label=name, **style)
        for name, style in keys.items()
    ]
    figure.legend(
        handles=lines,
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
        frames = self._frames(poses)
        for place, (frame, since) in enumerate(zip(frames, [frames[0], *frames], strict=False)):
            shift = place * step
            self._pose(axes, frame, since=since, shift=shift, shadow=0.21 * tall)
            time = f"{frame / self.clip.fps:.1f} s"
            axes.text(shift, -0.06 * tall, time, fontsize=7, color=_FAINT, ha="center", va="top")
        self._caption(axes, left=-0.48 * step, right=(poses - 0.52) * step, top=_ABOVE * tall)

    def _colours(self, person: int) -> list[str]:
        return bone_colours(self.clip.layout, person)

    def _frames(self, poses: int) -> list[int]:
        return _pose_frames(self.seen, poses)

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
            colours = self._colours(person)
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
                linestyles="solid" if measured else _DASHES,
                capstyle="round" if measured else "butt",
                zorder=3,
            )
            axes.add_collection(lines, autolim=False)
        head = head_of(self.clip.layout)
        if head is not None and np.isfinite(joints[head]).all():
            bone = [child for child, _ in self.clip.layout.bones].index(head)
            style = {"fc": colours[bone], "lw": 0} if observed[head] else {"fc": "white"}
            axes.add_patch(Circle(joints[head], HEAD, ec=colours[bone], zorder=2, **style))


class _InventedStrip(_Strip):
    """The same, showing what was invented."""

    def __init__(self, clip: SkeletonSequence) -> None:
        super().__init__(clip)
        somebody = clip.observed.any(axis=(0, 2), keepdims=True)  # an empty slot is nobody
        self.seen = self.seen & somebody
        self.invented = self.seen & ~clip.observed
        self.never: NDArray[np.bool_] = ~np.asarray(clip.observed.any(axis=0), dtype=np.bool_)

    def _colours(self, person: int) -> list[str]:
        return [_MEASURED] * len(self.clip.layout.bones)

    def _frames(self, poses: int) -> list[int]:
        """Evenly spaced, each moved by at most half the space to where something was invented."""
        even = super()._frames(poses)
        some = np.flatnonzero(self.invented.any(axis=(1, 2)))
        reach = (even[-1] - even[0]) / max(2 * len(even) - 2, 1)
        near = [int(some[np.abs(some - frame).argmin()]) if len(some) else frame for frame in even]
        moved = [n if abs(n - f) < reach else f for n, f in zip(near, even, strict=True)]
        return list(dict.fromkeys(moved))

    def _bones(
        self,
        axes: Axes,
        joints: NDArray[np.float64],
        frame: int,
        person: int,
        colours: list[str],
    ) -> None:
        del colours
        colour = _INVENTED[min(person, 1)]
        invented: NDArray[np.bool_] = self.invented[frame, person]
        never = self.never[person]
        styles = {
            "measured": {"colors": _MEASURED, "linewidths": 1.6, "capstyle": "round"},
            "filled": {"colors": colour, "linewidths": 2.1, "capstyle": "round"},
            "never": {"colors": colour, "linewidths": 1.8, "linestyles": _DOTS},
        }
        bones: dict[str, list[NDArray[np.float64]]] = {name: [] for name in styles}
        for bone in map(list, self.clip.layout.bones):
            if np.isfinite(joints[bone]).all():
                name = "never" if never[bone].any() else "filled"
                bones[name if invented[bone].any() else "measured"].append(joints[bone])
        for zorder, (name, style) in enumerate(styles.items(), start=3):
            axes.add_collection(LineCollection(bones[name], zorder=zorder, **style), autolim=False)
        head = head_of(self.clip.layout)
        if head is not None and np.isfinite(joints[head]).all():
            edge = colour if invented[head] else _MEASURED
            face = "white" if invented[head] else edge
            axes.add_patch(Circle(joints[head], HEAD, ec=edge, fc=face, zorder=2))
        if self.clip.uncertainty is not None:
            for joint in np.flatnonzero(invented & np.isfinite(joints).all(axis=-1)):
                radius = float(np.nan_to_num(self.clip.uncertainty[frame, person, joint]))
                disc = Circle(joints[joint], radius, color=colour, alpha=0.1, lw=0, zorder=1)
                axes.add_patch(disc)


def _pose_frames(seen: NDArray[np.bool_], poses: int) -> list[int]:
    """Evenly spaced frames in which somebody is seen, first and last included."""
    frames = np.flatnonzero(seen.any(axis=(1, 2)))
    if not len(frames):
        frames = np.arange(seen.shape[0])
    places = np.linspace(0, len(frames) - 1, min(poses, len(frames))).round()
    return [int(frames[int(place)]) for place in places]
