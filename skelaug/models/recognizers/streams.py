"""The four streams that recognizers see: joints, bones, and the motion of each.

A stream is computed from clips of their final length, after any resampling and augmentation, so
that a motion is that of neighbouring frames of the network's input.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import torch
from torch import Tensor

from skelaug.errors import UsageError, did_you_mean
from skelaug.shapes import check_shape

__all__ = ["FUSION_WEIGHTS", "STREAMS", "as_streams"]

STREAMS = ("joint", "bone", "joint_motion", "bone_motion")
"""Every stream, in the order in which results are printed."""

FUSION_WEIGHTS: Mapping[str, float] = MappingProxyType(
    {"joint": 0.6, "bone": 0.6, "joint_motion": 0.4, "bone_motion": 0.4}
)
"""Weight of each stream's logits in a four-stream score, as in the code of CTR-GCN and Shift-GCN
(papers that only add the scores up use 1 for all)."""


def as_streams(x: Tensor, names: Sequence[str], parents: Sequence[int]) -> Tensor:
    """The named streams of some clips, side by side as channels.

    ``joint`` is x itself; ``bone`` the vector from the parent to each joint, 0 at the root; a
    motion is the next frame minus this one, 0 in the last frame. Whatever is absent as zeros stays
    zero in every stream.

    Args:
        x: N C T V M.
        names: Streams, of `STREAMS`; at least one.
        parents: The tree of the joints, -1 = root. The published bone tables hang on the joint
            between the shoulders: `skelaug.skeleton.graph.rerooted` gives that tree.

    Returns:
        N C*S T V M, the C channels of the first stream first; x itself for ``joint`` alone.

    Raises:
        UsageError: There is no name, or one is not a stream.
    """
    check_shape(x, "N C T V M", what="x", V=len(parents))
    unknown = [name for name in names if name not in _STREAM]
    if unknown or not names:
        got = repr(unknown[0]) if unknown else "none"
        hint = did_you_mean(unknown[0] if unknown else "", STREAMS)
        raise UsageError(f"streams: expected names of streams, got {got}; {hint}")
    parts = [_STREAM[name](x, parents) for name in names]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


def _joint(x: Tensor, parents: Sequence[int]) -> Tensor:
    del parents
    return x


def _bone(x: Tensor, parents: Sequence[int]) -> Tensor:
    above = [joint if parent < 0 else parent for joint, parent in enumerate(parents)]
    return x - x.index_select(3, torch.tensor(above, device=x.device))


def _motion(x: Tensor) -> Tensor:
    return torch.cat([x[:, :, 1:] - x[:, :, :-1], torch.zeros_like(x[:, :, :1])], dim=2)


_STREAM: Mapping[str, Callable[[Tensor, Sequence[int]], Tensor]] = {
    "joint": _joint,
    "bone": _bone,
    "joint_motion": lambda x, _: _motion(x),
    "bone_motion": lambda x, parents: _motion(_bone(x, parents)),
}
