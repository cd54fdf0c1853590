"""Drawing the parameters of an augmentation, one plain mapping per operation.

A draw holds numbers, strings and lists only, so JSON keeps it exactly::

    {"op": "crop", "start": 3, "frames": 40}         {"op": "speed", "frames": 36}
    {"op": "time_warp", "log_tempo": [knots]}        {"op": "bones", "factors": [V]}
    {"op": "mirror"}                                 {"op": "view", "degrees": [x, y], "scale": 1.2}
    {"op": "scale", "factors": [x, y, z]}            {"op": "shear", "matrix": [3 rows of 3]}
    {"op": "rotation", "angles": [x, y, z]}          {"op": "translation", "shift": [x, y, z]}
    {"op": "jitter", "std": 0.01, "smoothing": 1.0, "seed": 5}
    {"op": "joint_mask", "joints": [j]}              {"op": "frame_mask", "frames": [t]}

Draws name no persons: what is drawn for a clip happens to everybody in it. Jitter keeps the seed of
its noise, since the noise is as large as the clip. A clip of two coordinates uses the first two.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from skelaug.augment.configuration import AugmentationConfig
from skelaug.errors import UsageError
from skelaug.skeleton.layout import SkeletonLayout

__all__ = ["Draw", "draw"]

Draw = Mapping[str, Any]

_SEEDS = 2**53  # integers below are exact in every JSON reader


def draw(
    config: AugmentationConfig,
    *,
    layout: SkeletonLayout,
    frames: int,
    generator: np.random.Generator,
) -> list[Draw]:
    """The operations that happen to one clip, in their order, with their parameters.

    Operations that are off, and those that chance leaves out, are not in the list.

    Args:
        config: The largest changes.
        layout: The joints of the clip, their tree and their mirror images.
        frames: Length T of the clip.
        generator: Where chance comes from; use one address per clip and epoch.

    Raises:
        UsageError: The clip shall be mirrored, and its layout names no mirror images.
    """
    draws = list(_in_time(config, frames, generator))
    draws += _of_the_body(config, layout, generator)
    draws += _in_space(config, generator)
    left = next((one["frames"] for one in reversed(draws) if "frames" in one), frames)
    draws += _of_the_sensor(config, layout, generator, frames=left)
    return draws


def _in_time(
    config: AugmentationConfig, frames: int, generator: np.random.Generator
) -> Iterator[Draw]:
    if config.crop:
        kept = frames - int(generator.integers(int(config.crop * frames) + 1))
        start = int(generator.integers(frames - kept + 1))
        yield {"op": "crop", "start": start, "frames": kept}
        frames = kept
    if config.speed:
        frames = max(1, round(frames * _factor(config.speed, generator)))
        yield {"op": "speed", "frames": frames}
    if config.time_warp:
        tempo = config.time_warp * _signed(config.time_warp_knots, generator)
        yield {"op": "time_warp", "log_tempo": tempo.tolist()}


def _of_the_body(
    config: AugmentationConfig, layout: SkeletonLayout, generator: np.random.Generator
) -> Iterator[Draw]:
    if config.bones:
        factors = 1 + config.bones * _signed(layout.num_joints, generator)
        of_pair = np.minimum(np.arange(layout.num_joints), layout.mirrored)
        yield {"op": "bones", "factors": factors[of_pair].tolist()}
    if config.mirror:
        if not layout.mirror:
            raise UsageError(
                f"augmentation: expected a layout with mirror pairs for mirror {config.mirror:g}, "
                f"got {layout.name!r} without any; set mirror to 0 or name the pairs in the layout"
            )
        if generator.random() < config.mirror:
            yield {"op": "mirror"}


def _in_space(config: AugmentationConfig, generator: np.random.Generator) -> Iterator[Draw]:
    if config.view_degrees or config.view_scale:
        most = config.view_degrees
        degrees = generator.integers(-most, most, size=2, endpoint=True).tolist()
        scale = _factor(config.view_scale, generator)
        yield {"op": "view", "degrees": degrees, "scale": scale}
    if config.scale or config.scale_axes:
        factors = _factor(config.scale, generator) * (1 + config.scale_axes * _signed(3, generator))
        yield {"op": "scale", "factors": factors.tolist()}
    if config.shear:
        entries = config.shear * _signed(9, generator).reshape(3, 3)
        np.fill_diagonal(entries, 1.0)
        yield {"op": "shear", "matrix": entries.tolist()}
    largest = (config.rotation_x, config.rotation_y, config.rotation_z)
    if any(largest):
        yield {"op": "rotation", "angles": (_signed(3, generator) * largest).tolist()}
    if config.translation:
        shift = config.translation * _signed(3, generator)
        yield {"op": "translation", "shift": shift.tolist()}


def _of_the_sensor(
    config: AugmentationConfig,
    layout: SkeletonLayout,
    generator: np.random.Generator,
    *,
    frames: int,
) -> Iterator[Draw]:
    if config.jitter:
        seed = int(generator.integers(_SEEDS))
        smoothing = config.jitter_smoothing
        yield {"op": "jitter", "std": config.jitter, "smoothing": smoothing, "seed": seed}
    if config.joint_mask:
        lost = _lost(config.joint_mask, layout.num_joints, generator)
        joints = [joint for joint in lost if joint != layout.root]
        if joints:
            yield {"op": "joint_mask", "joints": joints}
    if config.frame_mask:
        lost = _lost(config.frame_mask, frames, generator)
        if lost:
            yield {"op": "frame_mask", "frames": lost}


def _signed(count: int, generator: np.random.Generator) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Numbers from U(-1, 1)."""
    return 2 * generator.random(count) - 1


def _factor(most: float, generator: np.random.Generator) -> float:
    """A number from U(1 - most, 1 + most)."""
    return 1 + most * (2 * generator.random() - 1)


def _lost(share: float, count: int, generator: np.random.Generator) -> list[int]:
    """Up to a share of the numbers below count, rising; never all of them."""
    number = generator.integers(int(share * count) + 1)
    return [int(one) for one in np.sort(generator.permutation(count)[:number])]
