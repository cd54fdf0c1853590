"""How each recognizer is trained by default: ``cpu`` for laptops, ``paper`` as published."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["PRESETS"]

_CTR = {
    "model": {"name": "ctr-gcn"},
    "preparation": {"profile": "ctr", "frames": 64},
    "augment": {"rotation_x": 0.3, "rotation_y": 0.3, "rotation_z": 0.3},
    "optimisation": {
        "optimizer": "sgd",
        "epochs": 65,
        "batch": 64,
        "lr": 0.1,
        "warmup_epochs": 5,
        "decay": "steps",
        "milestones": (35 / 65, 55 / 65),
        "weight_decay": 4e-4,
    },
}
_ST = {
    "model": {"name": "st-gcn"},
    "preparation": {"profile": "agcn"},
    "optimisation": {
        "optimizer": "sgd",
        "epochs": 80,
        "batch": 64,
        "lr": 0.1,
        "decay": "steps",
        "milestones": (10 / 80, 50 / 80),
        "weight_decay": 1e-4,
    },
}
_SHIFT = {
    "model": {"name": "shift-gcn"},
    "preparation": {"profile": "agcn"},
    "optimisation": {
        "optimizer": "sgd",
        "epochs": 140,
        "batch": 64,
        "lr": 0.1,
        "decay": "steps",
        "milestones": (60 / 140, 80 / 140, 100 / 140),
        "weight_decay": 1e-4,
    },
}
_MS_G3D = {
    "model": {"name": "ms-g3d"},
    "preparation": {"profile": "agcn"},
    "optimisation": {
        "optimizer": "sgd",
        "epochs": 60,
        "batch": 32,
        "micro_batch": 16,
        "lr": 0.05,
        "decay": "steps",
        "milestones": (30 / 60, 50 / 60),
        "weight_decay": 5e-4,
    },
}
_EFFICIENT = {
    "model": {"name": "efficient-gcn", "arguments": {"phi": 4, "temporal": "sg"}},
    "preparation": {"profile": "efficient"},
    "optimisation": {
        "optimizer": "sgd",
        "epochs": 70,
        "batch": 16,
        "lr": 0.1,
        "warmup_epochs": 10,
        "decay": "cosine",
        "weight_decay": 1e-4,
    },
}
_FG = {
    "model": {"name": "fg-stformer"},
    "preparation": {"profile": "ctr", "frames": 128},
    "augment": {"rotation_x": 0.3, "rotation_y": 0.3, "rotation_z": 0.3},
    "optimisation": {
        "optimizer": "sgd",
        "epochs": 80,
        "batch": 32,
        "lr": 0.01,
        "warmup_epochs": 5,
        "decay": "steps",
        "milestones": (50 / 80, 70 / 80),
        "weight_decay": 5e-4,
    },
}
_COMPACT = {
    "model": {"name": "compact"},
    "preparation": {"profile": "heading"},
    "streams": ("joint", "bone", "joint_motion"),
    "augment": {
        "bones": 0.25,
        "scale": 0.1,
        "rotation_x": 0.2,
        "rotation_y": 0.5,
        "rotation_z": 0.2,
        "jitter": 0.01,
        "joint_mask": 0.15,
    },
    "mixup": 0.2,
    "label_smoothing": 0.1,
    "optimisation": {
        "steps": 1000,
        "batch": 32,
        "lr": 2e-3,
        "warmup": 30,
        "decay": "cosine",
        "weight_decay": 0.02,
        "clip": 5.0,
    },
}

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "cpu": _COMPACT,
    "paper": _FG,
    "paper/fg-stformer": _FG,
    "paper/ctr-gcn": _CTR,
    "paper/ms-g3d": _MS_G3D,
    "paper/efficient-gcn": _EFFICIENT,
    "paper/shift-gcn": _SHIFT,
    "paper/st-gcn": _ST,
}
"""Settings by preset. ``paper`` is FG-STFormer's; with another network it is that network's.

Sources: Gao et al. 2022, section 4.2 (FG-STFormer); Chen et al. 2021 with their code (CTR-GCN); Liu
et al. 2020 with their code (MS-G3D; 60 epochs as for NTU RGB+D 120); Song et al. 2022 with their
code (EfficientGCN-B4); Cheng et al. 2020 with their code (Shift-GCN; one decay of weights for all);
Yan et al. 2018 with their code (ST-GCN). All take the rate up by update
instead of by epoch, and the last weights instead of those of the best test epoch.
"""
