"""Recognizers, one file per paper; each is sized from a layout's tree.

All are called ``network(x)`` with x: N C T V M (samples, channels, frames, joints, persons) and
return logits N K; ``network.features(x)`` is what their last layer sees, N D. ShiftGCN, STGCN and
Kinematics also keep it along time: ``network.feature_sequence(x)``, N L D, whose mean over L it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import nn

from skelaug.models.recognizers.compact import Compact
from skelaug.models.recognizers.ctr_gcn import CTRGCN
from skelaug.models.recognizers.efficient_gcn import EfficientGCN
from skelaug.models.recognizers.fg_stformer import FGSTFormer
from skelaug.models.recognizers.kinematics import Kinematics
from skelaug.models.recognizers.ms_g3d import MSG3D
from skelaug.models.recognizers.shift_gcn import ShiftGCN
from skelaug.models.recognizers.st_gcn import STGCN

__all__ = ["RECOGNIZERS"]

RECOGNIZERS: Mapping[str, Callable[..., nn.Module]] = {
    "compact": Compact,
    "ctr-gcn": CTRGCN,
    "efficient-gcn": EfficientGCN,
    "fg-stformer": FGSTFormer,
    "kinematics": Kinematics,
    "ms-g3d": MSG3D,
    "shift-gcn": ShiftGCN,
    "st-gcn": STGCN,
}
